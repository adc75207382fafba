//! Stream-ordered allocation: memory pools, asynchronous allocation, and the memory nodes of graphs.
//!
//! Freed memory goes back at once, whatever the release threshold, so that its use is noticed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::capture::is_capturing;
use crate::context::current;
use crate::device::check_device;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::{get, get_all, put};
use crate::memory::{Kind, free};
use crate::op::Op;
use crate::registry::{lock, new_handle};
use crate::stream;
use crate::types::{Handle, MemAccessDesc, MemLocation, MemPoolProps};

/// `CU_MEM_LOCATION_TYPE_DEVICE`.
pub const ON_DEVICE: i32 = 1;

/// A memory pool.
pub struct Pool {
    handle: Handle,
    is_default: bool,
    max_bytes: u64,
    /// The reuse policies, attributes 1 to 3, which have no effect.
    reuse: Mutex<[i32; 3]>,
    threshold: AtomicU64,
    used: AtomicU64,
    used_high: AtomicU64,
}

/// The device's default pool and its current one.
static DEFAULT: OnceLock<Handle> = OnceLock::new();
static CURRENT: Mutex<Handle> = Mutex::new(0);

fn create(is_default: bool, max_bytes: u64) -> Handle {
    let handle = new_handle();
    let pool = Pool {
        handle,
        is_default,
        max_bytes,
        reuse: Mutex::new([1; 3]),
        threshold: AtomicU64::new(0),
        used: AtomicU64::new(0),
        used_high: AtomicU64::new(0),
    };
    driver().pools.insert(handle, pool);
    handle
}

fn default_pool() -> Handle {
    *DEFAULT.get_or_init(|| create(true, 0))
}

fn current_pool() -> Handle {
    let default = default_pool();
    let mut current = lock(&CURRENT);
    if *current == 0 || driver().pools.get(*current).is_err() {
        *current = default;
    }
    *current
}

fn pool(handle: Handle) -> Result<Arc<Pool>> {
    driver().pools.get(handle).map_err(|_| Error::INVALID_VALUE)
}

impl Pool {
    fn allocate(&self, bytes: u64, context: Handle) -> Result<u64> {
        if self.max_bytes > 0 && self.used.load(Ordering::Relaxed).saturating_add(bytes) > self.max_bytes {
            return Err(Error::OUT_OF_MEMORY);
        }
        let base = driver().device.alloc(bytes, 256)?;
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.used_high.fetch_max(used, Ordering::Relaxed);
        lock(&driver().memory).insert(base, bytes, Kind::Pool(self.handle), context);
        Ok(base)
    }
}

