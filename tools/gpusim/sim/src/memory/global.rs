//! The map of device allocations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gpusim_check::Initialised;

use super::{Buffer, window};
use crate::MemoryError;

/// Between two allocations: an index that is off by less than this meets nothing.
const GAP: u64 = 1 << 20;
/// Freed ranges remembered, to tell a use after free from a wild address.
const REMEMBERED: usize = 1 << 16;
/// What `cuMemAlloc` guarantees.
const LEAST_ALIGN: u64 = 256;

/// One live range of addresses.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub base: u64,
    pub bytes: u64,
    pub buffer: Arc<Buffer>,
    /// Which bytes were ever written, if that is followed.
    pub written: Option<Arc<Initialised>>,
}

/// All allocations of a device. Addresses are given out in rising order and come back only when the window has been
/// used up, so a stale pointer meets a freed range and not somebody else's data.
#[derive(Debug)]
pub(crate) struct GlobalMemory {
    live: BTreeMap<u64, Region>,
    freed: BTreeMap<u64, u64>,
    next: u64,
    total: u64,
    used: u64,
    /// What kernels have allocated: start and bytes.
    heap: BTreeMap<u64, u64>,
    /// Starts of allocations that kernels may not write: `.const` variables.
    constants: BTreeSet<u64>,
    /// Changes with every allocation and free: a launch's snapshot is good while it stays the same.
    generation: u64,
    /// Whether it is followed which bytes of later allocations are written.
    pub follow_writes: bool,
}

