//! `generate` at temperature 0 in all modes.
//!
//! The rule: each token must be the one that the f64 reference finds most likely after *the same tokens before it*. Another one is accepted
//! only where the reference's logits of the two differ by no more than two logits of this model may err in this dtype: twice what scores
//! are allowed, `2 x (2 x the naive implementation's error + one rounding)`, root mean squares over all logits of the text. What follows an
//! accepted token is judged after that token. And of all tokens at least nine in ten must be the reference's.

use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::config::Config;
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::reference::{Reference, Rows};
use photon_kernels::sampling::Sampling;

use super::common::{reference_mode, rms, text};
use super::models::{Model, engine, model, numbers};
use photon_kernels::cuda::CudaBackend;

fn generate(engine: &Engine<CudaBackend>, requests: &[Request], mode: Mode) -> Vec<Vec<u32>> {
    let mut generation =
        engine.generate(requests, mode, Bottleneck::Reconstruction, &mut |_, _| ()).expect("a generation");
    while generation.step().expect("a step") {}
    (0..requests.len()).map(|i| generation.tokens(i).to_vec()).collect()
}

/// Prompts of no token, and around the boundaries of meta-contexts: a batch that is ragged in every way.
fn requests(model: &mut Model) -> Vec<Request> {
    let c = model.stride();
    let config = model.checkpoint.config();
    let mut lengths = vec![0, c - 1, c, c + 1, 2 * c + c / 2];
    lengths.dedup();
    let rng = &mut model.rng;
    lengths
        .into_iter()
        .enumerate()
        .map(|(i, length)| Request {
            prompt: text(rng, config, length),
            // Unequal ends as well; the first goes through a refresh.
            max_new_tokens: if i == 0 { 3 * c + 1 } else { 2 * c + 1 - i % 3 * (c / 2) },
            sampling: Sampling::GREEDY,
            sequence: i as u32,
        })
        .collect()
}

/// Logits of a text, the prompt's length, the mode.
type Logits<'a> = dyn Fn(&[u32], usize, Mode) -> Rows<f64> + 'a;

/// How many tokens there are, and how many are the reference's; fails where one is neither that nor as likely.
fn judge(model: &Model, mode: Mode, prompt: &[u32], new: &[u32], what: &str) -> (usize, usize) {
    let exact = Reference::<f64>::new(&model.checkpoint).expect("a reference");
    let all = [prompt, new].concat();
    // A prompt that ends inside a meta-context is completed in exact mode; the parallel modes begin after it.
    let boundary = prompt.len().next_multiple_of(model.checkpoint.config().meta_context());
    let rows = |logits: &Logits| -> Rows<f64> {
        let end = boundary.min(all.len());
        let mut rows = logits(&all[..end], 0, Mode::Exact);
        if end < all.len() {
            rows.extend(logits(&all, boundary, mode).split_off(end));
        }
        rows.split_off(prompt.len())
    };
    let want = rows(&|tokens, prompt, mode| {
        exact.logits(tokens, prompt, reference_mode(mode)).expect("reference logits")
    });
    let naive = rows(&|tokens, prompt, mode| model.naive_logits(tokens, prompt, mode));
    let error = rms(naive.iter().flatten().copied(), want.iter().flatten().copied());
    let near = 2.0 * (2.0 * error + model.floor());
    let mut same = 0;
    for (at, (row, &token)) in want.iter().zip(new).enumerate() {
        let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let behind = best - row[token as usize];
        same += usize::from(behind == 0.0);
        assert!(
            behind <= near,
            "{what}: new token {at} is {token}, {behind:.3e} behind the best; {near:.3e} is allowed\n{:?}",
            model.checkpoint.config()
        );
    }
    (new.len(), same)
}

#[test]
fn tokens_of_ragged_batches_are_those_of_the_reference_or_as_likely() {
    let (mut all, mut same) = (0, 0);
    for number in numbers() {
        let mut model = model(number);
        let requests = requests(&mut model);
        for &mode in model.modes() {
            let tokens = generate(&model.engine, &requests, mode);
            let (mut drawn, mut equal) = (0, 0);
            for (request, new) in requests.iter().zip(&tokens) {
                assert_eq!(new.len(), request.max_new_tokens);
                let what = format!("model {number} {} {mode} prompt {}", model.dtype, request.prompt.len());
                let (a, b) = judge(&model, mode, &request.prompt, new, &what);
                (drawn, equal) = (drawn + a, equal + b);
            }
            println!("model {number} {} {mode}: {equal} of {drawn} tokens are the reference's", model.dtype);
            (all, same) = (all + drawn, same + equal);
        }
    }
    assert!(10 * same >= 9 * all, "only {same} of {all} tokens are the reference's");
}

#[test]
fn a_sequence_has_the_tokens_alone_that_it_has_in_a_ragged_batch() {
    for number in numbers().filter(|number| number % 5 == 1) {
        let mut model = model(number);
        let requests = requests(&mut model);
        for &mode in model.modes() {
            let together = generate(&model.engine, &requests, mode);
            for (request, tokens) in requests.iter().zip(&together) {
                let alone = generate(&model.engine, std::slice::from_ref(request), mode);
                assert_eq!(&alone[0], tokens, "model {number} {mode} prompt {}", request.prompt.len());
            }
        }
    }
}

#[test]
fn sequences_end_at_the_end_of_text_token_and_the_others_go_on() {
    for number in numbers().filter(|number| number % 5 == 3) {
        let mut model = model(number);
        let requests = requests(&mut model);
        let c = model.stride();
        for &mode in model.modes() {
            let whole = generate(&model.engine, &requests, mode);
            // The token that one of them draws in the middle of its second meta-context.
            let eos = whole[0][c + c / 2];
            let config = Config { eos_token_id: Some(eos), ..model.checkpoint.config().clone() };
            let checkpoint = Checkpoint::random(&config, number as u64, model.dtype).expect("random weights");
            let ended = generate(&engine(&checkpoint, model.dtype), &requests, mode);
            for (i, (ended, whole)) in ended.iter().zip(&whole).enumerate() {
                let end = whole.iter().position(|&token| token == eos).map_or(whole.len(), |at| at + 1);
                assert_eq!(ended, &whole[..end], "model {number} {mode} sequence {i}, end of text {eos}");
            }
        }
    }
}