/// Notes that memory of a pool was freed, by whatever call; the pool itself may be gone.
pub fn gave_back(handle: Handle, bytes: u64) {
    if let Ok(pool) = pool(handle) {
        pool.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Frees what an asynchronous free names, when the stream has come to it.
pub fn free_now(pointer: u64) -> Result {
    free(pointer, |kind| matches!(kind, Kind::Device | Kind::Pool(_) | Kind::Graph(_) | Kind::Managed))
}

/// The memory of an allocation node. Its address is fixed when the node is made. The device sees it as allocated as
/// long as the graph or an instantiated graph holds it, so a use outside its lifetime in the graph is not noticed.
pub struct GraphMemory {
    pub pointer: u64,
    pub bytes: u64,
    live: AtomicBool,
}

impl GraphMemory {
    /// Memory for a node.
    pub fn new(bytes: u64, context: Handle) -> Result<Arc<GraphMemory>> {
        if bytes == 0 {
            return Err(Error::INVALID_VALUE);
        }
        let pointer = driver().device.alloc(bytes, 256)?;
        let memory = Arc::new(GraphMemory { pointer, bytes, live: AtomicBool::new(false) });
        lock(&driver().memory).insert(pointer, bytes, Kind::Graph(Arc::downgrade(&memory)), context);
        Ok(memory)
    }

    /// The node was reached: an error if the memory of an earlier launch was never freed.
    pub fn allocate(&self) -> Result {
        if self.live.swap(true, Ordering::Relaxed) { Err(Error::INVALID_VALUE) } else { Ok(()) }
    }

    /// It was freed, by a node or by the program.
    pub fn release(&self) -> Result {
        if self.live.swap(false, Ordering::Relaxed) { Ok(()) } else { Err(Error::INVALID_VALUE) }
    }
}

impl Drop for GraphMemory {
    fn drop(&mut self) {
        lock(&driver().memory).remove(self.pointer);
        // Nobody is left to tell.
        let _ = driver().device.free(self.pointer);
    }
}

fn allocate_async(out: *mut u64, bytes: usize, from: Option<Handle>, stream: Handle) -> Result {
    put(out, 0)?;
    let stream = stream::resolve(stream)?;
    let pool = pool(from.unwrap_or_else(current_pool))?;
    if bytes == 0 {
        return Err(Error::INVALID_VALUE);
    }
    if is_capturing(&stream) {
        let memory = GraphMemory::new(bytes as u64, stream.context)?;
        let pointer = memory.pointer;
        stream::submit(&stream, Op::Alloc(memory))?;
        return put(out, pointer);
    }
    stream::submit(&stream, Op::Empty)?;
    put(out, pool.allocate(bytes as u64, stream.context)?)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocAsync(out: *mut u64, bytes: usize, stream: Handle) -> i32 {
    api(|| allocate_async(out, bytes, None, stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocFromPoolAsync(out: *mut u64, bytes: usize, pool: Handle, stream: Handle) -> i32 {
    api(|| allocate_async(out, bytes, Some(pool), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(pointer: u64, stream: Handle) -> i32 {
    api(|| {
        let stream = stream::resolve(stream)?;
        let kind = lock(&driver().memory).at(pointer).map(|a| a.kind.clone()).ok_or(Error::INVALID_VALUE)?;
        match kind {
            Kind::Graph(memory) if is_capturing(&stream) => {
                let memory = memory.upgrade().ok_or(Error::INVALID_VALUE)?;
                stream::submit(&stream, Op::FreeGraph(memory))
            }
            Kind::Pool(_) | Kind::Device | Kind::Graph(_) if !is_capturing(&stream) => {
                stream::submit(&stream, Op::Free(pointer))
            }
            _ => Err(Error::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolCreate(out: *mut Handle, props: *const MemPoolProps) -> i32 {
    api(|| {
        let props = get(props)?;
        // Pinned memory of the device, and no shareable handles.
        if props.kind != 1 || props.location.kind != ON_DEVICE {
            return Err(Error::INVALID_VALUE);
        }
        check_device(props.location.id)?;
        if props.handle_types != 0 {
            return Err(Error::NOT_SUPPORTED);
        }
        put(out, 0)?;
        put(out, create(false, props.max_size as u64))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolDestroy(handle: Handle) -> i32 {
    api(|| {
        if pool(handle)?.is_default {
            return Err(Error::INVALID_VALUE);
        }
        driver().pools.remove(handle).map(|_| ())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolTrimTo(handle: Handle, keep: usize) -> i32 {
    api(|| {
        let _ = keep;
        pool(handle).map(|_| ())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAttribute(handle: Handle, attribute: i32, out: *mut u64) -> i32 {
    api(|| {
        let pool = pool(handle)?;
        match attribute {
            1..=3 => put(out.cast(), lock(&pool.reuse)[attribute as usize - 1]),
            4 => put(out, pool.threshold.load(Ordering::Relaxed)),
            5 | 7 => put(out, pool.used.load(Ordering::Relaxed)),
            6 | 8 => put(out, pool.used_high.load(Ordering::Relaxed)),
            9 => put(out.cast(), 1i32),
            10 | 11 => put(out.cast(), 0i32),
            12 => put(out.cast(), ON_DEVICE),
            13 => put(out, pool.max_bytes),
            14 => put(out.cast(), 0i32),
            _ => Err(Error::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolSetAttribute(handle: Handle, attribute: i32, value: *const u64) -> i32 {
    api(|| {
        let pool = pool(handle)?;
        match attribute {
            1..=3 => lock(&pool.reuse)[attribute as usize - 1] = get(value.cast::<i32>())?,
            4 => pool.threshold.store(get(value)?, Ordering::Relaxed),
            // High-water marks can only be reset.
            6 | 8 if get(value)? == 0 => {
                pool.used_high.store(pool.used.load(Ordering::Relaxed), Ordering::Relaxed)
            }
            _ => return Err(Error::INVALID_VALUE),
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolSetAccess(handle: Handle, map: *const MemAccessDesc, count: usize) -> i32 {
    api(|| {
        pool(handle)?;
        for access in get_all(map, count)? {
            // The pool's own device must keep its access.
            if access.location.kind != ON_DEVICE || access.flags != 3 {
                return Err(Error::INVALID_VALUE);
            }
            check_device(access.location.id)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAccess(flags: *mut i32, handle: Handle, location: *const MemLocation) -> i32 {
    api(|| {
        pool(handle)?;
        let location = get(location)?;
        if location.kind != ON_DEVICE {
            return Err(Error::INVALID_VALUE);
        }
        check_device(location.id)?;
        put(flags, 3)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetDefaultMemPool(out: *mut Handle, device: i32) -> i32 {
    api(|| check_device(device).and_then(|_| put(out, default_pool())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetMemPool(out: *mut Handle, device: i32) -> i32 {
    api(|| check_device(device).and_then(|_| put(out, current_pool())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceSetMemPool(device: i32, handle: Handle) -> i32 {
    api(|| {
        check_device(device)?;
        *lock(&CURRENT) = pool(handle)?.handle;
        Ok(())
    })
}

fn check_location(location: *const MemLocation, kind: i32) -> Result {
    let location = get(location)?;
    if location.kind != ON_DEVICE || kind != 1 {
        return Err(Error::NOT_SUPPORTED);
    }
    check_device(location.id)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetDefaultMemPool(out: *mut Handle, location: *const MemLocation, kind: i32) -> i32 {
    api(|| check_location(location, kind).and_then(|_| put(out, default_pool())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetMemPool(out: *mut Handle, location: *const MemLocation, kind: i32) -> i32 {
    api(|| check_location(location, kind).and_then(|_| put(out, current_pool())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemSetMemPool(location: *const MemLocation, kind: i32, handle: Handle) -> i32 {
    api(|| {
        check_location(location, kind)?;
        *lock(&CURRENT) = pool(handle)?.handle;
        Ok(())
    })
}

/// Graph memory is given back with the graph, so there is nothing reserved beyond what is used.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGraphMemTrim(device: i32) -> i32 {
    api(|| check_device(device).and_then(|_| current().map(|_| ()).or(Ok(()))))
}
