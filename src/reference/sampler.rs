//! Drawing a token, written from its definition.
//!
//! With temperature 0 the highest logit wins, and of equal ones the lowest id. Otherwise, with logits `x` in `f32`:
//! 1. `z_i = x_i / temperature`, `p_i = exp(z_i - max z)`.
//! 2. Candidates are ordered by logit, highest first, and then by id, lowest first.
//! 3. *top-k* keeps the first `k` (0: all).
//! 4. *top-p* keeps the shortest beginning of the order that reaches `top_p` of what top-k kept, one token at least
//!    (1: all).
//! 5. *min-p* keeps those with `p_i ≥ min_p · max p`.
//! 6. With a [`uniform`] `u`, the kept tokens are walked in ascending order of their ids; the first one whose
//!    cumulative sum (in `f64`) exceeds `u` times the total is drawn.
//!
//! A NaN logit counts as minus infinity; if nothing is above minus infinity, token 0 is drawn.

use std::cmp::Ordering;

use crate::sampling::Sampling;

/// Philox-4x32 with 10 rounds (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011).
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
    }
    counter
}

/// The random number in `(0, 1)` of the token at `position` of a sequence: `(w + ½) · 2^-32` with `w` the first
/// word of [`philox`]. Key: low word of the seed, sequence. Counter: low and high word of the position, high word of
/// the seed, 0.
pub fn uniform(seed: u64, sequence: u32, position: u64) -> f64 {
    let counter = [position as u32, (position >> 32) as u32, (seed >> 32) as u32, 0];
    let [word, ..] = philox(counter, [seed as u32, sequence]);
    (f64::from(word) + 0.5) / 2f64.powi(32)
}

/// The id drawn from `logits`; `position` is the token's, counted from 0 at the start of its sequence.
pub fn sample(logits: &[f32], sampling: &Sampling, sequence: u32, position: u64) -> u32 {
    draw(logits, sampling, uniform(sampling.seed, sequence, position))
}

