//! Seeded random weights: for benchmarks of full-size presets and for tests of any shape.

use half::f16;
use rayon::prelude::*;

use super::tensor::{Lines, Storage, round_bf16};
use super::{Checkpoint, Dtype, Tensor, layout};
use crate::config::Config;
use crate::error::{Error, Result};

impl Checkpoint {
    /// Weights that keep activations near unit size: matrices with deviation `1/sqrt(in)`, embeddings 1, gains
    /// around 1, small biases and start latents that are not zero, so that no parameter goes unnoticed.
    ///
    /// A tensor depends on its name, its shape and `seed` alone; storage types differ by rounding only.
    ///
    /// # Errors
    /// If the configuration is invalid or the weights would not fit into memory.
    pub fn random(config: &Config, seed: u64, dtype: Dtype) -> Result<Self> {
        config.validate()?;
        let need = config.parameters().saturating_mul(dtype.size() as u64);
        if let Some(room) = available_memory()
            && need > room
        {
            return Err(Error::Checkpoint(format!(
                "random weights of {} parameters take {need} bytes as {dtype}, but {room} bytes of memory are available",
                config.parameters()
            )));
        }
        let tensors: Result<Vec<Tensor>> = layout(config)
            .into_par_iter()
            .map(|(name, shape)| {
                let shape = shape.as_slice();
                let (mean, deviation) = scale(&name, shape);
                let number = move |key: u64, i: usize| mean + deviation * bell(key, i as u64);
                let key = hash(&name, seed);
                let mut lines = Lines::zeroed(shape.iter().product::<usize>() * dtype.size())?;
                match dtype {
                    Dtype::F32 => fill(lines.elements_mut::<f32>(), |i| number(key, i)),
                    Dtype::Bf16 => fill(lines.elements_mut(), |i| round_bf16(number(key, i))),
                    Dtype::F16 => fill(lines.elements_mut(), |i| f16::from_f32(number(key, i))),
                }
                Ok(Tensor::new(&name, dtype, shape, Storage::Owned(lines)))
            })
            .collect();
        Ok(Self::trusted(config.clone(), tensors?))
    }
}

/// Mean and deviation of a tensor's values.
fn scale(name: &str, shape: &[usize]) -> (f32, f32) {
    if name.ends_with("norm.weight") {
        (1.0, 0.1)
    } else if name.ends_with(".bias") {
        (0.0, 0.1)
    } else if name.ends_with(".start") {
        (0.0, 0.5)
    } else if name.ends_with("embed_tokens.weight") {
        (0.0, 1.0)
    } else {
        (0.0, 1.0 / (shape.last().copied().unwrap_or(1).max(1) as f32).sqrt())
    }
}

fn fill<T: Send>(out: &mut [T], value: impl Fn(usize) -> T + Sync) {
    const CHUNK: usize = 1 << 16;
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = value(chunk * CHUNK + i);
        }
    });
}

/// FNV-1a over the name, started from the seed.
fn hash(name: &str, seed: u64) -> u64 {
    let start = mix(seed) ^ 0xcbf2_9ce4_8422_2325;
    mix(name.bytes().fold(start, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
}

/// SplitMix64's finaliser.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number with mean 0, deviation 1 and an almost normal shape: the sum of four 16-bit numbers. Bounded by ±3.47, and
/// some ten times cheaper than a logarithm and a cosine.
fn bell(key: u64, i: u64) -> f32 {
    let word = mix(key.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let sum = (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48);
    (sum as i32 - 131_070) as f32 * (1.0 / 37_837.227)
}

/// Bytes that this process may still take, where the system tells: what the kernel calls available, and no more than
/// the control group allows in all.
fn available_memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    Some((kib * 1024).min(limit))
}
