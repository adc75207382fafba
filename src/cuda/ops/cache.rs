//! Where keys and values live on the GPU.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};

use super::device::{CudaBackend, failed};
use crate::backend::{Heads, KvCache};
use crate::check;
use crate::cuda::sys::{PHOTON_KV_BLOCK, photon_kv};
use crate::error::{Error, Result};

/// Keys and values of one sequence through the layers of one stack.
///
/// Layout `[block][layer][key or value][KV head][32 units][head_dim, padded with zeros to a multiple of 8]`: a step of attention
/// reads one contiguous piece, and a longer cache begins with the shorter one's bytes.
pub struct CudaCache {
    pub(super) data: CudaSlice<u16>,
    pub(super) layers: usize,
    pub(super) heads: Heads,
    pub(super) len: usize,
    blocks: usize,
    stream: Arc<CudaStream>,
}

const BLOCK: usize = PHOTON_KV_BLOCK as usize;

/// Elements of a stored head.
fn width(heads: Heads) -> usize {
    heads.head_dim.next_multiple_of(8)
}

/// Elements of a block through all layers.
fn block(layers: usize, heads: Heads) -> usize {
    layers * 2 * heads.kv * BLOCK * width(heads)
}

impl CudaBackend {
    pub(crate) fn new_cache(&self, layers: usize, heads: Heads, capacity: usize) -> Result<CudaCache> {
        check::positive("layers", layers)?;
        geometry(heads)?;
        let blocks = capacity.div_ceil(BLOCK);
        let len = check::product("cache", &[blocks, layers, 2, heads.kv, BLOCK, width(heads)])?;
        let data = self.zeros(len)?;
        Ok(CudaCache { data, layers, heads, len: 0, blocks, stream: self.stream.clone() })
    }

    pub(crate) fn new_local(
        &self,
        layers: usize,
        heads: Heads,
        slots: usize,
        window: usize,
    ) -> Result<CudaLocal> {
        geometry(heads)?;
        check::positive("window", window)?;
        let len = check::product("local", &[layers, slots, 2, window, heads.kv, heads.head_dim])?;
        Ok(CudaLocal { data: self.zeros(len)?, layers, heads, slots, window })
    }
}

fn geometry(heads: Heads) -> Result<()> {
    if heads.kv == 0
        || !heads.query.is_multiple_of(heads.kv)
        || heads.head_dim == 0
        || !heads.head_dim.is_multiple_of(4)
    {
        return Err(Error::Unsupported(format!(
            "heads are {heads:?}; on CUDA kv must divide query and head_dim be a multiple of 4"
        )));
    }
    Ok(())
}

impl CudaCache {
    /// Units that fit the allocation.
    pub(super) fn capacity(&self) -> usize {
        self.blocks * BLOCK
    }

    /// Makes room for `len` units in all; growing without being asked goes by half, so that it stays rare.
    pub(super) fn ensure(&mut self, len: usize) -> Result<()> {
        if len > self.capacity() {
            self.resize(len.div_ceil(BLOCK).max(self.blocks + self.blocks / 2))?;
        }
        Ok(())
    }

    fn resize(&mut self, blocks: usize) -> Result<()> {
        let len = check::product("cache", &[blocks, block(self.layers, self.heads)])?;
        let mut data: CudaSlice<u16> = self.stream.alloc_zeros(len).map_err(failed)?;
        let used = self.len.div_ceil(BLOCK) * block(self.layers, self.heads);
        if used > 0 {
            let mut start = data.slice_mut(0..used);
            self.stream.memcpy_dtod(&self.data.slice(0..used), &mut start).map_err(failed)?;
        }
        (self.data, self.blocks) = (data, blocks);
        Ok(())
    }

    /// The first element.
    pub(super) fn address(&self) -> u64 {
        self.data.device_ptr(&self.stream).0
    }

    /// How caches of this shape lie, `sequences` being the addresses of a batch's.
    pub(super) fn layout(&self, layer: usize, sequences: u64) -> photon_kv {
        let (width, kv) = (width(self.heads), self.heads.kv);
        photon_kv {
            base: std::ptr::null_mut(),
            sequences: sequences as *const _,
            blocks: std::ptr::null(),
            blocks_pitch: 0,
            slot_stride: 0,
            block_stride: block(self.layers, self.heads) as i64,
            unit_stride: width as i64,
            head_stride: (BLOCK * width) as i64,
            value_offset: (kv * BLOCK * width) as i64,
            offset: (layer * 2 * kv * BLOCK * width) as i64,
        }
    }
}

impl KvCache for CudaCache {
    fn len(&self) -> usize {
        self.len
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.len {
            return Err(Error::argument(format!("len is {len}; only {} units are cached", self.len)));
        }
        self.len = len;
        Ok(())
    }

    fn reserve(&mut self, additional: usize) -> Result<()> {
        let wanted = self
            .len
            .checked_add(additional)
            .ok_or_else(|| Error::argument(format!("additional is {additional}: beyond any memory")))?;
        if wanted > self.capacity() {
            self.resize(wanted.div_ceil(BLOCK))?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.blocks * block(self.layers, self.heads) * size_of::<u16>()
    }
}

/// Fixed keys and values of the live chunks of one local decoder. Layout
/// `[layer][slot][key or value][unit][KV head][head_dim]`: a unit's heads are one contiguous row.
pub struct CudaLocal {
    pub(super) data: CudaSlice<u16>,
    pub(super) layers: usize,
    pub(super) heads: Heads,
    pub(super) slots: usize,
    pub(super) window: usize,
}

impl CudaLocal {
    pub(super) fn layout(&self, layer: usize, base: u64) -> photon_kv {
        let row = self.heads.kv_width();
        local_layout(base, self.window * 2 * row, row, self.heads.head_dim, self.window * row).at(layer
            * self.slots
            * self.window
            * 2
            * row)
    }
}

/// A layout without blocks: units of a slot follow each other.
pub(super) fn local_layout(
    base: u64,
    slot_stride: usize,
    unit_stride: usize,
    head_stride: usize,
    value_offset: usize,
) -> Flat {
    Flat(photon_kv {
        base: base as *mut _,
        sequences: std::ptr::null(),
        blocks: std::ptr::null(),
        blocks_pitch: 0,
        slot_stride: slot_stride as i64,
        block_stride: (BLOCK * unit_stride) as i64,
        unit_stride: unit_stride as i64,
        head_stride: head_stride as i64,
        value_offset: value_offset as i64,
        offset: 0,
    })
}

/// A layout whose first key is still to be placed.
pub(super) struct Flat(photon_kv);

impl Flat {
    /// The first key lies `offset` elements from the base.
    pub(super) fn at(mut self, offset: usize) -> photon_kv {
        self.0.offset = offset as i64;
        self.0
    }
}
