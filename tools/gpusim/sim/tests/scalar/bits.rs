//! Counting, finding, extracting, inserting, permuting.

use super::table::{check, check_rows, noise};

fn ones(a: u64, bits: u64) -> u64 {
    (0..bits).map(|n| a >> n & 1).sum()
}

/// The position of the highest bit that differs from `sign`, as 32 bits.
fn highest(a: u64, bits: u64, sign: u64) -> u64 {
    (0..bits).rev().find(|n| a >> n & 1 != sign).unwrap_or(0xFFFF_FFFF)
}

#[test]
fn bits_are_counted_reversed_and_found() {
    check(&[
        ("popc.b32 %d, %a;", "u32 b32", |a, _, _| ones(a, 32)),
        ("popc.b64 %d, %a;", "u32 b64", |a, _, _| ones(a, 64)),
        ("clz.b32 %d, %a;", "u32 b32", |a, _, _| {
            (0..32).take_while(|n| a >> (31 - n) & 1 == 0).count() as u64
        }),
        ("clz.b64 %d, %a;", "u32 b64", |a, _, _| {
            (0..64).take_while(|n| a >> (63 - n) & 1 == 0).count() as u64
        }),
        ("brev.b32 %d, %a;", "b32 b32", |a, _, _| (0..32).map(|n| (a >> n & 1) << (31 - n)).sum()),
        ("brev.b64 %d, %a;", "b64 b64", |a, _, _| (0..64).map(|n| (a >> n & 1) << (63 - n)).sum()),
        ("bfind.u32 %d, %a;", "u32 u32", |a, _, _| highest(a, 32, 0)),
        ("bfind.s32 %d, %a;", "u32 s32", |a, _, _| highest(a, 32, a >> 31)),
        ("bfind.u64 %d, %a;", "u32 u64", |a, _, _| highest(a, 64, 0)),
        ("bfind.s64 %d, %a;", "u32 s64", |a, _, _| highest(a, 64, a >> 63)),
        ("bfind.shiftamt.u32 %d, %a;", "u32 u32", |a, _, _| match highest(a, 32, 0) {
            0xFFFF_FFFF => 0xFFFF_FFFF,
            at => 31 - at,
        }),
        ("bfind.shiftamt.s32 %d, %a;", "u32 s32", |a, _, _| match highest(a, 32, a >> 31) {
            0xFFFF_FFFF => 0xFFFF_FFFF,
            at => 31 - at,
        }),
        ("bfind.shiftamt.u64 %d, %a;", "u32 u64", |a, _, _| match highest(a, 64, 0) {
            0xFFFF_FFFF => 0xFFFF_FFFF,
            at => 63 - at,
        }),
        ("bfind.shiftamt.s64 %d, %a;", "u32 s64", |a, _, _| match highest(a, 64, a >> 63) {
            0xFFFF_FFFF => 0xFFFF_FFFF,
            at => 63 - at,
        }),
    ]);
}

/// The set bits of the mask from the base on, upwards or downwards; the n-th of them.
#[test]
fn the_nth_set_bit_is_found_from_a_base() {
    fn nth(mask: u64, base: u64, offset: i64) -> u64 {
        let set: Vec<u64> = (0..32).filter(|n| mask >> n & 1 == 1).collect();
        let found = match offset {
            0 => set.iter().find(|n| **n == base),
            1.. => set.iter().filter(|n| **n >= base).nth(offset as usize - 1),
            _ => set.iter().rev().filter(|n| **n <= base).nth(-offset as usize - 1),
        };
        found.copied().unwrap_or(0xFFFF_FFFF)
    }
    let mut noise = noise(5);
    let mut next = || noise.next().unwrap_or(0) >> 7;
    let rows: Vec<[u64; 3]> =
        (0..1024).map(|_| [next() & next(), next() % 32, (next() % 21).wrapping_sub(10)]).collect();
    check_rows(
        &[("fns.b32 %d, %a, %b, %c;", "b32 b32 b32 s32", |a, b, c| nth(a, b, super::table::s32(c)))],
        &rows,
    );
}

/// The ISA's loop: bit by bit, positions and lengths modulo 256.
fn extract(a: u64, position: u64, length: u64, bits: u64, signed: bool) -> u64 {
    let (position, length) = (position & 0xFF, length & 0xFF);
    let sign = if !signed || length == 0 { 0 } else { a >> (position + length - 1).min(bits - 1) & 1 };
    (0..bits)
        .map(|n| if n < length && position + n < bits { (a >> (position + n) & 1) << n } else { sign << n })
        .sum()
}

fn insert(a: u64, b: u64, position: u64, length: u64, bits: u64) -> u64 {
    let (position, length) = (position & 0xFF, length & 0xFF);
    (0..bits)
        .map(
            |n| {
                if n >= position && n < position + length {
                    (a >> (n - position) & 1) << n
                } else {
                    b & 1 << n
                }
            },
        )
        .sum()
}

