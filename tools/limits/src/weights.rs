//! A checkpoint of any size that takes no memory.

use photon_kernels::checkpoint::{Checkpoint, layout};
use photon_kernels::{Config, Result};
use serde_json::{Map, Value, json};

/// Weights that are all zero, bf16. The pages of the file in memory are never written, so the system maps one page of zeros for all of
/// them; a ledger looks at shapes only.
///
/// # Errors
/// If the configuration is invalid.
pub fn zeros(config: &Config) -> Result<Checkpoint> {
    let mut header = Map::new();
    let mut end = 0usize;
    for (name, shape) in layout(config) {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        header.insert(name, json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] }));
    }
    let header = Value::Object(header).to_string();
    let padded = (header.len() + 8).next_multiple_of(64) - 8;
    // Fresh pages of zeros from the system: only the header's are written to.
    let mut file = vec![0; 8 + padded + end];
    file[..8].copy_from_slice(&(padded as u64).to_le_bytes());
    file[8..8 + padded].fill(b' ');
    file[8..8 + header.len()].copy_from_slice(header.as_bytes());
    Checkpoint::from_bytes(&config.to_json(), file)
}
