//! The rule for errors.

/// Root mean square of the differences.
fn rms(a: &[f64], b: &[f64]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

/// `got` errs at most twice as much as `naive` does, plus `floor`; and no single value by more than twenty times that.
pub fn judge(what: &str, got: &[f64], naive: &[f64], want: &[f64], floor: f64) {
    assert!(got.len() == want.len() && naive.len() == want.len(), "{what}: lengths");
    let (ours, theirs) = (rms(got, want), rms(naive, want));
    let allowed = 2.0 * theirs + floor;
    assert!(ours <= allowed, "{what}: error {ours:.3e}, allowed {allowed:.3e} (naive {theirs:.3e})");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs();
        assert!(
            error <= 20.0 * allowed,
            "{what}: value {i} is {got}, not {want}; {error:.3e} > 20 x {allowed:.3e}"
        );
    }
}
