//! The attention kernels.

use photon_kernels::backend::Heads;
use photon_kernels::checkpoint::Dtype;
use photon_kernels::cuda::raw::{HEAD_DIMS, local_heads, stream_decodes, stream_partial, tile_width};
use photon_kernels::cuda::sys::{PHOTON_KEY_SEGMENT, PHOTON_KEY_STEP, PHOTON_MAX_WINDOW};
use photon_kernels::{Error, Result};

use super::{F32, T, launch, typed};
use crate::launch::Launch;

/// Queries that a warp's tensor instructions take.
const TILE: u64 = 16;
/// Queries of a CTA of the kernel for many rows.
const CTA: u64 = 64;

/// `local_attention`: `rows` rows of each of `slots` chunks from position `first` on. Reads the queries and, `packed` in the same rows or
/// from the fixed buffer, keys and values of the chunk's units so far; writes the result.
///
/// Read `2 head_dim slots (rows H + 2 (first + rows) H_kv)`, written `2 head_dim slots rows H`; FLOPs `4 head_dim H` for each query and key that it sees.
///
/// # Errors
/// [`Error::Unsupported`] as the CUDA backend: the window is above 64 units or beyond shared memory.
pub fn local_attention(
    dtype: Dtype,
    heads: Heads,
    slots: usize,
    rows: usize,
    first: usize,
    packed: bool,
) -> Result<Launch> {
    let units = first + rows;
    let block = local_heads(rows, units, heads.query, heads.kv, heads.head_dim)
        .filter(|_| units <= PHOTON_MAX_WINDOW as usize)
        .ok_or_else(|| Error::Unsupported(format!("a chunk of {units} rows with {heads:?} on CUDA")))?;
    let blocks = heads.kv.div_ceil(block) as u64;
    let [query, kv] = [heads.query_width(), heads.kv_width()].map(|size| size as u64);
    let [slots, rows, units] = [slots, rows, units].map(|size| size as u64);
    let mut cost = launch(typed("local_attention", dtype), sizes(heads), slots * rows, [slots, blocks, 1]);
    cost.read.activations = T * slots * rows * query;
    *if packed { &mut cost.read.activations } else { &mut cost.read.local } += T * slots * units * 2 * kv;
    cost.written.activations = T * slots * rows * query;
    cost.flops = 4 * query * slots * seen(first as u64, rows);
    cost.fetched = cost.read.total();
    Ok(cost)
}

/// New rows of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Units before them.
    pub before: usize,
    /// How many.
    pub rows: usize,
}

/// `stream_attention`: rows of sequences against all units up to their own.
///
/// Reads `4 head_dim` for each unit and KV head, and the queries; writes the result. With few rows a unit is fetched once, and where a
/// sequence has more segments of 256 units than a CTA has warps, their partial results, `4 (width + 2)` a segment and query with `width`
/// as `head_dim` rounded up to 8, are written and read. With many rows a unit is fetched once for each tile of 64 queries. FLOPs
/// `4 head_dim H` for each row and unit that it sees; tensor instructions work on 16 queries, steps of 32 units and `width`.
///
/// # Errors
/// [`Error::Unsupported`] for a head width that the kernels do not have.
pub fn stream_attention(dtype: Dtype, heads: Heads, entries: &[Entry]) -> Result<Launch> {
    if !HEAD_DIMS.contains(&heads.head_dim) {
        return Err(Error::Unsupported(format!(
            "head_dim {} on CUDA: it must be one of {HEAD_DIMS:?}",
            heads.head_dim
        )));
    }
    let group = heads.query / heads.kv;
    let most_rows = entries.iter().map(|entry| entry.rows).max().unwrap_or(0);
    let few = stream_decodes(most_rows, group);
    let most_segments = entries.iter().map(|entry| segments(entry.before + entry.rows)).max().unwrap_or(1);
    let warps = decode_warps(heads.head_dim);
    let across = if few {
        // Rounded up, so that a longer context seldom needs another launch.
        most_segments.next_power_of_two().max(4).div_ceil(warps)
    } else {
        (most_rows * group).div_ceil(CTA as usize)
    };
    let kernel = format!(
        "{}_{dtype}_d{}",
        if few { "stream_attention_decode" } else { "stream_attention_prefill" },
        heads.head_dim
    );
    let rows: usize = entries.iter().map(|entry| entry.rows).sum();
    let grid = [across, heads.kv, entries.len()].map(|size| size as u64);
    let mut cost = launch(kernel, sizes(heads), rows as u64, grid);

    let [kv, group, dim, width, step] =
        [heads.kv, group, heads.head_dim, tile_width(heads.head_dim), PHOTON_KEY_STEP as usize]
            .map(|size| size as u64);
    let query = T * rows as u64 * heads.query_width() as u64;
    cost.read.activations = query;
    cost.written.activations = query;
    // First rows, slots, lengths; the address of each sequence.
    cost.read.control = F32 * (3 * entries.len() as u64 + 1) + 8 * entries.len() as u64;
    let mut fetched = 0;
    for entry in entries {
        let [before, rows] = [entry.before, entry.rows].map(|size| size as u64);
        let (end, queries) = (before + rows, rows * group);
        cost.read.grown += kv * end * 2 * T * dim;
        cost.flops += 4 * heads.query_width() as u64 * seen(before, rows);
        // Steps of 32 units that warps work on, and that CTAs fetch.
        let (mut worked, mut copied) = (0, 0);
        if few {
            (worked, copied) = (end.div_ceil(step), end.div_ceil(step));
            fetched += end;
            let parts = segments(end as usize);
            if parts > warps {
                let partial = kv * parts as u64 * queries * F32 * (width + 2);
                // A counter says which CTA arrives last.
                cost.read.activations += partial + F32 * kv;
                cost.written.activations += partial + F32 * kv;
            }
        } else {
            for tile in (0..queries).step_by(CTA as usize) {
                let end = before + (tile + CTA - 1).min(queries - 1) / group + 1;
                worked += CTA / TILE * end.div_ceil(step);
                copied += end.div_ceil(step);
                fetched += end;
            }
        }
        // Scores and weighted values, each a product of 16 queries, 32 units and the width of a head in shared memory.
        cost.tensor_flops += kv * worked * 2 * (2 * TILE * step * width);
        cost.copied += kv * copied * step * 2 * T * width;
    }
    cost.fetched = cost.read.total() - cost.read.grown + kv * fetched * 2 * T * dim;
    Ok(cost)
}

/// Query and key pairs of `rows` rows behind `before` units.
fn seen(before: u64, rows: u64) -> u64 {
    rows * before + rows * (rows + 1) / 2
}

fn segments(units: usize) -> usize {
    units.div_ceil(PHOTON_KEY_SEGMENT as usize).max(1)
}

/// Segments that one CTA of the kernel for few rows takes: with more there is a workspace.
fn decode_warps(head_dim: usize) -> usize {
    (1..).take_while(|&segments| stream_partial(1, 1, segments, 1, head_dim).1 == 0).last().unwrap_or(1)
}

fn sizes(heads: Heads) -> String {
    match heads.query / heads.kv {
        1 => format!("{} × {}", heads.query, heads.head_dim),
        _ => format!("{}/{} × {}", heads.query, heads.kv, heads.head_dim),
    }
}
