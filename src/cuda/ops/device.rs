//! The device, its stream and what operations share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaContext, DriverError, result, sys};

use super::memory::{Grown, Memory};
use super::plan::StreamPlan;
use super::queue::{Launches, Queue};
use crate::checkpoint::Dtype;
use crate::cuda::raw::{Kernels, RawError, Storage};
use crate::cuda::sys::photon_draw;
use crate::error::{Error, Result};

/// How a [`CudaBackend`] works.
#[derive(Clone, Copy, Debug)]
pub struct CudaOptions {
    /// Which GPU, counted as the driver does.
    pub device: usize,
    /// How weights, keys and values are kept: [`Dtype::Bf16`] or [`Dtype::F16`].
    pub dtype: Dtype,
    /// Whether launches that repeat themselves, as those of a generation's meta-contexts do, become CUDA graphs.
    pub graphs: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        CudaOptions { device: 0, dtype: Dtype::Bf16, graphs: true }
    }
}

/// The oldest driver: that of CUDA 12.0, whose functions are the ones that are called.
const OLDEST_DRIVER: i32 = 12000;

/// The oldest compute capability: `mma.sync` of bfloat16 and `cp.async` came with it.
const OLDEST_GPU: (i32, i32) = (8, 0);

/// PHOTON's operations on a GPU.
pub struct CudaBackend {
    pub(super) kernels: Kernels,
    pub(super) queue: Arc<Queue>,
    pub(super) context: Arc<CudaContext>,
    pub(super) storage: Storage,
    scratch: Mutex<Scratch>,
}

/// Device memory of operations. All of it is used in the order of the stream, so that one allocation serves all.
#[derive(Default)]
pub(super) struct Scratch {
    /// Places of the rows of an operation's operand.
    pub(super) host: Vec<u32>,
    pub(super) places: Vec<usize>,
    pub(super) logits: Grown<f32>,
    pub(super) host_draws: Vec<photon_draw>,
    pub(super) scores: Grown<f32>,
    pub(super) partial: Grown<f32>,
    pub(super) arrived: Grown<u32>,
    pub(super) ropes: Vec<Rope>,
    pub(super) plan: StreamPlan,
}

/// Cosines and sines of positions from 0 on.
pub(super) struct Rope {
    pub(super) theta: u64,
    pub(super) head_dim: usize,
    pub(super) positions: usize,
    pub(super) angles: Memory<f32>,
}

impl CudaBackend {
    /// Whether there is a driver and a GPU, neither of them too old.
    pub fn present() -> bool {
        supported(0).is_ok()
    }

    /// A backend with its own stream on a GPU.
    ///
    /// # Errors
    /// [`Error::NoDevice`] without a driver or GPU, or with a driver too old for the kernels; [`Error::Argument`] for a dtype other
    /// than bf16 and f16.
    pub fn new(options: CudaOptions) -> Result<Self> {
        let storage = match options.dtype {
            Dtype::Bf16 => Storage::Bf16,
            Dtype::F16 => Storage::F16,
            Dtype::F32 => {
                return Err(Error::argument("dtype is f32; the CUDA backend keeps weights as bf16 or f16"));
            }
        };
        let (version, capability) = supported(options.device)?;
        let no_device = |error: DriverError| absent(options.device, error);
        let context = CudaContext::new(options.device).map_err(no_device)?;
        // SAFETY: everything runs on one stream, in order: there is nothing for events to order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(no_device)?;
        context.bind_to_thread().map_err(no_device)?;
        // SAFETY: the context is a field declared after the kernels, so it outlives them.
        let kernels = unsafe { Kernels::load() }.map_err(|error| match error {
            RawError::Driver(code @ (209 | 222)) => Error::NoDevice(format!(
                "the driver, one for CUDA {}, can neither run nor translate the kernels for GPU {} (error {code}): update it, or build with \
                 the GPU's architecture, {}{}, in PHOTON_CUDA_ARCHS",
                release(version),
                options.device,
                capability.0,
                capability.1
            )),
            RawError::Driver(2) => failed(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)),
            error => Error::Backend(format!("loading the kernels: {error}")),
        })?;
        let queue = Arc::new(Queue::new(stream, options.graphs));
        Ok(CudaBackend { kernels, queue, context, storage, scratch: Mutex::default() })
    }

    /// How weights, keys and values are kept.
    pub fn dtype(&self) -> Dtype {
        match self.storage {
            Storage::Bf16 => Dtype::Bf16,
            Storage::F16 => Dtype::F16,
        }
    }

    /// The GPU's name, as the driver gives it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn device_name(&self) -> Result<String> {
        self.context.name().map_err(failed)
    }

    /// Bytes of the GPU's memory that nobody uses, and all of it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn memory(&self) -> Result<(usize, usize)> {
        self.context.mem_get_info().map_err(failed)
    }

    /// Waits until all operations so far are done.
    ///
    /// # Errors
    /// What went wrong in one of them.
    pub fn synchronize(&self) -> Result<()> {
        self.queue.ordered()?.synchronize().map_err(failed)
    }

    pub(super) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was launched so far. Operations that nobody has waited for may still be on their way to the device, and are not counted.
    pub fn launches(&self) -> Launches {
        self.queue.sent()
    }
}

