//! Device and managed memory, and the table of what programs allocated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, Weak};

use crate::capture::forbidden_in_capture;
use crate::context::current;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::{put, put_if};
use crate::pool::GraphMemory;
use crate::registry::lock;
use crate::types::Handle;

/// Where an allocation comes from.
#[derive(Clone)]
pub enum Kind {
    /// `cuMemAlloc`.
    Device,
    /// `cuMemAllocAsync`, with its pool.
    Pool(Handle),
    /// A memory node of a graph.
    Graph(Weak<GraphMemory>),
    /// `cuMemAllocManaged`.
    Managed,
    /// `cuMemHostAlloc`, with its flags.
    Pinned(u32),
    /// `cuMemHostRegister`.
    Registered,
    /// `cuMemMap`.
    Mapped,
}

/// An allocation.
#[derive(Clone)]
pub struct Allocation {
    pub base: u64,
    pub bytes: u64,
    pub kind: Kind,
    pub context: Handle,
    /// A number that no other allocation of the process has.
    pub id: u64,
}

/// All allocations by address.
#[derive(Default)]
pub struct Memory {
    allocations: BTreeMap<u64, Allocation>,
    /// Attributes that advice has set: read-mostly, preferred location and accessors of managed memory.
    pub advice: BTreeMap<u64, [Option<(i32, i32)>; 4]>,
}

impl Memory {
    /// Notes an allocation.
    pub fn insert(&mut self, base: u64, bytes: u64, kind: Kind, context: Handle) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        self.allocations.insert(base, Allocation { base, bytes, kind, context, id });
    }

    /// The allocation that an address lies in.
    pub fn find(&self, address: u64) -> Option<&Allocation> {
        let (_, allocation) = self.allocations.range(..=address).next_back()?;
        (address - allocation.base < allocation.bytes).then_some(allocation)
    }

    /// The allocation that starts at an address.
    pub fn at(&self, base: u64) -> Option<&Allocation> {
        self.allocations.get(&base)
    }

    /// Forgets the allocation that starts at an address.
    pub fn remove(&mut self, base: u64) -> Option<Allocation> {
        self.advice.remove(&base);
        self.allocations.remove(&base)
    }
}

/// Host memory of whole pages, zeroed.
pub fn map_pages(bytes: usize) -> Result<usize> {
    // SAFETY: a fresh anonymous mapping.
    let pointer = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if pointer == libc::MAP_FAILED { Err(Error::OUT_OF_MEMORY) } else { Ok(pointer as usize) }
}

/// Gives pages back, so that a host access to freed memory faults.
pub fn unmap_pages(address: usize, bytes: usize) {
    // SAFETY: `map_pages` made the mapping, and the table forgets it.
    unsafe { libc::munmap(address as *mut libc::c_void, bytes) };
}

/// Host memory that the device sees at its own address.
pub fn allocate_host(bytes: usize, kind: Kind) -> Result<usize> {
    let context = current()?.handle;
    if bytes == 0 {
        return Err(Error::INVALID_VALUE);
    }
    if bytes as u64 > 1 << 42 {
        return Err(Error::OUT_OF_MEMORY);
    }
    let address = map_pages(bytes)?;
    // SAFETY: the pages stay until `release`, which unmaps them from the device first.
    if let Err(error) = unsafe { driver().device.map_host(address as *mut u8, bytes as u64) } {
        unmap_pages(address, bytes);
        return Err(error.into());
    }
    lock(&driver().memory).insert(address as u64, bytes as u64, kind, context);
    Ok(address)
}

/// Takes host memory out of the device's sight, when no kernel that another thread launched runs any more: kernels
/// use it at its own address, so a kernel that ran on would end the process.
pub fn unmap_from_device(address: u64) -> Result {
    let driver = driver();
    let _none_runs = driver.running.write().unwrap_or_else(PoisonError::into_inner);
    Ok(driver.device.unmap_host(address as *mut u8)?)
}

/// Frees an allocation that the table has forgotten.
fn release(allocation: &Allocation) -> Result {
    let device = &driver().device;
    match &allocation.kind {
        Kind::Device => Ok(device.free(allocation.base)?),
        Kind::Pool(pool) => {
            crate::pool::gave_back(*pool, allocation.bytes);
            Ok(device.free(allocation.base)?)
        }
        Kind::Graph(memory) => memory.upgrade().map_or(Ok(()), |memory| memory.release()),
        Kind::Managed | Kind::Pinned(_) => {
            unmap_from_device(allocation.base)?;
            unmap_pages(allocation.base as usize, allocation.bytes as usize);
            Ok(())
        }
        Kind::Registered => unmap_from_device(allocation.base),
        Kind::Mapped => Err(Error::INVALID_VALUE),
    }
}

