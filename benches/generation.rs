//! Prefill and decoding of the sample model's shape in every mode, batch 1, 4 and 16.
//!
//! The result is checked first: each sequence of a batch must get what it gets alone. For full-size models see
//! `photon bench`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use photon_kernels::Config;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
use photon_kernels::generate::{Bottleneck, Engine, Generation, Mode, Request};
use photon_kernels::sampling::Sampling;

const PROMPT: usize = 256;
const NEW: usize = 256;
const MODES: [(&str, Mode); 3] =
    [("exact", Mode::Exact), ("hiergen", Mode::HierGen), ("recgen", Mode::RecGen { refresh: None })];

fn engine() -> Engine<CpuBackend> {
    let config = Config::from_json(
        r#"{"model_type":"photon","vocab_size":4096,"hidden_size":208,"intermediate_size":560,
        "num_attention_heads":4,"encoder_embedding_size":52,"levels":[
        {"chunk_length":4,"chunker":"concat","encoder_layers":2,"decoder_layers":2,"prefix_length":2},
        {"chunk_length":4,"chunker":"linear","encoder_layers":2,"decoder_layers":2,"prefix_length":2}]}"#,
    )
    .expect("a valid configuration");
    let checkpoint = Checkpoint::random(&config, 0, Dtype::Bf16).expect("random weights");
    let backend = CpuBackend::new(CpuOptions::default()).expect("a CPU backend");
    Engine::new(backend, &checkpoint).expect("an engine")
}

fn requests(batch: usize) -> Vec<Request> {
    (0..batch as u32)
        .map(|sequence| Request {
            prompt: (0..PROMPT as u32).map(|at| (at * 37 + sequence * 101) % 4096).collect(),
            max_new_tokens: NEW,
            sampling: Sampling::GREEDY,
            sequence,
        })
        .collect()
}

fn start<'e>(engine: &'e Engine<CpuBackend>, requests: &[Request], mode: Mode) -> Generation<'e, CpuBackend> {
    engine.generate(requests, mode, Bottleneck::Reconstruction, &mut |_, _| ()).expect("a generation")
}

fn check(engine: &Engine<CpuBackend>, mode: Mode) {
    let requests = requests(4);
    let mut together = start(engine, &requests, mode);
    while together.step().expect("a step") {}
    for (i, request) in requests.iter().enumerate() {
        let mut alone = start(engine, std::slice::from_ref(request), mode);
        while alone.step().expect("a step") {}
        assert_eq!(
            together.tokens(i),
            alone.tokens(0),
            "{mode}: sequence {i} of a batch differs from itself alone"
        );
    }
}

fn generation(criterion: &mut Criterion) {
    let engine = engine();
    for (name, mode) in MODES {
        check(&engine, mode);
        let mut group = criterion.benchmark_group(format!("prefill/{name}"));
        for batch in [1, 4, 16] {
            let requests = requests(batch);
            group.throughput(Throughput::Elements((batch * PROMPT) as u64));
            group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
                bencher.iter(|| black_box(start(&engine, &requests, mode)));
            });
        }
        group.finish();
        let mut group = criterion.benchmark_group(format!("decode/{name}"));
        for batch in [1, 4, 16] {
            let requests = requests(batch);
            group.throughput(Throughput::Elements((batch * NEW) as u64));
            group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
                bencher.iter_custom(|times| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..times {
                        let mut generation = start(&engine, &requests, mode);
                        let begin = Instant::now();
                        while generation.step().expect("a step") {}
                        spent += begin.elapsed();
                    }
                    spent
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    targets = generation
}
criterion_main!(benches);
