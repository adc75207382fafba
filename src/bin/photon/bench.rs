//! `photon bench`: a full-size model with seeded random weights, measured against the machine's limits.

use std::time::Instant;

use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::config::{Config, ModelType};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
#[cfg(feature = "cuda")]
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::sampling::{Sampling, philox4x32_10};
use photon_kernels::{Error, Result};

use crate::args::BenchArgs;
use crate::instruments::Instruments;
use crate::{args, engine, output};

#[derive(serde::Serialize)]
struct Json {
    prefill_seconds: f64,
    decode_seconds: f64,
    /// New tokens of the whole batch per second of decoding.
    tokens_per_second: f64,
    /// What a sequence keeps when its last token is out.
    cache_bytes_per_sequence: usize,
    /// The most memory of the device (heap, on the CPU) in use beside the weights: caches, activations, everything, of the whole batch.
    peak_bytes: usize,
    /// The same while tokens were generated, beside what the prompts' passes left: their buffers are kept, what they freed is not counted.
    decode_peak_bytes: usize,
    weight_bytes: usize,
    /// Weights and cached keys and values read while decoding, per second. Null where they are not counted.
    dram_gb_per_s: Option<f64>,
    /// Floating-point operations per second while decoding.
    flops: Option<f64>,
    preset: String,
    mode: String,
    dtype: String,
    batch: usize,
    prompt_tokens: usize,
    new_tokens: usize,
    threads: usize,
    prefill_tokens_per_second: f64,
    prefill_flops: Option<f64>,
    /// Memory in use at the end minus that when a quarter of the tokens were out.
    decode_growth_bytes: i64,
    limits: Option<Limits>,
    device: String,
    /// The instructions of the CPU's kernels.
    isa: Option<&'static str>,
    /// What `seconds` are seconds of: `wall`, or `host seconds of the simulated device`.
    clock: &'static str,
}

/// The seconds of a simulation.
const SIMULATED: &str = "host seconds of the simulated device";

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
    let (name, config) = args.shape()?;
    let vanilla = config.model_type == ModelType::Vanilla;
    let mode = args.mode.unwrap_or(if vanilla { args::Mode::Exact } else { args::Mode::Recgen });
    let mode = engine::mode(mode, args.refresh)?.settle(&config)?;
    let possible = !args.dtype.on_cpu_only() && args.threads.is_none() && args.isa.is_none();
    let gpu = engine::on_gpu(args.device, possible)?;
    #[cfg(feature = "cuda")]
    if gpu {
        return on_cuda(args, name, &config, mode);
    }
    debug_assert!(!gpu, "a GPU in a program without CUDA");
    on_cpu(args, name, &config, mode)
}

fn on_cpu(args: &BenchArgs, name: String, config: &Config, mode: Mode) -> Result<()> {
    if args.simulated {
        return Err(Error::argument("--simulated belongs to --device cuda; leave it out on the CPU"));
    }
    let isa = args.isa.map(Into::into);
    let backend = CpuBackend::new(CpuOptions { threads: args.threads, isa, ..args.dtype.on_cpu() })?;
    measure(args, name, config, mode, backend, "wall")
}

#[cfg(feature = "cuda")]
fn on_cuda(args: &BenchArgs, name: String, config: &Config, mode: Mode) -> Result<()> {
    if let Some(isa) = args.isa {
        return Err(Error::argument(format!("--isa {isa:?} belongs to --device cpu; leave it out")));
    }
    if let Some(threads) = args.threads {
        return Err(Error::argument(format!("--threads {threads} belongs to --device cpu; leave it out")));
    }
    let backend = CudaBackend::new(CudaOptions { dtype: args.dtype.on_gpu()?, ..CudaOptions::default() })?;
    let device = backend.device_name()?;
    let simulated = device.contains("gpusim");
    if simulated && !args.simulated {
        return Err(Error::argument(format!(
            "--device cuda is {device:?}: its seconds are the host's and say nothing about a GPU; add --simulated to have them nevertheless"
        )));
    }
    measure(args, name, config, mode, backend, if simulated { SIMULATED } else { "wall" })
}

