//! Integer instructions, one thread per input word.
#![allow(missing_docs)]

mod common;

use common::run;

const EDGES: [u32; 12] =
    [0, 1, 2, 31, 32, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, u32::MAX, 0x1234_5678, 0xFEDC_BA98, 0x0000_FFFF];

/// All pairs of edge values, as two lists.
fn pairs() -> (Vec<u32>, Vec<u32>) {
    let a = EDGES.iter().flat_map(|a| [*a; 12]).collect();
    let b = (0..12).flat_map(|_| EDGES).collect();
    (a, b)
}

/// `body` computes `%r3` from `%r1` and `%r2`, for all pairs of edge values.
fn check(body: &str, expected: impl Fn(u32, u32) -> u32) {
    let (a, b) = pairs();
    let n = a.len();
    let input: Vec<u32> = a.iter().chain(&b).copied().collect();
    let text = format!(
        "ld.global.u32 %r1, [%in]; ld.global.u32 %r2, [%in+{}]; {body} st.global.u32 [%out], %r3;",
        4 * n
    );
    let out = run(&text, n as u32, &input, n);
    for k in 0..n {
        let want = expected(a[k], b[k]);
        assert_eq!(out[k], want, "{body} of {:#x}, {:#x}: {:#x}, not {want:#x}", a[k], b[k], out[k]);
    }
}

#[test]
fn sums_wrap_and_saturate() {
    check("add.u32 %r3, %r1, %r2;", |a, b| ((a as u64 + b as u64) & 0xFFFF_FFFF) as u32);
    let clamp = |v: i64| v.clamp(i32::MIN.into(), i32::MAX.into()) as i32 as u32;
    check("add.sat.s32 %r3, %r1, %r2;", |a, b| clamp(a as i32 as i64 + b as i32 as i64));
    check("sub.sat.s32 %r3, %r1, %r2;", |a, b| clamp(a as i32 as i64 - b as i32 as i64));
    check(
        "mov.b32 {%h1, _}, %r1; mov.b32 {%h2, _}, %r2; add.s16 %h3, %h1, %h2; mov.b32 %r3, {%h3, 0};",
        |a, b| a.wrapping_add(b) & 0xFFFF,
    );
}

#[test]
fn products_have_low_high_and_wide_parts() {
    let signed = |a: u32, b: u32| (a as i32 as i64 * b as i32 as i64) as u64;
    check("mul.lo.s32 %r3, %r1, %r2;", move |a, b| signed(a, b) as u32);
    check("mul.hi.s32 %r3, %r1, %r2;", move |a, b| (signed(a, b) >> 32) as u32);
    check("mul.hi.u32 %r3, %r1, %r2;", |a, b| ((a as u64 * b as u64) >> 32) as u32);
    check("mul.wide.s32 %d2, %r1, %r2; shr.u64 %d2, %d2, 16; mov.b64 {%r3, _}, %d2;", move |a, b| {
        (signed(a, b) >> 16) as u32
    });
    check("mad.hi.u32 %r3, %r1, %r2, 5;", |a, b| (((a as u64 * b as u64) >> 32) as u32).wrapping_add(5));
    check("mul24.lo.s32 %r3, %r1, %r2;", |a, b| {
        let low = |v: u32| (((v & 0xFF_FFFF) ^ 0x80_0000) as i64) - 0x80_0000;
        (low(a) * low(b)) as u32
    });
}

#[test]
fn division_by_zero_is_all_ones() {
    check("div.u32 %r3, %r1, %r2;", |a, b| a.checked_div(b).unwrap_or(u32::MAX));
    check("rem.u32 %r3, %r1, %r2;", |a, b| a.checked_rem(b).unwrap_or(a));
    check("div.s32 %r3, %r1, %r2;", |a, b| {
        if b == 0 { u32::MAX } else { (a as i32 as i64 / b as i32 as i64) as u32 }
    });
}

#[test]
fn shifts_clamp_their_amount() {
    check("shl.b32 %r3, %r1, %r2;", |a, b| if b < 32 { ((a as u64) << b) as u32 } else { 0 });
    check("shr.u32 %r3, %r1, %r2;", |a, b| if b < 32 { (a as u64 >> b) as u32 } else { 0 });
    check("shr.s32 %r3, %r1, %r2;", |a, b| (a as i32 as i64 >> b.min(40)) as u32);
    check("shf.l.wrap.b32 %r3, %r1, %r2, 5;", |a, b| b << 5 | a >> 27);
    check("shf.r.clamp.b32 %r3, %r1, %r2, 40;", |_, b| b);
    check("shf.r.wrap.b32 %r3, %r1, %r1, %r2;", |a, b| a.rotate_right(b % 32));
}

