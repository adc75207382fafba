//! The two layouts of keys and values that this crate uses; an engine may have others.

use std::ffi::c_void;

use super::{Status, require};
use crate::cuda::sys::{PHOTON_KV_BLOCK, photon_kv};

/// Units of a block.
pub const KV_BLOCK: usize = PHOTON_KV_BLOCK as usize;

/// Whether every key and value begins at a multiple of so many elements, 8, 4 or 2, as far as the host knows: what
/// `sequences` names is on the device.
pub(super) fn kv_begins(kv: &photon_kv, elements: i64) -> Status {
    let (whole, bytes) = match elements {
        8 => ("a multiple of 8", "a multiple of 16"),
        4 => ("a multiple of 4", "a multiple of 8"),
        _ => ("a multiple of 2", "a multiple of 4"),
    };
    let (paged, listed) = (!kv.blocks.is_null(), !kv.sequences.is_null());
    if paged || !listed {
        let base = kv.base as i64;
        require("kv.base", base, base % (2 * elements) == 0, bytes)?;
    }
    for (argument, stride, used) in [
        ("kv.unit_stride", kv.unit_stride, true),
        ("kv.head_stride", kv.head_stride, true),
        ("kv.value_offset", kv.value_offset, true),
        ("kv.offset", kv.offset, true),
        ("kv.block_stride", kv.block_stride, true),
        ("kv.slot_stride", kv.slot_stride, !paged && !listed),
    ] {
        require(argument, stride, !used || stride % elements == 0, whole)?;
    }
    Ok(())
}

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
