//! When a result is right.

use crate::elem::{Array, Elem};

/// Bit for bit, but any NaN for a NaN.
pub fn exact(name: &str, got: &Array, expected: impl Fn(usize) -> u64) -> Result<(), String> {
    let mask = u64::MAX >> (64 - 8 * got.elem.bytes());
    for i in 0..got.len() {
        let (bits, want) = (got.bits(i), expected(i) & mask);
        let both_nan =
            matches!(got.elem, Elem::Float(_)) && got.f(i).is_nan() && got.elem.value(want).is_nan();
        if bits != want && !both_nan {
            let shown = match got.elem {
                Elem::Float(_) => format!("{:e}, expected {:e}", got.f(i), got.elem.value(want)),
                Elem::Int { .. } => format!("{}, expected {}", got.i(i), got.elem.integer(want)),
            };
            return Err(format!("{name}[{i}] is {bits:#x}, expected {want:#x} ({shown})"));
        }
    }
    Ok(())
}

/// Every element within its own bound; NaN and infinities must be there where they are expected.
pub fn within(name: &str, got: &[f64], expected: &[f64], bound: impl Fn(usize) -> f64) -> Result<(), String> {
    assert_eq!(got.len(), expected.len());
    for (i, (&y, &want)) in got.iter().zip(expected).enumerate() {
        let right = if want.is_finite() {
            (y - want).abs() <= bound(i)
        } else {
            y == want || y.is_nan() && want.is_nan()
        };
        if !right {
            return Err(format!("{name}[{i}] is {y:e}, expected {want:e} within {:e}", bound(i)));
        }
    }
    Ok(())
}

/// Against a computation in f64 and a naive one in the program's own types: no error above twice the naive one's largest
/// plus a floor, nor their root mean squares.
pub fn like_naive(
    name: &str,
    got: &[f64],
    reference: &[f64],
    naive: &[f64],
    floor: impl Fn(usize) -> f64,
) -> Result<(), String> {
    let largest = naive.iter().zip(reference).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    within(name, got, reference, |i| 2.0 * largest + floor(i))?;
    let rms = |x: &[f64]| {
        (x.iter().zip(reference).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / x.len() as f64).sqrt()
    };
    let base = ((0..got.len()).map(|i| floor(i).powi(2)).sum::<f64>() / got.len() as f64).sqrt();
    if rms(got) > 2.0 * rms(naive) + base {
        return Err(format!(
            "{name}: root mean square error {:e}, naive {:e}, floor {base:e}",
            rms(got),
            rms(naive)
        ));
    }
    Ok(())
}
