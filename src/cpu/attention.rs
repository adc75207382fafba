//! Causal attention of a block of queries over one head's keys and values.
//!
//! Scores come from the matrix kernel, the softmax is exact, and each query adds its values up in the order of their
//! positions: the result of a query depends neither on its block nor on how many rows share the call.

use super::dots::{self, Dots};
use super::math;
use super::memory::Aligned;
use super::simd::{Element, Isa, LANES, Simd, entry};
use crate::error::Result;

/// Queries that one block aims at: they share every key that is read.
pub(crate) const QUERIES: usize = 12;

/// Memory of one block.
#[derive(Default)]
pub(crate) struct Scratch {
    queries: Aligned<f32>,
    scores: Aligned<f32>,
    sums: Vec<f32>,
}

impl Scratch {
    /// Makes room for `count` queries of `head_dim` that see up to `keys` keys.
    pub(crate) fn reserve(&mut self, count: usize, head_dim: usize, keys: usize) -> Result<()> {
        self.queries.at_least(count * head_dim.next_multiple_of(LANES))?;
        self.scores.at_least(count * keys.next_multiple_of(LANES))?;
        self.sums.clear();
        self.sums.reserve(count);
        Ok(())
    }
}

/// Keys and values of one head, each row `pitch` values after the one before.
#[derive(Clone, Copy)]
pub(crate) struct Strip<E> {
    pub(crate) keys: *const E,
    pub(crate) values: *const E,
    pub(crate) pitch: usize,
}

/// A block of queries that share a strip: `rows` rows of `group` heads, row `r` sees the first `seen + r` keys.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) rows: usize,
    /// Query heads for each head of keys.
    pub(crate) group: usize,
    pub(crate) head_dim: usize,
    /// Keys that the first row sees.
    pub(crate) seen: usize,
    /// Where the queries lie: first element, and elements from one row to the next. Heads follow each other.
    pub(crate) queries: (*const f32, usize),
    /// Where the results go.
    pub(crate) out: (*mut f32, usize),
}

/// Attention of one block.
///
/// # Safety
/// The strip has `seen + rows - 1` readable keys and values of `head_dim`; queries are readable and results writable
/// for this call alone.
pub(crate) unsafe fn attend<E: Element>(
    isa: Isa,
    block: Block,
    strip: Strip<E>,
    scratch: &mut Scratch,
) -> Result<()> {
    let Block { rows, group, head_dim, seen, .. } = block;
    let count = rows * group;
    let keys = seen + rows - 1;
    let pitch = head_dim.next_multiple_of(LANES);
    let queries = scratch.queries.at_least(count * pitch)?;
    for (i, query) in queries.chunks_exact_mut(pitch).enumerate() {
        // SAFETY: query head `i % group` of row `i / group`.
        let source = unsafe {
            let at = block.queries.0.add(i / group * block.queries.1 + i % group * head_dim);
            std::slice::from_raw_parts(at, head_dim)
        };
        query[..head_dim].copy_from_slice(source);
        query[head_dim..].fill(0.0);
    }
    let score_pitch = keys.next_multiple_of(LANES);
    let scores = scratch.scores.at_least(count * score_pitch)?;
    // SAFETY: `count` padded queries, `keys` keys, and scores of their own. Scores of keys that a row does not see
    // are computed with the others and never looked at.
    let scored = unsafe {
        Dots::new(
            (queries.as_ptr(), pitch),
            count,
            (strip.keys, strip.pitch),
            keys,
            head_dim,
            (scores.as_mut_ptr(), score_pitch),
        )
    };
    dots::run(isa, &scored);
    let scale = 1.0 / (head_dim as f32).sqrt();
    scratch.sums.clear();
    for (i, scores) in scores.chunks_exact_mut(score_pitch).enumerate() {
        scratch.sums.push(math::softmax(isa, &mut scores[..seen + i / group], scale));
    }
    weigh(
        isa,
        &Weigh { block, values: strip.values, pitch: strip.pitch, scores, score_pitch, sums: &scratch.sums },
    );
    Ok(())
}

/// `out = Σ score · value / sum` for the queries of a block.
struct Weigh<'a, E> {
    block: Block,
    values: *const E,
    pitch: usize,
    scores: &'a [f32],
    score_pitch: usize,
    sums: &'a [f32],
}

