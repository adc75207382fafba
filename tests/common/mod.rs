//! Random models and texts for the tests.
#![allow(dead_code)]

use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Chunker, Condition, Config, Level, ModelType};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
use photon_kernels::generate::{Engine, Mode};
use photon_kernels::reference;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The modes in which models are compared.
pub const MODES: [Mode; 5] = [
    Mode::Exact,
    Mode::HierGen,
    Mode::RecGen { refresh: None },
    Mode::RecGen { refresh: Some(1) },
    Mode::RecGen { refresh: Some(3) },
];

/// A mode as the reference names it.
pub fn reference_mode(mode: Mode) -> reference::Mode {
    match mode {
        Mode::Exact => reference::Mode::Exact,
        Mode::HierGen => reference::Mode::HierGen,
        Mode::RecGen { refresh } => reference::Mode::RecGen { refresh },
    }
}

/// Between what random configurations vary; the smallest of everything else is 1.
pub struct Limits {
    pub head_dims: &'static [usize],
    pub kv_heads: usize,
    /// Of the model, `H · head_dim`.
    pub width: usize,
    /// Embeddings and intermediate rows have a multiple of this.
    pub grain: usize,
    /// In grains.
    pub embedding: usize,
    pub intermediate: usize,
    pub vocabulary: usize,
}

/// What every backend can do, and small.
pub const ANY: Limits = Limits {
    head_dims: &[2, 4, 6, 10, 16, 18, 20, 26],
    kv_heads: 3,
    width: usize::MAX,
    grain: 1,
    embedding: 24,
    intermediate: 70,
    vocabulary: 61,
};

/// What the CUDA backend can do, and small.
pub const CUDA: Limits = Limits {
    head_dims: &[32, 40, 48, 52, 56, 60, 64],
    kv_heads: 2,
    width: usize::MAX,
    grain: 4,
    embedding: 12,
    intermediate: 40,
    vocabulary: 200,
};

/// A random small configuration.
pub fn config(rng: &mut StdRng) -> Config {
    config_within(rng, &ANY)
}

/// A random configuration: L 1–3, odd chunk and prefix lengths, grouped queries, both conditions.
pub fn config_within(rng: &mut StdRng, limits: &Limits) -> Config {
    let head_dim = limits.head_dims[rng.random_range(0..limits.head_dims.len())];
    let (kv, group) = loop {
        let (kv, group) = (rng.random_range(1..=limits.kv_heads), rng.random_range(1..=3));
        if head_dim * kv * group <= limits.width {
            break (kv, group);
        }
    };
    let d = head_dim * kv * group;
    let depth = rng.random_range(1..=3);
    let mut levels = Vec::new();
    let mut embedding = limits.grain * rng.random_range(1..=limits.embedding);
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
        vocab_size: rng.random_range(3..=limits.vocabulary),
        hidden_size: d,
        intermediate_size: limits.grain * rng.random_range(1..=limits.intermediate),
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

/// The next random configuration that is accepted.
pub fn config_that(rng: &mut StdRng, limits: &Limits, accept: impl Fn(&Config) -> bool) -> Config {
    loop {
        let config = config_within(rng, limits);
        if accept(&config) {
            return config;
        }
    }
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
