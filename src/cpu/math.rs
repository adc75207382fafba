//! Kernels on rows: RMSNorm, softmax, SwiGLU, log-sum-exp, and the exponential under them.

use super::simd::{Isa, LANES, Simd, entry};

/// `e^x` to 2 ulp; 0 and infinity where the result leaves the range, NaN for NaN.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // Adding and subtracting 1.5 · 2²³ rounds to an integer.
    let magic = s.splat(12_582_912.0);
    // The constant comes first: that is what lets a NaN through.
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let n = s.sub(s.fma(x, s.splat(std::f32::consts::LOG2_E), magic), magic);
    let r = s.fma(n, s.splat(-0.693_359_4), x);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        p = s.fma(p, r, s.splat(c));
    }
    let p = s.add(s.fma(p, s.mul(r, r), r), s.splat(1.0));
    // 2^n in two factors: n reaches from -150 (denormal results) to 128.
    let half = s.sub(s.fma(n, s.splat(0.5), magic), magic);
    let rest = s.sub(n, half);
    let power = |n| s.shift_into_exponent(s.add(n, s.splat(8_388_608.0 + 127.0)));
    s.mul(s.mul(p, power(half)), power(rest))
}

/// Calls `$body` on whole chunks of 16, then on the rest.
macro_rules! by_lanes {
    ($len:expr, $range:ident => $body:block) => {
        let len = $len;
        let mut at = 0;
        while at < len {
            let $range = at..len.min(at + LANES);
            $body
            at += LANES;
        }
    };
}

/// The first values of a slice, as a vector.
#[inline(always)]
fn lanes<S: Simd>(s: S, x: &[f32]) -> S::V {
    match x.first_chunk::<LANES>() {
        Some(x) => s.load(x),
        None => s.load_tail(x),
    }
}

#[inline(always)]
fn put<S: Simd>(s: S, out: &mut [f32], v: S::V) {
    match out.first_chunk_mut::<LANES>() {
        Some(out) => s.store(out, v),
        None => s.store_tail(out, v),
    }
}

entry! {
    /// `1 / sqrt(mean(x²) + eps)`.
    pub(crate) fn inverse_rms(x: &[f32], eps: f32) -> f32 = inverse_rms_any
}

#[inline(always)]
fn inverse_rms_any<S: Simd>(s: S, x: &[f32], eps: f32) -> f32 {
    let mut squares = s.zero();
    by_lanes!(x.len(), r => {
        let x = lanes(s, &x[r]);
        squares = s.fma(x, x, squares);
    });
    let mean = s.sum(squares) / x.len() as f32;
    1.0 / (mean + eps).sqrt()
}

entry! {
    /// `out = x · scale · gain`.
    pub(crate) fn scale(x: &[f32], scale: f32, gain: &[f32], out: &mut [f32]) = scale_any
}

#[inline(always)]
fn scale_any<S: Simd>(s: S, x: &[f32], scale: f32, gain: &[f32], out: &mut [f32]) {
    let scale = s.splat(scale);
    by_lanes!(x.len(), r => {
        let y = s.mul(s.mul(lanes(s, &x[r.clone()]), scale), lanes(s, &gain[r.clone()]));
        put(s, &mut out[r], y);
    });
}

/// `out = x / sqrt(mean(x²) + eps) · gain`.
pub(crate) fn norm(isa: Isa, x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
    scale(isa, x, inverse_rms(isa, x, eps), gain, out);
}

entry! {
    /// `x = exp((x - max x) · scale)`; gives the sum of the new `x`.
    pub(crate) fn softmax(x: &mut [f32], scale: f32) -> f32 = softmax_any
}

#[inline(always)]
pub(crate) fn softmax_any<S: Simd>(s: S, x: &mut [f32], scale: f32) -> f32 {
    let max = s.splat(greatest(s, x));
    let scale = s.splat(scale);
    let mut sum = s.zero();
    by_lanes!(x.len(), r => {
        let x = &mut x[r];
        let e = exp(s, s.mul(s.sub(lanes(s, x), max), scale));
        put(s, x, e);
        // Loaded again: lanes beyond the end count as zero.
        sum = s.add(sum, lanes(s, x));
    });
    s.sum(sum)
}

/// The greatest value; NaN may be passed over.
#[inline(always)]
fn greatest<S: Simd>(s: S, x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut max = s.splat(f32::NEG_INFINITY);
    for chunk in chunks {
        max = s.max(s.load(chunk), max);
    }
    rest.iter().fold(s.greatest(max), |max, &x| if x > max { x } else { max })
}

entry! {
    /// `out = silu(gate) · up`.
    pub(crate) fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) = swiglu_any
}

#[inline(always)]
fn swiglu_any<S: Simd>(s: S, gate: &[f32], up: &[f32], out: &mut [f32]) {
    let one = s.splat(1.0);
    by_lanes!(out.len(), r => {
        let (g, u) = (lanes(s, &gate[r.clone()]), lanes(s, &up[r.clone()]));
        let silu = s.div(g, s.add(one, exp(s, s.sub(s.zero(), g))));
        put(s, &mut out[r], s.mul(silu, u));
    });
}

entry! {
    /// `ln Σ e^x`.
    pub(crate) fn log_sum_exp(x: &[f32]) -> f64 = log_sum_exp_any
}

#[inline(always)]
fn log_sum_exp_any<S: Simd>(s: S, x: &[f32]) -> f64 {
    let max = greatest(s, x);
    let shift = s.splat(max);
    let mut total = 0.0;
    // Blocks summed in f32, their sums in f64: 32,000 terms lose nothing that f32 logits could show.
    for block in x.chunks(64 * LANES) {
        let mut sum = s.zero();
        by_lanes!(block.len(), r => {
            let n = r.len();
            let mut e = [0.0; LANES];
            s.store(&mut e, exp(s, s.sub(lanes(s, &block[r]), shift)));
            sum = s.add(sum, s.load_tail(&e[..n]));
        });
        total += f64::from(s.sum(sum));
    }
    f64::from(max) + total.ln()
}

entry! {
    /// `x = e^x`.
    #[cfg(test)]
    pub(crate) fn exp_in_place(x: &mut [f32]) = exp_in_place_any
}

#[cfg(test)]
#[inline(always)]
fn exp_in_place_any<S: Simd>(s: S, x: &mut [f32]) {
    by_lanes!(x.len(), r => {
        let x = &mut x[r];
        let e = exp(s, lanes(s, x));
        put(s, x, e);
    });
}