#[test]
fn fields_are_extracted_and_inserted_bit_by_bit() {
    check(&[
        ("bfe.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| extract(a, b, c, 32, false)),
        ("bfe.s32 %d, %a, %b, %c;", "s32 s32 u32 u32", |a, b, c| extract(a, b, c, 32, true)),
        ("bfe.u64 %d, %a, %b, %c;", "u64 u64 u32 u32", |a, b, c| extract(a, b, c, 64, false)),
        ("bfe.s64 %d, %a, %b, %c;", "s64 s64 u32 u32", |a, b, c| extract(a, b, c, 64, true)),
        ("bfe.u32 %d, %a, 4, 3;", "u32 u32", |a, _, _| a >> 4 & 7),
        ("bfi.b32 %d, %a, 0x12345678, %b, %c;", "b32 b32 u32 u32", |a, b, c| {
            insert(a, 0x1234_5678, b, c, 32)
        }),
        ("bfi.b32 %d, 0x9ABCDEF1, %a, %b, %c;", "b32 b32 u32 u32", |a, b, c| {
            insert(0x9ABC_DEF1, a, b, c, 32)
        }),
        ("bfi.b64 %d, %a, 0x123456789ABCDEF1, %b, %c;", "b64 b64 u32 u32", |a, b, c| {
            insert(a, 0x1234_5678_9ABC_DEF1, b, c, 64)
        }),
        ("bfi.b64 %d, %a, %b, 32, 32;", "b64 b64 b64", |a, b, _| a << 32 | b & 0xFFFF_FFFF),
    ]);
}

#[test]
fn masks_and_extensions_wrap_or_clamp() {
    fn mask(position: u64, length: u64) -> u64 {
        (0..32).filter(|n| *n >= position && *n < position + length).map(|n| 1 << n).sum()
    }
    fn extend(a: u64, bits: u64, signed: bool) -> u64 {
        let sign = if signed && bits > 0 { a >> (bits - 1) & 1 } else { 0 };
        (0..32).map(|n| if n < bits { a & 1 << n } else { sign << n }).sum()
    }
    check(&[
        ("bmsk.clamp.b32 %d, %a, %b;", "b32 u32 u32", |a, b, _| mask(a.min(32), b.min(32))),
        ("bmsk.wrap.b32 %d, %a, %b;", "b32 u32 u32", |a, b, _| mask(a % 32, b % 32)),
        ("szext.clamp.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| extend(a, b.min(32), false)),
        ("szext.clamp.s32 %d, %a, %b;", "s32 s32 u32", |a, b, _| extend(a, b.min(32), true)),
        ("szext.wrap.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| extend(a, b % 32, false)),
        ("szext.wrap.s32 %d, %a, %b;", "s32 s32 u32", |a, b, _| extend(a, b % 32, true)),
    ]);
}

/// Byte `n` of the eight that two words make.
fn byte(a: u64, b: u64, n: u64) -> u64 {
    (b << 32 | a) >> (8 * (n % 8)) & 0xFF
}

fn four(f: impl Fn(u64) -> u64) -> u64 {
    (0..4).map(|n| f(n) << (8 * n)).sum()
}

#[test]
fn bytes_are_permuted_in_every_mode() {
    fn choose(a: u64, b: u64, c: u64) -> u64 {
        four(|n| {
            let selector = c >> (4 * n) & 0xF;
            let chosen = byte(a, b, selector & 7);
            if selector < 8 { chosen } else { chosen / 128 * 255 }
        })
    }
    let forms: [super::table::Form; 10] = [
        ("prmt.b32 %d, %a, %b, %c;", "b32 b32 b32 b32", choose),
        ("prmt.b32 %d, %a, %b, 0x7531;", "b32 b32 b32", |a, b, _| choose(a, b, 0x7531)),
        ("prmt.b32 %d, %a, %b, 0xBA98;", "b32 b32 b32", |a, b, _| choose(a, b, 0xBA98)),
        ("prmt.b32 %d, %a, 0, 0x4140;", "b32 b32", |a, _, _| choose(a, 0, 0x4140)),
        ("prmt.b32.f4e %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| four(|n| byte(a, b, c % 4 + n))),
        ("prmt.b32.b4e %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| four(|n| byte(a, b, c % 4 + 8 - n))),
        ("prmt.b32.rc8 %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| four(|_| byte(a, b, c % 4))),
        ("prmt.b32.ecl %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| four(|n| byte(a, b, n.max(c % 4)))),
        ("prmt.b32.ecr %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| four(|n| byte(a, b, n.min(c % 4)))),
        ("prmt.b32.rc16 %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| {
            four(|n| byte(a, b, c % 2 * 2 + n % 2))
        }),
    ];
    check(&forms);
    let mut noise = noise(9);
    let rows: Vec<[u64; 3]> = (0..1024).map(|_| std::array::from_fn(|_| noise.next().unwrap_or(0))).collect();
    check_rows(&forms, &rows);
}
