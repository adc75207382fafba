//! `atom` and `red` in every space, of every operation and type: what memory holds afterwards and what comes back.

use super::common::{HEAD, device, kernel, params, upload, words};
use super::forms::expand;
use super::table::{bits, noise, signed};
use gpusim::Launch;

const THREADS: usize = 128;
const SPACES: &str = "{|.global|.shared|.shared::cta|.shared::cluster}";
const ORDERS: &str = "{|.relaxed|.acquire|.release|.acq_rel}{|.cta|.cluster|.gpu|.sys}";

/// An operation's type: the last modifier.
fn ty(form: &str) -> &str {
    form.rsplit('.').next().unwrap_or_default()
}

fn has(form: &str, part: &str) -> bool {
    form.split('.').any(|p| p == part)
}

/// Memory, the operand, and for `cas` the value to be stored; halves of 128-bit values are equal.
fn rows(form: &str) -> Vec<[u64; 3]> {
    const EDGES: [u64; 8] = [0, 1, 7, 8, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x8000_0000_0000_0000];
    const F32: [u64; 8] =
        [0, 0x8000_0000, 0x3F80_0000, 0xBF80_0001, 0x7F7F_FFFF, 0x7F80_0000, 0x0080_0001, 0x8000_0003];
    const F64: [u64; 8] = [
        0,
        1 << 63,
        0x3FF0_0000_0000_0000,
        0xBFF0_0000_0000_0001,
        0x7FEF_FFFF_FFFF_FFFF,
        0x7FF0_0000_0000_0000,
        0x0010_0000_0000_0001,
        3,
    ];
    // 1, ties of 2048 and 256 with 1, the greatest, infinity, subnormals of both signs, 0 and -0.
    const F16: [u64; 8] = [0x3C00, 0x6800, 0x7BFF, 0x7C00, 0x0001, 0x8003, 0, 0x8000];
    const BF16: [u64; 8] = [0x3F80, 0x4380, 0x7F7F, 0x7F80, 0x0001, 0x8003, 0, 0x8000];
    let edges = match ty(form) {
        "f32" => F32,
        "f64" => F64,
        "f16" => F16,
        "bf16" => BF16,
        "f16x2" => F16.map(|x| x | x.rotate_left(5) << 16 & 0x7BFF_0000),
        "bf16x2" => BF16.map(|x| x | x.rotate_left(5) << 16 & 0x7B7F_0000),
        _ => EDGES,
    };
    let mut noise = noise(5);
    let mut rows: Vec<[u64; 3]> = Vec::new();
    for a in edges {
        rows.extend(edges.map(|b| [a, b, !a]));
    }
    while rows.len() < THREADS {
        let n = rows.len() as u64;
        let mut next = || noise.next().unwrap_or(0);
        // Floats are finite and of a like magnitude; a comparison succeeds in every other row.
        rows.push(match ty(form) {
            "f32" => [next() & 0x80FF_FFFF | 0x4000_0000, next() & 0x80FF_FFFF | 0x4000_0000, 0],
            "f64" => {
                [next() >> 4 & !(0xF << 55) | 0x3F << 56, next() & 0x800F_FFFF_FFFF_FFFF | 0x3FF << 52, 0]
            }
            _ if ty(form).contains('f') => {
                [next() & 0x83FF_83FF | 0x4000_4000, next() & 0x83FF_83FF | 0x4000_4000, 0]
            }
            _ if n.is_multiple_of(2) => [n * 77, n * 77, next()],
            _ => [next(), next(), next()],
        });
    }
    rows
}

/// `value` rounded to nearest, ties to even, in a format of 16 bits with so many of mantissa.
fn narrow(value: f64, mantissa: i32) -> u64 {
    let (least, most) = if mantissa == 10 { (-14, 15) } else { (-126, 127) };
    if value.is_nan() {
        return 0x7FFF;
    }
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    if value.is_infinite() {
        return sign | ((most - least + 2) as u64) << mantissa;
    }
    // That of the f64, which is below `least` for zero.
    let exponent = ((value.abs().to_bits() >> 52) as i32 - 1023).max(least);
    let units = (value.abs() / 2f64.powi(exponent - mantissa)).round_ties_even();
    // A unit more than the mantissa holds carries into the exponent, as it should.
    let bits = (((exponent - least) as u64) << mantissa) + units as u64;
    sign | bits.min(((most - least + 2) as u64) << mantissa)
}

