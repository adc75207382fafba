//! A step that fails leaves a batch as it was. Memory can run out in the middle of one, after some levels have been encoded and the carry
//! has moved on: what a step changes is noted before it begins.
//!
//! Latents and carries are copied on the device, `d` floats a sequence each: 1 to `2 L - 1` launches beside the hundreds of a meta-context. Caches
//! only have lengths: units that a step has appended are cut off.

use crate::backend::{Backend, KvCache, RowMap};
use crate::error::Result;
use crate::model::{Photon, State};

use super::prefill::Carries;

/// A batch before the step under way.
pub(super) struct Undo<B: Backend> {
    lanes: usize,
    width: usize,
    latents: B::Buffer,
    /// Rows of both carries: those of `exact`, then those of `own`.
    carries: Vec<B::Buffer>,
    /// Units cached, lane by lane within each level.
    units: Vec<usize>,
    /// Tokens generated since the last refresh, per lane.
    unread: Vec<usize>,
    parallel_metas: usize,
}

impl<B: Backend> Undo<B> {
    /// For `lanes` sequences.
    pub(super) fn new(model: &Photon<B>, backend: &B, lanes: usize) -> Result<Self> {
        let blank = Carries::new(model, backend, lanes)?;
        Ok(Undo {
            lanes,
            width: model.width,
            latents: backend.buffer(lanes * model.width)?,
            carries: blank.exact.rows.into_iter().chain(blank.own.rows).collect(),
            units: Vec::with_capacity(lanes * model.depth()),
            unread: Vec::with_capacity(lanes),
            parallel_metas: 0,
        })
    }

    /// Takes the batch down.
    pub(super) fn note(
        &mut self,
        backend: &B,
        state: &State<B>,
        carries: &Carries<B>,
        unread: &[Vec<u32>],
        parallel_metas: usize,
    ) -> Result<()> {
        let (dense, lanes, width) = (RowMap::DENSE, self.lanes, self.width);
        backend.copy(&state.latents, dense, &mut self.latents, dense, lanes, width)?;
        let rows = carries.exact.rows.iter().chain(&carries.own.rows);
        for (from, to) in rows.zip(&mut self.carries) {
            backend.copy(from, dense, to, dense, lanes, width)?;
        }
        self.units.clear();
        self.units.extend(state.caches.iter().flatten().flatten().map(KvCache::len));
        self.unread.clear();
        self.unread.extend(unread.iter().map(Vec::len));
        self.parallel_metas = parallel_metas;
        Ok(())
    }

    /// Puts the batch back. Needs no memory, so that it fails only where the device has failed altogether; the error that led here
    /// says more than that one would.
    pub(super) fn apply(
        &self,
        backend: &B,
        state: &mut State<B>,
        carries: &mut Carries<B>,
        unread: &mut [Vec<u32>],
        parallel_metas: &mut usize,
    ) {
        let (dense, lanes, width) = (RowMap::DENSE, self.lanes, self.width);
        let _ = backend.copy(&self.latents, dense, &mut state.latents, dense, lanes, width);
        let rows = carries.exact.rows.iter_mut().chain(&mut carries.own.rows);
        for (to, from) in rows.zip(&self.carries) {
            let _ = backend.copy(from, dense, to, dense, lanes, width);
        }
        for (cache, &len) in state.caches.iter_mut().flatten().flatten().zip(&self.units) {
            // A refresh has cut the top level below its old length; it is cut there again when the step is tried again.
            let len = len.min(cache.len());
            let _ = cache.truncate(len);
        }
        for (unread, &len) in unread.iter_mut().zip(&self.unread) {
            unread.truncate(len);
        }
        *parallel_metas = self.parallel_metas;
    }
}
