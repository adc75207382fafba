//! Operations that are rounded correctly, and conversions: bit for bit.

use super::compare::exact;
use crate::elem::{Array, BF16, E4M3, E5M2, Elem, F16, F32, F64, Format};
use crate::exact::{Exact, Round};
use crate::launch::Outcome;
use crate::manifest::Case;

/// Results of `f` for every row and element of `y`.
fn rows(case: &Case, y: &Array, f: impl Fn(&str, usize) -> u64) -> Result<(), String> {
    let names = case.names("rows");
    let n = y.shape[1];
    if y.shape[0] != names.len() {
        return Err(format!("{} rows for {} names", y.shape[0], names.len()));
    }
    exact("y", y, |i| f(names[i / n], i % n)).map_err(|error| named(&names, n, &error))
}

/// Puts the row's name before the message's index.
fn named(names: &[&str], n: usize, error: &str) -> String {
    let index = error.split(['[', ']']).nth(1).and_then(|text| text.parse::<usize>().ok());
    index.map_or(error.to_owned(), |i| format!("{} of element {}: {error}", names[i / n], i % n))
}

pub fn float_rounding(case: &Case, out: &Outcome) -> Result<(), String> {
    let (a, b, c) = (&out.before["a"], &out.before["b"], &out.before["c"]);
    let format = a.elem.format();
    rows(case, &out.after["y"], |name, i| {
        let value = operation(name, format, a.f(i), b.f(i), c.f(i));
        format.encode(value)
    })
    .map_err(|error| {
        let index =
            error.split("element ").nth(1).and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
        index.map_or(error.clone(), |i| format!("{error}; operands {:e}, {:e}, {:e}", a.f(i), b.f(i), c.f(i)))
    })
}

fn operation(name: &str, format: Format, p: f64, q: f64, r: f64) -> f64 {
    let minimum = |p: f64, q: f64| {
        if p.is_nan() || !q.is_nan() && (q < p || p == q && q.is_sign_negative()) { q } else { p }
    };
    match name {
        "min" => return minimum(p, q),
        "max" => return -minimum(-p, -q),
        "abs" => return p.abs(),
        "neg" => return -p,
        "copysign" => return p.copysign(q),
        "saturate" => return if p > 0.0 { p.min(1.0) } else { 0.0 },
        "trunc" => return p.trunc(),
        "floor" => return p.floor(),
        "ceil" => return p.ceil(),
        "rint" => return p.round_ties_even(),
        "round" => return p.round(),
        "fmod" | "remainder" => {
            return match (Exact::of(p), Exact::of(q)) {
                (Some(_), None) if q.is_infinite() => p,
                (Some(_), Some(y)) if y.is_zero() => f64::NAN,
                (Some(x), Some(y)) => x.remainder(&y, name == "remainder").round(format, Round::Nearest),
                _ => f64::NAN,
            };
        }
        _ => {}
    }
    let (operation, round) = name.split_once('_').expect("operation and rounding");
    let round = Round::named(round);
    let zero_negative = round == Round::Down;
    match operation {
        "add" | "sub" => {
            let q = if operation == "sub" { -q } else { q };
            let sum = |x: &Exact, y: &Exact| x.add(y, zero_negative).round(format, round);
            binary(p, q, sum, || p + q)
        }
        "mul" => binary(p, q, |x, y| x.mul(y).round(format, round), || p * q),
        "fma" => match (Exact::of(p), Exact::of(q), Exact::of(r)) {
            (Some(x), Some(y), Some(z)) => x.mul(&y).add(&z, zero_negative).round(format, round),
            // A finite product, however large, gives way to an infinite addend.
            (Some(_), Some(_), None) => r,
            _ => p * q + r,
        },
        "div" | "rcp" => {
            let (p, q) = if operation == "rcp" { (1.0, p) } else { (p, q) };
            if q == 0.0 {
                return p / q;
            }
            binary(p, q, |x, y| x.div(y).round(format, round), || p / q)
        }
        "sqrt" => match Exact::of(p) {
            Some(x) if p > 0.0 => x.sqrt().round(format, round),
            _ => p.sqrt(),
        },
        _ => panic!("operation {name}"),
    }
}

fn binary(p: f64, q: f64, finite: impl Fn(&Exact, &Exact) -> f64, special: impl Fn() -> f64) -> f64 {
    match (Exact::of(p), Exact::of(q)) {
        (Some(x), Some(y)) => finite(&x, &y),
        _ => special(),
    }
}

/// A float to an integer of `bits`: out of range saturates; NaN is what the PTX ISA says of `cvt`.
fn to_integer(value: f64, round: Round, bits: u32, signed: bool, from_f64: bool) -> i128 {
    if value.is_nan() {
        // Zero, but 2^(bits-1) if the source is .f64 or the destination has 64 bits.
        let word = if from_f64 || bits == 64 { 1i128 << (bits - 1) } else { 0 };
        return if signed { -word } else { word };
    }
    let (low, high) =
        if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    match Exact::of(value).map(|exact| (value.abs() < 1e30).then(|| exact.to_integer(round)).flatten()) {
        Some(Some(integer)) => integer.clamp(low, high),
        _ if value > 0.0 => high,
        _ => low,
    }
}

