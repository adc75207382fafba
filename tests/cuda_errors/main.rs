//! What goes wrong on CUDA is a typed error that says what and what to do, never a panic: machines without driver or GPU, old ones, memory that
//! runs out, configurations without kernels. The simulated device plays the machines (`tools/gpusim/README.md` lists its settings).

#[path = "../common/again.rs"]
mod again;
#[path = "../common/mod.rs"]
mod common;
mod machine;
mod memory;
mod shapes;

use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::Config;
use photon_kernels::cuda::{CudaBackend, CudaOptions};

/// A model of two levels, 8 tokens a meta-context, with `changes` to its description made.
fn model(changes: &[(&str, &str)]) -> Checkpoint {
    let mut text = r#"{"model_type":"photon","vocab_size":40,"hidden_size":64,"intermediate_size":96,"num_attention_heads":2,
        "encoder_embedding_size":32,"condition":"previous","levels":[
        {"chunk_length":2,"chunker":"concat","encoder_layers":1,"decoder_layers":1,"prefix_length":2},
        {"chunk_length":4,"chunker":"linear","encoder_layers":1,"decoder_layers":1,"prefix_length":2}]}"#
        .to_string();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not there to be changed");
        text = text.replace(from, to);
    }
    let config = Config::from_json(&text).expect("a configuration");
    Checkpoint::random(&config, 1, Dtype::Bf16).expect("random weights")
}

fn backend() -> CudaBackend {
    CudaBackend::new(CudaOptions::default()).expect("a GPU, real or simulated")
}

/// Fails unless the error has the variant and its message all parts, on one line.
macro_rules! expect_error {
    ($result:expr, $variant:ident, $parts:expr) => {{
        let error = $result.err().expect("an error");
        let message = error.to_string();
        assert!(matches!(error, photon_kernels::Error::$variant(_)), "{error:?}");
        assert_eq!(message.lines().count(), 1, "{message:?}");
        for part in $parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }};
}
use expect_error;