fn wide(bits: u64, mantissa: i32) -> f64 {
    if mantissa == 7 {
        return f32::from_bits((bits as u32 & 0xFFFF) << 16).into();
    }
    let (exponent, fraction) = (bits >> 10 & 31, (bits & 0x3FF) as f64);
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1024.0 + fraction) * 2f64.powi(e as i32 - 25),
    };
    if bits & 0x8000 != 0 { -size } else { size }
}

/// Subnormals are zeros to `f32` sums in global memory, as PTX has it.
fn flushed(x: u64, global: bool) -> f32 {
    let x = f32::from_bits(x as u32);
    if global && x.is_subnormal() { 0f32.copysign(x) } else { x }
}

fn f32_sum(a: u64, b: u64, global: bool) -> u64 {
    let sum = flushed(a, global) + flushed(b, global);
    let sum = flushed(sum.to_bits().into(), global);
    if sum.is_nan() { 0x7FFF_FFFF } else { sum.to_bits().into() }
}

/// What memory holds after an operation on `a`, cut to the type.
fn after(form: &str, [a, b, c]: [u64; 3]) -> u64 {
    let (ty, op) = (ty(form), |name| has(form, name));
    let mantissa = if ty.starts_with("bf16") { 7 } else { 10 };
    match ty {
        "f32" => return f32_sum(a, b, !form.contains("shared")),
        "f64" => return (f64::from_bits(a) + f64::from_bits(b)).to_bits(),
        "f16" | "bf16" => return narrow(wide(a, mantissa) + wide(b, mantissa), mantissa),
        "f16x2" | "bf16x2" => {
            let part = |shift: u32| narrow(wide(a >> shift, mantissa) + wide(b >> shift, mantissa), mantissa);
            return part(0) | part(16) << 16;
        }
        _ => {}
    }
    let bits = bits(ty).min(64);
    let low = |x: u64| x & (u64::MAX >> (64 - bits));
    let (a, b, c) = (low(a), low(b), low(c));
    let less = if ty.starts_with('s') { signed(a, bits) < signed(b, bits) } else { a < b };
    low(match () {
        () if op("add") => a.wrapping_add(b),
        () if op("min") => {
            if less {
                a
            } else {
                b
            }
        }
        () if op("max") => {
            if less {
                b
            } else {
                a
            }
        }
        () if op("inc") => {
            if a >= b {
                0
            } else {
                a + 1
            }
        }
        () if op("dec") => {
            if a == 0 || a > b {
                b
            } else {
                a - 1
            }
        }
        () if op("and") => a & b,
        () if op("or") => a | b,
        () if op("xor") => a ^ b,
        () if op("exch") => b,
        () => {
            if a == b {
                c
            } else {
                a
            }
        }
    })
}

