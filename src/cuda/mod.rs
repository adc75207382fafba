//! PHOTON on CUDA: hand-written kernels, and three ways to use them.
//!
//! - [`sys`]: the parameters of the kernels and their compiled images;
//! - [`raw`]: launches on the caller's stream and memory, for engines that have their own;
//! - [`CudaBackend`]: the [`Backend`](crate::backend::Backend) that the model and the generation modes run on, over the safe
//!   operations of [`ops`].
//!
//! Weights, keys, values and what travels within a layer are bfloat16 or float16, the residual stream and all sums are f32.

mod backend;
pub mod ops;
pub mod raw;
pub mod sys;

pub use ops::{
    CudaBackend, CudaBuffer, CudaCache, CudaIds, CudaLinear, CudaLocal, CudaOptions, CudaTable, CudaVector,
    Launches,
};
