//! The safe layer: memory that knows its size, operations that check their arguments before anything is launched.
//!
//! All work goes to one stream in the order of the calls. An operation returns when its launch is enqueued; what reads results
//! back waits.

mod arena;
mod attention;
mod cache;
mod device;
mod head;
mod linear;
mod memory;
mod plan;
mod queue;
mod rows;

/// Rows that a pass of a model has at most: what [`Backend::pass_rows`](crate::backend::Backend::pass_rows) says.
pub const PASS_ROWS: usize = 4096;

pub use cache::{CudaCache, CudaLocal};
pub use device::{CudaBackend, CudaOptions};
pub use head::{KEY_ROWS, LOGIT_ROWS};
pub use linear::CudaLinear;
pub use memory::{CudaBuffer, CudaIds, CudaTable, CudaVector};
pub use queue::Launches;
