//! A device, and the counters of what was launched on it.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DeviceRepr, ValidAsZeroBits};
use photon_kernels::cuda::raw::{Kernels, RawError, Storage, Stream};
use serde_json::Value;

use super::counters::{Counters, get};

pub const BF16: Storage = Storage::Bf16;

pub struct Bench {
    pub kernels: Kernels,
    pub stream: Arc<CudaStream>,
    counters: Counters,
}

/// Counters of one launch.
pub struct Launch(Value);

impl Launch {
    pub fn get(&self, path: &str) -> u64 {
        get(&self.0, path)
    }

    pub fn kernel(&self) -> &str {
        self.0["kernel"].as_str().expect("a name")
    }

    /// Bytes that are read from memory at least once, and written.
    pub fn memory(&self) -> (u64, u64) {
        (self.get("/global_unique/read"), self.get("/global_unique/written"))
    }

    /// Bytes that asynchronous copies brought to shared memory; zeros in the place of what does not exist count.
    pub fn copied(&self) -> u64 {
        self.get("/async_bytes/cp_async")
    }

    /// Bytes of the sectors that plain loads, and stores, asked for.
    pub fn sectors(&self) -> (u64, u64) {
        (32 * self.get("/global_load/sectors"), 32 * self.get("/global_store/sectors"))
    }

    /// Tensor instructions m16n8k16 and m16n8k8, as products of k8.
    pub fn tensor(&self) -> u64 {
        let all = self.0["tensor"].as_object().expect("shapes");
        all.iter().map(|(shape, n)| n.as_u64().unwrap_or(0) * if shape.contains("k16") { 2 } else { 1 }).sum()
    }

    /// Fails if threads met in a bank of shared memory, or anything lies in local memory.
    pub fn no_conflicts(&self, what: &str) {
        for kind in ["shared_load", "shared_store", "ldmatrix"] {
            let conflicts = self.get(&format!("/{kind}/conflicts"));
            assert_eq!(conflicts, 0, "{what}: {kind} of {}", self.kernel());
        }
        assert_eq!(self.get("/local/bytes"), 0, "{what}: local memory of {}", self.kernel());
    }
}

impl Bench {
    /// `None` where nothing counts.
    pub fn new(counters: Counters) -> Option<Bench> {
        let context = CudaContext::new(0).expect("a GPU, real or simulated");
        context.bind_to_thread().expect("a context");
        let stream = context.new_stream().expect("a stream");
        // SAFETY: the context is dropped after the kernels.
        let kernels = unsafe { Kernels::load() }.expect("the kernels");
        let bench = Bench { kernels, stream, counters };
        super::rows::copy(&bench, 1, 4)?;
        Some(bench)
    }

    /// The counters of all launches since this was last asked.
    pub fn launches(&self) -> Vec<Launch> {
        self.counters.news().into_iter().map(Launch).collect()
    }

    /// The counters of what `launch` launches on the stream that it is given, if it is counted.
    pub fn try_count(&self, launch: impl FnOnce(&Kernels, Stream) -> Result<(), RawError>) -> Option<Launch> {
        launch(&self.kernels, self.stream.cu_stream().cast()).expect("a launch");
        self.stream.synchronize().expect("no error");
        self.launches().pop()
    }

    /// The counters of what `launch` launches on the stream that it is given.
    pub fn count(&self, launch: impl FnOnce(&Kernels, Stream) -> Result<(), RawError>) -> Launch {
        self.try_count(launch).expect("counters")
    }

    pub fn zeros<T: DeviceRepr + ValidAsZeroBits>(&self, len: usize) -> CudaSlice<T> {
        self.stream.alloc_zeros(len).expect("memory")
    }

    pub fn upload<T: DeviceRepr>(&self, values: &[T]) -> CudaSlice<T> {
        self.stream.clone_htod(values).expect("memory")
    }

    pub fn at<T>(&self, memory: &CudaSlice<T>) -> *mut T {
        memory.device_ptr(&self.stream).0 as *mut T
    }
}

/// `got` is at least what is unavoidable, and at most `factor` times that.
pub fn within(what: &str, got: u64, unavoidable: usize, factor: f64) {
    let unavoidable = unavoidable as f64;
    let times = got as f64 / unavoidable;
    assert!(times >= 1.0, "{what}: {got} are fewer than the {unavoidable} that there are");
    assert!(times <= factor, "{what}: {got}, {times:.3} times {unavoidable}");
}

pub fn exactly(what: &str, got: u64, want: usize) {
    assert_eq!(got, want as u64, "{what}");
}
