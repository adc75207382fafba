//! `setp`, `set`, `selp`, `slct`.

use super::table::{Form, check, s16, s32, s64};

macro_rules! comparisons {
    ($ty:literal, $value:expr) => {{
        let forms: [Form; 6] = [
            (concat!("setp.eq.", $ty, " %d, %a, %b;"), concat!("pred ", $ty, " ", $ty), |a, b, _| {
                u64::from($value(a) == $value(b))
            }),
            (concat!("setp.ne.", $ty, " %d, %a, %b;"), concat!("pred ", $ty, " ", $ty), |a, b, _| {
                u64::from($value(a) != $value(b))
            }),
            (concat!("setp.lt.", $ty, " %d, %a, %b;"), concat!("pred ", $ty, " ", $ty), |a, b, _| {
                u64::from($value(a) < $value(b))
            }),
            (concat!("setp.le.", $ty, " %d, %a, %b;"), concat!("pred ", $ty, " ", $ty), |a, b, _| {
                u64::from($value(a) <= $value(b))
            }),
            (concat!("setp.gt.", $ty, " %d, %a, %b;"), concat!("pred ", $ty, " ", $ty), |a, b, _| {
                u64::from($value(a) > $value(b))
            }),
            (concat!("setp.ge.", $ty, " %d, %a, %b;"), concat!("pred ", $ty, " ", $ty), |a, b, _| {
                u64::from($value(a) >= $value(b))
            }),
        ];
        check(&forms);
    }};
}

#[test]
fn integers_compare_as_signed_or_unsigned_numbers() {
    comparisons!("u16", |v: u64| v);
    comparisons!("s16", s16);
    comparisons!("u32", |v: u64| v);
    comparisons!("s32", s32);
    comparisons!("u64", |v: u64| v);
    comparisons!("s64", s64);
    check(&[
        ("setp.eq.b16 %d, %a, %b;", "pred b16 b16", |a, b, _| u64::from(a == b)),
        ("setp.ne.b32 %d, %a, %b;", "pred b32 b32", |a, b, _| u64::from(a != b)),
        ("setp.eq.b64 %d, %a, %b;", "pred b64 b64", |a, b, _| u64::from(a == b)),
        ("setp.ne.b16 %d, %a, %b;", "pred b16 b16", |a, b, _| u64::from(a != b)),
        ("setp.eq.b32 %d, %a, %b;", "pred b32 b32", |a, b, _| u64::from(a == b)),
        ("setp.ne.b64 %d, %a, %b;", "pred b64 b64", |a, b, _| u64::from(a != b)),
        ("setp.lo.u32 %d, %a, %b;", "pred u32 u32", |a, b, _| u64::from(a < b)),
        ("setp.ls.u32 %d, %a, %b;", "pred u32 u32", |a, b, _| u64::from(a <= b)),
        ("setp.hi.u64 %d, %a, %b;", "pred u64 u64", |a, b, _| u64::from(a > b)),
        ("setp.hs.u16 %d, %a, %b;", "pred u16 u16", |a, b, _| u64::from(a >= b)),
        ("setp.gt.s32 %d, %a, -1;", "pred s32", |a, _, _| u64::from(s32(a) >= 0)),
        ("setp.lt.u32 %d, %a, -1;", "pred u32", |a, _, _| u64::from(a != 0xFFFF_FFFF)),
    ]);
}

#[test]
fn comparisons_combine_with_a_predicate_in_both_destinations() {
    check(&[
        ("setp.gt.u32 %p1, %c, 99; setp.lt.and.s32 %d|%p2, %a, %b, %p1;", "pred s32 s32 u32", |a, b, c| {
            u64::from(s32(a) < s32(b) && c > 99)
        }),
        ("setp.gt.u32 %p1, %c, 99; setp.lt.and.s32 %p2|%d, %a, %b, %p1;", "pred s32 s32 u32", |a, b, c| {
            u64::from(s32(a) >= s32(b) && c > 99)
        }),
        ("setp.gt.u32 %p1, %c, 99; setp.ge.or.u64 %d|%p2, %a, %b, !%p1;", "pred u64 u64 u32", |a, b, c| {
            u64::from(a >= b || c <= 99)
        }),
        ("setp.gt.u32 %p1, %c, 99; setp.ge.or.u64 %p2|%d, %a, %b, !%p1;", "pred u64 u64 u32", |a, b, c| {
            u64::from(a < b || c <= 99)
        }),
        ("setp.gt.u32 %p1, %c, 99; setp.ne.xor.s16 %d|%p2, %a, %b, %p1;", "pred s16 s16 u32", |a, b, c| {
            u64::from((a != b) != (c > 99))
        }),
        ("setp.gt.u32 %p1, %c, 99; setp.ne.xor.s16 %p2|%d, %a, %b, %p1;", "pred s16 s16 u32", |a, b, c| {
            u64::from((a == b) != (c > 99))
        }),
    ]);
}