impl Drop for CudaBackend {
    fn drop(&mut self) {
        // Buffers may outlive the kernels, launches must not. Nobody is left to be told what went wrong in them.
        let _ = self.synchronize();
    }
}

/// The driver's version and the compute capability of a GPU, if they are new enough.
fn supported(device: usize) -> Result<(i32, (i32, i32))> {
    // SAFETY: only looks for the library.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoDevice(
            "libcuda was not found; install the NVIDIA driver, or use the CPU".into(),
        ));
    }
    let mut version = 0;
    // SAFETY: the driver is there, and this needs no initialisation.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(failed)?;
    if version < OLDEST_DRIVER {
        return Err(Error::NoDevice(format!(
            "the NVIDIA driver is one for CUDA {}; one for CUDA {} or later is needed: update it, or use the CPU",
            release(version),
            release(OLDEST_DRIVER)
        )));
    }
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    let ask = || -> Result<(i32, i32), DriverError> {
        result::init()?;
        let ordinal = result::device::get(i32::try_from(device).unwrap_or(i32::MAX))?;
        // SAFETY: the driver has just named the device.
        unsafe {
            Ok((
                result::device::get_attribute(ordinal, MAJOR)?,
                result::device::get_attribute(ordinal, MINOR)?,
            ))
        }
    };
    let capability = ask().map_err(|error| absent(device, error))?;
    if capability < OLDEST_GPU {
        return Err(Error::NoDevice(format!(
            "GPU {device} has compute capability {}.{}; {}.{} or later is needed: use another GPU, or the CPU",
            capability.0, capability.1, OLDEST_GPU.0, OLDEST_GPU.1
        )));
    }
    Ok((version, capability))
}

/// The version of a driver as CUDA releases are written.
fn release(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// Why there is no GPU of that number.
fn absent(device: usize, error: DriverError) -> Error {
    match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => {
            Error::NoDevice("the NVIDIA driver finds no GPU; see what nvidia-smi says, or use the CPU".into())
        }
        sys::CUresult::CUDA_ERROR_INVALID_DEVICE => Error::NoDevice(format!(
            "GPU {device} does not exist; the driver counts {} from 0 on",
            CudaContext::device_count().unwrap_or(0)
        )),
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => failed(error),
        _ => Error::NoDevice(format!("GPU {device}: {error}")),
    }
}

/// A driver's error as one of the crate.
pub(super) fn failed(error: DriverError) -> Error {
    if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return Error::OutOfMemory(
            "the GPU; use a smaller batch, a shorter context or a smaller model".into(),
        );
    }
    Error::Backend(format!("CUDA: {error}"))
}

/// A refused launch as an error of the crate: what it refuses is the shape of the caller's arguments.
pub(super) fn refused(operation: &str) -> impl Fn(RawError) -> Error + '_ {
    move |error| match error {
        RawError::Argument { .. } => Error::Unsupported(format!("{operation} on CUDA: {error}")),
        error => Error::Backend(format!("{operation}: {error}")),
    }
}
