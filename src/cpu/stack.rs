//! QKV projection with rotary positions, and attention over what [`Attention`] names.

use std::sync::Mutex;

use super::attention::{self, Block, QUERIES, Strip};
use super::cache::Store;
use super::memory::{Aligned, Plain};
use super::product::Then;
use super::simd::Element;
use super::threads::Shared;
use super::{CpuBackend, CpuBuffer, CpuCache, CpuLinear};
use crate::backend::{Attention, Heads, RowMap};
use crate::check;
use crate::error::{Error, Result};

/// Calls `work(row, sequence, row within the sequence)` for a range of the rows of a ragged batch.
fn ragged(rows: &[usize], range: std::ops::Range<usize>, mut work: impl FnMut(usize, usize, usize)) {
    let mut first = 0;
    for (s, &count) in rows.iter().enumerate() {
        for i in range.start.max(first)..range.end.min(first + count) {
            work(i, s, i - first);
        }
        first += count;
        if first >= range.end {
            return;
        }
    }
}

impl CpuBackend {
    pub(super) fn project_heads(
        &self,
        linear: &CpuLinear,
        heads: Heads,
        theta: f64,
        x: &CpuBuffer,
        n: usize,
        layer: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut CpuBuffer,
    ) -> Result<()> {
        check::pass(heads, n, layer, attention)?;
        let width = heads.packed();
        check::equal("outputs of linear", linear.outputs, width, "the width of packed heads")?;
        check::rows("x", x.0.len(), RowMap::DENSE, n, linear.inputs, linear.inputs)?;
        check::rows("out", out.0.len(), RowMap::DENSE, n, width, width)?;
        if !(theta.is_finite() && theta > 0.0) {
            return Err(Error::argument(format!("theta is {theta}; it must be finite and positive")));
        }
        if n == 0 {
            return Ok(());
        }
        let positions = match attention {
            Attention::Stream { caches, lanes, rows } => {
                let mut most = 0;
                for (&lane, rows) in lanes.iter().zip(*rows) {
                    let cache = &mut caches[lane];
                    let len = cache.len.saturating_add(*rows);
                    cache.ensure(len)?;
                    most = most.max(len);
                }
                most
            }
            Attention::Chunks { window } => *window,
            Attention::Step { position, rows, .. } => *position + *rows,
        };
        let angles = self.ropes.get(theta, heads.head_dim, positions)?;
        self.operations.with(|scratch| {
            scratch.offsets.clear();
            scratch.offsets.extend((0..n).map(|i| i * width));
            let (offsets, rows) = (&scratch.offsets, &mut scratch.rows);
            self.multiply(linear, &x.0, RowMap::DENSE, n, &mut out.0, offsets, rows, Then::Store)
        })?;

        let packed = Shared::new(&mut out.0);
        let rotate = |i: usize, position: usize| {
            // SAFETY: row `i < n`, which one range has for itself.
            let row = unsafe { packed.slice(i * width, width) };
            let rotated = heads.query_width() + heads.kv_width();
            for head in row[..rotated].chunks_exact_mut(heads.head_dim) {
                angles.rotate(position, head);
            }
            row
        };
        let cost = n * width * 2;
        match attention {
            Attention::Chunks { window } => self.threads.share(n, cost, |range| {
                for i in range {
                    rotate(i, i % *window);
                }
            }),
            Attention::Step { local, position, rows } => {
                let stored = Shared::new(&mut local.data);
                let (local, both) = (&**local, 2 * heads.kv_width());
                self.threads.share(n, cost, |range| {
                    for i in range {
                        let (slot, at) = (i / *rows, *position + i % *rows);
                        let row = rotate(i, at);
                        // SAFETY: slot and row are in bounds, as validated, and belong to row `i` alone.
                        let out = unsafe { stored.slice(local.row(layer, slot, at), both) };
                        out.copy_from_slice(&row[heads.query_width()..]);
                    }
                });
            }
            Attention::Stream { caches, lanes, rows } => {
                let caches = &**caches;
                self.threads.share(n, cost, |range| {
                    ragged(rows, range, |i, s, j| {
                        let cache: &CpuCache = &caches[lanes[s]];
                        let position = cache.len + j;
                        let row = rotate(i, position);
                        let new = &row[heads.query_width()..];
                        // SAFETY: `ensure` made room for `position`, which belongs to row `i` alone because a lane
                        // takes part once.
                        unsafe {
                            match &cache.store {
                                Store::F32(data) => append(cache, data, layer, position, new),
                                Store::Bf16(data) => append(cache, data, layer, position, new),
                            }
                        }
                    });
                });
            }
        }
        Ok(())
    }

