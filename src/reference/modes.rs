//! The decoder side: what each mode conditions on, likelihood, and generation.

use super::model::{Body, Hierarchy};
use super::ops::{embed, linear, log_probability};
use super::{Real, Reference, Rows, sampler};
use crate::config::Condition;
use crate::error::{Error, Result};
use crate::sampling::Sampling;

/// What the decoder of a meta-context is conditioned on; see the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Teacher-forced: encoder states as content, one chunk after another.
    Exact,
    /// Own outputs as content, true tokens at the top level (paper, Definition A.2).
    HierGen,
    /// Own outputs as content, and latents that evolve alone past the prompt (paper, Definition A.3).
    RecGen {
        /// Encode the tokens after every so many generated meta-contexts; at least 1.
        refresh: Option<usize>,
    },
}

impl<S: Real> Reference<S> {
    /// The decoder's rows `X̂_l` of a teacher-forced text, as `[l][unit][d]` for `l = 0..L` (`[0]` alone for the flat
    /// baseline). Level `l` has the units that hold a token of the text, `⌈T / (C_1 · … · C_l)⌉`; none depends on
    /// tokens that it contains. Tokens before `prompt` were given, which only RecGen tells from generated ones.
    ///
    /// # Errors
    /// [`Error::Argument`] for a token that is not in the vocabulary, for RecGen with a `refresh` of 0 or a
    /// `prompt` that is no multiple of `C` or longer than the text, and for a parallel mode on the flat baseline.
    pub fn reconstruct(&self, tokens: &[u32], prompt: usize, mode: Mode) -> Result<Vec<Rows<S>>> {
        self.check_tokens(tokens)?;
        self.check_mode(mode)?;
        let meta = self.config.meta_context();
        let length = tokens.len();
        if matches!(mode, Mode::RecGen { .. }) && (!prompt.is_multiple_of(meta) || prompt > length) {
            return Err(Error::argument(format!(
                "prompt is {prompt} tokens; recgen needs a multiple of the meta-context, {meta} tokens, and at most \
                 the text's {length}"
            )));
        }
        match &self.body {
            Body::Flat { table, stack } => {
                let mut rows = stack.forward(embed(table, tokens));
                rows.insert(0, vec![S::from_f64(0.0); self.config.hidden_size]);
                rows.truncate(length);
                Ok(vec![rows])
            }
            Body::Hierarchy(hierarchy) => {
                let mut padded = tokens.to_vec();
                padded.resize(length.next_multiple_of(meta), 0);
                let mut rows = hierarchy.reconstruct(&padded, prompt / meta, mode);
                for (l, rows) in rows.iter_mut().enumerate() {
                    rows.truncate(length.div_ceil(meta / self.config.units(l)));
                }
                Ok(rows)
            }
        }
    }

    /// Logits `[T][V]` of a teacher-forced text of any length: row `t` is the distribution of token `t` given those
    /// before it. For `prompt` and errors see [`Reference::reconstruct`].
    pub fn logits(&self, tokens: &[u32], prompt: usize, mode: Mode) -> Result<Rows<S>> {
        let rows = self.reconstruct(tokens, prompt, mode)?;
        Ok(rows[0].iter().map(|row| linear(&self.head, None, row)).collect())
    }

    /// The natural log-probability of each token of a text given those before it.
    /// For `prompt` and errors see [`Reference::reconstruct`].
    pub fn score(&self, tokens: &[u32], prompt: usize, mode: Mode) -> Result<Vec<f64>> {
        let logits = self.logits(tokens, prompt, mode)?;
        Ok(logits.iter().zip(tokens).map(|(logits, &token)| log_probability(logits, token)).collect())
    }