/// Each thread runs the form on 16 bytes of its own in the form's space, and stores what it got and what is there then.
fn check(form: &str) -> Option<String> {
    let width = bits(ty(form).trim_end_matches("x2")) * if ty(form).ends_with("x2") { 2 } else { 1 };
    let class = match width {
        16 => 'h',
        32 => 'r',
        64 => 'd',
        _ => 'q',
    };
    let (space, address) = if form.contains("shared") { ("shared", "%mine") } else { ("global", "%own") };
    let move_in = |n: u32| match width {
        16 => format!("cvt.u16.u64 %h{n}, %d{n};"),
        32 => format!("cvt.u32.u64 %r{n}, %d{n};"),
        64 => String::new(),
        _ => format!("mov.b128 %q{n}, {{%d{n}, %d{n}}};"),
    };
    let move_out = match width {
        16 => "cvt.u64.u16 %d4, %h4;",
        32 => "cvt.u64.u32 %d4, %r4;",
        64 => "",
        _ => "mov.b128 {%d4, %d5}, %q4;",
    };
    let red = form.starts_with("red");
    let operands = match (red, has(form, "cas")) {
        (true, _) => format!("[{address}], %{class}2"),
        (_, true) => format!("%{class}4, [{address}], %{class}2, %{class}3"),
        _ => format!("%{class}4, [{address}], %{class}2"),
    };
    let text = format!(
        "{HEAD}.visible .entry k(.param .u64 p_out, .param .u64 p_in) {{
        .reg .b16 %h<9>; .reg .b32 %r<9>; .reg .b64 %d<9>; .reg .b128 %q<9>; .reg .b32 %t;
        .reg .b64 %out; .reg .b64 %in; .reg .b64 %own; .reg .b64 %mine; .shared .align 16 .b8 s[2048];
        ld.param.u64 %out, [p_out]; ld.param.u64 %in, [p_in]; mov.u32 %t, %tid.x;
        mov.u64 %mine, s; mad.wide.u32 %mine, %t, 16, %mine;
        mad.wide.u32 %own, %t, 16, %out; mad.wide.u32 %out, %t, 16, %out; add.u64 %out, %out, 2048;
        mad.wide.u32 %in, %t, 24, %in;
        ld.global.b64 %d1, [%in]; ld.global.b64 %d2, [%in+8]; ld.global.b64 %d3, [%in+16]; mov.b64 %d4, 0;
        {} {} st.{space}.v2.b64 [{address}], {{%d1, %d1}};
        {form} {operands};
        {move_out} ld.{space}.b64 %d6, [{address}]; st.global.v2.b64 [%out], {{%d4, %d6}}; ret; }}",
        move_in(2),
        move_in(3)
    );
    let rows = rows(form);
    let device = device();
    let function = kernel(&device, &text);
    let input: Vec<u32> = rows.iter().flatten().flat_map(|v| [*v as u32, (*v >> 32) as u32]).collect();
    let (out, input) = (upload(&device, &vec![0; 8 * THREADS]), upload(&device, &input));
    let launch =
        Launch { block: [THREADS as u32, 1, 1], params: params(&[out, input]), ..Launch::new(function) };
    device.launch(&launch).unwrap_or_else(|error| panic!("{form}: {error}"));
    let got = words(&device, out + 2048, 4 * THREADS);
    rows.iter().zip(got.chunks(4)).find_map(|(row, got)| {
        let [old, new] = [0, 2].map(|n| u64::from(got[n + 1]) << 32 | u64::from(got[n]));
        let keep = u64::MAX >> (64 - width.min(64));
        let was = if red { 0 } else { row[0] & keep };
        let want = after(form, *row) & keep;
        // Which NaN an f64 sum gives PTX leaves open.
        let nan = ty(form) == "f64" && f64::from_bits(want).is_nan() && f64::from_bits(new).is_nan();
        let right =
            old == was && (new & keep == want || nan) && (width >= 64 || new & !keep == row[0] & !keep);
        (!right).then(|| format!("{form} of {row:#x?}: {old:#x} and {new:#x}, not {was:#x} and {want:#x}"))
    })
}

fn check_all(patterns: &[&str]) {
    let forms = patterns
        .iter()
        .flat_map(|pattern| expand(&pattern.replace("SPACE", SPACES).replace("ORDER", ORDERS)));
    let wrong: Vec<String> = forms.filter_map(|form| check(&form)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn integers_combine_in_every_space() {
    check_all(&[
        "{atom|red}SPACE.{and|or|xor}.{b32|b64}",
        "{atom|red}SPACE.{add|inc|dec|min|max}.u32",
        "{atom|red}SPACE.{add|min|max}.s32",
        "{atom|red}SPACE.{add|min|max}.u64",
        "{atom|red}SPACE.{min|max}.s64",
        "atomSPACE.exch.{b32|b64}",
        "atomSPACE.cas.{b16|b32|b64}",
        "atom{|.global|.shared}.{cas|exch}.b128",
    ]);
}

#[test]
fn floats_add_in_every_space() {
    check_all(&[
        "{atom|red}SPACE.add.{f32|f64}",
        "{atom|red}{|.global|.shared}.add.noftz.{f16|bf16|f16x2|bf16x2}",
    ]);
}

#[test]
fn orders_and_scopes_change_no_value() {
    check_all(&[
        "atomORDER.global.add.u32",
        "red{|.relaxed|.release}{|.cta|.cluster|.gpu|.sys}.global.add.u32",
    ]);
}