    pub(super) fn attend_heads(
        &self,
        heads: Heads,
        packed: &CpuBuffer,
        n: usize,
        layer: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut CpuBuffer,
    ) -> Result<()> {
        check::pass(heads, n, layer, attention)?;
        let (width, out_width, group) = (heads.packed(), heads.query_width(), heads.query / heads.kv);
        check::rows("packed", packed.0.len(), RowMap::DENSE, n, width, width)?;
        check::rows("out", out.0.len(), RowMap::DENSE, n, out_width, out_width)?;
        if n == 0 {
            return Ok(());
        }
        let out = Shared::new(&mut out.0);
        // A block of `rows` rows from row `first` on, of the query heads of KV head `head`.
        let block = |first: usize, rows: usize, head: usize, seen: usize| Block {
            rows,
            group,
            head_dim: heads.head_dim,
            seen,
            queries: (packed.0[first * width + head * group * heads.head_dim..].as_ptr(), width),
            out: (out.at(first * out_width + head * group * heads.head_dim), out_width),
        };
        let failure = Mutex::new(None);
        let note = |result: Result<()>| {
            if let Err(error) = result {
                *failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
            }
        };
        let high = (QUERIES / group).max(1);
        let keys = match attention {
            Attention::Chunks { window } => *window,
            Attention::Step { position, rows, .. } => *position + *rows,
            Attention::Stream { caches, lanes, rows } => {
                lanes.iter().zip(*rows).map(|(&lane, rows)| caches[lane].len + rows).max().unwrap_or(0)
            }
        };
        self.blocks
            .ready(self.threads.count(), |scratch| scratch.reserve(high * group, heads.head_dim, keys))?;
        match attention {
            Attention::Chunks { window } => {
                let window = *window;
                let cost = n * window * out_width / 8;
                self.threads.share(n / window * heads.kv, cost, |range| {
                    self.blocks.with(|scratch| {
                        for i in range {
                            let (chunk, head) = (i / heads.kv, i % heads.kv);
                            let keys = heads.query_width() + head * heads.head_dim;
                            let rows = &packed.0[chunk * window * width..(chunk + 1) * window * width];
                            let strip = Strip {
                                keys: rows[keys..].as_ptr(),
                                values: rows[keys + heads.kv_width()..].as_ptr(),
                                pitch: width,
                            };
                            let mut row = 0;
                            while row < window {
                                let count = high.min(window - row);
                                let block = block(chunk * window + row, count, head, row + 1);
                                // SAFETY: the chunk's rows are in `packed`; this block's results are its own.
                                note(unsafe { attention::attend(self.isa, block, strip, scratch) });
                                row += count;
                            }
                        }
                    });
                });
            }
            Attention::Step { local, position, rows } => {
                let (local, position, rows) = (&**local, *position, *rows);
                let cost = n * (position + rows) * out_width / 8;
                self.threads.share(n / rows * heads.kv, cost, |range| {
                    self.blocks.with(|scratch| {
                        for i in range {
                            let (slot, head) = (i / heads.kv, i % heads.kv);
                            let keys = &local.data[local.row(layer, slot, 0)..];
                            let strip = Strip {
                                keys: keys[head * heads.head_dim..].as_ptr(),
                                values: keys[heads.kv_width() + head * heads.head_dim..].as_ptr(),
                                pitch: 2 * heads.kv_width(),
                            };
                            let mut row = 0;
                            while row < rows {
                                let count = high.min(rows - row);
                                let block = block(slot * rows + row, count, head, position + row + 1);
                                // SAFETY: the slot has `window ≥ position + rows` rows; the results are this
                                // block's own.
                                note(unsafe { attention::attend(self.isa, block, strip, scratch) });
                                row += count;
                            }
                        }
                    });
                });
            }
            Attention::Stream { caches, lanes, rows } => {
                let caches = &**caches;
                let mut cost = 0usize;
                let mut blocks = 0;
                for (&lane, &rows) in lanes.iter().zip(*rows) {
                    let cache = &caches[lane];
                    check::room(cache, rows)?;
                    cost = cost.saturating_add(rows * (cache.len + rows) * out_width / 8);
                    let seen = rows * cache.len + rows * (rows + 1) / 2;
                    self.count(
                        (cache.len + rows) * 2 * heads.kv_width() * self.element(),
                        4 * seen * out_width,
                    );
                    blocks += rows.div_ceil(high);
                }
                self.threads.share(blocks * heads.kv, cost, |range| {
                    self.blocks.with(|scratch| {
                        for i in range {
                            // Blocks of one head follow each other, so that its keys stay in cache.
                            let (mut rest, mut first, mut s) = (i, 0, 0);
                            while rest >= rows[s].div_ceil(high) * heads.kv {
                                rest -= rows[s].div_ceil(high) * heads.kv;
                                first += rows[s];
                                s += 1;
                            }
                            let of_head = rows[s].div_ceil(high);
                            let (head, row) = (rest / of_head, rest % of_head * high);
                            let cache = &caches[lanes[s]];
                            let block =
                                block(first + row, high.min(rows[s] - row), head, cache.len + row + 1);
                            // SAFETY: the cache has room for all rows of the pass, as just checked, so the strips
                            // of the layer hold every key that is seen; the results are this block's own.
                            note(unsafe {
                                match &cache.store {
                                    Store::F32(data) => attention::attend(
                                        self.isa,
                                        block,
                                        strip(cache, data, layer, head),
                                        scratch,
                                    ),
                                    Store::Bf16(data) => attention::attend(
                                        self.isa,
                                        block,
                                        strip(cache, data, layer, head),
                                        scratch,
                                    ),
                                }
                            });
                        }
                    });
                });
            }
        }
        failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).map_or(Ok(()), Err)
    }
}

