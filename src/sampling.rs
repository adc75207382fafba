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

/// Reusable memory of [`pick`]: after the first call with a vocabulary, drawing allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// Candidates in the order of [`order_key`].
    keys: Vec<u64>,
    /// Probability mass before each block of [`BLOCK`] tokens.
    before: Vec<f64>,
}

impl Scratch {
    /// Makes room for draws from `vocabulary` logits.
    pub(crate) fn reserve(&mut self, vocabulary: usize) {
        self.keys.clear();
        self.keys.reserve(vocabulary);
        self.before.clear();
        self.before.reserve(vocabulary.div_ceil(BLOCK));
    }
}

/// Tokens between two remembered partial sums: a draw re-walks one block instead of the vocabulary.
const BLOCK: usize = 512;

/// Draws one token.
///
/// The weight of token `i` is `p_i = exp((logit_i - max) / temperature)`. With candidates ordered by falling logit,
/// then rising id, the filters apply in turn: the first `top_k`; of those the shortest prefix that holds `top_p` of
/// their mass; of those the tokens with `p_i ≥ min_p`. Among what is kept, in order of ids, the first token whose
/// cumulative mass exceeds `u · total` is drawn, with `u = (x + ½) / 2³²` and `x` the first word of
/// [`philox4x32_10`] for `(seed, sequence)` at `position`.
///
/// A NaN counts as `-inf`. Where no logit is above `-inf` (and for an empty slice) the result is 0.
pub fn pick(logits: &[f32], scratch: &mut Scratch, draw: &Draw) -> u32 {
    if let Some(token) = draw.forced {
        return token;
    }
    let Some((best, max)) = argmax(logits) else { return 0 };
    let sampling = &draw.sampling;
    if sampling.temperature == 0.0 {
        return best;
    }
    let weight = |logit: f32| {
        // Covers an infinite maximum too, where the difference would be NaN.
        if logit == max { 1.0 } else { ((logit - max) / sampling.temperature).exp() }
    };

    // Top-k and top-p keep a prefix of the order, so one key says all about them.
    let mut lowest = 0;
    if sampling.top_k > 0 && sampling.top_k < logits.len() {
        lowest = kth_key(logits, sampling.top_k, &mut scratch.keys);
    }
    if sampling.top_p < 1.0 {
        lowest = nucleus_key(logits, lowest, f64::from(sampling.top_p), weight, &mut scratch.keys);
    }
    let kept = |id: usize, logit: f32| -> Option<f64> {
        if logit.is_nan() || order_key(id, logit) < lowest {
            return None;
        }
        let p = weight(logit);
        (p >= sampling.min_p).then(|| f64::from(p))
    };

    let mut total = 0.0;
    let mut last = best;
    scratch.before.clear();
    for (block, values) in logits.chunks(BLOCK).enumerate() {
        scratch.before.push(total);
        for (i, &logit) in values.iter().enumerate() {
            if let Some(p) = kept(block * BLOCK + i, logit) {
                total += p;
                last = (block * BLOCK + i) as u32;
            }
        }
    }
    let goal = uniform(draw) * total;
    // The first block whose end lies beyond the goal; the partial sums are those of the plain walk to the bit.
    let block = scratch.before.partition_point(|&sum| sum <= goal).max(1) - 1;
    let mut sum = scratch.before[block];
    for (id, &logit) in logits.iter().enumerate().skip(block * BLOCK) {
        if let Some(p) = kept(id, logit) {
            sum += p;
            if sum > goal {
                return id as u32;
            }
        }
    }
    last
}

/// The random number of a draw, in (0, 1).
fn uniform(draw: &Draw) -> f64 {
    let (seed, position) = (draw.sampling.seed, draw.position);
    let counter = [position as u32, (position >> 32) as u32, (seed >> 32) as u32, 0];
    let word = philox4x32_10(counter, [seed as u32, draw.sequence])[0];
    (f64::from(word) + 0.5) / 4_294_967_296.0
}

/// The lowest id among the highest logits, if any is above `-inf`.
fn argmax(logits: &[f32]) -> Option<(u32, f32)> {
    let mut best = None;
    let mut max = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        // False for a NaN.
        if logit > max {
            max = logit;
            best = Some(id as u32);
        }
    }
    best.map(|id| (id, max))
}

/// A number that falls along the order of candidates: higher logits first, then lower ids.
fn order_key(id: usize, logit: f32) -> u64 {
    // Adding 0 makes -0 and 0 one value.
    let bits = if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 }.to_bits();
    let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(rising) << 32 | u64::from(!(id as u32))
}

/// The key of the `k`-th candidate, `0 < k < logits.len()`. Linear in the vocabulary: candidates below the `k`-th of
/// those seen so far never enter the buffer, which is cut back to `k` whenever it has doubled.
fn kth_key(logits: &[f32], k: usize, keys: &mut Vec<u64>) -> u64 {
    let room = (2 * k).max(k + 256);
    let mut floor = 0;
    keys.clear();
    let cut = |keys: &mut Vec<u64>| {
        let (_, &mut kth, _) = keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
        keys.truncate(k);
        kth
    };
    for (id, &logit) in logits.iter().enumerate() {
        let key = order_key(id, logit);
        if key > floor {
            keys.push(key);
            if keys.len() == room {
                floor = cut(keys);
            }
        }
    }
    cut(keys)
}

/// The key of the last candidate of the nucleus among those at or above `lowest`. Sorts a growing prefix only: most
/// nuclei end within the first few hundred candidates.
fn nucleus_key(
    logits: &[f32],
    lowest: u64,
    top_p: f64,
    weight: impl Fn(f32) -> f32,
    keys: &mut Vec<u64>,
) -> u64 {
    keys.clear();
    let mut total = 0.0;
    for (id, &logit) in logits.iter().enumerate() {
        let key = order_key(id, logit);
        if !logit.is_nan() && key >= lowest {
            keys.push(key);
            total += f64::from(weight(logit));
        }
    }
    let (mut sum, mut start, mut step) = (0.0, 0, 256);
    while start < keys.len() {
        let rest = &mut keys[start..];
        let sorted = step.min(rest.len());
        if sorted < rest.len() {
            rest.select_nth_unstable_by(sorted - 1, |a, b| b.cmp(a));
        }
        rest[..sorted].sort_unstable_by(|a, b| b.cmp(a));
        for &key in &rest[..sorted] {
            let id = !(key as u32) as usize;
            sum += f64::from(weight(logits[id]));
            if sum >= top_p * total {
                return key;
            }
        }
        start += sorted;
        step *= 4;
    }
    // Rounding may leave the sum a hair below a `top_p` close to 1.
    lowest
}

/// Philox-4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"): four random words for
/// each counter, without state.
pub fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let a = MULTIPLIERS[0] * u64::from(counter[0]);
        let b = MULTIPLIERS[1] * u64::from(counter[2]);
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
    }
    counter
}

#[cfg(test)]
mod tests;
