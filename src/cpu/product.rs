//! The matrix kernel: rows of activations times a packed matrix ([`super::pack`]).
//!
//! A tile is `MR` rows by `NP` panels of 16 outputs; each step takes one pair of inputs. With few rows `NP` is large:
//! the panels are streams from memory and arithmetic hides behind them. With many rows `MR` is large: each weight that is
//! widened serves `MR` rows, and an activation is broadcast by the load that brings it.
//!
//! The order of the additions of one output is fixed by `K` alone: blocks of [`block`] inputs, each summed from first to
//! last in one fused multiply-add after the other, the sums added to the result one after another. Shape and instruction set
//! change nothing of that, so an output has the same bits whatever shares the call.

use super::pack::{PAIR, Packable, Packed};
use super::simd::{LANES, Simd, entry};

/// Longest run of `K` that is summed in one go: three panels of bfloat16 then fit 48 KB of L1.
const BLOCK: usize = 512;
/// Most rows of activations in one call of [`run`] that still stay in 2 MB of L2 between panels, at 2048 inputs.
pub(crate) const ROWS: usize = 144;
/// Outputs into which work is best divided: eight panels, the widest tile.
pub(crate) const COLUMNS: usize = 128;
/// How far ahead weights are fetched into L1, in bytes of each stream: 512 reads fastest with four and six streams.
const AHEAD: usize = 512;

/// Inputs in a block of `K`: even parts, in steps of a cache line of activations.
pub(crate) fn block(k: usize) -> usize {
    k.div_ceil(k.div_ceil(BLOCK).max(1)).next_multiple_of(LANES)
}

/// What the kernel does with its results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Writes them.
    Store,
    /// Adds them to what is there.
    Add,
}

/// Rows of activations: block of `K` by block, within a block row after row. An odd `K` is padded by a zero.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    /// Rows.
    pub(crate) count: usize,
    /// Inputs of each, padded.
    pub(crate) k: usize,
}

/// One call of the kernel: `out[offsets[i] + j - from] = x[row + i] · w[j] + bias[j]` for the outputs `j` in `from..to`.
pub(crate) struct Product<'a, E> {
    pub(crate) x: Rows<'a>,
    /// The first row of `x` that takes part; `offsets` says how many do.
    pub(crate) row: usize,
    pub(crate) w: &'a Packed<E>,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// One for each output of the matrix.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) offsets: &'a [usize],
    pub(crate) then: Then,
}

/// Runs the kernel.
///
/// # Safety
/// `out[offset..offset + to - from]` exists for every offset and nobody else uses it meanwhile.
pub(crate) unsafe fn run<E: Packable>(isa: super::simd::Isa, p: &Product<'_, E>, out: *mut f32) {
    assert!(p.x.k == p.w.inputs() && p.x.values.len() >= p.x.count * p.x.k);
    assert!(p.row + p.offsets.len() <= p.x.count && p.from < p.to && p.to <= p.w.outputs());
    assert!(p.bias.is_none_or(|bias| bias.len() >= p.to));
    enter(isa, p, out);
}

entry! {
    fn enter<E: Packable>(p: &Product<'_, E>, out: *mut f32) = any
}

#[inline(always)]
fn any<S: Simd, E: Packable>(s: S, p: &Product<'_, E>, out: *mut f32) {
    let rows = p.offsets.len();
    let tall = S::WIDTHS.len();
    // Tiles of even height: the last one is hardly lower than the others.
    let height = rows.div_ceil(rows.div_ceil(tall).max(1)).max(1);
    let widest = S::WIDTHS[height - 1];
    let block = block(p.x.k);
    let last = p.to.div_ceil(LANES);
    let mut panel = p.from / LANES;
    while panel < last {
        let np = width(last - panel, widest, height);
        let mut k = 0;
        while k < p.x.k {
            let len = block.min(p.x.k - k);
            let mut m = 0;
            while m < rows {
                let mr = height.min(rows - m);
                let at = At {
                    x: p.x.values[k * p.x.count + (p.row + m) * len..][..mr * len].as_ptr(),
                    len,
                    w: p.w.panel(panel).wrapping_add(k * LANES),
                    pitch: p.w.pitch(),
                    to: Target { p, out, row: m, panel, start: k == 0 },
                };
                // SAFETY: `np` panels from `panel` on exist, and the rows were just sliced.
                unsafe { shaped(s, &at, mr, np) };
                m += mr;
            }
            k += len;
        }
        panel += np;
    }
}

/// Where a tile lies in memory.
struct At<'a, E> {
    /// Rows of activations, `len` values each, one after another.
    x: *const f32,
    len: usize,
    /// The first panel, and the values from one to the next.
    w: *const E,
    pitch: usize,
    to: Target<'a, E>,
}

/// Where its results go.
struct Target<'a, E> {
    p: &'a Product<'a, E>,
    out: *mut f32,
    row: usize,
    panel: usize,
    /// Whether this is the first block of `K`.
    start: bool,
}

