//! RecGen on the GPU: a batch of sequences of different lengths, meta-context by meta-context.
//!
//! ```sh
//! cargo run --release --features cuda --example recgen -- models/photon-austen-7m
//! ```

use std::error::Error;
use std::path::Path;

use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::sampling::Sampling;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "models/photon-austen-7m".into());
    let checkpoint = Checkpoint::open(Path::new(&folder))?;
    let engine = Engine::new(CudaBackend::new(CudaOptions::default())?, &checkpoint)?;
    let vocabulary = checkpoint.config().vocab_size as u32;
    let requests: Vec<Request> = [0usize, 5, 32]
        .iter()
        .enumerate()
        .map(|(i, &prompt)| Request {
            prompt: (0..prompt as u32).map(|t| (t * 31 + 7) % vocabulary).collect(),
            max_new_tokens: 32,
            sampling: Sampling { temperature: 0.8, ..Sampling::GREEDY },
            sequence: i as u32,
        })
        .collect();
    let mode = Mode::RecGen { refresh: None };
    let mut generation = engine.generate(&requests, mode, Bottleneck::Reconstruction, &mut |_, _| ())?;
    while generation.step()? {
        let lengths: Vec<usize> = (0..requests.len()).map(|i| generation.tokens(i).len()).collect();
        println!("new tokens: {lengths:?}");
    }
    for i in 0..requests.len() {
        println!("sequence {i}: {} bytes of cache, {:?}", generation.cache_bytes(i), generation.tokens(i));
    }
    Ok(())
}
