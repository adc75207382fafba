//! What generation promises, whatever the model: ragged batches, Theorem A.6, refresh, caches, ends of text.

mod common;

use common::{checkpoint, config, engine, rng, text};
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::Config;
use photon_kernels::cpu::CpuBackend;
use photon_kernels::generate::{Bottleneck, Engine, Generation, Mode, Request};
use photon_kernels::sampling::Sampling;
use rand::RngExt;

const MODES: [Mode; 4] =
    [Mode::Exact, Mode::HierGen, Mode::RecGen { refresh: None }, Mode::RecGen { refresh: Some(2) }];

fn start<'e>(engine: &'e Engine<CpuBackend>, requests: &[Request], mode: Mode) -> Generation<'e, CpuBackend> {
    engine.generate(requests, mode, Bottleneck::Reconstruction, &mut |_, _| ()).expect("a generation")
}

fn finish(mut generation: Generation<'_, CpuBackend>, n: usize) -> Vec<Vec<u32>> {
    while generation.step().expect("a step") {}
    (0..n).map(|i| generation.tokens(i).to_vec()).collect()
}

fn sampled(seed: u64) -> Sampling {
    Sampling { temperature: 1.0, top_p: 0.95, seed, ..Sampling::GREEDY }
}

#[test]
fn a_ragged_batch_gives_each_sequence_what_it_gets_alone() {
    for seed in 400..420 {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let checkpoint = checkpoint(seed, dtype);
            let engine = engine(&checkpoint, dtype);
            let c = checkpoint.config().meta_context();
            let mut rng = rng(seed);
            let requests: Vec<Request> = (0..rng.random_range(2..9))
                .map(|i| {
                    let length = rng.random_range(0..3 * c + 2);
                    Request {
                        prompt: text(&mut rng, checkpoint.config(), length),
                        max_new_tokens: rng.random_range(0..3 * c + 1),
                        sampling: sampled(seed + i / 2),
                        sequence: i as u32,
                    }
                })
                .collect();
            for mode in MODES {
                let together = finish(start(&engine, &requests, mode), requests.len());
                for (i, request) in requests.iter().enumerate() {
                    let alone = finish(start(&engine, std::slice::from_ref(request), mode), 1);
                    assert_eq!(together[i], alone[0], "seed {seed} {mode:?} sequence {i}");
                    assert_eq!(alone[0].len(), request.max_new_tokens);
                }
            }
        }
    }
}

#[test]
fn latents_of_a_batch_are_those_of_each_sequence_alone_bit_for_bit() {
    for seed in 430..440 {
        let checkpoint = checkpoint(seed, Dtype::Bf16);
        let engine = engine(&checkpoint, Dtype::Bf16);
        let c = checkpoint.config().meta_context();
        let mut rng = rng(seed);
        let requests: Vec<Request> = (0..5)
            .map(|i| {
                let length = rng.random_range(0..4 * c);
                let prompt = text(&mut rng, checkpoint.config(), length);
                Request { prompt, max_new_tokens: 10 * c, sampling: sampled(seed), sequence: i }
            })
            .collect();
        for mode in MODES {
            let mut together = start(&engine, &requests, mode);
            // Lanes whose prompt ends inside a meta-context take one step more than the others to the same place.
            let tails = requests.iter().any(|r| !r.prompt.len().is_multiple_of(c));
            for _ in 0..3 + usize::from(tails && mode != Mode::Exact) {
                together.step().expect("a step");
            }
            for (i, request) in requests.iter().enumerate() {
                let mut alone = start(&engine, std::slice::from_ref(request), mode);
                let tail = !request.prompt.len().is_multiple_of(c) && mode != Mode::Exact;
                for _ in 0..3 + usize::from(tail) {
                    alone.step().expect("a step");
                }
                let (a, b) = (together.latent(i).expect("a latent"), alone.latent(0).expect("a latent"));
                let bits = |row: Vec<f32>| row.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                assert_eq!(bits(a), bits(b), "seed {seed} {mode:?} sequence {i}");
            }
        }
    }
}

/// Theorem A.6: where X̂_{L-1} = X_{L-1}, RecGen and HierGen draw the same tokens from the same random numbers.
#[test]
fn recgen_with_encoder_states_at_the_bottleneck_is_hiergen() {
    let mut deep = 0;
    for seed in 500..530 {
        let checkpoint = checkpoint(seed, Dtype::F32);
        let engine = engine(&checkpoint, Dtype::F32);
        let c = checkpoint.config().meta_context();
        let length = rng(seed).random_range(0..3 * c);
        let prompt = text(&mut rng(seed), checkpoint.config(), length);
        let request = Request { prompt, max_new_tokens: 6 * c, sampling: sampled(seed), sequence: 3 };
        let requests = [request.clone(), Request { sequence: 4, max_new_tokens: 3 * c, ..request }];
        let hiergen = finish(start(&engine, &requests, Mode::HierGen), 2);
        let recgen = Mode::RecGen { refresh: None };
        let replaced = engine
            .generate(&requests, recgen, Bottleneck::EncoderStates, &mut |_, _| ())
            .expect("a generation");
        assert_eq!(finish(replaced, 2), hiergen, "seed {seed}");
        let own = finish(start(&engine, &requests, recgen), 2);
        deep += usize::from(own != hiergen);
    }
    assert!(deep > 5, "the bottleneck never mattered: the test shows nothing");
}

