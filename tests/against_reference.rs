//! The CPU backend against the plain reference: random shapes, all modes, both conditions.

mod common;

use common::{MODES, checkpoint, engine, reference_mode, rms, rng, text};
use half::bf16;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::reference::{self, Reference};
use photon_kernels::sampling::Sampling;
use rand::RngExt;
use rand::rngs::StdRng;

/// A text of a few meta-contexts and a prompt length that RecGen accepts.
fn case(rng: &mut StdRng, checkpoint: &Checkpoint) -> (Vec<u32>, usize) {
    let c = checkpoint.config().meta_context();
    let len = rng.random_range(0..=(5 * c).min(150));
    let prompt = rng.random_range(0..=len / c) * c;
    (text(rng, checkpoint.config(), len), prompt)
}

fn score(
    engine: &Engine<photon_kernels::cpu::CpuBackend>,
    tokens: &[u32],
    mode: Mode,
    prompt: usize,
) -> Vec<f64> {
    let scores = engine.score(tokens, mode, prompt, &mut |_, _| ()).expect("a score");
    scores.into_iter().map(f64::from).collect()
}

#[test]
fn f32_scores_agree_with_the_f64_reference_to_1e5_in_every_mode() {
    for seed in 0..60 {
        let checkpoint = checkpoint(seed, Dtype::F32);
        let exact = Reference::<f64>::new(&checkpoint).expect("a reference");
        let engine = engine(&checkpoint, Dtype::F32);
        let (tokens, prompt) = case(&mut rng(1000 + seed), &checkpoint);
        for mode in MODES {
            let want = exact.score(&tokens, prompt, reference_mode(mode)).expect("a reference score");
            let got = score(&engine, &tokens, mode, prompt);
            assert_eq!(got.len(), tokens.len());
            for (t, (got, want)) in got.iter().zip(&want).enumerate() {
                let error = (got - want).abs() / want.abs().max(1.0);
                assert!(
                    error <= 1e-5,
                    "seed {seed} {mode:?} token {t}: {got} is not {want}\n{:?}",
                    checkpoint.config()
                );
            }
        }
    }
}

#[test]
fn bf16_scores_err_at_most_twice_as_much_as_naive_bf16() {
    // The floor is one rounding of a bf16 logit of magnitude 1/2.
    let floor = 2f64.powi(-10);
    for seed in 100..140 {
        let checkpoint = checkpoint(seed, Dtype::Bf16);
        let exact = Reference::<f64>::new(&checkpoint).expect("a reference");
        let naive = Reference::<bf16>::new(&checkpoint).expect("a reference");
        let engine = engine(&checkpoint, Dtype::Bf16);
        let (tokens, prompt) = case(&mut rng(1000 + seed), &checkpoint);
        for mode in MODES {
            let want = exact.score(&tokens, prompt, reference_mode(mode)).expect("a reference score");
            let rounded = naive.score(&tokens, prompt, reference_mode(mode)).expect("a reference score");
            let got = score(&engine, &tokens, mode, prompt);
            let (ours, theirs) = (rms(got, want.iter().copied()), rms(rounded, want.iter().copied()));
            assert!(
                ours <= 2.0 * theirs + floor,
                "seed {seed} {mode:?}: error {ours:e}, naive {theirs:e}\n{:?}",
                checkpoint.config()
            );
        }
    }
}

/// Generates one sequence alone.
fn generate(
    engine: &Engine<photon_kernels::cpu::CpuBackend>,
    prompt: &[u32],
    new: usize,
    mode: Mode,
    sampling: Sampling,
) -> Vec<u32> {
    let request = Request { prompt: prompt.to_vec(), max_new_tokens: new, sampling, sequence: 7 };
    let mut generation =
        engine.generate(&[request], mode, Bottleneck::Reconstruction, &mut |_, _| ()).expect("a generation");
    while generation.step().expect("a step") {}
    generation.tokens(0).to_vec()
}

#[test]
fn greedy_tokens_are_the_argmax_of_the_score_in_the_same_mode_after_any_prompt() {
    let short = |seed: &u64| checkpoint(*seed, Dtype::F32).config().meta_context() <= 24;
    for seed in (200..260).filter(short).take(15) {
        let checkpoint = checkpoint(seed, Dtype::F32);
        let exact = Reference::<f64>::new(&checkpoint).expect("a reference");
        let engine = engine(&checkpoint, Dtype::F32);
        let c = checkpoint.config().meta_context();
        let mut rng = rng(seed);
        for length in [0, 1, c - 1, c, c + 1, rng.random_range(0..4 * c)] {
            let prompt = text(&mut rng, checkpoint.config(), length);
            for mode in MODES {
                let new = generate(&engine, &prompt, 2 * c + 1, mode, Sampling::GREEDY);
                assert_eq!(new.len(), 2 * c + 1);
                let all = [&prompt[..], &new].concat();
                // A prompt that ends inside a meta-context is completed in exact mode; RecGen begins after it.
                let boundary = length.next_multiple_of(c);
                let tail = exact.logits(&all, 0, reference::Mode::Exact).expect("logits");
                let logits = exact.logits(&all, boundary, reference_mode(mode)).expect("logits");
                for t in length..all.len() {
                    let row = if t < boundary { &tail[t] } else { &logits[t] };
                    let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let taken = row[all[t] as usize];
                    assert!(
                        best - taken <= 1e-5,
                        "seed {seed} {mode:?} prompt {length} token {t}: {taken} is below {best}\n{:?}",
                        checkpoint.config()
                    );
                }
            }
        }
    }
}

#[test]
fn sampled_tokens_are_those_of_the_reference() {
    let samplings = [
        Sampling { temperature: 1.0, seed: 11, ..Sampling::GREEDY },
        Sampling { temperature: 0.8, top_k: 5, seed: 1 << 40, ..Sampling::GREEDY },
        Sampling { temperature: 1.3, top_p: 0.7, seed: 3, ..Sampling::GREEDY },
        Sampling { temperature: 1.1, top_k: 20, top_p: 0.9, min_p: 0.2, seed: 4 },
    ];
    // The reference recomputes everything for each token: short meta-contexts only.
    let short = |seed: &u64| checkpoint(*seed, Dtype::F32).config().meta_context() <= 12;
    for seed in (300..360).filter(short).take(12) {
        let checkpoint = checkpoint(seed, Dtype::F32);
        let plain = Reference::<f32>::new(&checkpoint).expect("a reference");
        let engine = engine(&checkpoint, Dtype::F32);
        let c = checkpoint.config().meta_context();
        let mut rng = rng(seed);
        let length = rng.random_range(0..2 * c + 1);
        let prompt = text(&mut rng, checkpoint.config(), length);
        for mode in MODES {
            for sampling in &samplings {
                let new = c + 2;
                let want =
                    plain.generate(&prompt, new, reference_mode(mode), sampling, 7).expect("a generation");
                let got = generate(&engine, &prompt, new, mode, *sampling);
                assert_eq!(
                    got,
                    want,
                    "seed {seed} {mode:?} {sampling:?} prompt {length}\n{:?}",
                    checkpoint.config()
                );
            }
        }
    }
}
