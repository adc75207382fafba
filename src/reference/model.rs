//! The parts of a model, and the encoder side.

use super::ops::{embed, linear, rms_norm};
use super::stack::{Stack, matrix, vector};
use super::{Real, Rows};
use crate::checkpoint::Checkpoint;
use crate::config::{self, Chunker, Condition, Config, ModelType};
use crate::error::{Error, Result};

/// A model with its weights in `S`; see the [module](super) for what its methods compute.
#[derive(Clone, Debug)]
pub struct Reference<S> {
    pub(super) config: Config,
    pub(super) body: Body<S>,
    /// LM head, `[V][d]`.
    pub(super) head: Rows<S>,
}

/// The two architectures.
#[derive(Clone, Debug)]
pub(super) enum Body<S> {
    Flat { table: Rows<S>, stack: Stack<S> },
    Hierarchy(Hierarchy<S>),
}

/// PHOTON, and with one level the Block Transformer.
#[derive(Clone, Debug)]
pub(super) struct Hierarchy<S> {
    /// Encoder embedding, `[V][D0]`.
    pub(super) encoder_table: Rows<S>,
    /// Decoder embedding, `[V][d]`.
    pub(super) decoder_table: Rows<S>,
    /// Levels 1..=L, the lowest first.
    pub(super) levels: Vec<Level<S>>,
    pub(super) condition: Condition,
}

/// One level of the hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Level<S> {
    pub(super) shape: config::Level,
    /// Absent where chunks are concatenated and nothing more.
    pub(super) chunker: Option<Projection<S>>,
    /// `F_l`.
    pub(super) encoder: Stack<S>,
    /// `s_l`.
    pub(super) start: Vec<S>,
    /// `U_l`: `[R_l · d][d]` and `[R_l · d]`.
    pub(super) converter: (Rows<S>, Vec<S>),
    /// `G_l`.
    pub(super) decoder: Stack<S>,
}

/// A linear chunker: `W · RMSNorm(x) + b`.
#[derive(Clone, Debug)]
pub(super) struct Projection<S> {
    pub(super) gain: Vec<S>,
    pub(super) weight: Rows<S>,
    pub(super) bias: Vec<S>,
    pub(super) eps: f64,
}

impl<S: Real> Reference<S> {
    /// Takes the weights of a checkpoint, rounded to `S`.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration is invalid, [`Error::Checkpoint`] naming a tensor that is missing or
    /// misshapen.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.config().clone();
        config.validate()?;
        let (v, d) = (config.vocab_size, config.hidden_size);
        let body = match config.model_type {
            ModelType::Vanilla => Body::Flat {
                table: matrix(checkpoint, "embed_tokens.weight", v, d)?,
                stack: Stack::load(checkpoint, "", config.layers.unwrap_or(0))?,
            },
            ModelType::Photon => Body::Hierarchy(Hierarchy {
                encoder_table: matrix(
                    checkpoint,
                    "encoder.embed_tokens.weight",
                    v,
                    config.encoder_embedding_size,
                )?,
                decoder_table: matrix(checkpoint, "decoder.embed_tokens.weight", v, d)?,
                levels: (1..=config.depth()).map(|l| Level::load(checkpoint, l)).collect::<Result<_>>()?,
                condition: config.condition,
            }),
        };
        Ok(Reference { head: matrix(checkpoint, "lm_head.weight", v, d)?, body, config })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The encoder's units `X_l` of a text, as `[l][unit][width]` for `l = 0..=L`: `X_0` are the embeddings of all
    /// tokens, and level `l` has the units that are complete, `⌊T / (C_1 · … · C_l)⌋`. The flat baseline has `X_0`
    /// only.
    ///
    /// # Errors
    /// [`Error::Argument`] for a token that is not in the vocabulary.
    pub fn encode(&self, tokens: &[u32]) -> Result<Vec<Rows<S>>> {
        self.check_tokens(tokens)?;
        Ok(match &self.body {
            Body::Flat { table, .. } => vec![embed(table, tokens)],
            Body::Hierarchy(hierarchy) => hierarchy.encode(tokens),
        })
    }