/// Vectors of a head that are added up in one go.
const WIDTH: usize = 4;

entry! {
    fn weigh<E: Element>(w: &Weigh<'_, E>) = weigh_any
}

#[inline(always)]
fn weigh_any<S: Simd, E: Element>(s: S, w: &Weigh<'_, E>) {
    let mut column = 0;
    while column < w.block.head_dim {
        let width = (w.block.head_dim - column).min(WIDTH * LANES);
        match width.div_ceil(LANES) {
            1 => columns::<S, E, 1>(s, w, column, width),
            2 => columns::<S, E, 2>(s, w, column, width),
            3 => columns::<S, E, 3>(s, w, column, width),
            _ => columns::<S, E, 4>(s, w, column, width),
        }
        column += width;
    }
}

#[inline(always)]
fn columns<S: Simd, E: Element, const NV: usize>(s: S, w: &Weigh<'_, E>, column: usize, width: usize) {
    let Block { group, seen, .. } = w.block;
    let count = w.sums.len();
    let mut i = 0;
    while i < count {
        let shared = if S::TOGETHER == 4 { 4 } else { 1 };
        if i + shared <= count && shared == 4 {
            let mut acc = [[s.zero(); NV]; 4];
            // The first of the four sees the fewest keys; the others go on alone from there.
            let common = seen + i / group;
            run::<S, E, NV, 4>(s, w, column, width, i, 0..common, &mut acc);
            for (j, acc) in acc.into_iter().enumerate() {
                let mut acc = [acc];
                run::<S, E, NV, 1>(s, w, column, width, i + j, common..seen + (i + j) / group, &mut acc);
                put(s, w, column, width, i + j, acc[0]);
            }
            i += 4;
        } else {
            let mut acc = [[s.zero(); NV]; 1];
            run::<S, E, NV, 1>(s, w, column, width, i, 0..seen + i / group, &mut acc);
            put(s, w, column, width, i, acc[0]);
            i += 1;
        }
    }
}

/// Adds the values of some keys to the sums of queries `i..i + Q`.
#[inline(always)]
fn run<S: Simd, E: Element, const NV: usize, const Q: usize>(
    s: S,
    w: &Weigh<'_, E>,
    column: usize,
    width: usize,
    i: usize,
    keys: std::ops::Range<usize>,
    acc: &mut [[S::V; NV]; Q],
) {
    let last = width - (NV - 1) * LANES;
    let mut sums = *acc;
    let scores = w.scores[i * w.score_pitch..(i + Q) * w.score_pitch].as_ptr();
    debug_assert!(keys.end <= w.score_pitch);
    let mut key = keys.start;
    while key < keys.end {
        let mut v = [s.zero(); NV];
        for (n, v) in v.iter_mut().enumerate() {
            // SAFETY: `attend` was promised `head_dim` values for each key that a query sees.
            *v = unsafe {
                let at = w.values.add(key * w.pitch + column + n * LANES);
                if n + 1 < NV || last == LANES { E::load(s, at) } else { E::load_first(s, at, last) }
            };
        }
        for (q, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `key` is below the pitch of the scores, whose `Q` rows were taken above.
            let score = s.splat(unsafe { *scores.add(q * w.score_pitch + key) });
            for n in 0..NV {
                sums[n] = s.fma(score, v[n], sums[n]);
            }
        }
        key += 1;
    }
    *acc = sums;
}

#[inline(always)]
fn put<S: Simd, E, const NV: usize>(
    s: S,
    w: &Weigh<'_, E>,
    column: usize,
    width: usize,
    i: usize,
    acc: [S::V; NV],
) {
    let Block { group, head_dim, out, .. } = w.block;
    let sum = s.splat(w.sums[i]);
    for (n, acc) in acc.into_iter().enumerate() {
        // SAFETY: `attend` was promised the `head_dim` results of query head `i % group` of row `i / group`.
        unsafe {
            let at = out.0.add(i / group * out.1 + i % group * head_dim + column + n * LANES);
            s.store_first(at, LANES.min(width - n * LANES), s.div(acc, sum));
        }
    }
}
