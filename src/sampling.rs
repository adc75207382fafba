//! Drawing a token from logits: temperature, top-k, top-p, min-p, and the counter-based random number of a draw.

use crate::error::{Error, Result};

/// How a sequence draws its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 is greedy (the lowest id wins ties).
    pub temperature: f32,
    /// Keep the `top_k` most likely tokens (0 keeps all; ties at the edge go to the lower id).
    pub top_k: usize,
    /// Keep the most likely tokens until their probability reaches `top_p` (1 keeps all).
    pub top_p: f32,
    /// Keep tokens at least `min_p` times as likely as the most likely one (0 keeps all).
    pub min_p: f32,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Sampling {
    /// Greedy decoding.
    pub const GREEDY: Self = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 };

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the parameter.
    pub fn validate(&self) -> Result<()> {
        let fail = |name: &str, value: f32, range: &str| {
            Err(Error::argument(format!("{name} is {value}; it must be {range}")))
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return fail("temperature", self.temperature, "finite and not negative");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fail("top_p", self.top_p, "in (0, 1]");
        }
        if !(self.min_p >= 0.0 && self.min_p <= 1.0) {
            return fail("min_p", self.min_p, "in [0, 1]");
        }
        Ok(())
    }
}

/// One draw: which random number it uses, or which token is forced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Parameters of the sequence.
    pub sampling: Sampling,
    /// Identity of the sequence: the second half of the random number's key.
    pub sequence: u32,
    /// Absolute position of the token in its sequence: the random number's counter.
    pub position: u64,
    /// Take this token instead of drawing (a known token of the prompt).
    pub forced: Option<u32>,
}

/// Reusable memory of [`pick`].
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    _stub: (),
}

/// Draws one token.
pub fn pick(logits: &[f32], _scratch: &mut Scratch, draw: &Draw) -> u32 {
    if let Some(token) = draw.forced {
        return token;
    }
    let mut best = 0;
    for (i, &x) in logits.iter().enumerate() {
        if x > logits[best] {
            best = i;
        }
    }
    best as u32
}
