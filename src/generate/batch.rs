//! A batch of sequences under generation.

use crate::backend::{Backend, KvCache, RowMap};
use crate::error::{Error, Result};
use crate::model::hierarchy::Feed;
use crate::model::{Photon, State, Work};
use crate::sampling::{Draw, Sampling};

use super::exact::ExactMeta;
use super::prefill::Carries;
use super::{Bottleneck, Engine, Mode, Request};

/// What one sequence wants and has.
struct Sequence {
    sampling: Sampling,
    id: u32,
    wanted: usize,
    /// Known tokens of the meta-context that the prompt ends in; empty once it is complete.
    tail: Vec<u32>,
    /// Tokens in whole meta-contexts so far, the prompt's included.
    position: usize,
    tokens: Vec<u32>,
    finished: bool,
}

impl Sequence {
    fn draw(&self, t: usize) -> Draw {
        Draw {
            sampling: self.sampling,
            sequence: self.id,
            position: (self.position + t) as u64,
            forced: self.tail.get(t).copied(),
        }
    }

    /// Takes the drawn tokens of a meta-context over.
    fn accept(&mut self, drawn: &[u32], eos: Option<u32>) {
        for &token in &drawn[self.tail.len()..] {
            self.tokens.push(token);
            if self.tokens.len() == self.wanted || Some(token) == eos {
                self.finished = true;
                break;
            }
        }
        self.tail.clear();
        self.position += drawn.len();
    }
}

/// A batch under generation: [`Generation::step`] until it says that all sequences have ended.
pub struct Generation<'e, B: Backend> {
    engine: &'e Engine<B>,
    mode: Mode,
    bottleneck: Bottleneck,
    work: Work<B>,
    state: State<B>,
    carries: Carries<B>,
    sequences: Vec<Sequence>,
    /// Sequences that go on, in the order of the rows of a pass.
    live: Vec<usize>,
    /// Places in `live` order that go on after a meta-context.
    kept: Vec<usize>,
    /// The lanes that go on.
    going: Vec<usize>,
    /// One meta-context for each lane.
    ones: Vec<usize>,
    draws: Vec<Draw>,
    drawn: Vec<u32>,
    /// RecGen with refresh: the tokens generated since the last one, per lane.
    unread: Vec<Vec<u32>>,
    parallel_metas: usize,
}

impl<B: Backend> Engine<B> {
    /// Reads the prompts of a batch and prepares its generation. `progress(done, total)` is told how many prompt
    /// tokens are read.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the request's index, the argument and its value: a token out of the vocabulary, a
    /// sampling parameter out of range, `refresh = 0`.
    pub fn generate(
        &self,
        requests: &[Request],
        mode: Mode,
        bottleneck: Bottleneck,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Generation<'_, B>> {
        for (i, request) in requests.iter().enumerate() {
            self.check_tokens(&format!("request {i}"), &request.prompt)?;
            request.sampling.validate()?;
            if request.prompt.len().checked_add(request.max_new_tokens).is_none_or(|n| n > 1 << 40) {
                return Err(Error::argument(format!(
                    "request {i}: max_new_tokens is {}; prompt and new tokens together must stay below 2^40",
                    request.max_new_tokens
                )));
            }
        }
        self.backend.enter(|| Generation::start(self, requests, mode, bottleneck, progress))
    }
}

