//! A launch: a kernel, its grid and its parameters.

use std::ffi::c_void;

use cudarc::driver::sys as driver;

use super::{Status, Stream, done, require};
use crate::cuda::sys::*;

/// A loaded kernel. Functions belong to a context and may be launched from any thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function(pub(super) driver::CUfunction);

/// The largest grid in y and z.
const MOST_BLOCKS: i64 = 65_535;

/// The parameters of every kernel.
macro_rules! params {
    ($($variant:ident: $params:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(super) enum Params {
            $($variant($params)),*
        }

        impl Params {
            /// Where the struct lies.
            fn address(&self) -> *mut c_void {
                match self {
                    $(Params::$variant(params) => std::ptr::from_ref(params).cast_mut().cast()),*
                }
            }
        }

        $(impl From<$params> for Params {
            fn from(params: $params) -> Params {
                Params::$variant(params)
            }
        })*
    };
}

params! {
    Project: photon_project_params,
    Residual: photon_residual_params,
    Swiglu: photon_swiglu_params,
    Qkv: photon_qkv_params,
    LocalAttention: photon_local_attention_params,
    StreamAttention: photon_stream_attention_params,
    Embed: photon_embed_params,
    Copy: photon_copy_params,
    Norm: photon_norm_params,
    LmHead: photon_lm_head_params,
    LmHeadPick: photon_lm_head_pick_params,
    Sample: photon_sample_params,
    LogProb: photon_log_prob_params,
}

/// A launch with its parameters: equal ones do the same to the same memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Launch {
    function: Function,
    grid: [u32; 3],
    threads: u32,
    shared: u32,
    params: Params,
}

// SAFETY: handles and device addresses, which nobody dereferences on the host; the driver's functions are thread-safe.
unsafe impl Send for Launch {}
// SAFETY: as above.
unsafe impl Sync for Launch {}

impl Launch {
    /// Enqueues it. Allocates nothing and waits for nothing, so it can be captured in a CUDA graph.
    ///
    /// # Errors
    /// [`RawError::Driver`](super::RawError::Driver).
    ///
    /// # Safety
    /// What the parameters point to is valid until the launch has run, the stream is one of the kernels' context, and that is
    /// current in this thread.
    pub unsafe fn run(&self, stream: Stream) -> Status {
        let [x, y, z] = self.grid;
        let mut arguments = [self.params.address()];
        // SAFETY: the kernel's only parameter is of the struct's type, as `Function::launch` was promised; the driver copies it
        // before it returns.
        done(unsafe {
            driver::cuLaunchKernel(
                self.function.0,
                x,
                y,
                z,
                self.threads,
                1,
                1,
                self.shared,
                stream.cast(),
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        })
    }
}

/// Where a launch goes: to a stream, or to the end of a list that [`Launch::run`] sends to a stream later.
pub trait Target {
    /// Takes the launch.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// As [`Launch::run`]; for a list, when it runs.
    unsafe fn take(self, launch: Launch) -> Status;
}

impl Target for Stream {
    unsafe fn take(self, launch: Launch) -> Status {
        // SAFETY: the caller's promise.
        unsafe { launch.run(self) }
    }
}

impl Target for &mut Vec<Launch> {
    unsafe fn take(self, launch: Launch) -> Status {
        self.push(launch);
        Ok(())
    }
}

impl Function {
    /// What stands in a table until it is filled.
    pub(super) const NONE: Function = Function(std::ptr::null_mut());

    /// Launches with one struct of parameters.
    ///
    /// # Safety
    /// `P` is the kernel's parameter; for the rest as [`Launch::run`].
    pub(super) unsafe fn launch<P: Copy + Into<Params>>(
        self,
        target: impl Target,
        grid: [i64; 3],
        threads: u32,
        shared: usize,
        params: &P,
    ) -> Status {
        let [x, y, z] = grid;
        let fits = y <= MOST_BLOCKS && z <= MOST_BLOCKS && x <= i32::MAX.into();
        require("grid", if x > i32::MAX.into() { x } else { y.max(z) }, fits, "65535 at most")?;
        let grid = grid.map(|blocks| blocks as u32);
        let launch =
            Launch { function: self, grid, threads, shared: shared as u32, params: (*params).into() };
        // SAFETY: the caller's promise.
        unsafe { target.take(launch) }
    }
}

// SAFETY: a handle; the driver's functions that take it are thread-safe.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}
