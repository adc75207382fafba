//! The checkpoint reader on arbitrary bytes: `config.json`, a zero byte, `model.safetensors`. Run it with
//! `cargo +nightly fuzz run checkpoint -- -rss_limit_mb=512 -max_len=65536`, from the repository's root.
//!
//! Input without a zero byte is read as weights for a small valid configuration, so that the weights' reader is reached
//! from the first input on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use photon_kernels::checkpoint::{Checkpoint, layout};

const CONFIG: &str = r#"{"model_type":"photon","vocab_size":3,"hidden_size":4,"intermediate_size":2,
 "num_attention_heads":2,
 "levels":[{"chunk_length":2,"chunker":"concat","encoder_layers":0,"decoder_layers":1,"prefix_length":1}]}"#;

fuzz_target!(|data: &[u8]| {
    let (config, weights) = match data.iter().position(|&byte| byte == 0) {
        Some(at) if data.first() == Some(&b'{') => (std::str::from_utf8(&data[..at]), &data[at + 1..]),
        _ => (Ok(CONFIG), data),
    };
    let Ok(config) = config else { return };
    match Checkpoint::from_bytes(config, weights.to_vec()) {
        Ok(checkpoint) => {
            for (name, shape) in layout(checkpoint.config()) {
                let tensor = checkpoint.get(&name).expect("a valid checkpoint has every tensor");
                assert_eq!(tensor.shape(), shape);
                assert!(tensor.to_f32().iter().all(|x| x.is_finite()));
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
});
