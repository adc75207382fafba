//! Sums, products, quotients, extrema.

use super::table::{check, check_rows, noise, s16, s32, s64, unsupported};

#[test]
fn sums_and_differences_wrap() {
    check(&[
        ("add.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| (a + b) % 65536),
        ("add.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| (s16(a) + s16(b)) as u64),
        ("add.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| a + b),
        ("add.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (s32(a) + s32(b)) as u64),
        ("add.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| (u128::from(a) + u128::from(b)) as u64),
        ("add.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| (s64(a) + s64(b)) as u64),
        ("sub.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| a + 65536 - b),
        ("sub.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| (s16(a) - s16(b)) as u64),
        ("sub.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| a + (1 << 32) - b),
        ("sub.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (s32(a) - s32(b)) as u64),
        ("sub.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| (u128::from(a) + (1 << 64) - u128::from(b)) as u64),
        ("sub.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| (s64(a) - s64(b)) as u64),
        ("add.s32 %d, %a, -7;", "s32 s32", |a, _, _| (s32(a) - 7) as u64),
        ("add.s32 %d, %a, 0xFFFFFFF9;", "s32 s32", |a, _, _| (s32(a) - 7) as u64),
        ("add.s64 %d, %a, -7;", "s64 s64", |a, _, _| (s64(a) - 7) as u64),
        ("neg.s16 %d, %a;", "s16 s16", |a, _, _| (-s16(a)) as u64),
        ("neg.s32 %d, %a;", "s32 s32", |a, _, _| (-s32(a)) as u64),
        ("neg.s64 %d, %a;", "s64 s64", |a, _, _| (-s64(a)) as u64),
        ("abs.s16 %d, %a;", "s16 s16", |a, _, _| s16(a).unsigned_abs()),
        ("abs.s32 %d, %a;", "s32 s32", |a, _, _| s32(a).unsigned_abs()),
        ("abs.s64 %d, %a;", "s64 s64", |a, _, _| s64(a).unsigned_abs() as u64),
    ]);
}

#[test]
fn saturation_stops_at_the_ends() {
    const LOW: i64 = -0x8000_0000;
    const HIGH: i64 = 0x7FFF_FFFF;
    check(&[
        ("add.sat.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (s32(a) + s32(b)).max(LOW).min(HIGH) as u64),
        ("sub.sat.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (s32(a) - s32(b)).max(LOW).min(HIGH) as u64),
        ("mad.hi.sat.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| {
            ((s32(a) * s32(b)).div_euclid(1 << 32) + s32(c)).max(LOW).min(HIGH) as u64
        }),
    ]);
    unsupported("add.sat.u32 %r1, %r2, %r3;");
}

#[test]
fn products_have_a_low_a_high_and_a_wide_form() {
    check(&[
        ("mul.lo.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| a * b),
        ("mul.lo.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| (s16(a) * s16(b)) as u64),
        ("mul.lo.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| a * b),
        ("mul.lo.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (s32(a) * s32(b)) as u64),
        ("mul.lo.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| (u128::from(a) * u128::from(b)) as u64),
        ("mul.lo.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| (s64(a) * s64(b)) as u64),
        ("mul.hi.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| a * b / 65536),
        ("mul.hi.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| (s16(a) * s16(b)).div_euclid(65536) as u64),
        ("mul.hi.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| a * b / (1 << 32)),
        ("mul.hi.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (s32(a) * s32(b)).div_euclid(1 << 32) as u64),
        ("mul.hi.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| {
            (u128::from(a) * u128::from(b) / (1 << 64)) as u64
        }),
        ("mul.hi.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| (s64(a) * s64(b)).div_euclid(1 << 64) as u64),
        ("mul.wide.u16 %d, %a, %b;", "u32 u16 u16", |a, b, _| a * b),
        ("mul.wide.s16 %d, %a, %b;", "s32 s16 s16", |a, b, _| (s16(a) * s16(b)) as u64),
        ("mul.wide.u32 %d, %a, %b;", "u64 u32 u32", |a, b, _| a * b),
        ("mul.wide.s32 %d, %a, %b;", "s64 s32 s32", |a, b, _| (s32(a) * s32(b)) as u64),
        ("mul.wide.s32 %d, %a, -3;", "s64 s32", |a, _, _| (s32(a) * -3) as u64),
    ]);
}

#[test]
fn multiply_add_wraps_in_its_destination() {
    check(&[
        ("mad.lo.u16 %d, %a, %b, %c;", "u16 u16 u16 u16", |a, b, c| a * b + c),
        ("mad.lo.s16 %d, %a, %b, %c;", "s16 s16 s16 s16", |a, b, c| (s16(a) * s16(b) + s16(c)) as u64),
        ("mad.lo.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| (a * b).wrapping_add(c)),
        ("mad.lo.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| (s32(a) * s32(b) + s32(c)) as u64),
        ("mad.lo.u64 %d, %a, %b, %c;", "u64 u64 u64 u64", |a, b, c| (s64(a) * s64(b) + s64(c)) as u64),
        ("mad.lo.s64 %d, %a, %b, %c;", "s64 s64 s64 s64", |a, b, c| (s64(a) * s64(b) + s64(c)) as u64),
        ("mad.hi.u16 %d, %a, %b, %c;", "u16 u16 u16 u16", |a, b, c| a * b / 65536 + c),
        ("mad.hi.s16 %d, %a, %b, %c;", "s16 s16 s16 s16", |a, b, c| {
            ((s16(a) * s16(b)).div_euclid(65536) + s16(c)) as u64
        }),
        ("mad.hi.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| a * b / (1 << 32) + c),
        ("mad.hi.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| {
            ((s32(a) * s32(b)).div_euclid(1 << 32) + s32(c)) as u64
        }),
        ("mad.hi.u64 %d, %a, %b, %c;", "u64 u64 u64 u64", |a, b, c| {
            (u128::from(a) * u128::from(b) / (1 << 64) + u128::from(c)) as u64
        }),
        ("mad.hi.s64 %d, %a, %b, %c;", "s64 s64 s64 s64", |a, b, c| {
            ((s64(a) * s64(b)).div_euclid(1 << 64) + s64(c)) as u64
        }),
        ("mad.wide.u16 %d, %a, %b, %c;", "u32 u16 u16 u32", |a, b, c| a * b + c),
        ("mad.wide.s16 %d, %a, %b, %c;", "s32 s16 s16 s32", |a, b, c| (s16(a) * s16(b) + s32(c)) as u64),
        ("mad.wide.u32 %d, %a, %b, %c;", "u64 u32 u32 u64", |a, b, c| {
            (u128::from(a) * u128::from(b) + u128::from(c)) as u64
        }),
        ("mad.wide.s32 %d, %a, %b, %c;", "s64 s32 s32 s64", |a, b, c| {
            (i128::from(s32(a)) * i128::from(s32(b)) + s64(c)) as u64
        }),
    ]);
}

#[test]
fn products_of_twenty_four_bits() {
    fn low24(v: u64) -> i64 {
        super::table::signed(v, 24)
    }
    check(&[
        ("mul24.lo.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| (a % (1 << 24)) * (b % (1 << 24))),
        ("mul24.hi.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| (a % (1 << 24)) * (b % (1 << 24)) / 65536),
        ("mul24.lo.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (low24(a) * low24(b)) as u64),
        ("mul24.hi.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| (low24(a) * low24(b)).div_euclid(65536) as u64),
        ("mad24.lo.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| (a % (1 << 24)) * (b % (1 << 24)) + c),
        ("mad24.lo.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| (low24(a) * low24(b) + s32(c)) as u64),
        ("mad24.hi.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| {
            (a % (1 << 24)) * (b % (1 << 24)) / 65536 + c
        }),
        ("mad24.hi.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| {
            ((low24(a) * low24(b)).div_euclid(65536) + s32(c)) as u64
        }),
        ("mad24.hi.sat.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| {
            ((low24(a) * low24(b)).div_euclid(65536) + s32(c)).max(-0x8000_0000).min(0x7FFF_FFFF) as u64
        }),
    ]);
}

/// Division by zero is all ones and leaves the dividend; the smallest number by -1 is itself.
#[test]
fn quotients_truncate_and_remainders_have_the_dividends_sign() {
    fn quotient(a: i128, b: i128) -> u64 {
        if b == 0 { u64::MAX } else { (a / b) as u64 }
    }
    fn remainder(a: i128, b: i128) -> u64 {
        if b == 0 { a as u64 } else { (a - a / b * b) as u64 }
    }
    check(&[
        ("div.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| quotient(a.into(), b.into())),
        ("div.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| quotient(s16(a).into(), s16(b).into())),
        ("div.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| quotient(a.into(), b.into())),
        ("div.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| quotient(s32(a).into(), s32(b).into())),
        ("div.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| quotient(a.into(), b.into())),
        ("div.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| quotient(s64(a), s64(b))),
        ("rem.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| remainder(a.into(), b.into())),
        ("rem.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| remainder(s16(a).into(), s16(b).into())),
        ("rem.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| remainder(a.into(), b.into())),
        ("rem.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| remainder(s32(a).into(), s32(b).into())),
        ("rem.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| remainder(a.into(), b.into())),
        ("rem.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| remainder(s64(a), s64(b))),
    ]);
}

#[test]
fn extrema_and_distances() {
    check(&[
        ("min.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| if a < b { a } else { b }),
        ("min.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| if s16(a) < s16(b) { a } else { b }),
        ("min.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| if a < b { a } else { b }),
        ("min.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| if s32(a) < s32(b) { a } else { b }),
        ("min.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| if a < b { a } else { b }),
        ("min.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| if s64(a) < s64(b) { a } else { b }),
        ("max.u16 %d, %a, %b;", "u16 u16 u16", |a, b, _| if a > b { a } else { b }),
        ("max.s16 %d, %a, %b;", "s16 s16 s16", |a, b, _| if s16(a) > s16(b) { a } else { b }),
        ("max.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| if a > b { a } else { b }),
        ("max.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| if s32(a) > s32(b) { a } else { b }),
        ("max.u64 %d, %a, %b;", "u64 u64 u64", |a, b, _| if a > b { a } else { b }),
        ("max.s64 %d, %a, %b;", "s64 s64 s64", |a, b, _| if s64(a) > s64(b) { a } else { b }),
        ("min.relu.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| s32(a).min(s32(b)).max(0) as u64),
        ("max.relu.s32 %d, %a, %b;", "s32 s32 s32", |a, b, _| s32(a).max(s32(b)).max(0) as u64),
        ("sad.u16 %d, %a, %b, %c;", "u16 u16 u16 u16", |a, b, c| c + a.max(b) - a.min(b)),
        ("sad.s16 %d, %a, %b, %c;", "s16 s16 s16 s16", |a, b, c| (s16(c) + (s16(a) - s16(b)).abs()) as u64),
        ("sad.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| c + a.max(b) - a.min(b)),
        ("sad.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| (s32(c) + (s32(a) - s32(b)).abs()) as u64),
        ("sad.u64 %d, %a, %b, %c;", "u64 u64 u64 u64", |a, b, c| {
            (s64(c) + i128::from(a.max(b) - a.min(b))) as u64
        }),
        ("sad.s64 %d, %a, %b, %c;", "s64 s64 s64 s64", |a, b, c| (s64(c) + (s64(a) - s64(b)).abs()) as u64),
    ]);
}

/// `f` of the halves of two words.
fn halves(a: u64, b: u64, f: impl Fn(i64, i64) -> i64) -> u64 {
    let half = |n: u32| (f((a >> n & 0xFFFF) as i64, (b >> n & 0xFFFF) as i64) & 0xFFFF) as u64;
    half(0) | half(16) << 16
}

#[test]
fn halves_of_a_word_do_not_touch_each_other() {
    fn sign(v: i64) -> i64 {
        if v >= 0x8000 { v - 0x10000 } else { v }
    }
    check(&[
        ("add.u16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| halves(a, b, |a, b| a + b)),
        ("add.s16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| halves(a, b, |a, b| a + b)),
        ("min.u16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| halves(a, b, |a, b| a.min(b))),
        ("max.u16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| halves(a, b, |a, b| a.max(b))),
        ("min.s16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| halves(a, b, |a, b| sign(a).min(sign(b)))),
        ("max.s16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| halves(a, b, |a, b| sign(a).max(sign(b)))),
        ("min.relu.s16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| {
            halves(a, b, |a, b| sign(a).min(sign(b)).max(0))
        }),
        ("max.relu.s16x2 %d, %a, %b;", "u32 u32 u32", |a, b, _| {
            halves(a, b, |a, b| sign(a).max(sign(b)).max(0))
        }),
    ]);
}

#[test]
fn differences_of_bytes_and_half_words() {
    fn apart(a: u64, b: u64, bits: u32, signed: bool) -> Vec<u64> {
        let part = |v: u64, n: u32| {
            let v = v >> (n * bits) & ((1 << bits) - 1);
            if signed { super::table::signed(v, bits) } else { v as i64 }
        };
        (0..32 / bits).map(|n| (part(a, n) - part(b, n)).unsigned_abs()).collect()
    }
    fn packed(parts: Vec<u64>) -> u64 {
        let bits = 32 / parts.len();
        parts.iter().rev().fold(0, |d, part| d << bits | part)
    }
    check(&[
        ("vabsdiff4.u32.u32.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, _| packed(apart(a, b, 8, false))),
        ("vabsdiff4.u32.u32.u32.add %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| {
            c + apart(a, b, 8, false).iter().sum::<u64>()
        }),
        ("vabsdiff4.u32.s32.s32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, _| packed(apart(a, b, 8, true))),
        ("vabsdiff4.u32.s32.s32.add %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| {
            c + apart(a, b, 8, true).iter().sum::<u64>()
        }),
        ("vabsdiff2.u32.u32.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, _| {
            packed(apart(a, b, 16, false))
        }),
        ("vabsdiff2.u32.s32.s32.add %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| {
            c + apart(a, b, 16, true).iter().sum::<u64>()
        }),
    ]);
    // The result's type says nothing without saturation.
    let mut texts = Vec::new();
    let mut meant = Vec::new();
    for (opcode, bits) in [("vabsdiff2", 16), ("vabsdiff4", 8)] {
        for to in ["u32", "s32"] {
            for (from, sign) in [("u32.u32", false), ("s32.s32", true)] {
                for add in [false, true] {
                    let add_text = if add { ".add" } else { "" };
                    texts.push((
                        format!("{opcode}.{to}.{from}{add_text} %d, %a, %b, %c;"),
                        "u32 u32 u32 u32".to_owned(),
                    ));
                    meant.push((bits, sign, add));
                }
            }
        }
    }
    super::table::check_made(&texts, |n, [a, b, c]| {
        let (bits, sign, add) = meant[n];
        let apart = apart(a, b, bits, sign);
        if add { c + apart.iter().sum::<u64>() } else { packed(apart) }
    });
}

#[test]
fn dot_products_in_every_combination_of_signs() {
    fn dot(a: u64, b: u64, signs: (bool, bool), parts: &[(u32, u32)], bits: u32) -> u64 {
        let value = |v: u64, at: u32, bits: u32, sign: bool| {
            let v = v >> at & ((1 << bits) - 1);
            if sign { super::table::signed(v, bits) } else { v as i64 }
        };
        let products = parts.iter().map(|(at, bt)| value(a, *at, bits, signs.0) * value(b, *bt, 8, signs.1));
        products.sum::<i64>() as u64
    }
    const FOUR: [(u32, u32); 4] = [(0, 0), (8, 8), (16, 16), (24, 24)];
    const LOW: [(u32, u32); 2] = [(0, 0), (16, 8)];
    const HIGH: [(u32, u32); 2] = [(0, 16), (16, 24)];
    macro_rules! form {
        ($name:literal, $parts:ident, $bits:literal) => {
            [
                (concat!($name, ".u32.u32 %d, %a, %b, %c;"), (false, false)),
                (concat!($name, ".u32.s32 %d, %a, %b, %c;"), (false, true)),
                (concat!($name, ".s32.u32 %d, %a, %b, %c;"), (true, false)),
                (concat!($name, ".s32.s32 %d, %a, %b, %c;"), (true, true)),
            ]
            .map(|(text, signs): (&str, (bool, bool))| {
                let expected: super::table::Expected = match signs {
                    (false, false) => |a, b, c| c.wrapping_add(dot(a, b, (false, false), &$parts, $bits)),
                    (false, true) => |a, b, c| c.wrapping_add(dot(a, b, (false, true), &$parts, $bits)),
                    (true, false) => |a, b, c| c.wrapping_add(dot(a, b, (true, false), &$parts, $bits)),
                    (true, true) => |a, b, c| c.wrapping_add(dot(a, b, (true, true), &$parts, $bits)),
                };
                (text, "u32 u32 u32 u32", expected)
            })
        };
    }
    let mut noise = noise(3);
    let rows: Vec<[u64; 3]> = (0..512).map(|_| std::array::from_fn(|_| noise.next().unwrap_or(0))).collect();
    for forms in [form!("dp4a", FOUR, 8), form!("dp2a.lo", LOW, 16), form!("dp2a.hi", HIGH, 16)] {
        check(&forms);
        check_rows(&forms, &rows);
    }
}
