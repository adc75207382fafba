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
/// Most outputs of a tile, 4 × 6, padded to a multiple of 16.
const TILE_MAX: usize = 32;
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
    if p.offsets.len() <= S::FEW.0 {
        few(s, p);
    } else {
        many(s, p);
    }
}

/// Sums of one tile, row by row.
type Sums = [f32; TILE_MAX];

/// Where a tile lies in memory.
#[derive(Clone, Copy)]
struct At<E> {
    a: *const f32,
    lda: usize,
    w: *const E,
    ldw: usize,
    /// Values along `K`.
    k: usize,
    /// Rows that will be read soon: the line under each row of weights, `ldp` bytes from one row to the next.
    ahead: *const u8,
    ldp: usize,
}

/// The dot products of `MR` rows of activations with `NR` rows of weights.
///
/// # Safety
/// As [`Panel::new`] says of `MR` rows at `a` and `NR` rows at `w`.
#[inline(always)]
unsafe fn tile<S: Simd, E: Element, const MR: usize, const NR: usize, const MANY: bool>(
    s: S,
    at: &At<E>,
    sums: &mut Sums,
) {
    let At { a, lda, w, ldw, k, ahead, ldp } = *at;
    let mut acc = [[s.zero(); NR]; MR];
    let whole = k / LANES * LANES;
    let mut step = 0;
    while step < whole {
        for j in 0..if MANY { 2 } else { NR } {
            s.prefetch(ahead.wrapping_add(j * ldp + step * size_of::<E>()));
        }
        let mut wide = [s.zero(); NR];
        for (j, wide) in wide.iter_mut().enumerate() {
            // SAFETY: `step + 16 ≤ k` values of row `j < NR`.
            *wide = unsafe { E::load(s, w.add(j * ldw + step)) };
        }
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: `step + 16 ≤ k` values of row `i < MR`.
            let x = unsafe { <f32 as Element>::load(s, a.add(i * lda + step)) };
            for j in 0..NR {
                acc[j] = s.fma(x, wide[j], acc[j]);
            }
        }
        step += LANES;
    }
    if step < k {
        let mut wide = [s.zero(); NR];
        for (j, wide) in wide.iter_mut().enumerate() {
            // SAFETY: the `k - step < 16` last values of row `j < NR`.
            *wide = unsafe { E::load_first(s, w.add(j * ldw + step), k - step) };
        }
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: row `i < MR` is padded to a multiple of 16 values.
            let x = unsafe { <f32 as Element>::load(s, a.add(i * lda + step)) };
            for j in 0..NR {
                acc[j] = s.fma(x, wide[j], acc[j]);
            }
        }
    }
    let mut done = 0;
    while done + 16 <= MR * NR {
        let mut v = [s.zero(); 16];
        for (i, v) in v.iter_mut().enumerate() {
            *v = acc[(done + i) / NR][(done + i) % NR];
        }
        let mut out = [0.0; 16];
        s.sum16(v, &mut out);
        sums[done..done + 16].copy_from_slice(&out);
        done += 16;
    }
    while done < MR * NR {
        let mut v = [s.zero(); 4];
        for (i, v) in v.iter_mut().enumerate() {
            if done + i < MR * NR {
                *v = acc[(done + i) / NR][(done + i) % NR];
            }
        }
        sums[done..done + 4].copy_from_slice(&s.sum4(v));
        done += 4;
    }
}

/// Adds a block's sums to those of the blocks before it.
#[inline(always)]
fn accumulate<S: Simd>(s: S, total: &mut [f32], block: &Sums, count: usize) {
    let mut i = 0;
    while i < count {
        let n = LANES.min(count - i);
        let sum = s.add(s.load_tail(&total[i..i + n]), s.load_tail(&block[i..i + n]));
        s.store_tail(&mut total[i..i + n], sum);
        i += LANES;
    }
}

/// Adds bias and what is there already, and writes the outputs of a tile at column `n` and row `m`.
#[inline(always)]
fn finish<E>(p: &Panel<'_, E>, m: usize, mr: usize, n: usize, nr: usize, total: &[f32]) {
    for (&offset, row) in p.offsets[m..m + mr].iter().zip(total.chunks_exact(nr)) {
        for (j, &sum) in row.iter().enumerate() {
            let sum = p.bias.map_or(sum, |bias| sum + bias[n + j]);
            // SAFETY: `n + j < p.n`, and `Panel::new` was promised the row's `n` values.
            unsafe {
                let out = p.out.add(offset + n + j);
                *out = if p.then == Then::Add { *out + sum } else { sum };
            }
        }
    }
}

/// Whether tiles of `mr × nr` are used where whole tiles are `shape`: of any height up to it, and as wide or, for the
/// last columns, 2 or 1 wide.
const fn fits(shape: (usize, usize), mr: usize, nr: usize) -> bool {
    mr <= shape.0 && (nr == shape.1 || nr == 1 || nr == rest(shape.1))
}

