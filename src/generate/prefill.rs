//! Reading prompts: whole meta-contexts of a ragged batch, in blocks of bounded size.

use crate::backend::Backend;
use crate::config::Condition;
use crate::error::Result;
use crate::model::hierarchy::Feed;
use crate::model::{Carry, Photon, State, Work};

use super::pieces::{Piece, lanes_and_lengths, passes};

/// The carries that a generation needs under `previous` when the prompts are read.
pub(super) struct Carries<B: Backend> {
    /// From encoder states: what `exact` continues with.
    pub exact: Carry<B>,
    /// From own outputs: what the parallel modes continue with.
    pub own: Carry<B>,
}

impl<B: Backend> Carries<B> {
    pub(super) fn new(model: &Photon<B>, backend: &B, lanes: usize) -> Result<Self> {
        Ok(Carries { exact: Carry::new(model, backend, lanes)?, own: Carry::new(model, backend, lanes)? })
    }
}

impl<B: Backend> Photon<B> {
    /// Encodes the whole meta-contexts of each lane's prompt and sets the carries; remainders are left to the caller.
    /// `progress` is told the tokens read so far.
    pub(super) fn prefill(
        &self,
        backend: &B,
        work: &mut Work<B>,
        state: &mut State<B>,
        carries: &mut Carries<B>,
        prompts: &[&[u32]],
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<()> {
        let c = self.config.meta_context();
        // Under `previous`, the carry after a prompt depends on X_L of its last L meta-contexts at most: every level
        // passes a dependence on by one unit, and L - 2 levels lie between the top one's exact start and level 1.
        // These are read last, in one piece a lane, and unfolded.
        let needed = if self.condition == Condition::Previous { self.depth() } else { 0 };
        let mut plain = Vec::new();
        let mut last = Vec::new();
        for (lane, prompt) in prompts.iter().enumerate() {
            let metas = prompt.len() / c;
            let tail = metas.min(needed);
            plain.extend(Piece { lane, first: 0, len: metas - tail }.split(self.most_metas(backend)));
            last.extend((tail > 0).then_some(Piece { lane, first: metas - tail, len: tail }));
        }
        let mut done = 0;
        for (pieces, unfold) in [(plain, false), (last, true)] {
            for pass in passes(&pieces, self.most_metas(backend)) {
                let (lanes, metas) = lanes_and_lengths(pass);
                let tokens: Vec<u32> = pass
                    .iter()
                    .flat_map(|p| &prompts[p.lane][p.first * c..(p.first + p.len) * c])
                    .copied()
                    .collect();
                work.fit_ids(backend, tokens.len())?;
                backend.write_ids(&tokens, &mut work.ids, 0)?;
                if unfold {
                    self.condition_first(backend, work, state, &lanes, &metas)?;
                }
                self.encode(backend, work, state, &lanes, &metas)?;
                if unfold {
                    self.condition_rest(backend, work, &metas)?;
                    self.unfold(backend, work, &mut carries.exact, &lanes, &metas, Feed::Encoder)?;
                    self.unfold(backend, work, &mut carries.own, &lanes, &metas, Feed::Own)?;
                }
                done += tokens.len();
                progress(done);
            }
        }
        Ok(())
    }
}
