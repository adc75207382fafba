//! `atom` and `red`: operations, types, spaces, scopes, vectors.

use super::common::{run, try_run};
use super::table::{Form, check, s32, s64};

/// The memory holds `%a`; `%d` is the new value.
macro_rules! updates {
    ($space:literal, $setup:literal, $at:literal) => {{
        const SETUP: &str = $setup;
        let ops: [(&str, &str, &str, super::table::Expected); 26] = [
            ("add.u32", "32", "%b", |a, b, _| a + b),
            ("add.s32", "32", "%b", |a, b, _| (s32(a) + s32(b)) as u64),
            ("add.u64", "64", "%b", |a, b, _| (u128::from(a) + u128::from(b)) as u64),
            ("and.b32", "32", "%b", |a, b, _| a & b),
            ("and.b64", "64", "%b", |a, b, _| a & b),
            ("or.b32", "32", "%b", |a, b, _| a | b),
            ("or.b64", "64", "%b", |a, b, _| a | b),
            ("xor.b32", "32", "%b", |a, b, _| (a | b) - (a & b)),
            ("xor.b64", "64", "%b", |a, b, _| (a | b) - (a & b)),
            ("exch.b32", "32", "%b", |_, b, _| b),
            ("exch.b64", "64", "%b", |_, b, _| b),
            ("min.u32", "32", "%b", |a, b, _| if b < a { b } else { a }),
            ("min.s32", "32", "%b", |a, b, _| if s32(b) < s32(a) { b } else { a }),
            ("min.u64", "64", "%b", |a, b, _| if b < a { b } else { a }),
            ("min.s64", "64", "%b", |a, b, _| if s64(b) < s64(a) { b } else { a }),
            ("max.u32", "32", "%b", |a, b, _| if b > a { b } else { a }),
            ("max.s32", "32", "%b", |a, b, _| if s32(b) > s32(a) { b } else { a }),
            ("max.u64", "64", "%b", |a, b, _| if b > a { b } else { a }),
            ("max.s64", "64", "%b", |a, b, _| if s64(b) > s64(a) { b } else { a }),
            ("inc.u32", "32", "%b", |a, b, _| if a >= b { 0 } else { a + 1 }),
            ("dec.u32", "32", "%b", |a, b, _| if a == 0 || a > b { b } else { a - 1 }),
            ("cas.b16", "16", "%b, %c", |a, b, c| if a == b { c } else { a }),
            ("cas.b32", "32", "%b, %c", |a, b, c| if a == b { c } else { a }),
            ("cas.b64", "64", "%b, %c", |a, b, c| if a == b { c } else { a }),
            ("cas.b32", "32", "%a, %c", |_, _, c| c),
            ("cas.b64", "64", "%a, %c", |_, _, c| c),
        ];
        let mut texts: Vec<(String, String, super::table::Expected)> = Vec::new();
        for (op, bits, operands, expected) in ops {
            let three = if operands.contains("%c") { format!(" b{bits}") } else { String::new() };
            let types = format!("b{bits} b{bits} b{bits}{three}");
            let start = format!("{SETUP} st.{0}.b{bits} [{1}], %a;", $space, $at);
            let end = format!("ld.{0}.b{bits} %d, [{1}];", $space, $at);
            let old = if bits == "16" {
                "%h1"
            } else if bits == "32" {
                "%x1"
            } else {
                "%y1"
            };
            texts.push((
                format!("{start} atom.{}.{op} {old}, [{}], {operands}; {end}", $space, $at),
                types.clone(),
                expected,
            ));
            // What it returns is the old value.
            texts.push((
                format!("{start} atom.{}.{op} %d, [{}], {operands};", $space, $at),
                types.clone(),
                |a, _, _| a,
            ));
            if !op.starts_with("cas") && !op.starts_with("exch") {
                texts.push((
                    format!("{start} red.{}.{op} [{}], {operands}; {end}", $space, $at),
                    types,
                    expected,
                ));
            }
        }
        let forms: Vec<Form> =
            texts.iter().map(|(text, types, e)| (text.as_str(), types.as_str(), *e)).collect();
        check(&forms);
    }};
}