/// The width between that of a whole tile and 1.
const fn rest(most: usize) -> usize {
    if most > 4 { 2 } else { 1 }
}

/// Rows of weights in the next tile.
#[inline(always)]
fn width(left: usize, most: usize) -> usize {
    match left {
        _ if left >= most => most,
        _ if left >= rest(most) => rest(most),
        _ => 1,
    }
}

/// Calls the tile of the given shape, which must fit `FEW` or, if `MANY`, `TILE`.
///
/// # Safety
/// As [`tile`] says.
#[inline(always)]
unsafe fn shaped<S: Simd, E: Element, const MANY: bool>(
    s: S,
    at: &At<E>,
    sums: &mut Sums,
    mr: usize,
    nr: usize,
) {
    macro_rules! shapes {
        ($(($m:literal, $n:literal))*) => {
            match (mr, nr) {
                $(($m, $n) if const { fits(if MANY { S::TILE } else { S::FEW }, $m, $n) } => {
                    // SAFETY: the caller vouches for this shape's rows.
                    unsafe { tile::<S, E, $m, $n, MANY>(s, at, sums) }
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
        (5, 4) (5, 2) (5, 1)
        (6, 4) (6, 2) (6, 1)
    }
}

/// At most `FEW` rows: one tile high.
#[inline(always)]
fn few<S: Simd, E: Element>(s: S, p: &Panel<'_, E>) {
    let m = p.offsets.len();
    let most = S::FEW.1;
    let block = block(p.k);
    let mut n = 0;
    while n < p.n {
        let nr = width(p.n - n, most);
        let mut total: Sums = [0.0; TILE_MAX];
        let mut from = 0;
        while from < p.k {
            // SAFETY: row `n < p.n` and `from < k` lie within the panel.
            let (a, w) = unsafe { (p.a.add(from), p.w.add(n * p.ldw + from)) };
            let at = At {
                a,
                lda: p.lda,
                w,
                ldw: p.ldw,
                k: block.min(p.k - from),
                ahead: w.wrapping_add(nr * p.ldw).cast(),
                ldp: p.ldw * size_of::<E>(),
            };
            let mut sums: Sums = [0.0; TILE_MAX];
            // SAFETY: rows `n..n + nr` and all rows of activations lie within the panel.
            unsafe { shaped::<S, E, false>(s, &at, &mut sums, m, nr) };
            accumulate(s, &mut total, &sums, m * nr);
            from += block;
        }
        finish(p, 0, m, n, nr, &total[..m * nr]);
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
            if E::NARROW {
                for j in 0..width {
                    // SAFETY: row `n0 + n + j < p.n`, from `from` on.
                    unsafe { widen(s, w.add(j * p.ldw), k, &mut wide[j * block..(j + 1) * block]) };
                }
            }
            let mut m = 0;
            while m < rows {
                let height = mr.min(rows - m);
                // SAFETY: row `m0 + m` lies within the panel.
                let a = unsafe { p.a.add((m0 + m) * p.lda + from) };
                // Two of the next tile's rows per tile of this one: all of them if there are 3 or more tiles.
                let ahead: *const u8 = next.wrapping_add(2 * (m / mr).min(width / 2) * p.ldw).cast();
                let ldp = p.ldw * size_of::<E>();
                let mut sums: Sums = [0.0; TILE_MAX];
                if E::NARROW {
                    let at = At {
                        a,
                        lda: p.lda,
                        w: wide.as_ptr(),
                        ldw: block,
                        k: k.next_multiple_of(LANES),
                        ahead,
                        ldp,
                    };
                    // SAFETY: the widened rows, and rows `m0 + m..` of activations.
                    unsafe { shaped::<S, f32, true>(s, &at, &mut sums, height, width) };
                } else {
                    let at = At { a, lda: p.lda, w, ldw: p.ldw, k, ahead, ldp };
                    // SAFETY: rows `n0 + n..` of weights and `m0 + m..` of activations.
                    unsafe { shaped::<S, E, true>(s, &at, &mut sums, height, width) };
                }
                let count = height * width;
                accumulate(s, &mut totals[slot..slot + count], &sums, count);
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
            finish(p, m0 + tile * mr, height, n0 + n, width, &totals[slot..slot + height * width]);
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

/// One block of a row of weights to f32, zero-padded to a multiple of 16.
///
/// # Safety
/// `k` values must be readable at `w`.
#[inline(always)]
unsafe fn widen<S: Simd, E: Element>(s: S, w: *const E, k: usize, out: &mut [f32]) {
    let mut step = 0;
    for chunk in out[..k.next_multiple_of(LANES)].chunks_exact_mut(LANES) {
        let n = LANES.min(k - step);
        // SAFETY: `step + n ≤ k`.
        let v =
            unsafe { if n == LANES { E::load(s, w.add(step)) } else { E::load_first(s, w.add(step), n) } };
        s.store_tail(chunk, v);
        step += LANES;
    }
}
