//! What the machine can do at most: the yardsticks of a benchmark, measured in the same run.

use std::time::Instant;

use super::memory::Aligned;
use super::simd::{Isa, LANES, Simd, entry};
use super::threads::{Shared, Threads};
use crate::error::Result;

/// Values read per pass: 1 GiB, beyond any last-level cache.
const VALUES: usize = 1 << 28;
/// Passes, of which the fastest counts: a limit is what is possible.
const PASSES: usize = 5;
/// Rounds of one FMA measurement: some 30 ms.
const ROUNDS: usize = 4_000_000;
/// Independent sums, enough to hide the latency of the addition.
const SUMS: usize = 12;

/// The rate, in GB/s, at which `threads` threads read memory: the sum of 1 GiB of `f32`, best of 5 passes.
///
/// # Errors
/// If there is no memory for it, or `threads` is 0.
pub fn read_bandwidth(threads: usize) -> Result<f64> {
    let isa = Isa::best();
    let threads = Threads::new(Some(threads))?;
    let mut values = Aligned::<f32>::zeroed(VALUES)?;
    // Untouched pages are all the same page of zeros: write, so that there is something to read.
    let chunk = VALUES / 64;
    let shared = Shared::new(&mut values);
    threads.share(64, usize::MAX / 8, |range| {
        // SAFETY: ranges do not overlap.
        unsafe { shared.slice(range.start * chunk, range.len() * chunk) }.fill(1.0);
    });
    let best = (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            threads.share(64, usize::MAX / 8, |range| {
                std::hint::black_box(sum(isa, &values[range.start * chunk..range.end * chunk]));
            });
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    Ok((VALUES * size_of::<f32>()) as f64 / best / 1e9)
}

/// The rate, in GFLOP/s, at which `threads` threads multiply and add `f32` in registers (two operations per lane).
///
/// # Errors
/// If `threads` is 0.
pub fn fma_peak(threads: usize) -> Result<f64> {
    let isa = Isa::best();
    let count = threads;
    let threads = Threads::new(Some(threads))?;
    let best = (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            threads.share(count, usize::MAX / 8, |range| {
                for _ in range {
                    std::hint::black_box(multiply(isa, std::hint::black_box(0.999)));
                }
            });
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    Ok((count * ROUNDS * SUMS * LANES * 2) as f64 / best / 1e9)
}

entry! {
    fn sum(x: &[f32]) -> f32 = sum_any
}

#[inline(always)]
fn sum_any<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut sums = [s.zero(); 8];
    for lines in x.as_chunks::<LANES>().0.as_chunks::<8>().0 {
        for (sum, line) in sums.iter_mut().zip(lines) {
            *sum = s.add(*sum, s.load(line));
        }
    }
    sums.into_iter().map(|v| s.sum(v)).sum()
}

entry! {
    fn multiply(x: f32) -> f32 = multiply_any
}

#[inline(always)]
fn multiply_any<S: Simd>(s: S, x: f32) -> f32 {
    let factor = s.splat(x);
    let mut sums = [factor; SUMS];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = s.fma(*sum, factor, factor);
        }
    }
    sums.into_iter().map(|v| s.sum(v)).sum()
}
