//! Modules: images with their functions and variables.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use gpusim::LoadError;

use crate::capture::forbidden_in_capture;
use crate::context::current;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::fatbin;
use crate::function::Function;
use crate::host::{get_all, get_name, put, put_if, put_string};
use crate::machine::accepted;
use crate::registry::{lock, new_handle};
use crate::types::Handle;

/// A loaded module.
pub struct Module {
    pub handle: Handle,
    pub context: Handle,
    pub module: Arc<gpusim::Module>,
    /// Handles of the functions asked for.
    functions: Mutex<HashMap<String, Handle>>,
}

/// The module of a handle.
pub fn module(handle: Handle) -> Result<Arc<Module>> {
    driver().modules.get(handle)
}

impl Module {
    /// The handle of a kernel; the same each time.
    pub fn function(&self, name: &str) -> Result<Handle> {
        let function = self.module.function(name).ok_or(Error::NOT_FOUND)?;
        let mut functions = lock(&self.functions);
        if let Some(handle) = functions.get(name) {
            return Ok(*handle);
        }
        let handle = new_handle();
        driver().functions.insert(handle, Function::new(handle, self.handle, self.context, function));
        functions.insert(name.to_string(), handle);
        Ok(handle)
    }

    /// Names of the kernels, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.module.functions().map(|f| f.name().to_string()).collect();
        names.sort();
        names
    }
}

/// A message for the error log, from what is wrong with the PTX.
pub struct LoadFailure {
    pub error: Error,
    pub message: String,
}

impl From<Error> for LoadFailure {
    fn from(error: Error) -> LoadFailure {
        let message = match error {
            Error::NO_BINARY_FOR_GPU => {
                "the image holds no PTX for this GPU or older ones; cubins cannot be run"
            }
            Error::INVALID_IMAGE => "the image is neither PTX nor a fatbin",
            _ => "",
        };
        LoadFailure { error, message: message.to_string() }
    }
}

