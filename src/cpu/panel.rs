//! The matrix kernel: dot products of rows of activations with rows of a weight matrix, both contiguous along `K`.
//!
//! The order of the additions of one output is fixed by `K` alone: 16 lanes along `K`, a block of at most
//! [`BLOCK`] values summed by the tree of [`Simd::sum4`], the blocks' sums added one after another. Tiles of any
//! shape keep that order, so an output has the same bits whatever shares the call.
//!
//! With few rows a matrix is read once, at memory speed, and narrow values are widened in registers. With many
//! rows a tile of the matrix is widened once into a buffer that stays in L1 while the rows stream past it from L2.

use std::mem::MaybeUninit;

use super::simd::{Element, LANES, Simd, entry};

/// Longest run of `K` that one tree sums: 4 rows of activations and 6 of weights then fit 48 KB of L1.
const BLOCK: usize = 1024;
/// Most outputs of [`few`] at a time: 16 rows by 4.
const FEW_SUMS: usize = 64;
/// Sums held between blocks of `K`: 19 slots of 33 tiles of 4 × 6, 60 KB.
const SUMS: usize = 19 * 33 * 24;
/// Widened weights: 6 rows of one block.
const WIDE: usize = 6 * BLOCK;
/// Most rows of activations in one call of [`run`]: 528 KB of L2 for one block of `K`.
pub(crate) const ROWS: usize = 132;

/// Columns into which a range of outputs is best divided: a whole number of tiles on every instruction set.
pub(crate) const COLUMNS: usize = 96;

/// Values in a block of `K`.
fn block(k: usize) -> usize {
    k.div_ceil(k.div_ceil(BLOCK).max(1)).next_multiple_of(LANES)
}

/// What the kernel does with a dot product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Writes it.
    Store,
    /// Adds it to what is there.
    Add,
}

/// One call of the kernel: `out[offsets[i] + j] = a[i] · w[j] + bias[j]`.
pub(crate) struct Panel<'a, E> {
    /// Rows of activations, `lda` apart, zero-padded to a multiple of 16 values.
    a: *const f32,
    lda: usize,
    /// Rows of weights, `ldw` apart, `k` values each.
    w: *const E,
    ldw: usize,
    n: usize,
    k: usize,
    out: *mut f32,
    /// One per row of activations.
    offsets: &'a [usize],
    bias: Option<&'a [f32]>,
    then: Then,
}

impl<'a, E: Element> Panel<'a, E> {
    /// # Safety
    /// Readable for as long as the value lives: `offsets.len()` rows of `k` rounded up to 16 values, `lda` apart,
    /// at `a`, zero beyond `k`; `n` rows of `k` values, `ldw` apart, at `w`. Writable by this value alone:
    /// `out[offset..offset + n]` for every offset. `bias` has `n` values.
    #[allow(clippy::too_many_arguments)]
    pub(crate) unsafe fn new(
        a: *const f32,
        lda: usize,
        w: *const E,
        ldw: usize,
        n: usize,
        k: usize,
        out: *mut f32,
        offsets: &'a [usize],
        bias: Option<&'a [f32]>,
        then: Then,
    ) -> Self {
        debug_assert!(bias.is_none_or(|b| b.len() == n));
        Panel { a, lda, w, ldw, n, k, out, offsets, bias, then }
    }
}

