//! The kernels as an engine with its own memory and streams calls them: raw handles, no types of any binding crate.
//!
//! Every call enqueues one launch on the stream that it is given (or puts it in a list, see [`Target`]) and returns. It allocates
//! nothing, waits for nothing and prints nothing, so it can be captured in a CUDA graph; what it was given is checked as far as that is possible without looking at the device, and everything else
//! is the caller's: pointers must be valid until the launch has run, and aligned as `photon.h` says.
//!
//! ```no_run
//! # use photon_kernels::cuda::raw::{Kernels, Storage};
//! # fn f(stream: *mut std::ffi::c_void, params: photon_kernels::cuda::sys::photon_norm_params) -> Result<(), Box<dyn std::error::Error>> {
//! // Once. SAFETY: the device's context is current and outlives the kernels.
//! let kernels = unsafe { Kernels::load()? };
//! // SAFETY: what `params` points to is valid until the launch on `stream`, of that context, has run.
//! unsafe { kernels.rms_norm(stream, &params)? };
//! # Ok(()) }
//! ```

mod attention;
mod kv;
mod launch;
mod load;
mod product;
mod rows;

pub(crate) use attention::segments;
pub use attention::{local_heads, stream_decodes, stream_partial, tile_width};
pub use kv::{KV_BLOCK, blocked_kv, flat_kv, kv_block};
pub use launch::{Launch, Target};
pub use load::Kernels;
pub use product::{Shape, head_shape, head_tiles, shape};

use std::ffi::c_void;

use cudarc::driver::sys as driver;

use launch::{Function, Params};

/// A `CUstream`; null is the default stream of the context.
pub type Stream = *mut c_void;

/// How weights, keys, values and activations within a layer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// bfloat16.
    Bf16,
    /// IEEE half.
    F16,
}

impl Storage {
    const ALL: [Storage; 2] = [Storage::Bf16, Storage::F16];

    fn name(self) -> &'static str {
        match self {
            Storage::Bf16 => "bf16",
            Storage::F16 => "f16",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Head widths that stream attention is compiled for.
pub const HEAD_DIMS: [usize; 10] = [32, 40, 48, 52, 56, 60, 64, 80, 96, 128];

/// Why a call did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// The driver refused: its `CUresult`.
    #[error("the CUDA driver returned error {0}")]
    Driver(u32),
    /// There is no CUDA driver on this machine.
    #[error("libcuda was not found; install the NVIDIA driver")]
    NoDriver,
    /// The crate was built without kernels.
    #[error("the kernels were not compiled: PHOTON_CUDA_ARCHS was none; build again without it")]
    NotCompiled,
    /// A parameter is out of range.
    #[error("{argument} is {value}; it must be {allowed}")]
    Argument {
        /// Which.
        argument: &'static str,
        /// Its value.
        value: i64,
        /// What is allowed.
        allowed: &'static str,
    },
}

type Status = Result<(), RawError>;

fn require(argument: &'static str, value: i64, good: bool, allowed: &'static str) -> Status {
    if good { Ok(()) } else { Err(RawError::Argument { argument, value, allowed }) }
}

fn done(result: driver::CUresult) -> Status {
    if result == driver::CUresult::CUDA_SUCCESS { Ok(()) } else { Err(RawError::Driver(result as u32)) }
}
