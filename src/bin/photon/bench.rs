//! `photon bench`: a full-size model with seeded random weights, measured against the machine's limits.

use std::time::Instant;

use photon_kernels::Result;
use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::config::ModelType;
use photon_kernels::cpu::{CpuBackend, limits};
use photon_kernels::generate::{Bottleneck, Engine, Request};
use photon_kernels::presets::preset;
use photon_kernels::sampling::{Sampling, philox4x32_10};

use crate::args::BenchArgs;
use crate::{args, engine, memory, output};

#[derive(serde::Serialize)]
struct Json {
    prefill_seconds: f64,
    decode_seconds: f64,
    /// New tokens of the whole batch per second of decoding.
    tokens_per_second: f64,
    /// What a sequence keeps when its last token is out.
    cache_bytes_per_sequence: usize,
    /// The most heap in use beside the weights: caches, activations, everything, of the whole batch.
    peak_bytes: usize,
    weight_bytes: usize,
    /// Weights and cached keys and values read while decoding, per second.
    dram_gb_per_s: f64,
    /// Floating-point operations per second while decoding.
    flops: f64,
    preset: String,
    mode: String,
    dtype: String,
    batch: usize,
    prompt_tokens: usize,
    new_tokens: usize,
    threads: usize,
    prefill_tokens_per_second: f64,
    prefill_flops: f64,
    /// Heap in use at the end minus that when a quarter of the tokens were out.
    decode_growth_bytes: i64,
    limits: Limits,
}

/// The machine's limits, measured in the same run.
#[derive(serde::Serialize)]
struct Limits {
    read_gb_per_s: f64,
    fma_flops: f64,
    /// `dram_gb_per_s / read_gb_per_s`.
    decode_share_of_read: f64,
    /// `flops / fma_flops`.
    decode_share_of_fma: f64,
    /// `prefill_flops / fma_flops`.
    prefill_share_of_fma: f64,
}

/// Measures, and prints the figures.
pub fn run(args: &BenchArgs) -> Result<()> {
    let config = preset(&args.preset)?;
    let vanilla = config.model_type == ModelType::Vanilla;
    let mode = args.mode.unwrap_or(if vanilla { args::Mode::Exact } else { args::Mode::Recgen });
    let mode = engine::mode(mode, None)?.settle(&config)?;
    let (prompt, new) = args.lengths();
    let checkpoint = Checkpoint::random(&config, 0, args.dtype.into())?;
    let weight_bytes = checkpoint.tensors().map(|tensor| tensor.bytes().len()).sum();
    let engine = engine::on_cpu(checkpoint, Some(args.dtype), args.threads)?;
    let vocabulary = config.vocab_size as u32;
    let token = |sequence: u32, at: u32| philox4x32_10([at, 0, 0, 0], [sequence, 1])[0] % vocabulary;
    let requests: Vec<Request> = (0..args.batch as u32)
        .map(|sequence| Request {
            prompt: (0..prompt as u32).map(|at| token(sequence, at)).collect(),
            max_new_tokens: new,
            sampling: Sampling::GREEDY,
            sequence,
        })
        .collect();

    let before = memory::mark();
    let bar = engine::bar("prompt");
    let start = Mark::new(&engine);
    let mut generation =
        engine.generate(&requests, mode, Bottleneck::Reconstruction, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })?;
    bar.finish_and_clear();
    let prefill = start.elapsed(&engine);

    let bar = engine::bar("generate");
    bar.set_length((new * args.batch) as u64);
    let start = Mark::new(&engine);
    let mut early = None;
    let done = |generation: &photon_kernels::generate::Generation<'_, CpuBackend>| -> usize {
        (0..args.batch).map(|i| generation.tokens(i).len()).sum()
    };
    while generation.step()? {
        let done = done(&generation);
        if early.is_none() && done * 4 >= new * args.batch {
            early = Some(memory::live());
        }
        bar.set_position(done as u64);
    }
    bar.finish_and_clear();
    let decode = start.elapsed(&engine);
    let (live, peak) = (memory::live(), memory::peak());
    let new_tokens = done(&generation);
    let cache_bytes = (0..args.batch).map(|i| generation.cache_bytes(i)).max().unwrap_or(0);
    drop(generation);

    let threads = engine.backend().threads();
    let read = limits::read_bandwidth(threads)?;
    let fma = limits::fma_peak(threads)? * 1e9;
    let json = Json {
        prefill_seconds: prefill.seconds,
        decode_seconds: decode.seconds,
        tokens_per_second: new_tokens as f64 / decode.seconds,
        cache_bytes_per_sequence: cache_bytes,
        peak_bytes: peak.saturating_sub(before),
        weight_bytes,
        dram_gb_per_s: decode.bytes_per_second() / 1e9,
        flops: decode.flops_per_second(),
        preset: args.preset.clone(),
        mode: mode.to_string(),
        dtype: engine.backend().dtype().to_string(),
        batch: args.batch,
        prompt_tokens: prompt,
        new_tokens: new,
        threads,
        prefill_tokens_per_second: (prompt * args.batch) as f64 / prefill.seconds,
        prefill_flops: prefill.flops_per_second(),
        decode_growth_bytes: early.map_or(0, |early| live as i64 - early as i64),
        limits: Limits {
            read_gb_per_s: read,
            fma_flops: fma,
            decode_share_of_read: decode.bytes_per_second() / 1e9 / read,
            decode_share_of_fma: decode.flops_per_second() / fma,
            prefill_share_of_fma: prefill.flops_per_second() / fma,
        },
    };
    if args.json { output::json(&json) } else { output::write(&text(&json)) }
}

