//! From arguments to an engine: the device, the storage type, the mode.

use indicatif::{ProgressBar, ProgressStyle};
#[cfg(not(feature = "cuda"))]
use photon_kernels::Error;
use photon_kernels::Result;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
#[cfg(feature = "cuda")]
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Engine, Mode};

use crate::args;
use crate::instruments::Instruments;

/// What is done with an engine, on whatever backend it runs.
pub trait Job {
    /// Does it.
    fn run<B: Instruments>(self, engine: &Engine<B>) -> Result<()>;
}

/// Runs a job on the device that was asked for. The checkpoint is released first: the engine has its own copy of the matrices.
pub fn run(checkpoint: Checkpoint, compute: args::ComputeArgs, job: impl Job) -> Result<()> {
    let args::ComputeArgs { device, dtype } = compute;
    let gpu = on_gpu(device, !dtype.is_some_and(args::Storage::on_cpu_only))?;
    #[cfg(feature = "cuda")]
    if gpu {
        return job.run(&on_cuda(checkpoint, dtype)?);
    }
    debug_assert!(!gpu, "a GPU in a program without CUDA");
    job.run(&on_cpu(checkpoint, dtype)?)
}

/// Whether a device means the GPU; `auto` does where there is one and the other arguments leave it `possible`.
#[cfg(feature = "cuda")]
pub fn on_gpu(device: args::Device, possible: bool) -> Result<bool> {
    Ok(match device {
        args::Device::Cpu => false,
        args::Device::Cuda => true,
        args::Device::Auto => possible && CudaBackend::present(),
    })
}

/// Whether a device means the GPU.
#[cfg(not(feature = "cuda"))]
pub fn on_gpu(device: args::Device, _: bool) -> Result<bool> {
    if device != args::Device::Cuda {
        return Ok(false);
    }
    Err(Error::argument(
        "--device cuda: this program was built without it; build with --features cuda, or use --device cpu",
    ))
}

/// An engine on the CPU.
fn on_cpu(checkpoint: Checkpoint, dtype: Option<args::Storage>) -> Result<Engine<CpuBackend>> {
    let stored = if checkpoint.dtype() == Dtype::Bf16 { Dtype::Bf16 } else { Dtype::F32 };
    let stored = CpuOptions { dtype: stored, ..CpuOptions::default() };
    Engine::new(CpuBackend::new(dtype.map_or(stored, args::Storage::on_cpu))?, &checkpoint)
}

/// An engine on the GPU.
#[cfg(feature = "cuda")]
pub fn on_cuda(checkpoint: Checkpoint, dtype: Option<args::Storage>) -> Result<Engine<CudaBackend>> {
    let stored = if checkpoint.dtype() == Dtype::F16 { Dtype::F16 } else { Dtype::Bf16 };
    let dtype = dtype.map_or(Ok(stored), args::Storage::on_gpu)?;
    Engine::new(CudaBackend::new(CudaOptions { dtype, ..CudaOptions::default() })?, &checkpoint)
}

/// `--mode` and `--refresh` together.
pub fn mode(mode: args::Mode, refresh: Option<usize>) -> Result<Mode> {
    args::check_refresh(mode, refresh)?;
    Ok(match mode {
        args::Mode::Exact => Mode::Exact,
        args::Mode::Hiergen => Mode::HierGen,
        args::Mode::Recgen => Mode::RecGen { refresh },
    })
}

/// A progress bar in tokens on standard error; nothing is drawn unless that is a terminal.
pub fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>9} {wide_bar} {pos}/{len} tokens {per_sec} {eta}");
    let bar = ProgressBar::new(0).with_prefix(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