/// Bytes of the weights as they are kept; as int8, those of every matrix that is not a table, with a factor for each output.
fn weight_bytes(checkpoint: &Checkpoint, dtype: args::Storage) -> usize {
    let int8 = dtype == args::Storage::Int8;
    let bytes = |tensor: &photon_kernels::checkpoint::Tensor| match tensor.shape() {
        &[outputs, inputs] if int8 && !tensor.name().contains("embed_tokens") => {
            outputs * (inputs + size_of::<f32>())
        }
        _ => tensor.bytes().len(),
    };
    checkpoint.tensors().map(bytes).sum()
}

/// Makes the weights, which takes its time: what can be refused has been, with the backend.
fn measure<B: Instruments>(
    args: &BenchArgs,
    name: String,
    config: &Config,
    mode: Mode,
    backend: B,
    clock: &'static str,
) -> Result<()> {
    let checkpoint = Checkpoint::random(config, 0, args.dtype.into())?;
    let weight_bytes = weight_bytes(&checkpoint, args.dtype);
    let engine = Engine::new(backend, &checkpoint)?;
    drop(checkpoint);
    let (prompt, new) = args.lengths();
    let backend = engine.backend();
    let vocabulary = engine.config().vocab_size as u32;
    let token = |sequence: u32, at: u32| philox4x32_10([at, 0, 0, 0], [sequence, 1])[0] % vocabulary;
    let requests: Vec<Request> = (0..args.batch as u32)
        .map(|sequence| Request {
            prompt: (0..prompt as u32).map(|at| token(sequence, at)).collect(),
            max_new_tokens: new,
            sampling: Sampling::GREEDY,
            sequence,
        })
        .collect();

    backend.settle()?;
    let before = backend.mark()?;
    let bar = engine::bar("prompt");
    let start = Mark::new(backend);
    let mut generation =
        engine.generate(&requests, mode, Bottleneck::Reconstruction, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })?;
    backend.settle()?;
    bar.finish_and_clear();
    let prefill = start.elapsed(backend);
    let seen = backend.live()?;
    let prefill_peak = backend.peak(seen);
    let start_of_decoding = backend.mark()?;

    let bar = engine::bar("generate");
    bar.set_length((new * args.batch) as u64);
    let start = Mark::new(backend);
    let mut early = None;
    let done = |generation: &photon_kernels::generate::Generation<'_, B>| -> usize {
        (0..args.batch).map(|i| generation.tokens(i).len()).sum()
    };
    while generation.step()? {
        let done = done(&generation);
        if early.is_none() && done * 4 >= new * args.batch {
            early = Some(backend.live()?);
        }
        bar.set_position(done as u64);
    }
    backend.settle()?;
    bar.finish_and_clear();
    let decode = start.elapsed(backend);
    let live = backend.live()?;
    let decode_peak = backend.peak(start_of_decoding.max(live));
    let peak = prefill_peak.max(decode_peak);
    let new_tokens = done(&generation);
    let cache_bytes = (0..args.batch).map(|i| generation.cache_bytes(i)).max().unwrap_or(0);
    drop(generation);

    let share = |part: Option<f64>, of: f64| part.map_or(0.0, |part| part / of);
    let (read, flops) = (decode.bytes_per_second().map(|rate| rate / 1e9), decode.flops_per_second());
    let json = Json {
        prefill_seconds: prefill.seconds,
        decode_seconds: decode.seconds,
        tokens_per_second: new_tokens as f64 / decode.seconds,
        cache_bytes_per_sequence: cache_bytes,
        peak_bytes: peak.saturating_sub(before),
        decode_peak_bytes: decode_peak.saturating_sub(before),
        weight_bytes,
        dram_gb_per_s: read,
        flops,
        preset: name,
        mode: mode.to_string(),
        dtype: args.dtype.to_string(),
        batch: args.batch,
        prompt_tokens: prompt,
        new_tokens: new,
        threads: backend.threads(),
        prefill_tokens_per_second: (prompt * args.batch) as f64 / prefill.seconds,
        prefill_flops: prefill.flops_per_second(),
        decode_growth_bytes: early.map_or(0, |early| live as i64 - early as i64),
        limits: backend.limits()?.map(|(read_gb_per_s, fma_flops)| Limits {
            read_gb_per_s,
            fma_flops,
            decode_share_of_read: share(read, read_gb_per_s),
            decode_share_of_fma: share(flops, fma_flops),
            prefill_share_of_fma: share(prefill.flops_per_second(), fma_flops),
        }),
        device: backend.device()?,
        isa: backend.numerics().1,
        clock,
    };
    if args.json { output::json(&json) } else { output::write(&text(&json)) }
}

