//! `atom` and `red` as compilers write them: orders of modifiers, scopes, floats, vectors.

use super::common::run;
use super::table::{Form, check, check_rows, noise, s32};

/// Memory holds `%a`; afterwards `%d`.
const UPDATES: &[(&str, super::table::Expected)] = &[
    ("atom.add.acq_rel.gpu.u32 %x1, [%out], %b;", |a, b, _| a + b),
    ("atom.add.release.gpu.u32 %x1, [%out], %b;", |a, b, _| a + b),
    ("atom.add.acquire.cta.u32 %x1, [%out], %b;", |a, b, _| a + b),
    ("atom.global.cta.add.u32 %x1, [%out], %b;", |a, b, _| a + b),
    ("atom.global.sys.add.u32 %x1, [%out], %b;", |a, b, _| a + b),
    ("atom.global.gpu.acq_rel.add.u32 %x1, [%out], %b;", |a, b, _| a + b),
    ("atom.global.acq_rel.gpu.cas.b32 %x1, [%out], %a, %b;", |_, b, _| b),
    ("atom.global.gpu.acq_rel.exch.b32 %x1, [%out], %b;", |_, b, _| b),
    ("atom.global.gpu.acq_rel.max.s32 %x1, [%out], %b;", |a, b, _| s32(a).max(s32(b)) as u64),
    ("atom.global.gpu.acq_rel.min.s32 %x1, [%out], %b;", |a, b, _| s32(a).min(s32(b)) as u64),
    ("atom.global.gpu.acq_rel.or.b32 %x1, [%out], %b;", |a, b, _| a | b),
    ("red.global.gpu.relaxed.add.u32 [%out], %b;", |a, b, _| a + b),
    ("red.release.cta.global.max.u32 [%out], %b;", |a, b, _| a.max(b)),
    ("red.relaxed.sys.and.b32 [%out], %b;", |a, b, _| a & b),
    ("atom.exch.b32 %x1, [%out], %b;", |_, b, _| b),
    ("atom.cas.b32 %x1, [%out], %c, %b;", |a, b, c| if a == c { b } else { a }),
    ("atom.inc.u32 %x1, [%out], %b;", |a, b, _| if a >= b { 0 } else { a + 1 }),
    ("red.xor.b32 [%out], %b;", |a, b, _| a ^ b),
];

#[test]
fn the_order_of_modifiers_changes_no_value() {
    let texts: Vec<_> = UPDATES
        .iter()
        .map(|(text, expected)| {
            (format!("st.global.b32 [%out], %a; {text} ld.global.b32 %d, [%out];"), *expected)
        })
        .collect();
    let forms: Vec<Form> =
        texts.iter().map(|(text, expected)| (text.as_str(), "b32 b32 b32 b32", *expected)).collect();
    check(&forms);
    check(&[
        (
            "st.global.b64 [%out], %a; atom.global.gpu.acq_rel.add.u64 %y1, [%out], %b; ld.global.b64 %d, [%out];",
            "b64 b64 b64",
            |a, b, _| a.wrapping_add(b),
        ),
        (
            ".shared .align 4 .b32 s[128]; mov.u32 %x1, %tid.x; mov.u32 %x2, s; mad.lo.u32 %x2, %x1, 4, %x2;
            st.shared.b32 [%x2], %a; atom.relaxed.sys.shared.add.u32 %x3, [%x2], %b; ld.shared.b32 %d, [%x2];",
            "b32 b32 b32",
            |a, b, _| a + b,
        ),
    ]);
}

fn f32_sum(a: u64, b: u64) -> f32 {
    f32::from_bits(a as u32) + f32::from_bits(b as u32)
}

fn bits(value: f32) -> u64 {
    if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits().into() }
}

