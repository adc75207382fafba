//! `qkv_rope_append`, `local_attention` and `stream_attention`.

use super::cache::check_window;
use super::device::{CudaBackend, Rope, Scratch, refused};
use super::linear::CudaLinear;
use super::memory::{CudaBuffer, small};
use crate::backend::{Attention, Heads, Layout, RowMap, rotary_frequencies};
use crate::check;
use crate::cuda::raw;
use crate::cuda::sys::{
    photon_kv, photon_local_attention_params, photon_qkv_params, photon_rows, photon_stream_attention_params,
    photon_units,
};
use crate::error::{Error, Result};

type Rows<'a> = Attention<'a, CudaBackend>;

/// The arguments of a pass must fit each other, and chunks the kernel.
fn validate(heads: Heads, n: usize, layer: usize, attention: &Rows<'_>) -> Result<()> {
    check::pass(heads, n, layer, attention)?;
    let window = match attention {
        Attention::Stream { .. } => return Ok(()),
        Attention::Chunks { window } => *window,
        Attention::Step { local, .. } => local.window,
    };
    check_window(window)
}

impl CudaBackend {
    /// The angles of positions below `positions`.
    fn angles(&self, scratch: &mut Scratch, theta: f64, head_dim: usize, positions: usize) -> Result<u64> {
        let key = (theta.to_bits(), head_dim);
        let found = scratch.ropes.iter().position(|rope| (rope.theta, rope.head_dim) == key);
        if let Some(at) = found
            && scratch.ropes[at].positions >= positions
        {
            return Ok(self.address(&scratch.ropes[at].angles));
        }
        // Doubling keeps a growing context from paying for its table at each step.
        let old = found.map_or(0, |at| 2 * scratch.ropes[at].positions);
        let positions = positions.max(old).max(256);
        let frequencies = rotary_frequencies(theta, head_dim);
        let mut values = Vec::new();
        values.try_reserve_exact(check::product("the rotary angles", &[positions, head_dim])?).map_err(
            |_| Error::OutOfMemory(format!("the host, for the rotary angles of {positions} positions")),
        )?;
        for position in 0..positions {
            for frequency in &frequencies {
                let angle = position as f64 * frequency;
                values.extend([angle.cos() as f32, angle.sin() as f32]);
            }
        }
        let angles = self.copied(&values)?;
        let rope = Rope { theta: key.0, head_dim, positions, angles };
        let address = self.address(&rope.angles);
        match found {
            Some(at) => scratch.ropes[at] = rope,
            None => scratch.ropes.push(rope),
        }
        Ok(address)
    }

    pub(crate) fn qkv_rows(
        &self,
        linear: &CudaLinear,
        heads: Heads,
        theta: f64,
        x: &CudaBuffer,
        n: usize,
        layer: usize,
        attention: &mut Rows<'_>,
        out: &mut CudaBuffer,
    ) -> Result<()> {
        self.made_for(linear, Layout::Qkv(heads), true)?;
        validate(heads, n, layer, attention)?;
        x.whole("x")?;
        check::rows("x", x.len, RowMap::DENSE, n, linear.inputs, linear.inputs)?;
        let width = heads.packed();
        check::rows("out", out.len, RowMap::DENSE, n, width, width)?;
        if n == 0 {
            return Ok(());
        }
        let mut scratch = self.scratch();
        let packed = self.address(&out.data);
        let flat = |rows: usize, first: usize| -> Result<photon_units> {
            Ok(photon_units {
                slot: std::ptr::null(),
                unit: std::ptr::null(),
                rows: small("rows", rows)? as u32,
                first: small("position", first)? as u32,
            })
        };
        let (kv, units, positions) = match attention {
            Attention::Chunks { window } => {
                (packed_layout(packed, heads, *window), flat(*window, 0)?, *window)
            }
            Attention::Step { local, position, rows } => {
                let kv = local.layout(layer, self.address(&local.data));
                (kv, flat(*rows, *position)?, local.window)
            }
            Attention::Stream { caches, lanes, rows } => {
                for (&lane, &rows) in lanes.iter().zip(*rows) {
                    let len = caches[lane].len.saturating_add(rows);
                    caches[lane].ensure(len)?;
                }
                let plan = scratch.plan.make(self, caches, lanes, rows)?;
                let units = photon_units {
                    slot: plan.slot as *const u32,
                    unit: plan.unit as *const u32,
                    rows: 1,
                    first: 0,
                };
                (caches[lanes[0]].layout(layer, plan.bases), units, plan.most_units)
            }
        };
        let params = photon_qkv_params {
            product: self.product(linear, self.address(&x.data), photon_rows::DENSE, linear.inputs, n)?,
            query: packed as *mut _,
            query_stride: width as i64,
            kv,
            units,
            angles: self.angles(&mut scratch, theta, heads.head_dim, positions)? as *const f32,
            heads: small("heads", heads.query)?,
            kv_heads: small("heads", heads.kv)?,
            head_dim: small("head_dim", heads.head_dim)?,
        };
        out.half = Some(width);
        // SAFETY: rows of x and out lie in their buffers; keys and values in a cache that was made long enough, in slots and units
        // that were checked, or in the packed rows themselves; the angles cover every unit.
        unsafe { self.kernels.qkv_rope_append(&*self.queue, self.storage, &params) }.map_err(refused("qkv"))
    }

