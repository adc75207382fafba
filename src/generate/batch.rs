//! A batch of sequences under generation.

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::sampling::{Draw, Sampling};

use super::flat::FlatBatch;
use super::hierarchical::HierarchicalBatch;
use super::{Bottleneck, Engine, Mode, Network, Request};

/// What one sequence wants and has.
pub(super) struct Sequence {
    sampling: Sampling,
    id: u32,
    wanted: usize,
    /// Known tokens of the meta-context that the prompt ends in; empty once it is complete.
    pub(super) tail: Vec<u32>,
    /// Tokens in whole meta-contexts so far, the prompt's included.
    position: usize,
    tokens: Vec<u32>,
    pub(super) finished: bool,
}

impl Sequence {
    /// A request before its first step, with meta-contexts of `c` tokens.
    fn new(request: &Request, c: usize) -> Self {
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

    /// How token `t` of the next meta-context is drawn.
    pub(super) fn draw(&self, t: usize) -> Draw {
        Draw {
            sampling: self.sampling,
            sequence: self.id,
            position: (self.position + t) as u64,
            forced: self.tail.get(t).copied(),
        }
    }

    /// Meta-contexts so far, the prompt's included.
    pub(super) fn metas(&self, c: usize) -> usize {
        self.position / c
    }

    /// Keeps in `before` what a step changes.
    fn note(&self, before: &mut Before) {
        before.tail.clone_from(&self.tail);
        (before.position, before.tokens, before.finished) = (self.position, self.tokens.len(), self.finished);
    }

    /// Takes a step back.
    fn undo(&mut self, before: &Before) {
        self.tail.clone_from(&before.tail);
        self.tokens.truncate(before.tokens);
        (self.position, self.finished) = (before.position, before.finished);
    }

    /// Takes the drawn tokens of a meta-context over.
    pub(super) fn accept(&mut self, drawn: &[u32], eos: Option<u32>) {
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

/// A sequence before a step.
#[derive(Default)]
struct Before {
    tail: Vec<u32>,
    position: usize,
    /// How many.
    tokens: usize,
    finished: bool,
}

/// A batch under generation: [`Generation::step`] until it says that all sequences have ended.
pub struct Generation<'e, B: Backend> {
    engine: &'e Engine<B>,
    sequences: Vec<Sequence>,
    /// Sequences that go on, in the order of the rows of a pass.
    live: Vec<usize>,
    driver: Driver<'e, B>,
    /// The sequences before the step under way.
    before: Vec<Before>,
}

/// What knows how the sequences of an architecture advance.
enum Driver<'e, B: Backend> {
    Hierarchical(Box<HierarchicalBatch<'e, B>>),
    Flat(Box<FlatBatch<'e, B>>),
}

impl<B: Backend> Engine<B> {
    /// Reads the prompts of a batch and prepares its generation. `progress(done, total)` is told how many prompt
    /// tokens are read.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the request's index, the argument and its value: a token out of the vocabulary, a
    /// sampling parameter out of range, `refresh = 0`, a parallel mode for the flat baseline.
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
        let mode = mode.settle(self.config())?;
        let c = self.config().meta_context();
        let total = requests.iter().map(|r| r.prompt.len() / c * c).sum();
        let mut done = |done: usize| progress(done, total);
        let driver = self.backend.enter(|| {
            Ok(match &self.network {
                Network::Hierarchical(model) => Driver::Hierarchical(Box::new(HierarchicalBatch::start(
                    model,
                    &self.backend,
                    requests,
                    mode,
                    bottleneck,
                    &mut done,
                )?)),
                Network::Flat(model) => {
                    Driver::Flat(Box::new(FlatBatch::start(model, &self.backend, requests, &mut done)?))
                }
            })
        })?;
        let sequences: Vec<Sequence> = requests.iter().map(|r| Sequence::new(r, c)).collect();
        let live = (0..requests.len()).filter(|&i| !sequences[i].finished).collect();
        let before = requests.iter().map(|_| Before::default()).collect();
        Ok(Generation { engine: self, sequences, live, driver, before })
    }
}

impl<B: Backend> Generation<'_, B> {
    /// Generates one meta-context of every sequence that goes on (one token, for the flat baseline). In the parallel
    /// modes, sequences whose prompt ends inside a meta-context complete that one first, alone. Returns whether any
    /// sequence goes on.
    ///
    /// # Errors
    /// What the backend says. A step that fails is taken back: after [`Error::OutOfMemory`] the same step can be tried again, and draws the
    /// tokens that it would have drawn.
    pub fn step(&mut self) -> Result<bool> {
        if self.live.is_empty() {
            return Ok(false);
        }
        let Generation { engine, sequences, live, driver, before } = self;
        for (sequence, before) in sequences.iter().zip(&mut *before) {
            sequence.note(before);
        }
        let result = engine.backend.enter(|| match driver {
            Driver::Hierarchical(batch) => batch.advance(sequences, live),
            Driver::Flat(batch) => batch.advance(sequences, live),
        });
        if result.is_err() {
            for (sequence, before) in sequences.iter_mut().zip(before) {
                sequence.undo(before);
            }
        }
        result?;
        live.retain(|&i| !sequences[i].finished);
        Ok(!live.is_empty())
    }

    /// Tokens generated so far for one request.
    pub fn tokens(&self, request: usize) -> &[u32] {
        &self.sequences[request].tokens
    }

    /// Whether a request has all its tokens.
    pub fn finished(&self, request: usize) -> bool {
        self.sequences[request].finished
    }

    /// Bytes allocated for the keys and values that a request keeps from one meta-context to the next.
    pub fn cache_bytes(&self, request: usize) -> usize {
        match &self.driver {
            Driver::Hierarchical(batch) => batch.state.cache_bytes(request),
            Driver::Flat(batch) => batch.state.cache_bytes(request),
        }
    }

    /// Units cached for a request in encoder level `l`, 0 once dropped (for the flat baseline: tokens).
    pub fn cached_units(&self, request: usize, l: usize) -> usize {
        match &self.driver {
            Driver::Hierarchical(batch) => batch.state.cached_units(request, l),
            Driver::Flat(batch) => batch.state.cached_tokens(request),
        }
    }

    /// What a request's next meta-context is conditioned on, `[d]`: `X_L` or what stands for it; for the flat
    /// baseline the last hidden row.
    pub fn latent(&self, request: usize) -> Result<Vec<f32>> {
        let mut row = vec![0.0; self.engine.config().hidden_size];
        let latents = match &self.driver {
            Driver::Hierarchical(batch) => &batch.state.latents,
            Driver::Flat(batch) => &batch.state.latents,
        };
        self.engine.backend.read(latents, request * row.len(), &mut row)?;
        Ok(row)
    }
}
