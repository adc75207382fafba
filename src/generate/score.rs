//! Log-probabilities of a given text in each mode.

use crate::backend::{Backend, KvCache, RowMap};
use crate::error::{Error, Result};
use crate::model::hierarchy::Feed;
use crate::model::{Carry, Content, Photon, State, Work, fit};

use super::{Engine, Mode, Network};

/// A text being scored, one block of meta-contexts after another.
struct Scoring<'a, B: Backend> {
    model: &'a Photon<B>,
    backend: &'a B,
    work: Work<B>,
    state: State<B>,
    carry: Carry<B>,
    /// The text, padded to whole meta-contexts.
    tokens: Vec<u32>,
    /// `tokens`, with the padding marked as not to be scored.
    targets: Vec<u32>,
    log_probs: Vec<f32>,
    /// `X̂_{L-1}` of the meta-contexts of a block, RecGen only.
    evolved: B::Buffer,
}

impl<B: Backend> Engine<B> {
    /// Natural log-probability of each token given those before it, as `mode` predicts it.
    ///
    /// `prompt` is the length of the part that is known, for RecGen: it is scored as HierGen scores it, and from
    /// there on the latents evolve on their own. It must be a multiple of the meta-context; the other modes ignore
    /// it. `progress(done, total)` counts tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] for a token out of the vocabulary, `refresh = 0`, or a RecGen prompt that is longer than
    /// the text or not a multiple of the meta-context. [`Error::Checkpoint`] where the model computes NaN.
    pub fn score(
        &self,
        tokens: &[u32],
        mode: Mode,
        prompt: usize,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Vec<f32>> {
        self.check_tokens("text", tokens)?;
        let c = self.config().meta_context();
        if matches!(mode, Mode::RecGen { .. }) {
            if !prompt.is_multiple_of(c) {
                return Err(Error::argument(format!(
                    "prompt_tokens is {prompt}; a RecGen score needs a multiple of the meta-context, {c} tokens"
                )));
            }
            if prompt > tokens.len() {
                return Err(Error::argument(format!(
                    "prompt_tokens is {prompt}, but the text has {} tokens",
                    tokens.len()
                )));
            }
        }
        let mode = mode.settle(self.config())?;
        let mut progress = |done: usize| progress(done.min(tokens.len()), tokens.len());
        let scores = self.backend.enter(|| {
            let model = match &self.network {
                Network::Hierarchical(model) => model,
                Network::Flat(model) => return model.score(&self.backend, tokens, &mut progress),
            };
            let mut scoring = Scoring::new(model, &self.backend, tokens)?;
            match mode {
                Mode::Exact => scoring.known(Feed::Encoder, tokens.len().div_ceil(c), &mut progress)?,
                Mode::HierGen => scoring.known(Feed::Own, tokens.len().div_ceil(c), &mut progress)?,
                Mode::RecGen { refresh } => {
                    scoring.known(Feed::Own, prompt / c, &mut progress)?;
                    scoring.open_loop(prompt / c, refresh, &mut progress)?;
                }
            }
            scoring.log_probs.truncate(tokens.len());
            Ok(scoring.log_probs)
        })?;
        match scores.iter().position(|score| score.is_nan()) {
            None => Ok(scores),
            Some(at) => Err(Error::Checkpoint(format!(
                "the log-probability of token {at} is not a number: the weights overflow in the forward pass"
            ))),
        }
    }
}

impl<'a, B: Backend> Scoring<'a, B> {
    fn new(model: &'a Photon<B>, backend: &'a B, tokens: &[u32]) -> Result<Self> {
        let metas = tokens.len().div_ceil(model.config.meta_context());
        let padded = metas * model.config.meta_context();
        let capacity: Vec<usize> = (1..=model.depth()).map(|l| metas * model.config.units(l)).collect();
        let pad = |with: u32| {
            let mut row = tokens.to_vec();
            row.resize(padded, with);
            row
        };
        Ok(Scoring {
            work: Work::new(model, backend)?,
            state: State::new(model, backend, &[capacity])?,
            carry: Carry::new(model, backend, 1)?,
            tokens: pad(0),
            targets: pad(u32::MAX),
            log_probs: vec![0.0; padded],
            evolved: backend.buffer(0)?,
            model,
            backend,
        })
    }

    /// Scores the first `metas` meta-contexts; the top level reads the true tokens.
    fn known(&mut self, feed: Feed, metas: usize, progress: &mut dyn FnMut(usize)) -> Result<()> {
        let (model, backend, c) = (self.model, self.backend, self.model.config.meta_context());
        let most = model.most_metas(backend);
        for first in (0..metas).step_by(most) {
            let n = [most.min(metas - first)];
            self.load(first, n[0])?;
            model.condition_first(backend, &mut self.work, &self.state, &[0], &n)?;
            model.encode(backend, &mut self.work, &mut self.state, &[0], &n)?;
            model.condition_rest(backend, &mut self.work, &n)?;
            model.unfold(backend, &mut self.work, &mut self.carry, &[0], &n, feed)?;
            self.score_chunks(first, n[0])?;
            progress((first + n[0]) * c);
        }
        Ok(())
    }

