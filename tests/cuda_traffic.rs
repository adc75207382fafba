//! What the kernels move, at the shapes of photon-600m, as the simulated device counts it. Bytes of memory are counted once for every byte that a launch
//! touches; what goes through L2 is what the requests ask for. On a real GPU there is nothing to count with, and the test says so.
//!
//! Its own `main`: the counters' file has to be named before the driver is loaded.

use std::process::{Command, ExitCode};

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DeviceRepr, ValidAsZeroBits};
use photon_kernels::cuda::raw::{Kernels, Storage, blocked_kv, flat_kv, local_heads, shape};
use photon_kernels::cuda::sys::*;
use serde_json::Value;

const REPORT: &str = "GPUSIM_REPORT";
const DENSE: photon_rows = photon_rows { list: std::ptr::null(), start: 0, len: 1, stride: 1 };

/// photon-600m.
const D: usize = 1664;
const HIDDEN: usize = 4096;
const HEADS: usize = 32;
const DIM: usize = 52;

fn main() -> ExitCode {
    if std::env::var_os(REPORT).is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = std::env::current_exe().expect("this program");
        let status =
            Command::new(program).env(REPORT, folder.path().join("launches.json")).status().expect("a child");
        return ExitCode::from(u8::from(!status.success()));
    }
    let file = std::env::var(REPORT).expect("a path in UTF-8");
    let context = CudaContext::new(0).expect("a GPU, real or simulated");
    context.bind_to_thread().expect("a context");
    let stream = context.new_stream().expect("a stream");
    // SAFETY: the context is dropped after the kernels.
    let kernels = unsafe { Kernels::load() }.expect("the kernels");
    let bench = Bench { kernels, stream, file };
    if bench.launches().is_none() {
        bench.embed(1);
        if bench.launches().is_none() {
            println!("skipped: this libcuda counts nothing (it is not the simulated device)");
            return ExitCode::SUCCESS;
        }
    }
    for (name, check) in [
        ("a skinny product reads its weights once and hardly anything else", skinny as fn(&Bench)),
        ("a tiled product reads what its tiles say", tiled),
        ("local attention reads every element once and writes its result only", local),
        ("decoding reads every key and value once", decode),
        ("an append writes the new keys and values", append),
        ("embedding reads the rows of its ids", embed),
    ] {
        check(&bench);
        println!("traffic: {name} ... ok");
    }
    ExitCode::SUCCESS
}

struct Bench {
    kernels: Kernels,
    stream: std::sync::Arc<CudaStream>,
    file: String,
}

/// Counters of one launch.
struct Launch(Value);

impl Launch {
    fn get(&self, path: &str) -> u64 {
        self.0.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {}", self.0))
    }
    /// Bytes that are read from memory at least once, and written.
    fn memory(&self) -> (u64, u64) {
        (self.get("/global_unique/read"), self.get("/global_unique/written"))
    }
    /// Tensor instructions m16n8k16 and m16n8k8, as products of k8.
    fn tensor(&self) -> u64 {
        let all = self.0["tensor"].as_object().expect("shapes");
        all.iter().map(|(shape, n)| n.as_u64().unwrap_or(0) * if shape.contains("k16") { 2 } else { 1 }).sum()
    }
}

