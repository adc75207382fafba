//! The shipped sample model: its scores are those of the PyTorch code that trained it, and it knows English.

mod common;

use std::path::Path;

use common::engine;
use photon_kernels::checkpoint::{Checkpoint, Dtype, Tensor};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
use photon_kernels::generate::{Engine, Mode};

fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/photon-austen-7m")
}

#[test]
fn scores_of_the_sample_model_are_those_of_pytorch() {
    let scores = std::fs::read_to_string(sample().join("scores.json")).expect("scores.json");
    let scores: serde_json::Value = serde_json::from_str(&scores).expect("JSON");
    let check = &scores["check"];
    let tokens: Vec<u32> = serde_json::from_value(check["tokens"].clone()).expect("tokens");
    let prompt = check["prompt"].as_u64().expect("a prompt length") as usize;
    let checkpoint = Checkpoint::open(sample()).expect("the sample model");
    let modes = [
        ("exact", Mode::Exact),
        ("hiergen", Mode::HierGen),
        ("recgen", Mode::RecGen { refresh: None }),
        ("refresh 2", Mode::RecGen { refresh: Some(2) }),
    ];
    // The file gives five decimals of an f32 computation. A bf16 engine rounds keys and values besides.
    for (dtype, most, mean) in [(Dtype::F32, 1e-4, 2e-5), (Dtype::Bf16, 0.3, 0.03)] {
        let engine = engine(&checkpoint, dtype);
        for (name, mode) in modes {
            let want: Vec<f64> = serde_json::from_value(check["logprobs"][name].clone()).expect(name);
            let got = engine.score(&tokens, mode, prompt, &mut |_, _| ()).expect("a score");
            assert_eq!(got.len(), want.len());
            let errors: Vec<f64> = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).collect();
            let worst = errors.iter().copied().fold(0.0, f64::max);
            let average = errors.iter().sum::<f64>() / errors.len() as f64;
            assert!(worst <= most && average <= mean, "{name} {dtype}: worst {worst:e}, mean {average:e}");
        }
    }
}

/// Words that the model's tokenizer and training never saw together, from this file.
#[cfg(feature = "text")]
#[test]
fn the_sample_model_prefers_english_to_the_same_words_shuffled() {
    let tokenizer =
        photon_kernels::text::Tokenizer::from_file(sample().join("tokenizer.json")).expect("a tokenizer");
    let checkpoint = Checkpoint::open(sample()).expect("the sample model");
    let engine = engine(&checkpoint, Dtype::Bf16);
    let english =
        "She was very glad to see her sister, and they walked together in the garden until it was dark.";
    let mut words: Vec<&str> = english.split(' ').collect();
    words.sort_unstable();
    let shuffled = words.join(" ");
    for mode in [Mode::Exact, Mode::HierGen, Mode::RecGen { refresh: None }] {
        let bits_per_byte = |text: &str| {
            let tokens = tokenizer.encode(text).expect("tokens");
            let scores = engine.score(&tokens, mode, 0, &mut |_, _| ()).expect("a score");
            -scores.iter().copied().map(f64::from).sum::<f64>() / std::f64::consts::LN_2 / text.len() as f64
        };
        let (plain, jumbled) = (bits_per_byte(english), bits_per_byte(&shuffled));
        assert!(plain < 2.5 && plain + 0.3 < jumbled, "{mode}: {plain} against {jumbled} bits per byte");
    }
}

#[test]
fn weights_that_overflow_are_an_error_and_not_a_score() {
    let plain = common::checkpoint(3, Dtype::F32);
    let with = |value: f32| {
        let tensors: Vec<Tensor> = plain
            .tensors()
            .map(|tensor| match tensor.name() {
                "lm_head.weight" => {
                    let values: Vec<f32> = tensor.to_f32().iter().map(|x| x.signum() * value).collect();
                    Tensor::from_f32(tensor.name(), tensor.shape(), &values).expect("a tensor")
                }
                _ => tensor.clone(),
            })
            .collect();
        Checkpoint::from_tensors(plain.config().clone(), tensors).expect("a checkpoint")
    };
    // Finite as f32, infinite once rounded to bf16.
    let backend =
        CpuBackend::new(CpuOptions { dtype: Dtype::Bf16, ..CpuOptions::default() }).expect("a backend");
    let error = Engine::new(backend, &with(f32::MAX)).err().expect("an error").to_string();
    assert!(error.contains("lm_head.weight") && error.contains("bf16"), "{error}");
    // Finite weights, infinite logits of both signs.
    let engine = engine(&with(f32::MAX), Dtype::F32);
    let error = engine.score(&[0, 1, 2], Mode::Exact, 0, &mut |_, _| ()).expect_err("an error").to_string();
    assert!(error.contains("token") && !error.contains('\n'), "{error}");
}
