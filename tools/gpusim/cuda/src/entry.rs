//! Entry points by name, error names, and the functions that only say that they are not supported.

use std::sync::Once;

use crate::driver::api_uninitialized;
use crate::error::{Error, describe};
use crate::host::{get_name, put, put_if};
use crate::stream::per_thread;
use crate::types::*;

/// What a function that the simulator does not have returns. It says so once per function.
fn missing(symbol: &'static str) -> i32 {
    use std::collections::HashSet;
    use std::sync::Mutex;
    static SAID: Mutex<Option<HashSet<&str>>> = Mutex::new(None);
    api_uninitialized(|| {
        if crate::registry::lock(&SAID).get_or_insert_default().insert(symbol) {
            eprintln!("gpusim: {symbol} is not supported");
        }
        Err(Error::NOT_SUPPORTED)
    })
}

/// A function that `cuGetProcAddress` finds.
struct Entry {
    name: &'static str,
    /// The CUDA version that introduced it.
    version: i32,
    function: *const (),
    /// The variant for which stream 0 is the per-thread default stream.
    per_thread: Option<*const ()>,
}

include!(concat!(env!("OUT_DIR"), "/symbols.rs"));

const FOUND: i32 = 0;
const UNKNOWN: i32 = 1;
const NEEDS_NEWER: i32 = 2;
const LEGACY_STREAM: u64 = 1;
const PER_THREAD_STREAM: u64 = 2;

/// The newest variant of a function that a program built for `version` knows.
fn look_up(name: &str, version: i32, per_thread: bool) -> Result<usize, i32> {
    let variants = || entries().iter().filter(|entry| entry.name == name);
    if variants().next().is_none() {
        return Err(UNKNOWN);
    }
    let newest = variants()
        .filter(|entry| entry.version <= version)
        .max_by_key(|entry| entry.version)
        .ok_or(NEEDS_NEWER)?;
    Ok(newest.per_thread.filter(|_| per_thread).unwrap_or(newest.function) as usize)
}

fn get_proc_address(
    symbol: *const i8,
    out: *mut usize,
    version: i32,
    flags: u64,
    status: *mut i32,
) -> crate::error::Result {
    let name = get_name(symbol)?;
    if flags & !(LEGACY_STREAM | PER_THREAD_STREAM) != 0 {
        return Err(Error::INVALID_VALUE);
    }
    put(out, 0)?;
    let found = look_up(&name, version, flags & PER_THREAD_STREAM != 0);
    put_if(status, found.err().unwrap_or(FOUND))?;
    match found {
        Ok(address) => put(out, address),
        Err(_) => Err(Error::NOT_FOUND),
    }
}

/// With a status the call succeeds also where the function does not exist.
#[unsafe(no_mangle)]
pub extern "C" fn cuGetProcAddress_v2(
    symbol: *const i8,
    out: *mut usize,
    version: i32,
    flags: u64,
    status: *mut i32,
) -> i32 {
    api_uninitialized(|| match get_proc_address(symbol, out, version, flags, status) {
        Err(Error::NOT_FOUND) if !status.is_null() => Ok(()),
        result => result,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetProcAddress(symbol: *const i8, out: *mut usize, version: i32, flags: u64) -> i32 {
    api_uninitialized(|| get_proc_address(symbol, out, version, flags, std::ptr::null_mut()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(code: i32, out: *mut usize) -> i32 {
    api_uninitialized(|| {
        put(out, describe(code).map_or(0, |(name, _)| name.as_ptr() as usize))?;
        if describe(code).is_some() { Ok(()) } else { Err(Error::INVALID_VALUE) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorString(code: i32, out: *mut usize) -> i32 {
    api_uninitialized(|| {
        put(out, describe(code).map_or(0, |(_, text)| text.as_ptr() as usize))?;
        if describe(code).is_some() { Ok(()) } else { Err(Error::INVALID_VALUE) }
    })
}

/// The CUDA runtime initialises itself through undocumented tables of the driver. They do not exist here, so its calls
/// fail with `cudaErrorSymbolNotFound` (500); programs that use the driver API run.
#[unsafe(no_mangle)]
pub extern "C" fn cuGetExportTable(out: *mut usize, id: *const Uuid) -> i32 {
    static SAID: Once = Once::new();
    api_uninitialized(|| {
        crate::host::get(id)?;
        put(out, 0)?;
        SAID.call_once(|| {
            eprintln!("gpusim: the CUDA runtime (libcudart) needs tables that NVIDIA has not documented: its calls will return error 500; use the driver API");
        });
        Err(Error::NOT_FOUND)
    })
}
