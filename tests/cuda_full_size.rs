//! One meta-context of photon-600m, bf16, random weights: 32 tokens of prompt, 16 by RecGen.
#![cfg(feature = "cuda")]

use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::presets::preset;
use photon_kernels::sampling::Sampling;

const MODE: Mode = Mode::RecGen { refresh: None };

#[test]
fn a_meta_context_of_photon_600m_is_drawn_and_scored_as_the_f32_backend_scores_it() {
    let config = preset("photon-600m").expect("a preset");
    let checkpoint = Checkpoint::random(&config, 1, Dtype::Bf16).expect("random weights");
    let prompt: Vec<u32> = (0..32).map(|i| (i * 977 + 5) % config.vocab_size as u32).collect();
    let (tokens, scores) = {
        let backend = CudaBackend::new(CudaOptions::default()).expect("a GPU, real or simulated");
        let engine = Engine::new(backend, &checkpoint).expect("an engine");
        let request =
            Request { prompt: prompt.clone(), max_new_tokens: 16, sampling: Sampling::GREEDY, sequence: 0 };
        let mut generation = engine
            .generate(&[request], MODE, Bottleneck::Reconstruction, &mut |_, _| ())
            .expect("a generation");
        while generation.step().expect("a step") {}
        // Two units, in a block of 32 whose heads are 56 wide.
        assert_eq!(generation.cache_bytes(0), 32 * 2 * 4 * 32 * 56 * 2);
        let tokens = [&prompt[..], generation.tokens(0)].concat();
        drop(generation);
        let scores = engine.score(&tokens, MODE, 32, &mut |_, _| ()).expect("a score");
        (tokens, scores)
    };
    assert_eq!(tokens.len(), 48);
    let cpu = CpuBackend::new(CpuOptions { dtype: Dtype::F32, ..CpuOptions::default() }).expect("a CPU");
    let want = Engine::new(cpu, &checkpoint)
        .and_then(|engine| engine.score(&tokens, MODE, 32, &mut |_, _| ()))
        .expect("a score");
    let squares: f32 = scores.iter().zip(&want).map(|(a, b)| (a - b) * (a - b)).sum();
    let error = (squares / 48.0).sqrt();
    println!("rms error {error:.2e} nats");
    // A logit is a sum of 1664 products of values that were rounded to 8 bits on their way through 16 layers.
    assert!(error <= 2f32.powi(-6), "rms error {error:.3e} nats: {scores:?}\n{want:?}");
}
