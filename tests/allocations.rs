//! The steady state of generation allocates nothing: a counting allocator watches meta-contexts go by.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::{engine, rng, text};
use photon_kernels::Config;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::generate::{Bottleneck, Mode, Request};
use photon_kernels::sampling::Sampling;

/// Counts what passes through the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to `System` unchanged; the counters do not touch the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's contract is System's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `pointer` came from `System.alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn the_steady_state_of_every_mode_allocates_nothing() {
    let config = |condition: &str| {
        Config::from_json(&format!(
            r#"{{"model_type":"photon","vocab_size":300,"hidden_size":64,"intermediate_size":96,"num_attention_heads":4,
            "encoder_embedding_size":16,"condition":"{condition}","levels":[
            {{"chunk_length":4,"chunker":"concat","encoder_layers":2,"decoder_layers":2,"prefix_length":2}},
            {{"chunk_length":3,"chunker":"linear","encoder_layers":1,"decoder_layers":2,"prefix_length":2}}]}}"#
        ))
        .expect("a configuration")
    };
    for condition in ["current", "previous"] {
        let config = config(condition);
        let checkpoint = Checkpoint::random(&config, 1, Dtype::Bf16).expect("random weights");
        let engine = engine(&checkpoint, Dtype::Bf16);
        let c = config.meta_context();
        let sampling = Sampling { temperature: 1.0, top_k: 40, top_p: 0.9, min_p: 0.01, seed: 5 };
        let requests: Vec<Request> = (0..3)
            .map(|i| Request {
                prompt: text(&mut rng(i), &config, 3 * c + 2 * i as usize),
                max_new_tokens: 60 * c,
                sampling,
                sequence: i as u32,
            })
            .collect();
        for mode in
            [Mode::Exact, Mode::HierGen, Mode::RecGen { refresh: None }, Mode::RecGen { refresh: Some(4) }]
        {
            let start = || {
                engine
                    .generate(&requests, mode, Bottleneck::Reconstruction, &mut |_, _| ())
                    .expect("a generation")
            };
            // The backend's rotary angles grow to the longest text that it has seen.
            let mut generation = start();
            while generation.step().expect("a step") {}
            let mut generation = start();
            // The first passes size the working memory, and so does the first refresh.
            for _ in 0..12 {
                generation.step().expect("a step");
            }
            let (allocations, live) = (ALLOCATIONS.load(Relaxed), LIVE.load(Relaxed));
            let steps = 32;
            for _ in 0..steps {
                assert!(generation.step().expect("a step"));
            }
            let allocations = ALLOCATIONS.load(Relaxed) - allocations;
            assert_eq!(LIVE.load(Relaxed), live, "{condition} {mode}: memory in use changed");
            // A thread pool's queue may take a block now and then; a token may take nothing.
            assert!(
                allocations <= steps / 8,
                "{condition} {mode}: {allocations} allocations in {steps} meta-contexts"
            );
        }
    }
}
