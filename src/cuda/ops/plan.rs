//! What a pass over growing sequences has to know on the device: which row is which unit of which sequence.
//!
//! It depends on lengths alone, so it is made once for all layers of a pass.

use super::cache::CudaCache;
use super::device::CudaBackend;
use super::memory::small;
use crate::cuda::raw;
use crate::error::{Error, Result};

/// The plan of the last pass, on the device.
#[derive(Default)]
pub(super) struct StreamPlan {
    /// What it was made of: the epoch of the queue; per entry the lane, its length, its rows; then the addresses of all caches.
    key: Vec<u64>,
    wanted: Vec<u64>,
    host: Vec<u32>,
    found: Planned,
}

/// Addresses and sizes of a plan.
#[derive(Clone, Copy, Default)]
pub(super) struct Planned {
    /// Addresses of the caches, by lane.
    pub(super) bases: u64,
    /// Per row.
    pub(super) slot: u64,
    pub(super) unit: u64,
    /// Per entry.
    pub(super) first_row: u64,
    pub(super) lane: u64,
    pub(super) length: u64,
    pub(super) entries: usize,
    pub(super) most_rows: usize,
    /// Most units that an entry has with its new rows.
    pub(super) most_units: usize,
}

impl StreamPlan {
    /// The plan for `rows[i]` new rows of the sequence of `caches[lanes[i]]`.
    pub(super) fn make(
        &mut self,
        backend: &CudaBackend,
        caches: &[CudaCache],
        lanes: &[usize],
        rows: &[usize],
    ) -> Result<Planned> {
        self.wanted.clear();
        self.wanted.push(backend.queue.epoch());
        for (&lane, &rows) in lanes.iter().zip(rows) {
            self.wanted.extend([lane as u64, caches[lane].len as u64, rows as u64]);
        }
        self.wanted.extend(caches.iter().map(CudaCache::address));
        if self.wanted == self.key {
            return Ok(self.found);
        }
        self.key.clear();

        let n: usize = rows.iter().sum();
        let mut found = Planned { entries: lanes.len(), ..Planned::default() };
        let entries = lanes.len();
        self.host.clear();
        self.host.resize(2 * n + 3 * entries + 1, 0);
        let (slot, rest) = self.host.split_at_mut(n);
        let (unit, rest) = rest.split_at_mut(n);
        let (first_row, rest) = rest.split_at_mut(entries + 1);
        let (entry_lane, length) = rest.split_at_mut(entries);
        let mut row = 0;
        for (i, (&lane, &count)) in lanes.iter().zip(rows).enumerate() {
            let len = caches[lane].len;
            small("the length of a sequence", len + count)?;
            first_row[i] = row as u32;
            entry_lane[i] = lane as u32;
            length[i] = len as u32;
            for j in 0..count {
                slot[row] = lane as u32;
                unit[row] = (len + j) as u32;
                row += 1;
            }
            found.most_rows = found.most_rows.max(count);
            found.most_units = found.most_units.max(len + count);
        }
        first_row[entries] = row as u32;

        let address = backend.queue.upload(&self.host)?;
        let place = |elements: usize| address + 4 * elements as u64;
        found.slot = place(0);
        found.unit = place(n);
        found.first_row = place(2 * n);
        found.lane = place(2 * n + entries + 1);
        found.length = place(2 * n + 2 * entries + 1);
        let Some(bases) = self.wanted.get(1 + 3 * entries..) else {
            return Err(Error::Backend("the plan of a pass lost its addresses".into()));
        };
        found.bases = backend.queue.upload(bases)?;
        std::mem::swap(&mut self.key, &mut self.wanted);
        self.found = found;
        Ok(found)
    }
}

impl Planned {
    /// Segments of the longest entry, rounded up so that a longer context seldom asks for another launch.
    pub(super) fn segments(&self) -> usize {
        raw::segments(self.most_units).next_power_of_two().max(4)
    }
}
