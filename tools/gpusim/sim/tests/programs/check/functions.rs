//! Elementary functions: within the error that CUDA documents for each.

use super::compare::within;
use crate::elem::{Array, BF16, Elem, F16, F32, F64, Format};
use crate::launch::Outcome;
use crate::manifest::Case;

/// The function in f64, and the error allowed at x: units in the last place, and an absolute part.
fn of_f32(name: &str, x: f64) -> (f64, f64, f64) {
    let a = x.abs();
    let log_error = |ulps: f64, absolute: i32| {
        if (0.5..=2.0).contains(&a) { (0.5, 2f64.powi(absolute)) } else { (ulps, 0.0) }
    };
    // Sums that cancel: the documented bound holds for the value, and one rounding of the result comes on top.
    let (value, ulps, absolute) = match name {
        "exp" => (x.exp(), 2.0, 0.0),
        "exp2" => (x.exp2(), 2.0, 0.0),
        "expm1" => (x.exp_m1(), 1.0, 0.0),
        "log_abs" => (a.ln(), 1.0, 0.0),
        "log2_abs" => (a.log2(), 1.0, 0.0),
        "log10_abs" => (a.log10(), 2.0, 0.0),
        "log1p_abs" => (a.ln_1p(), 1.0, 0.0),
        "sin" => (x.sin(), 2.0, 0.0),
        "cos" => (x.cos(), 2.0, 0.0),
        "tan" => (x.tan(), 4.0, 0.0),
        "sinpi" => ((x * std::f64::consts::PI).sin(), 1.0, 0.0),
        "cospi" => ((x * std::f64::consts::PI).cos(), 1.0, 0.0),
        "asin_fmod_1" => ((x % 1.0).asin(), 2.0, 0.0),
        "acos_fmod_1" => ((x % 1.0).acos(), 2.0, 0.0),
        "atan" => (x.atan(), 2.0, 0.0),
        "sinh" => (x.sinh(), 3.0, 0.0),
        "cosh" => (x.cosh(), 2.0, 0.0),
        "tanh" => (x.tanh(), 2.0, 0.0),
        "sqrt_abs" => (a.sqrt(), 0.0, 0.0),
        "rsqrt_abs" => (1.0 / a.sqrt(), 2.0, 0.0),
        "cbrt" => (x.cbrt(), 1.0, 0.0),
        "hypot_2" => (x.hypot(2.0), 3.0, 0.0),
        "erf" => (libm::erf(x), 2.0, 0.0),
        "normcdf" => (0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2), 5.0, 0.0),
        "lgamma_abs_plus_half" => {
            // Documented outside (-10, -2.26); near its zeros at 1 and 2 the error is absolute.
            let argument = ((a as f32) + 0.5f32) as f64;
            (libm::lgamma(argument), 6.0, 2f64.powi(-22))
        }
        "abs_pow_1.25" => (a.powf(1.25), 4.0, 0.0),
        "abs_pow_1.5" => (a.powf(1.5), 4.0, 0.0),
        "fast_exp" => (x.exp(), 2.0 + (1.173 * a).floor(), 0.0),
        "fast_exp10" => (10f64.powf(x), 2.0 + (2.97 * a).floor(), 0.0),
        "fast_log_abs" => {
            let (ulps, absolute) = log_error(3.0, -21);
            (a.ln(), ulps, absolute)
        }
        "fast_log2_abs" => {
            let (ulps, absolute) = log_error(2.0, -21);
            (a.log2(), ulps, absolute)
        }
        "fast_sin" => (x.sin(), 0.0, 2f64.powf(-21.41) * a.max(1.0)),
        "fast_cos" => (x.cos(), 0.0, 2f64.powf(-21.19) * a.max(1.0)),
        "fast_tan" => {
            let part = 2f64.powf(-21.41) / x.sin().abs() + 2f64.powf(-21.19) / x.cos().abs();
            (x.tan(), 2.0, x.tan().abs() * part)
        }
        "fast_third" => (x / 3.0, 2.0, 0.0),
        "fast_abs_pow_half" => (a.sqrt(), 2.0, a.sqrt() * 2f64.powi(-22) * (1.0 + 4.0 * a.log2().abs())),
        "floor" => (x.floor(), 0.0, 0.0),
        "ceil" => (x.ceil(), 0.0, 0.0),
        "sqrt_abs_rn" => (a.sqrt(), 0.0, 0.0),
        "reciprocal_rn" => (1.0 / x, 0.0, 0.0),
        "third" => (x / 3.0, 2.0, 0.0),
        _ => panic!("function {name}"),
    };
    (value, ulps, absolute)
}

pub fn f32_functions(x: &Array, y: &Array, names: &[&str], triton: bool) -> Result<(), String> {
    let n = x.len();
    for (row, name) in names.iter().enumerate() {
        // Triton takes the fast forms of these.
        let form = match (*name, triton) {
            ("exp", true) => "fast_exp",
            ("log_abs", true) => "fast_log_abs",
            ("log2_abs", true) => "fast_log2_abs",
            ("sin", true) => "fast_sin",
            ("cos", true) => "fast_cos",
            (name, _) => name,
        };
        let results: Vec<_> = (0..n).map(|i| of_f32(form, x.f(i))).collect();
        // CUDA states errors against the correctly rounded result.
        let expected: Vec<f64> = results.iter().map(|r| F32.round(r.0)).collect();
        let got: Vec<f64> = (0..n).map(|i| y.f(row * n + i)).collect();
        let loose = if triton && *name == "sqrt_abs" { 1.0 } else { 0.0 };
        within(name, &got, &expected, |i| (results[i].1 + loose) * F32.ulp(expected[i]) + results[i].2)?;
    }
    Ok(())
}

