//! Launches of a layer, and of the head.

use std::collections::BTreeMap;

use photon_kernels::backend::{Backend, Layout, LinearSpec, RowMap};
use photon_kernels::checkpoint::{Checkpoint, Dtype, Tensor};
use photon_kernels::config::{Config, ModelType};
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Engine, Mode};
use photon_kernels::presets::preset;
use photon_kernels::sampling::{Draw, Sampling};

use super::bench::Bench;

/// Launches by operation while a text of three meta-contexts is scored.
fn launches(bench: &Bench, config: &Config) -> BTreeMap<String, i64> {
    bench.launches();
    let checkpoint = Checkpoint::random(config, 1, Dtype::Bf16).expect("random weights");
    let backend = CudaBackend::new(CudaOptions::default()).expect("a GPU, real or simulated");
    let engine = Engine::new(backend, &checkpoint).expect("an engine");
    let tokens: Vec<u32> = (0..48).map(|i| i % 31).collect();
    engine.score(&tokens, Mode::HierGen, 0, &mut |_, _| ()).expect("a score");
    let mut counts = BTreeMap::new();
    for launch in bench.launches() {
        let name = launch.kernel().trim_start_matches("photon_");
        let operation = name.split("_bf16").next().unwrap_or(name);
        *counts.entry(operation.to_string()).or_default() += 1;
    }
    counts
}

pub fn five_launches(bench: &Bench) {
    // photon-600m's levels, narrow; then one layer more in each of the four stacks.
    let small = Config {
        vocab_size: 64,
        hidden_size: 128,
        intermediate_size: 64,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        encoder_embedding_size: 32,
        ..preset("photon-600m").expect("a preset")
    };
    assert_eq!(small.model_type, ModelType::Photon);
    let mut deeper = small.clone();
    for level in &mut deeper.levels {
        level.encoder_layers += 1;
        level.decoder_layers += 1;
    }
    let (few, more) = (launches(bench, &small), launches(bench, &deeper));
    let added: BTreeMap<&str, i64> = more
        .iter()
        .map(|(name, count)| (name.as_str(), count - few.get(name).copied().unwrap_or(0)))
        .filter(|(_, count)| *count != 0)
        .collect();
    let passes = added["qkv_rope_append"];
    assert!(passes >= 4, "{added:?}");
    assert_eq!(added["gate_up_swiglu"], passes, "{added:?}");
    assert_eq!(added["proj_residual"], 2 * passes, "{added:?}");
    let attention: i64 = added.iter().filter(|(name, _)| name.contains("attention")).map(|(_, n)| n).sum();
    assert_eq!(attention, passes, "{added:?}");
    assert_eq!(added.values().sum::<i64>(), 5 * passes, "nothing else is launched: {added:?}");
}

pub fn head_by_draws(bench: &Bench) {
    let (n, k) = (100, 32);
    let backend = CudaBackend::new(CudaOptions::default()).expect("a GPU, real or simulated");
    let weight = Tensor::from_f32("lm_head.weight", &[n, k], &vec![0.5; n * k]).expect("a tensor");
    let spec = LinearSpec { norm: None, weights: &[&weight], bias: None, layout: Layout::Plain };
    let head = backend.linear(spec).expect("a head");
    let h = backend.buffer(3 * k).expect("a buffer");
    let mut ids = backend.ids(3).expect("ids");
    let draw = |temperature: f32, top_k: usize, forced: Option<u32>| Draw {
        sampling: Sampling { temperature, top_k, ..Sampling::GREEDY },
        sequence: 0,
        position: 0,
        forced,
    };
    let (greedy, hot, forced) = (draw(0.0, 0, None), draw(1.0, 0, None), draw(1.0, 0, Some(7)));
    let best = ["lm_head_best_bf16_skinny8x32", "lm_head_pick"];
    for (draws, want) in [
        ([greedy, draw(1.0, 1, None), forced], &best[..]),
        ([forced; 3], &best[1..]),
        ([greedy, hot, forced], &["project_bf16_skinny8x16", "sample"]),
    ] {
        bench.launches();
        backend.sample(&head, &h, RowMap::DENSE, &draws, &mut ids, RowMap::DENSE).expect("tokens");
        backend.synchronize().expect("no error");
        let launches = bench.launches();
        let names: Vec<&str> =
            launches.iter().map(|launch| launch.kernel().trim_start_matches("photon_")).collect();
        assert_eq!(names, want, "{draws:?}");
    }
}
