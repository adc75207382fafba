//! `config.json`: the shape of a model, validated before anything else looks at it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, one_line};

/// Which of the two architectures a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelType {
    /// Hierarchical: PHOTON, and the Block Transformer as its case `L = 1`.
    Photon,
    /// One LLaMA stack over tokens: the flat baseline (`levels: []`, `layers` set).
    Vanilla,
}

/// How the units of a chunk become the one input vector of the level above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chunker {
    /// The rows one after another, no parameters; needs `C_l · D_in = d`.
    Concat,
    /// `W · RMSNorm(concat) + b`.
    Linear,
}

/// Which latent conditions chunk `g` of a level below the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// `X̂_l[g-1]`: the paper's indexing.
    Previous,
    /// `X̂_l[g]`: predicted from everything before the chunk.
    #[default]
    Current,
}

/// One level of the hierarchy, counted from the tokens upwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// `C_l`: units of the level below in one chunk.
    pub chunk_length: usize,
    /// How a chunk becomes one vector.
    pub chunker: Chunker,
    /// Layers of the context encoder `F_l`.
    pub encoder_layers: usize,
    /// Layers of the local decoder `G_l`.
    pub decoder_layers: usize,
    /// `R_l`: rows that the converter puts before the content of a chunk.
    pub prefix_length: usize,
}

impl Level {
    /// Rows that a local decoder of this level ever sees: `R_l + C_l - 1`.
    pub fn window(&self) -> usize {
        self.prefix_length + self.chunk_length - 1
    }
}

/// The shape of a model, as `config.json` spells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct Config {
    /// PHOTON (Block Transformer included) or the flat baseline.
    pub model_type: ModelType,
    /// `V`: token ids are `0..V`.
    pub vocab_size: usize,
    /// `d`: the width of every stack.
    pub hidden_size: usize,
    /// Width of the SwiGLU hidden layer.
    pub intermediate_size: usize,
    /// `H`: query heads; `head_dim = d / H`.
    pub num_attention_heads: usize,
    /// `H_kv`: key/value heads; query head `h` reads KV head `h / (H / H_kv)`. The file may leave it out for `H`.
    pub num_key_value_heads: usize,
    /// `eps` of every RMSNorm; 1e-5 where the file has none.
    pub rms_norm_eps: f64,
    /// Base of the rotary angles; 10000 where the file has none.
    pub rope_theta: f64,
    /// `D0`: width of the encoder's token embedding (0 for the flat baseline). The file may leave it out for `d / C_1`.
    pub encoder_embedding_size: usize,
    /// Which latent conditions the chunks below the top level.
    pub condition: Condition,
    /// Levels `1..=L` from the tokens upwards; empty for the flat baseline.
    pub levels: Vec<Level>,
    /// Layers of the flat baseline; absent for PHOTON.
    pub layers: Option<usize>,
    /// Longest sequence, in tokens, that the model was made for. Informative: rotary positions have no table to overrun.
    pub max_position_embeddings: usize,
    /// Token that starts a text, if the tokenizer has one.
    pub bos_token_id: Option<u32>,
    /// Token that ends a text: generation of a sequence stops after it.
    pub eos_token_id: Option<u32>,
}

/// `config.json`, where keys can be absent. An explicit value is never a stand-in for an absent one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object of the model's settings")]
struct File {
    model_type: ModelType,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    #[serde(default = "default_eps")]
    rms_norm_eps: f64,
    #[serde(default = "default_theta")]
    rope_theta: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder_embedding_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    #[serde(default)]
    levels: Vec<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<usize>,
    #[serde(default = "default_positions")]
    max_position_embeddings: usize,
    bos_token_id: Option<u32>,
    eos_token_id: Option<u32>,
}

fn default_eps() -> f64 {
    1e-5
}

fn default_theta() -> f64 {
    1e4
}

fn default_positions() -> usize {
    4096
}

impl TryFrom<File> for Config {
    type Error = Error;

    fn try_from(file: File) -> Result<Self> {
        let photon = file.model_type == ModelType::Photon;
        let narrow = || match file.levels.first() {
            Some(first) if photon && first.chunk_length > 0 => file.hidden_size / first.chunk_length,
            _ => 0,
        };
        let config = Config {
            model_type: file.model_type,
            vocab_size: file.vocab_size,
            hidden_size: file.hidden_size,
            intermediate_size: file.intermediate_size,
            num_attention_heads: file.num_attention_heads,
            num_key_value_heads: file.num_key_value_heads.unwrap_or(file.num_attention_heads),
            rms_norm_eps: file.rms_norm_eps,
            rope_theta: file.rope_theta,
            encoder_embedding_size: file.encoder_embedding_size.unwrap_or_else(narrow),
            condition: file.condition.unwrap_or_default(),
            levels: file.levels,
            layers: file.layers,
            max_position_embeddings: file.max_position_embeddings,
            bos_token_id: file.bos_token_id,
            eos_token_id: file.eos_token_id,
        };
        config.validate()?;
        Ok(config)
    }
}

