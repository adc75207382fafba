//! Extended precision: the carry goes from instruction to instruction.

use super::table::{check, s32, s64};

fn wide(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// Each destination shows the low word's carry in the high word.
#[test]
fn carries_and_borrows_reach_the_next_word() {
    check(&[
        ("add.cc.u32 %x1, %a, %b; addc.u32 %d, %c, 0;", "u32 u32 u32 u32", |a, b, c| c + ((a + b) >> 32)),
        ("add.cc.s32 %x1, %a, %b; addc.s32 %d, %c, %c;", "s32 s32 s32 s32", |a, b, c| {
            2 * c + ((a + b) >> 32)
        }),
        ("add.cc.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| a + b),
        ("sub.cc.u32 %x1, %a, %b; subc.u32 %d, %c, 0;", "u32 u32 u32 u32", |a, b, c| {
            c.wrapping_sub(u64::from(a < b))
        }),
        ("sub.cc.s32 %x1, %a, %b; subc.s32 %d, %c, %a;", "s32 s32 s32 s32", |a, b, c| {
            c.wrapping_sub(a).wrapping_sub(u64::from(a < b))
        }),
        ("add.cc.u64 %y1, %a, %b; addc.u64 %d, %c, %a;", "u64 u64 u64 u64", |a, b, c| {
            (wide(a, c).wrapping_add(wide(b, a)) >> 64) as u64
        }),
        ("add.cc.s64 %y1, %a, %b; addc.s64 %d, %c, 0;", "s64 s64 s64 s64", |a, b, c| {
            c.wrapping_add(((u128::from(a) + u128::from(b)) >> 64) as u64)
        }),
        ("sub.cc.s64 %y1, %a, %b; subc.s64 %d, %c, 0;", "s64 s64 s64 s64", |a, b, c| {
            c.wrapping_sub(u64::from(a < b))
        }),
        // Through three words: the middle one takes a carry and gives one.
        (
            "add.cc.u32 %x1, %a, %b; addc.cc.u32 %x2, %b, %c; addc.u32 %d, 0, 0;",
            "u32 u32 u32 u32",
            |a, b, c| (((c << 32 | a) as u128 + ((b << 32) | b) as u128) >> 64) as u64,
        ),
        (
            "sub.cc.u32 %x1, %a, %b; subc.cc.u32 %x2, %b, %c; subc.u32 %d, 5, 0;",
            "u32 u32 u32 u32",
            |a, b, c| 5 - u64::from((b << 32 | a) < (c << 32 | b)),
        ),
    ]);
}

/// The flag is the adder's carry, and a - b is a + !b + 1: what ptxas makes of these with constants, and what nvcc's 128-bit
/// division relies on.
#[test]
fn a_subtraction_carries_where_it_does_not_borrow() {
    check(&[
        ("sub.cc.u32 %x1, %a, %b; addc.u32 %d, %c, 0;", "u32 u32 u32 u32", |a, b, c| c + u64::from(a >= b)),
        ("add.cc.u32 %x1, %a, %b; subc.u32 %d, %c, 0;", "u32 u32 u32 u32", |a, b, c| {
            c.wrapping_sub(1 - ((a + b) >> 32))
        }),
        ("sub.cc.s64 %y1, %a, %b; addc.s64 %d, %c, %c;", "s64 s64 s64 s64", |a, b, c| {
            c.wrapping_add(c).wrapping_add(u64::from(a >= b))
        }),
        ("add.cc.u64 %y1, %a, %b; subc.u64 %d, %c, %a;", "u64 u64 u64 u64", |a, b, c| {
            c.wrapping_sub(a).wrapping_sub(u64::from(a.checked_add(b).is_some()))
        }),
        ("sub.cc.u32 %x1, %a, %b; madc.lo.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| {
            a.wrapping_mul(b).wrapping_add(c).wrapping_add(u64::from(a >= b))
        }),
        ("mad.lo.cc.u32 %x1, %a, %b, %c; subc.u32 %d, %c, 0;", "u32 u32 u32 u32", |a, b, c| {
            c.wrapping_sub(u64::from((a * b) % (1 << 32) + c < 1 << 32))
        }),
        // The borrow of two words, taken by an addition.
        (
            "sub.cc.u32 %x1, %a, %b; subc.cc.u32 %x2, %b, %c; addc.u32 %d, 0, 0;",
            "u32 u32 u32 u32",
            |a, b, c| u64::from((b << 32 | a) >= (c << 32 | b)),
        ),
    ]);
}

#[test]
fn products_take_and_give_carries() {
    check(&[
        ("mad.lo.cc.u32 %x1, %a, %b, %c; addc.u32 %d, 0, 0;", "u32 u32 u32 u32", |a, b, c| {
            ((a * b) % (1 << 32) + c) >> 32
        }),
        ("mad.hi.cc.u32 %x1, %a, %b, %c; addc.u32 %d, 0, 0;", "u32 u32 u32 u32", |a, b, c| {
            ((a * b) / (1 << 32) + c) >> 32
        }),
        ("add.cc.u32 %x1, %a, %b; madc.lo.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| {
            (a * b).wrapping_add(c).wrapping_add((a + b) >> 32)
        }),
        ("add.cc.u32 %x1, %a, %b; madc.hi.u32 %d, %a, %b, %c;", "u32 u32 u32 u32", |a, b, c| {
            (a * b / (1 << 32)) + c + ((a + b) >> 32)
        }),
        ("add.cc.u32 %x1, %a, %b; madc.hi.s32 %d, %a, %b, %c;", "s32 s32 s32 s32", |a, b, c| {
            ((s32(a) * s32(b)).div_euclid(1 << 32) as u64).wrapping_add(c).wrapping_add((a + b) >> 32)
        }),
        (
            "add.cc.u32 %x1, %a, %a; madc.lo.cc.u32 %x2, %a, %b, %c; addc.u32 %d, 0, 0;",
            "u32 u32 u32 u32",
            |a, b, c| ((a * b) % (1 << 32) + c + (a >> 31)) >> 32,
        ),
        (
            "add.cc.u32 %x1, %a, %a; madc.hi.cc.u32 %x2, %a, %b, %c; addc.u32 %d, 0, 0;",
            "u32 u32 u32 u32",
            |a, b, c| ((a * b) / (1 << 32) + c + (a >> 31)) >> 32,
        ),
        (
            "add.cc.s64 %y1, %a, %b; addc.cc.s64 %y2, %b, %c; addc.s64 %d, 0, 0;",
            "s64 s64 s64 s64",
            |a, b, c| {
                let middle = u128::from(b) + u128::from(c) + ((u128::from(a) + u128::from(b)) >> 64);
                (middle >> 64) as u64
            },
        ),
        (
            "sub.cc.u64 %y1, %a, %b; subc.cc.u64 %y2, %b, %c; subc.u64 %d, 0, 0;",
            "u64 u64 u64 u64",
            |a, b, c| 0u64.wrapping_sub(u64::from(wide(a, b) < wide(b, c))),
        ),
        ("mad.lo.cc.u64 %y1, %a, %b, %c; madc.hi.u64 %d, %a, %b, 0;", "u64 u64 u64 u64", |a, b, c| {
            ((u128::from(a) * u128::from(b) + u128::from(c)) >> 64) as u64
        }),
        ("mad.lo.cc.s64 %y1, %a, %b, 0; madc.hi.s64 %d, %a, %b, 0;", "s64 s64 s64", |a, b, _| {
            ((s64(a) * s64(b)) >> 64) as u64
        }),
    ]);
}