#[test]
fn every_operation_updates_global_memory() {
    updates!("global", "", "%out");
}

#[test]
fn every_operation_updates_shared_memory() {
    updates!(
        "shared",
        ".shared .align 16 .b8 s[2048]; mov.u32 %x2, s; mov.u32 %x3, %tid.x; mad.lo.u32 %x2, %x3, 16, %x2;",
        "%x2"
    );
}

#[test]
fn every_operation_finds_its_space_by_a_generic_address() {
    check(&[
        ("st.u32 [%out], %a; atom.add.u32 %x1, [%out], %b; ld.u32 %d, [%out];", "u32 u32 u32", |a, b, _| {
            a + b
        }),
        (
            ".shared .align 8 .b64 s[128]; mov.u64 %y2, s; cvta.shared.u64 %y2, %y2; mov.u32 %x1, %tid.x;
            mad.wide.u32 %y2, %x1, 8, %y2; st.u64 [%y2], %a; atom.max.s64 %y1, [%y2], %b; ld.u64 %d, [%y2];",
            "b64 b64 b64",
            |a, b, _| if s64(b) > s64(a) { b } else { a },
        ),
    ]);
}

#[test]
fn semantics_and_scopes_change_no_value() {
    let mut text = "mov.u32 %x2, 0;".to_owned();
    for sem in ["relaxed", "acquire", "release", "acq_rel"] {
        for scope in ["cta", "cluster", "gpu", "sys"] {
            text += &format!("atom.{sem}.{scope}.global.add.u32 %x1, [%out], %b;\n");
        }
    }
    text += "red.relaxed.gpu.global.add.u32 [%out], %b; red.release.sys.global.add.u32 [%out], %b;
        ld.global.u32 %d, [%out];";
    check(&[(&format!("st.global.u32 [%out], %a; {text}"), "u32 u32 u32", |a, b, _| a + 18 * b)]);
}

#[test]
fn sixteen_bytes_are_exchanged_and_compared_as_one() {
    let body = ".reg .b128 %q<9>; mad.wide.u32 %out, %t, 28, %out; mad.wide.u32 %in, %t, 12, %in;
        ld.global.b128 %q1, [%in]; mov.b128 %q2, {5, 6}; st.global.b128 [%out], %q1;
        atom.global.exch.b128 %q3, [%out], %q2; st.global.b128 [%out+16], %q3;
        mov.b128 %q4, {7, 8}; mov.b128 %q5, {5, 9}; atom.global.cas.b128 %q6, [%out], %q5, %q4;
        and.b32 %r1, %t, 1; setp.eq.u32 %p1, %r1, 1; @%p1 atom.acq_rel.gpu.global.cas.b128 %q6, [%out], %q2, %q4;";
    let body =
        body.replace("mov.b128 %q2, {5, 6}", "mov.u64 %d2, 5; mov.u64 %d3, 6; mov.b128 %q2, {%d2, %d3}");
    let body =
        body.replace("mov.b128 %q4, {7, 8}", "mov.u64 %d4, 7; mov.u64 %d5, 8; mov.b128 %q4, {%d4, %d5}");
    let body = body.replace("mov.b128 %q5, {5, 9}", "mov.u64 %d6, 9; mov.b128 %q5, {%d2, %d6}");
    let input: Vec<u32> = (500..564).collect();
    let out = run(&body, 16, &input, 128);
    for t in 0..16 {
        let now: [u32; 4] = if t % 2 == 1 { [7, 0, 8, 0] } else { [5, 0, 6, 0] };
        assert_eq!(out[8 * t..8 * t + 4], now, "thread {t}");
        assert_eq!(out[8 * t + 4..8 * t + 8], input[4 * t..4 * t + 4], "thread {t}");
    }
}