#[test]
fn recgen_latents_do_not_depend_on_the_tokens_drawn() {
    for seed in 540..560 {
        let mut config = config(&mut rng(seed));
        if config.depth() == 1 {
            continue;
        }
        config.vocab_size = 50;
        let checkpoint = Checkpoint::random(&config, seed, Dtype::F32).expect("random weights");
        let engine = engine(&checkpoint, Dtype::F32);
        let c = config.meta_context();
        let prompt = text(&mut rng(seed), &config, 2 * c);
        let request = |seed: u64| Request {
            prompt: prompt.clone(),
            max_new_tokens: 20 * c,
            sampling: Sampling { temperature: 2.0, ..sampled(seed) },
            sequence: 0,
        };
        let (mut a, mut b) = (
            start(&engine, &[request(1)], Mode::RecGen { refresh: None }),
            start(&engine, &[request(2)], Mode::RecGen { refresh: None }),
        );
        for _ in 0..12 {
            a.step().expect("a step");
            b.step().expect("a step");
            assert_eq!(a.latent(0).expect("a latent"), b.latent(0).expect("a latent"), "seed {seed}");
        }
        assert_ne!(a.tokens(0), b.tokens(0), "seed {seed}: other seeds drew the same tokens");
    }
}

#[test]
fn refresh_of_one_is_hiergen() {
    for seed in 560..575 {
        let checkpoint = checkpoint(seed, Dtype::Bf16);
        let engine = engine(&checkpoint, Dtype::Bf16);
        let c = checkpoint.config().meta_context();
        let prompt = text(&mut rng(seed), checkpoint.config(), c + 1);
        let request = [Request { prompt, max_new_tokens: 5 * c, sampling: sampled(seed), sequence: 0 }];
        let hiergen = finish(start(&engine, &request, Mode::HierGen), 1);
        assert_eq!(
            finish(start(&engine, &request, Mode::RecGen { refresh: Some(1) }), 1),
            hiergen,
            "seed {seed}"
        );
    }
}

/// Bytes of a stack's keys and values for one unit.
fn unit_bytes(config: &Config, l: usize, element: usize) -> usize {
    2 * config.level(l).encoder_layers * config.num_key_value_heads * config.head_dim() * element
}

#[test]
fn each_mode_keeps_exactly_the_caches_that_it_needs() {
    for seed in 600..620 {
        let checkpoint = checkpoint(seed, Dtype::Bf16);
        let config = checkpoint.config();
        let engine = engine(&checkpoint, Dtype::Bf16);
        let (c, depth) = (config.meta_context(), config.depth());
        let prompt = text(&mut rng(seed), config, 3 * c + 1);
        let new = 4 * c;
        let request = [Request { prompt, max_new_tokens: new, sampling: Sampling::GREEDY, sequence: 0 }];
        let metas = (3 * c + 1 + new).div_ceil(c);
        for mode in MODES {
            let mut generation = start(&engine, &request, mode);
            while generation.step().expect("a step") {}
            let recgen = mode == (Mode::RecGen { refresh: None }) && depth > 1;
            let kept = if recgen { depth..=depth } else { 1..=depth };
            let want: usize = kept.map(|l| metas * config.units(l) * unit_bytes(config, l, 2)).sum();
            assert_eq!(generation.cache_bytes(0), want, "seed {seed} {mode:?}");
            if recgen {
                for l in 1..depth {
                    assert_eq!(generation.cached_units(0, l), 0, "seed {seed} level {l}");
                }
            }
        }
    }
}

#[test]
fn nothing_follows_the_end_of_text() {
    let mut ended = 0;
    for seed in 700..720 {
        let mut config = config(&mut rng(seed));
        config.vocab_size = 5;
        config.eos_token_id = Some(2);
        let checkpoint = Checkpoint::random(&config, seed, Dtype::F32).expect("random weights");
        let engine = engine(&checkpoint, Dtype::F32);
        let requests: Vec<Request> = (0..4)
            .map(|i| Request { prompt: vec![2, 1], max_new_tokens: 30, sampling: sampled(seed), sequence: i })
            .collect();
        for mode in MODES {
            for tokens in finish(start(&engine, &requests, mode), 4) {
                match tokens.iter().position(|&t| t == 2) {
                    Some(at) => {
                        assert_eq!(at + 1, tokens.len(), "seed {seed} {mode:?}");
                        ended += 1;
                    }
                    None => assert_eq!(tokens.len(), 30, "seed {seed} {mode:?}"),
                }
            }
        }
    }
    assert!(ended > 50, "only {ended} texts ended");
}

#[test]
fn bad_arguments_are_errors_that_name_them() {
    let checkpoint = checkpoint(1, Dtype::F32);
    let engine = engine(&checkpoint, Dtype::F32);
    let vocabulary = checkpoint.config().vocab_size as u32;
    let request = |prompt: Vec<u32>, sampling| Request { prompt, max_new_tokens: 1, sampling, sequence: 0 };
    let message = |requests: &[Request], mode| match engine.generate(
        requests,
        mode,
        Bottleneck::default(),
        &mut |_, _| (),
    ) {
        Ok(_) => panic!("no error"),
        Err(error) => error.to_string(),
    };
    let text = message(&[request(vec![0, vocabulary], Sampling::GREEDY)], Mode::Exact);
    assert!(
        text.contains("request 0") && text.contains(&vocabulary.to_string()) && text.contains("position 1")
    );
    let hot = Sampling { temperature: f32::NAN, ..Sampling::GREEDY };
    assert!(message(&[request(vec![], hot)], Mode::Exact).contains("temperature"));
    assert!(
        message(&[request(vec![], Sampling::GREEDY)], Mode::RecGen { refresh: Some(0) }).contains("refresh")
    );
    let c = checkpoint.config().meta_context();
    if c > 1 {
        let error = engine.score(&vec![0; 3 * c], Mode::RecGen { refresh: None }, c + 1, &mut |_, _| ());
        let text = error.expect_err("an error").to_string();
        assert!(text.contains("prompt_tokens") && text.contains(&c.to_string()));
    }
}
