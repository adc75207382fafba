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

/// Rows that a pass of a model has at most: what [`Backend::pass_rows`](crate::backend::Backend::pass_rows) says. A product is bound by
/// arithmetic from some 260 rows on (790 TFLOP/s at 3 TB/s); 4096 leave room for tiles that do not reach the peak, and keep the activations of
/// a 600M model at 205 MB.
pub const PASS_ROWS: usize = 4096;

pub use cache::{CudaCache, CudaLocal};
pub use device::{CudaBackend, CudaOptions};
pub use head::{KEY_ROWS, LOGIT_ROWS};
pub use linear::CudaLinear;
pub use memory::{CudaBuffer, CudaIds, CudaTable, CudaVector};
pub use queue::Launches;
