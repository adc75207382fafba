//! The token level of the parallel modes: all chunks of a meta-context decode side by side.

use crate::backend::{Backend, RowMap};
use crate::error::Result;
use crate::model::{Photon, Work, fit};
use crate::sampling::Draw;

impl<B: Backend> Photon<B> {
    /// Draws the tokens of one meta-context for each of `n` lanes, after the levels above were unfolded. Token `t` of
    /// lane `i` goes to place `i · C + t` of `work.ids` and is drawn as `draw(i, t)` says.
    pub(super) fn draw_chunks(
        &self,
        backend: &B,
        work: &mut Work<B>,
        n: usize,
        draws: &mut Vec<Draw>,
        draw: &(dyn Fn(usize, usize) -> Draw + Sync),
    ) -> Result<()> {
        let (level, c) = (&self.decoder[0], self.config.level(1).chunk_length);
        let (in_meta, chunks) = (self.config.units(1), n * self.config.units(1));
        work.fit_ids(backend, chunks * c)?;
        let most = level.side_by_side(backend).min(chunks);
        let (own, above) = work.decoded.split_at_mut(1);
        fit(backend, &mut own[0], most * self.width)?;
        let h = self.latents_of(1, |l| &above[l - 1], &work.condition);
        for first in (0..chunks).step_by(most) {
            let m = most.min(chunks - first);
            level.begin(backend, &mut work.activations, &mut work.local[0], (h, RowMap::from(first)), m)?;
            for j in 0..c {
                level.emit(backend, &work.activations, m, j, &mut own[0], RowMap::DENSE)?;
                draws.clear();
                draws.extend((first..first + m).map(|q| draw(q / in_meta, q % in_meta * c + j)));
                let place = RowMap::every(first * c + j, c);
                backend.sample(&self.lm_head, &own[0], RowMap::DENSE, draws, &mut work.ids, place)?;
                if j + 1 < c {
                    let table = &self.decoder_embedding;
                    backend.embed(table, &work.ids, place, &mut work.activations.x, RowMap::DENSE, m)?;
                    level.step(backend, &mut work.activations, &mut work.local[0], m, j + 1)?;
                }
            }
        }
        Ok(())
    }
}
