//! Streams: the legacy and the per-thread default stream, and those that programs create.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::capture;
use crate::context::{PRIORITIES, context_or_current, current};
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::{get, put, put_if};
use crate::op::{HostCall, Op};
use crate::queue::Queue;
use crate::registry::{lock, new_handle};
use crate::types::{AttributeValue, Handle, HostFn, StreamCallback};

const LEGACY: Handle = 1;
const PER_THREAD: Handle = 2;
const NON_BLOCKING: u32 = 1;

/// A stream.
pub struct Stream {
    /// Its handle; default streams have one that is never shown.
    pub handle: Handle,
    pub context: Handle,
    pub flags: u32,
    pub priority: i32,
    pub id: u64,
    pub is_legacy: bool,
    queue: Arc<Queue>,
    attributes: Mutex<HashMap<i32, AttributeValue>>,
}

impl Stream {
    fn make(context: Handle, flags: u32, priority: i32, is_legacy: bool) -> Stream {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Stream {
            handle: new_handle(),
            context,
            flags,
            priority,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            is_legacy,
            queue: Arc::default(),
            attributes: Mutex::default(),
        }
    }

    /// A context's legacy default stream.
    pub fn legacy(context: Handle) -> Arc<Stream> {
        Arc::new(Stream::make(context, 0, 0, true))
    }

    /// Whether the legacy stream and this one wait for each other.
    pub fn is_blocking(&self) -> bool {
        !self.is_legacy && self.flags & NON_BLOCKING == 0
    }

    /// Waits for its work; returns an error that came after the call that caused it.
    pub fn synchronize(&self) -> Result {
        self.queue.wait()
    }

    /// Waits for its work, at the end of its context.
    pub fn finish(&self) {
        // Nobody is left to tell.
        let _ = self.queue.wait();
    }
}

thread_local! {
    /// Whether handle 0 means the per-thread default stream in the call under way.
    static ZERO_IS_PER_THREAD: Cell<bool> = const { Cell::new(false) };
    /// This thread's default stream of each context.
    static OWN: RefCell<HashMap<u64, Arc<Stream>>> = RefCell::default();
}

/// Runs the body of a `_ptsz` or `_ptds` function.
pub fn per_thread(body: impl FnOnce() -> i32) -> i32 {
    let before = ZERO_IS_PER_THREAD.replace(true);
    let result = body();
    ZERO_IS_PER_THREAD.set(before);
    result
}

/// The stream of a handle.
pub fn resolve(handle: Handle) -> Result<Arc<Stream>> {
    let context = current();
    let own = handle == PER_THREAD || handle == 0 && ZERO_IS_PER_THREAD.get();
    if own {
        let context = context?;
        let make = || {
            let stream = Stream::make(context.handle, 0, 0, false);
            driver().streams.insert(stream.handle, stream)
        };
        return Ok(OWN.with_borrow_mut(|own| own.entry(context.id).or_insert_with(make).clone()));
    }
    match handle {
        0 | LEGACY => Ok(context?.legacy.clone()),
        _ => driver().streams.get(handle),
    }
}

/// Executes the operation in the stream, or records it if the stream is being captured.
pub fn submit(stream: &Arc<Stream>, op: Op) -> Result {
    if capture::append(stream, &op)? {
        return Ok(());
    }
    let driver = driver();
    if stream.is_legacy {
        for other in driver.streams.all() {
            if other.context == stream.context && other.is_blocking() {
                other.synchronize()?;
            }
        }
    } else if stream.is_blocking() {
        let context = driver.contexts.get(stream.context).map_err(|_| Error::CONTEXT_IS_DESTROYED)?;
        context.legacy.synchronize()?;
    }
    stream.queue.submit(op)
}

/// Executes the operation of a synchronous call: in the default stream, and to its end.
pub fn submit_and_wait(op: Op) -> Result {
    capture::forbidden_in_capture()?;
    let stream = resolve(0)?;
    submit(&stream, op)?;
    stream.synchronize()
}

