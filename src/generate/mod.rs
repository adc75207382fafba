//! Generation and scoring in the three modes, for batches of sequences of any lengths.
//!
//! | mode | content at levels ≥ 2 | top-level input of the next meta-context | chunks of a meta-context |
//! |---|---|---|---|
//! | exact | encoder states | re-encoded tokens | one after another |
//! | hiergen | own outputs | re-encoded tokens | in parallel |
//! | recgen | own outputs | `chunk_L(X̂_{L-1})` | in parallel |
//!
//! All sequences of a batch advance by one meta-context at a time; each has its own prompt length, end and seed, and
//! gets the tokens that it would get alone.

mod batch;
mod exact;
mod flat;
mod flat_scoring;
mod hierarchical;
mod parallel;
mod pieces;
mod prefill;
mod score;
mod scoring;
mod undo;

pub use batch::Generation;
pub use score::ScoreRequest;

use crate::backend::Backend;
use crate::checkpoint::Checkpoint;
use crate::config::{Config, ModelType};
use crate::error::{Error, Result};
use crate::model::{Flat, Photon};
use crate::sampling::Sampling;

/// How the latents of a meta-context come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Chunks one after another, each encoded before the next begins.
    Exact,
    /// Chunks of a meta-context in parallel; its tokens are encoded before the next one (paper, Definition A.2).
    HierGen,
    /// Chunks in parallel; the top level continues from the decoder's own latents (paper, Definition A.3).
    RecGen {
        /// After every so many generated meta-contexts their tokens are encoded and replace the reconstructed top
        /// units; `None` never. 1 is HierGen.
        refresh: Option<usize>,
    },
}

impl Mode {
    /// The mode without what makes no difference: `refresh = 1` is HierGen, and so is RecGen of a single level,
    /// which has no latent bottleneck.
    ///
    /// # Errors
    /// [`Error::Argument`] for `refresh = 0`, and for a parallel mode of the flat baseline, which has `exact` only.
    pub fn settle(self, config: &Config) -> Result<Self> {
        if config.model_type == ModelType::Vanilla && self != Mode::Exact {
            return Err(Error::argument(format!("mode is {self}; a vanilla model has the mode exact only")));
        }
        match self {
            Mode::RecGen { refresh: Some(0) } => {
                Err(Error::argument("refresh is 0; it must be at least 1, or absent for never"))
            }
            Mode::RecGen { refresh: Some(1) } => Ok(Mode::HierGen),
            Mode::RecGen { .. } if config.depth() == 1 => Ok(Mode::HierGen),
            mode => Ok(mode),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mode::Exact => f.write_str("exact"),
            Mode::HierGen => f.write_str("hiergen"),
            Mode::RecGen { refresh: None } => f.write_str("recgen"),
            Mode::RecGen { refresh: Some(k) } => write!(f, "recgen, refresh {k}"),
        }
    }
}

/// What the top level of RecGen continues from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bottleneck {
    /// The decoder's reconstruction `X̂_{L-1}`.
    #[default]
    Reconstruction,
    /// The encoder's states `X_{L-1}` of the drawn tokens: the hypothesis of the paper's Theorem A.6, under which
    /// RecGen draws what HierGen draws. For study; keeps the lower encoders.
    EncoderStates,
}

/// One sequence to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Known tokens; may be empty.
    pub prompt: Vec<u32>,
    /// Tokens to generate at most.
    pub max_new_tokens: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Identity of the sequence in the random numbers' key: sequences of one batch should differ in it.
    pub sequence: u32,
}

/// A model on a backend, ready to generate and to score.
pub struct Engine<B: Backend> {
    backend: B,
    network: Network<B>,
}

/// The weights of either architecture.
enum Network<B: Backend> {
    Hierarchical(Photon<B>),
    Flat(Flat<B>),
}

impl<B: Backend> Engine<B> {
    /// Loads the weights into the backend.
    ///
    /// # Errors
    /// What the backend refuses.
    pub fn new(backend: B, checkpoint: &Checkpoint) -> Result<Self> {
        let network = match checkpoint.config().model_type {
            ModelType::Photon => Network::Hierarchical(Photon::load(&backend, checkpoint)?),
            ModelType::Vanilla => Network::Flat(Flat::load(&backend, checkpoint)?),
        };
        Ok(Engine { backend, network })
    }

    /// The configuration of the model.
    pub fn config(&self) -> &Config {
        match &self.network {
            Network::Hierarchical(model) => &model.config,
            Network::Flat(model) => &model.config,
        }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Checks that every token is in the vocabulary.
    fn check_tokens(&self, name: &str, tokens: &[u32]) -> Result<()> {
        let vocabulary = self.config().vocab_size;
        match tokens.iter().position(|&t| t as usize >= vocabulary) {
            None => Ok(()),
            Some(at) => Err(Error::argument(format!(
                "{name}: token {} at position {at} is not in the vocabulary; ids are below {vocabulary}",
                tokens[at]
            ))),
        }
    }
}

/// New tokens that caches are allocated for in advance. Beyond it they grow as they fill, so that an absurd
/// `max_new_tokens` allocates nothing by itself.
fn capped(max_new_tokens: usize) -> usize {
    max_new_tokens.min(1 << 16)
}