/// `.version`, major times 1000 plus minor times 10, as CUDA versions are written.
fn ptx_version(ptx: &str) -> Option<(u32, u32)> {
    let text = ptx.split(".version").nth(1)?.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (major, minor) = text[..end].split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Loads PTX into the device.
pub fn load_ptx(ptx: &str) -> std::result::Result<Arc<gpusim::Module>, LoadFailure> {
    let newest = accepted().newest_ptx();
    if ptx_version(ptx).is_some_and(|(major, _)| major > newest) {
        let message = format!("PTX newer than {newest}.x, which driver {} does not read", accepted().version);
        return Err(LoadFailure { error: Error::UNSUPPORTED_PTX_VERSION, message });
    }
    driver().device.load(ptx).map_err(|error: LoadError| {
        eprintln!("gpusim: module not loaded: {error}");
        LoadFailure { error: (&error).into(), message: error.to_string() }
    })
}

/// Makes a module of the PTX in the current context.
pub fn create(ptx: Result<String>) -> std::result::Result<Handle, LoadFailure> {
    let context = current()?.handle;
    forbidden_in_capture()?;
    let ptx = ptx.inspect_err(|error| {
        let failure = LoadFailure::from(*error);
        if !failure.message.is_empty() {
            eprintln!("gpusim: module not loaded: {}", failure.message);
        }
    })?;
    let module = load_ptx(&ptx)?;
    let handle = new_handle();
    driver().modules.insert(handle, Module { handle, context, module, functions: Mutex::default() });
    Ok(handle)
}

/// Forgets a module and its functions, and frees its variables.
pub fn unload(handle: Handle) -> Result {
    let module = driver().modules.remove(handle)?;
    driver().functions.retain(|function| function.module != handle);
    driver().device.unload(&module.module);
    Ok(())
}

/// Unloads the modules of a context.
pub fn unload_all(context: Handle) {
    for module in driver().modules.all() {
        if module.context == context {
            // It was there a moment ago; if not, somebody else unloaded it.
            let _ = unload(module.handle);
        }
    }
}

/// The options of `cuModuleLoadDataEx` that return something: the logs and the time.
pub struct JitLogs {
    options: Vec<(i32, usize)>,
    slots: *const usize,
}

impl JitLogs {
    /// Reads the two arrays.
    pub fn read(count: u32, options: *const i32, values: *const usize) -> Result<JitLogs> {
        if count > 64 {
            return Err(Error::INVALID_VALUE);
        }
        let numbers = get_all(options, count as usize)?;
        let values_ = get_all(values, count as usize)?;
        if numbers.iter().any(|number| !(0..=40).contains(number)) {
            return Err(Error::INVALID_VALUE);
        }
        Ok(JitLogs { options: numbers.into_iter().zip(values_).collect(), slots: values })
    }

    fn value(&self, option: i32) -> Option<usize> {
        self.options.iter().find(|(number, _)| *number == option).map(|(_, value)| *value)
    }

    /// Writes the logs into the program's buffers and their used sizes over the sizes' values.
    pub fn write(&self, info: &str, errors: &str) -> Result {
        for (i, (number, _)) in self.options.iter().enumerate() {
            let slot = self.slots.wrapping_add(i).cast_mut();
            let (buffer, size, text) = match number {
                // Wall time in milliseconds, a float: nothing was compiled.
                2 => {
                    put(slot.cast(), 0f32)?;
                    continue;
                }
                4 => (self.value(3), self.value(4), info),
                6 => (self.value(5), self.value(6), errors),
                _ => continue,
            };
            // The sizes are unsigned ints in the values' place.
            let (Some(buffer), Some(size)) = (buffer, size) else { continue };
            let size = size as u32 as usize;
            put_string(buffer as *mut i8, size, text)?;
            put(slot, text.len().min(size.saturating_sub(1)))?;
        }
        Ok(())
    }
}

/// Loads with options.
fn load_with_logs(out: *mut Handle, ptx: Result<String>, logs: &JitLogs) -> Result {
    put(out, 0)?;
    match create(ptx) {
        Ok(handle) => {
            logs.write("", "")?;
            put(out, handle)
        }
        Err(failure) => {
            logs.write("", &failure.message)?;
            Err(failure.error)
        }
    }
}

fn load(out: *mut Handle, ptx: Result<String>) -> Result {
    put(out, 0)?;
    put(out, create(ptx).map_err(|failure| failure.error)?)
}

/// The PTX in a file.
pub fn read_file(name: *const i8) -> Result<String> {
    let name = get_name(name)?;
    let bytes = std::fs::read(name).map_err(|_| Error::FILE_NOT_FOUND)?;
    fatbin::ptx_of_file(bytes)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoad(out: *mut Handle, name: *const i8) -> i32 {
    api(|| load(out, read_file(name)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadData(out: *mut Handle, image: usize) -> i32 {
    api(|| load(out, fatbin::ptx_at(image)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadFatBinary(out: *mut Handle, image: usize) -> i32 {
    cuModuleLoadData(out, image)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadDataEx(
    out: *mut Handle,
    image: usize,
    count: u32,
    options: *const i32,
    values: *const usize,
) -> i32 {
    api(|| {
        let logs = JitLogs::read(count, options, values)?;
        load_with_logs(out, fatbin::ptx_at(image), &logs)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(handle: Handle) -> i32 {
    api(|| {
        module(handle)?;
        forbidden_in_capture()?;
        let earlier = crate::memory::wait_for_device();
        unload(handle)?;
        earlier
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetFunction(out: *mut Handle, handle: Handle, name: *const i8) -> i32 {
    api(|| put(out, module(handle)?.function(&get_name(name)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetFunctionCount(out: *mut u32, handle: Handle) -> i32 {
    api(|| put(out, module(handle)?.names().len() as u32))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleEnumerateFunctions(out: *mut Handle, count: u32, handle: Handle) -> i32 {
    api(|| {
        let module = module(handle)?;
        for (i, name) in module.names().iter().enumerate().take(count as usize) {
            put(out.wrapping_add(i), module.function(name)?)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetGlobal_v2(
    out: *mut u64,
    bytes: *mut usize,
    handle: Handle,
    name: *const i8,
) -> i32 {
    api(|| {
        let (address, size) = module(handle)?.module.global(&get_name(name)?).ok_or(Error::NOT_FOUND)?;
        put_if(out, address)?;
        put_if(bytes, size as usize)
    })
}

/// Modules are lowered when they are loaded.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetLoadingMode(out: *mut i32) -> i32 {
    api(|| put(out, 1))
}

/// Texture and surface references do not exist in what the simulator loads.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetTexRef(out: *mut Handle, handle: Handle, name: *const i8) -> i32 {
    api(|| {
        let _ = (out, get_name(name)?);
        module(handle)?;
        Err(Error::NOT_FOUND)
    })
}
