//! One meta-context in `exact` mode: each finished chunk is encoded before the next one begins.

use crate::backend::{Backend, RowMap};
use crate::config::Condition;
use crate::error::Result;
use crate::model::{Carry, Photon, State, Work, fit};
use crate::sampling::Draw;

/// A meta-context under way, for some lanes of a batch in lockstep.
pub(super) struct ExactMeta<'a, B: Backend> {
    pub model: &'a Photon<B>,
    pub backend: &'a B,
    pub work: &'a mut Work<B>,
    pub state: &'a mut State<B>,
    pub carry: &'a mut Carry<B>,
    pub lanes: &'a [usize],
    /// Filled with the draws of one token per lane.
    pub draws: &'a mut Vec<Draw>,
}

impl<B: Backend> ExactMeta<'_, B> {
    /// Generates the meta-context: its tokens go to `work.ids`, `C` per lane, and its encoding to the state.
    /// `draw(t, draws)` says how token `t` of each lane is drawn. `work.condition[L - 1]` must hold the lanes' latents
    /// ([`Photon::condition_first`]) and is left as it is.
    pub fn run(&mut self, draw: &dyn Fn(usize, &mut Vec<Draw>)) -> Result<()> {
        self.work.fit_ids(self.backend, self.lanes.len() * self.model.config.meta_context())?;
        let mut t = 0;
        self.chunk(self.model.depth(), 0, &mut t, draw)
    }

    /// One chunk of level `l`, the `index`-th of its parent, from the conditioning latents of level `l`: generates its
    /// units and encodes it. `t` counts the meta-context's tokens.
    fn chunk(
        &mut self,
        l: usize,
        index: usize,
        t: &mut usize,
        draw: &dyn Fn(usize, &mut Vec<Draw>),
    ) -> Result<()> {
        let (model, backend, n, d) = (self.model, self.backend, self.lanes.len(), self.model.width);
        let (level, c, total) =
            (&model.decoder[l - 1], model.config.level(l).chunk_length, model.config.meta_context());
        fit(backend, &mut self.work.decoded[l - 1], n * d)?;
        fit(backend, &mut self.work.encoded[l - 1], n * model.config.chunk_input(l))?;
        let work = &mut *self.work;
        let h = model.latents_of(l, |l| &work.decoded[l], &work.condition);
        level.begin(backend, &mut work.activations, &mut work.local[l - 1], (h, RowMap::DENSE), n)?;
        for j in 0..c {
            let work = &mut *self.work;
            level.emit(backend, &work.activations, n, j, &mut work.decoded[l - 1], RowMap::DENSE)?;
            if l == 1 {
                draw(*t, self.draws);
                let place = RowMap::every(*t, total);
                *t += 1;
                backend.sample(
                    &model.lm_head,
                    &work.decoded[0],
                    RowMap::DENSE,
                    self.draws,
                    &mut work.ids,
                    place,
                )?;
                let (table, to) = (&model.encoder_embedding, RowMap::every(j, c));
                backend.embed(table, &work.ids, place, &mut work.encoded[0], to, n)?;
                if j + 1 < c {
                    let table = &model.decoder_embedding;
                    backend.embed(table, &work.ids, place, &mut work.activations.x, RowMap::DENSE, n)?;
                }
            } else {
                self.hand_down(l - 1)?;
                self.chunk(l - 1, j, t, draw)?;
                if j + 1 < c {
                    let (unit, work) = (RowMap::every(j, c), &mut *self.work);
                    backend.copy(&work.encoded[l - 1], unit, &mut work.activations.x, RowMap::DENSE, n, d)?;
                }
            }
            if j + 1 < c {
                let work = &mut *self.work;
                level.step(backend, &mut work.activations, &mut work.local[l - 1], n, j + 1)?;
            }
        }
        self.encode(l, index)
    }

    /// Under `previous`: the unit just predicted at level `l` becomes the carry, and the one before it conditions the
    /// chunk that unfolds it.
    fn hand_down(&mut self, l: usize) -> Result<()> {
        if self.model.condition == Condition::Current {
            return Ok(());
        }
        let (n, d, lanes) = (self.lanes.len(), self.model.width, RowMap::List(self.lanes));
        let (carry, work) = (&mut self.carry.rows[l - 1], &mut *self.work);
        fit(self.backend, &mut work.condition[l - 1], n * d)?;
        self.backend.copy(carry, lanes, &mut work.condition[l - 1], RowMap::DENSE, n, d)?;
        self.backend.copy(&work.decoded[l], RowMap::DENSE, carry, lanes, n, d)
    }

    /// Encodes the finished chunk of level `l`.
    fn encode(&mut self, l: usize, index: usize) -> Result<()> {
        let (model, work) = (self.model, &mut *self.work);
        if l == model.depth() {
            let rows = (&work.encoded[l - 1], RowMap::DENSE);
            return model.extend_top(self.backend, &mut work.activations, self.state, self.lanes, rows);
        }
        let (below, out) = work.encoded.split_at_mut(l);
        let State { caches, ones, .. } = &mut *self.state;
        model.encoder[l - 1].append(
            self.backend,
            &mut work.activations,
            State::<B>::kept(caches, l)?,
            self.lanes,
            &ones[..self.lanes.len()],
            (&below[l - 1], RowMap::DENSE),
            (&mut out[0], RowMap::every(index, model.config.level(l + 1).chunk_length)),
        )
    }
}
