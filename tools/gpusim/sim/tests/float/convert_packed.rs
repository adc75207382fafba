//! cvt into and out of packed formats, stochastic rounding, cvt.pack.

use crate::harness::{Form, R, assemble, check};
use crate::oracle::{
    self, BF16, E2M1, E2M3, E3M2, E4M3, E5M2, F16, F32, Fmt, Mode, Num, Specials, Val, round,
};
use crate::values::{Random, packed, pairs, singles};

/// One value into a packed format.
fn element(x: u64, from: Fmt, to: Fmt, mode: Mode, satfinite: bool, relu: bool) -> u64 {
    let bits = match from.decode(x) {
        // Formats without NaN have their largest value instead.
        Val::Nan => to.nan(),
        Val::Inf(neg) if satfinite || to.specials == Specials::None => {
            to.max() | if neg { to.sign_bit() } else { 0 }
        }
        Val::Fin(num) => round(&num, to, mode, satfinite),
        other => oracle::finish(&other, to, mode),
    };
    if relu && bits & to.sign_bit() != 0 { 0 } else { bits }
}

const NARROW: [(&str, Fmt, u32, R); 5] = [
    ("e4m3x2", E4M3, 8, R::B16),
    ("e5m2x2", E5M2, 8, R::B16),
    ("e2m3x2", E2M3, 8, R::B16),
    ("e3m2x2", E3M2, 8, R::B16),
    ("e2m1x2", E2M1, 4, R::B8),
];