impl From<Config> for File {
    fn from(config: Config) -> Self {
        let photon = config.model_type == ModelType::Photon;
        File {
            model_type: config.model_type,
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_attention_heads: config.num_attention_heads,
            num_key_value_heads: Some(config.num_key_value_heads),
            rms_norm_eps: config.rms_norm_eps,
            rope_theta: config.rope_theta,
            encoder_embedding_size: photon.then_some(config.encoder_embedding_size),
            condition: photon.then_some(config.condition),
            levels: config.levels,
            layers: config.layers,
            max_position_embeddings: config.max_position_embeddings,
            bos_token_id: config.bos_token_id,
            eos_token_id: config.eos_token_id,
        }
    }
}

/// Upper bound of every size in a configuration: beyond it products of sizes could overflow, and no model is near it.
const LARGEST: usize = 1 << 24;
/// Upper bound of layers in all, and of `C_l`, `R_l`.
const DEEPEST: usize = 1 << 12;
/// Upper bound of parameters: with it, the bytes of all weights and caches of a sequence stay far from overflow.
const MOST_PARAMETERS: u128 = 1 << 44;
/// Longest `config.json` that is read.
const LONGEST_FILE: u64 = 1 << 20;

impl Config {
    /// Parses and validates `config.json`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key that is unknown, missing, of the wrong type or out of range.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let file: File = serde_path_to_error::deserialize(&mut json)
            .map_err(|e| Error::Config(one_line(e.to_string().trim_start_matches(".: "))))?;
        json.end().map_err(|e| Error::Config(one_line(&e.to_string())))?;
        file.try_into()
    }

    /// The text of `config.json`, with every key.
    pub fn to_json(&self) -> String {
        // A tree of numbers, strings and lists: there is nothing in it that could not be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads and validates a `config.json` file.
    ///
    /// # Errors
    /// As [`Config::from_json`], with the file's name.
    pub fn from_file(path: &std::path::Path) -> Result<Self> {
        let fail = |message: &str| Error::Config(format!("{}: {message}", path.display()));
        let about = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if !about.is_file() || about.len() > LONGEST_FILE {
            return Err(fail(&format!("not a regular file of at most {LONGEST_FILE} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(fail("the file is empty"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| fail(&format!("not UTF-8 text: {e}")))?;
        Self::from_json(text).map_err(|e| match e {
            Error::Config(message) => fail(&message),
            other => other,
        })
    }

    /// Checks every size and every relation between them.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Config(message));
        let positive = [
            ("vocab_size", self.vocab_size, LARGEST),
            ("hidden_size", self.hidden_size, LARGEST),
            ("intermediate_size", self.intermediate_size, LARGEST),
            ("num_attention_heads", self.num_attention_heads, LARGEST),
            ("num_key_value_heads", self.num_key_value_heads, LARGEST),
            ("max_position_embeddings", self.max_position_embeddings, usize::MAX),
        ];
        for (name, value, most) in positive {
            if value == 0 || value > most {
                return fail(format!("{name} is {value}; it must be in 1..={most}"));
            }
        }
        let (d, heads, kv) = (self.hidden_size, self.num_attention_heads, self.num_key_value_heads);
        if d % heads != 0 {
            return fail(format!("hidden_size {d} is not a multiple of num_attention_heads {heads}"));
        }
        if heads % kv != 0 {
            return fail(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {kv}"
            ));
        }
        if !self.head_dim().is_multiple_of(2) {
            return fail(format!(
                "head_dim {} = hidden_size / num_attention_heads is odd; RoPE needs it even",
                self.head_dim()
            ));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            return fail(format!(
                "rms_norm_eps is {}; it must be finite and not negative",
                self.rms_norm_eps
            ));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return fail(format!("rope_theta is {}; it must be finite and positive", self.rope_theta));
        }
        for (name, id) in [("bos_token_id", self.bos_token_id), ("eos_token_id", self.eos_token_id)] {
            if let Some(id) = id
                && id as usize >= self.vocab_size
            {
                return fail(format!("{name} is {id}, but vocab_size is {}", self.vocab_size));
            }
        }
        match self.model_type {
            ModelType::Vanilla => self.validate_vanilla()?,
            ModelType::Photon => self.validate_levels()?,
        }
        match self.count() {
            n if n > MOST_PARAMETERS => fail(format!(
                "vocab_size, hidden_size, intermediate_size and the levels make {n} parameters; at most {MOST_PARAMETERS} make sense"
            )),
            _ => Ok(()),
        }
    }

    fn validate_vanilla(&self) -> Result<()> {
        if !self.levels.is_empty() {
            return Err(Error::Config("levels must be empty for model_type vanilla".into()));
        }
        if self.encoder_embedding_size != 0 {
            return Err(Error::Config(format!(
                "encoder_embedding_size is {}; it belongs to model_type photon",
                self.encoder_embedding_size
            )));
        }
        match self.layers {
            Some(n) if (1..=DEEPEST).contains(&n) => Ok(()),
            Some(n) => Err(Error::Config(format!("layers is {n}; it must be in 1..={DEEPEST}"))),
            None => Err(Error::Config("layers is missing; model_type vanilla needs it".into())),
        }
    }

    fn validate_levels(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Config(message));
        if self.layers.is_some() {
            return fail("layers belongs to model_type vanilla; photon counts layers per level".into());
        }
        if self.levels.is_empty() || self.levels.len() > 16 {
            return fail(format!("levels has {} entries; it must have 1..=16", self.levels.len()));
        }
        if self.encoder_embedding_size == 0 || self.encoder_embedding_size > LARGEST {
            return fail(format!(
                "encoder_embedding_size is {}; it must be in 1..={LARGEST}",
                self.encoder_embedding_size
            ));
        }
        let mut meta = 1usize;
        let mut layers = 0;
        for (index, level) in self.levels.iter().enumerate() {
            let l = index + 1;
            let counts = [
                ("chunk_length", level.chunk_length, 1),
                ("prefix_length", level.prefix_length, 1),
                ("encoder_layers", level.encoder_layers, 0),
                ("decoder_layers", level.decoder_layers, 0),
            ];
            for (name, value, least) in counts {
                if value < least || value > DEEPEST {
                    return fail(format!(
                        "levels[{index}].{name} is {value}; it must be in {least}..={DEEPEST}"
                    ));
                }
            }
            let width = self.chunk_input(l);
            if level.chunker == Chunker::Concat && width != self.hidden_size {
                return fail(format!(
                    "levels[{index}].chunker is concat, but chunk_length {} times input width {} is {width}, not hidden_size {}",
                    level.chunk_length,
                    self.input_width(l),
                    self.hidden_size
                ));
            }
            meta = meta.saturating_mul(level.chunk_length);
            layers += level.encoder_layers + level.decoder_layers;
        }
        if layers > DEEPEST {
            return fail(format!("levels have {layers} layers in all; at most {DEEPEST} make sense"));
        }
        if meta > 1 << 20 {
            return fail(format!(
                "a meta-context of {meta} tokens is too long; the product of chunk_length must be at most 1048576"
            ));
        }
        Ok(())
    }

    /// Learned parameters, the start latents included.
    pub fn parameters(&self) -> u64 {
        // A valid configuration is far below.
        u64::try_from(self.count()).unwrap_or(u64::MAX)
    }

    /// Parameters of a configuration whose single sizes are in range.
    fn count(&self) -> u128 {
        let (v, d, hidden) =
            (self.vocab_size as u128, self.hidden_size as u128, self.intermediate_size as u128);
        let kv = (self.num_key_value_heads * self.head_dim()) as u128;
        let layer = 2 * d * d + 2 * kv * d + 3 * d * hidden + 2 * d;
        let stack = |layers: usize| layers as u128 * layer + d;
        if let Some(layers) = self.layers {
            return 2 * v * d + stack(layers);
        }
        let embeddings = v * (self.encoder_embedding_size as u128 + 2 * d);
        let levels = (1..).zip(&self.levels).map(|(l, level)| {
            let width = self.chunk_input(l) as u128;
            let chunker = if level.chunker == Chunker::Linear { width + d * width + d } else { 0 };
            let rows = level.prefix_length as u128 * d;
            chunker + stack(level.encoder_layers) + d + rows * d + rows + stack(level.decoder_layers)
        });
        embeddings + levels.sum::<u128>()
    }

    /// `head_dim = d / H`.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// `L`: the number of levels (0 for the flat baseline).
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Level `l`, counted from 1 as in the paper.
    pub fn level(&self, l: usize) -> &Level {
        &self.levels[l - 1]
    }

    /// `D_in` of level `l`: the width of one unit of level `l - 1` on the encoder side.
    pub fn input_width(&self, l: usize) -> usize {
        if l == 1 { self.encoder_embedding_size } else { self.hidden_size }
    }

    /// `C_l · D_in`: the width of one concatenated chunk of level `l`.
    pub fn chunk_input(&self, l: usize) -> usize {
        self.level(l).chunk_length * self.input_width(l)
    }

    /// `C = C_1 · … · C_L`: tokens in one meta-context (1 for the flat baseline).
    pub fn meta_context(&self) -> usize {
        self.units(0)
    }

    /// `C_{l+1} · … · C_L`: units of level `l` in one meta-context; `units(0)` counts tokens, `units(L)` is 1.
    pub fn units(&self, l: usize) -> usize {
        self.levels[l..].iter().map(|level| level.chunk_length).product()
    }
}

#[cfg(test)]
mod tests;
