//! The nine presets of the paper, the table of a model's modules, and what a token costs in cache.

use crate::checkpoint::{Dtype, layout};
use crate::config::{Chunker, Condition, Config, Level, ModelType};
use crate::error::{Error, Result};

/// Names that [`preset`] knows.
pub const NAMES: [&str; 9] = [
    "photon-600m",
    "photon-900m",
    "photon-1.2b",
    "block-600m",
    "block-900m",
    "block-1.2b",
    "vanilla-600m",
    "vanilla-900m",
    "vanilla-1.2b",
];

/// The configuration of one of the paper's models: PHOTON, Block Transformer or Vanilla Transformer at three sizes.
///
/// # Errors
/// [`Error::Argument`] that lists [`NAMES`].
pub fn preset(name: &str) -> Result<Config> {
    let unknown =
        || Error::argument(format!("preset {name:?} is unknown; it must be one of {}", NAMES.join(", ")));
    let (family, size) = name.split_once('-').ok_or_else(unknown)?;
    // Layers: those of each of PHOTON's four stacks; Block has two stacks of twice as many, Vanilla one of four times.
    let (d, hidden, layers) = match size {
        "600m" => (1664, 4096, 4),
        "900m" => (1792, 4608, 5),
        "1.2b" => (1920, 5120, 6),
        _ => return Err(unknown()),
    };
    let level = |chunker, layers| Level {
        chunk_length: 4,
        chunker,
        encoder_layers: layers,
        decoder_layers: layers,
        prefix_length: 2,
    };
    let (levels, condition) = match family {
        "photon" => {
            (vec![level(Chunker::Concat, layers), level(Chunker::Linear, layers)], Condition::Previous)
        }
        "block" => (vec![level(Chunker::Concat, 2 * layers)], Condition::Previous),
        "vanilla" => (vec![], Condition::default()),
        _ => return Err(unknown()),
    };
    let vanilla = levels.is_empty();
    Ok(Config {
        model_type: if vanilla { ModelType::Vanilla } else { ModelType::Photon },
        vocab_size: 32_000,
        hidden_size: d,
        intermediate_size: hidden,
        num_attention_heads: 32,
        num_key_value_heads: 32,
        rms_norm_eps: 1e-5,
        rope_theta: 1e4,
        encoder_embedding_size: if vanilla { 0 } else { d / 4 },
        condition,
        levels,
        layers: vanilla.then_some(4 * layers),
        max_position_embeddings: 4096,
        bos_token_id: None,
        eos_token_id: None,
    })
}

/// One line of a [`ModuleTable`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Module {
    /// What it is called, level included.
    pub name: String,
    /// Its learned parameters.
    pub parameters: u64,
}

/// The parameters of a model as the paper counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleTable {
    /// Modules in the order of the forward pass. A concatenating chunker has no line: it has no parameters.
    pub modules: Vec<Module>,
    /// Parameters of all modules.
    pub parameters: u64,
    /// Parameters of the start latents, which the paper does not count.
    pub start_latents: u64,
}

impl ModuleTable {
    /// Sorts the tensors of [`layout`] by module.
    pub fn new(config: &Config) -> Self {
        let mut table = ModuleTable { modules: vec![], parameters: 0, start_latents: 0 };
        for (tensor, shape) in layout(config) {
            let count = shape.iter().map(|&size| size as u64).product::<u64>();
            let Some(name) = module(&tensor) else {
                table.start_latents += count;
                continue;
            };
            table.parameters += count;
            match table.modules.iter_mut().find(|module| module.name == name) {
                Some(module) => module.parameters += count,
                None => table.modules.push(Module { name, parameters: count }),
            }
        }
        table
    }
}

/// The module of a tensor, or nothing for a start latent.
fn module(tensor: &str) -> Option<String> {
    let parts: Vec<&str> = tensor.split('.').collect();
    Some(match parts[..] {
        ["encoder", "embed_tokens", ..] => "encoder embedding".into(),
        ["decoder", "embed_tokens", ..] => "decoder embedding".into(),
        ["embed_tokens", ..] => "embedding".into(),
        ["lm_head", ..] => "LM head".into(),
        [_, "levels", _, "start"] => return None,
        [_, "levels", l, "chunker", ..] => format!("chunker {l}"),
        [_, "levels", l, "converter", ..] => format!("converter {l}"),
        ["encoder", "levels", l, ..] => format!("context encoder {l}"),
        ["decoder", "levels", l, ..] => format!("local decoder {l}"),
        _ => "transformer".into(),
    })
}

/// Cache bytes that one token of context adds, on average over a meta-context, in each mode.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct CacheBytes {
    /// `exact` keeps keys and values of every encoder.
    pub exact: f64,
    /// `hiergen` does too.
    pub hiergen: f64,
    /// `recgen` keeps those of the top level alone.
    pub recgen: f64,
}

/// Bytes of keys and values of one unit of level `l` (of one token of the flat baseline), stored as `dtype`.
pub fn unit_cache_bytes(config: &Config, l: usize, dtype: Dtype) -> u64 {
    let layers = match config.model_type {
        ModelType::Vanilla => config.layers.unwrap_or(0),
        ModelType::Photon => config.level(l).encoder_layers,
    };
    2 * (layers * config.num_key_value_heads * config.head_dim() * dtype.size()) as u64
}

/// What a token of context costs in each mode; the flat baseline costs the same in all.
pub fn cache_bytes_per_token(config: &Config, dtype: Dtype) -> CacheBytes {
    let depth = config.depth();
    if depth == 0 {
        let flat = unit_cache_bytes(config, 0, dtype) as f64;
        return CacheBytes { exact: flat, hiergen: flat, recgen: flat };
    }
    let per_meta_context = |l| unit_cache_bytes(config, l, dtype) * config.units(l) as u64;
    let tokens = config.meta_context() as f64;
    let all = (1..=depth).map(per_meta_context).sum::<u64>() as f64 / tokens;
    CacheBytes { exact: all, hiergen: all, recgen: per_meta_context(depth) as f64 / tokens }
}

#[cfg(test)]
mod tests;