impl GlobalMemory {
    pub(crate) fn new(total: u64) -> GlobalMemory {
        let next = window::GLOBAL.start + GAP;
        GlobalMemory {
            live: BTreeMap::new(),
            freed: BTreeMap::new(),
            next,
            total,
            used: 0,
            heap: BTreeMap::new(),
            constants: BTreeSet::new(),
            generation: 0,
            follow_writes: false,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn info(&self) -> (u64, u64) {
        (self.total - self.used, self.total)
    }

    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.live.values()
    }

    pub(crate) fn alloc(&mut self, bytes: u64, align: u64) -> Result<u64, MemoryError> {
        if bytes == 0 || !align.is_power_of_two() || align > 1 << 30 {
            return Err(MemoryError::InvalidRequest { bytes, align });
        }
        let (free, total) = self.info();
        let error = MemoryError::OutOfMemory { requested: bytes, free, total };
        if bytes > free {
            return Err(error);
        }
        let Some(base) = self.place(bytes, align.max(LEAST_ALIGN)) else { return Err(error) };
        let Some(buffer) = Buffer::new(bytes) else { return Err(error) };
        self.next = base + bytes + GAP;
        self.used += bytes;
        let written = self.follow_writes.then(|| Arc::new(Initialised::new(bytes)));
        self.live.insert(base, Region { base, bytes, buffer: Arc::new(buffer), written });
        self.generation += 1;
        Ok(base)
    }

    /// Kernels may not write the allocation that starts at `base`.
    pub(crate) fn make_constant(&mut self, base: u64) {
        self.constants.insert(base);
    }

    /// Whether kernels may not write the allocation that starts at `base`.
    pub(crate) fn is_constant(&self, base: u64) -> bool {
        self.constants.contains(&base)
    }

    /// `malloc` of a kernel, while no more than `limit` bytes are given out.
    pub(crate) fn alloc_heap(&mut self, bytes: u64, limit: u64) -> Option<u64> {
        if self.heap.values().sum::<u64>().checked_add(bytes)? > limit {
            return None;
        }
        let base = self.alloc(bytes.max(1), 16).ok()?;
        self.heap.insert(base, bytes);
        Some(base)
    }

    /// `free` of a kernel, which may free only what a kernel allocated.
    pub(crate) fn free_heap(&mut self, ptr: u64) -> Result<(), MemoryError> {
        if self.heap.remove(&ptr).is_none() && self.live.contains_key(&ptr) {
            return Err(MemoryError::Unknown { ptr });
        }
        self.free(ptr)
    }

    /// An address aligned to `align` and to no more, so that code which needs more than it asked for is noticed.
    fn place(&mut self, bytes: u64, align: u64) -> Option<u64> {
        let exactly = |from: u64| {
            let base = from.next_multiple_of(align);
            if base.is_multiple_of(2 * align) { base + align } else { base }
        };
        let base = exactly(self.next);
        if base.checked_add(bytes + GAP)? <= window::GLOBAL.end {
            return Some(base);
        }
        // The window is used up: take the first gap that is large enough, and forget what was freed there.
        let mut from = window::GLOBAL.start + GAP;
        for region in self.live.range(window::GLOBAL).map(|(_, region)| region) {
            if exactly(from) + bytes + GAP <= region.base {
                break;
            }
            from = region.base + region.bytes + GAP;
        }
        let base = exactly(from);
        if base.checked_add(bytes + GAP)? > window::GLOBAL.end {
            return None;
        }
        self.freed.retain(|&start, &mut size| start + size <= base || start >= base + bytes);
        Some(base)
    }

    pub(crate) fn free(&mut self, ptr: u64) -> Result<(), MemoryError> {
        if self.live.get(&ptr).is_some_and(|region| !region.buffer.is_foreign()) {
            let region = self.live.remove(&ptr).expect("looked up just now");
            self.constants.remove(&ptr);
            self.used -= region.bytes;
            self.remember(region.base, region.bytes);
            return Ok(());
        }
        if let Some(region) = self.region(ptr).filter(|region| !region.buffer.is_foreign()) {
            return Err(MemoryError::NotABase { ptr, base: region.base, bytes: region.bytes });
        }
        match self.freed.get(&ptr) {
            Some(&bytes) => Err(MemoryError::DoubleFree { base: ptr, bytes }),
            None => Err(MemoryError::Unknown { ptr }),
        }
    }

    fn remember(&mut self, base: u64, bytes: u64) {
        self.generation += 1;
        self.freed.insert(base, bytes);
        if self.freed.len() > REMEMBERED {
            self.freed.pop_first();
        }
    }

    pub(crate) fn map_host(&mut self, ptr: *mut u8, bytes: u64) -> Result<(), MemoryError> {
        let base = ptr as u64;
        let error = MemoryError::HostRange { ptr: base, bytes };
        let Some(end) = base.checked_add(bytes) else { return Err(error) };
        let overlaps = self.live.range(..end).next_back().is_some_and(|(_, r)| r.base + r.bytes > base);
        if base == 0
            || bytes == 0
            || overlaps
            || (base < window::CODE + window::SIZE && end > window::GLOBAL.start)
        {
            return Err(error);
        }
        // Mapped anew: what was freed here before is forgotten.
        self.freed.retain(|&start, &mut size| start + size <= base || start >= end);
        let buffer = Arc::new(Buffer::foreign(ptr));
        self.live.insert(base, Region { base, bytes, buffer, written: None });
        self.generation += 1;
        Ok(())
    }

    pub(crate) fn unmap_host(&mut self, ptr: *mut u8) -> Result<(), MemoryError> {
        let base = ptr as u64;
        match self.live.get(&base) {
            Some(region) if region.buffer.is_foreign() => {
                let bytes = region.bytes;
                self.live.remove(&base);
                self.remember(base, bytes);
                Ok(())
            }
            _ => Err(MemoryError::Unknown { ptr: base }),
        }
    }

    /// The live region that `ptr` lies in.
    pub(crate) fn region(&self, ptr: u64) -> Option<&Region> {
        let (_, region) = self.live.range(..=ptr).next_back()?;
        (ptr - region.base < region.bytes).then_some(region)
    }

    /// The host address of `bytes` bytes at `ptr`, all inside one allocation.
    pub(crate) fn host(&self, ptr: u64, bytes: u64) -> Result<*mut u8, MemoryError> {
        match self.region(ptr) {
            Some(region) if bytes <= region.bytes - (ptr - region.base) => {
                Ok(region.buffer.ptr().wrapping_add((ptr - region.base) as usize))
            }
            _ => Err(self.explain(ptr, bytes)),
        }
    }

    /// The host writes bytes inside one allocation.
    pub(crate) fn wrote(&self, ptr: u64, bytes: u64) {
        let region = self.region(ptr);
        if let Some((region, written)) = region.and_then(|region| Some((region, region.written.as_ref()?))) {
            written.mark(ptr - region.base, bytes);
        }
    }

    /// Why an access to `bytes` bytes at `ptr` is illegal.
    pub(crate) fn explain(&self, ptr: u64, bytes: u64) -> MemoryError {
        let end = ptr.saturating_add(bytes.max(1));
        let freed = self.freed.range(..end).next_back().filter(|&(&base, &size)| base + size > ptr);
        if let (Some((&base, &allocated)), None) = (freed, self.region(ptr)) {
            return MemoryError::UseAfterFree { ptr: ptr.max(base), bytes, base, allocated };
        }
        let below = self.live.range(..=ptr).next_back().map(|(_, r)| (r.base, r.bytes));
        let above = self.live.range(ptr..).next().map(|(_, r)| (r.base, r.bytes));
        let nearest = match (below, above) {
            (Some(below), Some(above)) if above.0 - ptr < ptr.saturating_sub(below.0 + below.1) => {
                Some(above)
            }
            (below, above) => below.or(above),
        };
        MemoryError::OutOfBounds { ptr, bytes, nearest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_apart_and_not_better_aligned_than_asked() {
        let mut memory = GlobalMemory::new(1 << 30);
        let a = memory.alloc(1000, 1).unwrap();
        let b = memory.alloc(1000, 4096).unwrap();
        assert!(b >= a + 1000 + GAP);
        assert_eq!(a % 512, 256);
        assert_eq!(b % 8192, 4096);
        assert!(memory.host(a, 1000).is_ok());
        assert_eq!(
            memory.host(a + 998, 4),
            Err(MemoryError::OutOfBounds { ptr: a + 998, bytes: 4, nearest: Some((a, 1000)) })
        );
    }

    #[test]
    fn freeing_wrongly_has_distinct_errors() {
        let mut memory = GlobalMemory::new(1 << 30);
        let a = memory.alloc(64, 1).unwrap();
        assert_eq!(memory.free(a + 8), Err(MemoryError::NotABase { ptr: a + 8, base: a, bytes: 64 }));
        assert_eq!(memory.free(a), Ok(()));
        assert_eq!(memory.free(a), Err(MemoryError::DoubleFree { base: a, bytes: 64 }));
        assert_eq!(memory.free(12), Err(MemoryError::Unknown { ptr: 12 }));
        assert_eq!(
            memory.host(a + 60, 8),
            Err(MemoryError::UseAfterFree { ptr: a + 60, bytes: 8, base: a, allocated: 64 })
        );
    }

    #[test]
    fn a_constant_stays_one_until_it_is_freed() {
        let mut memory = GlobalMemory::new(1 << 30);
        let (a, b) = (memory.alloc(64, 1).unwrap(), memory.alloc(64, 1).unwrap());
        memory.make_constant(a);
        assert!(memory.is_constant(a) && !memory.is_constant(b));
        memory.free(a).unwrap();
        assert!(!memory.is_constant(a));
    }

    #[test]
    fn nominal_memory_is_a_limit() {
        let mut memory = GlobalMemory::new(1000);
        let a = memory.alloc(600, 1).unwrap();
        assert_eq!(
            memory.alloc(600, 1),
            Err(MemoryError::OutOfMemory { requested: 600, free: 400, total: 1000 })
        );
        memory.free(a).unwrap();
        assert!(memory.alloc(600, 1).is_ok());
    }

    #[test]
    fn a_used_up_window_gives_out_freed_addresses_again() {
        let mut memory = GlobalMemory::new(1 << 50);
        let a = memory.alloc(1 << 20, 1).unwrap();
        let b = memory.alloc(64, 1).unwrap();
        memory.free(a).unwrap();
        memory.next = window::GLOBAL.end - GAP;
        let c = memory.alloc(1 << 19, 1).unwrap();
        assert!(window::GLOBAL.contains(&c) && c + (1 << 19) + GAP <= b);
        assert!(memory.host(c, 1 << 19).is_ok());
    }
}
