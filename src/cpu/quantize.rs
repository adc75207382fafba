//! Weights as int8 with a factor for each output.

use super::linear::Matrix;
use super::memory::{Aligned, Plain};
use super::pack::{Packable, Packed};
use super::threads::{Shared, Threads};
use crate::error::Result;

/// An integer from -127 to 127 as [`super::arithmetic::Int8Dots`] looks it up: the sign in bit 7, the magnitude below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct SignMagnitude(u8);

impl SignMagnitude {
    pub(crate) const ZERO: SignMagnitude = SignMagnitude(0);
}

/// How small integers are kept.
pub(crate) trait Small: Packable {
    /// `value` is in -127..=127.
    fn from_i8(value: i8) -> Self;
}

impl Small for i8 {
    fn from_i8(value: i8) -> i8 {
        value
    }
}

impl Small for SignMagnitude {
    fn from_i8(value: i8) -> SignMagnitude {
        SignMagnitude(value.unsigned_abs() | if value < 0 { 0x80 } else { 0 })
    }
}

impl Plain for SignMagnitude {}

/// A matrix whose row `j` is `scales[j] · values[j]`, `|values| ≤ 127`.
///
/// A weight is off by at most half of its row's scale, that is by `max |row| / 254`, where the scale is no denormal. Activations are not
/// quantised.
pub(crate) struct Int8<E> {
    pub(crate) values: Packed<E>,
    pub(crate) scales: Vec<f32>,
}

impl<E: Small> Int8<E> {
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
fn quantize<E: Small>(row: &[f32], out: &mut [E]) -> f32 {
    let most = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let scale = most / 127.0;
    for (out, x) in out.iter_mut().zip(row) {
        // A row of zeros has no scale; the other rows' quotients are at most 127, but for the scale's own rounding.
        let value = if scale > 0.0 { (x / scale).round_ties_even().clamp(-127.0, 127.0) } else { 0.0 };
        *out = E::from_i8(value as i8);
    }
    scale
}
