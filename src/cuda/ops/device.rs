//! The device, its stream and what operations share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaContext, DriverError, sys};

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
    /// Whether there is a driver and a GPU.
    pub fn present() -> bool {
        // SAFETY: only looks for the library.
        let driver = unsafe { sys::is_culib_present() };
        driver && CudaContext::device_count().is_ok_and(|count| count > 0)
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
        // SAFETY: only looks for the library.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoDevice(
                "libcuda was not found; install the NVIDIA driver, or use the CPU".into(),
            ));
        }
        let no_device = |error: DriverError| Error::NoDevice(format!("GPU {}: {error}", options.device));
        let context = CudaContext::new(options.device).map_err(no_device)?;
        // SAFETY: everything runs on one stream, in order: there is nothing for events to order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(no_device)?;
        context.bind_to_thread().map_err(no_device)?;
        // SAFETY: the context is a field declared after the kernels, so it outlives them.
        let kernels = unsafe { Kernels::load() }.map_err(|error| match error {
            RawError::Driver(code @ (209 | 222)) => Error::NoDevice(format!(
                "the driver or GPU {} is too old for the kernels (error {code}): they need sm_80 and a driver for CUDA 12",
                options.device
            )),
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

/// A driver's error as one of the crate.
pub(super) fn failed(error: DriverError) -> Error {
    if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return Error::OutOfMemory("the GPU; use a smaller batch or a shorter context".into());
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
