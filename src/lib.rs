//! PHOTON on the CPU and on CUDA: kernels, forward pass and the exact, HierGen and RecGen generation modes.
#![deny(missing_docs)]

pub mod backend;
mod check;
pub mod checkpoint;
pub mod config;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
pub mod generate;
pub mod model;
pub mod presets;
pub mod reference;
pub mod sampling;
#[cfg(feature = "text")]
pub mod text;

pub use config::Config;
pub use error::{Error, Result};