/// A point in time, and the work counted until then.
struct Mark {
    at: Instant,
    work: Option<(u64, u64)>,
}

/// The time that something took, and the bytes and operations that it did.
struct Spent {
    seconds: f64,
    work: Option<(u64, u64)>,
}

impl Mark {
    fn new(backend: &impl Instruments) -> Self {
        Mark { at: Instant::now(), work: backend.work() }
    }

    fn elapsed(&self, backend: &impl Instruments) -> Spent {
        let seconds = self.at.elapsed().as_secs_f64();
        let work = self.work.zip(backend.work());
        Spent { seconds, work: work.map(|(before, now)| (now.0 - before.0, now.1 - before.1)) }
    }
}

impl Spent {
    fn bytes_per_second(&self) -> Option<f64> {
        self.work.map(|(bytes, _)| bytes as f64 / self.seconds)
    }

    fn flops_per_second(&self) -> Option<f64> {
        self.work.map(|(_, flops)| flops as f64 / self.seconds)
    }
}

fn text(json: &Json) -> String {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let mut rows = vec![
        ("prefill", format!("{:.2} s, {:.1} tokens/s", json.prefill_seconds, json.prefill_tokens_per_second)),
        ("decode", format!("{:.2} s, {:.1} tokens/s", json.decode_seconds, json.tokens_per_second)),
        ("cache per sequence", format!("{:.3} MB", json.cache_bytes_per_sequence as f64 / 1e6)),
        ("peak beside weights", format!("{:.1} MB", json.peak_bytes as f64 / 1e6)),
        ("weights", format!("{:.1} MB", json.weight_bytes as f64 / 1e6)),
    ];
    if let (Some(read), Some(flops), Some(prefill), Some(limits)) =
        (json.dram_gb_per_s, json.flops, json.prefill_flops, &json.limits)
    {
        rows.extend([
            (
                "decode reads",
                format!(
                    "{read:.1} GB/s, {} of the {:.1} GB/s measured",
                    percent(limits.decode_share_of_read),
                    limits.read_gb_per_s
                ),
            ),
            (
                "decode computes",
                format!(
                    "{:.1} GFLOP/s, {} of the {:.1} GFLOP/s measured",
                    flops / 1e9,
                    percent(limits.decode_share_of_fma),
                    limits.fma_flops / 1e9
                ),
            ),
            (
                "prefill computes",
                format!("{:.1} GFLOP/s, {}", prefill / 1e9, percent(limits.prefill_share_of_fma)),
            ),
        ]);
    }
    let on = if json.device == "cpu" { format!("{} threads", json.threads) } else { json.device.clone() };
    let mut title = format!(
        "{}, {}, {}, batch {}, {} + {} tokens, {on}\n",
        json.preset, json.mode, json.dtype, json.batch, json.prompt_tokens, json.new_tokens
    );
    if json.clock == SIMULATED {
        title += &format!("{SIMULATED}: they say nothing about a GPU\n");
    }
    rows.iter().fold(title, |text, (name, value)| text + &format!("{name:<20}{value}\n"))
}