/// The id that the random number `u` draws from `logits`.
pub fn draw(logits: &[f32], sampling: &Sampling, u: f64) -> u32 {
    let logits: Vec<f32> = logits.iter().map(|&x| if x.is_nan() { f32::NEG_INFINITY } else { x }).collect();
    // No NaN is left to be incomparable, and -0 equals 0.
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap_or(Ordering::Equal).then(a.cmp(&b)));
    let Some(&best) = order.first() else { return 0 };
    if sampling.temperature == 0.0 || logits[best] == f32::NEG_INFINITY {
        return best as u32;
    }

    let scaled: Vec<f32> = logits.iter().map(|x| x / sampling.temperature).collect();
    let weight = |id: usize| if scaled[id] == scaled[best] { 1.0 } else { (scaled[id] - scaled[best]).exp() };
    let mut kept = order;
    if sampling.top_k > 0 {
        kept.truncate(sampling.top_k);
    }
    if sampling.top_p < 1.0 {
        let total: f64 = kept.iter().map(|&id| f64::from(weight(id))).sum();
        let mut reached = 0.0;
        let beyond = kept.iter().position(|&id| {
            reached += f64::from(weight(id));
            reached >= f64::from(sampling.top_p) * total
        });
        kept.truncate(beyond.map_or(kept.len(), |last| last + 1));
    }
    kept.retain(|&id| weight(id) >= sampling.min_p);

    kept.sort_unstable();
    let total: f64 = kept.iter().map(|&id| f64::from(weight(id))).sum();
    let mut reached = 0.0;
    let drawn = kept.iter().find(|&&id| {
        reached += f64::from(weight(id));
        reached > u * total
    });
    *drawn.or(kept.last()).unwrap_or(&best) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The philox4x32 lines with 10 rounds of `kat_vectors` in Random123's distribution: counter, key, result.
    #[test]
    fn philox_gives_the_known_answers() {
        let pi = ([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        assert_eq!(philox(pi.0, pi.1), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
    }

    #[test]
    fn uniform_places_seed_sequence_and_position() {
        assert_eq!(uniform(0, 0, 0), (0x6627e8d5u32 as f64 + 0.5) / 4294967296.0);
        let word = philox([0x89abcdef, 0x01234567, 0xfedcba98, 0], [0x76543210, 42])[0];
        let expected = (f64::from(word) + 0.5) / 4294967296.0;
        assert_eq!(uniform(0xfedcba98_76543210, 42, 0x01234567_89abcdef), expected);
    }

    /// The share of `u` in (0, 1) that draws each id, to 1/4000.
    fn shares(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
        let mut shares = vec![0.0; logits.len()];
        for i in 0..4000 {
            shares[draw(logits, sampling, (i as f64 + 0.5) / 4000.0) as usize] += 1.0 / 4000.0;
        }
        shares
    }

    fn assert_shares(logits: &[f32], sampling: Sampling, expected: &[f64]) {
        let got = shares(logits, &sampling);
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-3, "{sampling:?} gives {got}, not {expected}");
        }
    }

    /// Probabilities 0.2, 0.1, 0.4, 0.3 of ids 0..4.
    fn logits() -> Vec<f32> {
        [0.2f32, 0.1, 0.4, 0.3].map(|p| p.ln() + 7.0).to_vec()
    }

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 };

    #[test]
    fn greedy_takes_the_lowest_of_equal_ids() {
        let greedy = |logits: &[f32]| draw(logits, &Sampling::GREEDY, 0.999);
        assert_eq!(greedy(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(greedy(&[-0.0, 0.0]), 0);
        assert_eq!(greedy(&[0.0, -0.0]), 0);
        assert_eq!(greedy(&[f32::NAN, -5.0, f32::NAN]), 1);
        assert_eq!(greedy(&[f32::NEG_INFINITY, f32::NAN]), 0);
    }

    #[test]
    fn temperature_sharpens_and_flattens() {
        assert_shares(&logits(), PLAIN, &[0.2, 0.1, 0.4, 0.3]);
        let squares = [0.04, 0.01, 0.16, 0.09].map(|p| p / 0.3);
        assert_shares(&logits(), Sampling { temperature: 0.5, ..PLAIN }, &squares);
        assert_shares(&logits(), Sampling { temperature: 1e9, ..PLAIN }, &[0.25; 4]);
    }

    #[test]
    fn ids_are_walked_in_ascending_order() {
        for (u, id) in [(0.1, 0), (0.19, 0), (0.21, 1), (0.29, 1), (0.31, 2), (0.69, 2), (0.71, 3), (1.0, 3)]
        {
            assert_eq!(draw(&logits(), &PLAIN, u), id, "u = {u}");
        }
    }

    #[test]
    fn top_k_keeps_the_first_and_breaks_ties_by_id() {
        let keep = |top_k| Sampling { top_k, ..PLAIN };
        assert_shares(&logits(), keep(1), &[0.0, 0.0, 1.0, 0.0]);
        assert_shares(&logits(), keep(2), &[0.0, 0.0, 4.0 / 7.0, 3.0 / 7.0]);
        assert_shares(&logits(), keep(9), &[0.2, 0.1, 0.4, 0.3]);
        assert_shares(&[1.0, 5.0, 5.0, 5.0], keep(2), &[0.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn top_p_keeps_the_shortest_prefix_that_reaches_it() {
        let keep = |top_p| Sampling { top_p, ..PLAIN };
        assert_shares(&logits(), keep(1e-6), &[0.0, 0.0, 1.0, 0.0]);
        assert_shares(&logits(), keep(0.399), &[0.0, 0.0, 1.0, 0.0]);
        assert_shares(&logits(), keep(0.401), &[0.0, 0.0, 4.0 / 7.0, 3.0 / 7.0]);
        assert_shares(&logits(), keep(0.701), &[2.0 / 9.0, 0.0, 4.0 / 9.0, 3.0 / 9.0]);
        assert_shares(&logits(), keep(0.999), &[0.2, 0.1, 0.4, 0.3]);
        // Exactly reached: two equal ids of four hold one half.
        assert_shares(&[0.0; 4], keep(0.5), &[0.5, 0.5, 0.0, 0.0]);
        // Normalised over what top-k kept: 4/7 of it reaches 0.55, although 0.4 of all does not.
        assert_shares(&logits(), Sampling { top_k: 2, ..keep(0.55) }, &[0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn min_p_compares_with_the_most_likely() {
        let keep = |min_p| Sampling { min_p, ..PLAIN };
        assert_shares(&logits(), keep(0.0), &[0.2, 0.1, 0.4, 0.3]);
        assert_shares(&logits(), keep(0.3), &[2.0 / 9.0, 0.0, 4.0 / 9.0, 3.0 / 9.0]);
        assert_shares(&logits(), keep(0.6), &[0.0, 0.0, 4.0 / 7.0, 3.0 / 7.0]);
        assert_shares(&logits(), keep(1.0), &[0.0, 0.0, 1.0, 0.0]);
        // After top-p: 0.7 keeps ids 2 and 3 (0.4 + 0.3 of f32 may fall short of it, so 0.69), min-p drops 3.
        assert_shares(&logits(), Sampling { top_p: 0.69, ..keep(0.8) }, &[0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn infinities_and_nan_are_never_drawn_but_plus_infinity_is() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert_shares(&[nan, 0.0, -inf, 0.0], PLAIN, &[0.0, 0.5, 0.0, 0.5]);
        assert_shares(&[-inf, nan], PLAIN, &[1.0, 0.0]);
        assert_shares(&[0.0, inf, inf], PLAIN, &[0.0, 0.5, 0.5]);
    }
}