const HALF: [u64; 5] = [0x3C00, 0xC000, 0x4200, 0x0001, 0x7BFF];

/// f16: 1, -2, 3, the smallest subnormal, 65504; sums that fit are exact, 65504 twice is infinity.
#[test]
fn halves_are_added_one_by_one_and_in_pairs() {
    let sums: [[u64; 5]; 5] = [
        [0x4000, 0xBC00, 0x4400, 0x3C00, 0x7BFF],
        [0xBC00, 0xC400, 0x3C00, 0xC000, 0x7BFF],
        [0x4400, 0x3C00, 0x4600, 0x4200, 0x7BFF],
        [0x3C00, 0xC000, 0x4200, 0x0002, 0x7BFF],
        [0x7BFF, 0x7BFF, 0x7BFF, 0x7BFF, 0x7C00],
    ];
    for (n, row) in sums.iter().enumerate() {
        for (m, sum) in row.iter().enumerate() {
            let (a, b) = (HALF[n], HALF[m]);
            let body = format!(
                "mov.b16 %h1, {a}; mov.b16 %h2, {b}; st.global.b16 [%d0], %h1; atom.global.add.noftz.f16 %h3, [%d0], %h2;
                mov.b32 %r1, {}; mov.b32 %r2, {}; st.global.b32 [%d0+4], %r1;
                red.global.add.noftz.f16x2 [%d0+4], %r2; mov.b32 %r3, {{%h3, 0}}; st.global.u32 [%d0+8], %r3;",
                a | 0x3C00 << 16,
                b | 0x4000 << 16
            );
            let body =
                body.replace("{%h3, 0}", "{%h3, %h4}").replace("mov.b16 %h1", "mov.b16 %h4, 0; mov.b16 %h1");
            let out = run(&body, 1, &[0], 3);
            let want = [out[0] & 0xFFFF_0000 | *sum as u32, (sum | 0x4200 << 16) as u32, a as u32];
            assert_eq!(out, want, "{a:#x} + {b:#x}");
        }
    }
}

#[test]
fn brain_floats_are_added_one_by_one_and_in_pairs() {
    // 1.5 + 2.5 = 4; 1 + 2^-8 is a tie, which goes to the even 1; 3 + 2^-7 * 3 = 3.0234375 rounds to 3.03125.
    for (a, b, sum) in [(0x3FC0u32, 0x4020u32, 0x4080u32), (0x3F80, 0x3B80, 0x3F80), (0x3F81, 0x3B80, 0x3F82)]
    {
        let body = format!(
            "mov.b16 %h1, {a}; mov.b16 %h2, {b}; mov.b16 %h3, 0; st.global.b16 [%d0], %h1;
            atom.global.add.noftz.bf16 %h3, [%d0], %h2; mov.b32 %r1, {{%h1, %h2}}; mov.b32 %r2, {{%h2, %h1}};
            st.global.b32 [%d0+4], %r1; atom.global.add.noftz.bf16x2 %r3, [%d0+4], %r2;
            st.global.b32 [%d0+8], %r3;"
        );
        let out = run(&body, 1, &[0], 3);
        assert_eq!(out[0] & 0xFFFF, sum, "{a:#x} + {b:#x}");
        assert_eq!(out[1..], [sum << 16 | sum, b << 16 | a], "{a:#x} + {b:#x}");
    }
}

