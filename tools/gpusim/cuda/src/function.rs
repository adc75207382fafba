//! Functions and their attributes.

use std::ffi::CString;
use std::sync::{Arc, Mutex};

use crate::context::current;
use crate::device::{REGISTERS, SHARED_DEFAULT, SHARED_OPT_IN};
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::{put, put_if};
use crate::registry::lock;
use crate::types::Handle;

/// What `cuFuncSetAttribute` sets.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// None until the program opts in.
    max_dynamic_shared: Option<u32>,
    carveout: i32,
    cluster: [i32; 3],
    non_portable_cluster: bool,
    cluster_policy: i32,
    cache_config: u32,
}

impl Default for Attributes {
    fn default() -> Attributes {
        Attributes {
            max_dynamic_shared: None,
            carveout: -1,
            cluster: [0; 3],
            non_portable_cluster: false,
            cluster_policy: 0,
            cache_config: 0,
        }
    }
}

/// A kernel.
pub struct Function {
    pub handle: Handle,
    pub module: Handle,
    pub context: Handle,
    pub function: Arc<gpusim::Function>,
    name: CString,
    attributes: Mutex<Attributes>,
}

/// The function of a handle, which may be a kernel's.
pub fn function(handle: Handle) -> Result<Arc<Function>> {
    if let Ok(function) = driver().functions.get(handle) {
        return Ok(function);
    }
    let kernel = driver().kernels.get(handle)?;
    driver().functions.get(kernel.function)
}

