//! Scores of a batch: what each text gets alone, to the bit, and what the reference says.

mod common;

use common::{MODES, checkpoint, config, engine, reference_mode, rng, text};
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Config, ModelType};
use photon_kernels::cpu::CpuBackend;
use photon_kernels::generate::{Engine, Mode, ScoreRequest};
use photon_kernels::reference::Reference;
use rand::RngExt;
use rand::rngs::StdRng;

/// A text and the length of its prompt.
type Case = (Vec<u32>, usize);

/// A text of a length, with a prompt that RecGen accepts.
fn case(rng: &mut StdRng, config: &Config, len: usize) -> Case {
    let c = config.meta_context();
    let prompt = rng.random_range(0..=len / c) * c;
    (text(rng, config, len), prompt)
}

/// Texts of lengths around the borders of meta-contexts and of random ones, in random order, with prompts that RecGen
/// accepts.
fn batch(rng: &mut StdRng, config: &Config) -> Vec<Case> {
    let c = config.meta_context();
    let mut lengths = vec![0, 1, c - 1, c, c + 1, 2 * c + 1];
    for _ in 0..4 {
        lengths.push(rng.random_range(0..=6 * c));
    }
    for i in (1..lengths.len()).rev() {
        lengths.swap(i, rng.random_range(0..=i));
    }
    lengths.into_iter().map(|len| case(rng, config, len)).collect()
}

fn requests(cases: &[Case]) -> Vec<ScoreRequest<'_>> {
    cases.iter().map(|(tokens, prompt)| ScoreRequest { tokens, prompt: *prompt }).collect()
}

fn together(engine: &Engine<CpuBackend>, cases: &[Case], mode: Mode) -> Vec<Vec<f32>> {
    engine.score_batch(&requests(cases), mode, &mut |_, _| ()).expect("scores")
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

/// Asserts that every text of a batch gets the bits that it gets alone, and those within two halves of the batch.
fn assert_alone(engine: &Engine<CpuBackend>, cases: &[Case], mode: Mode, what: &str) {
    let scores = together(engine, cases, mode);
    assert_eq!(scores.len(), cases.len());
    let (first, second) = cases.split_at(cases.len() / 2);
    let halves = [together(engine, first, mode), together(engine, second, mode)].concat();
    for (i, (tokens, prompt)) in cases.iter().enumerate() {
        let alone = engine.score(tokens, mode, *prompt, &mut |_, _| ()).expect("a score");
        assert_eq!(alone.len(), tokens.len());
        let what = format!("{what} {mode} text {i} of {} tokens, prompt {prompt}", tokens.len());
        assert_eq!(bits(&scores[i]), bits(&alone), "{what}");
        assert_eq!(bits(&halves[i]), bits(&alone), "{what}, half of the batch");
    }
}

#[test]
fn a_text_gets_the_same_bits_whatever_shares_its_batch() {
    for seed in 0..25 {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let checkpoint = checkpoint(2000 + seed, dtype);
            let engine = engine(&checkpoint, dtype);
            let cases = batch(&mut rng(seed), checkpoint.config());
            for mode in MODES {
                assert_alone(&engine, &cases, mode, &format!("seed {seed} {dtype}"));
            }
        }
    }
}

/// The greatest error of scores against the reference's, relative above 1.
fn error(got: impl IntoIterator<Item = f64>, want: &[f64]) -> f64 {
    // `f64::max` would pass over a NaN.
    let got: Vec<f64> = got.into_iter().collect();
    assert!(got.iter().all(|score| score.is_finite()), "{got:?}");
    got.into_iter().zip(want).map(|(got, want)| (got - want).abs() / want.abs().max(1.0)).fold(0.0, f64::max)
}

/// The rule of all comparisons: twice what the plain implementation loses to f32, and 1e-5. What a token of another text or
/// meta-context would give is off by 1e-2 and more.
#[test]
fn scores_of_a_batch_agree_with_the_f64_reference_in_every_mode() {
    // The reference recomputes everything: short meta-contexts only.
    let short = |seed: &u64| checkpoint(*seed, Dtype::F32).config().meta_context() <= 24;
    for seed in (2030..2080).filter(short).take(25) {
        let checkpoint = checkpoint(seed, Dtype::F32);
        let exact = Reference::<f64>::new(&checkpoint).expect("a reference");
        let plain = Reference::<f32>::new(&checkpoint).expect("a reference");
        let engine = engine(&checkpoint, Dtype::F32);
        let cases = batch(&mut rng(seed), checkpoint.config());
        for mode in MODES {
            let (mut ours, mut naive) = (0.0, 0.0);
            for ((tokens, prompt), scores) in cases.iter().zip(together(&engine, &cases, mode)) {
                let want = exact.score(tokens, *prompt, reference_mode(mode)).expect("a reference score");
                let rounded = plain.score(tokens, *prompt, reference_mode(mode)).expect("a reference score");
                assert_eq!(scores.len(), want.len());
                ours = f64::max(ours, error(scores.iter().copied().map(f64::from), &want));
                naive = f64::max(naive, error(rounded, &want));
            }
            assert!(
                ours <= 2.0 * naive + 1e-5,
                "seed {seed} {mode}: off by {ours:e}, plain f32 by {naive:e}"
            );
        }
    }
}

