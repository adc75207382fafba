//! Programs about control flow, memory and calls.

use super::compare::{exact, within};
use crate::launch::Outcome;
use crate::manifest::Case;

pub fn fibonacci(out: &Outcome) -> Result<(), String> {
    exact("y", &out.after["y"], |i| {
        let (mut a, mut b) = (0u64, 1u64);
        (0..i % 16).for_each(|_| (a, b) = (b, a + b));
        a
    })
}

pub fn ackermann(out: &Outcome) -> Result<(), String> {
    // Its closed forms for a first argument of 0 to 3.
    exact("y", &out.after["y"], |i| {
        let n = i as u64 % 8;
        [n + 1, n + 2, 2 * n + 3, (1 << (n + 3)) - 3][i / 8]
    })
}

pub fn function_table(out: &Outcome) -> Result<(), String> {
    let (which, a, b) = (&out.before["which"], &out.before["a"], &out.before["b"]);
    exact("y", &out.after["y"], |i| {
        let (p, q) = (a.f(i) as f32, b.f(i) as f32);
        let value = [p + q, p * q, p.max(q), p - q][which.bits(i) as usize];
        value.to_bits() as u64
    })
}

pub fn virtual_calls(out: &Outcome) -> Result<(), String> {
    exact("y", &out.after["y"], |i| {
        let square = (i * i) as f32;
        (if i % 3 != 0 { square } else { 3.0 * square }).to_bits() as u64
    })
}

pub fn polynomial(case: &Case, out: &Outcome) -> Result<(), String> {
    let x = &out.before["x"];
    let coefficients: Vec<f64> =
        case.check["coefficients"].as_array().unwrap().iter().map(|c| c.as_f64().unwrap()).collect();
    let eval =
        |x: f64, sign: fn(f64) -> f64| coefficients.iter().rev().fold(0.0, |s, c| s * sign(x) + sign(*c));
    let plus = |i: usize| 11.0 + 2.0 * (i % 4) as f64 + 2.0;
    let expected: Vec<f64> = (0..x.len()).map(|i| eval(x.f(i), |v| v) + plus(i)).collect();
    // Eight roundings of partial sums, each below the polynomial of magnitudes.
    within("y", &out.after["y"].floats(), &expected, |i| {
        (eval(x.f(i), f64::abs) + plus(i)) * 10.0 * 2f64.powi(-24)
    })
}

pub fn branch_table(out: &Outcome) -> Result<(), String> {
    let (op, x) = (&out.before["op"], &out.before["x"]);
    exact("y", &out.after["y"], |i| {
        let v = x.bits(i) as u32;
        let result = match op.bits(i) {
            0 => v.wrapping_add(17),
            1 => v.reverse_bits(),
            2 => v.wrapping_mul(v).wrapping_add(3),
            3 => v.count_ones(),
            4 => v ^ v >> 7,
            5 => v.leading_zeros(),
            6 => v % 1_000_003,
            7 => {
                let bytes = [v.to_le_bytes(), 0x1234_5678u32.to_le_bytes()].concat();
                u32::from_le_bytes([bytes[1], bytes[3], bytes[5], bytes[7]])
            }
            8 => !v << 11 | v >> 21,
            9 => ((v as u64 * 0x9E37_79B9) >> 32) as u32,
            10 => (0..5).fold(v, |v, _| v.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)),
            11 => !v,
            _ => 0,
        };
        result as u64
    })
}

pub fn collatz(out: &Outcome) -> Result<(), String> {
    let x = &out.before["x"];
    exact("y", &out.after["y"], |i| {
        let (mut v, mut steps) = (x.bits(i), 0);
        while v != 1 {
            v = if v & 1 == 1 { 3 * v + 1 } else { v / 2 };
            steps += 1;
            if steps > 5000 {
                break;
            }
        }
        steps
    })
}

pub fn heap(out: &Outcome) -> Result<(), String> {
    exact("y", &out.after["y"], |i| i as u64 + 1)
}

/// The order in which lanes print is theirs; lines are not torn.
pub fn printed(case: &Case, out: &Outcome) -> Result<(), String> {
    let mut expected = case.names("lines");
    let mut found: Vec<&str> = out.printed.lines().collect();
    expected.sort_unstable();
    found.sort_unstable();
    if expected == found { Ok(()) } else { Err(format!("printed {found:?}")) }
}

pub fn count(case: &Case, out: &Outcome) -> Result<(), String> {
    let expected = case.number("expect").unwrap() as u64;
    exact("count", &out.after[case.text("y").unwrap()], |_| expected)
}

pub fn constants(case: &Case, out: &Outcome) -> Result<(), String> {
    for (name, values) in case.check["expect"].as_object().unwrap() {
        let array = &out.after[name];
        exact(name, array, |i| array.elem.bits(values[i].as_f64().unwrap()))?;
    }
    Ok(())
}
