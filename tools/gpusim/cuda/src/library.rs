//! Libraries and kernels: modules that belong to no context. Here a library is a module of the context that is current
//! when it is loaded; its kernels and functions are one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::fatbin;
use crate::function::function;
use crate::host::{get_name, put, put_if};
use crate::module::{self, JitLogs};
use crate::registry::{lock, new_handle};
use crate::types::Handle;

/// A library.
pub struct Library {
    handle: Handle,
    module: Handle,
    kernels: Mutex<HashMap<String, Handle>>,
}

/// A kernel of a library.
pub struct Kernel {
    library: Handle,
    pub function: Handle,
}

fn library(handle: Handle) -> Result<Arc<Library>> {
    driver().libraries.get(handle)
}

impl Library {
    fn kernel(&self, name: &str) -> Result<Handle> {
        let function = module::module(self.module)?.function(name)?;
        let mut kernels = lock(&self.kernels);
        if let Some(handle) = kernels.get(name) {
            return Ok(*handle);
        }
        let handle = new_handle();
        driver().kernels.insert(handle, Kernel { library: self.handle, function });
        kernels.insert(name.to_string(), handle);
        Ok(handle)
    }
}

fn load(out: *mut Handle, ptx: Result<String>, logs: &JitLogs) -> Result {
    put(out, 0)?;
    match module::create(ptx) {
        Ok(module) => {
            logs.write("", "")?;
            let handle = new_handle();
            driver().libraries.insert(handle, Library { handle, module, kernels: Mutex::default() });
            put(out, handle)
        }
        Err(failure) => {
            logs.write("", &failure.message)?;
            Err(failure.error)
        }
    }
}

/// Library options: how the code is kept. A copy is always made.
fn check_options(options: *const i32, count: u32) -> Result {
    for option in crate::host::get_all(options, count as usize)? {
        if !(0..=1).contains(&option) {
            return Err(Error::INVALID_VALUE);
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryLoadData(
    out: *mut Handle,
    code: usize,
    jit_options: *const i32,
    jit_values: *const usize,
    jit_count: u32,
    options: *const i32,
    values: *const usize,
    count: u32,
) -> i32 {
    api(|| {
        let _ = values;
        check_options(options, count)?;
        load(out, fatbin::ptx_at(code), &JitLogs::read(jit_count, jit_options, jit_values)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryLoadFromFile(
    out: *mut Handle,
    name: *const i8,
    jit_options: *const i32,
    jit_values: *const usize,
    jit_count: u32,
    options: *const i32,
    values: *const usize,
    count: u32,
) -> i32 {
    api(|| {
        let _ = values;
        check_options(options, count)?;
        load(out, module::read_file(name), &JitLogs::read(jit_count, jit_options, jit_values)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryUnload(handle: Handle) -> i32 {
    api(|| {
        let library = driver().libraries.remove(handle)?;
        driver().kernels.retain(|kernel| kernel.library != handle);
        // The context may have taken the module with it.
        module::unload(library.module).or(Ok(()))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryGetKernel(out: *mut Handle, handle: Handle, name: *const i8) -> i32 {
    api(|| put(out, library(handle)?.kernel(&get_name(name)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryGetKernelCount(out: *mut u32, handle: Handle) -> i32 {
    api(|| put(out, module::module(library(handle)?.module)?.names().len() as u32))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryEnumerateKernels(out: *mut Handle, count: u32, handle: Handle) -> i32 {
    api(|| {
        let library = library(handle)?;
        for (i, name) in module::module(library.module)?.names().iter().enumerate().take(count as usize) {
            put(out.wrapping_add(i), library.kernel(name)?)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryGetModule(out: *mut Handle, handle: Handle) -> i32 {
    api(|| put(out, library(handle)?.module))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryGetGlobal(
    out: *mut u64,
    bytes: *mut usize,
    handle: Handle,
    name: *const i8,
) -> i32 {
    api(|| {
        let module = module::module(library(handle)?.module)?;
        let (address, size) = module.module.global(&get_name(name)?).ok_or(Error::NOT_FOUND)?;
        put_if(out, address)?;
        put_if(bytes, size as usize)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetFunction(out: *mut Handle, kernel: Handle) -> i32 {
    api(|| put(out, driver().kernels.get(kernel)?.function))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetLibrary(out: *mut Handle, kernel: Handle) -> i32 {
    api(|| put(out, driver().kernels.get(kernel)?.library))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetName(out: *mut usize, kernel: Handle) -> i32 {
    api(|| put(out, function(kernel)?.name_address()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetParamInfo(
    kernel: Handle,
    index: usize,
    offset: *mut usize,
    size: *mut usize,
) -> i32 {
    api(|| function(kernel)?.param(index, offset, size))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetParamCount(kernel: Handle, out: *mut usize) -> i32 {
    api(|| put(out, function(kernel)?.function.params().len()))
}
