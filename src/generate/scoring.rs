//! How a batch of given texts passes through a hierarchy, and is scored on the way.

use crate::backend::{Backend, KvCache, RowMap};
use crate::error::Result;
use crate::model::hierarchy::Feed;
use crate::model::{Carry, Content, Index, Photon, State, Work, fit};

use super::pieces::{Piece, lanes_and_lengths, passes, whole};
use super::{Mode, ScoreRequest};

/// Texts being scored, one pass of meta-contexts after another. A text that ends inside a meta-context is padded: the
/// model is causal, so what the padding is does not matter.
struct Scoring<'a, B: Backend> {
    model: &'a Photon<B>,
    backend: &'a B,
    requests: &'a [ScoreRequest<'a>],
    work: Work<B>,
    state: State<B>,
    carry: Carry<B>,
    /// The tokens of a pass.
    tokens: Vec<u32>,
    /// `tokens`, with the padding marked as not to be scored.
    targets: Vec<u32>,
    /// The scores of a pass.
    scores: Vec<f32>,
    /// For each lane, those of its tokens so far.
    log_probs: Vec<Vec<f32>>,
    /// `X̂_{L-1}` of the meta-contexts of a pass, RecGen only: lane after lane.
    evolved: B::Buffer,
    /// Told the tokens scored so far.
    progress: &'a mut (dyn FnMut(usize) + Send),
}

