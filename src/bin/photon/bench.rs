//! `photon bench`: measures a full-size model with seeded random weights.

use photon_kernels::presets::preset;
use photon_kernels::{Error, Result};

use crate::args::BenchArgs;

/// Checks all input. Measuring is not built in yet.
pub fn run(args: &BenchArgs) -> Result<()> {
    let _config = preset(&args.preset)?;
    let (prompt, new) = args.lengths();
    Err(Error::Backend(format!(
        "measuring {:?}, {} x {prompt} + {new} tokens as {:?} with {:?} threads (JSON: {}) is not built in yet",
        args.mode, args.batch, args.dtype, args.threads, args.json
    )))
}
