//! The matrix kernel against the machine's limits and against the `gemm` crate.
//!
//! `cargo bench -p photon-peers`; `PHOTON_BENCH_THREADS` sets the threads (default 1). At the end one JSON line a case, with
//! its fastest call as a share of the limits measured in the same run, goes to standard output or to the file named by
//! `PHOTON_BENCH_RESULTS`, from which `tools/tables.py` makes the table of docs/performance.md.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use criterion::Criterion;
use photon_kernels::backend::{Backend, Layout, LinearSpec, RowMap};
use photon_kernels::checkpoint::{Dtype, Tensor};
use photon_kernels::cpu::{CpuBackend, CpuOptions, limits};

/// (outputs, inputs): attention, SwiGLU up and down, and the head of photon-600m.
const SHAPES: [(usize, usize); 4] = [(1664, 1664), (4096, 1664), (1664, 4096), (32000, 1664)];
const ROWS: [usize; 6] = [1, 4, 8, 16, 64, 256];
/// Bytes of weights that are rotated through: more than a last-level cache keeps.
const ROTATED: usize = 400 << 20;

fn values(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
}

struct Line {
    name: &'static str,
    shape: (usize, usize),
    rows: usize,
    bytes: usize,
    seconds: f64,
}

/// Times `run(i)`, noting the fastest single call: on a busy machine it is what the code can do.
fn measure(
    c: &mut Criterion,
    lines: &RefCell<Vec<Line>>,
    (name, shape, rows, width): (&'static str, (usize, usize), usize, usize),
    mut run: impl FnMut(usize),
) {
    let (n, k) = shape;
    let mut best = f64::INFINITY;
    let mut i = 0;
    let id = format!("{name}/{n}x{k}/{rows}");
    c.bench_function(&id, |b| {
        b.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let start = Instant::now();
                run(i);
                let time = start.elapsed();
                best = best.min(time.as_secs_f64());
                total += time;
                i += 1;
            }
            total
        });
    });
    if best.is_finite() {
        lines.borrow_mut().push(Line { name, shape, rows, bytes: n * k * width, seconds: best });
    }
}

fn ours(c: &mut Criterion, lines: &RefCell<Vec<Line>>, threads: usize, dtype: Dtype) {
    let backend = CpuBackend::new(CpuOptions { dtype, threads: Some(threads), ..CpuOptions::default() })
        .expect("a backend");
    let (name, width) = if dtype == Dtype::F32 { ("f32", 4) } else { ("bf16", 2) };
    for (n, k) in SHAPES {
        let weight =
            Tensor::from_f32("weight", &[n, k], &values(n * k, 1)).expect("a matrix").to_dtype(dtype);
        let copies: Vec<_> = (0..(ROTATED / (n * k * width)).max(2))
            .map(|_| {
                // A conversion there and back copies the tensor.
                let other = if dtype == Dtype::F32 { Dtype::F16 } else { Dtype::F32 };
                let weight = weight.to_dtype(other).to_dtype(dtype);
                backend
                    .linear(LinearSpec { norm: None, weights: &[&weight], bias: None, layout: Layout::Plain })
                    .expect("a map")
            })
            .collect();
        for m in ROWS {
            let mut x = backend.buffer(m * k).expect("memory");
            let mut out = backend.buffer(m * n).expect("memory");
            backend.write(&values(m * k, 2), &mut x, 0).expect("room");
            measure(c, lines, (name, (n, k), m, width), |i| {
                let linear = &copies[i % copies.len()];
                backend
                    .enter(|| backend.project(linear, &x, RowMap::DENSE, m, &mut out, RowMap::DENSE, n))
                    .expect("a projection");
            });
        }
    }
}

fn peer(c: &mut Criterion, lines: &RefCell<Vec<Line>>, threads: usize) {
    let parallelism = if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
    for (n, k) in SHAPES {
        let weight = values(n * k, 1);
        let copies: Vec<_> = (0..(ROTATED / (n * k * 4)).max(2)).map(|_| weight.clone()).collect();
        for m in ROWS {
            let x = values(m * k, 2);
            let mut out = vec![0.0f32; m * n];
            measure(c, lines, ("gemm", (n, k), m, 4), |i| {
                let w = &copies[i % copies.len()];
                // SAFETY: `m × n` outputs, `m × k` row-major activations, `k × n` column-major weights.
                unsafe {
                    gemm::gemm(
                        m,
                        n,
                        k,
                        out.as_mut_ptr(),
                        1,
                        n as isize,
                        false,
                        x.as_ptr(),
                        1,
                        k as isize,
                        w.as_ptr(),
                        k as isize,
                        1,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        parallelism,
                    );
                }
            });
        }
    }
}

fn main() {
    let threads = std::env::var("PHOTON_BENCH_THREADS").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
    let mut c = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    let lines = RefCell::new(Vec::new());
    let bandwidth = limits::read_bandwidth(threads).expect("memory");
    let peak = limits::fma_peak(threads).expect("threads");
    ours(&mut c, &lines, threads, Dtype::Bf16);
    ours(&mut c, &lines, threads, Dtype::F32);
    peer(&mut c, &lines, threads);
    // Once more: clocks move.
    let bandwidth = bandwidth.max(limits::read_bandwidth(threads).expect("memory"));
    let peak = peak.max(limits::fma_peak(threads).expect("threads"));
    c.final_summary();
    let lines: Vec<String> = lines
        .into_inner()
        .into_iter()
        .map(|Line { name, shape: (n, k), rows, bytes, seconds }| {
            let read = bytes as f64 / seconds / 1e9 / bandwidth;
            let fma = (2 * rows * n * k) as f64 / seconds / 1e9 / peak;
            format!(
                "{{\"weights\":\"{name}\",\"outputs\":{n},\"inputs\":{k},\"rows\":{rows},\"threads\":{threads},\
                 \"seconds\":{seconds:e},\"share_of_read\":{read:.4},\"share_of_fma\":{fma:.4},\
                 \"read_gb_per_s\":{bandwidth:.2},\"fma_gflops\":{peak:.1}}}\n"
            )
        })
        .collect();
    match std::env::var_os("PHOTON_BENCH_RESULTS") {
        Some(path) => std::fs::write(path, lines.concat()).expect("a writable file"),
        None => print!("{}", lines.concat()),
    }
}
