//! Weights in the order in which [`super::product`] reads them.
//!
//! A matrix of `N × K` is cut into panels of 16 outputs. A panel holds its values for inputs 0 and 1, then for 2 and 3,
//! and so on: 32 values for each pair of inputs. In f32 these are 16 values of the first input and 16 of the second. In
//! bfloat16 they alternate, so that one load of 64 bytes gives both: the first of a pair is the lower half of a 32-bit
//! word (shifted up it is an f32), the second the upper half (with the lower half cleared it is one).
//!
//! Lanes are outputs, so nothing is ever summed across lanes, and an output is added up in the order of `K` however
//! many rows share the call. A kernel that reads several panels side by side reads as many streams, which one core needs: of
//! one stream it gets 10 GB/s, of four or more 16 (measured on a Xeon of the Sapphire Rapids generation).

use super::arithmetic::Widen;
use super::memory::{Aligned, Plain};
use super::product::{self, Product};
use super::simd::{Isa, LANES};
use super::threads::{Shared, Threads};
use crate::error::Result;

/// Values of one pair of inputs in a panel.
pub(crate) const PAIR: usize = 2 * LANES;

/// How a packed matrix stores its values.
pub(crate) trait Packable: Plain + Widen + 'static {
    const ZERO: Self;

    /// Where the value of output `lane` for the first (0) or second (1) input of a pair lies.
    fn place(lane: usize, second: usize) -> usize;

    /// Runs the kernel on activations in bfloat16.
    fn dots(isa: Isa, p: &Product<'_, Self>, out: *mut f32);
}

impl Packable for f32 {
    const ZERO: f32 = 0.0;

    #[inline(always)]
    fn place(lane: usize, second: usize) -> usize {
        second * LANES + lane
    }

    fn dots(_: Isa, _: &Product<'_, f32>, _: *mut f32) {
        unreachable!("activations stay f32 where weights are");
    }
}

impl Packable for u16 {
    const ZERO: u16 = 0;

    #[inline(always)]
    fn place(lane: usize, second: usize) -> usize {
        2 * lane + second
    }

    fn dots(isa: Isa, p: &Product<'_, u16>, out: *mut f32) {
        product::dots(isa, p, out);
    }
}

impl Packable for i8 {
    const ZERO: i8 = 0;

    #[inline(always)]
    fn place(lane: usize, second: usize) -> usize {
        2 * lane + second
    }

    fn dots(isa: Isa, p: &Product<'_, i8>, out: *mut f32) {
        product::dots(isa, p, out);
    }
}

/// A packed matrix. Rows are padded with zeros to whole panels, `K` to whole pairs.
pub(crate) struct Packed<E> {
    values: Aligned<E>,
    /// Inputs, padded.
    k: usize,
    /// Outputs, not padded.
    n: usize,
}

impl<E: Packable> Packed<E> {
    /// Packs `n × k` values, row after row.
    pub(crate) fn new(threads: &Threads, weights: &[E], n: usize, k: usize) -> Result<Self> {
        assert!(n > 0 && k > 0 && weights.len() == n * k);
        let panels = n.div_ceil(LANES);
        let pairs = k.div_ceil(2);
        let mut values = Aligned::zeroed(panels * pairs * PAIR)?;
        let shared = Shared::new(&mut values);
        threads.share(panels, n * k, |range| {
            for panel in range {
                // SAFETY: panels do not overlap, and each belongs to one range.
                let out = unsafe { shared.slice(panel * pairs * PAIR, pairs * PAIR) };
                let rows = &weights[panel * LANES * k..n.min((panel + 1) * LANES) * k];
                fill(rows, k, out);
            }
        });
        Ok(Packed { values, k: 2 * pairs, n })
    }

    /// Inputs, padded to a whole pair.
    pub(crate) fn inputs(&self) -> usize {
        self.k
    }

    /// Outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.n
    }

    /// Where panel `panel` begins.
    pub(crate) fn panel(&self, panel: usize) -> *const E {
        self.values[panel * self.k * LANES..].as_ptr()
    }

    /// Values from one panel to the next.
    pub(crate) fn pitch(&self) -> usize {
        self.k * LANES
    }
}

/// Packs up to 16 rows of `k` values.
fn fill<E: Packable>(rows: &[E], k: usize, out: &mut [E]) {
    if rows.len() == LANES * k {
        for (pair, out) in out.as_chunks_mut::<PAIR>().0.iter_mut().enumerate() {
            let second = 2 * pair + 1 < k;
            for lane in 0..LANES {
                let at = lane * k + 2 * pair;
                out[E::place(lane, 0)] = rows[at];
                out[E::place(lane, 1)] = if second { rows[at + 1] } else { E::ZERO };
            }
        }
        return;
    }
    for (lane, row) in rows.chunks_exact(k).enumerate() {
        for (i, &value) in row.iter().enumerate() {
            out[i / 2 * PAIR + E::place(lane, i % 2)] = value;
        }
    }
}
