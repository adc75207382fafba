//! Contexts: the primary one, others, and each thread's stack of current contexts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::capture::forbidden_in_capture;
use crate::device::check_device;
use crate::driver::{api, api_uninitialized, driver};
use crate::error::{Error, Result};
use crate::host::{get, put, put_if};
use crate::registry::{lock, new_handle};
use crate::stream::Stream;
use crate::types::{ExecAffinity, Handle};

/// The device's primary context. Its handle stays the same when it is released and retained again.
pub struct Primary {
    handle: Handle,
    references: u32,
    flags: u32,
}

impl Primary {
    /// Inactive.
    pub fn new() -> Primary {
        Primary { handle: new_handle(), references: 0, flags: 0 }
    }
}

/// A context.
pub struct Context {
    pub handle: Handle,
    pub id: u64,
    pub flags: AtomicU32,
    pub legacy: Arc<Stream>,
    cache_config: AtomicU32,
    shared_config: AtomicU32,
    limits: Mutex<HashMap<i32, u64>>,
}

impl Context {
    fn create(handle: Handle, flags: u32) -> Arc<Context> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let context = Context {
            handle,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            flags: AtomicU32::new(flags),
            legacy: Stream::legacy(handle),
            cache_config: AtomicU32::new(0),
            shared_config: AtomicU32::new(1),
            limits: Mutex::default(),
        };
        driver().contexts.insert(handle, context)
    }

    /// Ends the context and everything in it.
    fn destroy(handle: Handle) -> Result {
        let driver = driver();
        let context = driver.contexts.get(handle)?;
        for stream in driver.streams.retain(|stream| stream.context != handle) {
            crate::capture::abandon(&stream);
            stream.finish();
        }
        context.legacy.finish();
        driver.contexts.remove(handle)?;
        driver.events.retain(|event| event.context != handle);
        crate::module::unload_all(handle);
        crate::memory::free_all(handle);
        Ok(())
    }
}

