//! Weights as int8 with a factor for each output.

use super::linear::Matrix;
use super::memory::Aligned;
use super::pack::Packed;
use super::threads::{Shared, Threads};
use crate::error::Result;

/// A matrix whose row `j` is `scales[j] · values[j]`, `|values| ≤ 127`.
///
/// A weight is off by at most half of its row's scale, that is by `max |row| / 254`. Activations are not quantised.
pub(crate) struct Int8 {
    pub(crate) values: Packed<i8>,
    pub(crate) scales: Vec<f32>,
}

impl Int8 {
    /// Rounds to nearest, each row by its greatest weight.
    pub(crate) fn new(threads: &Threads, matrix: &Matrix) -> Result<Self> {
        let (n, k) = (matrix.rows, matrix.columns);
        let mut scales = vec![0.0; n];
        let mut values = Aligned::zeroed(n * k)?;
        let (into, factors) = (Shared::new(&mut values), Shared::new(&mut scales));
        threads.share(n, n * k, |range| {
            let mut row = vec![0.0; k];
            for j in range {
                matrix.row(j, &mut row);
                // SAFETY: row `j < n` and its factor, which one range has for itself.
                let (out, scale) = unsafe { (into.slice(j * k, k), factors.slice(j, 1)) };
                scale[0] = quantize(&row, out);
            }
        });
        Ok(Int8 { values: Packed::new(threads, &values, n, k)?, scales })
    }
}

/// Rounds a row; gives its factor.
fn quantize(row: &[f32], out: &mut [i8]) -> f32 {
    let most = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let scale = most / 127.0;
    // A row of zeros, or of denormals too small for a factor, is zero.
    let inverse = if scale > 0.0 && (1.0 / scale).is_finite() { 1.0 / scale } else { 0.0 };
    for (out, x) in out.iter_mut().zip(row) {
        *out = (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
    }
    scale
}