/// One head's keys and values in a cache.
fn strip<E>(cache: &CpuCache, data: &Aligned<E>, layer: usize, head: usize) -> Strip<E>
where
    E: Plain + Element,
{
    Strip {
        keys: data[cache.strip(layer, 0, head)..].as_ptr(),
        values: data[cache.strip(layer, 1, head)..].as_ptr(),
        pitch: cache.heads.head_dim,
    }
}

/// Writes the keys and values `[k | v]` of one row, rounded.
///
/// # Safety
/// `position` is below the capacity, and nobody else uses its places in this layer meanwhile.
unsafe fn append<E: Plain + Element>(
    cache: &CpuCache,
    data: &Aligned<E>,
    layer: usize,
    position: usize,
    new: &[f32],
) {
    let head_dim = cache.heads.head_dim;
    for (i, head) in new.chunks_exact(head_dim).enumerate() {
        let (value, head_index) = (i / cache.heads.kv, i % cache.heads.kv);
        let at = cache.strip(layer, value, head_index) + position * head_dim;
        // SAFETY: within the allocation, as the caller vouches; the pointer is that of the allocation itself, no
        // slice of which is alive while rows are appended.
        let out = unsafe { std::slice::from_raw_parts_mut(data.pointer().add(at), head_dim) };
        for (out, &x) in out.iter_mut().zip(head) {
            *out = E::from_f32(x);
        }
    }
}
