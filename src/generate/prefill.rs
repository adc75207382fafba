//! Reading prompts: whole meta-contexts of a ragged batch, in blocks of bounded size.

use crate::backend::Backend;
use crate::config::Condition;
use crate::error::Result;
use crate::model::hierarchy::Feed;
use crate::model::{Carry, Photon, State, Work};

/// A run of consecutive meta-contexts of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    lane: usize,
    first: usize,
    metas: usize,
}

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
            plain.extend(split(Piece { lane, first: 0, metas: metas - tail }, self.most_metas(backend)));
            last.extend((tail > 0).then_some(Piece { lane, first: metas - tail, metas: tail }));
        }
        let mut done = 0;
        for (pieces, unfold) in [(plain, false), (last, true)] {
            for group in grouped(&pieces, self.most_metas(backend)) {
                let lanes: Vec<usize> = group.iter().map(|p| p.lane).collect();
                let metas: Vec<usize> = group.iter().map(|p| p.metas).collect();
                let tokens: Vec<u32> = group
                    .iter()
                    .flat_map(|p| &prompts[p.lane][p.first * c..(p.first + p.metas) * c])
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

/// Cuts a piece into pieces of at most `most` meta-contexts.
fn split(piece: Piece, most: usize) -> impl Iterator<Item = Piece> {
    (0..piece.metas).step_by(most).map(move |at| Piece {
        lane: piece.lane,
        first: piece.first + at,
        metas: most.min(piece.metas - at),
    })
}

/// Consecutive pieces that fit in one pass together, each lane at most once in a pass.
fn grouped(pieces: &[Piece], most: usize) -> Vec<&[Piece]> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut total = 0;
    for (i, piece) in pieces.iter().enumerate() {
        let repeated = i > start && pieces[i - 1].lane == piece.lane;
        if i > start && (total + piece.metas > most || repeated) {
            groups.push(&pieces[start..i]);
            (start, total) = (i, 0);
        }
        total += piece.metas;
    }
    if start < pieces.len() {
        groups.push(&pieces[start..]);
    }
    groups
}
