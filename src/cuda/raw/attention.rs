//! The attention kernels.

use super::kv::kv_begins;
use super::load::MOST_SHARED;
use super::{HEAD_DIMS, Kernels, RawError, Status, Storage, Target, require};
use crate::cuda::sys::{
    PHOTON_KEY_SEGMENT, PHOTON_MAX_WINDOW, photon_local_attention_params, photon_stream_attention_params,
};

/// Shared memory of local attention with `block_heads` KV heads in a CTA.
fn local_shared(rows: usize, units: usize, group: usize, head_dim: usize, block_heads: usize) -> usize {
    let pitch = (head_dim / 4) | 1;
    // `row_pitch` of csrc/kernels/local_attention.cu: the next number of fours that leaves `pitch` over 16.
    let row = |heads: usize| heads * pitch + (pitch + 15 * heads * pitch) % 16;
    8 * (2 * units * row(block_heads) + rows * row(group * block_heads)) + 4 * 4 * rows * (units + 1)
}

/// The KV heads that a CTA of local attention takes: as many as four (whole sectors of memory at any head width), fewer where the
/// window is too large for shared memory, and `None` where not even one fits.
pub fn local_heads(
    rows: usize,
    units: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
) -> Option<usize> {
    let group = heads / kv_heads.max(1);
    [4, 2, 1]
        .into_iter()
        .map(|count: usize| count.min(kv_heads))
        .find(|&count| local_shared(rows, units, group, head_dim, count) <= MOST_SHARED)
}

/// Whether stream attention takes its kernel for few rows: at most 16 queries of an entry and KV head.
pub fn stream_decodes(most_rows: usize, group: usize) -> bool {
    most_rows * group <= 16
}

/// Warps, and segments, of a CTA of the kernel for few rows.
fn decode_warps(head_dim: usize) -> usize {
    if head_dim <= 64 { 4 } else { 2 }
}

/// Elements of a head in the shared memory of stream attention and in its workspace: `head_dim` and zeros up to a multiple of 8.
pub fn tile_width(head_dim: usize) -> usize {
    head_dim.next_multiple_of(8)
}

/// Shared memory for the queries of a warp, which stay in registers where a head is not wider than 96.
fn query_shared(head_dim: usize) -> usize {
    if head_dim <= 96 { 0 } else { 32 * tile_width(head_dim) }
}

/// Floats of workspace and counters that the kernel for few rows needs, (0, 0) where no head is shared by CTAs.
/// `segments` is the most that any entry has, `queries` its rows times `heads / kv_heads`.
pub fn stream_partial(
    sequences: usize,
    kv_heads: usize,
    segments: usize,
    queries: usize,
    head_dim: usize,
) -> (usize, usize) {
    if segments <= decode_warps(head_dim) {
        return (0, 0);
    }
    let pairs = sequences * kv_heads;
    (pairs * segments * queries * (tile_width(head_dim) + 2), pairs)
}

impl Kernels {
    /// `local_attention`: whole chunks, or one step of them.
    ///
    /// # Errors
    /// [`RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn local_attention(
        &self,
        stream: impl Target,
        storage: Storage,
        params: &photon_local_attention_params,
    ) -> Status {
        let p = params;
        let (heads, kv, dim) = (i64::from(p.heads), i64::from(p.kv_heads), i64::from(p.head_dim));
        require("head_dim", dim, dim > 0 && dim % 4 == 0, "a positive multiple of 4")?;
        require("kv_heads", kv, kv > 0 && heads > 0 && heads % kv == 0, "a divisor of heads")?;
        require("rows", p.rows.into(), p.rows > 0, "at least 1")?;
        require("first", p.first.into(), p.first >= 0, "at least 0")?;
        let units = i64::from(p.first) + i64::from(p.rows);
        require("first + rows", units, units <= PHOTON_MAX_WINDOW.into(), "64 at most")?;
        let block = i64::from(p.block_heads);
        require("block_heads", block, block > 0, "at least 1")?;
        let group = (heads / kv) as usize;
        let shared = local_shared(p.rows as usize, units as usize, group, dim as usize, block as usize);
        require("block_heads", block, shared <= MOST_SHARED, "no more than local_heads says")?;
        require("slots", p.slots.into(), p.slots >= 0, "at least 0")?;
        kv_begins(&p.kv, 4)?;
        if p.slots == 0 {
            return Ok(());
        }
        let grid = [p.slots.into(), (kv + block - 1) / block, 1];
        // SAFETY: the caller's promise.
        unsafe { self.local_attention[storage.index()].launch(stream, grid, 128, shared, params) }
    }

    /// `stream_attention`: rows of sequences against everything that they have cached. With `most_rows` the rows of the entry
    /// that has the most.
    ///
    /// # Errors
    /// [`RawError`]; nothing was launched then. A head width that is not in [`HEAD_DIMS`] is one.
    ///
    /// # Safety
    /// As the module says; `partial` and `arrived` as large as [`stream_partial`] says.
    pub unsafe fn stream_attention(
        &self,
        stream: impl Target,
        storage: Storage,
        most_rows: usize,
        params: &photon_stream_attention_params,
    ) -> Status {
        let p = params;
        let (heads, kv, dim) = (i64::from(p.heads), i64::from(p.kv_heads), i64::from(p.head_dim));
        let index = HEAD_DIMS.iter().position(|d| *d as i64 == dim).ok_or(RawError::Argument {
            argument: "head_dim",
            value: dim,
            allowed: "32, 40, 48, 52, 56, 60, 64, 80, 96 or 128",
        })?;
        require("kv_heads", kv, kv > 0 && heads > 0 && heads % kv == 0, "a divisor of heads")?;
        require("sequences", p.sequences.into(), p.sequences >= 0, "at least 0")?;
        require("segments", p.segments.into(), p.segments > 0, "at least 1")?;
        kv_begins(&p.kv, if dim % 8 == 0 { 8 } else { 4 })?;
        if p.sequences == 0 || most_rows == 0 {
            return Ok(());
        }
        let (group, dim) = ((heads / kv) as usize, dim as usize);
        if !stream_decodes(most_rows, group) {
            let grid = [(most_rows * group).div_ceil(64) as i64, kv, p.sequences.into()];
            let shared = 3 * 2 * 32 * 2 * tile_width(dim) + 4 * query_shared(dim);
            // SAFETY: the caller's promise.
            return unsafe { self.prefill[storage.index()][index].launch(stream, grid, 128, shared, params) };
        }
        let (warps, segments) = (decode_warps(dim), p.segments as usize);
        let queries = i64::from(p.queries);
        require(
            "queries",
            queries,
            queries >= (most_rows * group) as i64,
            "rows * heads / kv_heads at least",
        )?;
        let split = segments > warps;
        require(
            "partial",
            0,
            !split || !(p.partial.is_null() || p.arrived.is_null()),
            "given with so many segments",
        )?;
        let grid = [segments.div_ceil(warps) as i64, kv, p.sequences.into()];
        let pipeline = warps * (2 * 2 * 32 * 2 * tile_width(dim) + query_shared(dim));
        let parts = warps * most_rows * group * (tile_width(dim) + 2) * 4;
        let shared = pipeline.max(parts);
        // SAFETY: the caller's promise.
        unsafe { self.decode[storage.index()][index].launch(stream, grid, 32 * warps as u32, shared, params) }
    }
}

/// Segments of a sequence of `units` units.
pub(crate) fn segments(units: usize) -> usize {
    units.div_ceil(PHOTON_KEY_SEGMENT as usize).max(1)
}
