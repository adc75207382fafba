//! The two layouts of keys and values that this crate uses; an engine may have others.

use std::ffi::c_void;

use crate::cuda::sys::{PHOTON_KV_BLOCK, photon_kv};

/// Units of a block.
pub const KV_BLOCK: usize = PHOTON_KV_BLOCK as usize;

/// Elements of a block of [`KV_BLOCK`] units through all layers.
pub fn kv_block(layers: usize, kv_heads: usize, head_dim: usize) -> usize {
    layers * 2 * kv_heads * KV_BLOCK * head_dim
}

/// Layer `layer` of blocks `[layer][key or value][KV head][32 units][head_dim]`, the layout of growing sequences. Where they lie is the
/// caller's: `sequences`, or `base` with `blocks` or `slot_stride`.
pub fn blocked_kv(layers: usize, kv_heads: usize, head_dim: usize, layer: usize) -> photon_kv {
    let strip = KV_BLOCK * head_dim;
    photon_kv {
        base: std::ptr::null_mut(),
        sequences: std::ptr::null(),
        blocks: std::ptr::null(),
        blocks_pitch: 0,
        slot_stride: 0,
        block_stride: kv_block(layers, kv_heads, head_dim) as i64,
        unit_stride: head_dim as i64,
        head_stride: strip as i64,
        value_offset: (kv_heads * strip) as i64,
        offset: (layer * 2 * kv_heads * strip) as i64,
    }
}

/// Units that follow each other, `unit_stride` elements apart, their heads side by side: what local attention reads. The first key of slot 0
/// lies `offset` elements from `base`.
pub fn flat_kv(
    base: *mut c_void,
    offset: usize,
    slot_stride: usize,
    unit_stride: usize,
    head_dim: usize,
    value_offset: usize,
) -> photon_kv {
    photon_kv {
        base,
        sequences: std::ptr::null(),
        blocks: std::ptr::null(),
        blocks_pitch: 0,
        slot_stride: slot_stride as i64,
        block_stride: (KV_BLOCK * unit_stride) as i64,
        unit_stride: unit_stride as i64,
        head_stride: head_dim as i64,
        value_offset: value_offset as i64,
        offset: offset as i64,
    }
}