fn create(out: *mut Handle, flags: u32, priority: i32) -> Result {
    let context = current()?;
    if flags > NON_BLOCKING {
        return Err(Error::INVALID_VALUE);
    }
    let priority = priority.clamp(PRIORITIES.1, PRIORITIES.0);
    let stream = Stream::make(context.handle, flags, priority, false);
    put(out, stream.handle)?;
    driver().streams.insert(stream.handle, stream);
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreate(out: *mut Handle, flags: u32) -> i32 {
    api(|| create(out, flags, 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreateWithPriority(out: *mut Handle, flags: u32, priority: i32) -> i32 {
    api(|| create(out, flags, priority))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(handle: Handle) -> i32 {
    api(|| {
        if handle <= PER_THREAD {
            return Err(Error::INVALID_HANDLE);
        }
        let stream = driver().streams.get(handle)?;
        capture::abandon(&stream);
        driver().streams.remove(handle).map(|_| ())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(handle: Handle) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        capture::refuse_capturing(&stream)?;
        capture::forbidden_in_capture()?;
        if stream.is_legacy {
            submit(&stream, Op::Empty)?;
        }
        stream.synchronize()
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(handle: Handle) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        capture::refuse_capturing(&stream)?;
        capture::forbidden_in_capture()?;
        if stream.queue.busy() { Err(Error::NOT_READY) } else { stream.synchronize() }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetPriority(handle: Handle, out: *mut i32) -> i32 {
    api(|| put(out, resolve(handle)?.priority))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetFlags(handle: Handle, out: *mut u32) -> i32 {
    api(|| put(out, resolve(handle)?.flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetId(handle: Handle, out: *mut u64) -> i32 {
    api(|| put(out, resolve(handle)?.id))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCtx(handle: Handle, out: *mut Handle) -> i32 {
    api(|| put(out, resolve(handle)?.context))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCtx_v2(handle: Handle, out: *mut Handle, green: *mut Handle) -> i32 {
    api(|| {
        put(out, resolve(handle)?.context)?;
        put_if(green, 0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetDevice(handle: Handle, out: *mut i32) -> i32 {
    api(|| {
        resolve(handle)?;
        put(out, 0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamAddCallback(
    handle: Handle,
    function: StreamCallback,
    data: usize,
    flags: u32,
) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        if function.is_none() || flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        capture::refuse_capturing(&stream)?;
        submit(&stream, Op::Callback { function, stream: handle, data })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchHostFunc(handle: Handle, function: HostFn, data: usize) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        if function.is_none() {
            return Err(Error::INVALID_VALUE);
        }
        submit(&stream, Op::Host(HostCall { function, data }))
    })
}

/// The mode says how the driver waits for the stream, which makes no difference here.
#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchHostFunc_v2(handle: Handle, function: HostFn, data: usize, mode: u32) -> i32 {
    if mode > 1 { Error::INVALID_VALUE.0 } else { cuLaunchHostFunc(handle, function, data) }
}

/// Attaching says which stream may touch managed memory; all memory is coherent here.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamAttachMemAsync(handle: Handle, pointer: u64, bytes: usize, flags: u32) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        if ![1, 2, 4].contains(&flags) {
            return Err(Error::INVALID_VALUE);
        }
        crate::pointer::check_managed(pointer, bytes)?;
        submit(&stream, Op::Empty)
    })
}

/// Attributes that are kept although nothing depends on them: policies and hints.
const ATTRIBUTES: [i32; 5] = [1, 3, 8, 9, 10];

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetAttribute(handle: Handle, attribute: i32, out: *mut AttributeValue) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        if !ATTRIBUTES.contains(&attribute) {
            return Err(Error::INVALID_VALUE);
        }
        let mut value = AttributeValue { words: [0; 16] };
        match (attribute, lock(&stream.attributes).get(&attribute)) {
            (_, Some(set)) => value = *set,
            (3, None) => value.words[0] = 1,
            (8, None) => value.words[0] = stream.priority as u32,
            (9, None) => value.words[0] = 0x100,
            _ => {}
        }
        put(out, value)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSetAttribute(handle: Handle, attribute: i32, value: *const AttributeValue) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        if !ATTRIBUTES.contains(&attribute) {
            return Err(Error::INVALID_VALUE);
        }
        lock(&stream.attributes).insert(attribute, get(value)?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCopyAttributes(dst: Handle, src: Handle) -> i32 {
    api(|| {
        let (dst, src) = (resolve(dst)?, resolve(src)?);
        let attributes = lock(&src.attributes).clone();
        *lock(&dst.attributes) = attributes;
        Ok(())
    })
}

/// Records the event behind all work of the context: every stream's work is done or waited for here.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxRecordEvent(context: Handle, event: Handle) -> i32 {
    api(|| {
        let context = context_or_current(context)?;
        let event = crate::event::event(event)?;
        capture::forbidden_in_capture()?;
        for stream in driver().streams.all() {
            if stream.context == context.handle {
                stream.synchronize()?;
            }
        }
        submit(&context.legacy, Op::Record(event))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxWaitEvent(context: Handle, event: Handle) -> i32 {
    api(|| {
        let context = context_or_current(context)?;
        let event = crate::event::event(event)?;
        capture::forbidden_in_capture()?;
        submit(&context.legacy, Op::Wait(event))
    })
}
