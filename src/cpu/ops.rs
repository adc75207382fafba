//! [`Backend`] for [`CpuBackend`]: memory, transfers, projections and the head. [`super::stack`] has the attention.

use std::sync::Mutex;

use super::linear::{self, Matrix};
use super::memory::Aligned;
use super::product::Then;
use super::threads::Shared;
use super::{CpuBackend, CpuBuffer, CpuCache, CpuLinear, CpuLocal, CpuTable, CpuVector, math};
use crate::backend::{Attention, Backend, Heads, LinearSpec, RowMap};
use crate::check;
use crate::checkpoint::Tensor;
use crate::error::{Error, Result};
use crate::sampling::{self, Draw};

/// Token ids on the CPU.
pub struct CpuIds(Vec<u32>);

/// Rows whose logits are held at once: enough to be bound by arithmetic, 8 MB at a vocabulary of 32,000.
const LOGIT_ROWS: usize = 66;

impl CpuBackend {
    /// The logits of the rows at `places` of `h`: `work` gets each one's index and logits.
    fn logits(
        &self,
        head: &CpuLinear,
        h: &[f32],
        places: &[usize],
        scratch: (&mut Aligned<f32>, &mut Aligned<f32>, &mut Vec<usize>),
        work: impl Fn(usize, &[f32]) + Sync,
    ) -> Result<()> {
        let (rows, results, offsets) = scratch;
        for (tile, places) in places.chunks(LOGIT_ROWS).enumerate() {
            let n = places.len();
            self.count_linear(head, n);
            let results = results.at_least(n * head.outputs)?;
            offsets.clear();
            offsets.extend((0..n).map(|i| i * head.outputs));
            let x = head.rows(self.isa, &self.threads, h, RowMap::List(places), n, rows)?;
            let out = Shared::new(results);
            head.tiles(&self.threads, n, head.outputs, |range, columns| {
                // SAFETY: tiles do not overlap and lie within `results`.
                unsafe {
                    head.apply(
                        self.isa,
                        &x,
                        range,
                        columns.clone(),
                        out.at(columns.start),
                        offsets,
                        Then::Store,
                    );
                }
            });
            let results = &*results;
            self.threads.share(n, n * head.outputs * 2, |range| {
                for i in range {
                    work(tile * LOGIT_ROWS + i, &results[i * head.outputs..(i + 1) * head.outputs]);
                }
            });
        }
        Ok(())
    }
}

impl Backend for CpuBackend {
    type Buffer = CpuBuffer;
    type Ids = CpuIds;
    type Linear = CpuLinear;
    type Table = CpuTable;
    type Vector = CpuVector;
    type Cache = CpuCache;
    type Local = CpuLocal;

    fn linear(&self, spec: LinearSpec<'_>) -> Result<CpuLinear> {
        CpuLinear::new(spec, self.dtype, self.int8, self.isa, &self.threads)
    }

    fn table(&self, weight: &Tensor) -> Result<CpuTable> {
        Ok(CpuTable(Matrix::new(weight, self.dtype)?))
    }

    fn vector(&self, weight: &Tensor) -> Result<CpuVector> {
        Ok(CpuVector(linear::vector(weight, None)?))
    }

    fn buffer(&self, len: usize) -> Result<CpuBuffer> {
        Ok(CpuBuffer(Aligned::zeroed(len)?))
    }

    fn buffer_len(&self, buffer: &CpuBuffer) -> usize {
        buffer.0.len()
    }

    fn ids(&self, len: usize) -> Result<CpuIds> {
        let mut ids = Vec::new();
        ids.try_reserve_exact(len).map_err(|_| Error::Backend(format!("no memory for {len} token ids")))?;
        ids.resize(len, 0);
        Ok(CpuIds(ids))
    }

    fn cache(&self, layers: usize, heads: Heads, capacity: usize) -> Result<CpuCache> {
        check::geometry(heads)?;
        CpuCache::new(self.dtype, layers, heads, capacity)
    }

