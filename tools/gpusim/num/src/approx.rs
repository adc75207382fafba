//! The `.approx` and `.full` functions.
//!
//! The hardware's exact results are not published, only bounds. Here a result is the f64 value of the function rounded once more to the
//! destination: correctly rounded but for values that lie within about 2^-50 of a tie. On request a
//! result is moved by a pseudo-random amount within the documented bound, so that a test can show that a kernel does not
//! live on results being better than promised. Results that PTX specifies exactly (zeros, infinities, NaN, 2^0) do not move.

use crate::Rounding;
use crate::f32::{NAN, flush};
use crate::format::{Format, pow2};
use crate::half::Half;
use crate::lanes::{Lanes, vectorised};

/// A maximum error that the PTX ISA states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// In units of the last place of the result.
    Ulp(f64),
    /// Relative to the exact value.
    Relative(f64),
    /// Absolute.
    Absolute(f64),
    /// The PTX ISA gives none for this operand.
    Unspecified,
}

/// The maximum errors of the PTX ISA (9.x).
pub mod bounds {
    use super::Bound;

    /// `rcp.approx.f32`.
    pub const RCP: Bound = Bound::Ulp(1.0);
    /// `sqrt.approx.f32`.
    pub const SQRT: Bound = Bound::Relative(1.0 / 8_388_608.0);
    /// `rsqrt.approx.f32`: 2^-22.9.
    pub const RSQRT: Bound = Bound::Relative(1.277_653_530_283_325e-7);
    /// `div.approx.f32` for divisors of magnitude 2^-126 to 2^126, `div.full.f32` for all.
    pub const DIV: Bound = Bound::Ulp(2.0);
    /// `sin` and `cos` in `[-2π, 2π]`: 2^-20.5.
    pub const SIN_COS_2PI: Bound = Bound::Absolute(6.743_495_761_743_046e-7);
    /// `sin` and `cos` in `[-100π, 100π]`: 2^-14.7.
    pub const SIN_COS_100PI: Bound = Bound::Absolute(3.757_154_581_741_079_6e-5);
    /// `lg2.approx.f32` in (0.5, 2).
    pub const LG2_NEAR_ONE: Bound = Bound::Absolute(1.0 / 4_194_304.0);
    /// `lg2.approx.f32` elsewhere.
    pub const LG2: Bound = Bound::Relative(1.0 / 4_194_304.0);
    /// `ex2.approx.f32`.
    pub const EX2: Bound = Bound::Ulp(2.0);
    /// `tanh.approx.f32`.
    pub const TANH: Bound = Bound::Relative(1.0 / 2048.0);
    /// `ex2.approx.f16`: 2^-9.9.
    pub const EX2_F16: Bound = Bound::Relative(1.046_653_772_008_098_5e-3);
    /// `ex2.approx.ftz.bf16`.
    pub const EX2_BF16: Bound = Bound::Relative(1.0 / 128.0);
    /// `tanh.approx.f16`: 2^-10.987.
    pub const TANH_F16: Bound = Bound::Absolute(4.927_009_930_882_233e-4);
    /// `tanh.approx.bf16`.
    pub const TANH_BF16: Bound = Bound::Absolute(1.0 / 256.0);
}

/// How to evaluate an approximate function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// `.ftz`: subnormal inputs and results become zeros of their sign.
    pub ftz: bool,
    /// Moves results within the documented bound, by an amount that depends on this seed and on the operands only.
    pub perturb: Option<u64>,
}

impl Modifiers {
    fn input(self, a: u32) -> f32 {
        f32::from_bits(if self.ftz { flush(a) } else { a })
    }

    /// Rounds the exact value; `limit` is a magnitude that a moved result does not exceed.
    fn finish(self, exact: f64, bound: Bound, limit: f64, operands: u64) -> u32 {
        if exact.is_nan() {
            return NAN;
        }
        let mut x = exact as f32;
        if let Some(seed) = self.perturb
            && x != 0.0
            && x.is_finite()
        {
            // Of the binade that the exact value lies in: below a power of two it is half of that above.
            let near = f64::from(x.abs());
            let below = exact.abs() < near || x.abs() == f32::MAX;
            let ulp = if below {
                near - f64::from(x.abs().next_down())
            } else {
                f64::from(x.abs().next_up()) - near
            };
            x = moved(exact, bound, ulp, limit, hash(seed, operands), &Format::F32) as f32;
        }
        if self.ftz { flush(x.to_bits()) } else { x.to_bits() }
    }
}

