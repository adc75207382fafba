//! A device with the kernels loaded, and memory on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DeviceRepr};
use photon_kernels::cuda::raw::{Kernels, Storage, Stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What lies around an output: a NaN that no computation makes.
pub const SENTINEL: u32 = 0x7fc5_a5a5;
pub const SENTINEL_HALF: u16 = 0x7fe5;

pub struct Device {
    pub kernels: Kernels,
    stream: Arc<CudaStream>,
    _context: Arc<CudaContext>,
}

/// One at a time: a simulated device gains nothing by more.
static TURN: Mutex<()> = Mutex::new(());

pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    pub fn new() -> Device {
        let context = CudaContext::new(0).expect("a GPU, real or simulated");
        // SAFETY: one stream orders everything.
        unsafe { context.disable_event_tracking() };
        context.bind_to_thread().expect("a context");
        let stream = context.new_stream().expect("a stream");
        // SAFETY: the context is dropped after the kernels.
        let kernels = unsafe { Kernels::load() }.expect("the kernels");
        Device { kernels, stream, _context: context }
    }

    pub fn stream(&self) -> Stream {
        self.stream.cu_stream().cast()
    }

    pub fn upload<T: DeviceRepr>(&self, values: &[T]) -> Memory<T> {
        Memory { data: self.stream.clone_htod(values).expect("memory"), stream: self.stream.clone() }
    }
}

/// A device allocation of exactly so many elements.
pub struct Memory<T> {
    data: CudaSlice<T>,
    stream: Arc<CudaStream>,
}

impl<T> Memory<T> {
    /// The address of element `at`.
    pub fn at(&self, at: usize) -> *mut T {
        assert!(at <= self.data.len());
        (self.data.device_ptr(&self.stream).0 as *mut T).wrapping_add(at)
    }

    pub fn download(&self) -> Vec<T>
    where
        T: DeviceRepr,
    {
        let values = self.stream.clone_dtoh(&self.data).expect("a copy");
        self.stream.synchronize().expect("no error of the kernels");
        values
    }
}

pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Uniform values in -1..1, the sum of two of which is enough of a bell.
pub fn values(rng: &mut StdRng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

/// Rounding to the storage type.
pub fn round(storage: Storage, x: f32) -> f32 {
    match storage {
        Storage::Bf16 => half::bf16::from_f32(x).to_f32(),
        Storage::F16 => half::f16::from_f32(x).to_f32(),
    }
}

pub fn bits(storage: Storage, x: f32) -> u16 {
    match storage {
        Storage::Bf16 => half::bf16::from_f32(x).to_bits(),
        Storage::F16 => half::f16::from_f32(x).to_bits(),
    }
}

pub fn widen(storage: Storage, bits: u16) -> f32 {
    match storage {
        Storage::Bf16 => half::bf16::from_bits(bits).to_f32(),
        Storage::F16 => half::f16::from_bits(bits).to_f32(),
    }
}

pub const STORAGES: [Storage; 2] = [Storage::Bf16, Storage::F16];
