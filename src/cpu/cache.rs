//! Where keys and values live.

use super::memory::Aligned;
use crate::backend::{Heads, KvCache};
use crate::check::{self, Chunks, Sequence, Stored};
use crate::checkpoint::Dtype;
use crate::error::{Error, Result};

/// Keys and values of one sequence through the layers of one stack.
///
/// Layout: `[layer][key or value][kv head][unit][head_dim]`, so that one head's keys are one contiguous run.
pub struct CpuCache {
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
    pub(crate) len: usize,
    capacity: usize,
    pub(crate) store: Store,
}

/// The values, in the backend's dtype.
pub(crate) enum Store {
    F32(Aligned<f32>),
    Bf16(Aligned<u16>),
}

impl CpuCache {
    pub(crate) fn new(dtype: Dtype, layers: usize, heads: Heads, capacity: usize) -> Result<Self> {
        let len = elements(layers, heads, capacity)?;
        let store = match dtype {
            Dtype::Bf16 => Store::Bf16(Aligned::zeroed(len)?),
            _ => Store::F32(Aligned::zeroed(len)?),
        };
        Ok(CpuCache { layers, heads, len: 0, capacity, store })
    }

    /// First element of a head's keys (`value = 0`) or values (1).
    pub(crate) fn strip(&self, layer: usize, value: usize, head: usize) -> usize {
        ((layer * 2 + value) * self.heads.kv + head) * self.capacity * self.heads.head_dim
    }

    /// Makes room for `len` units in all; growing without being asked goes by half, so that it stays rare.
    pub(crate) fn ensure(&mut self, len: usize) -> Result<()> {
        if len > self.capacity {
            self.resize(len.max(self.capacity + self.capacity / 2).max(16))?;
        }
        Ok(())
    }

    fn resize(&mut self, capacity: usize) -> Result<()> {
        let len = elements(self.layers, self.heads, capacity)?;
        let strips = self.layers * 2 * self.heads.kv;
        let (old, new) = (self.capacity * self.heads.head_dim, capacity * self.heads.head_dim);
        fn moved<T: super::memory::Plain>(
            from: &Aligned<T>,
            len: usize,
            strips: usize,
            old: usize,
            new: usize,
        ) -> Result<Aligned<T>> {
            let mut to = Aligned::zeroed(len)?;
            for strip in 0..strips {
                to[strip * new..strip * new + old].copy_from_slice(&from[strip * old..(strip + 1) * old]);
            }
            Ok(to)
        }
        match &mut self.store {
            Store::F32(data) => *data = moved(data, len, strips, old, new)?,
            Store::Bf16(data) => *data = moved(data, len, strips, old, new)?,
        }
        self.capacity = capacity;
        Ok(())
    }
}

fn elements(layers: usize, heads: Heads, capacity: usize) -> Result<usize> {
    check::product("cache", &[layers, 2, heads.kv, heads.head_dim, capacity])
}

impl KvCache for CpuCache {
    fn len(&self) -> usize {
        self.len
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.len {
            return Err(Error::argument(format!(
                "len is {len}; the cache holds {} units and truncating cannot add any",
                self.len
            )));
        }
        self.len = len;
        Ok(())
    }

    fn reserve(&mut self, additional: usize) -> Result<()> {
        let needed = self
            .len
            .checked_add(additional)
            .ok_or_else(|| Error::argument(format!("additional is {additional}; no cache is that long")))?;
        if needed > self.capacity {
            self.resize(needed)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match &self.store {
            Store::F32(data) => data.len() * size_of::<f32>(),
            Store::Bf16(data) => data.len() * size_of::<u16>(),
        }
    }
}

impl Stored for CpuCache {
    fn layers(&self) -> usize {
        self.layers
    }

    fn heads(&self) -> Heads {
        self.heads
    }
}

impl Sequence for CpuCache {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn advance(&mut self, units: usize) {
        self.len += units;
    }
}

/// Keys and values of the live chunks of one local decoder, as `[layer][slot][row][k | v]`.
pub struct CpuLocal {
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
    pub(crate) slots: usize,
    pub(crate) window: usize,
    pub(crate) data: Aligned<f32>,
}

impl CpuLocal {
    pub(crate) fn new(layers: usize, heads: Heads, slots: usize, window: usize) -> Result<Self> {
        let len = check::product("local", &[layers, slots, window, 2, heads.kv, heads.head_dim])?;
        Ok(CpuLocal { layers, heads, slots, window, data: Aligned::zeroed(len)? })
    }

    /// First element of a row.
    pub(crate) fn row(&self, layer: usize, slot: usize, row: usize) -> usize {
        ((layer * self.slots + slot) * self.window + row) * 2 * self.heads.kv_width()
    }
}

impl Stored for CpuLocal {
    fn layers(&self) -> usize {
        self.layers
    }

    fn heads(&self) -> Heads {
        self.heads
    }
}

impl Chunks for CpuLocal {
    fn slots(&self) -> usize {
        self.slots
    }

    fn window(&self) -> usize {
        self.window
    }
}
