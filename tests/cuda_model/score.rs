//! `score` in all modes.

use photon_kernels::generate::ScoreRequest;
use photon_kernels::reference::Reference;
use rand::RngExt;

use super::common::{reference_mode, rms, text};
use super::models::{model, numbers};

#[test]
fn scores_err_at_most_twice_as_much_as_naive_arithmetic_of_the_same_dtype() {
    for number in numbers() {
        let mut model = model(number);
        let c = model.stride();
        let config = model.checkpoint.config();
        let exact = Reference::<f64>::new(&model.checkpoint).expect("a reference");
        // Four meta-contexts with the last one cut short; RecGen from the start, or after one.
        let len = 3 * c + model.rng.random_range(1..=c);
        let prompt = number % 2 * c;
        let tokens = text(&mut model.rng, config, len);
        for &mode in model.modes() {
            let want = exact.score(&tokens, prompt, reference_mode(mode)).expect("a reference score");
            let naive = model.naive_score(&tokens, prompt, mode);
            let got = model.engine.score(&tokens, mode, prompt, &mut |_, _| ()).expect("a score");
            assert_eq!(got.len(), tokens.len());
            let error = rms(got.iter().map(|&x| f64::from(x)), want.iter().copied());
            let allowed = 2.0 * rms(naive.iter().copied(), want.iter().copied()) + model.floor();
            let what = format!("model {number} {} {mode} {len} tokens, {prompt} given", model.dtype);
            println!("{what}: {error:.2e} of {allowed:.2e}");
            assert!(error <= allowed, "{what}: {error:.3e} > {allowed:.3e}\n{config:?}");
        }
    }
}

#[test]
fn texts_of_no_token_one_token_and_around_a_meta_context_are_scored_to_the_last_token() {
    for number in numbers().filter(|number| number % 5 == 0) {
        let mut model = model(number);
        let c = model.stride();
        let config = model.checkpoint.config();
        let tokens = text(&mut model.rng, config, c + 1);
        for &mode in model.modes() {
            let whole = model.engine.score(&tokens, mode, 0, &mut |_, _| ()).expect("a score");
            for len in [0, 1, c - 1, c] {
                let part = model.engine.score(&tokens[..len], mode, 0, &mut |_, _| ()).expect("a score");
                // Nothing after a token has any say in its score, and nothing beside it in its bits.
                assert_eq!(part, whole[..len], "model {number} {mode} {len} tokens");
            }
        }
    }
}

#[test]
fn a_text_gets_the_same_bits_whatever_shares_its_batch() {
    for number in numbers().filter(|number| number % 5 == 1) {
        let mut model = model(number);
        let c = model.stride();
        let config = model.checkpoint.config();
        let texts = [c + 1, 0, 3 * c, 1, 2 * c].map(|len| text(&mut model.rng, config, len));
        let requests =
            texts.each_ref().map(|tokens| ScoreRequest { tokens, prompt: tokens.len() / 2 / c * c });
        for &mode in model.modes() {
            let together = model.engine.score_batch(&requests, mode, &mut |_, _| ()).expect("scores");
            for (request, together) in requests.iter().zip(together) {
                let ScoreRequest { tokens, prompt } = *request;
                let alone = model.engine.score(tokens, mode, prompt, &mut |_, _| ()).expect("a score");
                assert_eq!(together, alone, "model {number} {mode} {} tokens, {prompt} given", tokens.len());
            }
        }
    }
}
