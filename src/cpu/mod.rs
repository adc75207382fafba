//! The CPU backend: threads and SIMD, what a machine without a GPU runs.
//!
//! Activations are `f32`. Weights and cached keys and values are `f32` or bfloat16. Matrices are copied once, into the
//! order in which the kernel reads them; embedding tables are used where they lie, in the mapped file. Results do not depend on the number of threads, nor on
//! how many rows share a call, and AVX-512 and AVX2 give the same bits. With AVX-512 BF16 the activations that meet bfloat16 or
//! int8 weights are rounded to bfloat16 ([`Isa::Avx512Bf16`]), as on a GPU.

mod arithmetic;
mod attention;
mod cache;
mod dots;
pub mod limits;
mod linear;
mod math;
mod memory;
mod ops;
mod pack;
mod product;
mod quantize;
mod rope;
mod simd;
mod stack;
#[cfg(test)]
mod tests;
mod threads;
mod work;

pub use cache::{CpuCache, CpuLocal};
pub use linear::{CpuLinear, CpuTable, CpuVector};
pub use simd::Isa;
pub use work::WorkDone;

use crate::checkpoint::Dtype;
use crate::error::{Error, Result};
use crate::sampling;
use memory::{Aligned, Pool};
use rope::Ropes;
use threads::Threads;

/// How a [`CpuBackend`] works.
#[derive(Clone, Copy, Debug)]
pub struct CpuOptions {
    /// How weights, keys and values are kept: [`Dtype::F32`] or [`Dtype::Bf16`].
    pub dtype: Dtype,
    /// Whether matrices are kept as int8 instead, with a factor for each output: half the bytes of bfloat16, each weight
    /// off by up to 1/254 of the greatest of its row. Tables, norms, biases, keys and values stay as `dtype` says.
    pub int8: bool,
    /// Threads; as many as the machine has if not given.
    pub threads: Option<usize>,
    /// Instruction set; the fastest that the machine has if not given.
    pub isa: Option<Isa>,
}

impl Default for CpuOptions {
    fn default() -> Self {
        CpuOptions { dtype: Dtype::Bf16, int8: false, threads: None, isa: None }
    }
}

/// PHOTON's operations on the CPU.
pub struct CpuBackend {
    dtype: Dtype,
    int8: bool,
    isa: Isa,
    threads: Threads,
    ropes: Ropes,
    operations: Pool<Scratch>,
    blocks: Pool<attention::Scratch>,
    draws: Pool<sampling::Scratch>,
    work: work::Work,
}

/// Memory of one operation.
#[derive(Default)]
struct Scratch {
    /// Activations as the matrix kernel wants them.
    rows: Aligned<f32>,
    /// Results on their way: gate and up, or logits.
    results: Aligned<f32>,
    /// Where rows of results begin.
    offsets: Vec<usize>,
    /// Rows of an operation that skips some.
    places: Vec<usize>,
    /// Which they are.
    indices: Vec<usize>,
}

impl CpuBackend {
    /// A backend with its own threads.
    ///
    /// # Errors
    /// If the options ask for what the machine has not, or for a dtype other than f32 and bf16.
    pub fn new(options: CpuOptions) -> Result<Self> {
        if options.dtype == Dtype::F16 {
            return Err(Error::argument("dtype is F16; the CPU backend keeps weights as F32 or Bf16"));
        }
        let isa = options.isa.unwrap_or_else(Isa::best);
        if !isa.available() {
            return Err(Error::argument(format!(
                "isa is {isa:?}; this machine can run up to {:?}",
                Isa::best()
            )));
        }
        Ok(CpuBackend {
            dtype: options.dtype,
            int8: options.int8,
            isa,
            threads: Threads::new(options.threads)?,
            ropes: Ropes::new(),
            operations: Pool::new(),
            blocks: Pool::new(),
            draws: Pool::new(),
            work: work::Work::default(),
        })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads in use.
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// Whether matrices are kept as int8.
    pub fn int8(&self) -> bool {
        self.int8
    }

    /// How weights, keys and values are kept.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }
}

/// Activations on the CPU.
pub struct CpuBuffer(Aligned<f32>);
