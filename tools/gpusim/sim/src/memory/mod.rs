//! Device memory: addresses, allocations, and the windows of the generic address space.

mod buffer;
mod global;
pub mod window;

pub(crate) use buffer::Buffer;
pub(crate) use global::{GlobalMemory, Region};
