//! The ledger against the counters of the simulated device: random small models run for real on the CUDA backend, in every mode, and
//! every launch is compared with the one that the ledger wrote down. On a real GPU there is nothing to count with, and the test says so.
//!
//! Its own `main`: the counters' file has to be named before the driver is loaded.

mod compare;
#[path = "../../../../tests/common/counters.rs"]
mod counters;
#[path = "../../../../tests/common/mod.rs"]
mod models;

use std::process::ExitCode;

use compare::Counted;
use counters::Counters;
use models::{CUDA, MODES, config_within, rng, text};
use photon_kernels::backend::Backend;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Config, ModelType};
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::sampling::Sampling;
use photon_limits::Ledger;
use rand::RngExt;

/// Random models; one takes some seconds.
const SEEDS: u64 = 7;

fn main() -> ExitCode {
    let mut counted = match Counters::open() {
        Ok(counters) => Counted::new(counters),
        Err(ended) => return ended,
    };
    let mut total = 0;
    for seed in 0..SEEDS {
        let n = random_model(seed, &mut counted);
        if n == 0 {
            println!("skipped: this libcuda counts nothing (it is not the simulated device)");
            return ExitCode::SUCCESS;
        }
        println!("model {seed}: {n} launches");
        total += n;
    }
    total += many_rows(&mut counted);
    total += long_context(&mut counted);
    counted.summary();
    println!("{total} launches are as the ledger has them ... ok");
    ExitCode::SUCCESS
}

/// A model on the CUDA backend and on the ledger.
struct Pair {
    cuda: Engine<CudaBackend>,
    ledger: Engine<Ledger>,
}

impl Pair {
    fn new(config: &Config, seed: u64, dtype: Dtype) -> Pair {
        let checkpoint = Checkpoint::random(config, seed, dtype).expect("random weights");
        let options = CudaOptions { dtype, ..CudaOptions::default() };
        let cuda = CudaBackend::new(options).expect("a GPU, real or simulated");
        Pair {
            cuda: Engine::new(cuda, &checkpoint).expect("an engine"),
            ledger: Engine::new(Ledger::new(dtype).expect("a ledger"), &checkpoint).expect("an engine"),
        }
    }

    /// The ledger's launches of a generation and the device's, and the bytes of all caches, which must agree too.
    fn generate(&self, counted: &mut Counted, what: &str, requests: &[Request], mode: Mode) -> usize {
        let cuda = generate(&self.cuda, requests, mode);
        let device = self.counters(counted);
        let ledger = generate(&self.ledger, requests, mode);
        assert_eq!(cuda, ledger, "{what}: bytes of caches");
        counted.compare(what, &device, &self.ledger.backend().take())
    }

    /// The same for the score of a text.
    fn score(&self, counted: &mut Counted, what: &str, tokens: &[u32], mode: Mode, prompt: usize) -> usize {
        self.cuda.score(tokens, mode, prompt, &mut |_, _| ()).expect("a score");
        let device = self.counters(counted);
        self.ledger.score(tokens, mode, prompt, &mut |_, _| ()).expect("a score");
        counted.compare(what, &device, &self.ledger.backend().take())
    }

    fn counters(&self, counted: &mut Counted) -> Vec<serde_json::Value> {
        self.cuda.backend().synchronize().expect("no error");
        counted.news()
    }
}

/// Generates all that is asked for; bytes of the caches after each step.
fn generate<B: Backend>(engine: &Engine<B>, requests: &[Request], mode: Mode) -> Vec<usize> {
    let mut generation =
        engine.generate(requests, mode, Bottleneck::Reconstruction, &mut |_, _| ()).expect("a generation");
    let mut bytes = Vec::new();
    loop {
        bytes.extend((0..requests.len()).map(|i| generation.cache_bytes(i)));
        if !generation.step().expect("a step") {
            return bytes;
        }
    }
}

/// A model of a random shape: ragged batches, prompts of any length, greedy and random draws, in all modes; and scores.
fn random_model(seed: u64, counted: &mut Counted) -> usize {
    let rng = &mut rng(9000 + seed);
    let config = config_within(rng, &CUDA);
    let dtype = if seed % 4 == 3 { Dtype::F16 } else { Dtype::Bf16 };
    let pair = Pair::new(&config, seed, dtype);
    let c = config.meta_context();
    let mut total = 0;
    for mode in MODES {
        let requests: Vec<Request> = (0..rng.random_range(1..=3))
            .map(|sequence| Request {
                prompt: {
                    let len = rng.random_range(0..=(2 * c + 1).min(20));
                    text(rng, &config, len)
                },
                max_new_tokens: rng.random_range(1..=(c + 1).min(12)),
                sampling: match rng.random_range(0..3) {
                    0 => Sampling { temperature: 0.8, top_k: 5, top_p: 0.9, min_p: 0.01, seed },
                    1 => Sampling { temperature: 1.0, seed, ..Sampling::GREEDY },
                    _ => Sampling::GREEDY,
                },
                sequence,
            })
            .collect();
        total += pair.generate(counted, &format!("seed {seed} {mode}"), &requests, mode);
        if total == 0 {
            return 0;
        }
        let len = rng.random_range(1..=(3 * c).min(30));
        let prompt = rng.random_range(0..=len / c) * c;
        let tokens = text(rng, &config, len);
        total += pair.score(counted, &format!("seed {seed} score {mode}"), &tokens, mode, prompt);
    }
    total
}

/// A vanilla model of one layer.
fn flat(heads: usize, kv: usize, head_dim: usize, vocabulary: usize) -> Config {
    let config = Config {
        model_type: ModelType::Vanilla,
        vocab_size: vocabulary,
        hidden_size: heads * head_dim,
        intermediate_size: 64,
        num_attention_heads: heads,
        num_key_value_heads: kv,
        encoder_embedding_size: 0,
        levels: vec![],
        layers: Some(1),
        ..config_within(&mut rng(0), &CUDA)
    };
    config.validate().expect("a valid configuration");
    config
}

/// Tiled products, logits in several pieces, attention of many rows: more rows than a skinny product and the head take at once.
fn many_rows(counted: &mut Counted) -> usize {
    let config = flat(2, 1, 32, 1500);
    let pair = Pair::new(&config, 1, Dtype::Bf16);
    let tokens = text(&mut rng(1), &config, 560);
    pair.score(counted, "560 tokens", &tokens, Mode::Exact, 0)
}

/// Decoding behind more units than one CTA takes: the workspace of partial results. A second sequence is short.
fn long_context(counted: &mut Counted) -> usize {
    let config = flat(2, 1, 80, 64);
    let pair = Pair::new(&config, 2, Dtype::Bf16);
    let request = |sequence, prompt| Request {
        prompt: text(&mut rng(2), &config, prompt),
        max_new_tokens: 3,
        sampling: Sampling::GREEDY,
        sequence,
    };
    pair.generate(counted, "520 tokens", &[request(0, 520), request(1, 5)], Mode::Exact)
}
