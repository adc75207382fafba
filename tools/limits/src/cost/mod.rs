//! The formulas: what each kernel reads, writes and computes, by its sizes.
//!
//! They are those of the kernels' own headers (`csrc/kernels`) and of docs/kernels.md. `T`, the storage type, has 2 bytes. *Read* and *written* count
//! every byte once however often a launch touches it; *fetched* counts what the CTAs ask for, each for itself.

mod attention;
mod product;
mod rows;

pub use attention::{Entry, local_attention, stream_attention};
pub use product::{Epilogue, Keys, product};
pub use rows::{Draws, Rows, copy_rows, embed_chunk, fill_rows, lm_head_pick, log_prob, rms_norm, sample};

use photon_kernels::checkpoint::Dtype;

use crate::launch::{Bytes, Launch};

/// Bytes of an element of `T`.
const T: u64 = 2;
/// Bytes of an f32, of an id and of an entry of a list.
const F32: u64 = 4;

/// A launch that moves nothing yet.
fn launch(kernel: String, size: String, rows: u64, grid: [u64; 3]) -> Launch {
    Launch {
        kernel,
        size,
        part: "between".into(),
        layer: None,
        rows,
        grid,
        read: Bytes::default(),
        written: Bytes::default(),
        fetched: 0,
        copied: 0,
        flops: 0,
        tensor_flops: 0,
    }
}

/// The name of a kernel that exists for both storage types.
fn typed(operation: &str, dtype: Dtype) -> String {
    format!("{operation}_{dtype}")
}
