//! Random models and texts for the tests.
#![allow(dead_code)]

use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Chunker, Condition, Config, Level, ModelType};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
use photon_kernels::generate::Engine;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A random small configuration: L 1–3, odd chunk and prefix lengths, grouped queries, both conditions.
pub fn config(rng: &mut StdRng) -> Config {
    let head_dim = [2, 4, 6, 10, 16, 18, 20, 26][rng.random_range(0..8)];
    let (kv, group) = (rng.random_range(1..=3), rng.random_range(1..=3));
    let d: usize = head_dim * kv * group;
    let depth = rng.random_range(1..=3);
    let mut levels = Vec::new();
    let mut embedding = rng.random_range(1..=24);
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
        vocab_size: rng.random_range(3..=61),
        hidden_size: d,
        intermediate_size: rng.random_range(1..=70),
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

/// A random number generator of that seed.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A random model of a random shape.
pub fn checkpoint(seed: u64, dtype: Dtype) -> Checkpoint {
    Checkpoint::random(&config(&mut rng(seed)), seed, dtype).expect("random weights")
}

/// The CPU engine for a checkpoint.
pub fn engine(checkpoint: &Checkpoint, dtype: Dtype) -> Engine<CpuBackend> {
    let backend = CpuBackend::new(CpuOptions { dtype, ..CpuOptions::default() }).expect("a CPU backend");
    Engine::new(backend, checkpoint).expect("an engine")
}

/// A random text.
pub fn text(rng: &mut StdRng, config: &Config, len: usize) -> Vec<u32> {
    (0..len).map(|_| rng.random_range(0..config.vocab_size as u32)).collect()
}

/// Root mean square of the differences.
pub fn rms(a: impl IntoIterator<Item = f64>, b: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0);
    for (a, b) in a.into_iter().zip(b) {
        sum += (a - b) * (a - b);
        n += 1;
    }
    if n == 0 { 0.0 } else { (sum / n as f64).sqrt() }
}
