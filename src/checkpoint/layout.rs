//! Names and shapes of all tensors that a configuration calls for.

use crate::config::{Chunker, Config, ModelType};

/// Every tensor of a checkpoint with this configuration, `out × in`, in the order of the forward pass.
pub fn layout(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (v, d) = (config.vocab_size, config.hidden_size);
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
    match config.model_type {
        ModelType::Vanilla => {
            add("embed_tokens.weight".into(), &[v, d]);
            stack(config, "", config.layers.unwrap_or(0), &mut add);
        }
        ModelType::Photon => {
            add("encoder.embed_tokens.weight".into(), &[v, config.encoder_embedding_size]);
            for (l, level) in (1..).zip(&config.levels) {
                let chunker = format!("encoder.levels.{l}.chunker");
                if level.chunker == Chunker::Linear {
                    let width = config.chunk_input(l);
                    add(format!("{chunker}.norm.weight"), &[width]);
                    add(format!("{chunker}.proj.weight"), &[d, width]);
                    add(format!("{chunker}.proj.bias"), &[d]);
                }
                stack(config, &format!("encoder.levels.{l}."), level.encoder_layers, &mut add);
            }
            add("decoder.embed_tokens.weight".into(), &[v, d]);
            for l in (1..=config.depth()).rev() {
                let level = config.level(l);
                let prefix = level.prefix_length * d;
                add(format!("decoder.levels.{l}.start"), &[d]);
                add(format!("decoder.levels.{l}.converter.weight"), &[prefix, d]);
                add(format!("decoder.levels.{l}.converter.bias"), &[prefix]);
                stack(config, &format!("decoder.levels.{l}."), level.decoder_layers, &mut add);
            }
        }
    }
    add("lm_head.weight".into(), &[v, d]);
    all
}

/// A LLaMA stack: its layers and its final norm.
fn stack(config: &Config, prefix: &str, layers: usize, add: &mut impl FnMut(String, &[usize])) {
    let (d, hidden) = (config.hidden_size, config.intermediate_size);
    let kv = config.num_key_value_heads * config.head_dim();
    for i in 0..layers {
        for (name, shape) in [
            ("input_layernorm", &[d][..]),
            ("self_attn.q_proj", &[d, d]),
            ("self_attn.k_proj", &[kv, d]),
            ("self_attn.v_proj", &[kv, d]),
            ("self_attn.o_proj", &[d, d]),
            ("post_attention_layernorm", &[d]),
            ("mlp.gate_proj", &[hidden, d]),
            ("mlp.up_proj", &[hidden, d]),
            ("mlp.down_proj", &[d, hidden]),
        ] {
            add(format!("{prefix}layers.{i}.{name}.weight"), shape);
        }
    }
    add(format!("{prefix}norm.weight"), &[d]);
}
