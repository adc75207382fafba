//! Configurations that there are no kernels for: refused when a model is loaded, or when a generation begins, by the name of what is unsupported.

use photon_kernels::backend::{Backend, Heads};
use photon_kernels::checkpoint::{Checkpoint, Dtype, Tensor};
use photon_kernels::cuda::CudaBackend;
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::sampling::Sampling;

use super::{backend, expect_error, model};

fn load(changes: &[(&str, &str)]) -> photon_kernels::Result<Engine<CudaBackend>> {
    Engine::new(backend(), &model(changes))
}

fn request() -> [Request; 1] {
    [Request { prompt: vec![1; 9], max_new_tokens: 9, sampling: Sampling::GREEDY, sequence: 0 }]
}

#[test]
fn widths_of_heads_without_a_kernel_are_refused_with_the_list_of_those_that_have_one() {
    let engine = load(&[
        ("\"hidden_size\":64", "\"hidden_size\":72"),
        ("\"encoder_embedding_size\":32", "\"encoder_embedding_size\":36"),
    ])
    .expect("an engine");
    for mode in [Mode::Exact, Mode::HierGen, Mode::RecGen { refresh: None }] {
        let score = engine.score(&[1; 20], mode, 0, &mut |_, _| ());
        expect_error!(score, Unsupported, ["head_dim is 36", "32, 40, 48, 52, 56, 60, 64, 80, 96, 128"]);
        let generation = engine.generate(&request(), mode, Bottleneck::Reconstruction, &mut |_, _| ());
        expect_error!(generation, Unsupported, ["head_dim is 36"]);
    }
    // Not a multiple of 4: no kernel at all, which is known when the weights are loaded.
    let odd = load(&[("\"num_attention_heads\":2", "\"num_attention_heads\":32")]);
    expect_error!(odd, Unsupported, ["head_dim is 2", "multiple of 4"]);
}

#[test]
fn windows_beyond_64_rows_are_refused() {
    let engine = load(&[("\"chunk_length\":4", "\"chunk_length\":64")]).expect("an engine");
    for mode in [Mode::Exact, Mode::HierGen] {
        let score = engine.score(&[1; 20], mode, 0, &mut |_, _| ());
        expect_error!(score, Unsupported, ["a chunk has 65 rows", "R + C - 1 is at most 64"]);
        let step = engine
            .generate(&request(), mode, Bottleneck::Reconstruction, &mut |_, _| ())
            .and_then(|mut generation| generation.step());
        expect_error!(step, Unsupported, ["65 rows"]);
    }
    let engine = load(&[("\"chunk_length\":4", "\"chunk_length\":63")]).expect("an engine");
    assert!(engine.score(&[1; 20], Mode::HierGen, 0, &mut |_, _| ()).is_ok());
    let heads = Heads { query: 1, kv: 1, head_dim: 32 };
    expect_error!(backend().local(1, heads, 1, 65), Unsupported, ["65 rows"]);
}

#[test]
fn inputs_that_are_no_multiple_of_four_are_refused_by_the_name_of_the_weight() {
    let odd = load(&[("\"intermediate_size\":96", "\"intermediate_size\":90")]);
    expect_error!(odd, Unsupported, ["mlp.down_proj.weight", "90 inputs", "multiple of 4"]);
    let changes = [("\"encoder_embedding_size\":32", "\"encoder_embedding_size\":15"), ("concat", "linear")];
    expect_error!(load(&changes), Unsupported, ["encoder.levels.1.chunker", "30 inputs", "multiple of 4"]);
}

#[test]
fn weights_that_f16_cannot_hold_are_refused_by_name() {
    let checkpoint = model(&[]);
    let tensors = checkpoint.tensors().map(|tensor| {
        if tensor.name() != "lm_head.weight" {
            return tensor.to_dtype(Dtype::F32);
        }
        let values = vec![1e6; tensor.len()];
        Tensor::from_f32(tensor.name(), tensor.shape(), &values).expect("a tensor")
    });
    let large = Checkpoint::from_tensors(checkpoint.config().clone(), tensors).expect("a checkpoint");
    let options = photon_kernels::cuda::CudaOptions { dtype: Dtype::F16, ..Default::default() };
    let backend = CudaBackend::new(options).expect("a GPU, real or simulated");
    expect_error!(Engine::new(backend, &large), Checkpoint, ["lm_head.weight", "f16"]);
}

#[test]
fn f32_is_no_dtype_of_the_backend() {
    let options = photon_kernels::cuda::CudaOptions { dtype: Dtype::F32, ..Default::default() };
    expect_error!(CudaBackend::new(options), Argument, ["dtype is f32", "bf16 or f16"]);
}
