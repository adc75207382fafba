//! The device, memory on it, time on it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DeviceRepr, sys};
use half::bf16;
use photon_kernels::cuda::CudaBackend;
use photon_kernels::cuda::raw::{Kernels, Stream};
use photon_kernels::presets::preset;

/// Shapes of a model.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub width: usize,
    pub hidden: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub vocabulary: usize,
    /// Rows of a decoding batch of one, of 32 sequences, and of a prefill.
    pub rows: [usize; 3],
    /// Top-level units of 2176 and of 32,768 tokens.
    pub units: [usize; 2],
}

impl Sizes {
    /// Those of photon-600m.
    pub fn photon_600m() -> Sizes {
        let config = preset("photon-600m").expect("a preset");
        Sizes {
            width: config.hidden_size,
            hidden: config.intermediate_size,
            heads: config.num_attention_heads,
            head_dim: config.head_dim(),
            vocabulary: config.vocab_size,
            rows: [1, 32, 512],
            units: [136, 2048],
        }
    }

    pub const SMALL: Sizes = Sizes {
        width: 104,
        hidden: 160,
        heads: 2,
        head_dim: 52,
        vocabulary: 1000,
        rows: [1, 12, 200],
        units: [40, 1300],
    };
}

/// A kernel with its operands.
pub struct Case<'d> {
    pub name: String,
    /// Bytes that a launch has to move.
    pub bytes: usize,
    /// Copies of its operands.
    pub sets: usize,
    /// Launches on one of them.
    pub launch: Box<dyn Fn(usize) + 'd>,
    /// Panics where the result of the first launch, on the first of them, is wrong.
    pub check: Box<dyn Fn() + 'd>,
}

pub struct Device {
    pub kernels: Kernels,
    pub name: String,
    pub simulated: bool,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
    cache: usize,
}

impl Device {
    /// The first GPU, if there is one that the kernels run on.
    pub fn new() -> Option<Device> {
        if !CudaBackend::present() {
            return None;
        }
        let context = CudaContext::new(0).expect("the GPU");
        // SAFETY: one stream orders everything.
        unsafe { context.disable_event_tracking() };
        context.bind_to_thread().expect("its context");
        let stream = context.new_stream().expect("a stream");
        // SAFETY: the context is a field declared after the kernels.
        let kernels = unsafe { Kernels::load() }.expect("the kernels");
        let name = context.name().expect("its name");
        let cache = context
            .attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)
            .expect("the size of its cache");
        let simulated = name.contains("gpusim");
        Some(Device { kernels, simulated, name, stream, context, cache: cache as usize })
    }

    pub fn stream(&self) -> Stream {
        self.stream.cu_stream().cast()
    }

    /// Copies of operands of so many bytes that no launch finds its own in the cache.
    pub fn sets(&self, bytes: usize) -> usize {
        if self.simulated { 2 } else { (4 * self.cache).div_ceil(bytes.max(1)).clamp(2, 4096) }
    }

    pub fn upload<T: DeviceRepr>(&self, values: &[T]) -> CudaSlice<T> {
        self.stream.clone_htod(values).expect("memory")
    }

    /// As often as there are sets.
    pub fn copies<T: DeviceRepr>(&self, values: &[T], sets: usize) -> Rc<Vec<CudaSlice<T>>> {
        Rc::new((0..sets).map(|_| self.upload(values)).collect())
    }

    pub fn download<T: DeviceRepr>(&self, data: &CudaSlice<T>) -> Vec<T> {
        let values = self.stream.clone_dtoh(data).expect("a copy");
        self.stream.synchronize().expect("no error of the kernels");
        values
    }

    pub fn address<T>(&self, data: &CudaSlice<T>) -> u64 {
        data.device_ptr(&self.stream).0
    }

    /// Device time of so many launches, one after another.
    pub fn timed(&self, launches: u64, case: &Case<'_>) -> Duration {
        let event = || {
            let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
            self.stream.record_event(flags).expect("an event")
        };
        (case.launch)(0);
        let start = event();
        for i in 0..launches {
            (case.launch)(i as usize % case.sets);
        }
        let end = event();
        Duration::from_secs_f64(f64::from(start.elapsed_ms(&end).expect("a time")) / 1e3)
    }

    /// The device's own copy, read and written: what the others are compared with.
    pub fn copy(&self) -> Case<'_> {
        let bytes = 256 << 20;
        let source = self.stream.alloc_zeros::<u8>(bytes).expect("memory");
        let target = self.stream.alloc_zeros::<u8>(bytes).expect("memory");
        let (from, to) = (self.address(&source), self.address(&target));
        Case {
            name: "copy".into(),
            bytes: 2 * bytes,
            sets: 1,
            launch: Box::new(move |_| {
                let _alive = (&source, &target);
                self.context.bind_to_thread().expect("the context");
                // SAFETY: both allocations have so many bytes.
                unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, self.stream.cu_stream()) }
                    .result()
                    .expect("a copy");
            }),
            check: Box::new(|| ()),
        }
    }
}

/// Values in -1..1 that are bfloat16 already.
pub fn values(seed: u32, len: usize) -> Vec<f32> {
    (0..len as u32)
        .map(|i| {
            let hash = (i ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(2_654_435_761).rotate_left(13);
            let hash = hash.wrapping_mul(2_246_822_519);
            bf16::from_f32((hash >> 8) as f32 / (1 << 23) as f32 - 1.0).to_f32()
        })
        .collect()
}

pub fn bits(values: &[f32]) -> Vec<u16> {
    values.iter().map(|&x| bf16::from_f32(x).to_bits()).collect()
}

pub fn widen(bits: &[u16]) -> Vec<f32> {
    bits.iter().map(|&x| bf16::from_bits(x).to_f32()).collect()
}

/// Some numbers below `n`, the first and the last among them.
pub fn some(n: usize) -> impl Iterator<Item = usize> {
    (0..n.min(41)).map(move |i| i * (n - 1) / (n.min(41) - 1).max(1))
}

/// Fails unless a value is what it should be within `tolerance`.
pub fn near(what: &str, got: f32, want: f64, tolerance: f64) {
    let error = (f64::from(got) - want).abs();
    assert!(error <= tolerance, "{what}: {got} is not {want}, {tolerance:.1e} is allowed");
}