impl<'e, B: Backend> Generation<'e, B> {
    fn start(
        engine: &'e Engine<B>,
        requests: &[Request],
        mode: Mode,
        bottleneck: Bottleneck,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Self> {
        let (model, backend) = (&engine.model, &engine.backend);
        let mode = mode.settle(model.depth())?;
        let c = model.config.meta_context();
        let capacity: Vec<Vec<usize>> =
            requests.iter().map(|r| capacity(model, mode, bottleneck, r)).collect();
        let mut generation = Generation {
            engine,
            mode,
            bottleneck,
            work: Work::new(model, backend)?,
            state: State::new(model, backend, &capacity)?,
            carries: Carries::new(model, backend, requests.len())?,
            sequences: requests.iter().map(|r| sequence(r, c)).collect(),
            live: Vec::with_capacity(requests.len()),
            kept: Vec::with_capacity(requests.len()),
            going: Vec::with_capacity(requests.len()),
            ones: vec![1; requests.len()],
            draws: Vec::new(),
            drawn: Vec::new(),
            unread: vec![Vec::new(); requests.len()],
            parallel_metas: 0,
        };
        let prompts: Vec<&[u32]> = requests.iter().map(|r| &r.prompt[..]).collect();
        let total = prompts.iter().map(|p| p.len()).sum();
        let Generation { work, state, carries, .. } = &mut generation;
        model.prefill(backend, work, state, carries, &prompts, &mut |done| progress(done, total))?;
        progress(total, total);
        let finished = |s: &Sequence| s.finished;
        generation.live.extend((0..requests.len()).filter(|&i| !finished(&generation.sequences[i])));
        if generation.sequences.iter().all(|s| s.tail.is_empty()) {
            generation.drop_unneeded();
        }
        Ok(generation)
    }

    /// Generates one meta-context of every sequence that goes on; in the parallel modes, sequences whose prompt ends
    /// inside a meta-context complete that one first, alone. Returns whether any sequence goes on.
    pub fn step(&mut self) -> Result<bool> {
        if self.live.is_empty() {
            return Ok(false);
        }
        let engine = self.engine;
        engine.backend.enter(|| self.advance())?;
        Ok(!self.live.is_empty())
    }

    fn advance(&mut self) -> Result<()> {
        if self.mode == Mode::Exact {
            let lanes = std::mem::take(&mut self.live);
            let result = self.exact_meta(&lanes, false).and_then(|()| self.collect(&lanes));
            self.live = lanes;
            result?;
        } else if self.live.iter().any(|&i| !self.sequences[i].tail.is_empty()) {
            let lanes: Vec<usize> =
                self.live.iter().copied().filter(|&i| !self.sequences[i].tail.is_empty()).collect();
            self.exact_meta(&lanes, true)?;
            self.collect(&lanes)?;
            self.drop_unneeded();
        } else {
            self.parallel_meta()?;
        }
        let sequences = &self.sequences;
        self.live.retain(|&i| !sequences[i].finished);
        Ok(())
    }

    /// One meta-context in `exact` mode. With `unfold`, the carry of the parallel modes is moved past it too.
    fn exact_meta(&mut self, lanes: &[usize], unfold: bool) -> Result<()> {
        let (model, backend) = (&self.engine.model, &self.engine.backend);
        let Generation { work, state, carries, draws, sequences, ones, .. } = self;
        let metas = &ones[..lanes.len()];
        model.condition_first(backend, work, state, lanes, metas)?;
        let draw = |t: usize, draws: &mut Vec<Draw>| {
            draws.clear();
            draws.extend(lanes.iter().map(|&i| sequences[i].draw(t)));
        };
        let carry = &mut carries.exact;
        ExactMeta { model, backend, work, state, carry, lanes, draws }.run(&draw)?;
        if unfold {
            model.unfold(backend, work, &mut carries.own, lanes, metas, Feed::Own)?;
        }
        Ok(())
    }

    /// One meta-context of all live sequences with its chunks in parallel.
    fn parallel_meta(&mut self) -> Result<()> {
        let (model, backend) = (&self.engine.model, &self.engine.backend);
        let Generation { work, state, carries, draws, sequences, live, ones, .. } = self;
        let metas = &ones[..live.len()];
        model.condition_first(backend, work, state, live, metas)?;
        model.unfold(backend, work, &mut carries.own, live, metas, Feed::Own)?;
        let draw = |i: usize, t: usize| sequences[live[i]].draw(t);
        model.draw_chunks(backend, work, live.len(), draws, &draw)?;
        self.parallel_metas += 1;
        let lanes = std::mem::take(&mut self.live);
        let result = self.collect(&lanes).and_then(|()| self.close(&lanes));
        self.live = lanes;
        result
    }

    /// Fetches the tokens of a meta-context and gives each sequence its own.
    fn collect(&mut self, lanes: &[usize]) -> Result<()> {
        let config = &self.engine.model.config;
        let c = config.meta_context();
        self.drawn.resize(lanes.len() * c, 0);
        self.engine.backend.read_ids(&self.work.ids, 0, &mut self.drawn)?;
        for (drawn, &lane) in self.drawn.chunks_exact(c).zip(lanes) {
            self.sequences[lane].accept(drawn, config.eos_token_id);
        }
        Ok(())
    }

    /// Extends the top level past the meta-context just generated, for the sequences that go on.
    fn close(&mut self, lanes: &[usize]) -> Result<()> {
        let c = self.engine.model.config.meta_context();
        self.kept.clear();
        self.kept.extend((0..lanes.len()).filter(|&at| !self.sequences[lanes[at]].finished));
        self.going.clear();
        self.going.extend(self.kept.iter().map(|&at| lanes[at]));
        if self.kept.is_empty() {
            return Ok(());
        }
        let Mode::RecGen { refresh } = self.mode else {
            return self.read_back();
        };
        if let Some(k) = refresh {
            for (drawn, &lane) in self.drawn.chunks_exact(c).zip(lanes) {
                self.unread[lane].extend_from_slice(drawn);
            }
            if self.parallel_metas.is_multiple_of(k) {
                return self.refresh(k);
            }
        }
        if self.bottleneck == Bottleneck::EncoderStates {
            return self.extend_encoded();
        }
        let (model, backend) = (&self.engine.model, &self.engine.backend);
        let Generation { work, state, kept, going, .. } = self;
        let rows = (&work.decoded[model.depth() - 1], RowMap::List(kept));
        model.extend_top(backend, &mut work.activations, state, going, rows)
    }

    /// HierGen: encodes the meta-context that was just drawn.
    fn read_back(&mut self) -> Result<()> {
        self.write_kept()?;
        let (model, backend) = (&self.engine.model, &self.engine.backend);
        let Generation { work, state, going, ones, .. } = self;
        model.encode(backend, work, state, going, &ones[..going.len()])
    }

    /// Puts the tokens of the sequences that go on side by side on the device, where some have ended.
    fn write_kept(&mut self) -> Result<()> {
        let c = self.engine.model.config.meta_context();
        if self.kept.len() * c < self.drawn.len() {
            for (to, &at) in self.kept.iter().enumerate() {
                self.drawn.copy_within(at * c..(at + 1) * c, to * c);
            }
            self.engine.backend.write_ids(&self.drawn[..self.kept.len() * c], &mut self.work.ids, 0)?;
        }
        Ok(())
    }

    /// Encodes the tokens of the last `k` meta-contexts; their top units replace the reconstructed ones.
    fn refresh(&mut self, k: usize) -> Result<()> {
        let (model, backend) = (&self.engine.model, &self.engine.backend);
        let Generation { work, state, going, unread, drawn, ones, .. } = self;
        let top = state.level(model.depth())?;
        for &lane in going.iter() {
            // The k-th unit has not been appended: its reconstruction would be cut right away.
            let len = top[lane].len() + 1 - k;
            top[lane].truncate(len)?;
        }
        let (c, n) = (model.config.meta_context(), going.len());
        let block = (model.most_metas() / n).max(1);
        for at in (0..k).step_by(block) {
            let metas = block.min(k - at);
            drawn.clear();
            for &lane in going.iter() {
                drawn.extend_from_slice(&unread[lane][at * c..(at + metas) * c]);
            }
            work.fit_ids(backend, drawn.len())?;
            backend.write_ids(drawn, &mut work.ids, 0)?;
            ones[..n].fill(metas);
            let result = model.encode(backend, work, state, going, &ones[..n]);
            ones[..n].fill(1);
            result?;
        }
        unread.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    /// The hypothesis of Theorem A.6: continues the top level from the encoder's states of the drawn tokens.
    fn extend_encoded(&mut self) -> Result<()> {
        self.write_kept()?;
        let (model, backend) = (&self.engine.model, &self.engine.backend);
        let below = model.depth() - 1;
        let Generation { work, state, going, ones, .. } = self;
        model.encode_to(backend, work, state, going, &ones[..going.len()], below)?;
        let rows = (&work.encoded[below], RowMap::DENSE);
        model.extend_top(backend, &mut work.activations, state, going, rows)
    }

    /// Without refresh RecGen never encodes tokens again: frees what only that needs.
    fn drop_unneeded(&mut self) {
        if self.mode == (Mode::RecGen { refresh: None }) && self.bottleneck == Bottleneck::Reconstruction {
            self.state.drop_lower();
        }
    }

    /// Tokens generated so far for one request.
    pub fn tokens(&self, request: usize) -> &[u32] {
        &self.sequences[request].tokens
    }

    /// Whether a request has all its tokens.
    pub fn finished(&self, request: usize) -> bool {
        self.sequences[request].finished
    }

    /// The batch's caches.
    pub fn state(&self) -> &State<B> {
        &self.state
    }

    /// The latent that conditions a request's next meta-context: `X_L` or what stands for it, `[d]`.
    pub fn latent(&self, request: usize) -> Result<Vec<f32>> {
        let width = self.engine.model.width;
        let mut row = vec![0.0; width];
        self.engine.backend.read(&self.state.latents, request * width, &mut row)?;
        Ok(row)
    }
}

/// A request before its first step.
fn sequence(request: &Request, c: usize) -> Sequence {
    let whole = request.prompt.len() / c * c;
    Sequence {
        sampling: request.sampling,
        id: request.sequence,
        wanted: request.max_new_tokens,
        tail: request.prompt[whole..].to_vec(),
        position: whole,
        tokens: Vec::with_capacity(request.max_new_tokens.min(1 << 20)),
        finished: request.max_new_tokens == 0,
    }
}

/// Units of each level that a request will need at most: all levels for as long as tokens are encoded.
fn capacity<B: Backend>(
    model: &Photon<B>,
    mode: Mode,
    bottleneck: Bottleneck,
    request: &Request,
) -> Vec<usize> {
    let c = model.config.meta_context();
    let read = request.prompt.len().div_ceil(c);
    let all = (request.prompt.len() + request.max_new_tokens).div_ceil(c);
    // Beyond this the caches grow as they fill, so that an absurd `max_new_tokens` allocates nothing by itself.
    let all = all.min(read + (1 << 14));
    let lower = match (mode, bottleneck) {
        (Mode::RecGen { refresh: None }, Bottleneck::Reconstruction) => read,
        _ => all,
    };
    (1..=model.depth())
        .map(|l| model.config.units(l) * if l == model.depth() { all } else { lower })
        .collect()
}
