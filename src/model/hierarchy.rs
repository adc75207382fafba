//! The levels put together: bottom-up encoding and top-down unfolding of many meta-contexts at once.
//!
//! `lanes` are the sequences that take part and `metas[i]` the meta-contexts of the `i`-th; rows of a level lie lane
//! after lane.

use crate::backend::{Backend, RowMap};
use crate::config::Condition;
use crate::error::Result;

use super::buffers::Activations;
use super::{Carry, Content, Photon, State, Work, fit};

/// What the chunks of levels `2..=L` are fed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Encoder states: teacher forcing, `exact`.
    Encoder,
    /// Own outputs: what the parallel modes do.
    Own,
}

impl<B: Backend> Photon<B> {
    /// Encodes the tokens in `work.ids` bottom-up: fills `work.encoded[0..=L]`, extends the caches of all levels and
    /// sets the lanes' latents.
    pub(crate) fn encode(
        &self,
        backend: &B,
        work: &mut Work<B>,
        state: &mut State<B>,
        lanes: &[usize],
        metas: &[usize],
    ) -> Result<()> {
        let top = self.depth();
        self.encode_to(backend, work, state, lanes, metas, top)?;
        work.index.ends(metas, 1);
        let (from, to) = (RowMap::List(&work.index.from), RowMap::List(lanes));
        backend.copy(&work.encoded[top], from, &mut state.latents, to, lanes.len(), self.width)
    }

    /// [`Photon::encode`] up to level `top` only, without touching the latents.
    pub(crate) fn encode_to(
        &self,
        backend: &B,
        work: &mut Work<B>,
        state: &mut State<B>,
        lanes: &[usize],
        metas: &[usize],
        top: usize,
    ) -> Result<()> {
        let total: usize = metas.iter().sum();
        let tokens = total * self.config.units(0);
        fit(backend, &mut work.encoded[0], tokens * self.config.encoder_embedding_size)?;
        let embedding = &self.encoder_embedding;
        backend.embed(embedding, &work.ids, RowMap::DENSE, &mut work.encoded[0], RowMap::DENSE, tokens)?;
        for l in 1..=top {
            work.index.scaled(metas, self.config.units(l));
            fit(backend, &mut work.encoded[l], total * self.config.units(l) * self.width)?;
            let (below, out) = work.encoded.split_at_mut(l);
            self.encoder[l - 1].append(
                backend,
                &mut work.activations,
                state.level(l)?,
                lanes,
                &work.index.from,
                (&below[l - 1], RowMap::DENSE),
                (&mut out[0], RowMap::DENSE),
            )?;
        }
        Ok(())
    }

    /// Extends the top level of each lane by one unit, `F_L(chunk_L(rows))`, and sets the lanes' latents: chunk `i`
    /// of `rows` (rows of `C_L · D_in`) is at `from(i)`.
    pub(crate) fn extend_top(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        state: &mut State<B>,
        lanes: &[usize],
        (rows, from): (&B::Buffer, RowMap<'_>),
    ) -> Result<()> {
        let top = self.depth();
        let State { caches, latents, ones, .. } = state;
        let caches = State::<B>::kept(caches, top)?;
        let to = (latents, RowMap::List(lanes));
        let units = &ones[..lanes.len()];
        self.encoder[top - 1].append(backend, activations, caches, lanes, units, (rows, from), to)
    }

    /// Sets the conditioning latents of level `L` to each lane's latent: what the first of its next meta-contexts is
    /// conditioned on. They go to the first row of each lane. Call before [`Photon::encode`].
    pub(crate) fn condition_first(
        &self,
        backend: &B,
        work: &mut Work<B>,
        state: &State<B>,
        lanes: &[usize],
        metas: &[usize],
    ) -> Result<()> {
        let top = &mut work.condition[self.depth() - 1];
        fit(backend, top, metas.iter().sum::<usize>() * self.width)?;
        work.index.starts(metas, 1);
        let (from, to) = (RowMap::List(lanes), RowMap::List(&work.index.from));
        backend.copy(&state.latents, from, top, to, lanes.len(), self.width)
    }

    /// Sets the conditioning latents of level `L` for each lane's further meta-contexts: `X_L` shifted by one. Call
    /// after [`Photon::encode`].
    pub(crate) fn condition_rest(&self, backend: &B, work: &mut Work<B>, metas: &[usize]) -> Result<()> {
        work.index.shifted(metas, 1);
        let (x, top) = (&work.encoded[self.depth()], &mut work.condition[self.depth() - 1]);
        let index = &work.index;
        backend.copy(x, RowMap::List(&index.from), top, RowMap::List(&index.to), index.from.len(), self.width)
    }

    /// Unfolds the meta-contexts whose top conditioning latents stand in `work.condition[L - 1]` from level `L` down
    /// to level 2: fills `work.decoded[1..L]`, leaves level 1's conditioning ready
    /// ([`Photon::latents_of`]) and moves the carry on. With [`Feed::Encoder`] the content comes from
    /// `work.encoded`.
    pub(crate) fn unfold(
        &self,
        backend: &B,
        work: &mut Work<B>,
        carry: &mut Carry<B>,
        lanes: &[usize],
        metas: &[usize],
        feed: Feed,
    ) -> Result<()> {
        self.unfold_below(backend, work, carry, lanes, metas, feed, self.depth())
    }

    /// [`Photon::unfold`] from level `highest` on, whose conditioning latents are ready.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn unfold_below(
        &self,
        backend: &B,
        work: &mut Work<B>,
        carry: &mut Carry<B>,
        lanes: &[usize],
        metas: &[usize],
        feed: Feed,
        highest: usize,
    ) -> Result<()> {
        for l in (2..=highest).rev() {
            self.unfold_level(backend, work, l, metas.iter().sum(), feed)?;
            self.shift(backend, work, carry, l - 1, lanes, metas)?;
        }
        Ok(())
    }