    pub(crate) fn attend_rows(
        &self,
        heads: Heads,
        packed: &CudaBuffer,
        n: usize,
        layer: usize,
        attention: &mut Rows<'_>,
        out: &mut CudaBuffer,
    ) -> Result<()> {
        validate(heads, n, layer, attention)?;
        let width = heads.packed();
        packed.rows_of("packed", width)?;
        check::holds("packed", 2 * packed.len, n * width)?;
        let pitch = heads.query_width().next_multiple_of(8);
        check::holds("out", 2 * out.len, n * pitch)?;
        if n == 0 {
            return Ok(());
        }
        out.half = Some(pitch);
        let (query, result) = (self.address(&packed.data), self.address(&out.data));
        match attention {
            Attention::Chunks { window } => {
                let kv = packed_layout(query, heads, *window);
                self.local(heads, query, kv, result, n / *window, *window, 0)
            }
            Attention::Step { local, position, rows } => {
                let kv = local.layout(layer, self.address(&local.data));
                self.local(heads, query, kv, result, n / *rows, *rows, *position)
            }
            Attention::Stream { caches, lanes, rows } => {
                for (&lane, &rows) in lanes.iter().zip(*rows) {
                    check::room(&caches[lane], rows)?;
                }
                let mut scratch = self.scratch();
                let scratch = &mut *scratch;
                let plan = scratch.plan.make(self, caches, lanes, rows)?;
                let (group, segments) = (heads.query / heads.kv, plan.segments());
                let queries = plan.most_rows * group;
                let (floats, counters) = if raw::stream_decodes(plan.most_rows, group) {
                    raw::stream_partial(plan.entries, heads.kv, segments, queries, heads.head_dim)
                } else {
                    (0, 0)
                };
                let (mut partial, mut arrived) = (0, 0);
                if floats > 0 {
                    partial = self.address(scratch.partial.at_least(self, floats)?);
                    arrived = self.address(scratch.arrived.at_least(self, counters)?);
                }
                let params = photon_stream_attention_params {
                    query: query as *const _,
                    query_stride: width as i64,
                    kv: caches[lanes[0]].layout(layer, plan.bases),
                    out: result as *mut _,
                    out_stride: pitch as i64,
                    first_row: plan.first_row as *const u32,
                    slot: plan.lane as *const u32,
                    length: plan.length as *const u32,
                    partial: partial as *mut f32,
                    arrived: arrived as *mut u32,
                    sequences: small("the number of sequences", plan.entries)?,
                    segments: small("segments", segments)?,
                    queries: small("queries", queries)?,
                    heads: small("heads", heads.query)?,
                    kv_heads: small("heads", heads.kv)?,
                    head_dim: small("head_dim", heads.head_dim)?,
                    scale: scale(heads),
                };
                // SAFETY: the plan's rows are those of the buffers, its units lie in the caches, and the workspace is as large
                // as the kernel says.
                unsafe { self.kernels.stream_attention(&*self.queue, self.storage, plan.most_rows, &params) }
                    .map_err(refused("attend"))
            }
        }
    }

    pub(crate) fn end_pass(&self, attention: &mut Rows<'_>) -> Result<()> {
        check::commit(attention)?;
        self.queue.end_of_pass()
    }

    #[allow(clippy::too_many_arguments)]
    fn local(
        &self,
        heads: Heads,
        query: u64,
        kv: photon_kv,
        out: u64,
        slots: usize,
        rows: usize,
        first: usize,
    ) -> Result<()> {
        let Some(block) = raw::local_heads(rows, first + rows, heads.query, heads.kv, heads.head_dim) else {
            return Err(Error::Unsupported(format!(
                "a chunk of {} rows with {heads:?} does not fit the shared memory of a GPU",
                first + rows
            )));
        };
        let params = photon_local_attention_params {
            query: query as *const _,
            query_stride: heads.packed() as i64,
            kv,
            out: out as *mut _,
            out_stride: heads.query_width().next_multiple_of(8) as i64,
            slots: small("the number of chunks", slots)?,
            rows: small("rows", rows)?,
            first: small("position", first)?,
            heads: small("heads", heads.query)?,
            kv_heads: small("heads", heads.kv)?,
            head_dim: small("head_dim", heads.head_dim)?,
            block_heads: small("heads", block)?,
            scale: scale(heads),
        };
        // SAFETY: the rows are those of the buffers, and the slots have `first + rows` units.
        unsafe { self.kernels.local_attention(&*self.queue, self.storage, &params) }
            .map_err(refused("attend"))
    }
}

/// Keys and values in the packed rows of a pass over whole chunks.
fn packed_layout(packed: u64, heads: Heads, window: usize) -> photon_kv {
    let width = heads.packed();
    let keys = heads.query_width();
    raw::flat_kv(packed as *mut _, keys, window * width, width, heads.head_dim, heads.kv_width())
}

fn scale(heads: Heads) -> f32 {
    (1.0 / (heads.head_dim as f64).sqrt()) as f32
}
