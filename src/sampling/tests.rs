//! What drawing a token must hold.

use super::*;

/// Counter-based numbers for the tests themselves.
struct Numbers(u32);

impl Numbers {
    fn word(&mut self) -> u32 {
        self.0 += 1;
        philox4x32_10([self.0, 0, 0, 77], [5, 6])[0]
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.word()) * u64::from(n)) >> 32) as u32
    }

    fn unit(&mut self) -> f32 {
        self.word() as f32 / 4_294_967_296.0
    }
}

fn draw(sampling: Sampling, position: u64) -> Draw {
    Draw { sampling, sequence: 3, position, forced: None }
}

fn once(logits: &[f32], draw: &Draw) -> u32 {
    pick(logits, &mut Scratch::default(), draw)
}

/// The definition, written down with a full sort.
fn naive(logits: &[f32], draw: &Draw) -> u32 {
    let s = draw.sampling;
    let clean: Vec<f32> = logits.iter().map(|&x| if x.is_nan() { f32::NEG_INFINITY } else { x }).collect();
    let max = clean.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return 0;
    }
    let mut order: Vec<usize> = (0..clean.len()).collect();
    order.sort_by(|&a, &b| clean[b].partial_cmp(&clean[a]).unwrap().then(a.cmp(&b)));
    if s.temperature == 0.0 {
        return order[0] as u32;
    }
    let p: Vec<f64> = clean.iter().map(|&x| f64::from(((x - max) / s.temperature).exp())).collect();
    if s.top_k > 0 {
        order.truncate(s.top_k);
    }
    if s.top_p < 1.0 {
        // In the order of ids, as any sum over the kept tokens is taken.
        let mut ids = order.clone();
        ids.sort();
        let total: f64 = ids.iter().map(|&i| p[i]).sum();
        let mut sum = 0.0;
        let enough = order.iter().position(|&i| {
            sum += p[i];
            sum >= f64::from(s.top_p) * total
        });
        order.truncate(enough.map_or(order.len(), |n| n + 1));
    }
    order.retain(|&i| p[i] >= f64::from(s.min_p));
    order.sort();
    let total: f64 = order.iter().map(|&i| p[i]).sum();
    let goal = uniform(draw) * total;
    let mut sum = 0.0;
    for &i in &order {
        sum += p[i];
        if sum > goal {
            return i as u32;
        }
    }
    *order.last().unwrap() as u32
}

#[test]
fn philox_gives_the_published_answers() {
    let known = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, answer) in known {
        assert_eq!(philox4x32_10(counter, key), answer);
    }
}

#[test]
fn the_random_number_depends_on_seed_sequence_and_position_alone() {
    let base =
        Draw { sampling: Sampling { seed: 7, ..Sampling::GREEDY }, sequence: 1, position: 9, forced: None };
    let mut seen = vec![uniform(&base)];
    for change in [
        Draw { position: 10, ..base },
        Draw { position: 9 | 1 << 32, ..base },
        Draw { sequence: 2, ..base },
        Draw { sampling: Sampling { seed: 8, ..base.sampling }, ..base },
        Draw { sampling: Sampling { seed: 7 | 1 << 32, ..base.sampling }, ..base },
    ] {
        let u = uniform(&change);
        assert!(u > 0.0 && u < 1.0);
        assert!(!seen.contains(&u));
        seen.push(u);
    }
    assert_eq!(uniform(&Draw { sampling: Sampling { temperature: 2.0, ..base.sampling }, ..base }), seen[0]);
}

#[test]
fn greedy_takes_the_highest_logit_and_the_lowest_id_of_a_tie() {
    let greedy = draw(Sampling::GREEDY, 0);
    assert_eq!(once(&[1.0, 3.0, 3.0, 2.0], &greedy), 1);
    assert_eq!(once(&[-0.0, 0.0], &greedy), 0);
    assert_eq!(once(&[f32::NAN, -5.0, f32::NAN], &greedy), 1);
    assert_eq!(once(&[f32::NEG_INFINITY, f32::INFINITY], &greedy), 1);
}

