//! The simulated CUDA device: memory, modules, launches.
//!
//! ```no_run
//! use gpusim::{Device, Launch, Settings};
//!
//! let device = Device::new(Settings::from_env()?);
//! let module = device.load(&std::fs::read_to_string("scale.ptx")?)?;
//! let x = device.alloc(4096, 256)?;
//! let mut params = x.to_le_bytes().to_vec();
//! params.extend(1024u32.to_le_bytes());
//! let function = module.function("scale").ok_or("no kernel of that name")?;
//! device.launch(&Launch { grid: [4, 1, 1], block: [256, 1, 1], params, ..Launch::new(function) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything takes `&self`, may be called from any thread, and is done when it returns. Device pointers are addresses
//! of the simulator ([`window`]), not of the host.

// `#[inline(always)]` can stand on a closure and not on the name of a function.
#![allow(clippy::redundant_closure)]

mod device;
mod error;
mod exec;
mod inst;
mod launch;
mod memory;
mod module;
mod settings;
pub mod tensor_map;

pub use device::{Device, Limits};
pub use error::{LaunchError, LoadError, MemoryError, Report};
pub use launch::Launch;
pub use memory::window;
pub use module::{Function, Module, ParamLayout};
pub use settings::{Approx, Arithmetic, Schedule, Settings};