impl Function {
    /// A function with default attributes.
    pub fn new(handle: Handle, module: Handle, context: Handle, function: Arc<gpusim::Function>) -> Function {
        // A PTX identifier has no NUL.
        let name = CString::new(function.name()).unwrap_or_default();
        Function { handle, module, context, function, name, attributes: Mutex::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.function.name()
    }

    /// Dynamic shared memory that a launch may ask for.
    pub fn max_dynamic_shared(&self) -> u32 {
        let default = SHARED_DEFAULT.saturating_sub(self.function.static_shared());
        lock(&self.attributes).max_dynamic_shared.unwrap_or(default)
    }

    /// The cluster size that attributes require; zeros if none.
    pub fn required_cluster(&self) -> Option<[u32; 3]> {
        let cluster = lock(&self.attributes).cluster;
        if cluster == [0; 3] { self.function.cluster() } else { Some(cluster.map(|n| n.max(1) as u32)) }
    }

    /// Whether clusters may have 16 blocks rather than 8.
    pub fn non_portable_cluster(&self) -> bool {
        lock(&self.attributes).non_portable_cluster
    }

    /// Registers per thread, as far as known without ptxas: an estimate from the PTX, within what a compiler may use:
    /// at most 255, and no more than the largest block that the kernel declares leaves for each thread.
    pub fn registers(&self) -> u32 {
        let most = (REGISTERS / self.function.max_threads().max(1)).clamp(16, 255);
        self.function.registers().clamp(8, most)
    }

    fn get(&self, attribute: i32) -> Result<i32> {
        let function = &self.function;
        let attributes = *lock(&self.attributes);
        let cluster = self.required_cluster();
        let side = |i: usize| cluster.map_or(0, |cluster| cluster[i] as i32);
        Ok(match attribute {
            0 => function.max_threads() as i32,
            1 => function.static_shared() as i32,
            2 => function.const_bytes() as i32,
            3 => function.local_bytes() as i32,
            4 => self.registers() as i32,
            5 => function.ptx_version() as i32,
            6 => 90,
            7 => 0,
            8 => self.max_dynamic_shared() as i32,
            9 => attributes.carveout,
            10 => cluster.is_some() as i32,
            11..=13 => side(attribute as usize - 11),
            14 => attributes.non_portable_cluster as i32,
            15 => attributes.cluster_policy,
            _ => return Err(Error::INVALID_VALUE),
        })
    }

    fn set(&self, attribute: i32, value: i32) -> Result {
        let mut attributes = lock(&self.attributes);
        match attribute {
            8 => {
                let most = SHARED_OPT_IN.saturating_sub(self.function.static_shared());
                let value = u32::try_from(value).map_err(|_| Error::INVALID_VALUE)?;
                if value > most {
                    return Err(Error::INVALID_VALUE);
                }
                attributes.max_dynamic_shared = Some(value);
            }
            9 if (-1..=100).contains(&value) => attributes.carveout = value,
            11..=13 if (0..=16).contains(&value) && self.function.cluster().is_none() => {
                attributes.cluster[attribute as usize - 11] = value;
            }
            14 if (0..=1).contains(&value) => attributes.non_portable_cluster = value == 1,
            15 if (0..=2).contains(&value) => attributes.cluster_policy = value,
            // The others can only be read.
            _ => return Err(Error::INVALID_VALUE),
        }
        Ok(())
    }

    fn set_cache_config(&self, config: u32) -> Result {
        if config > 3 {
            return Err(Error::INVALID_VALUE);
        }
        lock(&self.attributes).cache_config = config;
        Ok(())
    }

    /// Offset and size of a parameter.
    pub fn param(&self, index: usize, offset: *mut usize, size: *mut usize) -> Result {
        let param = self.function.params().get(index).ok_or(Error::INVALID_VALUE)?;
        put(offset, param.offset as usize)?;
        put_if(size, param.size as usize)
    }

    /// Address of the NUL-terminated name, which lives as long as the function.
    pub fn name_address(&self) -> usize {
        self.name.as_ptr() as usize
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetAttribute(out: *mut i32, attribute: i32, handle: Handle) -> i32 {
    api(|| {
        current()?;
        put(out, function(handle)?.get(attribute)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetAttribute(handle: Handle, attribute: i32, value: i32) -> i32 {
    api(|| {
        current()?;
        function(handle)?.set(attribute, value)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetCacheConfig(handle: Handle, config: u32) -> i32 {
    api(|| function(handle)?.set_cache_config(config))
}

/// Banks are four bytes wide since Maxwell.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetSharedMemConfig(handle: Handle, config: u32) -> i32 {
    api(|| {
        function(handle)?;
        if config <= 2 { Ok(()) } else { Err(Error::INVALID_VALUE) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetModule(out: *mut Handle, handle: Handle) -> i32 {
    api(|| put(out, function(handle)?.module))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetName(out: *mut usize, handle: Handle) -> i32 {
    api(|| put(out, function(handle)?.name_address()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetParamInfo(
    handle: Handle,
    index: usize,
    offset: *mut usize,
    size: *mut usize,
) -> i32 {
    api(|| function(handle)?.param(index, offset, size))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetParamCount(handle: Handle, out: *mut usize) -> i32 {
    api(|| put(out, function(handle)?.function.params().len()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncIsLoaded(state: *mut i32, handle: Handle) -> i32 {
    api(|| {
        function(handle)?;
        put(state, 1)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncLoad(handle: Handle) -> i32 {
    api(|| function(handle).map(|_| ()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetAttribute(out: *mut i32, attribute: i32, kernel: Handle, device: i32) -> i32 {
    api(|| {
        crate::device::check_device(device)?;
        driver().kernels.get(kernel)?;
        put(out, function(kernel)?.get(attribute)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelSetAttribute(attribute: i32, value: i32, kernel: Handle, device: i32) -> i32 {
    api(|| {
        crate::device::check_device(device)?;
        driver().kernels.get(kernel)?;
        function(kernel)?.set(attribute, value)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelSetCacheConfig(kernel: Handle, config: u32, device: i32) -> i32 {
    api(|| {
        crate::device::check_device(device)?;
        driver().kernels.get(kernel)?;
        function(kernel)?.set_cache_config(config)
    })
}
