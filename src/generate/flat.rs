//! The flat baseline's generation: one token after another.

use crate::backend::{Backend, KvCache, RowMap};
use crate::error::Result;
use crate::model::{Activations, Flat, FlatState};
use crate::sampling::Draw;

use super::batch::Sequence;
use super::{Request, capped};

/// The sequences of a batch on their way through a [`Flat`] model.
pub(super) struct FlatBatch<'e, B: Backend> {
    model: &'e Flat<B>,
    backend: &'e B,
    activations: Activations<B>,
    pub(super) state: FlatState<B>,
    ids: B::Ids,
    /// The latents of the live lanes, side by side.
    hidden: B::Buffer,
    /// One token for each lane.
    ones: Vec<usize>,
    draws: Vec<Draw>,
    drawn: Vec<u32>,
    /// Places among the live lanes that go on, and these lanes.
    kept: Vec<usize>,
    going: Vec<usize>,
    /// Tokens cached for each lane when no step is under way.
    before: Vec<usize>,
}

impl<'e, B: Backend> FlatBatch<'e, B> {
    /// Reads the prompts.
    pub(super) fn start(
        model: &'e Flat<B>,
        backend: &'e B,
        requests: &[Request],
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Self> {
        let capacity: Vec<usize> =
            requests.iter().map(|r| r.prompt.len() + capped(r.max_new_tokens)).collect();
        let n = requests.len();
        let longest = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
        let most = backend.pass_rows().min(longest).max(1);
        let mut batch = FlatBatch {
            model,
            backend,
            activations: Activations::new(backend, &model.config)?,
            state: FlatState::new(model, backend, &capacity)?,
            ids: backend.ids(n.max(most))?,
            hidden: backend.buffer(n * model.config.hidden_size)?,
            ones: vec![1; n],
            draws: Vec::with_capacity(n),
            drawn: vec![0; n],
            kept: Vec::with_capacity(n),
            going: Vec::with_capacity(n),
            before: Vec::with_capacity(n),
        };
        let mut done = 0;
        for (lane, request) in requests.iter().enumerate() {
            for tokens in request.prompt.chunks(most) {
                batch.read(lane, tokens)?;
                done += tokens.len();
                progress(done);
            }
        }
        Ok(batch)
    }

    /// Appends tokens of a prompt to one lane.
    fn read(&mut self, lane: usize, tokens: &[u32]) -> Result<()> {
        let Self { model, backend, activations, state, ids, .. } = self;
        backend.write_ids(tokens, ids, 0)?;
        model.append(*backend, activations, state, ids, &[lane], &[tokens.len()])?;
        let last = RowMap::from(tokens.len() - 1);
        model.finish(*backend, activations, last, 1, &mut state.latents, RowMap::from(lane))
    }

    /// One token of each live lane. What fails is taken back, the sequences excepted.
    pub(super) fn advance(&mut self, sequences: &mut [Sequence], live: &[usize]) -> Result<()> {
        self.before.clear();
        self.before.extend(live.iter().map(|&lane| self.state.caches[lane].len()));
        let result = self.token(sequences, live);
        if result.is_err() {
            // The latents are what a step changes last.
            for (&lane, &len) in live.iter().zip(&self.before) {
                self.state.caches[lane].truncate(len)?;
            }
        }
        result
    }

    fn token(&mut self, sequences: &mut [Sequence], live: &[usize]) -> Result<()> {
        let Self { model, backend, activations, state, ids, hidden, ones, draws, drawn, kept, going, .. } =
            self;
        let (n, d, dense) = (live.len(), model.config.hidden_size, RowMap::DENSE);
        backend.copy(&state.latents, RowMap::List(live), hidden, dense, n, d)?;
        draws.clear();
        draws.extend(live.iter().map(|&i| sequences[i].draw(0)));
        backend.sample(&model.lm_head, hidden, dense, draws, ids, dense)?;
        backend.read_ids(ids, 0, &mut drawn[..n])?;
        for (token, &lane) in drawn.iter().zip(live) {
            sequences[lane].accept(std::slice::from_ref(token), model.config.eos_token_id);
        }
        kept.clear();
        kept.extend((0..n).filter(|&at| !sequences[live[at]].finished));
        going.clear();
        going.extend(kept.iter().map(|&at| live[at]));
        if going.is_empty() {
            return Ok(());
        }
        if going.len() < n {
            for (to, &at) in kept.iter().enumerate() {
                drawn[to] = drawn[at];
            }
            backend.write_ids(&drawn[..going.len()], ids, 0)?;
        }
        model.append(*backend, activations, state, ids, going, &ones[..going.len()])?;
        model.finish(*backend, activations, dense, going.len(), &mut state.latents, RowMap::List(going))
    }
}