/// Frees what a context still has.
pub fn free_all(context: Handle) {
    let bases: Vec<u64> = {
        let memory = lock(&driver().memory);
        let of_context = memory.allocations.values().filter(|a| a.context == context);
        of_context.filter(|a| !matches!(a.kind, Kind::Mapped | Kind::Graph(_))).map(|a| a.base).collect()
    };
    for base in bases {
        let allocation = lock(&driver().memory).remove(base);
        if let Some(allocation) = allocation {
            // The table says that it is there.
            let _ = release(&allocation);
        }
    }
}

/// Waits for all streams, as freeing does; returns the first error that work came to meanwhile.
pub fn wait_for_device() -> Result {
    let driver = driver();
    let legacy = driver.contexts.all().into_iter().map(|context| context.legacy.clone());
    let mut result = Ok(());
    for stream in driver.streams.all().into_iter().chain(legacy) {
        result = result.and(stream.synchronize());
    }
    result
}

/// Frees the allocation that starts at `base` if its kind is one that `accept` takes.
pub fn free(base: u64, accept: impl Fn(&Kind) -> bool) -> Result {
    let allocation = {
        let mut memory = lock(&driver().memory);
        match memory.at(base) {
            Some(allocation) if accept(&allocation.kind) => {}
            _ => return Err(Error::INVALID_VALUE),
        }
        match memory.at(base).map(|a| a.kind.clone()) {
            // A graph's memory stays the graph's.
            Some(Kind::Graph(_)) => memory.at(base).cloned(),
            _ => memory.remove(base),
        }
    };
    allocation.map_or(Err(Error::INVALID_VALUE), |allocation| release(&allocation))
}

fn allocate(bytes: usize) -> Result<u64> {
    let context = current()?.handle;
    forbidden_in_capture()?;
    if bytes == 0 {
        return Err(Error::INVALID_VALUE);
    }
    let base = driver().device.alloc(bytes as u64, 256)?;
    lock(&driver().memory).insert(base, bytes as u64, Kind::Device, context);
    Ok(base)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc_v2(out: *mut u64, bytes: usize) -> i32 {
    api(|| {
        put(out, 0)?;
        put(out, allocate(bytes)?)
    })
}

/// Rows are padded to a multiple of 512 bytes.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocPitch_v2(
    out: *mut u64,
    pitch: *mut usize,
    width: usize,
    height: usize,
    element: u32,
) -> i32 {
    api(|| {
        put(out, 0)?;
        put(pitch, 0)?;
        if ![4, 8, 16].contains(&element) {
            return Err(Error::INVALID_VALUE);
        }
        let row = width.checked_next_multiple_of(512).ok_or(Error::INVALID_VALUE)?;
        let base = allocate(row.checked_mul(height).ok_or(Error::OUT_OF_MEMORY)?)?;
        put(pitch, row)?;
        put(out, base)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(pointer: u64) -> i32 {
    api(|| {
        current()?;
        forbidden_in_capture()?;
        if pointer == 0 {
            return Ok(());
        }
        let earlier = wait_for_device();
        free(pointer, |kind| matches!(kind, Kind::Device | Kind::Pool(_) | Kind::Managed | Kind::Graph(_)))?;
        earlier
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocManaged(out: *mut u64, bytes: usize, flags: u32) -> i32 {
    api(|| {
        put(out, 0)?;
        forbidden_in_capture()?;
        // CU_MEM_ATTACH_GLOBAL or CU_MEM_ATTACH_HOST
        if ![1, 2].contains(&flags) {
            return Err(Error::INVALID_VALUE);
        }
        put(out, allocate_host(bytes, Kind::Managed)? as u64)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> i32 {
    api(|| {
        current()?;
        let info = driver().device.memory_info();
        put(free, info.0 as usize)?;
        put(total, info.1 as usize)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAddressRange_v2(base: *mut u64, bytes: *mut usize, pointer: u64) -> i32 {
    api(|| {
        current()?;
        let range = driver().device.range(pointer).ok_or(Error::NOT_FOUND)?;
        put_if(base, range.0)?;
        put_if(bytes, range.1 as usize)
    })
}
