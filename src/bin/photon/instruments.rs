//! What a benchmark reads off a backend: the work done, the memory in use, the machine's limits.

use photon_kernels::Result;
use photon_kernels::backend::Backend;
use photon_kernels::cpu::{CpuBackend, Isa, limits};
#[cfg(feature = "cuda")]
use photon_kernels::cuda::CudaBackend;

use crate::memory;

/// What can be read off a backend.
pub trait Instruments: Backend {
    /// What the figures belong to.
    fn device(&self) -> Result<String>;
    /// What the weights are kept as, and the instructions that the CPU's kernels use.
    fn numerics(&self) -> (String, Option<&'static str>);
    /// Waits for what was begun.
    fn settle(&self) -> Result<()>;
    /// Bytes of weights, keys and values read so far, and floating-point operations; `None` where nobody counts them.
    fn work(&self) -> Option<(u64, u64)>;
    /// Bytes of memory in use now.
    fn live(&self) -> Result<usize>;
    /// The most bytes in use since [`Instruments::mark`], as far as `seen`, readings of [`Instruments::live`], do not say it.
    fn peak(&self, seen: usize) -> usize;
    /// Begins to look for the peak; bytes in use now.
    fn mark(&self) -> Result<usize>;
    /// Threads that compute.
    fn threads(&self) -> usize;
    /// What the machine reads in GB/s, and its floating-point operations per second.
    fn limits(&self) -> Result<Option<(f64, f64)>>;
}

impl Instruments for CpuBackend {
    fn device(&self) -> Result<String> {
        Ok("cpu".into())
    }

    fn numerics(&self) -> (String, Option<&'static str>) {
        let isa = match self.isa() {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512-bf16",
        };
        (if self.int8() { "int8".into() } else { self.dtype().to_string() }, Some(isa))
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn work(&self) -> Option<(u64, u64)> {
        let work = CpuBackend::work(self);
        Some((work.bytes_read, work.flops))
    }

    fn live(&self) -> Result<usize> {
        Ok(memory::live())
    }

    fn peak(&self, _: usize) -> usize {
        memory::peak()
    }

    fn mark(&self) -> Result<usize> {
        Ok(memory::mark())
    }

    fn threads(&self) -> usize {
        CpuBackend::threads(self)
    }

    fn limits(&self) -> Result<Option<(f64, f64)>> {
        let threads = CpuBackend::threads(self);
        Ok(Some((limits::read_bandwidth(threads)?, limits::fma_peak(threads)? * 1e9)))
    }
}

/// Memory is the device's, all of it: read when prompts are read and at the end, since buffers and caches only grow. Traffic and operations
/// are not counted while the model runs; `cargo bench --features cuda --bench cuda` measures the kernels against the device's own copies.
#[cfg(feature = "cuda")]
impl Instruments for CudaBackend {
    fn device(&self) -> Result<String> {
        self.device_name()
    }

    fn numerics(&self) -> (String, Option<&'static str>) {
        (self.dtype().to_string(), None)
    }

    fn settle(&self) -> Result<()> {
        self.synchronize()
    }

    fn work(&self) -> Option<(u64, u64)> {
        None
    }

    fn live(&self) -> Result<usize> {
        let (free, all) = self.memory()?;
        Ok(all - free)
    }

    fn peak(&self, seen: usize) -> usize {
        seen
    }

    fn mark(&self) -> Result<usize> {
        self.live()
    }

    fn threads(&self) -> usize {
        1
    }

    fn limits(&self) -> Result<Option<(f64, f64)>> {
        Ok(None)
    }
}
