//! From arguments to an engine: the device, the storage type, the mode.

use indicatif::{ProgressBar, ProgressStyle};
use photon_kernels::Result;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::cpu::{CpuBackend, CpuOptions};
use photon_kernels::generate::{Engine, Mode};

use crate::args;

/// The engine that runs a checkpoint, which is released: the engine has its own copy of the matrices.
pub fn open(
    checkpoint: Checkpoint,
    device: args::Device,
    dtype: Option<args::Storage>,
    threads: Option<usize>,
) -> Result<Engine<CpuBackend>> {
    // `auto` is the CPU while there is no other device.
    let (args::Device::Auto | args::Device::Cpu) = device;
    let stored = if checkpoint.dtype() == Dtype::Bf16 { Dtype::Bf16 } else { Dtype::F32 };
    let dtype = dtype.map_or(stored, Dtype::from);
    Engine::new(CpuBackend::new(CpuOptions { dtype, threads, isa: None })?, &checkpoint)
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