fn pack_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for (ty, f) in [("f16x2", F16), ("bf16x2", BF16)] {
        for (mode, name) in [(Mode::Rn, "rn"), (Mode::Rz, "rz")] {
            for last in ["", ".relu", ".satfinite", ".relu.satfinite"] {
                let (relu, satfinite) = (last.starts_with(".relu"), last.ends_with(".satfinite"));
                forms.push(Form::exact(
                    format!("cvt.{name}{last}.{ty}.f32"),
                    R::B32,
                    &[R::B32; 2],
                    pairs(F32),
                    move |s| {
                        let part = |x| element(x, F32, f, mode, satfinite, relu);
                        part(s[0]) << 16 | part(s[1])
                    },
                ));
            }
        }
    }
    for (ty, f, bits, d) in NARROW {
        let old = f.man + f.exp == 7;
        for relu in [false, true] {
            let dot = if relu { ".relu" } else { "" };
            let place = |form: Form| if old { form } else { form.blackwell() };
            forms.push(place(Form::exact(
                format!("cvt.rn.satfinite{dot}.{ty}.f32"),
                d,
                &[R::B32; 2],
                pairs(F32),
                move |s| {
                    let part = |x| element(x, F32, f, Mode::Rn, true, relu);
                    part(s[0]) << bits | part(s[1])
                },
            )));
            // Every pattern of the format, and every pattern as the other element.
            let all: Vec<Vec<u64>> =
                (0..1u64 << f.bits()).map(|x| vec![x | ((x * 7) & (2 * f.sign_bit() - 1)) << bits]).collect();
            forms.push(place(Form::exact(format!("cvt.rn{dot}.f16x2.{ty}"), R::B32, &[d], all, move |s| {
                let part = |shift: u32| {
                    element(s[0] >> shift & (2 * f.sign_bit() - 1), f, F16, Mode::Rn, false, relu)
                };
                part(bits) << 16 | part(0)
            })));
            if old {
                let inputs = packed(singles(F16), 16);
                forms.push(Form::exact(
                    format!("cvt.rn.satfinite{dot}.{ty}.f16x2"),
                    d,
                    &[R::B32],
                    inputs,
                    move |s| {
                        let part = |shift: u32| element(s[0] >> shift & 0xffff, F16, f, Mode::Rn, true, relu);
                        part(16) << 8 | part(0)
                    },
                ));
            }
        }
    }
    for (mode, name) in [(Mode::Rz, "rz"), (Mode::Rp, "rp")] {
        for satfinite in [false, true] {
            let dot = if satfinite { ".satfinite" } else { "" };
            let scale = move |x: u64, f: Fmt| -> u64 {
                // A power of two, rounded by magnitude; the exponent field of bf16 with no significand.
                match f.decode(x & f.nan()) {
                    Val::Nan => 255,
                    Val::Inf(_) => {
                        if satfinite {
                            254
                        } else {
                            255
                        }
                    }
                    Val::Fin(num) if num.is_zero() => 0,
                    Val::Fin(num) => {
                        let top = num.sig.bits() as i64 - 1;
                        let inexact = num.sig.trailing_zeros() != Some(top as u64);
                        let e = top + num.exp + i64::from(mode == Mode::Rp && inexact) + 127;
                        if e > 254 { if satfinite { 254 } else { 255 } } else { e.max(0) as u64 }
                    }
                }
            };
            let text = format!("cvt.{name}{dot}.ue8m0x2.f32");
            forms.push(
                Form::exact(text, R::B16, &[R::B32; 2], pairs(F32), move |s| {
                    scale(s[0], F32) << 8 | scale(s[1], F32)
                })
                .blackwell(),
            );
            let text = format!("cvt.{name}{dot}.ue8m0x2.bf16x2");
            forms.push(
                Form::exact(text, R::B16, &[R::B32], packed(singles(BF16), 16), move |s| {
                    scale(s[0] >> 16, BF16) << 8 | scale(s[0] & 0xffff, BF16)
                })
                .blackwell(),
            );
        }
    }
    let all: Vec<Vec<u64>> = (0..256u64).map(|x| vec![x | ((x * 5) & 255) << 8]).collect();
    forms.push(
        Form::exact("cvt.rn.bf16x2.ue8m0x2", R::B32, &[R::B16], all, |s| {
            let part = |x: u64| match x {
                255 => 0x7fff,
                x => round(&Num { neg: false, sig: 1u32.into(), exp: x as i64 - 127 }, BF16, Mode::Rn, false),
            };
            part(s[0] >> 8) << 16 | part(s[0] & 255)
        })
        .blackwell(),
    );
    for (ty, bits, signed) in [
        ("u16", 16, false),
        ("s16", 16, true),
        ("u8", 8, false),
        ("s8", 8, true),
        ("u4", 4, false),
        ("s4", 4, true),
        ("u2", 2, false),
        ("s2", 2, true),
    ] {
        let clamp = move |x: u64| {
            let (low, high) =
                if signed { (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
            i64::from(x as i32).clamp(low, high) as u64 & ((1 << bits) - 1)
        };
        let mut random = Random(3);
        let inputs: Vec<Vec<u64>> = (0..500)
            .map(|n| {
                (0..if bits < 16 { 3 } else { 2 })
                    .map(|_| (random.next() as i32 >> (n % 31)) as u32 as u64)
                    .collect()
            })
            .collect();
        let (text, sources) = if bits < 16 {
            (format!("cvt.pack.sat.{ty}.s32.b32"), 3)
        } else {
            (format!("cvt.pack.sat.{ty}.s32"), 2)
        };
        forms.push(Form::exact(text, R::B32, &[R::B32; 3][..sources], inputs, move |s| {
            let above = if s.len() == 3 { s[2] << (2 * bits) & 0xffff_ffff } else { 0 };
            above | clamp(s[0]) << bits | clamp(s[1])
        }));
    }
    forms
}

/// Adding `random` (of `count` bits) to the `count` highest of the discarded bits, and truncating.
fn stochastic(x: u64, to: Fmt, random: u64, count: u32, relu: bool, satfinite: bool) -> u64 {
    let Val::Fin(num) = F32.decode(x) else { return element(x, F32, to, Mode::Rz, satfinite, relu) };
    let down = round(&num, to, Mode::Rz, true);
    let Val::Fin(base) = to.decode(down) else { unreachable!() };
    let inside = down & to.nan() < to.max();
    let step = (to.decode(if inside { down + 1 } else { down - 1 }), inside);
    // The discarded part in units of the last place, exactly: both are multiples of 2^-200.
    let scale = |n: &Num| &n.sig << (n.exp + 200) as usize;
    let Val::Fin(next) = step.0 else { return element(x, F32, to, Mode::Rn, satfinite, relu) };
    let ulp = if step.1 { scale(&next) - scale(&base) } else { scale(&base) - scale(&next) };
    let discarded = scale(&num) - scale(&base);
    // Beyond the largest value by an ulp or more nothing is drawn.
    let up = discarded >= ulp || ((discarded << count as usize) / ulp) + random >= (1u64 << count).into();
    let bits = if !up {
        down
    } else if inside {
        down + 1
    } else if satfinite {
        down
    } else {
        to.infinity() | down & to.sign_bit()
    };
    if relu && bits & to.sign_bit() != 0 { 0 } else { bits }
}

fn stochastic_forms() -> Vec<Form> {
    let mut random = Random(5);
    let mut forms = Vec::new();
    let words = |sources: usize, random: &mut Random| -> Vec<Vec<u64>> {
        let all = singles(F32);
        (0..1500)
            .map(|n| {
                let mut tuple: Vec<u64> =
                    (0..sources).map(|k| all[(n * 7 + k * 13) % all.len()][0]).collect();
                tuple.push(match n % 4 {
                    0 => 0,
                    1 => 0xffff_ffff,
                    _ => random.next() & 0xffff_ffff,
                });
                tuple
            })
            .collect()
    };
    for (ty, f, bits) in [("f16x2", F16, 13), ("bf16x2", BF16, 16)] {
        for last in ["", ".relu", ".satfinite", ".relu.satfinite"] {
            let inputs = words(2, &mut random);
            let form =
                Form::exact(format!("cvt.rs{last}.{ty}.f32"), R::B32, &[R::B32; 3], inputs, move |s| {
                    let (relu, satfinite) = (last.starts_with(".relu"), last.ends_with(".satfinite"));
                    let part =
                        |x, random: u64| stochastic(x, f, random & ((1 << bits) - 1), bits, relu, satfinite);
                    part(s[0], s[2] >> 16) << 16 | part(s[1], s[2] & 0xffff)
                });
            forms.push(form.blackwell());
        }
    }
    for (ty, f, bits, d) in [
        ("e4m3x4", E4M3, 8, R::B32),
        ("e5m2x4", E5M2, 8, R::B32),
        ("e2m3x4", E2M3, 8, R::B32),
        ("e3m2x4", E3M2, 8, R::B32),
        ("e2m1x4", E2M1, 4, R::B16),
    ] {
        for relu in [false, true] {
            let inputs = words(4, &mut random);
            let text = format!("cvt.rs{}.satfinite.{ty}.f32", if relu { ".relu" } else { "" });
            let form = Form::exact(text, d, &[R::B32; 5], inputs, move |s| {
                // The bits by their place in the word, the heaviest first.
                let word = s[4];
                let places: Vec<u32> =
                    if bits == 8 { (16..32).collect() } else { (8..16).chain(24..32).collect() };
                let draw = |n: usize| {
                    let mut places: Vec<u32> = places
                        .iter()
                        .map(|p| if n < 2 { *p } else { p - if bits == 8 { 16 } else { 8 } })
                        .collect();
                    if n % 2 == 1 {
                        places.reverse();
                    }
                    places.iter().fold(0, |bits, place| bits << 1 | word >> place & 1)
                };
                (0..4).fold(0, |d, n| d << bits | stochastic(s[n], f, draw(n), 16, relu, true))
            });
            forms.push(form.operands("D, {A, B, C, E}, F").blackwell());
        }
    }
    forms
}

#[test]
fn packed_conversions_round_each_element() {
    check(pack_forms());
}

#[test]
fn stochastic_rounding_adds_the_random_bits() {
    check(stochastic_forms());
}

#[test]
fn ptxas_accepts_these_forms() {
    let mut forms = pack_forms();
    forms.extend(stochastic_forms());
    assemble(&forms);
}