impl Bench {
    fn launches(&self) -> Option<Vec<Launch>> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        let launches: Vec<Launch> = text
            .lines()
            .map(|line| Launch(serde_json::from_str(line).expect("a line of counters")))
            .collect();
        (!launches.is_empty()).then_some(launches)
    }

    /// The counters of the last launch.
    fn last(&self) -> Launch {
        self.stream.synchronize().expect("no error");
        self.launches().and_then(|mut all| all.pop()).expect("counters")
    }

    fn zeros<T: DeviceRepr + ValidAsZeroBits>(&self, len: usize) -> CudaSlice<T> {
        self.stream.alloc_zeros(len).expect("memory")
    }

    fn at<T>(&self, memory: &CudaSlice<T>) -> u64 {
        memory.device_ptr(&self.stream).0
    }

    /// `proj_residual` of `m` rows, `n` outputs of `k` inputs.
    fn residual(&self, m: usize, n: usize, k: usize) -> Launch {
        let (x, w, out) = (self.zeros::<u16>(m * k), self.zeros::<u16>(n * k), self.zeros::<f32>(m * n));
        let params = photon_residual_params {
            product: photon_product {
                x: self.at(&x) as *const _,
                weight: self.at(&w) as *const _,
                rows: DENSE,
                x_stride: k as i64,
                weight_stride: k as i64,
                m: m as i32,
                n: n as i32,
                k: k as i32,
                eps: 0.0,
            },
            out: self.at(&out) as *mut f32,
            out_stride: n as i64,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { self.kernels.proj_residual(self.stream.cu_stream().cast::<std::ffi::c_void>(), Storage::Bf16, &params) }
            .expect("a launch");
        self.last()
    }

    fn embed(&self, m: usize) -> Launch {
        let (table, ids, out) = (self.zeros::<u16>(1000 * D), self.zeros::<u32>(m), self.zeros::<f32>(m * D));
        let params = photon_embed_params {
            table: self.at(&table) as *const _,
            ids: self.at(&ids) as *const u32,
            from: DENSE,
            out: self.at(&out) as *mut f32,
            to: DENSE,
            out_stride: D as i64,
            m: m as i32,
            width: D as i32,
            vocabulary: 1000,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { self.kernels.embed_chunk(self.stream.cu_stream().cast::<std::ffi::c_void>(), Storage::Bf16, &params) }
            .expect("a launch");
        self.stream.synchronize().expect("no error");
        self.launches().and_then(|mut all| all.pop()).unwrap_or(Launch(Value::Null))
    }
}

/// `got` is at least what is unavoidable, and at most `factor` times that.
fn within(what: &str, got: u64, unavoidable: usize, factor: f64) {
    let unavoidable = unavoidable as f64;
    assert!(got as f64 >= unavoidable, "{what}: {got} bytes are fewer than the {unavoidable} that there are");
    assert!(
        got as f64 <= factor * unavoidable,
        "{what}: {got} bytes, {:.3} times {unavoidable}",
        got as f64 / unavoidable
    );
}

fn skinny(bench: &Bench) {
    for (m, n, k) in [(1, D, D), (4, D, HIDDEN), (16, D, HIDDEN), (32, D, D)] {
        let launch = bench.residual(m, n, k);
        let (read, written) = launch.memory();
        within("a skinny product reads", read, 2 * n * k + 2 * m * k + 4 * m * n, 1.0);
        within("a skinny product writes", written, 4 * m * n, 1.0);
        let tiles = n.div_ceil(shape(m, n).outputs);
        // Weights go by once; rows of x once for every tile of outputs, rows that do not exist are not fetched.
        let copied = launch.get("/async_bytes/cp_async");
        let rows = shape(m, n).rows;
        within("a skinny product copies", copied, 2 * n * k + 2 * rows * k * tiles, 1.0);
        // All products are of 8 outputs and 16 rows.
        within("tensor instructions", launch.tensor(), m.div_ceil(16) * (n / 8) * (k / 8), 1.0);
        assert_eq!(launch.get("/ldmatrix/conflicts"), 0);
        assert_eq!(launch.get("/local/bytes"), 0);
    }
}

fn tiled(bench: &Bench) {
    let (m, n, k) = (512, D, D);
    let chosen = shape(m, n);
    assert!(!chosen.skinny, "{chosen}");
    let launch = bench.residual(m, n, k);
    let (read, written) = launch.memory();
    within("a tiled product reads", read, 2 * n * k + 2 * m * k + 4 * m * n, 1.0);
    within("a tiled product writes", written, 4 * m * n, 1.0);
    let (across, down) = (n.div_ceil(chosen.outputs), m.div_ceil(chosen.rows));
    let copied = 2 * k * (across * chosen.outputs * down + down * chosen.rows * across);
    within("a tiled product copies", launch.get("/async_bytes/cp_async"), copied, 1.0);
    within("tensor instructions", launch.tensor(), m / 16 * (n / 8) * (k / 8), 1.10);
    assert_eq!(launch.get("/ldmatrix/conflicts"), 0);
}

fn local(bench: &Bench) {
    let (window, slots) = (5, 16);
    let width = 3 * HEADS * DIM;
    let packed = bench.zeros::<u16>(slots * window * width);
    let out = bench.zeros::<u16>(slots * window * HEADS * DIM);
    let params = photon_local_attention_params {
        query: bench.at(&packed) as *const _,
        query_stride: width as i64,
        kv: flat_kv(bench.at(&packed) as *mut _, HEADS * DIM, window * width, width, DIM, HEADS * DIM),
        out: bench.at(&out) as *mut _,
        out_stride: (HEADS * DIM) as i64,
        slots: slots as i32,
        rows: window as i32,
        first: 0,
        heads: HEADS as i32,
        kv_heads: HEADS as i32,
        head_dim: DIM as i32,
        block_heads: local_heads(window, window, HEADS, HEADS, DIM).expect("it fits") as i32,
        scale: 1.0,
    };
    // SAFETY: all operands are as large as the parameters say.
    unsafe { bench.kernels.local_attention(bench.stream.cu_stream().cast::<std::ffi::c_void>(), Storage::Bf16, &params) }
        .expect("a launch");
    let launch = bench.last();
    let elements = slots * window * HEADS * DIM;
    let (read, written) = launch.memory();
    within("local attention reads", read, 2 * 3 * elements, 1.0);
    within("local attention writes", written, 2 * elements, 1.0);
    within("local attention asks for", 32 * launch.get("/global_load/sectors"), 2 * 3 * elements, 1.05);
    within("local attention stores", 32 * launch.get("/global_store/sectors"), 2 * elements, 1.05);
}

fn decode(bench: &Bench) {
    // 2176 tokens of context: 136 units.
    let (units, width) = (136usize, DIM.next_multiple_of(8));
    let blocks = (units + 1).div_ceil(PHOTON_KV_BLOCK as usize);
    let block = 2 * HEADS * PHOTON_KV_BLOCK as usize * width;
    let cache = bench.zeros::<u16>(blocks * block);
    let (query, out) = (bench.zeros::<u16>(HEADS * DIM), bench.zeros::<u16>(HEADS * DIM));
    let host = |values: &[u32]| bench.stream.clone_htod(values).expect("memory");
    let (first_row, slot, length) = (host(&[0, 1]), host(&[0]), host(&[units as u32]));
    let params = photon_stream_attention_params {
        query: bench.at(&query) as *const _,
        query_stride: (HEADS * DIM) as i64,
        kv: photon_kv { base: bench.at(&cache) as *mut _, ..blocked_kv(1, HEADS, DIM, 0) },
        out: bench.at(&out) as *mut _,
        out_stride: (HEADS * DIM) as i64,
        first_row: bench.at(&first_row) as *const u32,
        slot: bench.at(&slot) as *const u32,
        length: bench.at(&length) as *const u32,
        partial: std::ptr::null_mut(),
        arrived: std::ptr::null_mut(),
        sequences: 1,
        segments: 1,
        queries: 1,
        heads: HEADS as i32,
        kv_heads: HEADS as i32,
        head_dim: DIM as i32,
        scale: 1.0,
    };
    // SAFETY: all operands are as large as the parameters say.
    unsafe { bench.kernels.stream_attention(bench.stream.cu_stream().cast::<std::ffi::c_void>(), Storage::Bf16, 1, &params) }
        .expect("a launch");
    let launch = bench.last();
    let (read, written) = launch.memory();
    // Heads are stored 56 wide: 1.077 times 52.
    within("decoding reads", read, 4 * (units + 1) * HEADS * width + 2 * HEADS * DIM + 16, 1.0);
    within("decoding writes", written, 2 * HEADS * DIM, 1.0);
    // Scores: steps of 32 keys, 3 products of k16 and one of k8 for 52. Values: 7 of 8 elements, two of k16 a step.
    let steps = (units + 1).div_ceil(PHOTON_KEY_STEP as usize);
    let useful = HEADS * steps * (4 * (2 * 3 + 1) + 7 * 2 * 2);
    within("tensor instructions", launch.tensor(), useful, 1.0);
    assert_eq!(launch.get("/ldmatrix/conflicts"), 0);
}

fn append(bench: &Bench) {
    let (m, n, width) = (4usize, 3 * HEADS * DIM, DIM.next_multiple_of(8));
    let block = 2 * HEADS * PHOTON_KV_BLOCK as usize * width;
    let (cache, x, w) = (bench.zeros::<u16>(m * block), bench.zeros::<f32>(m * D), bench.zeros::<u16>(n * D));
    let (query, angles) = (bench.zeros::<u16>(m * HEADS * DIM), bench.zeros::<f32>(32 * DIM));
    let params = photon_qkv_params {
        product: photon_product {
            x: bench.at(&x) as *const _,
            weight: bench.at(&w) as *const _,
            rows: DENSE,
            x_stride: D as i64,
            weight_stride: D as i64,
            m: m as i32,
            n: n as i32,
            k: D as i32,
            eps: 1e-5,
        },
        query: bench.at(&query) as *mut _,
        query_stride: (HEADS * DIM) as i64,
        kv: photon_kv {
            base: bench.at(&cache) as *mut _,
            slot_stride: block as i64,
            ..blocked_kv(1, HEADS, DIM, 0)
        },
        units: photon_units { slot: std::ptr::null(), unit: std::ptr::null(), rows: 1, first: 7 },
        angles: bench.at(&angles) as *const f32,
        heads: HEADS as i32,
        kv_heads: HEADS as i32,
        head_dim: DIM as i32,
    };
    // SAFETY: all operands are as large as the parameters say.
    unsafe { bench.kernels.qkv_rope_append(bench.stream.cu_stream().cast::<std::ffi::c_void>(), Storage::Bf16, &params) }
        .expect("a launch");
    let launch = bench.last();
    let (read, written) = launch.memory();
    within("an append reads", read, 2 * n * D + 4 * m * D + 4 * DIM, 1.0);
    within("an append writes", written, 2 * m * n, 1.0);
    assert_eq!(launch.get("/ldmatrix/conflicts"), 0);
}

fn embed(bench: &Bench) {
    let launch = bench.embed(64);
    let (read, written) = launch.memory();
    // All ids are 0: one row of the table.
    within("embedding reads", read, 64 * 4 + 2 * D, 1.0);
    within("embedding writes", written, 64 * 4 * D, 1.0);
    within("embedding asks for", 32 * launch.get("/global_load/sectors"), 64 * (32 * 4 + 2 * D), 1.05);
    within("embedding stores", 32 * launch.get("/global_store/sectors"), 64 * 4 * D, 1.0);
}