/// SplitMix64's finaliser.
fn hash(seed: u64, operands: u64) -> u64 {
    let mut z = seed ^ operands.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A representable value within the bound of the exact one. Rounding goes toward the exact value, so that the bound holds
/// for the rounded result too; if that leaves no choice, the result is the exact value's nearest.
fn moved(exact: f64, bound: Bound, ulp: f64, limit: f64, random: u64, format: &Format) -> f64 {
    let reach = match bound {
        Bound::Ulp(n) => n * ulp,
        Bound::Relative(r) => r * exact.abs(),
        Bound::Absolute(a) => a,
        Bound::Unspecified => 0.0,
    };
    let share = (random >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
    let target = (exact + share * reach).clamp(-limit, limit);
    let mode = if target > exact { Rounding::Rm } else { Rounding::Rp };
    let rounded = format.decode(format.encode(target, mode, true));
    // A bound narrower than the spacing rounds past the exact value.
    if (rounded > exact) == (target > exact) && rounded != exact {
        rounded
    } else {
        format.decode(format.encode(exact, Rounding::Rn, false))
    }
}

/// The tables of the PTX ISA state the results for zeros and infinities: those do not move.
fn unless_tabled(x: f32, bound: Bound) -> Bound {
    if x == 0.0 || x.is_infinite() { Bound::Absolute(0.0) } else { bound }
}

/// `rcp.approx{.ftz}.f32`.
pub fn rcp(a: u32, m: Modifiers) -> u32 {
    let x = m.input(a);
    m.finish(1.0 / f64::from(x), bounds::RCP, f64::MAX, a.into())
}

/// `sqrt.approx{.ftz}.f32`.
pub fn sqrt(a: u32, m: Modifiers) -> u32 {
    m.finish(f64::from(m.input(a)).sqrt(), bounds::SQRT, f64::MAX, a.into())
}

/// `rsqrt.approx{.ftz}.f32`.
pub fn rsqrt(a: u32, m: Modifiers) -> u32 {
    // sqrt(-0) is -0, and so the result negative infinity, as PTX has it.
    m.finish(1.0 / f64::from(m.input(a)).sqrt(), bounds::RSQRT, f64::MAX, a.into())
}

/// `div.approx{.ftz}.f32`: a product with the reciprocal, which is flushed to zero for divisors beyond 2^126. There the
/// result is a zero, or NaN for an infinite dividend.
pub fn div(a: u32, b: u32, m: Modifiers) -> u32 {
    let (x, y) = (f64::from(m.input(a)), f64::from(m.input(b)));
    let exact = if y.abs() > pow2(126) && y.is_finite() { x * 0f64.copysign(y) } else { x / y };
    // Below 2^-126 no bound is stated.
    let bound = if y.abs() < pow2(-126) { Bound::Unspecified } else { bounds::DIV };
    m.finish(exact, bound, f64::MAX, u64::from(a) << 32 | u64::from(b))
}

/// `div.full{.ftz}.f32`.
pub fn div_full(a: u32, b: u32, m: Modifiers) -> u32 {
    let (x, y) = (m.input(a), m.input(b));
    m.finish(f64::from(x) / f64::from(y), bounds::DIV, f64::MAX, u64::from(a) << 32 | u64::from(b))
}

fn sin_cos_bound(x: f32) -> Bound {
    let x = f64::from(x.abs());
    if x <= std::f64::consts::TAU {
        bounds::SIN_COS_2PI
    } else if x <= 100.0 * std::f64::consts::PI {
        bounds::SIN_COS_100PI
    } else {
        Bound::Unspecified
    }
}

/// `sin.approx{.ftz}.f32`.
pub fn sin(a: u32, m: Modifiers) -> u32 {
    let x = m.input(a);
    m.finish(f64::from(x).sin(), sin_cos_bound(x), 1.0, a.into())
}

/// `cos.approx{.ftz}.f32`.
pub fn cos(a: u32, m: Modifiers) -> u32 {
    let x = m.input(a);
    let exact = f64::from(x).cos();
    m.finish(exact, unless_tabled(x, sin_cos_bound(x)), 1.0, a.into())
}

/// `ex2.approx{.ftz}.f32`.
pub fn ex2(a: u32, m: Modifiers) -> u32 {
    let x = m.input(a);
    if x.is_nan() {
        return NAN;
    }
    let exact = exp2_f64(x);
    m.finish(exact, unless_tabled(x, bounds::EX2), f64::MAX, a.into())
}

/// `lg2.approx{.ftz}.f32`.
pub fn lg2(a: u32, m: Modifiers) -> u32 {
    let x = m.input(a);
    let bound = if x > 0.5 && x < 2.0 { bounds::LG2_NEAR_ONE } else { bounds::LG2 };
    m.finish(f64::from(x).log2(), bound, f64::MAX, a.into())
}

/// `tanh.approx.f32`; subnormal operands are passed through.
pub fn tanh(a: u32, m: Modifiers) -> u32 {
    let x = m.input(a);
    if x.is_subnormal() {
        return x.to_bits();
    }
    let exact = f64::from(x).tanh();
    m.finish(exact, unless_tabled(x, bounds::TANH), 1.0, a.into())
}

fn finish_half(half: Half, exact: f64, bound: Bound, limit: f64, a: u16, m: Modifiers) -> u16 {
    let format = if half == Half::F16 { Format::F16 } else { Format::BF16 };
    if exact.is_nan() {
        return crate::half::NAN;
    }
    let mut h = format.encode(exact, Rounding::Rn, false) as u16;
    if let Some(seed) = m.perturb
        && h & 0x7fff != 0
        && format.decode(h.into()).is_finite()
    {
        h = format.encode(moved(exact, bound, 0.0, limit, hash(seed, a.into()), &format), Rounding::Rn, false)
            as u16;
    }
    if m.ftz { half.flush(h) } else { h }
}

/// `ex2.approx.f16` and `ex2.approx.ftz.bf16` (which takes `m.ftz`).
pub fn ex2_half(half: Half, a: u16, m: Modifiers) -> u16 {
    let x = half.widen(if m.ftz { half.flush(a) } else { a });
    if x.is_nan() {
        return crate::half::NAN;
    }
    let bound = if half == Half::F16 { bounds::EX2_F16 } else { bounds::EX2_BF16 };
    let exact = exp2_f64(x);
    finish_half(half, exact, unless_tabled(x, bound), f64::MAX, a, m)
}

/// `tanh.approx.{f16,bf16}`.
pub fn tanh_half(half: Half, a: u16, m: Modifiers) -> u16 {
    let x = half.widen(a);
    let bound = if half == Half::F16 { bounds::TANH_F16 } else { bounds::TANH_BF16 };
    let exact = f64::from(x).tanh();
    finish_half(half, exact, unless_tabled(x, bound), 1.0, a, m)
}

/// `1/n!`, n from 13 down to 0.
const EXP_SERIES: [f64; 14] = {
    let mut terms = [1.0; 14];
    let mut n = 1;
    let mut factorial = 1.0;
    while n < 14 {
        factorial *= n as f64;
        terms[13 - n] = 1.0 / factorial;
        n += 1;
    }
    terms
};

/// 2^x to about 2^-51, for any x but NaN. Only additions and multiplications, so that it vectorises and gives the same bits everywhere.
#[inline(always)]
fn exp2_f64(x: f32) -> f64 {
    // Past these the result is infinite or zero in f32 anyway.
    let x = f64::from(x.clamp(-200.0, 200.0));
    // Adding 1.5·2^52 rounds to an integer, which then sits in the low bits.
    let shifted = x + 6_755_399_441_055_744.0;
    let whole = shifted - 6_755_399_441_055_744.0;
    let t = (x - whole) * std::f64::consts::LN_2;
    let mut series = EXP_SERIES[0];
    for term in &EXP_SERIES[1..] {
        series = series * t + term;
    }
    series * f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52))
}

vectorised! {
    /// `ex2.approx{.ftz}.f32` over the lanes, the same results as [`ex2`] without perturbation.
    ex2_lanes<const FTZ>(a: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            let x = f32::from_bits(if FTZ { flush(a[i]) } else { a[i] });
            let y = (exp2_f64(x) as f32).to_bits();
            let y = if FTZ { flush(y) } else { y };
            d[i] = if x.is_nan() { NAN } else { y };
        }
    }
}

vectorised! {
    /// `rcp.approx{.ftz}.f32` over the lanes.
    rcp_lanes<const FTZ>(a: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            // One correctly rounded division equals the rounding of the f64 quotient.
            let y = 1.0 / f32::from_bits(if FTZ { flush(a[i]) } else { a[i] });
            let bits = crate::f32::canonical(y.to_bits());
            d[i] = if FTZ { flush(bits) } else { bits };
        }
    }
}

vectorised! {
    /// `rsqrt.approx{.ftz}.f32` over the lanes.
    rsqrt_lanes<const FTZ>(a: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            let x = f64::from(f32::from_bits(if FTZ { flush(a[i]) } else { a[i] }));
            d[i] = crate::f32::canonical(((1.0 / x.sqrt()) as f32).to_bits());
        }
    }
}
