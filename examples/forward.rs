//! The likelihood of a text under a model on the GPU, in the three modes.
//!
//! ```sh
//! cargo run --release --features cuda --example forward -- models/photon-austen-7m
//! ```

use std::error::Error;
use std::path::Path;

use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Engine, Mode};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "models/photon-austen-7m".into());
    let checkpoint = Checkpoint::open(Path::new(&folder))?;
    let backend = CudaBackend::new(CudaOptions::default())?;
    println!("{}, {}", backend.device_name()?, backend.dtype());
    let engine = Engine::new(backend, &checkpoint)?;
    // Any tokens do; a text would come from the model's tokenizer.
    let tokens: Vec<u32> = (0..40).map(|i| (i * 37 + 11) % checkpoint.config().vocab_size as u32).collect();
    for mode in [Mode::Exact, Mode::HierGen, Mode::RecGen { refresh: None }] {
        let scores = engine.score(&tokens, mode, 0, &mut |_, _| ())?;
        let nll = -scores.iter().copied().map(f64::from).sum::<f64>() / tokens.len() as f64;
        println!("{mode}: {nll:.4} nats per token");
    }
    Ok(())
}
