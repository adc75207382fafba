//! The matrix kernel: rows of activations times a packed matrix ([`super::pack`]).
//!
//! A tile is `MR` rows by `NP` panels of 16 outputs; each step takes one pair of inputs. With few rows `NP` is large:
//! the panels are streams from memory and arithmetic hides behind them. With many rows `MR` is large: each weight that is
//! widened serves `MR` rows, and an activation is broadcast by the load that brings it. [`super::arithmetic`] says what a step does.
//!
//! The order of the additions of one output is fixed by `K` alone: blocks of [`block`] inputs, each summed from first to
//! last, the sums added to the result one after another. The tile's shape changes nothing of that, so an output has the same bits
//! whatever shares the call; nor does the instruction set, but for [`Isa::Avx512Bf16`], whose sums are of rounded activations.

use super::arithmetic::{Arithmetic, Fma};
use super::pack::{PAIR, Packable, Packed};
use super::simd::{Isa, LANES, Simd, entry};

/// Longest run of `K` that is summed in one go: three panels of bfloat16 then fit 48 KB of L1.
const BLOCK: usize = 512;
/// Most rows of activations in one call of [`run`] that still stay in 2 MB of L2 between panels, at 2048 inputs.
pub(crate) const ROWS: usize = 144;
/// Outputs into which work is divided: four panels, so that even 1664 outputs fall into many parts.
pub(crate) const COLUMNS: usize = 64;
/// How far ahead weights are fetched into L1, in bytes of each stream. On an EPYC of the Turin generation 1024 and four streams read at 82 %
/// of the best rate, 512 and eight at 77 %, 2048 and four at 78 % (medians).
const AHEAD: usize = 1024;

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

/// How activations are kept while they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activations {
    F32,
    /// Rounded, two to a value: the first of a pair in the lower half.
    Bf16,
}

impl Activations {
    /// Inputs to one f32's worth of memory.
    pub(crate) fn per_value(self) -> usize {
        if self == Activations::Bf16 { 2 } else { 1 }
    }
}

/// Rows of activations: block of `K` by block, within a block row after row. An odd `K` is padded by a zero.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) kind: Activations,
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
    /// Factors of the outputs, one for each of the matrix.
    pub(crate) scales: Option<&'a [f32]>,
    /// One for each output of the matrix.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) offsets: &'a [usize],
    pub(crate) then: Then,
}

/// Runs the kernel.
///
/// # Safety
/// `out[offset..offset + to - from]` exists for every offset and nobody else uses it meanwhile.
pub(crate) unsafe fn run<E: Packable>(isa: Isa, p: &Product<'_, E>, out: *mut f32) {
    assert!(p.x.k == p.w.inputs() && p.x.values.len() * p.x.kind.per_value() >= p.x.count * p.x.k);
    assert!(p.row + p.offsets.len() <= p.x.count && p.from < p.to && p.to <= p.w.outputs());
    assert!(p.bias.is_none_or(|bias| bias.len() >= p.to));
    assert!(p.scales.is_none_or(|scales| scales.len() >= p.to));
    match p.x.kind {
        Activations::F32 => fma(isa, p, out),
        Activations::Bf16 => E::dots(isa, p, out),
    }
}

entry! {
    fn fma<E: Packable>(p: &Product<'_, E>, out: *mut f32) = fma_any
}

#[inline(always)]
fn fma_any<S: Simd, E: Packable>(s: S, p: &Product<'_, E>, out: *mut f32) {
    any(Fma(s), p, out);
}

/// The kernel for activations in bfloat16.
#[cfg(target_arch = "x86_64")]
pub(crate) fn dots<E: Packable + super::arithmetic::ToBf16>(isa: Isa, p: &Product<'_, E>, out: *mut f32) {
    use super::arithmetic::{Bf16Dots, ToBf16};

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    fn enter<E: Packable + ToBf16>(a: Bf16Dots, p: &Product<'_, E>, out: *mut f32) {
        any(a, p, out);
    }
    assert!(isa == Isa::Avx512Bf16 && isa.available(), "the machine has no AVX-512 BF16");
    // SAFETY: the machine has the features, as just checked.
    unsafe { enter(Bf16Dots::new(), p, out) }
}

/// The kernel for activations in bfloat16.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn dots<E>(_: Isa, _: &Product<'_, E>, _: *mut f32) {
    unreachable!("activations are rounded on machines with AVX-512 BF16 alone");
}

