//! The reference against another implementation of the same page: the PyTorch model that trains checkpoints.
//!
//! `tools/train/golden.py` writes the expected numbers, so that this needs no Python.

use photon_kernels::Config;
use photon_kernels::checkpoint::{Checkpoint, Dtype, Tensor};
use photon_kernels::reference::{Mode, Reference};
use serde_json::Value;

/// The number in [-1/2, 1/2) that `golden.py` gives element `i` of a tensor.
fn number(name: &str, i: usize) -> f32 {
    let key = name.bytes().fold(0x811C_9DC5, |x: u32, byte| (x ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let x = key.wrapping_add((i as u32).wrapping_mul(0x9E37_79B9));
    let x = (x ^ x >> 16).wrapping_mul(0x85EB_CA6B);
    let x = (x ^ x >> 13).wrapping_mul(0xC2B2_AE35);
    ((x ^ x >> 16) >> 16) as f32 / 65_536.0 - 0.5
}

fn filled(config: &Config) -> Checkpoint {
    let shapes = Checkpoint::random(config, 0, Dtype::F32).unwrap();
    let tensors = shapes.tensors().map(|tensor| {
        let (name, shape) = (tensor.name(), tensor.shape());
        let mean = if name.contains("norm") { 1.0 } else { 0.0 };
        let scale = if name.contains("embed") || name.ends_with("start") { 4.0 } else { 1.0 };
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| mean + scale * number(name, i)).collect();
        Tensor::from_f32(name, shape, &values).unwrap()
    });
    Checkpoint::from_tensors(config.clone(), tensors.collect::<Vec<_>>()).unwrap()
}

#[test]
fn scores_are_those_of_pytorch() {
    let models: Vec<Value> = serde_json::from_str(include_str!("data/pytorch_scores.json")).unwrap();
    assert_eq!(models.len(), 6);
    for model in models {
        let config = Config::from_json(&model["config"].to_string()).unwrap();
        let reference = Reference::<f64>::new(&filled(&config)).unwrap();
        let tokens: Vec<u32> = serde_json::from_value(model["tokens"].clone()).unwrap();
        for run in model["runs"].as_array().unwrap() {
            let refresh = run["refresh"].as_u64().map(|k| k as usize);
            let mode = match run["mode"].as_str().unwrap() {
                "exact" => Mode::Exact,
                "hiergen" => Mode::HierGen,
                _ => Mode::RecGen { refresh },
            };
            let prompt = run["prompt"].as_u64().unwrap_or(0) as usize;
            let expected: Vec<f64> = serde_json::from_value(run["score"].clone()).unwrap();
            let score = reference.score(&tokens, prompt, mode).unwrap();
            assert_eq!(score.len(), expected.len());
            for (t, (got, expected)) in score.iter().zip(expected).enumerate() {
                let error = (got - expected).abs();
                assert!(error < 1e-9, "token {t} is off by {error}, {mode:?} after {prompt}, {config:?}");
            }
        }
    }
}