pub fn f64_functions(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (&out.before["a"], &out.after["y"]);
    let n = x.len();
    for (row, name) in case.names("rows").iter().enumerate() {
        // The documented error, and one unit for the reference.
        let ulps = match *name {
            "exp" | "log_abs" | "cbrt" | "log1p_abs" | "expm1" => 1.0,
            "sqrt_abs" => 0.0,
            _ => 2.0,
        };
        let expected: Vec<f64> = (0..n).map(|i| of_f32(name, x.f(i)).0).collect();
        let got: Vec<f64> = (0..n).map(|i| y.f(row * n + i)).collect();
        within(name, &got, &expected, |i| (ulps + 1.0) * F64.ulp(expected[i]))?;
    }
    Ok(())
}

/// Functions of pairs of halves. Arithmetic is correctly rounded; the others are within a unit or two.
pub fn pairs(case: &Case, out: &Outcome) -> Result<(), String> {
    let (a, b, c, y) = (&out.before["a"], &out.before["b"], &out.before["c"], &out.after["y"]);
    let Elem::Float(format) = y.elem else { return Err("an integer output".into()) };
    assert!(format == F16 || format == BF16);
    let n = a.len();
    for (row, name) in case.names("rows").iter().enumerate() {
        let results: Vec<(f64, f64)> = (0..n).map(|i| half(name, format, (a, b, c), i)).collect();
        let expected: Vec<f64> = results.iter().map(|r| r.0).collect();
        let got: Vec<f64> = (0..n).map(|i| y.f(row * n + i)).collect();
        within(name, &got, &expected, |i| results[i].1 * format.ulp(expected[i]))?;
        for i in 0..n {
            let zero_sign_counts = results[i].1 == 0.0
                && expected[i] == 0.0
                && expected[i].is_sign_negative() != got[i].is_sign_negative();
            if zero_sign_counts {
                return Err(format!("{name}[{i}] is {:?}, expected {:?}", got[i], expected[i]));
            }
        }
    }
    Ok(())
}

/// The result rounded to the format, and the error allowed in units.
fn half(name: &str, format: Format, (a, b, c): (&Array, &Array, &Array), i: usize) -> (f64, f64) {
    let (p, q, r) = (a.f(i), b.f(i), c.f(i));
    let truth = |holds: bool| (holds as u8 as f64, 0.0);
    let round = |x: f64| format.round(x);
    // Sums of f16 and bf16 products that do not fit an f64: bf16 spans 2^-133 to 2^127, but inputs here 2^-24 to 2^16.
    let sum = |x: f64, y: f64| round(x + y);
    let saturate = |x: f64| if x > 0.0 { x.min(1.0) } else { 0.0 };
    // Beyond the format's range the nearest is an infinity; one unit of error may decide.
    let about = |x: f64, ulps: f64| {
        let rounded = round(x);
        (rounded, if rounded == x { ulps } else { ulps + 0.5 })
    };
    match name {
        "add" => (sum(p, q), 0.0),
        "sub" => (sum(p, -q), 0.0),
        "mul" => (round(p * q), 0.0),
        "fma" => (round(p * q + r), 0.0),
        "add_sat" => (saturate(sum(p, q)), 0.0),
        "mul_sat" => (saturate(round(p * q)), 0.0),
        "fma_sat" => (saturate(round(p * q + r)), 0.0),
        "fma_relu" => {
            let value = round(p * q + r);
            (if value > 0.0 { value } else { 0.0 }, 0.0)
        }
        "div" => about(p / q, 1.0),
        "min" | "min_nan" => (if p < q || p == q && p.is_sign_negative() { p } else { q }, 0.0),
        "max" | "max_nan" => (if p > q || p == q && q.is_sign_negative() { p } else { q }, 0.0),
        "neg" => (-p, 0.0),
        "abs" => (p.abs(), 0.0),
        "exp" => about(p.exp(), 1.0),
        "exp2" => about(p.exp2(), 1.0),
        "log_abs" => about(p.abs().ln(), 1.0),
        "sqrt_abs" => about(p.abs().sqrt(), 1.0),
        "rsqrt_abs" => about(1.0 / p.abs().sqrt(), 1.0),
        "rcp" => about(1.0 / p, 1.0),
        "sin" => about(p.sin(), 2.0),
        "cos" => about(p.cos(), 2.0),
        "floor" => (p.floor(), 0.0),
        "ceil" => (p.ceil(), 0.0),
        "rint" => (p.round_ties_even(), 0.0),
        "trunc" => (p.trunc(), 0.0),
        "eq" => truth(p == q),
        "lt" | "ltu" => truth(p < q),
        "ge" => truth(p >= q),
        "neu" => truth(p != q),
        "swap" => (a.f(i ^ 1), 0.0),
        "lows" => (if i.is_multiple_of(2) { p } else { b.f(i - 1) }, 0.0),
        "highs" => (if i.is_multiple_of(2) { a.f(i + 1) } else { q }, 0.0),
        "low3_high" => (if i.is_multiple_of(2) { round((p as f32 * 3.0) as f64) } else { q }, 0.0),
        _ => panic!("half function {name}"),
    }
}
