//! `mov` of registers, vectors and symbols, `cvta`, `isspacep`.

use super::common::run;
use super::table::check;

#[test]
fn words_are_packed_from_the_least_significant_up() {
    check(&[
        ("mov.b16 %d, %a;", "b16 b16", |a, _, _| a),
        ("mov.u32 %d, %a;", "u32 u32", |a, _, _| a),
        ("mov.b64 %d, %a;", "b64 b64", |a, _, _| a),
        ("mov.pred %d, %a;", "pred pred", |a, _, _| a),
        ("mov.pred %d, !%a;", "pred pred", |a, _, _| 1 - a),
        ("mov.u64 %d, -1;", "u64", |_, _, _| u64::MAX),
        ("mov.f32 %d, 0f7FC00001;", "b32", |_, _, _| 0x7FC0_0001),
        ("mov.s16 %d, %a;", "s16 s16", |a, _, _| a),
        ("mov.s32 %d, %a;", "s32 s32", |a, _, _| a),
        ("mov.s64 %d, %a;", "s64 s64", |a, _, _| a),
        (".reg .f32 %f1; mov.b32 %f1, %a; mov.f32 %d, %f1;", "b32 b32", |a, _, _| a),
        (".reg .f64 %g1; mov.b64 %g1, %a; mov.f64 %d, %g1;", "b64 b64", |a, _, _| a),
        ("mov.f64 %d, 0dFFF0000000000001;", "b64", |_, _, _| 0xFFF0_0000_0000_0001),
        ("mov.b32 %d, {%a, %b};", "b32 b16 b16", |a, b, _| b << 16 | a),
        ("mov.b64 %d, {%a, %b};", "b64 b32 b32", |a, b, _| b << 32 | a),
        ("mov.b64 %d, {%a, %b, %c, %a};", "b64 b16 b16 b16", |a, b, c| a << 48 | c << 32 | b << 16 | a),
        ("mov.b32 {%d, %h1}, %a;", "b16 b32", |a, _, _| a),
        ("mov.b32 {%h1, %d}, %a;", "b16 b32", |a, _, _| a >> 16),
        ("mov.b32 {_, %d}, %a;", "b16 b32", |a, _, _| a >> 16),
        ("mov.b64 {%d, %x1}, %a;", "b32 b64", |a, _, _| a),
        ("mov.b64 {_, %d}, %a;", "b32 b64", |a, _, _| a >> 32),
        ("mov.b64 {%h1, %h2, %d, %h3}, %a;", "b16 b64", |a, _, _| a >> 32),
        (".reg .b128 %q1; mov.b128 %q1, {%a, %b}; mov.b128 {%y1, %d}, %q1;", "b64 b64 b64", |_, b, _| b),
        (
            ".reg .b128 %q1; .reg .b128 %q2; mov.b128 %q1, {%a, %b}; mov.b128 %q2, %q1; mov.b128 {%d, %y1}, %q2;",
            "b64 b64 b64",
            |a, _, _| a,
        ),
    ]);
}

#[test]
fn integers_convert_by_truncation_extension_and_saturation() {
    use super::table::{s16, s32, s64};
    check(&[
        ("cvt.u16.u32 %d, %a;", "u16 u32", |a, _, _| a),
        ("cvt.u32.u16 %d, %a;", "u32 u16", |a, _, _| a),
        ("cvt.s32.s16 %d, %a;", "s32 s16", |a, _, _| s16(a) as u64),
        ("cvt.s64.s32 %d, %a;", "s64 s32", |a, _, _| s32(a) as u64),
        ("cvt.u64.u32 %d, %a;", "u64 u32", |a, _, _| a),
        ("cvt.u32.u64 %d, %a;", "u32 u64", |a, _, _| a),
        ("cvt.s64.u32 %d, %a;", "s64 u32", |a, _, _| a),
        ("cvt.u64.s32 %d, %a;", "u64 s32", |a, _, _| s32(a) as u64),
        ("cvt.s32.s8 %d, %a;", "s32 b32", |a, _, _| super::table::signed(a, 8) as u64),
        ("cvt.u32.u8 %d, %a;", "u32 b32", |a, _, _| a & 0xFF),
        ("cvt.s16.s8 %d, %a;", "s16 b16", |a, _, _| super::table::signed(a, 8) as u64),
        ("cvt.sat.s32.s64 %d, %a;", "s32 s64", |a, _, _| s64(a).max(-0x8000_0000).min(0x7FFF_FFFF) as u64),
        ("cvt.sat.u16.s32 %d, %a;", "u16 s32", |a, _, _| s32(a).max(0).min(0xFFFF) as u64),
        ("cvt.sat.s16.u32 %d, %a;", "s16 u32", |a, _, _| a.min(0x7FFF)),
        ("cvt.sat.u32.s64 %d, %a;", "u32 s64", |a, _, _| s64(a).max(0).min(0xFFFF_FFFF) as u64),
        ("cvt.sat.u32.s32 %d, %a;", "u32 s32", |a, _, _| s32(a).max(0) as u64),
        ("cvt.sat.u8.s32 %d, %a;", "b32 s32", |a, _, _| s32(a).max(0).min(0xFF) as u64),
        ("cvt.sat.s8.s32 %d, %a;", "s32 s32", |a, _, _| s32(a).max(-128).min(127) as u64),
    ]);
}