#[test]
fn bits_are_counted_found_and_moved() {
    check("popc.b32 %r3, %r1;", |a, _| (0..32).filter(|n| a >> n & 1 == 1).count() as u32);
    check("clz.b32 %r3, %r1;", |a, _| (0..32).take_while(|n| a << n & 0x8000_0000 == 0).count() as u32);
    check("brev.b32 %r3, %r1;", |a, _| (0..32).fold(0, |d, n| d | (a >> n & 1) << (31 - n)));
    check("bfind.u32 %r3, %r1;", |a, _| (0..32).rev().find(|n| a >> n & 1 == 1).unwrap_or(u32::MAX));
    check("bfind.s32 %r3, %r1;", |a, _| (0..32).rev().find(|n| a >> n & 1 != a >> 31).unwrap_or(u32::MAX));
    check("lop3.b32 %r3, %r1, %r2, 0x0F0F3355, 0x1B;", |a, b| {
        (0..32).fold(0, |d, n| {
            let index = (a >> n & 1) << 2 | (b >> n & 1) << 1 | 0x0F0F_3355 >> n & 1;
            d | (0x1B >> index & 1) << n
        })
    });
    check("prmt.b32 %r3, %r1, %r2, 0xD016;", |a, b| {
        let bytes = [a.to_le_bytes(), b.to_le_bytes()].concat();
        let sign = if bytes[5] >> 7 == 1 { 0xFF } else { 0 };
        u32::from_le_bytes([bytes[6], bytes[1], bytes[0], sign])
    });
}

#[test]
fn fields_beyond_the_word_are_sign_or_zero() {
    // The ISA's own loop, bit by bit.
    fn reference(a: u32, position: u32, length: u32, signed: bool) -> u32 {
        let (position, length) = (position & 255, length & 255);
        let sign = if !signed || length == 0 { 0 } else { a >> (position + length - 1).min(31) & 1 };
        (0..32).fold(0, |d, n| {
            let bit = if n < length && position + n <= 31 { a >> (position + n) & 1 } else { sign };
            d | bit << n
        })
    }
    for length in [0, 1, 5, 31, 32, 40] {
        check(&format!("bfe.u32 %r3, %r1, %r2, {length};"), |a, b| reference(a, b, length, false));
        check(&format!("bfe.s32 %r3, %r1, %r2, {length};"), |a, b| reference(a, b, length, true));
        check(&format!("bfi.b32 %r3, 0xA5C3F00F, %r1, %r2, {length};"), |a, b| {
            (0..32).fold(a, |d, n| {
                let (at, from) = ((b & 255) + n, 0xA5C3_F00Fu32 >> n & 1);
                if n < length && at <= 31 { d & !(1 << at) | from << at } else { d }
            })
        });
    }
}

#[test]
fn dot_products_of_bytes() {
    check("dp4a.s32.u32 %r3, %r1, %r2, 7;", |a, b| {
        let pairs = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
        (pairs.map(|(a, b)| a as i8 as i32 * b as i32).sum::<i32>() + 7) as u32
    });
    check("dp2a.hi.u32.s32 %r3, %r1, %r2, 7;", |a, b| {
        let bytes = b.to_le_bytes();
        ((a & 0xFFFF) as i64 * bytes[2] as i8 as i64 + (a >> 16) as i64 * bytes[3] as i8 as i64 + 7) as u32
    });
}

#[test]
fn carries_chain_through_sixty_four_bits() {
    let wide = |a: u32, b: u32| (a as u64) << 32 | b as u64;
    check("add.cc.u32 %r4, %r2, %r1; addc.u32 %r3, %r1, %r2;", move |a, b| {
        (wide(a, b).wrapping_add(wide(b, a)) >> 32) as u32
    });
    check("sub.cc.u32 %r4, %r2, %r1; subc.u32 %r3, %r1, %r2;", move |a, b| {
        (wide(a, b).wrapping_sub(wide(b, a)) >> 32) as u32
    });
    check("mad.lo.cc.u32 %r4, %r1, %r2, %r1; madc.hi.u32 %r3, %r1, %r2, %r2;", move |a, b| {
        ((a as u128 * b as u128 + wide(b, a) as u128) >> 32) as u32
    });
}

#[test]
fn comparisons_combine_with_a_predicate() {
    let flag = "setp.gt.u32 %p3, %r1, 31;";
    let select = "selp.u32 %r3, 1, 0, %p1; @%p2 add.u32 %r3, %r3, 2;";
    check(&format!("{flag} setp.lt.and.s32 %p1|%p2, %r1, %r2, %p3; {select}"), |a, b| {
        let (less, flag) = ((a as i32) < b as i32, a > 31);
        u32::from(less && flag) + 2 * u32::from(!less && flag)
    });
    check(&format!("{flag} setp.hi.xor.u32 %p1|%p2, %r1, %r2, !%p3; {select}"), |a, b| {
        let (more, flag) = (a > b, a <= 31);
        u32::from(more ^ flag) + 2 * u32::from(!more ^ flag)
    });
    check("set.le.u32.s32 %r3, %r1, %r2;", |a, b| if a as i32 <= b as i32 { u32::MAX } else { 0 });
    check("slct.u32.s32 %r3, 5, 9, %r1;", |a, _| if a >> 31 == 0 { 5 } else { 9 });
}

#[test]
fn vectors_pack_into_words_and_back() {
    check("mov.b64 %d2, {%r1, %r2}; mov.b64 {%r4, %r3}, %d2;", |_, b| b);
    check("mov.b32 {%h1, %h2}, %r1; mov.b32 {%h3, _}, %r2; mov.b32 %r3, {%h2, %h3};", |a, b| {
        a >> 16 | b << 16
    });
}

#[test]
fn ptxas_accepts_what_these_tests_run() {
    common::ptxas::accepts_what_tests_run("integer", "ptxas_accepts");
}
