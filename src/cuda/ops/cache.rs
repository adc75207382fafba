//! Where keys and values live on the GPU.

use std::sync::Arc;

use cudarc::driver::DevicePtr;

use super::device::{CudaBackend, failed};
use super::memory::Memory;
use super::queue::Queue;
use crate::backend::{Heads, KvCache};
use crate::check::{self, Chunks, Sequence, Stored};
use crate::cuda::raw::{HEAD_DIMS, KV_BLOCK, blocked_kv, flat_kv, kv_block};
use crate::cuda::sys::{PHOTON_MAX_WINDOW, photon_kv};
use crate::error::{Error, Result};

/// Keys and values of one sequence through the layers of one stack.
///
/// Layout `[block][layer][key or value][KV head][32 units][head_dim]`: a step of attention reads one contiguous piece, and a longer
/// cache begins with the shorter one's bytes.
pub struct CudaCache {
    pub(super) data: Memory<u16>,
    pub(super) layers: usize,
    pub(super) heads: Heads,
    pub(super) len: usize,
    blocks: usize,
    queue: Arc<Queue>,
}

impl CudaBackend {
    pub(crate) fn new_cache(&self, layers: usize, heads: Heads, capacity: usize) -> Result<CudaCache> {
        check::positive("layers", layers)?;
        geometry(heads)?;
        if !HEAD_DIMS.contains(&heads.head_dim) {
            return Err(Error::Unsupported(format!(
                "heads.head_dim is {}; on CUDA encoders have kernels for {HEAD_DIMS:?}",
                heads.head_dim
            )));
        }
        let blocks = capacity.div_ceil(KV_BLOCK);
        let len = check::product("cache", &[blocks, layers, 2, heads.kv, KV_BLOCK, heads.head_dim])?;
        let data = self.zeros(len)?;
        Ok(CudaCache { data, layers, heads, len: 0, blocks, queue: self.queue.clone() })
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
        check_window(window)?;
        let len = check::product("local", &[layers, slots, 2, window, heads.kv, heads.head_dim])?;
        Ok(CudaLocal { data: self.zeros(len)?, layers, heads, slots, window })
    }
}

/// A geometry must be possible, and one of those that the kernels have.
pub(super) fn geometry(heads: Heads) -> Result<()> {
    check::geometry(heads)?;
    if !heads.head_dim.is_multiple_of(4) {
        return Err(Error::Unsupported(format!(
            "heads.head_dim is {}; on CUDA it must be a multiple of 4",
            heads.head_dim
        )));
    }
    Ok(())
}

/// A chunk must fit the kernel.
pub(super) fn check_window(window: usize) -> Result<()> {
    if window <= PHOTON_MAX_WINDOW as usize {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "a chunk has {window} rows; on CUDA R + C - 1 is at most {PHOTON_MAX_WINDOW}"
    )))
}

impl CudaCache {
    /// Makes room for `len` units in all; growing without being asked goes by half, so that it stays rare.
    pub(super) fn ensure(&mut self, len: usize) -> Result<()> {
        if len > self.capacity() {
            self.resize(len.div_ceil(KV_BLOCK).max(self.blocks + self.blocks / 2))?;
        }
        Ok(())
    }

    fn resize(&mut self, blocks: usize) -> Result<()> {
        let len = check::product("cache", &[blocks, self.block()])?;
        let mut data = Memory::zeros(&self.queue, len)?;
        let used = self.len.div_ceil(KV_BLOCK) * self.block();
        if used > 0 {
            let mut start = data.slice_mut(0..used);
            self.queue.ordered()?.memcpy_dtod(&self.data.slice(0..used), &mut start).map_err(failed)?;
        }
        (self.data, self.blocks) = (data, blocks);
        Ok(())
    }

    /// The first element.
    pub(super) fn address(&self) -> u64 {
        self.data.device_ptr(self.queue.stream()).0
    }

    /// Elements of a block.
    fn block(&self) -> usize {
        kv_block(self.layers, self.heads.kv, self.heads.head_dim)
    }

    /// How caches of this shape lie, `sequences` being the addresses of a batch's.
    pub(super) fn layout(&self, layer: usize, sequences: u64) -> photon_kv {
        photon_kv {
            sequences: sequences as *const _,
            ..blocked_kv(self.layers, self.heads.kv, self.heads.head_dim, layer)
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
            self.resize(wanted.div_ceil(KV_BLOCK))?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.blocks * self.block() * size_of::<u16>()
    }
}

impl Stored for CudaCache {
    fn layers(&self) -> usize {
        self.layers
    }

    fn heads(&self) -> Heads {
        self.heads
    }
}

impl Sequence for CudaCache {
    fn capacity(&self) -> usize {
        self.blocks * KV_BLOCK
    }

    fn advance(&mut self, units: usize) {
        self.len += units;
    }
}

/// Fixed keys and values of the live chunks of one local decoder. Layout
/// `[layer][slot][key or value][unit][KV head][head_dim]`: a unit's heads are one contiguous row.
pub struct CudaLocal {
    pub(super) data: Memory<u16>,
    pub(super) layers: usize,
    pub(super) heads: Heads,
    pub(super) slots: usize,
    pub(super) window: usize,
}

impl CudaLocal {
    pub(super) fn layout(&self, layer: usize, base: u64) -> photon_kv {
        let row = self.heads.kv_width();
        let slot = 2 * self.window * row;
        flat_kv(base as *mut _, layer * self.slots * slot, slot, row, self.heads.head_dim, self.window * row)
    }
}

impl Stored for CudaLocal {
    fn layers(&self) -> usize {
        self.layers
    }

    fn heads(&self) -> Heads {
        self.heads
    }
}

impl Chunks for CudaLocal {
    fn slots(&self) -> usize {
        self.slots
    }

    fn window(&self) -> usize {
        self.window
    }
}
