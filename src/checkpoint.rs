//! Checkpoints: `config.json` + `model.safetensors`, memory-mapped and validated.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{Chunker, Config};
use crate::error::{Error, Result};

/// Storage type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half.
    F16,
}

/// A named tensor, row-major; a view into a mapped file or an owned allocation.
#[derive(Clone, Debug)]
pub struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    /// An owned F32 tensor.
    pub fn from_f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        Tensor { name: name.into(), dtype: Dtype::F32, shape: shape.into(), values: values.into() }
    }

    /// Its name in the checkpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Storage type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Extents, slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.clone()
    }
}

/// A validated set of weights with their configuration.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    config: Config,
    tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Opens a checkpoint directory.
    pub fn open(_dir: &Path) -> Result<Self> {
        Err(Error::Checkpoint("not written yet".into()))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::Checkpoint(format!("{name} is missing")))
    }

    /// Seeded random weights.
    pub fn random(config: &Config, seed: u64, dtype: Dtype) -> Result<Checkpoint> {
        config.validate()?;
        let mut state = seed;
        let mut uniform = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut tensors = BTreeMap::new();
        for (name, shape) in names(config) {
            let centre = if name.contains("norm") { 1.0 } else { 0.0 };
            let scale = if shape.len() == 2 { (shape[1] as f64).powf(-0.5) } else { 0.2 };
            let scale = if name.contains("embed") || name.contains("start") { 1.0 } else { scale };
            let count = shape.iter().product();
            let values = (0..count)
                .map(|_| {
                    let sum: f64 = (0..4).map(|_| uniform() - 0.5).sum();
                    let value = (centre + scale * sum * 3f64.sqrt()) as f32;
                    match dtype {
                        Dtype::F32 => value,
                        Dtype::Bf16 => half::bf16::from_f32(value).to_f32(),
                        Dtype::F16 => half::f16::from_f32(value).to_f32(),
                    }
                })
                .collect();
            tensors.insert(name.clone(), Tensor { name, dtype, shape, values });
        }
        Ok(Checkpoint { config: config.clone(), tensors })
    }
}

fn names(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (d, m, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let kv = config.num_key_value_heads * config.head_dim();
    let mut all = vec![("lm_head.weight".to_string(), vec![v, d])];
    let stack = |all: &mut Vec<(String, Vec<usize>)>, prefix: String, layers: usize| {
        all.push((format!("{prefix}norm.weight"), vec![d]));
        for i in 0..layers {
            for (name, shape) in [
                ("input_layernorm", vec![d]),
                ("self_attn.q_proj", vec![d, d]),
                ("self_attn.k_proj", vec![kv, d]),
                ("self_attn.v_proj", vec![kv, d]),
                ("self_attn.o_proj", vec![d, d]),
                ("post_attention_layernorm", vec![d]),
                ("mlp.gate_proj", vec![m, d]),
                ("mlp.up_proj", vec![m, d]),
                ("mlp.down_proj", vec![d, m]),
            ] {
                all.push((format!("{prefix}layers.{i}.{name}.weight"), shape));
            }
        }
    };
    if let Some(layers) = config.layers {
        all.push(("embed_tokens.weight".into(), vec![v, d]));
        stack(&mut all, String::new(), layers);
        return all;
    }
    all.push(("encoder.embed_tokens.weight".into(), vec![v, config.encoder_embedding_size]));
    all.push(("decoder.embed_tokens.weight".into(), vec![v, d]));
    for l in 1..=config.depth() {
        let level = config.level(l);
        if level.chunker == Chunker::Linear {
            let width = config.chunk_input(l);
            all.push((format!("encoder.levels.{l}.chunker.norm.weight"), vec![width]));
            all.push((format!("encoder.levels.{l}.chunker.proj.weight"), vec![d, width]));
            all.push((format!("encoder.levels.{l}.chunker.proj.bias"), vec![d]));
        }
        let r = level.prefix_length;
        all.push((format!("decoder.levels.{l}.start"), vec![d]));
        all.push((format!("decoder.levels.{l}.converter.weight"), vec![r * d, d]));
        all.push((format!("decoder.levels.{l}.converter.bias"), vec![r * d]));
        stack(&mut all, format!("encoder.levels.{l}."), level.encoder_layers);
        stack(&mut all, format!("decoder.levels.{l}."), level.decoder_layers);
    }
    all
}
