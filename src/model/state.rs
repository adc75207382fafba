//! What a batch of sequences remembers from one meta-context to the next.

use crate::backend::{Backend, KvCache, RowMap};
use crate::config::Condition;
use crate::error::{Error, Result};

use super::Photon;

/// `X̂_l` of the last unit before the next chunk, for levels `1..L` (`condition` = `previous` only).
pub struct Carry<B: Backend> {
    /// Index `l - 1`: one row per sequence.
    pub(crate) rows: Vec<B::Buffer>,
}

/// The persistent state of a batch: exactly the caches that its mode needs, and one latent a sequence.
///
/// Sequences are addressed by *lane*, their index in the batch.
pub struct State<B: Backend> {
    /// Index `l - 1`: the KV caches of encoder `F_l`, one per lane; `None` once dropped.
    pub(crate) caches: Vec<Option<Vec<B::Cache>>>,
    /// `X_L` (or what stands for it) of each lane's last meta-context; `s_L` before the first.
    pub(crate) latents: B::Buffer,
    /// A one for each lane: the units that most passes append.
    pub(crate) ones: Vec<usize>,
}

impl<B: Backend> State<B> {
    /// The state before the first token. `capacity[lane][l - 1]` units are allocated in advance.
    pub(crate) fn new(model: &Photon<B>, backend: &B, capacity: &[Vec<usize>]) -> Result<Self> {
        let lanes = capacity.len();
        let mut caches = Vec::with_capacity(model.depth());
        for l in 1..=model.depth() {
            let stack = &model.encoder[l - 1].stack;
            let level = capacity
                .iter()
                .map(|units| backend.cache(stack.depth(), stack.heads(), units[l - 1]))
                .collect::<Result<Vec<_>>>()?;
            caches.push(Some(level));
        }
        let mut latents = backend.buffer(lanes * model.width)?;
        backend.fill(&model.decoder[model.depth() - 1].start, &mut latents, RowMap::DENSE, lanes)?;
        Ok(State { caches, latents, ones: vec![1; lanes] })
    }

    /// The caches of `F_l`.
    ///
    /// # Errors
    /// If they have been dropped: the caller asked for an encoder that its mode does not keep.
    pub(crate) fn level(&mut self, l: usize) -> Result<&mut [B::Cache]> {
        Self::kept(&mut self.caches, l)
    }

    /// [`State::level`] while other fields are borrowed.
    pub(crate) fn kept(caches: &mut [Option<Vec<B::Cache>>], l: usize) -> Result<&mut [B::Cache]> {
        match &mut caches[l - 1] {
            Some(caches) => Ok(caches),
            None => Err(Error::Backend(format!("the encoder caches of level {l} were dropped"))),
        }
    }

    /// Frees the caches of every level below the top.
    pub(crate) fn drop_lower(&mut self) {
        let top = self.caches.len() - 1;
        for caches in &mut self.caches[..top] {
            *caches = None;
        }
    }

    /// Number of sequences.
    pub fn lanes(&self) -> usize {
        self.ones.len()
    }

    /// Bytes allocated for the keys and values of one sequence, in all levels kept.
    pub fn cache_bytes(&self, lane: usize) -> usize {
        self.caches.iter().flatten().map(|caches| caches[lane].bytes()).sum()
    }

    /// Units cached for one sequence in encoder level `l` (0 once dropped).
    pub fn cached_units(&self, lane: usize, l: usize) -> usize {
        self.caches[l - 1].as_ref().map_or(0, |caches| caches[lane].len())
    }
}

impl<B: Backend> Carry<B> {
    /// The carry before the first meta-context: the start latents. Empty under `condition` = `current`.
    pub(crate) fn new(model: &Photon<B>, backend: &B, lanes: usize) -> Result<Self> {
        if model.condition == Condition::Current {
            return Ok(Carry { rows: Vec::new() });
        }
        let rows = model.decoder[..model.depth() - 1]
            .iter()
            .map(|level| {
                let mut rows = backend.buffer(lanes * model.width)?;
                backend.fill(&level.start, &mut rows, RowMap::DENSE, lanes)?;
                Ok(rows)
            })
            .collect::<Result<_>>()?;
        Ok(Carry { rows })
    }
}