entry! {
    /// Runs the kernel.
    pub(crate) fn run<E: Element>(panel: &Panel<'_, E>) = any
}

#[inline(always)]
fn any<S: Simd, E: Element>(s: S, p: &Panel<'_, E>) {
    if p.offsets.len() <= S::FEW {
        few(s, p);
    } else {
        many(s, p);
    }
}

/// Where a tile lies in memory.
#[derive(Clone, Copy)]
struct At<E> {
    a: *const f32,
    lda: usize,
    w: *const E,
    ldw: usize,
    /// Values along `K`.
    k: usize,
    /// Rows that will be read soon, `ldp` bytes from one to the next: `step` bytes of each per 16 values of `K`.
    ahead: *const u8,
    ldp: usize,
    step: usize,
}

/// Adds the dot products of `MR` rows of activations with `NR` rows of weights to `totals`, row by row. The weights
/// are rows of a matrix or, where `WIDENED`, what [`widen`] made of them; if `AHEAD`, a tile of
/// them is prefetched, of the latter half a tile.
///
/// # Safety
/// As [`Panel::new`] says of `MR` rows at `a` and `NR` rows at `w`; `totals` has `MR · NR` values.
#[inline(always)]
unsafe fn tile<S, E, const MR: usize, const NR: usize, const WIDENED: bool, const AHEAD: bool>(
    s: S,
    at: &At<E>,
    totals: *mut f32,
) where
    S: Simd,
    E: Element,
{
    let At { a, lda, w, ldw, k, ahead, ldp, step } = *at;
    let mut acc = [[s.zero(); NR]; MR];
    let steps = k / LANES;
    let prefetched = if AHEAD { NR / if WIDENED { 2 } else { 1 } } else { 0 };
    for i in 0..steps {
        for j in 0..prefetched {
            s.prefetch::<WIDENED>(ahead.wrapping_add(j * ldp + i * step));
        }
        let mut wide = [s.zero(); NR];
        for (j, wide) in wide.iter_mut().enumerate() {
            let offset = if WIDENED { (i * NR + j) * LANES } else { j * ldw + i * LANES };
            // SAFETY: values `16 i..16 (i + 1)` of row `j < NR`.
            *wide = unsafe { E::load(s, w.add(offset)) };
        }
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the same values of row `m < MR`.
            let x = unsafe { <f32 as Element>::load(s, a.add(m * lda + i * LANES)) };
            for j in 0..NR {
                acc[j] = s.fma(x, wide[j], acc[j]);
            }
        }
    }
    if !WIDENED && !k.is_multiple_of(LANES) {
        let (from, rest) = (steps * LANES, k % LANES);
        let mut wide = [s.zero(); NR];
        for (j, wide) in wide.iter_mut().enumerate() {
            // SAFETY: the last values of row `j < NR`.
            *wide = unsafe { E::load_first(s, w.add(j * ldw + from), rest) };
        }
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: row `m < MR` is padded to a multiple of 16 values.
            let x = unsafe { <f32 as Element>::load(s, a.add(m * lda + from)) };
            for j in 0..NR {
                acc[j] = s.fma(x, wide[j], acc[j]);
            }
        }
    }
    for from in 0..(MR * NR).div_ceil(LANES) {
        let from = from * LANES;
        let mut v = [s.zero(); LANES];
        for (i, v) in v.iter_mut().enumerate() {
            if from + i < MR * NR {
                *v = acc[(from + i) / NR][(from + i) % NR];
            }
        }
        let n = LANES.min(MR * NR - from);
        // SAFETY: `from + n ≤ MR · NR`.
        unsafe {
            let total = totals.add(from);
            s.store_first(total, n, s.add(s.load_first(total, n), s.sum16(v)));
        }
    }
}

/// Adds bias and what is there already, and writes the outputs of a tile at column `n` and row `m`.
#[inline(always)]
fn finish<S: Simd, E>(s: S, p: &Panel<'_, E>, m: usize, mr: usize, n: usize, nr: usize, totals: &[f32]) {
    for (&offset, row) in p.offsets[m..m + mr].iter().zip(totals.chunks_exact(nr)) {
        let mut sum = s.load_tail(row);
        if let Some(bias) = p.bias {
            sum = s.add(sum, s.load_tail(&bias[n..n + nr]));
        }
        // SAFETY: `n + nr ≤ p.n`, and `Panel::new` was promised the row's `n` values.
        unsafe {
            let out = p.out.add(offset + n);
            if p.then == Then::Add {
                sum = s.add(s.load_first(out, nr), sum);
            }
            s.store_first(out, nr, sum);
        }
    }
}

/// Whether `mr × nr` is among the tiles of an instruction set, widened ones or not.
const fn fits<S: Simd>(widened: bool, ahead: bool, mr: usize, nr: usize) -> bool {
    if !widened {
        let low = mr <= S::LOW.0 && nr == S::LOW.1;
        // Rows are divided evenly over at most 3 tiles, so the last one is hardly lower than the others.
        let high = mr <= S::HIGH.0 && nr == S::HIGH.1 && mr + 2 > S::LOW.0;
        low || high || (mr <= S::HIGH.0 && nr == 1)
    } else if ahead {
        mr == S::TILE.0 && nr == S::TILE.1
    } else {
        mr <= S::TILE.0 && (nr == S::TILE.1 || nr <= 2)
    }
}