    fn local(&self, layers: usize, heads: Heads, slots: usize, window: usize) -> Result<CpuLocal> {
        check::geometry(heads)?;
        CpuLocal::new(layers, heads, slots, window)
    }

    fn read(&self, buffer: &CpuBuffer, at: usize, out: &mut [f32]) -> Result<()> {
        check::range("buffer", buffer.0.len(), at, out.len())?;
        out.copy_from_slice(&buffer.0[at..at + out.len()]);
        Ok(())
    }

    fn write(&self, values: &[f32], buffer: &mut CpuBuffer, at: usize) -> Result<()> {
        check::range("buffer", buffer.0.len(), at, values.len())?;
        buffer.0[at..at + values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read_ids(&self, ids: &CpuIds, at: usize, out: &mut [u32]) -> Result<()> {
        check::range("ids", ids.0.len(), at, out.len())?;
        out.copy_from_slice(&ids.0[at..at + out.len()]);
        Ok(())
    }

    fn write_ids(&self, values: &[u32], ids: &mut CpuIds, at: usize) -> Result<()> {
        check::range("ids", ids.0.len(), at, values.len())?;
        ids.0[at..at + values.len()].copy_from_slice(values);
        Ok(())
    }

    fn copy(
        &self,
        source: &CpuBuffer,
        from: RowMap<'_>,
        target: &mut CpuBuffer,
        to: RowMap<'_>,
        n: usize,
        width: usize,
    ) -> Result<()> {
        check::rows("source", source.0.len(), from, n, width, width)?;
        check::rows("target", target.0.len(), to, n, width, width)?;
        for i in 0..n {
            target.0[to.at(i) * width..][..width].copy_from_slice(&source.0[from.at(i) * width..][..width]);
        }
        Ok(())
    }

    fn fill(&self, row: &CpuVector, target: &mut CpuBuffer, to: RowMap<'_>, n: usize) -> Result<()> {
        let width = row.0.len();
        check::rows("target", target.0.len(), to, n, width, width)?;
        for i in 0..n {
            target.0[to.at(i) * width..][..width].copy_from_slice(&row.0);
        }
        Ok(())
    }

    fn embed(
        &self,
        table: &CpuTable,
        ids: &CpuIds,
        from: RowMap<'_>,
        out: &mut CpuBuffer,
        to: RowMap<'_>,
        n: usize,
    ) -> Result<()> {
        let width = table.0.columns;
        check::rows("ids", ids.0.len(), from, n, 1, 1)?;
        check::rows("out", out.0.len(), to, n, width, width)?;
        for i in 0..n {
            let id = ids.0[from.at(i)] as usize;
            if id >= table.0.rows {
                return Err(Error::argument(format!(
                    "token id {id} is not in the vocabulary of {}",
                    table.0.rows
                )));
            }
            table.0.row(id, &mut out.0[to.at(i) * width..][..width]);
        }
        Ok(())
    }

    fn project(
        &self,
        linear: &CpuLinear,
        x: &CpuBuffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut CpuBuffer,
        to: RowMap<'_>,
        to_width: usize,
    ) -> Result<()> {
        check::rows("x", x.0.len(), from, n, linear.inputs, linear.inputs)?;
        check::rows("out", out.0.len(), to, n, to_width, linear.outputs)?;
        self.operations.with(|scratch| {
            check::apart("out", to, n, to_width, linear.outputs, &mut scratch.places)?;
            scratch.offsets.clear();
            scratch.offsets.extend((0..n).map(|i| to.at(i) * to_width));
            self.multiply(linear, &x.0, from, n, &mut out.0, &scratch.offsets, &mut scratch.rows, Then::Store)
        })
    }

    fn qkv(
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
        self.project_heads(linear, heads, theta, x, n, layer, attention, out)
    }

    fn attend(
        &self,
        heads: Heads,
        packed: &CpuBuffer,
        n: usize,
        layer: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut CpuBuffer,
    ) -> Result<()> {
        self.attend_heads(heads, packed, n, layer, attention, out)
    }

    fn commit(&self, attention: &mut Attention<'_, Self>) -> Result<()> {
        check::commit(attention)
    }

    fn project_add(&self, linear: &CpuLinear, h: &CpuBuffer, n: usize, x: &mut CpuBuffer) -> Result<()> {
        check::rows("h", h.0.len(), RowMap::DENSE, n, linear.inputs, linear.inputs)?;
        check::rows("x", x.0.len(), RowMap::DENSE, n, linear.outputs, linear.outputs)?;
        self.operations.with(|scratch| {
            scratch.offsets.clear();
            scratch.offsets.extend((0..n).map(|i| i * linear.outputs));
            let (offsets, rows) = (&scratch.offsets, &mut scratch.rows);
            self.multiply(linear, &h.0, RowMap::DENSE, n, &mut x.0, offsets, rows, Then::Add)
        })
    }

    fn gate_up(&self, linear: &CpuLinear, x: &CpuBuffer, n: usize, out: &mut CpuBuffer) -> Result<()> {
        if !linear.outputs.is_multiple_of(2) {
            return Err(Error::argument(format!(
                "linear has {} outputs; gate and up need an even number",
                linear.outputs
            )));
        }
        let width = linear.outputs / 2;
        check::rows("x", x.0.len(), RowMap::DENSE, n, linear.inputs, linear.inputs)?;
        check::rows("out", out.0.len(), RowMap::DENSE, n, width, width)?;
        if n == 0 {
            return Ok(());
        }
        self.count_linear(linear, n);
        self.operations.with(|scratch| {
            scratch.offsets.clear();
            scratch.offsets.extend((0..n).map(|i| i * 2 * width));
            let offsets = &scratch.offsets;
            let both = Shared::new(scratch.results.at_least(n * 2 * width)?);
            let x = linear.rows(self.isa, &self.threads, &x.0, RowMap::DENSE, n, &mut scratch.rows)?;
            let out = Shared::new(&mut out.0);
            linear.tiles(&self.threads, n, width, |rows, columns| {
                for part in [0, width] {
                    let columns = part + columns.start..part + columns.end;
                    // SAFETY: tiles do not overlap and lie within the scratch.
                    unsafe {
                        let out = both.at(columns.start);
                        linear.apply(self.isa, &x, rows.clone(), columns, out, offsets, Then::Store);
                    }
                }
                for i in rows {
                    // SAFETY: this tile's places in scratch and output, which no other tile touches.
                    let (gate, up, out) = unsafe {
                        (
                            both.slice(i * 2 * width + columns.start, columns.len()),
                            both.slice(i * 2 * width + width + columns.start, columns.len()),
                            out.slice(i * width + columns.start, columns.len()),
                        )
                    };
                    math::swiglu(self.isa, gate, up, out);
                }
            });
            Ok(())
        })
    }

    fn norm(
        &self,
        gain: &CpuVector,
        eps: f64,
        x: &CpuBuffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut CpuBuffer,
        to: RowMap<'_>,
    ) -> Result<()> {
        let width = gain.0.len();
        check::rows("x", x.0.len(), from, n, width, width)?;
        check::rows("out", out.0.len(), to, n, width, width)?;
        self.operations.with(|scratch| check::apart("out", to, n, width, width, &mut scratch.places))?;
        let out = Shared::new(&mut out.0);
        self.threads.share(n, n * width / 2, |range| {
            for i in range {
                // SAFETY: within the buffer and apart from other rows, as checked.
                let out = unsafe { out.slice(to.at(i) * width, width) };
                math::norm(self.isa, &x.0[from.at(i) * width..][..width], &gain.0, eps as f32, out);
            }
        });
        Ok(())
    }

    fn sample(
        &self,
        head: &CpuLinear,
        h: &CpuBuffer,
        from: RowMap<'_>,
        draws: &[Draw],
        ids: &mut CpuIds,
        to: RowMap<'_>,
    ) -> Result<()> {
        let n = draws.len();
        check::rows("h", h.0.len(), from, n, head.inputs, head.inputs)?;
        check::rows("ids", ids.0.len(), to, n, 1, 1)?;
        check::draws(draws, head.outputs)?;
        for (i, draw) in draws.iter().enumerate() {
            if let Some(id) = draw.forced {
                ids.0[to.at(i)] = id;
            }
        }
        self.operations.with(|scratch| {
            // Logits of forced tokens are not needed.
            scratch.indices.clear();
            scratch.indices.extend((0..n).filter(|&i| draws[i].forced.is_none()));
            scratch.places.clear();
            scratch.places.extend(scratch.indices.iter().map(|&i| from.at(i)));
            let (indices, places) = (&scratch.indices, &scratch.places);
            if indices.iter().any(|&i| draws[i].sampling.temperature > 0.0) {
                self.draws.ready(self.threads.count(), |scratch| {
                    scratch.reserve(head.outputs);
                    Ok(())
                })?;
            }
            let ids = Mutex::new(&mut ids.0);
            self.logits(
                head,
                &h.0,
                places,
                (&mut scratch.rows, &mut scratch.results, &mut scratch.offsets),
                |row, logits| {
                    let i = indices[row];
                    let id = self.draws.with(|scratch| sampling::pick(logits, scratch, &draws[i]));
                    ids.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[to.at(i)] = id;
                },
            )
        })
    }

    fn log_probs(
        &self,
        head: &CpuLinear,
        h: &CpuBuffer,
        from: RowMap<'_>,
        targets: &[u32],
        out: &mut [f32],
    ) -> Result<()> {
        let n = targets.len();
        check::rows("h", h.0.len(), from, n, head.inputs, head.inputs)?;
        check::holds("out", out.len(), n)?;
        check::targets(targets, head.outputs)?;
        out[..n].fill(0.0);
        self.operations.with(|scratch| {
            scratch.indices.clear();
            scratch.indices.extend((0..n).filter(|&i| targets[i] != u32::MAX));
            scratch.places.clear();
            scratch.places.extend(scratch.indices.iter().map(|&i| from.at(i)));
            let (indices, places) = (&scratch.indices, &scratch.places);
            let out = Shared::new(out);
            self.logits(
                head,
                &h.0,
                places,
                (&mut scratch.rows, &mut scratch.results, &mut scratch.offsets),
                |row, logits| {
                    let i = indices[row];
                    let total = math::log_sum_exp(self.isa, logits);
                    let value = (f64::from(logits[targets[i] as usize]) - total) as f32;
                    // SAFETY: `i < n ≤ out.len()`, and each `i` occurs once.
                    unsafe { *out.at(i) = value };
                },
            )
        })
    }
}

impl CpuBackend {
    /// `out[offsets[i]..] (+)= linear(x[from(i)])`. The caller has checked sizes and that the rows of `out` are apart.
    pub(super) fn multiply(
        &self,
        linear: &CpuLinear,
        x: &[f32],
        from: RowMap<'_>,
        n: usize,
        out: &mut [f32],
        offsets: &[usize],
        scratch: &mut Aligned<f32>,
        then: Then,
    ) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        self.count_linear(linear, n);
        assert!(offsets.len() == n && offsets.iter().all(|offset| offset + linear.outputs <= out.len()));
        let x = linear.rows(self.isa, &self.threads, x, from, n, scratch)?;
        let out = Shared::new(out);
        linear.tiles(&self.threads, n, linear.outputs, |rows, columns| {
            // SAFETY: within `out` as just asserted; tiles do not overlap because rows do not.
            unsafe {
                linear.apply(self.isa, &x, rows, columns.clone(), out.at(columns.start), offsets, then)
            };
        });
        Ok(())
    }
}
