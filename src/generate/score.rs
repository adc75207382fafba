//! Log-probabilities of given texts in each mode.

use crate::backend::Backend;
use crate::error::{Error, Result};

use super::{Engine, Mode, Network};

/// One text to score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreRequest<'a> {
    /// The text; may be empty.
    pub tokens: &'a [u32],
    /// How many of the tokens are known, for RecGen: these are scored as HierGen scores them, and from there on the
    /// latents evolve on their own. A multiple of the meta-context; the other modes ignore it.
    pub prompt: usize,
}

impl<B: Backend> Engine<B> {
    /// Natural log-probability of each token given those before it, as `mode` predicts it: [`Engine::score_batch`] of
    /// one text. For `prompt` see [`ScoreRequest::prompt`].
    ///
    /// # Errors
    /// Those of [`Engine::score_batch`].
    pub fn score(
        &self,
        tokens: &[u32],
        mode: Mode,
        prompt: usize,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Vec<f32>> {
        let mut scores = self.score_batch(&[ScoreRequest { tokens, prompt }], mode, progress)?;
        Ok(scores.pop().unwrap_or_default())
    }

    /// Scores several texts side by side: for each, the natural log-probability of each of its tokens given those
    /// before it, as `mode` predicts it. A text gets the same bits whatever shares its batch.
    ///
    /// Passes are of bounded size; keys and values of the whole batch are kept, so memory grows with the tokens of all
    /// texts together. `progress(done, total)` counts tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] for a token out of the vocabulary, `refresh = 0`, a parallel mode of the flat baseline, or a
    /// RecGen prompt that is longer than its text or not a multiple of the meta-context. [`Error::Checkpoint`] where
    /// the model computes NaN.
    pub fn score_batch(
        &self,
        requests: &[ScoreRequest<'_>],
        mode: Mode,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Vec<Vec<f32>>> {
        let name = |i: usize| if requests.len() == 1 { "text".to_string() } else { format!("text {i}") };
        for (i, request) in requests.iter().enumerate() {
            self.check_tokens(&name(i), request.tokens)?;
            if matches!(mode, Mode::RecGen { .. }) {
                self.check_prompt(&name(i), request)?;
            }
        }
        let mode = mode.settle(self.config())?;
        let total = requests.iter().map(|r| r.tokens.len()).sum();
        let mut progress = |done: usize| progress(done, total);
        let scores = self.backend.enter(|| match &self.network {
            Network::Hierarchical(model) => model.score(&self.backend, requests, mode, &mut progress),
            Network::Flat(model) => model.score(&self.backend, requests, &mut progress),
        })?;
        for (i, scores) in scores.iter().enumerate() {
            if let Some(at) = scores.iter().position(|score| score.is_nan()) {
                return Err(Error::Checkpoint(format!(
                    "{}: the log-probability of token {at} is not a number: the weights overflow in the forward pass",
                    name(i)
                )));
            }
        }
        Ok(scores)
    }

    /// Checks that RecGen can begin where a request's prompt ends.
    fn check_prompt(&self, name: &str, request: &ScoreRequest<'_>) -> Result<()> {
        let (prompt, c) = (request.prompt, self.config().meta_context());
        if !prompt.is_multiple_of(c) {
            return Err(Error::argument(format!(
                "{name}: prompt_tokens is {prompt}; a RecGen score needs a multiple of the meta-context, {c} tokens"
            )));
        }
        if prompt > request.tokens.len() {
            return Err(Error::argument(format!(
                "{name}: prompt_tokens is {prompt}, but the text has {} tokens",
                request.tokens.len()
            )));
        }
        Ok(())
    }
}