/// Rows of weights in the next tile over widened weights.
#[inline(always)]
fn width(left: usize, most: usize) -> usize {
    if left >= most { most } else { left.min(2) }
}

/// Calls the tile of the given shape, which must be one that [`fits`].
///
/// # Safety
/// As [`tile`] says.
#[inline(always)]
unsafe fn shaped<S, E, const WIDENED: bool, const AHEAD: bool>(
    s: S,
    at: &At<E>,
    totals: *mut f32,
    mr: usize,
    nr: usize,
) where
    S: Simd,
    E: Element,
{
    macro_rules! shapes {
        ($(($m:literal, $n:literal))*) => {
            match (mr, nr) {
                $(($m, $n) if const { fits::<S>(WIDENED, AHEAD, $m, $n) } => {
                    // SAFETY: the caller vouches for this shape's rows.
                    unsafe { tile::<S, E, $m, $n, WIDENED, AHEAD>(s, at, totals) }
                })*
                _ => unreachable!("no tile of {mr} by {nr}"),
            }
        };
    }
    shapes! {
        (1, 6) (1, 4) (1, 2) (1, 1)
        (2, 6) (2, 4) (2, 2) (2, 1)
        (3, 6) (3, 4) (3, 2) (3, 1)
        (4, 6) (4, 4) (4, 2) (4, 1)
        (5, 4) (5, 3) (5, 1)
        (6, 4) (6, 3) (6, 1)
        (7, 3) (7, 1)
        (8, 3) (8, 1)
    }
}

/// At most `FEW` rows: weights straight from memory, through one tile or a few of even height.
#[inline(always)]
fn few<S: Simd, E: Element>(s: S, p: &Panel<'_, E>) {
    let rows = p.offsets.len();
    let height = rows.div_ceil(rows.div_ceil(S::HIGH.0).max(1));
    let most = if height <= S::LOW.0 { S::LOW.1 } else { S::HIGH.1 };
    let block = block(p.k);
    let mut n = 0;
    while n < p.n {
        let nr = if p.n - n >= most { most } else { 1 };
        let mut totals = [0.0; FEW_SUMS];
        let mut from = 0;
        while from < p.k {
            // SAFETY: row `n < p.n` and `from < k` lie within the panel.
            let w = unsafe { p.w.add(n * p.ldw + from) };
            let mut m = 0;
            while m < rows {
                let at = At {
                    // SAFETY: row `m` lies within the panel.
                    a: unsafe { p.a.add(m * p.lda + from) },
                    lda: p.lda,
                    w,
                    ldw: p.ldw,
                    k: block.min(p.k - from),
                    ahead: w.wrapping_add(nr * p.ldw).cast(),
                    ldp: p.ldw * size_of::<E>(),
                    step: LANES * size_of::<E>(),
                };
                let mr = height.min(rows - m);
                // SAFETY: rows `n..n + nr` of weights and `m..m + mr` of activations lie within the panel.
                unsafe {
                    let totals = totals[m * nr..(m + mr) * nr].as_mut_ptr();
                    if m == 0 {
                        shaped::<S, E, false, true>(s, &at, totals, mr, nr);
                    } else {
                        shaped::<S, E, false, false>(s, &at, totals, mr, nr);
                    }
                }
                m += mr;
            }
            from += block;
        }
        finish(s, p, 0, rows, n, nr, &totals[..rows * nr]);
        n += nr;
    }
}

/// More rows: blocks of rows and columns, tile by tile within a block of `K`.
#[inline(always)]
fn many<S: Simd, E: Element>(s: S, p: &Panel<'_, E>) {
    let (mr, nr) = S::TILE;
    let mut wide = [0.0; WIDE];
    let mut m = 0;
    while m < p.offsets.len() {
        let rows = (ROWS / mr * mr).min(p.offsets.len() - m);
        let mut n = 0;
        while n < p.n {
            let columns = (COLUMNS / nr * nr).min(p.n - n);
            rectangle(s, p, (m, rows), (n, columns), &mut wide);
            n += columns;
        }
        m += rows;
    }
}