    /// Level `l` of [`Photon::unfold`]: fills `work.decoded[l - 1]` from level `l`'s conditioning latents, for
    /// `total` meta-contexts.
    pub(crate) fn unfold_level(
        &self,
        backend: &B,
        work: &mut Work<B>,
        l: usize,
        total: usize,
        feed: Feed,
    ) -> Result<()> {
        let (chunks, level) = (total * self.config.units(l), &self.decoder[l - 1]);
        let (low, high) = work.decoded.split_at_mut(l);
        let low_len = low.len();
        let out = &mut low[l - 1];
        fit(backend, out, total * self.config.units(l - 1) * self.width)?;
        let h = self.latents_of(l, |l| &high[l - low_len], &work.condition);
        match feed {
            Feed::Own => level.unfold(backend, &mut work.activations, &mut work.local[l - 1], h, chunks, out),
            Feed::Encoder => {
                let content = Content::Rows(&work.encoded[l - 1]);
                level.forward(backend, &mut work.activations, h, content, chunks, out)
            }
        }
    }

    /// Under `previous`: the conditioning latents of level `l` from `X̂_l`, shifted by one unit, the carry first; the
    /// last unit becomes the new carry. Under `current` there is nothing to do.
    pub(crate) fn shift(
        &self,
        backend: &B,
        work: &mut Work<B>,
        carry: &mut Carry<B>,
        l: usize,
        lanes: &[usize],
        metas: &[usize],
    ) -> Result<()> {
        if self.condition == Condition::Current {
            return Ok(());
        }
        let (units, d, n) = (self.config.units(l), self.width, lanes.len());
        let rows = metas.iter().sum::<usize>() * units;
        let (target, source, carry) = (&mut work.condition[l - 1], &work.decoded[l], &mut carry.rows[l - 1]);
        fit(backend, target, rows * d)?;
        let (lanes, index) = (RowMap::List(lanes), &mut work.index);
        index.starts(metas, units);
        backend.copy(carry, lanes, target, RowMap::List(&index.from), n, d)?;
        index.shifted(metas, units);
        let (from, to) = (RowMap::List(&index.from), RowMap::List(&index.to));
        backend.copy(source, from, target, to, index.from.len(), d)?;
        index.ends(metas, units);
        backend.copy(source, RowMap::List(&index.from), carry, lanes, n, d)
    }

    /// The latents that condition the chunks of level `l`, one a chunk: `decoded(l)` or `condition[l - 1]`.
    pub(crate) fn latents_of<'w>(
        &self,
        l: usize,
        decoded: impl FnOnce(usize) -> &'w B::Buffer,
        condition: &'w [B::Buffer],
    ) -> &'w B::Buffer {
        match self.condition {
            Condition::Current if l < self.depth() => decoded(l),
            _ => &condition[l - 1],
        }
    }
}
