//! How a batch advances through a hierarchy in the three modes.

use crate::backend::{Backend, KvCache, RowMap};
use crate::error::Result;
use crate::model::hierarchy::Feed;
use crate::model::{Photon, State, Work};
use crate::sampling::Draw;

use super::batch::Sequence;
use super::exact::ExactMeta;
use super::prefill::Carries;
use super::undo::Undo;
use super::{Bottleneck, Mode, Request, capped};

/// The sequences of a batch on their way through a [`Photon`] model.
pub(super) struct HierarchicalBatch<'e, B: Backend> {
    model: &'e Photon<B>,
    backend: &'e B,
    mode: Mode,
    bottleneck: Bottleneck,
    work: Work<B>,
    pub(super) state: State<B>,
    carries: Carries<B>,
    /// Places among the lanes of a pass that go on after it.
    kept: Vec<usize>,
    /// The lanes that go on.
    going: Vec<usize>,
    /// The lanes whose prompt ends inside a meta-context.
    ragged: Vec<usize>,
    /// One meta-context for each lane.
    ones: Vec<usize>,
    draws: Vec<Draw>,
    drawn: Vec<u32>,
    /// RecGen with refresh: the tokens generated since the last one, per lane.
    unread: Vec<Vec<u32>>,
    parallel_metas: usize,
    undo: Undo<B>,
}

impl<'e, B: Backend> HierarchicalBatch<'e, B> {
    /// Reads the prompts.
    pub(super) fn start(
        model: &'e Photon<B>,
        backend: &'e B,
        requests: &[Request],
        mode: Mode,
        bottleneck: Bottleneck,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Self> {
        let (n, c) = (requests.len(), model.config.meta_context());
        let capacity: Vec<Vec<usize>> =
            requests.iter().map(|r| capacity(model, mode, bottleneck, r)).collect();
        let mut batch = HierarchicalBatch {
            model,
            backend,
            mode,
            bottleneck,
            work: Work::new(model, backend)?,
            state: State::new(model, backend, &capacity)?,
            carries: Carries::new(model, backend, n)?,
            undo: Undo::new(model, backend, n)?,
            kept: Vec::with_capacity(n),
            going: Vec::with_capacity(n),
            ragged: Vec::with_capacity(n),
            ones: vec![1; n],
            draws: Vec::new(),
            drawn: Vec::new(),
            unread: vec![Vec::new(); n],
            parallel_metas: 0,
        };
        let prompts: Vec<&[u32]> = requests.iter().map(|r| &r.prompt[..]).collect();
        let HierarchicalBatch { work, state, carries, .. } = &mut batch;
        model.prefill(backend, work, state, carries, &prompts, progress)?;
        if prompts.iter().all(|p| p.len().is_multiple_of(c)) {
            batch.drop_unneeded();
        }
        Ok(batch)
    }

    /// One meta-context: of the lanes whose prompt ends inside one, if there are any and the mode is parallel, else of
    /// all live lanes. What fails is taken back, the sequences excepted.
    pub(super) fn advance(&mut self, sequences: &mut [Sequence], live: &[usize]) -> Result<()> {
        let (backend, state, carries) = (self.backend, &self.state, &self.carries);
        self.undo.note(backend, state, carries, &self.unread, self.parallel_metas)?;
        let result = self.meta(sequences, live);
        if result.is_err() {
            let Self { undo, state, carries, unread, parallel_metas, .. } = self;
            undo.apply(backend, state, carries, unread, parallel_metas);
        }
        result
    }

    fn meta(&mut self, sequences: &mut [Sequence], live: &[usize]) -> Result<()> {
        if self.mode == Mode::Exact {
            self.exact_meta(sequences, live, false)?;
            return self.collect(sequences, live);
        }
        let mut ragged = std::mem::take(&mut self.ragged);
        ragged.clear();
        ragged.extend(live.iter().copied().filter(|&i| !sequences[i].tail.is_empty()));
        let result = if ragged.is_empty() {
            self.parallel_meta(sequences, live)
        } else {
            let result =
                self.exact_meta(sequences, &ragged, true).and_then(|()| self.collect(sequences, &ragged));
            if result.is_ok() {
                self.drop_unneeded();
            }
            result
        };
        self.ragged = ragged;
        result
    }

    /// One meta-context in `exact` mode. With `unfold`, the carry of the parallel modes is moved past it too.
    fn exact_meta(&mut self, sequences: &[Sequence], lanes: &[usize], unfold: bool) -> Result<()> {
        let (model, backend) = (self.model, self.backend);
        let Self { work, state, carries, draws, ones, .. } = self;
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

    /// One meta-context of all live lanes with its chunks in parallel.
    fn parallel_meta(&mut self, sequences: &mut [Sequence], live: &[usize]) -> Result<()> {
        let (model, backend) = (self.model, self.backend);
        let Self { work, state, carries, draws, ones, .. } = self;
        let metas = &ones[..live.len()];
        model.condition_first(backend, work, state, live, metas)?;
        model.unfold(backend, work, &mut carries.own, live, metas, Feed::Own)?;
        let seen = &*sequences;
        model.draw_chunks(backend, work, live.len(), draws, &|i, t| seen[live[i]].draw(t))?;
        self.parallel_metas += 1;
        self.collect(sequences, live)?;
        self.close(sequences, live)
    }

    /// Fetches the tokens of a meta-context and gives each sequence its own.
    fn collect(&mut self, sequences: &mut [Sequence], lanes: &[usize]) -> Result<()> {
        let c = self.model.config.meta_context();
        self.drawn.resize(lanes.len() * c, 0);
        self.backend.read_ids(&self.work.ids, 0, &mut self.drawn)?;
        for (drawn, &lane) in self.drawn.chunks_exact(c).zip(lanes) {
            sequences[lane].accept(drawn, self.model.config.eos_token_id);
        }
        Ok(())
    }

    /// Extends the top level past the meta-context just generated, for the sequences that go on.
    fn close(&mut self, sequences: &[Sequence], lanes: &[usize]) -> Result<()> {
        let c = self.model.config.meta_context();
        self.kept.clear();
        self.kept.extend((0..lanes.len()).filter(|&at| !sequences[lanes[at]].finished));
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
                return self.refresh(sequences, k);
            }
        }
        if self.bottleneck == Bottleneck::EncoderStates {
            return self.extend_encoded();
        }
        let (model, backend) = (self.model, self.backend);
        let Self { work, state, kept, going, .. } = self;
        let rows = (&work.decoded[model.depth() - 1], RowMap::List(kept));
        model.extend_top(backend, &mut work.activations, state, going, rows)
    }