/// At most `ROWS` rows by `COLUMNS` columns.
#[inline(always)]
fn rectangle<S: Simd, E: Element>(
    s: S,
    p: &Panel<'_, E>,
    (m0, rows): (usize, usize),
    (n0, columns): (usize, usize),
    wide: &mut [f32; WIDE],
) {
    let (mr, nr) = S::TILE;
    let tiles = rows.div_ceil(mr);
    // One slot per tile. A rest of up to 5 columns takes at most two slots more than a whole tile.
    let mut memory = [const { MaybeUninit::uninit() }; SUMS];
    let totals = zeros(&mut memory[..tiles * (columns / nr + 3) * mr * nr]);
    let block = block(p.k);
    let mut from = 0;
    while from < p.k {
        let k = block.min(p.k - from);
        let (mut n, mut slot) = (0, 0);
        while n < columns {
            let width = width(columns - n, nr);
            // SAFETY: row `n0 + n < p.n` and `from < p.k` lie within the panel.
            let w = unsafe { p.w.add((n0 + n) * p.ldw + from) };
            let next = w.wrapping_add(width * p.ldw);
            // SAFETY: rows `n0 + n..` of weights, from `from` on; `wide` has room for the largest tile.
            unsafe { widen(s, w, p.ldw, width, k, wide.as_mut_ptr()) };
            let mut m = 0;
            while m < rows {
                let height = mr.min(rows - m);
                // SAFETY: row `m0 + m` lies within the panel.
                let a = unsafe { p.a.add((m0 + m) * p.lda + from) };
                let at = At {
                    a,
                    lda: p.lda,
                    w: wide.as_ptr(),
                    ldw: 0,
                    k: k.next_multiple_of(LANES),
                    ahead: next.cast(),
                    ldp: p.ldw * size_of::<E>(),
                    step: LANES * size_of::<E>(),
                };
                let totals = totals[slot..slot + mr * nr].as_mut_ptr();
                // SAFETY: the widened rows, rows `m0 + m..` of activations, and this tile's slot.
                unsafe {
                    // Two tiles of rows suffice to prefetch the next 6 rows of weights.
                    if m < 2 * mr && height == mr && width == nr {
                        let at = At { ahead: next.wrapping_add(m / mr * (nr / 2) * p.ldw).cast(), ..at };
                        shaped::<S, f32, true, true>(s, &at, totals, height, width);
                    } else {
                        shaped::<S, f32, true, false>(s, &at, totals, height, width);
                    }
                }
                slot += mr * nr;
                m += height;
            }
            n += width;
        }
        from += block;
    }
    let (mut n, mut slot) = (0, 0);
    while n < columns {
        let width = width(columns - n, nr);
        for tile in 0..tiles {
            let height = mr.min(rows - tile * mr);
            finish(s, p, m0 + tile * mr, height, n0 + n, width, &totals[slot..slot + height * width]);
            slot += mr * nr;
        }
        n += width;
    }
}

/// Only what is used gets initialised: on small problems clearing all of it would show.
#[inline(always)]
fn zeros(memory: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    for value in memory.iter_mut() {
        value.write(0.0);
    }
    // SAFETY: every value was just written, and `MaybeUninit<f32>` is laid out like `f32`.
    unsafe { &mut *(std::ptr::from_mut(memory) as *mut [f32]) }
}

/// Widens one block of `rows` rows of weights, zero-padded to a multiple of 16: 16 values of each row, then the next 16
/// of each, so that a tile reads them one after another.
///
/// # Safety
/// `rows` rows of `k` values, `ldw` apart, are readable at `w`, and `rows · k`, with `k` padded, writable at `out`.
#[inline(always)]
unsafe fn widen<S: Simd, E: Element>(s: S, w: *const E, ldw: usize, rows: usize, k: usize, out: *mut f32) {
    for j in 0..rows {
        let mut step = 0;
        while step < k {
            let n = LANES.min(k - step);
            // SAFETY: `step + n ≤ k` and `j < rows`.
            unsafe {
                let from = w.add(j * ldw + step);
                let v = if n == LANES { E::load(s, from) } else { E::load_first(s, from, n) };
                s.store(&mut *out.add(step * rows + j * LANES).cast::<[f32; LANES]>(), v);
            }
            step += LANES;
        }
    }
}