#[inline(always)]
fn any<A: Arithmetic<E>, E: Packable>(a: A, p: &Product<'_, E>, out: *mut f32) {
    let rows = p.offsets.len();
    let tall = A::WIDTHS.len();
    // Tiles of even height: the last one is hardly lower than the others.
    let height = rows.div_ceil(rows.div_ceil(tall).max(1)).max(1);
    let widest = A::WIDTHS[height - 1];
    let block = block(p.x.k);
    let last = p.to.div_ceil(LANES);
    let mut panel = p.from / LANES;
    while panel < last {
        let left = last - panel;
        let np = if left >= widest { widest } else { left.min(2) };
        let mut k = 0;
        while k < p.x.k {
            let len = block.min(p.x.k - k);
            let mut m = 0;
            while m < rows {
                let mr = height.min(rows - m);
                let per = p.x.kind.per_value();
                let at = At {
                    x: p.x.values[(k * p.x.count + (p.row + m) * len) / per..][..mr * len / per]
                        .as_ptr()
                        .cast::<A::Pair>(),
                    len: len / 2,
                    w: p.w.panel(panel).wrapping_add(k * LANES),
                    pitch: p.w.pitch(),
                    to: Target { p, out, row: m, panel, start: k == 0 },
                };
                // SAFETY: `np` panels from `panel` on exist, and the rows were just sliced.
                unsafe { shaped(a, &at, mr, np) };
                m += mr;
            }
            k += len;
        }
        panel += np;
    }
}

/// Where a tile lies in memory.
struct At<'a, X, E> {
    /// Rows of activations, `len` pairs each, one after another.
    x: *const X,
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

/// Whether `mr × np` is among the tiles of an instruction set: as wide as a tile of this height or, where rows end, of a greater
/// one, or as narrow as outputs end.
const fn fits(widths: &[usize], mr: usize, np: usize) -> bool {
    let mut height = mr;
    while height <= widths.len() {
        let widest = widths[height - 1];
        if np == widest || (np < widest && np <= 2) {
            return true;
        }
        height += 1;
    }
    false
}

/// Calls the tile of the given shape, which must be one that [`fits`].
///
/// # Safety
/// As [`tile`] says.
#[inline(always)]
unsafe fn shaped<A: Arithmetic<E>, E>(a: A, at: &At<'_, A::Pair, E>, mr: usize, np: usize) {
    macro_rules! shapes {
        ($($m:literal: $($n:literal)*;)*) => {
            match (mr, np) {
                $($(($m, $n) if const { fits(A::WIDTHS, $m, $n) } => {
                    // SAFETY: the caller vouches for this shape.
                    unsafe { tile::<A, E, $m, $n>(a, at) }
                })*)*
                _ => unreachable!("no tile of {mr} by {np}"),
            }
        };
    }
    shapes! {
        1: 4 3 2 1;
        2: 4 3 2 1;
        3: 4 3 2 1;
        4: 4 3 2 1;
        5: 4 3 2 1;
        6: 4 3 2 1;
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
/// `MR · len` pairs are readable at `x`, `NP` panels from `w` on, `len` pairs of inputs of each; the target is as [`run`] says.
#[inline(always)]
unsafe fn tile<A: Arithmetic<E>, E, const MR: usize, const NP: usize>(a: A, at: &At<'_, A::Pair, E>) {
    let s = a.simd();
    let At { x, len, w, pitch, .. } = *at;
    let mut acc = [[s.zero(); NP]; MR];
    for pair in 0..len {
        let weights: [A::W; NP] = std::array::from_fn(|j| {
            let line = w.wrapping_add(j * pitch + pair * PAIR);
            for ahead in (0..(PAIR * size_of::<E>()).max(64)).step_by(64) {
                s.prefetch::<false>(line.cast::<u8>().wrapping_add(AHEAD + ahead));
            }
            // SAFETY: pair `pair < len` of panel `j < NP`.
            unsafe { a.weights(line) }
        });
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: pair `pair` of row `m < MR`.
            let x = unsafe { a.spread(x.add(m * len + pair)) };
            for j in 0..NP {
                acc[j] = a.multiply(x, weights[j], acc[j]);
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
    if let Some(scales) = p.scales {
        sum = s.mul(sum, s.load_tail(&scales[column..column + high]));
    }
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
