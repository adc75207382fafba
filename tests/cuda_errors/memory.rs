//! Memory that runs out: what was there stays as it was, and goes on when there is memory again.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use photon_kernels::backend::{Backend, Heads, KvCache};
use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::cuda::CudaBackend;
use photon_kernels::generate::{Bottleneck, Engine, Generation, Mode, Request};
use photon_kernels::sampling::Sampling;
use photon_kernels::{Error, Result};

use super::common::{rng, text};
use super::{again, backend, expect_error, model};

/// Somebody else on the device, who takes what there is.
struct Other {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    taken: Option<CudaSlice<u8>>,
}

impl Other {
    fn new() -> Other {
        let context = CudaContext::new(0).expect("a GPU, real or simulated");
        Other { stream: context.default_stream(), context, taken: None }
    }

    /// Leaves `room` bytes of memory, whatever was left before.
    fn leave(&mut self, room: usize) {
        self.taken = None;
        let (free, _) = self.context.mem_get_info().expect("the memory");
        // SAFETY: nobody reads it.
        let taken = unsafe { self.stream.alloc(free - room) };
        self.taken = Some(taken.expect("what is free"));
    }

    fn go(&mut self) {
        self.taken = None;
    }
}

const LARGE: [(&str, &str); 1] = [("\"vocab_size\":40", "\"vocab_size\":40000")];

#[test]
fn a_model_that_does_not_fit_is_refused_and_a_smaller_one_loads() {
    let test = "memory::a_model_that_does_not_fit_is_refused_and_a_smaller_one_loads";
    again::under_simulated(test, &[("GPUSIM_MEMORY", "4000000")], || {
        expect_error!(Engine::new(backend(), &model(&LARGE)), OutOfMemory, ["GPU", "smaller model"]);
        let engine = Engine::new(backend(), &model(&[])).expect("an engine");
        assert_eq!(engine.score(&[1, 2, 3], Mode::Exact, 0, &mut |_, _| ()).expect("a score").len(), 3);
    });
}

#[test]
fn a_batch_that_does_not_fit_is_refused_and_a_smaller_one_runs_on_the_same_engine() {
    let test = "memory::a_batch_that_does_not_fit_is_refused_and_a_smaller_one_runs_on_the_same_engine";
    again::under_simulated(test, &[("GPUSIM_MEMORY", "4000000")], || {
        let engine = Engine::new(backend(), &model(&[])).expect("an engine");
        let request = |new| Request {
            prompt: vec![1; 20],
            max_new_tokens: new,
            sampling: Sampling::GREEDY,
            sequence: 0,
        };
        let start = |requests: &[Request]| {
            engine.generate(requests, Mode::HierGen, Bottleneck::Reconstruction, &mut |_, _| ())
        };
        let (free, _) = engine.backend().memory().expect("the memory");
        expect_error!(
            start(&vec![request(4000); 8]),
            OutOfMemory,
            ["GPU", "smaller batch", "shorter context"]
        );
        let (after, _) = engine.backend().memory().expect("the memory");
        assert_eq!(free, after, "what had been allocated for the batch is free again");
        let mut generation = start(&[request(16)]).expect("a generation");
        while generation.step().expect("a step") {}
        assert_eq!(generation.tokens(0).len(), 16);
        let long = vec![3; 100_000];
        expect_error!(engine.score(&long, Mode::Exact, 0, &mut |_, _| ()), OutOfMemory, ["GPU"]);
        assert!(engine.score(&long[..50], Mode::Exact, 0, &mut |_, _| ()).is_ok());
    });
}

#[test]
fn a_buffer_beyond_the_memory_is_refused_and_a_smaller_one_is_made() {
    let backend = backend();
    expect_error!(backend.buffer(1 << 42), OutOfMemory, ["GPU"]);
    expect_error!(backend.buffer(usize::MAX / 2), Argument, ["beyond any memory"]);
    assert_eq!(backend.buffer(1 << 10).map(|buffer| backend.buffer_len(&buffer)).ok(), Some(1 << 10));
}