impl<B: Backend> Photon<B> {
    /// [`super::Engine::score_batch`] of checked requests in a settled mode.
    pub(super) fn score(
        &self,
        backend: &B,
        requests: &[ScoreRequest<'_>],
        mode: Mode,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Vec<Vec<f32>>> {
        let c = self.config.meta_context();
        let all = |request: &ScoreRequest<'_>| request.tokens.len().div_ceil(c);
        let prompts = |request: &ScoreRequest<'_>| request.prompt / c;
        // Without refresh, RecGen encodes tokens of the prompts alone.
        let encoded =
            |request| if mode == (Mode::RecGen { refresh: None }) { prompts(request) } else { all(request) };
        let capacity: Vec<Vec<usize>> = requests
            .iter()
            .map(|r| {
                let metas = |l| if l == self.depth() { all(r) } else { encoded(r) };
                (1..=self.depth()).map(|l| metas(l) * self.config.units(l)).collect()
            })
            .collect();
        let mut scoring = Scoring {
            model: self,
            backend,
            requests,
            work: Work::new(self, backend)?,
            state: State::new(self, backend, &capacity)?,
            carry: Carry::new(self, backend, requests.len())?,
            tokens: Vec::new(),
            targets: Vec::new(),
            scores: Vec::new(),
            log_probs: requests.iter().map(|r| Vec::with_capacity(r.tokens.len())).collect(),
            evolved: backend.buffer(0)?,
            progress,
        };
        match mode {
            Mode::Exact => scoring.known(Feed::Encoder, all)?,
            Mode::HierGen => scoring.known(Feed::Own, all)?,
            Mode::RecGen { refresh } => {
                scoring.known(Feed::Own, prompts)?;
                let rest = |(lane, request)| {
                    let first = prompts(request);
                    Piece { lane, first, len: all(request) - first }
                };
                scoring.open_loop(&requests.iter().enumerate().map(rest).collect::<Vec<_>>(), refresh)?;
            }
        }
        Ok(scoring.log_probs)
    }
}

impl<B: Backend> Scoring<'_, B> {
    /// Scores the first `metas(request)` meta-contexts of each text; the top level reads the true tokens.
    fn known(&mut self, feed: Feed, metas: impl Fn(&ScoreRequest<'_>) -> usize) -> Result<()> {
        let (model, backend) = (self.model, self.backend);
        let most = model.most_metas(backend);
        let pieces = whole(self.requests.iter().map(metas), most);
        for pass in passes(&pieces, most) {
            let (lanes, metas) = lanes_and_lengths(pass);
            self.load(pass)?;
            let Self { work, state, carry, .. } = self;
            model.condition_first(backend, work, state, &lanes, &metas)?;
            model.encode(backend, work, state, &lanes, &metas)?;
            model.condition_rest(backend, work, &metas)?;
            model.unfold(backend, work, carry, &lanes, &metas, feed)?;
            self.score_chunks(pass)?;
        }
        Ok(())
    }

    /// Scores the meta-contexts of `rest`, what lies behind each lane's prompt, under latents that evolve on their own
    /// but for a refresh. As many lanes as a pass holds advance side by side.
    fn open_loop(&mut self, rest: &[Piece], refresh: Option<usize>) -> Result<()> {
        let most = self.model.most_metas(self.backend);
        rest.chunks(most).try_for_each(|rest| self.open_loop_together(rest, refresh, most))
    }

    /// [`Self::open_loop`] of at most `most` lanes, which are one pass.
    fn open_loop_together(&mut self, rest: &[Piece], refresh: Option<usize>, most: usize) -> Result<()> {
        let mut at = 0;
        loop {
            let going: Vec<Piece> = rest.iter().copied().filter(|piece| piece.len > at).collect();
            if let Some(k) = refresh
                && at > 0
                && at.is_multiple_of(k)
            {
                self.reread(&going, at - k, k)?;
            }
            if going.is_empty() {
                return Ok(());
            }
            let block = most / going.len();
            let block = refresh.map_or(block, |k| block.min(k - at % k));
            let part =
                |piece: Piece| Piece { first: piece.first + at, len: block.min(piece.len - at), ..piece };
            let pass: Vec<Piece> = going.into_iter().map(part).collect();
            debug_assert!(
                pass.iter().map(|piece| piece.len).sum::<usize>() <= most,
                "more than a pass holds"
            );
            self.evolve(&pass)?;
            self.load(&pass)?;
            self.unfold_evolved(&pass)?;
            self.score_chunks(&pass)?;
            at += block;
        }
    }

    /// Runs level `L` alone through the meta-contexts of a pass; their `X̂_{L-1}` are left in `evolved`.
    fn evolve(&mut self, pass: &[Piece]) -> Result<()> {
        let (model, backend, top) = (self.model, self.backend, self.model.depth());
        let units = model.config.units(top - 1);
        let (_, metas) = lanes_and_lengths(pass);
        let mut index = Index::default();
        index.starts(&metas, units);
        fit(backend, &mut self.evolved, metas.iter().sum::<usize>() * units * model.width)?;
        let ones = vec![1; pass.len()];
        let longest = metas.iter().copied().max().unwrap_or(0);
        let (mut lanes, mut rows) = (Vec::new(), Vec::new());
        for j in 0..longest {
            lanes.clear();
            rows.clear();
            for (piece, start) in pass.iter().zip(&index.from).filter(|(piece, _)| piece.len > j) {
                lanes.push(piece.lane);
                rows.extend(start + j * units..start + (j + 1) * units);
            }
            let Scoring { work, state, evolved, .. } = self;
            model.condition_first(backend, work, state, &lanes, &ones[..lanes.len()])?;
            model.unfold_level(backend, work, top, lanes.len(), Feed::Own)?;
            let own = &work.decoded[top - 1];
            backend.copy(own, RowMap::DENSE, evolved, RowMap::List(&rows), rows.len(), model.width)?;
            model.extend_top(backend, &mut work.activations, state, &lanes, (own, RowMap::DENSE))?;
        }
        Ok(())
    }

    /// Unfolds the meta-contexts of a pass, evolved before, down to level 2.
    fn unfold_evolved(&mut self, pass: &[Piece]) -> Result<()> {
        let (model, backend, below) = (self.model, self.backend, self.model.depth() - 1);
        let (lanes, metas) = lanes_and_lengths(pass);
        let Scoring { work, carry, evolved, .. } = self;
        std::mem::swap(evolved, &mut work.decoded[below]);
        model.shift(backend, work, carry, below, &lanes, &metas)?;
        model.unfold_below(backend, work, carry, &lanes, &metas, Feed::Own, below)
    }

    /// A refresh: the true tokens of meta-contexts `from..from + n` of each of `rest` replace their reconstructions at
    /// the top.
    fn reread(&mut self, rest: &[Piece], from: usize, n: usize) -> Result<()> {
        let (model, backend) = (self.model, self.backend);
        let top = self.state.level(model.depth())?;
        for piece in rest {
            let cache = &mut top[piece.lane];
            cache.truncate(cache.len() - n)?;
        }
        let most = model.most_metas(backend);
        let part = |&piece: &Piece| Piece { first: piece.first + from, len: n, ..piece }.split(most);
        let pieces: Vec<Piece> = rest.iter().flat_map(part).collect();
        for pass in passes(&pieces, most) {
            let (lanes, metas) = lanes_and_lengths(pass);
            self.load(pass)?;
            model.encode(backend, &mut self.work, &mut self.state, &lanes, &metas)?;
        }
        Ok(())
    }

    /// Puts the tokens of a pass on the device.
    fn load(&mut self, pass: &[Piece]) -> Result<()> {
        let c = self.model.config.meta_context();
        self.tokens.clear();
        self.targets.clear();
        for piece in pass {
            let text = self.requests[piece.lane].tokens;
            let known = &text[piece.first * c..((piece.first + piece.len) * c).min(text.len())];
            for (row, padding) in [(&mut self.tokens, 0), (&mut self.targets, u32::MAX)] {
                row.extend_from_slice(known);
                row.resize(row.len() + piece.len * c - known.len(), padding);
            }
        }
        self.work.fit_ids(self.backend, self.tokens.len())?;
        self.backend.write_ids(&self.tokens, &mut self.work.ids, 0)
    }

    /// Scores the tokens of a pass, which were loaded, after the levels above were unfolded.
    fn score_chunks(&mut self, pass: &[Piece]) -> Result<()> {
        let (model, backend, n) = (self.model, self.backend, self.tokens.len());
        let (c, work) = (model.config.meta_context(), &mut self.work);
        let (own, above) = work.decoded.split_at_mut(1);
        fit(backend, &mut own[0], n * model.width)?;
        let h = model.latents_of(1, |l| &above[l - 1], &work.condition);
        let content = Content::Tokens(&model.decoder_embedding, &work.ids);
        let chunks = n / model.config.level(1).chunk_length;
        model.decoder[0].forward(backend, &mut work.activations, h, content, chunks, &mut own[0])?;
        self.scores.resize(n, 0.0);
        let most = backend.pass_rows();
        for at in (0..n).step_by(most) {
            let range = at..(at + most).min(n);
            let (targets, out) = (&self.targets[range.clone()], &mut self.scores[range]);
            backend.log_probs(&model.lm_head, &own[0], RowMap::from(at), targets, out)?;
        }
        let mut scores = &self.scores[..];
        for piece in pass {
            let (own, others) = scores.split_at(piece.len * c);
            let (text, lane) = (self.requests[piece.lane].tokens, &mut self.log_probs[piece.lane]);
            lane.extend_from_slice(&own[..own.len().min(text.len() - lane.len())]);
            scores = others;
        }
        (self.progress)(self.log_probs.iter().map(Vec::len).sum());
        Ok(())
    }
}
