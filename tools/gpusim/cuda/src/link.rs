//! The linker: one PTX input, whose "cubin" is the PTX itself. Linking several inputs is not supported.

use std::sync::Mutex;

use crate::context::current;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::fatbin;
use crate::host::{put, put_if, read_bytes};
use crate::module::{JitLogs, load_ptx, read_file};
use crate::registry::{lock, new_handle};
use crate::types::Handle;

/// A link under way.
pub struct Link {
    inputs: Mutex<Vec<String>>,
    /// NUL-terminated, stays until the link is destroyed.
    output: Mutex<Vec<u8>>,
    logs: Option<JitLogs>,
}

// SAFETY: the logs' addresses are only handed to the checked copies of `host`.
unsafe impl Send for Link {}
// SAFETY: as above.
unsafe impl Sync for Link {}

const PTX: i32 = 1;
const FATBIN: i32 = 2;

fn add(handle: Handle, kind: i32, input: Result<String>) -> Result {
    let link = driver().links.get(handle)?;
    if !(0..=6).contains(&kind) {
        return Err(Error::INVALID_VALUE);
    }
    if kind != PTX && kind != FATBIN {
        return Err(Error::NO_BINARY_FOR_GPU);
    }
    let input = input?;
    let mut inputs = lock(&link.inputs);
    if !inputs.is_empty() {
        return Err(Error::NOT_SUPPORTED);
    }
    // Loading says whether it is valid; nothing of it is kept.
    match load_ptx(&input) {
        Ok(module) => driver().device.unload(&module),
        Err(failure) => {
            if let Some(logs) = &link.logs {
                logs.write("", &failure.message)?;
            }
            return Err(failure.error);
        }
    }
    inputs.push(input);
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkCreate_v2(
    count: u32,
    options: *const i32,
    values: *const usize,
    out: *mut Handle,
) -> i32 {
    api(|| {
        current()?;
        put(out, 0)?;
        let logs = Some(JitLogs::read(count, options, values)?);
        let handle = new_handle();
        driver().links.insert(handle, Link { inputs: Mutex::default(), output: Mutex::default(), logs });
        put(out, handle)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkAddData_v2(
    handle: Handle,
    kind: i32,
    data: usize,
    bytes: usize,
    name: *const i8,
    count: u32,
    options: *const i32,
    values: *const usize,
) -> i32 {
    api(|| {
        let _ = (name, options, values, count);
        crate::host::check_readable(data, bytes)?;
        let mut image = vec![0; bytes];
        read_bytes(data, &mut image)?;
        add(handle, kind, fatbin::ptx_of_file(image))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkAddFile_v2(
    handle: Handle,
    kind: i32,
    path: *const i8,
    count: u32,
    options: *const i32,
    values: *const usize,
) -> i32 {
    api(|| {
        let _ = (options, values, count);
        add(handle, kind, read_file(path))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkComplete(handle: Handle, out: *mut usize, bytes: *mut usize) -> i32 {
    api(|| {
        let link = driver().links.get(handle)?;
        let inputs = lock(&link.inputs);
        let mut output = lock(&link.output);
        *output = inputs.first().ok_or(Error::INVALID_VALUE)?.clone().into_bytes();
        output.push(0);
        put_if(bytes, output.len())?;
        put(out, output.as_ptr() as usize)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkDestroy(handle: Handle) -> i32 {
    api(|| driver().links.remove(handle).map(|_| ()))
}