    /// Scores the meta-contexts from `first` on under latents that evolve on their own, but for a refresh.
    fn open_loop(
        &mut self,
        first: usize,
        refresh: Option<usize>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let (model, c) = (self.model, self.model.config.meta_context());
        let metas = self.tokens.len() / c;
        let most = model.most_metas(self.backend);
        let block = refresh.unwrap_or(most);
        for first in (first..metas).step_by(block) {
            let n = block.min(metas - first);
            self.evolve(n)?;
            for at in (0..n).step_by(most) {
                let m = most.min(n - at);
                self.load(first + at, m)?;
                self.unfold_evolved(at, m)?;
                self.score_chunks(first + at, m)?;
                progress((first + at + m) * c);
            }
            if refresh.is_some() && first + n < metas {
                self.reread(first, n)?;
            }
        }
        Ok(())
    }

    /// Runs level `L` alone through `n` meta-contexts; their `X̂_{L-1}` are kept in `evolved`.
    fn evolve(&mut self, n: usize) -> Result<()> {
        let (model, backend, top) = (self.model, self.backend, self.model.depth());
        let units = model.config.units(top - 1);
        fit(backend, &mut self.evolved, n * units * model.width)?;
        for i in 0..n {
            let Scoring { work, state, evolved, .. } = self;
            model.condition_first(backend, work, state, &[0], &[1])?;
            model.unfold_level(backend, work, top, 1, Feed::Own)?;
            let (rows, to) = (&work.decoded[top - 1], RowMap::from(i * units));
            backend.copy(rows, RowMap::DENSE, evolved, to, units, model.width)?;
            model.extend_top(backend, &mut work.activations, state, &[0], (rows, RowMap::DENSE))?;
        }
        Ok(())
    }

    /// Unfolds meta-contexts `at..at + n` of `evolved` down to level 2.
    fn unfold_evolved(&mut self, at: usize, n: usize) -> Result<()> {
        let (model, backend, top) = (self.model, self.backend, self.model.depth());
        let (work, carry, units) = (&mut self.work, &mut self.carry, model.config.units(top - 1));
        fit(backend, &mut work.decoded[top - 1], n * units * model.width)?;
        let (from, out) = (RowMap::from(at * units), &mut work.decoded[top - 1]);
        backend.copy(&self.evolved, from, out, RowMap::DENSE, n * units, model.width)?;
        model.shift(backend, work, carry, top - 1, &[0], &[n])?;
        model.unfold_below(backend, work, carry, &[0], &[n], Feed::Own, top - 1)
    }

    /// A refresh: the true tokens of `n` meta-contexts replace their reconstructions at the top.
    fn reread(&mut self, first: usize, n: usize) -> Result<()> {
        let (model, backend) = (self.model, self.backend);
        for cache in self.state.level(model.depth())? {
            cache.truncate(cache.len() - n)?;
        }
        let most = model.most_metas(backend);
        for at in (0..n).step_by(most) {
            let m = most.min(n - at);
            self.load(first + at, m)?;
            model.encode(backend, &mut self.work, &mut self.state, &[0], &[m])?;
        }
        Ok(())
    }

    /// Puts the tokens of `n` meta-contexts on the device.
    fn load(&mut self, first: usize, n: usize) -> Result<()> {
        let c = self.model.config.meta_context();
        self.work.fit_ids(self.backend, n * c)?;
        self.backend.write_ids(&self.tokens[first * c..(first + n) * c], &mut self.work.ids, 0)
    }

    /// Scores the tokens of `n` meta-contexts, which stand in `work.ids`, after the levels above were unfolded.
    fn score_chunks(&mut self, first: usize, n: usize) -> Result<()> {
        let (model, backend) = (self.model, self.backend);
        let (c, work) = (model.config.meta_context(), &mut self.work);
        let (own, above) = work.decoded.split_at_mut(1);
        fit(backend, &mut own[0], n * c * model.width)?;
        let h = model.latents_of(1, |l| &above[l - 1], &work.condition);
        let content = Content::Tokens(&model.decoder_embedding, &work.ids);
        let chunks = n * model.config.units(1);
        model.decoder[0].forward(backend, &mut work.activations, h, content, chunks, &mut own[0])?;
        let most = backend.pass_rows();
        for at in (0..n * c).step_by(most) {
            let range = first * c + at..first * c + (at + most).min(n * c);
            let (targets, out) = (&self.targets[range.clone()], &mut self.log_probs[range]);
            backend.log_probs(&model.lm_head, &own[0], RowMap::from(at), targets, out)?;
        }
        Ok(())
    }
}
