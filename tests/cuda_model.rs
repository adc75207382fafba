//! The CUDA backend against the plain reference: whole models of random shapes, all modes, both conditions. Runs on whatever `libcuda`
//! is found: a GPU, or the simulated device (`tools/gpusim.sh`).
#![cfg(feature = "cuda")]

mod common;

use common::{rms, rng, text};
use half::{bf16, f16};
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Chunker, Condition, Config, Level, ModelType};
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Engine, Mode};
use photon_kernels::reference::{self, Reference};
use rand::RngExt;
use rand::rngs::StdRng;

const MODES: [Mode; 5] = [
    Mode::Exact,
    Mode::HierGen,
    Mode::RecGen { refresh: None },
    Mode::RecGen { refresh: Some(1) },
    Mode::RecGen { refresh: Some(3) },
];

fn reference_mode(mode: Mode) -> reference::Mode {
    match mode {
        Mode::Exact => reference::Mode::Exact,
        Mode::HierGen => reference::Mode::HierGen,
        Mode::RecGen { refresh } => reference::Mode::RecGen { refresh },
    }
}

/// A random small configuration within the limits of the CUDA backend.
fn config(rng: &mut StdRng) -> Config {
    let head_dim = [32, 40, 48, 52, 56, 60, 64][rng.random_range(0..7)];
    let (kv, group) = (rng.random_range(1..=2), rng.random_range(1..=3));
    let d: usize = head_dim * kv * group;
    let depth = rng.random_range(1..=3);
    let mut levels = Vec::new();
    let mut embedding = 4 * rng.random_range(1..=12);
    for l in 0..depth {
        let chunk_length = [1, 2, 2, 3, 3, 4, 5][rng.random_range(0..7)];
        let fits = if l == 0 { d.is_multiple_of(chunk_length) } else { chunk_length == 1 };
        let chunker = if fits && rng.random_bool(0.5) { Chunker::Concat } else { Chunker::Linear };
        if l == 0 && chunker == Chunker::Concat {
            embedding = d / chunk_length;
        }
        levels.push(Level {
            chunk_length,
            chunker,
            encoder_layers: rng.random_range(1..=2),
            decoder_layers: rng.random_range(1..=2),
            prefix_length: rng.random_range(1..=3),
        });
    }
    let config = Config {
        model_type: ModelType::Photon,
        vocab_size: rng.random_range(3..=200),
        hidden_size: d,
        intermediate_size: 4 * rng.random_range(1..=40),
        num_attention_heads: kv * group,
        num_key_value_heads: kv,
        rms_norm_eps: 1e-5,
        rope_theta: 10000.0,
        encoder_embedding_size: embedding,
        condition: if rng.random_bool(0.5) { Condition::Previous } else { Condition::Current },
        levels,
        layers: None,
        max_position_embeddings: 4096,
        bos_token_id: None,
        eos_token_id: None,
    };
    config.validate().expect("a random configuration is valid");
    config
}

fn engine(checkpoint: &Checkpoint, dtype: Dtype) -> Engine<CudaBackend> {
    let backend =
        CudaBackend::new(CudaOptions { dtype, ..CudaOptions::default() }).expect("a GPU, real or simulated");
    Engine::new(backend, checkpoint).expect("an engine")
}

fn naive<T: reference::Real>(checkpoint: &Checkpoint, tokens: &[u32], prompt: usize, mode: Mode) -> Vec<f64> {
    let reference = Reference::<T>::new(checkpoint).expect("a reference");
    reference.score(tokens, prompt, reference_mode(mode)).expect("a naive score")
}

#[test]
fn scores_err_at_most_twice_as_much_as_naive_arithmetic_of_the_same_dtype() {
    for seed in 0..16 {
        let dtype = if seed % 4 == 3 { Dtype::F16 } else { Dtype::Bf16 };
        // The floor is one rounding of a logit of magnitude 1/2.
        let floor = if dtype == Dtype::Bf16 { 2f64.powi(-10) } else { 2f64.powi(-13) };
        let rng = &mut rng(5000 + seed);
        let config = config(rng);
        let checkpoint = Checkpoint::random(&config, seed, dtype).expect("random weights");
        let exact = Reference::<f64>::new(&checkpoint).expect("a reference");
        let engine = engine(&checkpoint, dtype);
        let c = config.meta_context();
        let len = rng.random_range(0..=(4 * c).min(100));
        let prompt = rng.random_range(0..=len / c) * c;
        let tokens = text(rng, &config, len);
        for mode in MODES {
            let want = exact.score(&tokens, prompt, reference_mode(mode)).expect("a reference score");
            let naive = match dtype {
                Dtype::F16 => naive::<f16>(&checkpoint, &tokens, prompt, mode),
                _ => naive::<bf16>(&checkpoint, &tokens, prompt, mode),
            };
            let got = engine.score(&tokens, mode, prompt, &mut |_, _| ()).expect("a score");
            assert_eq!(got.len(), tokens.len());
            let error = rms(got.iter().map(|&x| f64::from(x)), want.iter().copied());
            let allowed = 2.0 * rms(naive.iter().copied(), want.iter().copied()) + floor;
            println!("seed {seed} {dtype} {mode:?}: {error:.2e} of {allowed:.2e}");
            assert!(
                error <= allowed,
                "seed {seed} {dtype} {mode:?}: {error:.3e} > {allowed:.3e}\n{config:?}"
            );
        }
    }
}