    /// HierGen: encodes the meta-context that was just drawn.
    fn read_back(&mut self) -> Result<()> {
        self.write_kept()?;
        let (model, backend) = (self.model, self.backend);
        let Self { work, state, going, ones, .. } = self;
        model.encode(backend, work, state, going, &ones[..going.len()])
    }

    /// Puts the tokens of the sequences that go on side by side on the device, where some have ended.
    fn write_kept(&mut self) -> Result<()> {
        let c = self.model.config.meta_context();
        if self.kept.len() * c < self.drawn.len() {
            for (to, &at) in self.kept.iter().enumerate() {
                self.drawn.copy_within(at * c..(at + 1) * c, to * c);
            }
            self.backend.write_ids(&self.drawn[..self.kept.len() * c], &mut self.work.ids, 0)?;
        }
        Ok(())
    }

    /// Encodes the tokens of the last `k` meta-contexts; their top units replace the reconstructed ones.
    fn refresh(&mut self, sequences: &[Sequence], k: usize) -> Result<()> {
        let (model, backend) = (self.model, self.backend);
        let Self { work, state, going, unread, drawn, ones, .. } = self;
        let top = state.level(model.depth())?;
        for &lane in going.iter() {
            // The k-th unit has not been appended: its reconstruction would be cut right away. After a refresh that failed the
            // others are not there either.
            let len = sequences[lane].metas(model.config.meta_context()) - k;
            let len = len.min(top[lane].len());
            top[lane].truncate(len)?;
        }
        let (c, n) = (model.config.meta_context(), going.len());
        let block = (model.most_metas(backend) / n).max(1);
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
        let (model, backend) = (self.model, self.backend);
        let below = model.depth() - 1;
        let Self { work, state, going, ones, .. } = self;
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
    let all = (request.prompt.len() + capped(request.max_new_tokens)).div_ceil(c);
    let lower = match (mode, bottleneck) {
        (Mode::RecGen { refresh: None }, Bottleneck::Reconstruction) => read,
        _ => all,
    };
    (1..=model.depth())
        .map(|l| model.config.units(l) * if l == model.depth() { all } else { lower })
        .collect()
}