/// Zeros for subnormals, as global memory has them.
fn flushed(bits: u64) -> u64 {
    if bits & 0x7F80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

/// Operands near each other in magnitude, so that sums round, cancel, overflow and become subnormal; infinities and NaN.
fn floats() -> Vec<[u64; 3]> {
    let mut noise = noise(11);
    let mut next = move || noise.next().unwrap_or(0);
    let special =
        [0, 0x8000_0000, 1, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_1234];
    let mut rows = Vec::new();
    for a in special {
        rows.extend(special.map(|b| [a, b, 0]));
    }
    for exponent in [0, 1, 2, 127, 253, 254] {
        rows.extend((0..64).map(|_| {
            let mut float =
                || (next() & 1) << 31 | (exponent + next() % 3).min(254) << 23 | next() & 0x7F_FFFF;
            [float(), float(), 0]
        }));
    }
    rows
}

#[test]
fn floats_are_added_in_every_space() {
    const SHARED: &str =
        ".shared .align 4 .b32 s[128]; mov.u32 %x7, %tid.x; mov.u32 %x8, s; mad.lo.u32 %x8, %x7, 4, %x8;";
    let global = |text: &str| format!("st.global.b32 [%out], %a; {text} ld.global.b32 %d, [%out];");
    let shared = |text: &str| format!("{SHARED} st.shared.b32 [%x8], %a; {text} ld.shared.b32 %d, [%x8];");
    let in_global: super::table::Expected = |a, b, _| flushed(bits(f32_sum(flushed(a), flushed(b))));
    let in_shared: super::table::Expected = |a, b, _| bits(f32_sum(a, b));
    let texts = [
        (global("atom.global.add.f32 %x1, [%out], %b;"), in_global),
        (global("red.global.gpu.relaxed.add.f32 [%out], %b;"), in_global),
        (global("atom.add.f32 %x1, [%out], %b;"), in_global),
        (shared("atom.shared.add.f32 %x1, [%x8], %b;"), in_shared),
        (shared("red.shared.add.f32 [%x8], %b;"), in_shared),
        (global("atom.global.add.f32 %d, [%out], %b; st.global.b32 [%out], %d;"), |a, _, _| a),
    ];
    let forms: Vec<Form> = texts.iter().map(|(text, e)| (text.as_str(), "b32 b32 b32", *e)).collect();
    check_rows(&forms, &floats());
}

/// The bits of a small positive integer.
fn small(ty: &str, n: u32) -> u32 {
    let f32 = (n as f32).to_bits();
    match &ty[..3] {
        "f32" => f32,
        "f16" => ((f32 >> 23) - 127 + 15) << 10 | f32 >> 13 & 0x3FF,
        _ => f32 >> 16,
    }
}

/// Memory holds 1, 2, 3, …; every operand is 3.
#[test]
fn vectors_of_every_length_are_added_and_compared() {
    for (ty, counts) in [
        ("f32", vec![2, 4]),
        ("f16", vec![2, 4, 8]),
        ("bf16", vec![2, 4, 8]),
        ("f16x2", vec![2, 4]),
        ("bf16x2", vec![2, 4]),
    ] {
        for count in counts {
            for op in if ty == "f32" { &["add"][..] } else { &["add", "min", "max"][..] } {
                for atom in [true, false] {
                    vector(ty, count, op, atom);
                }
            }
        }
    }
}

fn vector(ty: &str, count: usize, op: &str, atom: bool) {
    let (register, wide) = match ty {
        "f32" => ("r", 4),
        "f16" | "bf16" => ("h", 2),
        _ => ("r", 4),
    };
    let per_element = if ty.ends_with("x2") { 2 } else { 1 };
    let lanes = count * per_element;
    let words = |value: &dyn Fn(u32) -> u32| -> Vec<u32> {
        let values: Vec<u32> = (0..lanes as u32).map(|i| small(ty, value(i))).collect();
        if ty == "f32" { values } else { values.chunks(2).map(|pair| pair[1] << 16 | pair[0]).collect() }
    };
    let list = |from: usize| {
        let names: Vec<String> = (from..from + count).map(|n| format!("%{register}{n}")).collect();
        format!("{{{}}}", names.join(", "))
    };
    let mut body = String::new();
    let old = words(&|i| i + 1);
    for (n, word) in old.iter().enumerate() {
        body += &format!("mov.b32 %r40, {word}; st.global.b32 [%d0+{}], %r40;\n", 4 * n);
    }
    let three = small(ty, 3);
    let operand = if per_element == 2 { three << 16 | three } else { three };
    for n in 0..count {
        body += &format!("mov.b{} %{register}{}, {operand};\n", 8 * wide, 10 + n);
    }
    let noftz = if ty == "f32" { "" } else { ".noftz" };
    if atom {
        body += &format!("atom.global.{op}{noftz}.v{count}.{ty} {}, [%d0], {};\n", list(20), list(10));
        for n in 0..count {
            body += &format!("st.global.b{} [%d0+{}], %{register}{};\n", 8 * wide, 32 + n * wide, 20 + n);
        }
    } else {
        body += &format!("red.global.gpu.relaxed.{op}{noftz}.v{count}.{ty} [%d0], {};\n", list(10));
    }
    let out = run(&body, 1, &[0], 16);
    let new = words(&|i| match op {
        "add" => i + 4,
        "min" => (i + 1).min(3),
        _ => (i + 1).max(3),
    });
    assert_eq!(out[..new.len()], new, "{op} of v{count}.{ty}");
    if atom {
        assert_eq!(out[8..8 + old.len()], old, "what {op} of v{count}.{ty} returns");
    }
}

#[test]
fn halves_are_added_by_generic_addresses_and_orders_of_modifiers() {
    // 1 + 2 = 3, and in pairs 2 + 1 = 3.
    for ty in ["f16", "bf16"] {
        let (one, two, three) = (small(ty, 1), small(ty, 2), small(ty, 3));
        for form in
            ["atom.add.noftz", "atom.global.gpu.relaxed.add.noftz", "red.global.gpu.relaxed.add.noftz"]
        {
            let to = |register: &str| {
                if form.starts_with("atom") { format!("{register}, ") } else { String::new() }
            };
            let body = format!(
                "mov.b16 %h1, {one}; mov.b16 %h2, {two}; mov.b32 %r1, {{%h1, %h2}}; mov.b32 %r2, {{%h2, %h1}};
                st.global.b32 [%d0], %r1; st.global.b32 [%d0+4], %r1;
                {form}.{ty} {}[%d0], %h2; {form}.{ty}x2 {}[%d0+4], %r2;",
                to("%h3"),
                to("%r3")
            );
            assert_eq!(run(&body, 1, &[0], 2), [two << 16 | three, three << 16 | three], "{form}.{ty}");
        }
    }
}