#[test]
fn nothing_above_minus_infinity_gives_token_0() {
    for temperature in [0.0, 1.0] {
        let d = draw(Sampling { temperature, top_k: 1, top_p: 0.5, min_p: 0.5, seed: 1 }, 0);
        assert_eq!(once(&[f32::NAN, f32::NEG_INFINITY, f32::NAN], &d), 0);
        assert_eq!(once(&[], &d), 0);
    }
}

#[test]
fn a_forced_token_is_taken_whatever_the_logits() {
    let d = Draw { forced: Some(2), ..draw(Sampling::GREEDY, 0) };
    assert_eq!(once(&[9.0, 1.0, f32::NAN], &d), 2);
}

#[test]
fn nan_is_never_drawn() {
    let mut logits = vec![f32::NAN; 1500];
    (logits[3], logits[700], logits[1499]) = (0.0, 0.0, 0.0);
    let mut seen = [0; 1500];
    for top_k in [0, 2, 3, 10] {
        for position in 0..200 {
            let s = Sampling { temperature: 1.0, top_k, top_p: 0.99, ..Sampling::GREEDY };
            seen[once(&logits, &draw(s, position)) as usize] += 1;
        }
    }
    assert_eq!(seen.iter().filter(|&&n| n > 0).count(), 3);
    assert!(seen[3] > 0 && seen[700] > 0 && seen[1499] > 0);
}

#[test]
fn an_infinite_logit_takes_all() {
    let s = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    for position in 0..50 {
        assert_eq!(once(&[0.0, f32::INFINITY, 5.0], &draw(s, position)), 1);
    }
}

#[test]
fn a_tiny_temperature_is_greedy_without_overflow() {
    let s = Sampling { temperature: 1e-45, ..Sampling::GREEDY };
    for position in 0..50 {
        assert_eq!(once(&[0.0, 1.0, 1.5, -3e38], &draw(s, position)), 2);
    }
}

#[test]
fn filters_agree_with_their_definition_on_random_logits_with_ties() {
    let mut numbers = Numbers(0);
    let mut scratch = Scratch::default();
    for case in 0..4000u64 {
        let n = 1 + numbers.below(if case % 10 == 0 { 3000 } else { 40 }) as usize;
        let grain = [0.0, 0.25, 1.0][numbers.below(3) as usize];
        let logits: Vec<f32> = (0..n)
            .map(|_| match numbers.below(40) {
                0 => f32::NAN,
                1 => f32::NEG_INFINITY,
                2 => -0.0,
                _ => {
                    let x = (numbers.unit() - 0.5) * 12.0;
                    if grain > 0.0 { (x / grain).round() * grain } else { x }
                }
            })
            .collect();
        let sampling = Sampling {
            temperature: [0.0, 0.3, 1.0, 2.5][numbers.below(4) as usize],
            top_k: [0, 1, 2, 5, 37, 300, 100_000][numbers.below(7) as usize],
            top_p: [1.0, 1.0, 0.001, 0.5, 0.9, 0.999_999][numbers.below(6) as usize],
            min_p: [0.0, 0.0, 0.01, 0.5, 1.0][numbers.below(5) as usize],
            seed: u64::from(numbers.word()) << 20,
        };
        sampling.validate().unwrap();
        let d = draw(sampling, case);
        assert_eq!(
            pick(&logits, &mut scratch, &d),
            naive(&logits, &d),
            "case {case}: {sampling:?} {logits:?}"
        );
    }
}

#[test]
fn a_full_vocabulary_agrees_with_the_definition() {
    let mut numbers = Numbers(1 << 20);
    let logits: Vec<f32> = (0..32_000).map(|_| (numbers.unit() + numbers.unit() - 1.0) * 8.0).collect();
    let mut scratch = Scratch::default();
    for (top_k, top_p, min_p) in [
        (0, 1.0, 0.0),
        (50, 1.0, 0.0),
        (0, 0.9, 0.0),
        (0, 1.0, 0.1),
        (1000, 0.8, 0.05),
        (31_999, 0.9999, 0.0),
    ] {
        for position in 0..4 {
            let s = Sampling { temperature: 1.0, top_k, top_p, min_p, seed: 11 };
            let d = draw(s, position);
            assert_eq!(pick(&logits, &mut scratch, &d), naive(&logits, &d), "{s:?}");
        }
    }
}