#[test]
fn comparisons_give_masks_or_ones() {
    const ONE: u64 = 0x3F80_0000;
    check(&[
        (
            "set.lt.u32.s32 %d, %a, %b;",
            "u32 s32 s32",
            |a, b, _| if s32(a) < s32(b) { 0xFFFF_FFFF } else { 0 },
        ),
        ("set.lt.s32.u64 %d, %a, %b;", "s32 u64 u64", |a, b, _| if a < b { 0xFFFF_FFFF } else { 0 }),
        ("set.ge.f32.u16 %d, %a, %b;", "b32 u16 u16", |a, b, _| if a >= b { ONE } else { 0 }),
        ("set.eq.u32.b32 %d, %a, %b;", "u32 b32 b32", |a, b, _| if a == b { 0xFFFF_FFFF } else { 0 }),
        ("setp.gt.u32 %p1, %c, 99; set.gt.and.u32.s64 %d, %a, %b, %p1;", "u32 s64 s64 u32", |a, b, c| {
            if s64(a) > s64(b) && c > 99 { 0xFFFF_FFFF } else { 0 }
        }),
        ("setp.gt.u32 %p1, %c, 99; set.ne.xor.f32.u32 %d, %a, %b, !%p1;", "b32 u32 u32 u32", |a, b, c| {
            if (a != b) != (c <= 99) { ONE } else { 0 }
        }),
    ]);
}

#[test]
fn values_are_selected_by_predicates_and_signs() {
    check(&[
        ("selp.b16 %d, %a, %b, %c;", "b16 b16 b16 pred", |a, b, c| if c == 1 { a } else { b }),
        ("selp.b32 %d, %a, %b, %c;", "b32 b32 b32 pred", |a, b, c| if c == 1 { a } else { b }),
        ("selp.u16 %d, 1, %b, %c;", "u16 u16 u16 pred", |_, b, c| if c == 1 { 1 } else { b }),
        ("selp.s16 %d, %a, -2, %c;", "s16 s16 s16 pred", |a, _, c| if c == 1 { a } else { 0xFFFE }),
        ("selp.f64 %d, %a, 0d3FF0000000000000, %c;", "b64 b64 b64 pred", |a, _, c| {
            if c == 1 { a } else { 0x3FF0_0000_0000_0000 }
        }),
        ("selp.s64 %d, %a, %b, !%c;", "s64 s64 s64 pred", |a, b, c| if c == 0 { a } else { b }),
        ("selp.u64 %d, %a, %b, %c;", "u64 u64 u64 pred", |a, b, c| if c == 1 { a } else { b }),
        (
            "selp.f32 %d, %a, 0f3F800000, %c;",
            "b32 b32 b32 pred",
            |a, _, c| if c == 1 { a } else { 0x3F80_0000 },
        ),
        ("selp.s32 %d, -1, %b, !%c;", "s32 s32 s32 pred", |_, b, c| if c == 0 { u64::MAX } else { b }),
        ("slct.u32.s32 %d, %a, %b, %c;", "u32 u32 u32 s32", |a, b, c| if s32(c) >= 0 { a } else { b }),
        ("slct.b64.s32 %d, %a, %b, %c;", "b64 b64 b64 s32", |a, b, c| if s32(c) >= 0 { a } else { b }),
        ("slct.s16.s32 %d, %a, %b, %c;", "s16 s16 s16 s32", |a, b, c| if s32(c) >= 0 { a } else { b }),
    ]);
}

/// -0 counts as not negative, NaN as negative, and a subnormal is a zero with `.ftz`.
#[test]
fn selection_by_a_float_looks_at_its_value() {
    fn negative(c: u64) -> bool {
        let (magnitude, sign) = (c & 0x7FFF_FFFF, c >> 31 == 1);
        magnitude > 0x7F80_0000 || sign && magnitude != 0
    }
    check(&[
        ("slct.b32.f32 %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| if negative(c) { b } else { a }),
        ("slct.b64.f32 %d, %a, %b, %c;", "b64 b64 b64 b32", |a, b, c| if negative(c) { b } else { a }),
        ("slct.ftz.b32.f32 %d, %a, %b, %c;", "b32 b32 b32 b32", |a, b, c| {
            if negative(c) && c & 0x7F80_0000 != 0 { b } else { a }
        }),
    ]);
}