pub fn to_integers(case: &Case, out: &Outcome) -> Result<(), String> {
    let (a, b) = (&out.before["a"], &out.before["b"]);
    rows(case, &out.after["y"], |name, i| {
        let (p, q) = (a.f(i), b.f(i));
        match name {
            "f_bits" => return a.bits(i) as u32 as i32 as i64 as u64,
            "d_bits" => return b.bits(i),
            "d_high" => return (b.bits(i) >> 32) as i32 as i64 as u64,
            "d_low" => return b.bits(i) as i32 as i64 as u64,
            _ => {}
        }
        let round = name.split_once('_').map_or(Round::Zero, |(_, round)| Round::named(round));
        let (from_f64, to) =
            (name.starts_with('d'), name.split('_').next().unwrap().split_once('2').unwrap().1);
        let (bits, signed) = match to {
            "i" => (32, true),
            "u" => (32, false),
            "ll" => (64, true),
            "ull" => (64, false),
            "s8" => (8, true),
            "u8" => (8, false),
            "s16" => (16, true),
            "u16" => (16, false),
            _ => panic!("conversion {name}"),
        };
        let value = if from_f64 { q } else { p };
        if bits < 32 {
            return narrow(value, bits, signed);
        }
        to_integer(value, round, bits, signed, from_f64) as u64
    })
}

/// A cast of C to a type narrower than int. Out of its range C leaves the result open; nvcc converts to 32 bits and
/// truncates.
fn narrow(value: f64, bits: u32, signed: bool) -> u64 {
    let word = (to_integer(value, Round::Zero, 32, signed, false) as u64) << (64 - bits);
    if signed { (word as i64 >> (64 - bits)) as u64 } else { word >> (64 - bits) }
}

pub fn from_integers(case: &Case, out: &Outcome) -> Result<(), String> {
    let a = &out.before["a"];
    rows(case, &out.after["y"], |name, i| {
        let p = a.bits(i);
        let (kind, round) =
            name.split_once('_').filter(|(kind, _)| kind.contains('2')).unwrap_or((name, "rn"));
        let value = match kind.split('2').next().unwrap() {
            "i" => p as i32 as i128,
            "u" => p as u32 as i128,
            "ll" => p as i64 as i128,
            "ull" => p as i128,
            "s8_" => p as i8 as i128,
            "u16_" => p as u16 as i128,
            other => panic!("conversion {name} of {other}"),
        };
        let format = if kind.ends_with('f') { F32 } else { F64 };
        F64.encode(Exact::integer(value).round(format, Round::named(round)))
    })
}

fn convert(value: f64, format: Format, round: Round) -> f64 {
    Exact::of(value).map_or(value, |exact| exact.round(format, round))
}

pub fn narrowing(case: &Case, out: &Outcome) -> Result<(), String> {
    let a = &out.before["a"];
    rows(case, &out.after["y"], |name, i| {
        let p = a.f(i);
        let single = convert(p, F32, Round::Nearest);
        let (kind, round) = name.split_once('_').unwrap_or((name, "rn"));
        let round = Round::named(round);
        F32.encode(match kind {
            "d2f" => convert(p, F32, round),
            "f2h" => convert(single, F16, round),
            "f2b" => convert(single, BF16, round),
            "d2h" => convert(p, F16, round),
            "d2b" => convert(p, BF16, round),
            _ => panic!("conversion {name}"),
        })
    })
}

fn saturate(value: f64, format: Format) -> f64 {
    let rounded = convert(value, format, Round::Nearest);
    match (value.is_nan(), rounded.is_finite()) {
        (true, _) => f64::NAN,
        (_, true) => rounded,
        _ => format.largest().copysign(value),
    }
}

pub fn fp8(case: &Case, out: &Outcome) -> Result<(), String> {
    let a = &out.before["a"];
    let pair = |row: usize, i: usize| {
        let byte = |lane: usize| {
            let x = a.f(2 * i + lane);
            match row {
                0 => E4M3.encode(saturate(x, E4M3)),
                1 => E5M2.encode(saturate(x, E5M2)),
                _ => E4M3.encode(saturate(convert(x, F16, Round::Nearest), E4M3)),
            }
        };
        byte(0) | byte(1) << 8
    };
    let names = case.names("rows");
    rows(case, &out.after["y"], |name, i| pair(names.iter().position(|n| *n == name).unwrap(), i))?;
    let back = &out.after["back"];
    let n = back.shape[1];
    exact("back", back, |i| {
        let (row, i) = (i / n, i % n);
        let byte = pair(row, i / 2) >> (8 * (i % 2)) & 0xFF;
        F16.encode(if row == 0 { E4M3.decode(byte) } else { E5M2.decode(byte) })
    })
}

/// Triton's casts.
pub fn casts(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (&out.before[case.text("x").unwrap()], &out.after[case.text("y").unwrap()]);
    exact("y", y, |i| match (x.elem, y.elem) {
        (Elem::Float(_), Elem::Float(format)) => format.encode(convert(x.f(i), format, Round::Nearest)),
        (Elem::Int { .. }, Elem::Float(format)) => {
            format.encode(Exact::integer(x.i(i)).round(format, Round::Nearest))
        }
        (Elem::Float(_), Elem::Int { bytes, signed }) => {
            to_integer(x.f(i), Round::Zero, 8 * bytes as u32, signed, x.elem == Elem::Float(F64)) as u64
        }
        _ => x.bits(i),
    })
}