/// Pearson's statistic of `counts` against `expected` probabilities.
fn chi_square(counts: &[usize], expected: &[f64]) -> f64 {
    let n = counts.iter().sum::<usize>() as f64;
    counts.iter().zip(expected).map(|(&c, &p)| (c as f64 - n * p).powi(2) / (n * p)).sum()
}

#[test]
fn tokens_come_with_their_probabilities() {
    let logits: Vec<f32> = (0..20).map(|i| ((i * 7) % 20) as f32 * 0.15).collect();
    for temperature in [0.7f32, 1.0, 1.8] {
        let s = Sampling { temperature, seed: 42, ..Sampling::GREEDY };
        let mut counts = [0usize; 20];
        let mut scratch = Scratch::default();
        for position in 0..40_000 {
            counts[pick(&logits, &mut scratch, &draw(s, position)) as usize] += 1;
        }
        let p: Vec<f64> = logits.iter().map(|&x| (f64::from(x) / f64::from(temperature)).exp()).collect();
        let total: f64 = p.iter().sum();
        let expected: Vec<f64> = p.iter().map(|x| x / total).collect();
        // 19 degrees of freedom: above 43.8 once in a thousand.
        assert!(chi_square(&counts, &expected) < 43.8, "temperature {temperature}: {counts:?}");
    }
}

#[test]
fn top_k_draws_the_kept_tokens_with_their_relative_probabilities() {
    let logits = [0.5f32, 2.0, 1.0, 2.0, -1.0, 1.5];
    let s = Sampling { temperature: 1.0, top_k: 3, seed: 9, ..Sampling::GREEDY };
    let mut counts = [0usize; 6];
    for position in 0..20_000 {
        counts[once(&logits, &draw(s, position)) as usize] += 1;
    }
    assert_eq!((counts[0], counts[2], counts[4]), (0, 0, 0));
    let p = [2f64.exp(), 2f64.exp(), 1.5f64.exp()];
    let total: f64 = p.iter().sum();
    let kept = [counts[1], counts[3], counts[5]];
    // 2 degrees of freedom: above 13.8 once in a thousand.
    assert!(chi_square(&kept, &p.map(|x| x / total)) < 13.8, "{counts:?}");
}

#[test]
fn drawing_allocates_nothing_once_warm() {
    let logits: Vec<f32> = (0..5000).map(|i| (i % 97) as f32 * 0.1).collect();
    let s = Sampling { temperature: 1.0, top_k: 300, top_p: 0.9, min_p: 0.01, seed: 3 };
    let mut scratch = Scratch::default();
    pick(&logits, &mut scratch, &draw(s, 0));
    let (keys, before) = (scratch.keys.capacity(), scratch.before.capacity());
    for position in 1..50 {
        pick(&logits, &mut scratch, &draw(s, position));
    }
    assert_eq!((scratch.keys.capacity(), scratch.before.capacity()), (keys, before));
}

#[test]
fn parameters_out_of_range_are_named() {
    let ok = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    for (bad, name) in [
        (Sampling { temperature: -1.0, ..ok }, "temperature is -1"),
        (Sampling { temperature: f32::NAN, ..ok }, "temperature is NaN"),
        (Sampling { temperature: f32::INFINITY, ..ok }, "temperature is inf"),
        (Sampling { top_p: 0.0, ..ok }, "top_p is 0"),
        (Sampling { top_p: 1.5, ..ok }, "top_p is 1.5"),
        (Sampling { min_p: -0.1, ..ok }, "min_p is -0.1"),
        (Sampling { min_p: f32::NAN, ..ok }, "min_p is NaN"),
    ] {
        assert!(bad.validate().unwrap_err().to_string().contains(name));
    }
}