#[test]
fn vectors_are_updated_element_by_element() {
    let body = "mov.f32 %f1, 0f3F800000; mov.f32 %f2, 0f40000000; mov.f32 %f3, 0f40400000; mov.f32 %f4, 0f40800000;
        mov.u32 %r1, 0; st.global.v4.u32 [%d0], {%r1, %r1, %r1, %r1}; st.global.v4.u32 [%d0+16], {%r1, %r1, %r1, %r1};
        st.global.v4.u32 [%d0+32], {%r1, %r1, %r1, %r1};
        red.global.add.v4.f32 [%d0], {%f1, %f2, %f3, %f4}; red.global.add.v2.f32 [%d0+8], {%f1, %f1};
        atom.global.add.v2.f32 {%f5, %f6}, [%d0], {%f4, %f4}; add.f32 %f5, %f5, %f6; st.global.f32 [%d0+48], %f5;
        mov.b32 %r2, 0x3C004000; mov.b32 %r3, 0x42003C00; red.global.add.noftz.v2.f16x2 [%d0+16], {%r2, %r3};
        atom.global.max.noftz.v2.f16x2 {%r4, %r5}, [%d0+16], {%r3, %r2};
        mov.b32 %r6, 0x3F804000; red.global.add.noftz.v4.bf16x2 [%d0+32], {%r6, %r6, %r6, %r6};
        red.global.min.noftz.v2.bf16x2 [%d0+32], {%r1, %r6};";
    let out = run(body, 1, &[0], 13);
    let f = |v: f32| v.to_bits();
    assert_eq!(out[..4], [f(5.0), f(6.0), f(4.0), f(5.0)]);
    assert_eq!(out[4..6], [0x4200_4000, 0x4200_4000]);
    assert_eq!(out[8..12], [0, 0x3F80_4000, 0x3F80_4000, 0x3F80_4000]);
    assert_eq!(out[12], f(3.0));
}

/// Sums in global memory flush subnormals, those in shared memory do not; NaN is canonical.
#[test]
fn float_sums() {
    check(&[
        (
            "st.global.b32 [%out], %a; red.global.add.f32 [%out], 0f00000000; ld.global.b32 %d, [%out];",
            "b32 b32",
            |a, _, _| {
                match a & 0x7FFF_FFFF {
                    0x7F80_0001.. => 0x7FFF_FFFF,
                    // -0 + 0 is 0, and a flushed subnormal is a zero of its sign.
                    0..0x80_0000 => 0,
                    _ => a,
                }
            },
        ),
        (
            ".shared .align 4 .b32 s[128]; mov.u32 %x1, %tid.x; mov.u32 %x2, s; mad.lo.u32 %x2, %x1, 4, %x2;
            st.shared.b32 [%x2], %a; red.shared.add.f32 [%x2], 0f00000000; ld.shared.b32 %d, [%x2];",
            "b32 b32",
            |a, _, _| match a & 0x7FFF_FFFF {
                0x7F80_0001.. => 0x7FFF_FFFF,
                0 => 0,
                _ => a,
            },
        ),
        (
            "cvt.rn.f64.s32 %y1, %a; cvt.rn.f64.s32 %y2, %b; st.global.f64 [%out], %y1;
            atom.global.add.f64 %y3, [%out], %y2; ld.global.f64 %y4, [%out]; mov.b64 %d, %y4;",
            "b64 s32 s32",
            |a, b, _| ((s32(a) + s32(b)) as f64).to_bits(),
        ),
    ]);
}

#[test]
fn lanes_of_one_instruction_take_turns() {
    let body = "setp.ne.u32 %p1, %t, 0; mov.u32 %r1, 0; @!%p1 st.global.u32 [%d0], %r1; bar.sync 0;
        atom.global.add.u32 %r2, [%d0], 1; bar.sync 0; mad.wide.u32 %d4, %r2, 4, %d0; st.global.u32 [%d4+4], %r2;";
    let out = run(body, 96, &[0; 96], 97);
    assert_eq!(out[0], 96);
    assert_eq!(out[1..], (0..96).collect::<Vec<u32>>());
}

#[test]
fn an_atomic_of_a_misaligned_address_is_a_fault() {
    let error = try_run("atom.global.add.u32 %r1, [%d0+2], 1;", 1, &[0], 4).unwrap_err();
    assert!(matches!(error, gpusim::LaunchError::Misaligned(_)), "{error}");
}
