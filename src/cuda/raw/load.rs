//! Loading the images into the current context.

use std::ffi::{CString, c_void};

use cudarc::driver::sys as driver;

use super::launch::Function;
use super::product::Product;
use super::{HEAD_DIMS, RawError, Storage, done};
use crate::cuda::sys::{IMAGES, PHOTON_HEAD_TILE};

/// All kernels, loaded into one context.
pub struct Kernels {
    modules: Vec<Module>,
    pub(super) project: [Product; 2],
    pub(super) project_norm: [Product; 2],
    pub(super) proj_residual: [Product; 2],
    pub(super) gate_up_swiglu: [Product; 2],
    pub(super) qkv_rope_append: [Product; 2],
    pub(super) local_attention: [Function; 2],
    pub(super) prefill: [[Function; HEAD_DIMS.len()]; 2],
    pub(super) decode: [[Function; HEAD_DIMS.len()]; 2],
    pub(super) embed_chunk: [Function; 2],
    pub(super) copy_rows: Function,
    pub(super) rms_norm: Function,
    pub(super) sample: Function,
    pub(super) lm_head_best: [Product; 2],
    pub(super) lm_head_best_norm: [Product; 2],
    pub(super) lm_head_pick: Function,
    pub(super) log_prob: Function,
}

/// Most dynamic shared memory that a CTA of every supported architecture may have: 99 KiB (sm_86, sm_89, sm_120).
pub(super) const MOST_SHARED: usize = 99 * 1024;

struct Module {
    name: &'static str,
    handle: driver::CUmodule,
}

// SAFETY: a handle; the driver's functions that take it are thread-safe.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Kernels {
    /// Loads the kernels into the current context of this thread. The only call here that takes its time and allocates.
    ///
    /// # Errors
    /// If there is no driver, or it cannot load the images: one that is older than the code (`CUDA_ERROR_UNSUPPORTED_PTX_VERSION`,
    /// 222, `CUDA_ERROR_NO_BINARY_FOR_GPU`, 209) or no context is current (201). If the kernels were not compiled.
    ///
    /// # Safety
    /// The context must outlive the result.
    pub unsafe fn load() -> Result<Kernels, RawError> {
        // SAFETY: only looks for the library.
        if !unsafe { driver::is_culib_present() } {
            return Err(RawError::NoDriver);
        }
        if IMAGES.is_empty() {
            return Err(RawError::NotCompiled);
        }
        let mut modules: Vec<Module> = Vec::with_capacity(IMAGES.len());
        for &(name, image) in IMAGES {
            let mut handle = std::ptr::null_mut();
            // SAFETY: the image is a complete fatbin, which knows its own size.
            let result = unsafe { driver::cuModuleLoadData(&mut handle, image.as_ptr().cast::<c_void>()) };
            if let Err(error) = done(result) {
                unload(&modules);
                return Err(error);
            }
            modules.push(Module { name, handle });
        }
        match Self::find(&modules) {
            Ok(mut kernels) => {
                kernels.modules = modules;
                Ok(kernels)
            }
            Err(error) => {
                unload(&modules);
                Err(error)
            }
        }
    }

    fn find(modules: &[Module]) -> Result<Kernels, RawError> {
        let get = |file: &str, name: String| function(modules, file, &name);
        let both = |file: &str, name: &str| -> Result<[Function; 2], RawError> {
            Ok([
                get(file, format!("photon_{name}_{}", Storage::Bf16.name()))?,
                get(file, format!("photon_{name}_{}", Storage::F16.name()))?,
            ])
        };
        let shaped =
            |file: &str, name: &str, input: usize, narrowest: usize| -> Result<[Product; 2], RawError> {
                let [bf16, f16] = Storage::ALL.map(|storage| {
                    Product::find(input, narrowest, |shape| {
                        get(file, format!("photon_{name}_{}_{shape}", storage.name()))
                    })
                });
                Ok([bf16?, f16?])
            };
        let product = |file: &str, name: &str, input: usize| shaped(file, name, input, 0);
        let head = |name: &str| shaped("lm_head_sample", name, 4, PHOTON_HEAD_TILE as usize);
        let dims = |file: &str| -> Result<[[Function; HEAD_DIMS.len()]; 2], RawError> {
            let mut found = [[Function::NONE; HEAD_DIMS.len()]; 2];
            for storage in Storage::ALL {
                for (place, dim) in found[storage.index()].iter_mut().zip(HEAD_DIMS) {
                    *place = get(file, format!("photon_{file}_{}_d{dim}", storage.name()))?;
                }
            }
            Ok(found)
        };
        let (f32, half) = (4, 2);
        Ok(Kernels {
            modules: Vec::new(),
            project: product("project", "project", f32)?,
            project_norm: product("project", "project_norm", f32)?,
            proj_residual: product("proj_residual", "proj_residual", half)?,
            gate_up_swiglu: product("gate_up_swiglu", "gate_up_swiglu", f32)?,
            qkv_rope_append: product("qkv_rope_append", "qkv_rope_append", f32)?,
            local_attention: both("local_attention", "local_attention")?,
            prefill: dims("stream_attention_prefill")?,
            decode: dims("stream_attention_decode")?,
            embed_chunk: both("embed_chunk", "embed_chunk")?,
            copy_rows: get("copy_rows", "photon_copy_rows".into())?,
            rms_norm: get("rms_norm", "photon_rms_norm".into())?,
            sample: get("sample", "photon_sample".into())?,
            lm_head_best: head("lm_head_best")?,
            lm_head_best_norm: head("lm_head_best_norm")?,
            lm_head_pick: get("lm_head_sample", "photon_lm_head_pick".into())?,
            log_prob: get("log_prob", "photon_log_prob".into())?,
        })
    }
}

fn function(modules: &[Module], file: &str, name: &str) -> Result<Function, RawError> {
    let not_found = RawError::Driver(driver::CUresult::CUDA_ERROR_NOT_FOUND as u32);
    let module = modules.iter().find(|module| module.name == file).ok_or(not_found)?;
    let name = CString::new(name).map_err(|_| not_found)?;
    let mut function = std::ptr::null_mut();
    // SAFETY: the module is loaded, and the name ends with a zero.
    done(unsafe { driver::cuModuleGetFunction(&mut function, module.handle, name.as_ptr()) })?;
    let limit = driver::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    // Static shared memory counts towards the same limit.
    let mut fixed = 0;
    // SAFETY: the function was just found.
    unsafe {
        done(driver::cuFuncGetAttribute(
            &mut fixed,
            driver::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
            function,
        ))?;
        done(driver::cuFuncSetAttribute(function, limit, MOST_SHARED as i32 - fixed))?;
    }
    Ok(Function(function))
}

fn unload(modules: &[Module]) {
    for module in modules {
        // SAFETY: loaded by `load`, and nobody has its functions any more. What unloading says helps nobody.
        let _ = unsafe { driver::cuModuleUnload(module.handle) };
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        unload(&self.modules);
    }
}
