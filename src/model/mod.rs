//! The forward pass of PHOTON, written once over a [`Backend`].
//!
//! [`Photon`] holds the weights; [`State`] what a batch of sequences remembers; [`Work`] the memory that a pass
//! works in. `hierarchy` puts the levels together.

mod buffers;
mod decoder;
mod encoder;
mod flat;
pub(crate) mod hierarchy;
mod index;
mod stack;
mod state;

pub(crate) use buffers::Activations;
pub(crate) use decoder::{Content, LocalBuffer};
pub use flat::{Flat, FlatState};
pub(crate) use index::Index;
pub use state::{Carry, State};

use crate::backend::{Backend, Layout, LinearSpec};
use crate::checkpoint::Checkpoint;
use crate::config::{Condition, Config};
use crate::error::Result;

pub(crate) use buffers::fit;
use decoder::DecoderLevel;
use encoder::EncoderLevel;

/// The weights of a PHOTON (or Block Transformer) model on a backend.
pub struct Photon<B: Backend> {
    pub(crate) config: Config,
    pub(crate) encoder_embedding: B::Table,
    /// Index `l - 1`.
    pub(crate) encoder: Vec<EncoderLevel<B>>,
    /// Index `l - 1`.
    pub(crate) decoder: Vec<DecoderLevel<B>>,
    pub(crate) decoder_embedding: B::Table,
    pub(crate) lm_head: B::Linear,
    pub(crate) width: usize,
    pub(crate) condition: Condition,
}

impl<B: Backend> Photon<B> {
    /// Takes the weights of a checkpoint over.
    pub(crate) fn load(backend: &B, checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.config().clone();
        let levels = 1..=config.depth();
        Ok(Photon {
            encoder_embedding: backend.table(checkpoint.get("encoder.embed_tokens.weight")?)?,
            encoder: levels
                .clone()
                .map(|l| EncoderLevel::load(backend, checkpoint, l))
                .collect::<Result<_>>()?,
            decoder: levels.map(|l| DecoderLevel::load(backend, checkpoint, l)).collect::<Result<_>>()?,
            decoder_embedding: backend.table(checkpoint.get("decoder.embed_tokens.weight")?)?,
            lm_head: backend.linear(LinearSpec {
                norm: None,
                weights: &[checkpoint.get("lm_head.weight")?],
                bias: None,
                layout: Layout::Plain,
            })?,
            width: config.hidden_size,
            condition: config.condition,
            config,
        })
    }

    /// `L`.
    pub fn depth(&self) -> usize {
        self.encoder.len()
    }

    /// Meta-contexts that one pass through the level-1 encoder may hold.
    pub(crate) fn most_metas(&self, backend: &B) -> usize {
        (backend.pass_rows() / self.config.units(1)).max(1)
    }
}

/// The memory that passes work in: grows to what the largest pass needed.
///
/// Rows of several sequences lie one sequence after another, and within one in order of position.
pub struct Work<B: Backend> {
    pub(crate) activations: Activations<B>,
    /// Index `l - 1`: keys and values of live chunks.
    pub(crate) local: Vec<LocalBuffer<B>>,
    /// Index `l`: `X_l`, `l = 0..=L`.
    pub(crate) encoded: Vec<B::Buffer>,
    /// Index `l`: `X̂_l`, `l = 0..L`.
    pub(crate) decoded: Vec<B::Buffer>,
    /// Index `l - 1`: the latents that condition the chunks of level `l`.
    pub(crate) condition: Vec<B::Buffer>,
    /// The tokens of a pass.
    pub(crate) ids: B::Ids,
    ids_len: usize,
    index: Index,
}

impl<B: Backend> Work<B> {
    /// Nothing allocated yet.
    pub(crate) fn new(model: &Photon<B>, backend: &B) -> Result<Self> {
        let depth = model.depth();
        let buffers = |n: usize| (0..n).map(|_| backend.buffer(0)).collect::<Result<Vec<_>>>();
        Ok(Work {
            activations: Activations::new(backend, &model.config)?,
            local: (0..depth).map(|_| LocalBuffer::new()).collect(),
            encoded: buffers(depth + 1)?,
            decoded: buffers(depth)?,
            condition: buffers(depth)?,
            ids: backend.ids(0)?,
            ids_len: 0,
            index: Index::default(),
        })
    }

    /// Makes room for `n` tokens; the ids are lost when it has to grow.
    pub(crate) fn fit_ids(&mut self, backend: &B, n: usize) -> Result<()> {
        if n > self.ids_len {
            self.ids = backend.ids(n)?;
            self.ids_len = n;
        }
        Ok(())
    }
}
