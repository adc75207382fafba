//! The matrix kernel: rows of activations times a packed matrix ([`super::pack`]).
//!
//! A tile is `MR` rows by `NP` panels of 16 outputs; each step takes one pair of inputs, or two. With few rows `NP` is large:
//! the panels are streams from memory and arithmetic hides behind them. With many rows `MR` is large: each weight that is
//! widened serves `MR` rows, and an activation is broadcast by the load that brings it. [`super::arithmetic`] says what a step does.
//!
//! The order of the additions of one output is fixed by `K` alone: blocks of [`block`] inputs, each summed from first to
//! last, the sums added to the result one after another. The tile's shape changes nothing of that, so an output has the same bits
//! whatever shares the call; nor does the instruction set, but for [`Isa::Avx512Bf16`], whose sums are of rounded activations.

use super::arithmetic::{Arithmetic, Fma, Widen};
use super::pack::{PAIR, Packable, Packed};
use super::quantize::SignMagnitude;
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

/// Bytes of a panel's weights for a step.
const fn step_bytes<E: Packable>() -> usize {
    E::INPUTS * LANES * size_of::<E>()
}

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

/// Weights that [`fma`] takes.
pub(super) trait Weights: Packable + Widen {}
impl<E: Packable + Widen> Weights for E {}

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

/// Rows of activations: block of `K` by block, within a block row after row. `K` is padded by zeros to whole steps of the matrix.
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
    pub(crate) out: Output,
    pub(crate) then: Then,
}

/// Where a [`Product`] writes.
#[derive(Clone, Copy)]
pub(crate) struct Output(*mut f32);

impl Output {
    /// # Safety
    /// For the product that it becomes part of, `out[offset..offset + to - from]` exists for every offset as long as that lives, and
    /// nobody else uses it meanwhile.
    pub(crate) unsafe fn new(out: *mut f32) -> Self {
        Output(out)
    }
}

/// Runs the kernel.
pub(crate) fn run<E: Packable>(isa: Isa, p: &Product<'_, E>) {
    assert!(p.x.k == p.w.inputs() && p.x.values.len() * p.x.kind.per_value() >= p.x.count * p.x.k);
    assert!(p.row + p.offsets.len() <= p.x.count && p.from < p.to && p.to <= p.w.outputs());
    assert!(p.bias.is_none_or(|bias| bias.len() >= p.to));
    assert!(p.scales.is_none_or(|scales| scales.len() >= p.to));
    E::run(isa, p);
}

entry! {
    /// The kernel for activations in f32.
    pub(super) fn fma<E: Weights>(p: &Product<'_, E>) = fma_any
}

#[inline(always)]
fn fma_any<S: Simd, E: Weights>(s: S, p: &Product<'_, E>) {
    assert!(p.x.kind == Activations::F32);
    any(Fma(s), p);
}

/// Defines the kernel for activations in bfloat16 and weights of one kind.
macro_rules! dots {
    ($(#[$doc:meta])* $name:ident, $arithmetic:ident, $element:ty) => {
        $(#[$doc])*
        #[cfg(target_arch = "x86_64")]
        pub(super) fn $name(isa: Isa, p: &Product<'_, $element>) {
            use super::arithmetic::$arithmetic;

            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512bf16,avx2,fma")]
            fn enter(a: $arithmetic, p: &Product<'_, $element>) {
                any(a, p);
            }
            assert!(isa == Isa::Avx512Bf16 && isa.available(), "the machine has no AVX-512 BF16");
            assert!(p.x.kind == Activations::Bf16);
            // SAFETY: the machine has the features, as just checked.
            unsafe { enter($arithmetic::new(), p) }
        }

        $(#[$doc])*
        #[cfg(not(target_arch = "x86_64"))]
        pub(super) fn $name(_: Isa, _: &Product<'_, $element>) {
            unreachable!("activations are rounded on machines with AVX-512 BF16 alone");
        }
    };
}

dots! {
    /// The kernel for activations and weights in bfloat16.
    bf16_dots, Bf16Dots, u16
}

dots! {
    /// The kernel for activations in bfloat16 and small integers as weights.
    int8_dots, Int8Dots, SignMagnitude
}

#[inline(always)]
fn any<A: Arithmetic<E>, E: Packable>(a: A, p: &Product<'_, E>) {
    const { assert!(2 * A::PAIRS == E::INPUTS) };
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
                let steps = len / E::INPUTS;
                // Where `K` ends, a stream goes on with the panel behind those that are read now: else three of four would begin with
                // a wait, every 27 KB of int8 at 1664 inputs.
                let (turn, jump) = if k + len == p.x.k {
                    (steps.saturating_sub(AHEAD / step_bytes::<E>()), (np - 1) * p.w.pitch())
                } else {
                    (steps, 0)
                };
                let at = At {
                    x: p.x.values[(k * p.x.count + (p.row + m) * len) / per..][..mr * len / per]
                        .as_ptr()
                        .cast::<A::Inputs>(),
                    len: steps,
                    w: p.w.panel(panel).wrapping_add(k * LANES),
                    pitch: p.w.pitch(),
                    turn,
                    jump,
                    to: Target { p, row: m, panel, start: k == 0 },
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
    /// Rows of activations, `len` steps each, one after another.
    x: *const X,
    len: usize,
    /// The first panel, and the values from one to the next.
    w: *const E,
    pitch: usize,
    /// From step `turn` on weights are fetched `jump` values farther on.
    turn: usize,
    jump: usize,
    to: Target<'a, E>,
}

/// Where its results go.
struct Target<'a, E> {
    p: &'a Product<'a, E>,
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
unsafe fn shaped<A: Arithmetic<E>, E: Packable>(a: A, at: &At<'_, A::Inputs, E>, mr: usize, np: usize) {
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
/// `MR · len` steps are readable at `x`, `NP` panels from `w` on, `len` steps of each; the target is part of the product.
#[inline(always)]
unsafe fn tile<A: Arithmetic<E>, E: Packable, const MR: usize, const NP: usize>(
    a: A,
    at: &At<'_, A::Inputs, E>,
) {
    let s = a.simd();
    let At { x, len, w, pitch, turn, jump, .. } = *at;
    let mut acc = [[s.zero(); NP]; MR];
    for step in 0..len {
        let place = |j: usize| w.wrapping_add(j * pitch + step * A::PAIRS * PAIR);
        let far = if step < turn { 0 } else { jump };
        for j in 0..NP {
            for line in (0..step_bytes::<E>().max(64)).step_by(64) {
                s.prefetch::<false>(place(j).wrapping_add(far).cast::<u8>().wrapping_add(AHEAD + line));
            }
        }
        // A loop, because a closure as long as some of these are is not inlined, and has not the features of this function.
        // SAFETY: step `step < len` of panel `j < NP`, of which there is one at least.
        let mut weights = [unsafe { a.weights(place(0)) }; NP];
        for (j, weights) in weights.iter_mut().enumerate().skip(1) {
            // SAFETY: as above.
            *weights = unsafe { a.weights(place(j)) };
        }
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: step `step` of row `m < MR`.
            let x = unsafe { a.spread(x.add(m * len + step)) };
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
/// They are part of the product.
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
    // SAFETY: whoever made `out` vouches for the row's outputs `from..to`, of which lanes `low..high` are this panel's.
    unsafe {
        let out = p.out.0.add(p.offsets[to.row + m]).wrapping_add(column).wrapping_sub(p.from);
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