    /// Refuses ids that are not in the vocabulary.
    pub(super) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let size = self.config.vocab_size;
        match tokens.iter().position(|&id| id as usize >= size) {
            Some(at) => Err(Error::argument(format!("tokens[{at}] is {}; vocab_size is {size}", tokens[at]))),
            None => Ok(()),
        }
    }
}

impl<S: Real> Hierarchy<S> {
    /// `X_0 = E_enc[t]`, `X_l = F_l(chunk_l(X_{l-1}))`.
    pub(super) fn encode(&self, tokens: &[u32]) -> Vec<Rows<S>> {
        let mut units = vec![embed(&self.encoder_table, tokens)];
        for (below, level) in self.levels.iter().enumerate() {
            units.push(level.encoder.forward(level.chunk(&units[below])));
        }
        units
    }
}

impl<S: Real> Level<S> {
    /// Loads level `l`, counted from 1.
    fn load(checkpoint: &Checkpoint, l: usize) -> Result<Self> {
        let config = checkpoint.config();
        let shape = config.level(l).clone();
        let (d, rows, width) =
            (config.hidden_size, shape.prefix_length * config.hidden_size, config.chunk_input(l));
        let encoder = |name: &str| format!("encoder.levels.{l}.{name}");
        let decoder = |name: &str| format!("decoder.levels.{l}.{name}");
        let chunker = match shape.chunker {
            Chunker::Concat => None,
            Chunker::Linear => Some(Projection {
                gain: vector(checkpoint, &encoder("chunker.norm.weight"), width)?,
                weight: matrix(checkpoint, &encoder("chunker.proj.weight"), d, width)?,
                bias: vector(checkpoint, &encoder("chunker.proj.bias"), d)?,
                eps: config.rms_norm_eps,
            }),
        };
        Ok(Level {
            chunker,
            encoder: Stack::load(checkpoint, &encoder(""), shape.encoder_layers)?,
            start: vector(checkpoint, &decoder("start"), d)?,
            converter: (
                matrix(checkpoint, &decoder("converter.weight"), rows, d)?,
                vector(checkpoint, &decoder("converter.bias"), rows)?,
            ),
            decoder: Stack::load(checkpoint, &decoder(""), shape.decoder_layers)?,
            shape,
        })
    }

    /// `chunk_l`: the complete chunks of `units`, one row each.
    pub(super) fn chunk(&self, units: &[Vec<S>]) -> Rows<S> {
        let chunks = units.chunks_exact(self.shape.chunk_length).map(<[Vec<S>]>::concat);
        match &self.chunker {
            None => chunks.collect(),
            Some(Projection { gain, weight, bias, eps }) => {
                chunks.map(|x| linear(weight, Some(bias), &rms_norm(&x, gain, *eps))).collect()
            }
        }
    }

    /// `Y[R..]` of `Y = G_l([U; content])` with `U` converted from `latent`: the predictions of the chunk's first
    /// `content.len() + 1` units, of which `content` are those known.
    pub(super) fn predict(&self, latent: &[S], content: &[Vec<S>]) -> Rows<S> {
        let (weight, bias) = &self.converter;
        let converted = linear(weight, Some(bias), latent);
        let mut rows: Rows<S> = converted.chunks_exact(latent.len()).map(<[S]>::to_vec).collect();
        rows.extend_from_slice(content);
        self.decoder.forward(rows).split_off(self.shape.prefix_length - 1)
    }

    /// The chunk's `C_l` predictions where each is fed back as the content of the next.
    pub(super) fn predict_from_own(&self, latent: &[S]) -> Rows<S> {
        let mut content = Vec::new();
        loop {
            let predictions = self.predict(latent, &content);
            if predictions.len() == self.shape.chunk_length {
                return predictions;
            }
            content = predictions;
        }
    }
}