    /// Continues a prompt of any length by up to `new` tokens and returns those. After `eos_token_id`, which is
    /// returned, nothing follows. `sequence` is the identity of the sequence in [`sampler::uniform`], and a token's
    /// position there counts from the start of the prompt.
    ///
    /// # Errors
    /// [`Error::Argument`] for a token that is not in the vocabulary, a sampling parameter out of range, a
    /// `refresh` of 0, and a parallel mode on the flat baseline.
    pub fn generate(
        &self,
        prompt: &[u32],
        new: usize,
        mode: Mode,
        sampling: &Sampling,
        sequence: u32,
    ) -> Result<Vec<u32>> {
        sampling.validate()?;
        self.check_tokens(prompt)?;
        self.check_mode(mode)?;
        let whole = prompt.len().next_multiple_of(self.config.meta_context());
        let mut tokens = prompt.to_vec();
        for position in prompt.len()..prompt.len().saturating_add(new) {
            let mode = if position < whole { Mode::Exact } else { mode };
            tokens.push(0);
            let logits = self.logits(&tokens, whole, mode)?;
            let logits: Vec<f32> = logits[position].iter().map(|x| x.to_f64() as f32).collect();
            tokens[position] = sampler::sample(&logits, sampling, sequence, position as u64);
            if self.config.eos_token_id == Some(tokens[position]) {
                break;
            }
        }
        Ok(tokens.split_off(prompt.len()))
    }

    fn check_mode(&self, mode: Mode) -> Result<()> {
        if mode == (Mode::RecGen { refresh: Some(0) }) {
            return Err(Error::argument("refresh is 0; it must be at least 1"));
        }
        if matches!(self.body, Body::Flat { .. }) && mode != Mode::Exact {
            return Err(Error::argument(format!("mode is {mode:?}; the flat baseline has only Exact")));
        }
        Ok(())
    }
}

impl<S: Real> Hierarchy<S> {
    /// All `X̂_l`, `l = 0..L`, of a text of whole meta-contexts, the first `prompt` of which were given.
    fn reconstruct(&self, tokens: &[u32], prompt: usize, mode: Mode) -> Vec<Rows<S>> {
        let depth = self.levels.len();
        let top = &self.levels[depth - 1];
        let encoded = self.encode(tokens);
        let content = embed(&self.decoder_table, tokens);
        // One row per meta-context, both: what the top-level encoder reads of the tokens, and of the latents.
        let from_tokens = top.chunk(&encoded[depth - 1]);
        let mut from_latents: Rows<S> = Vec::new();

        let mut hats: Vec<Rows<S>> = vec![Vec::new(); depth];
        for meta in 0..from_tokens.len() {
            let known = self.known(meta, prompt, mode);
            let inputs = from_tokens[..known].iter().chain(from_latents.get(known..).unwrap_or_default());
            let top_units = top.encoder.forward(inputs.cloned().collect());

            for l in (1..=depth).rev() {
                let level = &self.levels[l - 1];
                let length = level.shape.chunk_length;
                let chunks: usize = self.levels[l..].iter().map(|above| above.shape.chunk_length).product();
                for g in meta * chunks..(meta + 1) * chunks {
                    let latent = if l == depth {
                        top_units.last().unwrap_or(&level.start)
                    } else {
                        match self.condition {
                            Condition::Current => &hats[l][g],
                            Condition::Previous if g == 0 => &level.start,
                            Condition::Previous => &hats[l][g - 1],
                        }
                    };
                    let given = g * length..(g + 1) * length - 1;
                    let predicted = if l == 1 {
                        level.predict(latent, &content[given])
                    } else if mode == Mode::Exact {
                        level.predict(latent, &encoded[l - 1][given])
                    } else {
                        level.predict_from_own(latent)
                    };
                    hats[l - 1].extend(predicted);
                }
            }
            if depth > 1 {
                let units = top.shape.chunk_length;
                from_latents.extend(top.chunk(&hats[depth - 1][meta * units..]));
            }
        }
        hats
    }

    /// How many meta-contexts the top level knows from their tokens when it is meta-context `meta`'s turn; what
    /// it knows of the others before `meta` is their reconstruction.
    fn known(&self, meta: usize, prompt: usize, mode: Mode) -> usize {
        match mode {
            Mode::RecGen { refresh } if self.levels.len() > 1 && meta > prompt => match refresh {
                Some(k) => meta - (meta - prompt) % k,
                None => prompt,
            },
            _ => meta,
        }
    }
}
