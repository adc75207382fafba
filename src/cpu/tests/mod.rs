//! What the CPU backend must hold.

mod arguments;
mod attention;
mod head;
mod memory;
mod projection;
mod rows;
mod threads;

use crate::backend::{Backend, Heads, Layout, LinearSpec};
use crate::checkpoint::{Dtype, Tensor};
use crate::cpu::{CpuBackend, CpuBuffer, CpuLinear, CpuOptions, Isa};

/// Reproducible numbers in -1..1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn within(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// Values that bfloat16 holds exactly.
    fn short(&mut self, n: usize) -> Vec<f32> {
        self.values(n).into_iter().map(|x| half::bf16::from_f32(x).to_f32()).collect()
    }
}

fn backend(isa: Isa, dtype: Dtype, threads: usize) -> CpuBackend {
    CpuBackend::new(CpuOptions { dtype, int8: false, threads: Some(threads), isa: Some(isa) }).unwrap()
}

/// One thread on every instruction set of this machine, in both dtypes.
fn backends() -> impl Iterator<Item = CpuBackend> {
    Isa::ALL
        .into_iter()
        .filter(|isa| isa.available())
        .flat_map(|isa| [Dtype::F32, Dtype::Bf16].map(|dtype| backend(isa, dtype, 1)))
}

/// Whether activations are rounded to bfloat16 before they are multiplied.
fn rounds(backend: &CpuBackend) -> bool {
    backend.isa() == Isa::Avx512Bf16 && backend.dtype() == Dtype::Bf16
}

/// Activations as they are multiplied.
fn multiplied(backend: &CpuBackend, x: &[f32]) -> Vec<f64> {
    let round = |x: &f32| if rounds(backend) { half::bf16::from_f32(*x).to_f64() } else { f64::from(*x) };
    x.iter().map(round).collect()
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(name, shape, values).unwrap()
}

fn plain(backend: &CpuBackend, outputs: usize, inputs: usize, weights: &[f32]) -> CpuLinear {
    let weight = tensor("w", &[outputs, inputs], weights);
    backend.linear(LinearSpec { norm: None, weights: &[&weight], bias: None, layout: Layout::Plain }).unwrap()
}

fn buffer(backend: &CpuBackend, values: &[f32]) -> CpuBuffer {
    let mut buffer = backend.buffer(values.len()).unwrap();
    backend.write(values, &mut buffer, 0).unwrap();
    buffer
}

fn contents(backend: &CpuBackend, buffer: &CpuBuffer) -> Vec<f32> {
    let mut values = vec![0.0; backend.buffer_len(buffer)];
    backend.read(buffer, 0, &mut values).unwrap();
    values
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// `x · wᵀ` in f64.
fn product(x: &[f64], w: &[f32], outputs: usize) -> Vec<f64> {
    let k = x.len();
    (0..outputs).map(|j| x.iter().zip(&w[j * k..(j + 1) * k]).map(|(x, &w)| x * f64::from(w)).sum()).collect()
}

fn rms_norm(x: &[f64], gain: &[f32], eps: f64) -> Vec<f64> {
    let scale = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + eps).sqrt();
    x.iter().zip(gain).map(|(x, &g)| x * scale * f64::from(g)).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

#[track_caller]
fn close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.5, |m: f64, x| m.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= tolerance * scale, "{what}: [{i}] is {got}, not {want} (scale {scale})");
    }
}

/// Whether each value is as close as its bound says.
#[track_caller]
fn within(got: &[f32], want: &[f64], bounds: &[f64], what: &str) {
    assert!(got.len() == want.len() && want.len() == bounds.len(), "{what}");
    for (i, (&got, (want, bound))) in got.iter().zip(want.iter().zip(bounds)).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(error <= *bound, "{what}: [{i}] is {got}, not {want} within {bound}");
    }
}

const HEADS: Heads = Heads { query: 4, kv: 2, head_dim: 10 };