/// More texts than a pass holds meta-contexts.
#[test]
fn a_text_gets_the_same_bits_among_hundreds() {
    let mut seed = 80;
    // Many units of level 1 leave a pass of 512 rows few meta-contexts.
    let config = loop {
        let config = config(&mut rng(seed));
        if config.depth() > 1 && config.units(1) >= 4 {
            break config;
        }
        seed += 1;
    };
    let checkpoint = Checkpoint::random(&config, seed, Dtype::F32).expect("random weights");
    let engine = engine(&checkpoint, Dtype::F32);
    let mut rng = rng(seed);
    let c = config.meta_context();
    let cases: Vec<Case> = (0..300)
        .map(|_| {
            let len = rng.random_range(0..=2 * c);
            case(&mut rng, &config, len)
        })
        .collect();
    for mode in [Mode::RecGen { refresh: None }, Mode::RecGen { refresh: Some(1) }] {
        assert_alone(&engine, &cases, mode, &format!("seed {seed}"));
    }
}

/// Several passes of several texts: more rows than a pass holds, and texts longer than one.
#[test]
fn long_texts_get_the_same_bits_whatever_shares_their_batch() {
    for seed in 60..64 {
        let mut config = config(&mut rng(seed));
        // Small meta-contexts leave a pass the most of them.
        while config.meta_context() > 6 || config.depth() == 1 {
            config = common::config(&mut rng(config.hidden_size as u64 * 31 + config.vocab_size as u64));
        }
        let checkpoint = Checkpoint::random(&config, seed, Dtype::F32).expect("random weights");
        let engine = engine(&checkpoint, Dtype::F32);
        let mut rng = rng(seed);
        let cases: Vec<Case> = (0..5)
            .map(|_| {
                let len = rng.random_range(0..1500);
                case(&mut rng, &config, len)
            })
            .collect();
        for mode in [Mode::Exact, Mode::RecGen { refresh: None }, Mode::RecGen { refresh: Some(700) }] {
            assert_alone(&engine, &cases, mode, &format!("seed {seed}"));
        }
    }
}

#[test]
fn a_flat_batch_gives_each_text_its_bits_and_the_references_scores() {
    for seed in 70..80 {
        let mut config = config(&mut rng(seed));
        config.model_type = ModelType::Vanilla;
        config.levels.clear();
        config.layers = Some(2);
        config.encoder_embedding_size = 0;
        config.validate().expect("a vanilla configuration");
        let checkpoint = Checkpoint::random(&config, seed, Dtype::F32).expect("random weights");
        let engine = engine(&checkpoint, Dtype::F32);
        let mut rng = rng(seed);
        let cases: Vec<Case> =
            [0, 1, 2, 700, 3, 0, 17, 512].map(|len| (text(&mut rng, &config, len), 0)).into();
        assert_alone(&engine, &cases, Mode::Exact, &format!("seed {seed}"));
        let exact = Reference::<f64>::new(&checkpoint).expect("a reference");
        let short: Vec<Case> = cases.into_iter().filter(|(tokens, _)| tokens.len() < 100).collect();
        for ((tokens, _), scores) in short.iter().zip(together(&engine, &short, Mode::Exact)) {
            let want = exact.score(tokens, 0, reference_mode(Mode::Exact)).expect("a reference score");
            for (got, want) in scores.iter().zip(&want) {
                assert!((f64::from(*got) - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} is not {want}");
            }
        }
    }
}

#[test]
fn progress_counts_the_tokens_of_all_texts() {
    let checkpoint = checkpoint(2001, Dtype::F32);
    let engine = engine(&checkpoint, Dtype::F32);
    let cases = batch(&mut rng(1), checkpoint.config());
    let total: usize = cases.iter().map(|(tokens, _)| tokens.len()).sum();
    for mode in MODES {
        let mut seen = vec![];
        engine.score_batch(&requests(&cases), mode, &mut |done, of| seen.push((done, of))).expect("scores");
        assert!(seen.is_sorted() && seen.iter().all(|&(_, of)| of == total), "{mode}: {seen:?}");
        assert_eq!(seen.last(), Some(&(total, total)), "{mode}");
    }
}

#[test]
fn no_texts_and_empty_texts_have_no_scores() {
    let checkpoint = checkpoint(2002, Dtype::F32);
    let engine = engine(&checkpoint, Dtype::F32);
    for mode in MODES {
        assert!(together(&engine, &[], mode).is_empty());
        assert_eq!(together(&engine, &[(vec![], 0), (vec![], 0)], mode), vec![Vec::<f32>::new(); 2]);
    }
}

#[test]
fn errors_name_the_text_of_a_batch() {
    let checkpoint =
        (0..).map(|seed| checkpoint(seed, Dtype::F32)).find(|c| c.config().meta_context() > 2).expect("one");
    let engine = engine(&checkpoint, Dtype::F32);
    let (c, recgen) = (checkpoint.config().meta_context(), Mode::RecGen { refresh: None });
    let beyond = checkpoint.config().vocab_size as u32;
    for (case, mode, parts) in [
        ((vec![0, beyond], 0), Mode::Exact, ["text 1", "position 1"]),
        ((vec![0; 3 * c], c + 1), recgen, ["text 1", "prompt_tokens"]),
        ((vec![0; c], 2 * c), recgen, ["text 1", "tokens"]),
    ] {
        let cases = [(vec![0; c], 0), case];
        let error = engine.score_batch(&requests(&cases), mode, &mut |_, _| ()).expect_err("an error");
        for part in parts {
            assert!(error.to_string().contains(part), "{part:?} is not in {error}");
        }
    }
}