/// Panels in the next tile.
#[inline(always)]
fn width(left: usize, widest: usize, height: usize) -> usize {
    if left >= widest {
        widest
    } else if left >= 4 && widest > 4 && height <= 2 {
        4
    } else {
        left.min(2)
    }
}

/// Whether `mr × np` is among the tiles of an instruction set.
const fn fits<S: Simd>(mr: usize, np: usize) -> bool {
    if mr > S::WIDTHS.len() {
        return false;
    }
    let widest = S::WIDTHS[mr - 1];
    np == widest
        || (np < widest && np <= 2)
        || (np == 4 && widest > 4 && mr <= 2)
        || (np == S::WIDTHS[S::WIDTHS.len() - 1])
}

/// Calls the tile of the given shape, which must be one that [`fits`].
///
/// # Safety
/// As [`tile`] says.
#[inline(always)]
unsafe fn shaped<S: Simd, E: Packable>(s: S, at: &At<'_, E>, mr: usize, np: usize) {
    macro_rules! shapes {
        ($($m:literal: $($n:literal)*;)*) => {
            match (mr, np) {
                $($(($m, $n) if const { fits::<S>($m, $n) } => {
                    // SAFETY: the caller vouches for this shape.
                    unsafe { tile::<S, E, $m, $n>(s, at) }
                })*)*
                _ => unreachable!("no tile of {mr} by {np}"),
            }
        };
    }
    shapes! {
        1: 8 4 3 2 1;
        2: 8 4 3 2 1;
        3: 4 3 2 1;
        4: 4 3 2 1;
        5: 4 3 2 1;
        6: 3 2 1;
        7: 3 2 1;
        8: 3 2 1;
        9: 2 1;
        10: 2 1;
        11: 2 1;
        12: 2 1;
    }
}

/// One block of `K` of `MR` rows and `NP` panels.
///
/// # Safety
/// `MR · len` values are readable at `x`, `NP` panels from `w` on, `len` inputs of each; the target is as [`run`] says.
#[inline(always)]
unsafe fn tile<S: Simd, E: Packable, const MR: usize, const NP: usize>(s: S, at: &At<'_, E>) {
    let At { x, len, w, pitch, .. } = *at;
    let mut acc = [[s.zero(); NP]; MR];
    for pair in 0..len / 2 {
        let mut first = [s.zero(); NP];
        let mut second = [s.zero(); NP];
        for j in 0..NP {
            let line = w.wrapping_add(j * pitch + pair * PAIR);
            s.prefetch::<false>(line.cast::<u8>().wrapping_add(AHEAD));
            if size_of::<E>() == 4 {
                s.prefetch::<false>(line.cast::<u8>().wrapping_add(AHEAD + 64));
            }
            // SAFETY: pair `pair < len / 2` of panel `j < NP`.
            (first[j], second[j]) = unsafe { E::pair(s, line) };
        }
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: values `2 pair` and `2 pair + 1` of row `m < MR`.
            let (a, b) = unsafe {
                let x = x.add(m * len + 2 * pair);
                (s.splat(*x), s.splat(*x.add(1)))
            };
            for j in 0..NP {
                acc[j] = s.fma(a, first[j], acc[j]);
            }
            for j in 0..NP {
                acc[j] = s.fma(b, second[j], acc[j]);
            }
        }
    }
    for (m, acc) in acc.iter().enumerate() {
        for (j, &sum) in acc.iter().enumerate() {
            // SAFETY: row `row + m` and panel `panel + j` are part of the product.
            unsafe { put(s, &at.to, m, j, sum) };
        }
    }
}

/// Writes or adds the sums of row `m`, panel `j` of a tile.
///
/// # Safety
/// As [`run`] says.
#[inline(always)]
unsafe fn put<S: Simd, E>(s: S, to: &Target<'_, E>, m: usize, j: usize, sum: S::V) {
    let p = to.p;
    let column = (to.panel + j) * LANES;
    let (low, high) = (p.from.saturating_sub(column), LANES.min(p.to - column));
    let mut sum = sum;
    if to.start
        && let Some(bias) = p.bias
    {
        sum = s.add(sum, s.load_tail(&bias[column..column + high]));
    }
    let add = p.then == Then::Add || !to.start;
    // SAFETY: the row's outputs `from..to` may be written, of which lanes `low..high` are this panel's.
    unsafe {
        let out = to.out.add(p.offsets[to.row + m]).wrapping_add(column).wrapping_sub(p.from);
        if low == 0 {
            if add {
                sum = s.add(s.load_first(out, high), sum);
            }
            s.store_first(out, high, sum);
        } else {
            let mut lanes = [0.0; LANES];
            s.store(&mut lanes, sum);
            for (lane, &sum) in lanes.iter().enumerate().take(high).skip(low) {
                let out = out.wrapping_add(lane);
                *out = if add { *out + sum } else { sum };
            }
        }
    }
}
