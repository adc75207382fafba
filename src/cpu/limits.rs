//! What the machine can do at most: the yardsticks of a benchmark, measured in the same run with the best instructions that the machine
//! has, whatever the backend was told to use. Arithmetic is that of f32: products in bfloat16 can be faster.

use std::time::Instant;

use super::memory::Aligned;
use super::simd::{Isa, LANES, Simd, entry};
use super::threads::{Shared, Threads};
use crate::error::Result;

/// Values in memory: 1 GiB, beyond any last-level cache, so that a part read again has long been evicted.
const VALUES: usize = 1 << 28;
/// Parts timed one by one, 32 MiB each, twice over, in two orders by turns. The fastest counts: a limit is what is possible, and a
/// part is short enough that some escape whatever else the machine is doing.
const PARTS: usize = 32;
/// FMA measurements, of which the fastest counts.
const PASSES: usize = 8;
/// Rounds of one FMA measurement: about 50 ms. In the first milliseconds a core may run at a clock that it cannot keep up:
/// 160 instead of 138 GFLOP/s on a Xeon of the Sapphire Rapids generation. The work compared takes seconds.
const ROUNDS: usize = 20_000_000;
/// Independent sums, enough to hide the latency of the addition.
const SUMS: usize = 12;

/// The rate, in GB/s, at which `threads` threads read memory: the sum over 1 GiB of `f32`, in the order that
/// memory answers fastest, in parts of which the fastest counts.
///
/// # Errors
/// If there is no memory for it, or `threads` is 0.
pub fn read_bandwidth(threads: usize) -> Result<f64> {
    let isa = Isa::best();
    let threads = Threads::new(Some(threads))?;
    let mut values = Aligned::<f32>::zeroed(VALUES)?;
    // Untouched pages are all the same page of zeros: write, so that there is something to read.
    let piece = VALUES / PARTS / 64;
    let shared = Shared::new(&mut values);
    threads.share(64 * PARTS, usize::MAX / 8, |range| {
        // SAFETY: ranges do not overlap.
        unsafe { shared.slice(range.start * piece, range.len() * piece) }.fill(1.0);
    });
    let best = (0..2 * PARTS)
        .map(|i| {
            let part = &values[i % PARTS * 64 * piece..][..64 * piece];
            let start = Instant::now();
            threads.share(64, usize::MAX / 8, |range| {
                let part = &part[range.start * piece..range.end * piece];
                std::hint::black_box(if (i + i / PARTS).is_multiple_of(2) {
                    sum8(isa, part)
                } else {
                    sum4(isa, part)
                });
            });
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    Ok((VALUES / PARTS * size_of::<f32>()) as f64 / best / 1e9)
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
    fn sum8(x: &[f32]) -> f32 = sum8_any
}

entry! {
    fn sum4(x: &[f32]) -> f32 = sum4_any
}

#[inline(always)]
fn sum8_any<S: Simd>(s: S, x: &[f32]) -> f32 {
    sum::<S, 8, 512>(s, x)
}

#[inline(always)]
fn sum4_any<S: Simd>(s: S, x: &[f32]) -> f32 {
    sum::<S, 4, 2048>(s, x)
}

/// `STREAMS` streams side by side, each prefetched `AHEAD` bytes ahead: one stream, a page after the other, gives one core of a
/// Xeon 10 GB/s, eight of them 17 to 20.
#[inline(always)]
fn sum<S: Simd, const STREAMS: usize, const AHEAD: usize>(s: S, x: &[f32]) -> f32 {
    const STREAM: usize = 16 * 1024;
    let mut sums = [s.zero(); STREAMS];
    for block in x.chunks_exact(STREAMS * STREAM) {
        for at in (0..STREAM).step_by(LANES) {
            for (j, sum) in sums.iter_mut().enumerate() {
                let line = &block[j * STREAM + at..];
                s.prefetch::<false>(line.as_ptr().cast::<u8>().wrapping_add(AHEAD));
                // SAFETY: `at + 16 ≤ STREAM` values of stream `j`.
                *sum = s.add(*sum, unsafe { s.load_first(line.as_ptr(), LANES) });
            }
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
