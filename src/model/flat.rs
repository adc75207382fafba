//! The flat baseline: one LLaMA stack over tokens with its own growing KV cache.

use crate::backend::{Attention, Backend, KvCache, Layout, LinearSpec, RowMap};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::Result;

use super::buffers::Activations;
use super::stack::Stack;

/// The weights of a vanilla Transformer on a backend.
pub struct Flat<B: Backend> {
    pub(crate) config: Config,
    embedding: B::Table,
    pub(crate) stack: Stack<B>,
    pub(crate) lm_head: B::Linear,
}

/// What a batch of sequences remembers.
pub struct FlatState<B: Backend> {
    pub(crate) caches: Vec<B::Cache>,
    /// The last hidden row of each lane after the final norm. Zero before the first token, so that an empty text has
    /// the uniform distribution.
    pub(crate) latents: B::Buffer,
}

impl<B: Backend> Flat<B> {
    /// Takes the weights of a checkpoint over.
    pub(crate) fn load(backend: &B, checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.config().clone();
        Ok(Flat {
            embedding: backend.table(checkpoint.get("embed_tokens.weight")?)?,
            stack: Stack::load(backend, checkpoint, "", config.layers.unwrap_or(0))?,
            lm_head: backend.linear(LinearSpec {
                norm: None,
                weights: &[checkpoint.get("lm_head.weight")?],
                bias: None,
                layout: Layout::Plain,
            })?,
            config,
        })
    }

    /// Runs tokens `0..Σ rows` of `ids` through the stack, `rows[i]` of them continuing lane `lanes[i]`. The hidden
    /// rows are left in `activations.x`, before the final norm.
    pub(crate) fn append(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        state: &mut FlatState<B>,
        ids: &B::Ids,
        lanes: &[usize],
        rows: &[usize],
    ) -> Result<()> {
        let n = rows.iter().sum();
        activations.fit(backend, n)?;
        backend.embed(&self.embedding, ids, RowMap::DENSE, &mut activations.x, RowMap::DENSE, n)?;
        let mut attention = Attention::Stream { caches: &mut state.caches, lanes, rows };
        self.stack.run(backend, activations, n, &mut attention)
    }

    /// Final norm of `n` hidden rows `from(i)` of `activations.x`.
    pub(crate) fn finish(
        &self,
        backend: &B,
        activations: &Activations<B>,
        from: RowMap<'_>,
        n: usize,
        out: &mut B::Buffer,
        to: RowMap<'_>,
    ) -> Result<()> {
        backend.norm(&self.stack.norm, self.stack.eps, &activations.x, from, n, out, to)
    }
}

impl<B: Backend> FlatState<B> {
    /// The state before the first token, with room for `capacity[lane]` tokens.
    pub(crate) fn new(model: &Flat<B>, backend: &B, capacity: &[usize]) -> Result<Self> {
        let cache = |&units: &usize| backend.cache(model.stack.depth(), model.stack.heads(), units);
        Ok(FlatState {
            caches: capacity.iter().map(cache).collect::<Result<_>>()?,
            latents: backend.buffer(capacity.len() * model.config.hidden_size)?,
        })
    }

    /// Bytes allocated for the keys and values of one sequence.
    pub fn cache_bytes(&self, lane: usize) -> usize {
        self.caches[lane].bytes()
    }

    /// Tokens cached for one sequence.
    pub fn cached_tokens(&self, lane: usize) -> usize {
        self.caches[lane].len()
    }
}
