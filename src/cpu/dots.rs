//! Dot products of rows of activations with rows that lie as they were appended: queries with cached keys.
//!
//! The order of the additions of one result is fixed by `K` alone: 16 lanes along `K`, summed by the tree of
//! [`Simd::sum4`]. Tiles of any shape keep that order, so a result has the same bits whatever shares the call.

use super::simd::{Element, LANES, Simd, entry};

/// One call of the kernel: `out[i · pitch + j] = a[i] · w[j]`.
pub(crate) struct Dots<E> {
    a: *const f32,
    lda: usize,
    m: usize,
    w: *const E,
    ldw: usize,
    n: usize,
    k: usize,
    out: *mut f32,
    pitch: usize,
}

impl<E: Element> Dots<E> {
    /// Rows `(first element, elements from one to the next)` of `a`, `w` and `out`.
    ///
    /// # Safety
    /// Readable for as long as the value lives: `m` rows of `k` rounded up to 16 values at `a`, zero beyond `k`; `n` rows
    /// of `k` values at `w`. Writable by this value alone: `m` rows of `n` values at `out`.
    pub(crate) unsafe fn new(
        a: (*const f32, usize),
        m: usize,
        w: (*const E, usize),
        n: usize,
        k: usize,
        out: (*mut f32, usize),
    ) -> Self {
        Dots { a: a.0, lda: a.1, m, w: w.0, ldw: w.1, n, k, out: out.0, pitch: out.1 }
    }
}

entry! {
    /// Runs the kernel.
    pub(crate) fn run<E: Element>(dots: &Dots<E>) = any
}

#[inline(always)]
fn any<S: Simd, E: Element>(s: S, p: &Dots<E>) {
    // Tiles of even height: the last one is hardly lower than the others.
    let height = p.m.div_ceil(p.m.div_ceil(S::HIGH.0).max(1)).max(1);
    let most = if height <= S::LOW.0 { S::LOW.1 } else { S::HIGH.1 };
    let mut n = 0;
    while n < p.n {
        let nr = if p.n - n >= most { most } else { 1 };
        let mut m = 0;
        while m < p.m {
            let mr = height.min(p.m - m);
            // SAFETY: rows `n..n + nr` of `w` and `m..m + mr` of `a` and `out` exist.
            unsafe { shaped(s, p, (m, mr), (n, nr)) };
            m += mr;
        }
        n += nr;
    }
}

/// Whether `mr × nr` is among the tiles of an instruction set.
const fn fits<S: Simd>(mr: usize, nr: usize) -> bool {
    let low = mr <= S::LOW.0 && nr == S::LOW.1;
    let high = mr <= S::HIGH.0 && nr == S::HIGH.1;
    low || high || (mr <= S::HIGH.0 && nr == 1)
}

/// Calls the tile of the given shape, which must be one that [`fits`].
///
/// # Safety
/// As [`tile`] says.
#[inline(always)]
unsafe fn shaped<S: Simd, E: Element>(s: S, p: &Dots<E>, (m, mr): (usize, usize), (n, nr): (usize, usize)) {
    macro_rules! shapes {
        ($($m:literal: $($n:literal)*;)*) => {
            match (mr, nr) {
                $($(($m, $n) if const { fits::<S>($m, $n) } => {
                    // SAFETY: the caller vouches for this shape's rows.
                    unsafe { tile::<S, E, $m, $n>(s, p, m, n) }
                })*)*
                _ => unreachable!("no tile of {mr} by {nr}"),
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
        7: 3 1;
        8: 3 1;
    }
}

/// The dot products of rows `m..m + MR` of `a` with rows `n..n + NR` of `w`; the next `NR` rows are prefetched.
///
/// # Safety
/// The rows exist.
#[inline(always)]
unsafe fn tile<S: Simd, E: Element, const MR: usize, const NR: usize>(s: S, p: &Dots<E>, m: usize, n: usize) {
    let (a, w) = (p.a.wrapping_add(m * p.lda), p.w.wrapping_add(n * p.ldw));
    let mut acc = [[s.zero(); NR]; MR];
    let steps = p.k / LANES;
    for i in 0..steps {
        let mut wide = [s.zero(); NR];
        for (j, wide) in wide.iter_mut().enumerate() {
            s.prefetch::<false>(w.wrapping_add((NR + j) * p.ldw + i * LANES).cast());
            // SAFETY: values `16 i..16 (i + 1)` of row `j < NR`.
            *wide = unsafe { E::load(s, w.add(j * p.ldw + i * LANES)) };
        }
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the same values of row `m < MR`.
            let x = unsafe { <f32 as Element>::load(s, a.add(m * p.lda + i * LANES)) };
            for j in 0..NR {
                acc[j] = s.fma(x, wide[j], acc[j]);
            }
        }
    }
    if !p.k.is_multiple_of(LANES) {
        let (from, rest) = (steps * LANES, p.k % LANES);
        let mut wide = [s.zero(); NR];
        for (j, wide) in wide.iter_mut().enumerate() {
            // SAFETY: the last values of row `j < NR`.
            *wide = unsafe { E::load_first(s, w.add(j * p.ldw + from), rest) };
        }
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: row `m < MR` is padded to a multiple of 16 values.
            let x = unsafe { <f32 as Element>::load(s, a.add(m * p.lda + from)) };
            for j in 0..NR {
                acc[j] = s.fma(x, wide[j], acc[j]);
            }
        }
    }
    for (i, acc) in acc.iter().enumerate() {
        let mut v = [s.zero(); 4];
        v[..NR].copy_from_slice(acc);
        let sums = s.sum4(v);
        // SAFETY: `NR` results of row `m + i`.
        unsafe {
            let out = p.out.add((m + i) * p.pitch + n);
            std::ptr::copy_nonoverlapping(sums.as_ptr(), out, NR);
        }
    }
}