#[test]
fn a_cache_that_cannot_grow_keeps_its_room_and_grows_later() {
    let backend = backend();
    let heads = Heads { query: 2, kv: 1, head_dim: 52 };
    let mut cache = backend.cache(2, heads, 40).expect("a cache");
    let bytes = cache.bytes();
    expect_error!(cache.reserve(1 << 38), OutOfMemory, ["GPU"]);
    assert_eq!((cache.bytes(), cache.len()), (bytes, 0));
    cache.reserve(65).expect("room for three blocks");
    assert_eq!(2 * cache.bytes(), 3 * bytes);
}

const MODES: [Mode; 4] =
    [Mode::Exact, Mode::HierGen, Mode::RecGen { refresh: None }, Mode::RecGen { refresh: Some(2) }];

fn start<'e>(
    engine: &'e Engine<CudaBackend>,
    requests: &[Request],
    mode: Mode,
) -> Generation<'e, CudaBackend> {
    engine.generate(requests, mode, Bottleneck::Reconstruction, &mut |_, _| ()).expect("a generation")
}

/// A step under attack: less memory than it needs at first, then always a little more. Gives how often it failed.
fn pressed(other: &mut Other, mut step: impl FnMut() -> Result<bool>) -> (usize, bool) {
    let (mut room, mut failures) = (0, 0);
    loop {
        other.leave(room);
        match step() {
            Err(Error::OutOfMemory(_)) => failures += 1,
            result => {
                other.go();
                return (failures, result.expect("a step"));
            }
        }
        room = if room == 0 { 256 } else { room + room / 4 };
    }
}

/// Ragged prompts, sampled: any trace of a step that failed shows in the tokens.
fn requests(checkpoint: &Checkpoint) -> Vec<Request> {
    [0usize, 3, 16, 21]
        .into_iter()
        .enumerate()
        .map(|(i, length)| Request {
            prompt: text(&mut rng(length as u64), checkpoint.config(), length),
            max_new_tokens: [36, 40, 29, 36][i],
            sampling: Sampling { temperature: 1.0, seed: 9, ..Sampling::GREEDY },
            sequence: i as u32,
        })
        .collect()
}

#[test]
fn a_step_that_runs_out_of_memory_anywhere_can_be_tried_again_and_draws_the_same_tokens() {
    let test = "memory::a_step_that_runs_out_of_memory_anywhere_can_be_tried_again_and_draws_the_same_tokens";
    // Not the checks of races: the same launches run under them elsewhere, and here again and again.
    again::under_simulated(test, &[("GPUSIM_MEMORY", "60000000"), ("GPUSIM_CHECKS", "off")], || {
        for condition in ["previous", "current"] {
            let checkpoint = model(&[("previous", condition)]);
            let requests = requests(&checkpoint);
            for mode in MODES {
                let undisturbed = Engine::new(backend(), &checkpoint).expect("an engine");
                let mut expected = start(&undisturbed, &requests, mode);
                // An engine of its own, whose workspace is as small as it was.
                let engine = Engine::new(backend(), &checkpoint).expect("an engine");
                let mut generation = start(&engine, &requests, mode);
                let mut other = Other::new();
                let mut failures = Vec::new();
                loop {
                    let goes_on = expected.step().expect("a step");
                    let (failed, went_on) = pressed(&mut other, || generation.step());
                    failures.push(failed);
                    assert_eq!(went_on, goes_on);
                    for i in 0..requests.len() {
                        let what = format!("{condition} {mode} sequence {i} after {failures:?} failures");
                        assert_eq!(generation.tokens(i), expected.tokens(i), "{what}");
                        assert_eq!(generation.finished(i), expected.finished(i), "{what}");
                    }
                    if !goes_on {
                        break;
                    }
                }
                println!("{condition} {mode}: steps failed {failures:?} times");
                assert!(failures.iter().sum::<usize>() > 5, "{condition} {mode}: memory hardly ran out");
            }
        }
    });
}