/// A point in time, and the work counted until then.
struct Mark {
    at: Instant,
    bytes: u64,
    flops: u64,
}

/// Work done and the time that it took.
struct Spent {
    seconds: f64,
    bytes: u64,
    flops: u64,
}

impl Mark {
    fn new(engine: &Engine<CpuBackend>) -> Self {
        let work = engine.backend().work();
        Mark { at: Instant::now(), bytes: work.bytes_read, flops: work.flops }
    }

    fn elapsed(&self, engine: &Engine<CpuBackend>) -> Spent {
        let (seconds, work) = (self.at.elapsed().as_secs_f64(), engine.backend().work());
        Spent { seconds, bytes: work.bytes_read - self.bytes, flops: work.flops - self.flops }
    }
}

impl Spent {
    fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }

    fn flops_per_second(&self) -> f64 {
        self.flops as f64 / self.seconds
    }
}

fn text(json: &Json) -> String {
    let limits = &json.limits;
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let rows = [
        ("prefill", format!("{:.2} s, {:.1} tokens/s", json.prefill_seconds, json.prefill_tokens_per_second)),
        ("decode", format!("{:.2} s, {:.1} tokens/s", json.decode_seconds, json.tokens_per_second)),
        ("cache per sequence", format!("{:.3} MB", json.cache_bytes_per_sequence as f64 / 1e6)),
        ("peak beside weights", format!("{:.1} MB", json.peak_bytes as f64 / 1e6)),
        ("weights", format!("{:.1} MB", json.weight_bytes as f64 / 1e6)),
        (
            "decode reads",
            format!(
                "{:.1} GB/s, {} of the {:.1} GB/s measured",
                json.dram_gb_per_s,
                percent(limits.decode_share_of_read),
                limits.read_gb_per_s
            ),
        ),
        (
            "decode computes",
            format!(
                "{:.1} GFLOP/s, {} of the {:.1} GFLOP/s measured",
                json.flops / 1e9,
                percent(limits.decode_share_of_fma),
                limits.fma_flops / 1e9
            ),
        ),
        (
            "prefill computes",
            format!("{:.1} GFLOP/s, {}", json.prefill_flops / 1e9, percent(limits.prefill_share_of_fma)),
        ),
    ];
    let title = format!(
        "{}, {}, {}, batch {}, {} + {} tokens, {} threads\n",
        json.preset, json.mode, json.dtype, json.batch, json.prompt_tokens, json.new_tokens, json.threads
    );
    rows.iter().fold(title, |text, (name, value)| text + &format!("{name:<20}{value}\n"))
}