thread_local! {
    static STACK: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// The calling thread's context.
pub fn current() -> Result<Arc<Context>> {
    let handle = STACK.with_borrow(|stack| stack.last().copied());
    match handle {
        None | Some(0) => Err(Error::INVALID_CONTEXT),
        Some(handle) => driver().contexts.get(handle).map_err(|_| Error::CONTEXT_IS_DESTROYED),
    }
}

/// The context of a handle, the current one for null.
pub fn context_or_current(handle: Handle) -> Result<Arc<Context>> {
    if handle == 0 { current() } else { driver().contexts.get(handle).map_err(|_| Error::INVALID_CONTEXT) }
}

const SCHEDULE_FLAGS: [u32; 4] = [0, 1, 2, 4];
const KNOWN_FLAGS: u32 = 0xff;

fn check_flags(flags: u32) -> Result {
    match flags & !KNOWN_FLAGS == 0 && SCHEDULE_FLAGS.contains(&(flags & 7)) {
        true => Ok(()),
        false => Err(Error::INVALID_VALUE),
    }
}

fn create(out: *mut Handle, flags: u32, device: i32) -> Result {
    check_flags(flags)?;
    check_device(device)?;
    put(out, 0)?;
    let context = Context::create(new_handle(), flags);
    STACK.with_borrow_mut(|stack| stack.push(context.handle));
    put(out, context.handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v2(out: *mut Handle, flags: u32, device: i32) -> i32 {
    api(|| create(out, flags, device))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v3(
    out: *mut Handle,
    affinity: *mut ExecAffinity,
    count: i32,
    flags: u32,
    device: i32,
) -> i32 {
    api(|| match count {
        0 if affinity.is_null() => create(out, flags, device),
        _ => Err(Error::UNSUPPORTED_EXEC_AFFINITY),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v4(out: *mut Handle, params: *mut [usize; 3], flags: u32, device: i32) -> i32 {
    api(|| {
        if !params.is_null() && get(params.cast::<usize>())? != 0 {
            return Err(Error::UNSUPPORTED_EXEC_AFFINITY);
        }
        create(out, flags, device)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy_v2(context: Handle) -> i32 {
    api(|| {
        if lock(&driver().primary).handle == context {
            return Err(Error::INVALID_CONTEXT);
        }
        Context::destroy(context).map_err(|_| Error::INVALID_CONTEXT)?;
        STACK.with_borrow_mut(|stack| stack.pop_if(|top| *top == context));
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: Handle) -> i32 {
    api(|| {
        driver().contexts.get(context).map_err(|_| Error::INVALID_CONTEXT)?;
        STACK.with_borrow_mut(|stack| stack.push(context));
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPopCurrent_v2(out: *mut Handle) -> i32 {
    api(|| {
        let top = STACK.with_borrow(|stack| stack.last().copied()).ok_or(Error::INVALID_CONTEXT)?;
        put_if(out, top)?;
        STACK.with_borrow_mut(|stack| stack.pop());
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: Handle) -> i32 {
    api(|| {
        if context != 0 {
            driver().contexts.get(context).map_err(|_| Error::INVALID_CONTEXT)?;
        }
        STACK.with_borrow_mut(|stack| {
            stack.pop();
            if context != 0 {
                stack.push(context);
            }
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCurrent(out: *mut Handle) -> i32 {
    api(|| put(out, STACK.with_borrow(|stack| stack.last().copied().unwrap_or(0))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice(out: *mut i32) -> i32 {
    api(|| current().and_then(|_| put(out, 0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice_v2(out: *mut i32, context: Handle) -> i32 {
    api(|| context_or_current(context).and_then(|_| put(out, 0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetFlags(out: *mut u32) -> i32 {
    api(|| put(out, current()?.flags.load(Ordering::Relaxed)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetFlags(flags: u32) -> i32 {
    api(|| {
        check_flags(flags)?;
        current()?.flags.store(flags, Ordering::Relaxed);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetId(context: Handle, out: *mut u64) -> i32 {
    api(|| put(out, context_or_current(context)?.id))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetApiVersion(context: Handle, out: *mut u32) -> i32 {
    api(|| context_or_current(context).and_then(|_| put(out, 3020)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCacheConfig(out: *mut u32) -> i32 {
    api(|| put(out, current()?.cache_config.load(Ordering::Relaxed)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCacheConfig(config: u32) -> i32 {
    api(|| match config {
        0..=3 => {
            current()?.cache_config.store(config, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(Error::INVALID_VALUE),
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetSharedMemConfig(out: *mut u32) -> i32 {
    api(|| put(out, current()?.shared_config.load(Ordering::Relaxed)))
}

/// Banks are four bytes wide since Maxwell, so the setting has no effect, as on hardware.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetSharedMemConfig(config: u32) -> i32 {
    api(|| if config <= 2 { current().map(|_| ()) } else { Err(Error::INVALID_VALUE) })
}

const LIMIT_STACK: i32 = 0;
const LIMIT_HEAP: i32 = 2;

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetLimit(out: *mut usize, limit: i32) -> i32 {
    api(|| {
        let context = current()?;
        let device = driver().device.limits();
        let value = match limit {
            LIMIT_STACK => device.stack_bytes,
            LIMIT_HEAP => device.heap_bytes,
            1 | 3..=6 => {
                let default = match limit {
                    1 => 1 << 20,
                    3 => 2,
                    4 => 2048,
                    5 => 64,
                    _ => 0,
                };
                lock(&context.limits).get(&limit).copied().unwrap_or(default)
            }
            _ => {
                return Err(if (7..=9).contains(&limit) {
                    Error::UNSUPPORTED_LIMIT
                } else {
                    Error::INVALID_VALUE
                });
            }
        };
        put(out, value as usize)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetLimit(limit: i32, value: usize) -> i32 {
    api(|| {
        let context = current()?;
        let device = &driver().device;
        let mut limits = device.limits();
        match limit {
            // Local memory of a thread is at most 512 KiB.
            LIMIT_STACK if value > 512 << 10 => return Err(Error::INVALID_VALUE),
            // What CUDA rounds up to is not documented; a stack is never made smaller than its default here, because
            // frames of the simulator are not those of ptxas.
            LIMIT_STACK => limits.stack_bytes = (value as u64).max(gpusim::Limits::default().stack_bytes),
            LIMIT_HEAP => limits.heap_bytes = value as u64,
            1 | 3..=6 => {
                lock(&context.limits).insert(limit, value as u64);
            }
            7..=9 => return Err(Error::UNSUPPORTED_LIMIT),
            _ => return Err(Error::INVALID_VALUE),
        }
        device.set_limits(limits);
        Ok(())
    })
}

/// Lower numbers are greater priorities.
pub const PRIORITIES: (i32, i32) = (0, -5);

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetStreamPriorityRange(least: *mut i32, greatest: *mut i32) -> i32 {
    api(|| {
        current()?;
        put_if(least, PRIORITIES.0)?;
        put_if(greatest, PRIORITIES.1)
    })
}

fn synchronize(context: &Context) -> Result {
    forbidden_in_capture()?;
    let mut result = context.legacy.synchronize();
    for stream in driver().streams.all() {
        if stream.context == context.handle {
            result = result.and(stream.synchronize());
        }
    }
    result
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> i32 {
    api(|| synchronize(&*current()?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize_v2(context: Handle) -> i32 {
    api(|| synchronize(&*context_or_current(context)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxResetPersistingL2Cache() -> i32 {
    api(|| current().map(|_| ()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetExecAffinity(out: *mut ExecAffinity, kind: i32) -> i32 {
    api(|| {
        current()?;
        match kind {
            0 => put(out, ExecAffinity { kind, sm_count: crate::device::MULTIPROCESSORS as u32 }),
            _ => Err(Error::UNSUPPORTED_EXEC_AFFINITY),
        }
    })
}

/// There is one device, so the peer is the context's own device.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxEnablePeerAccess(peer: Handle, flags: u32) -> i32 {
    api(|| {
        current()?;
        driver().contexts.get(peer).map_err(|_| Error::INVALID_CONTEXT)?;
        Err(if flags == 0 { Error::PEER_ACCESS_UNSUPPORTED } else { Error::INVALID_VALUE })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDisablePeerAccess(peer: Handle) -> i32 {
    api(|| {
        current()?;
        driver().contexts.get(peer).map_err(|_| Error::INVALID_CONTEXT)?;
        Err(Error::PEER_ACCESS_NOT_ENABLED)
    })
}

/// Without a multi-device context there is no use count; attaching is to name the current context.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxAttach(out: *mut Handle, flags: u32) -> i32 {
    api(|| if flags == 0 { put(out, current()?.handle) } else { Err(Error::INVALID_VALUE) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDetach(context: Handle) -> i32 {
    api(|| if current()?.handle == context { Ok(()) } else { Err(Error::INVALID_CONTEXT) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRetain(out: *mut Handle, device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        let mut primary = lock(&driver().primary);
        put(out, primary.handle)?;
        if primary.references == 0 {
            Context::create(primary.handle, primary.flags);
        }
        primary.references += 1;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        let mut primary = lock(&driver().primary);
        primary.references = primary.references.checked_sub(1).ok_or(Error::INVALID_CONTEXT)?;
        if primary.references == 0 { Context::destroy(primary.handle) } else { Ok(()) }
    })
}

/// The references stay: those who hold the context find an empty one.
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxReset_v2(device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        let primary = lock(&driver().primary);
        if primary.references > 0 {
            Context::destroy(primary.handle)?;
            Context::create(primary.handle, primary.flags);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32) -> i32 {
    api(|| {
        check_device(device)?;
        check_flags(flags)?;
        let mut primary = lock(&driver().primary);
        primary.flags = flags;
        if let Ok(context) = driver().contexts.get(primary.handle) {
            context.flags.store(flags, Ordering::Relaxed);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxGetState(device: i32, flags: *mut u32, active: *mut i32) -> i32 {
    api(|| {
        check_device(device)?;
        let primary = lock(&driver().primary);
        let now = match driver().contexts.get(primary.handle) {
            Ok(context) => context.flags.load(Ordering::Relaxed),
            Err(_) => primary.flags,
        };
        put(flags, now)?;
        put(active, (primary.references > 0) as i32)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuProfilerStart() -> i32 {
    api(|| current().map(|_| ()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuProfilerStop() -> i32 {
    api(|| current().map(|_| ()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(flags: u32) -> i32 {
    api_uninitialized(|| if flags == 0 { crate::driver::init() } else { Err(Error::INVALID_VALUE) })
}