/// Bits: global, const, shared, shared::cluster, local, param.
#[test]
fn generic_addresses_know_their_space() {
    let probe = |n: u32, address: &str| {
        let mut text = format!("mov.u32 %r{n}, 0;");
        for (bit, space) in
            ["global", "const", "shared", "shared::cluster", "local", "param"].iter().enumerate()
        {
            text += &format!("isspacep.{space} %p1, {address}; @%p1 or.b32 %r{n}, %r{n}, {};", 1 << bit);
        }
        text + &format!("st.global.u32 [%d0+{}], %r{n};", 4 * n)
    };
    let body = [
        ".shared .align 4 .b32 s[4]; .local .align 4 .b32 l[4];
        mov.u64 %d2, s; cvta.shared.u64 %d2, %d2; mov.u64 %d3, l; cvta.local.u64 %d3, %d3;
        mov.u64 %d4, table; cvta.const.u64 %d4, %d4; mov.u64 %d5, variable; cvta.global.u64 %d5, %d5;
        mov.u64 %d6, p_in; cvta.param.u64 %d6, %d6;"
            .to_owned(),
        probe(0, "%d0"),
        probe(1, "%d2"),
        probe(2, "%d3"),
        probe(3, "%d4"),
        probe(4, "%d5"),
        probe(5, "%d6"),
        "cvta.to.shared.u64 %d7, %d2; mov.u64 %d8, s; sub.u64 %d7, %d7, %d8; cvt.u32.u64 %r6, %d7;
        st.global.u32 [%d0+24], %r6; cvta.to.local.u64 %d7, %d3; mov.u64 %d8, l; sub.u64 %d7, %d7, %d8;
        cvt.u32.u64 %r7, %d7; st.global.u32 [%d0+28], %r7;
        cvta.to.const.u64 %d7, %d4; ld.const.u32 %r8, [%d7+4]; st.global.u32 [%d0+32], %r8;
        cvta.to.param.u64 %d7, %d6; ld.param.u64 %d8, [%d7]; xor.b64 %d8, %d8, %d1; cvt.u32.u64 %r8, %d8; st.global.u32 [%d0+36], %r8;
        mov.u64 %d8, s; cvta.shared::cta.u64 %d7, %d8; sub.u64 %d7, %d7, %d2; cvt.u32.u64 %r8, %d7; st.global.u32 [%d0+40], %r8;
        cvta.to.shared::cta.u64 %d7, %d2; sub.u64 %d7, %d7, %d8; cvt.u32.u64 %r8, %d7; st.global.u32 [%d0+44], %r8;"
            .to_owned(),
    ]
    .concat();
    let text = super::common::wrap(&body);
    let variables = ".const .align 4 .b32 table[2] = {1, 2};\n.global .align 4 .b32 variable[2];\n.visible";
    let out = super::common::run_text(&text.replacen(".visible", variables, 1), 1, &[0], 12);
    assert_eq!(out, [1, 4 | 8, 16, 2, 1, 32, 0, 0, 2, 0, 0, 0]);
}

#[test]
fn special_registers_name_the_thread() {
    let body = "mov.u32 %r1, %laneid; mov.u32 %r2, %warpid; mov.u32 %r3, %ntid.x; mov.u32 %r4, %lanemask_lt;
        mov.u32 %r5, %lanemask_ge; mad.lo.u32 %r6, %r2, 32, %r1; mul.lo.u32 %r6, %r6, %r3;
        mov.u32 %r7, %lanemask_eq; mov.u32 %r8, %lanemask_le; mov.u32 %r9, %lanemask_gt; mov.u32 %r10, WARP_SZ;
        add.u32 %r4, %r4, %r5; xor.b32 %r8, %r8, %r9; popc.b32 %r7, %r7;
        add.u32 %r6, %r6, %r4; add.u32 %r6, %r6, %r8; add.u32 %r6, %r6, %r7; add.u32 %r6, %r6, %r10;
        mov.u32 %r11, %nctaid.x; mov.u32 %r12, %ctaid.x; mad.lo.u32 %r6, %r11, 5, %r6; add.u32 %r6, %r6, %r12;
        st.global.u32 [%out], %r6;";
    // Complements add up to all ones.
    let expected: Vec<u32> = (0..64u32).map(|t| (t * 64).wrapping_sub(2).wrapping_add(38)).collect();
    assert_eq!(run(body, 64, &[0; 64], 64), expected);
}
