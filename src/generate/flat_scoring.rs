//! How a batch of given texts passes through the flat baseline, and is scored on the way.

use crate::backend::{Backend, RowMap};
use crate::error::Result;
use crate::model::{Activations, Flat, FlatState, Index, fit};

use super::ScoreRequest;
use super::pieces::{lanes_and_lengths, passes, whole};

impl<B: Backend> Flat<B> {
    /// [`super::Engine::score_batch`] of checked requests. The distribution of a text's first token is uniform.
    pub(super) fn score(
        &self,
        backend: &B,
        requests: &[ScoreRequest<'_>],
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<Vec<Vec<f32>>> {
        let d = self.config.hidden_size;
        let lengths: Vec<usize> = requests.iter().map(|r| r.tokens.len()).collect();
        let most = backend.pass_rows().min(lengths.iter().sum()).max(1);
        let pieces = whole(lengths.iter().copied(), most);
        let mut activations = Activations::new(backend, &self.config)?;
        let mut state = FlatState::new(self, backend, &lengths)?;
        let mut ids = backend.ids(most)?;
        let mut log_probs: Vec<Vec<f32>> = lengths.iter().map(|&len| Vec::with_capacity(len)).collect();
        // What predicts each token of a pass: the hidden row of the token before it.
        let mut hidden = backend.buffer(0)?;
        fit(backend, &mut hidden, most * d)?;
        let (mut tokens, mut scores, mut index) = (Vec::new(), Vec::new(), Index::default());
        for pass in passes(&pieces, most) {
            let (lanes, rows) = lanes_and_lengths(pass);
            tokens.clear();
            tokens.extend(pass.iter().flat_map(|p| &requests[p.lane].tokens[p.first..p.first + p.len]));
            backend.write_ids(&tokens, &mut ids, 0)?;
            self.append(backend, &mut activations, &mut state, &ids, &lanes, &rows)?;
            let lanes = RowMap::List(&lanes);
            index.starts(&rows, 1);
            let starts = RowMap::List(&index.from);
            backend.copy(&state.latents, lanes, &mut hidden, starts, pass.len(), d)?;
            index.shifted(&rows, 1);
            if !index.from.is_empty() {
                let (from, to) = (RowMap::List(&index.from), RowMap::List(&index.to));
                self.finish(backend, &activations, from, index.from.len(), &mut hidden, to)?;
            }
            index.ends(&rows, 1);
            let ends = RowMap::List(&index.from);
            self.finish(backend, &activations, ends, pass.len(), &mut state.latents, lanes)?;
            scores.resize(tokens.len(), 0.0);
            backend.log_probs(&self.lm_head, &hidden, RowMap::DENSE, &tokens, &mut scores)?;
            let mut scores = &scores[..];
            for piece in pass {
                let (own, others) = scores.split_at(piece.len);
                log_probs[piece.lane].extend_from_slice(own);
                scores = others;
            }
            progress(log_probs.iter().map(Vec::len).sum());
        }
        Ok(log_probs)
    }
}
