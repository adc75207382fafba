//! Weights in the order in which [`super::product`] reads them.
//!
//! A matrix of `N × K` is cut into panels of 16 outputs. A panel holds its values for inputs 0 and 1, then for 2 and 3,
//! and so on: 32 values for each pair of inputs. In f32 these are 16 values of the first input and 16 of the second. In
//! bfloat16 they alternate, so that one load of 64 bytes gives both: the first of a pair is the lower half of a 32-bit
//! word (shifted up it is an f32), the second the upper half (with the lower half cleared it is one). Integers lie like
//! bfloat16, or four inputs together in the order in which they are looked up ([`super::arithmetic::Int8Dots`]).
//!
//! Lanes are outputs, so nothing is ever summed across lanes, and an output is added up in the order of `K` however
//! many rows share the call. A kernel that reads several panels side by side reads as many streams, which one core needs: of
//! one stream it gets 10 GB/s, of four or more 16 (measured on a Xeon of the Sapphire Rapids generation).

use super::memory::{Aligned, Plain};
use super::product::{self, Activations, Product};
use super::quantize::SignMagnitude;
use super::simd::{Isa, LANES};
use super::threads::{Shared, Threads};
use crate::error::Result;

/// Values of one pair of inputs in a panel.
pub(crate) const PAIR: usize = 2 * LANES;

/// How a packed matrix stores its values.
pub(crate) trait Packable: Plain {
    const ZERO: Self;
    /// Inputs whose weights lie together: a step of the kernel.
    const INPUTS: usize;

    /// Where the value of output `lane` for input `i < INPUTS` of a step lies.
    fn place(lane: usize, i: usize) -> usize;

    /// Runs the kernel.
    fn run(isa: Isa, p: &Product<'_, Self>);
}

impl Packable for f32 {
    const ZERO: f32 = 0.0;
    const INPUTS: usize = 2;

    #[inline(always)]
    fn place(lane: usize, i: usize) -> usize {
        i * LANES + lane
    }

    fn run(isa: Isa, p: &Product<'_, f32>) {
        product::fma(isa, p);
    }
}

impl Packable for u16 {
    const ZERO: u16 = 0;
    const INPUTS: usize = 2;

    #[inline(always)]
    fn place(lane: usize, i: usize) -> usize {
        2 * lane + i
    }

    fn run(isa: Isa, p: &Product<'_, u16>) {
        match p.x.kind {
            Activations::F32 => product::fma(isa, p),
            Activations::Bf16 => product::bf16_dots(isa, p),
        }
    }
}

impl Packable for i8 {
    const ZERO: i8 = 0;
    const INPUTS: usize = 2;

    #[inline(always)]
    fn place(lane: usize, i: usize) -> usize {
        2 * lane + i
    }

    fn run(isa: Isa, p: &Product<'_, i8>) {
        product::fma(isa, p);
    }
}

impl Packable for SignMagnitude {
    const ZERO: SignMagnitude = SignMagnitude::ZERO;
    const INPUTS: usize = 4;

    /// The instruction that joins low and high bytes takes the first eight bytes of every 16 for one result, and the other
    /// eight for the next: pairs follow the order of [`u16`] in halves of 16 bytes.
    #[inline(always)]
    fn place(lane: usize, i: usize) -> usize {
        let of_pair = 2 * lane + i % 2;
        of_pair / 8 * 16 + i / 2 * 8 + of_pair % 8
    }

    fn run(isa: Isa, p: &Product<'_, SignMagnitude>) {
        product::int8_dots(isa, p);
    }
}

/// A packed matrix. Rows are padded with zeros to whole panels, `K` to whole steps.
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
        let inputs = k.next_multiple_of(E::INPUTS);
        let mut values = Aligned::zeroed(panels * inputs * LANES)?;
        let shared = Shared::new(&mut values);
        threads.share(panels, n * k, |range| {
            for panel in range {
                // SAFETY: panels do not overlap, and each belongs to one range.
                let out = unsafe { shared.slice(panel * inputs * LANES, inputs * LANES) };
                let rows = &weights[panel * LANES * k..n.min((panel + 1) * LANES) * k];
                fill(rows, k, out);
            }
        });
        Ok(Packed { values, k: inputs, n })
    }

    /// Inputs, padded to a whole step.
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
        for (step, out) in out.chunks_exact_mut(E::INPUTS * LANES).enumerate() {
            let first = step * E::INPUTS;
            for lane in 0..LANES {
                for i in 0..E::INPUTS {
                    out[E::place(lane, i)] = if first + i < k { rows[lane * k + first + i] } else { E::ZERO };
                }
            }
        }
        return;
    }
    for (lane, row) in rows.chunks_exact(k).enumerate() {
        for (i, &value) in row.iter().enumerate() {
            out[i / E::INPUTS * E::INPUTS * LANES + E::place(lane, i % E::INPUTS)] = value;
        }
    }
}
