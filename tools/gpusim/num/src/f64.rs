//! f64 arithmetic as PTX defines it: no `.ftz`, no `.sat`, subnormals always kept.
//!
//! A NaN operand is passed on, quiet; the first NaN among the operands wins. An invalid operation gives [`NAN`].
//! `.rn` runs on the host's own instructions, the directed modes in exact integer arithmetic.

use crate::Rounding;
use crate::format::Format;
use crate::round::{Exact, round_exact};

/// The NaN of an invalid operation.
pub const NAN: u64 = 0xfff8_0000_0000_0000;

fn first_nan(operands: &[f64]) -> Option<u64> {
    operands.iter().find(|x| x.is_nan()).map(|x| x.to_bits() | 1 << 51)
}

fn finish(x: f64) -> u64 {
    if x.is_nan() { NAN } else { x.to_bits() }
}

fn round(value: Exact, mode: Rounding) -> u64 {
    round_exact(value, &Format::F64, mode, false)
}

/// `add.f64`.
#[inline]
pub fn add(a: u64, b: u64, mode: Rounding) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    if let Some(nan) = first_nan(&[x, y]) {
        return nan;
    }
    if mode == Rounding::Rn || !x.is_finite() || !y.is_finite() {
        return finish(x + y);
    }
    round(Exact::from_f64(x).plus(Exact::from_f64(y), mode), mode)
}

/// `sub.f64`.
#[inline]
pub fn sub(a: u64, b: u64, mode: Rounding) -> u64 {
    // A NaN keeps its own sign.
    let negated = if f64::from_bits(b).is_nan() { b } else { b ^ 1 << 63 };
    add(a, negated, mode)
}

/// `mul.f64`.
#[inline]
pub fn mul(a: u64, b: u64, mode: Rounding) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    if let Some(nan) = first_nan(&[x, y]) {
        return nan;
    }
    if mode == Rounding::Rn || !x.is_finite() || !y.is_finite() {
        return finish(x * y);
    }
    round(product(x, y), mode)
}

fn product(x: f64, y: f64) -> Exact {
    let (x, y) = (Exact::from_f64(x), Exact::from_f64(y));
    Exact { neg: x.neg != y.neg, sig: x.sig * y.sig, exp: x.exp + y.exp }
}

/// `fma.f64`.
#[inline]
pub fn fma(a: u64, b: u64, c: u64, mode: Rounding) -> u64 {
    let (x, y, z) = (f64::from_bits(a), f64::from_bits(b), f64::from_bits(c));
    if let Some(nan) = first_nan(&[x, y, z]) {
        return nan;
    }
    if mode == Rounding::Rn || !x.is_finite() || !y.is_finite() || !z.is_finite() {
        return finish(x.mul_add(y, z));
    }
    round(product(x, y).plus(Exact::from_f64(z), mode), mode)
}

/// `div.f64`.
pub fn div(a: u64, b: u64, mode: Rounding) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    if let Some(nan) = first_nan(&[x, y]) {
        return nan;
    }
    if mode == Rounding::Rn || !x.is_finite() || !y.is_finite() || x == 0.0 || y == 0.0 {
        return finish(x / y);
    }
    let (n, d) = (Exact::from_f64(x), Exact::from_f64(y));
    // Both with the highest bit at 52, the dividend 64 bits further up: a quotient of 64 or 65 bits, and a sticky bit.
    let up = |v: Exact| (v.sig << (v.sig.leading_zeros() - 75), v.exp - (v.sig.leading_zeros() as i32 - 75));
    let ((n_sig, n_exp), (d_sig, d_exp)) = (up(n), up(d));
    let (quotient, remainder) = ((n_sig << 64) / d_sig, (n_sig << 64) % d_sig);
    let sig = quotient << 1 | u128::from(remainder != 0);
    round(Exact { neg: n.neg != d.neg, sig, exp: n_exp - d_exp - 65 }, mode)
}

/// `rcp.rnd.f64`.
pub fn rcp(a: u64, mode: Rounding) -> u64 {
    div(1f64.to_bits(), a, mode)
}

/// `sqrt.rnd.f64`.
pub fn sqrt(a: u64, mode: Rounding) -> u64 {
    let x = f64::from_bits(a);
    if let Some(nan) = first_nan(&[x]) {
        return nan;
    }
    if mode == Rounding::Rn || !x.is_finite() || x <= 0.0 {
        return finish(x.sqrt());
    }
    let v = Exact::from_f64(x);
    // An even exponent and 125 or 126 bits: a root of 63 bits.
    let mut by = v.sig.leading_zeros() as i32 - 2;
    by -= (v.exp - by) & 1;
    let sig = v.sig << by;
    let root = sig.isqrt();
    round(
        Exact { neg: false, sig: root << 1 | u128::from(root * root != sig), exp: (v.exp - by) / 2 - 1 },
        mode,
    )
}

/// `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64` look at the upper word only and give an upper word only: subnormals
/// are zeros, the lower 32 bits of the result are zero, NaN is 0x7fffffff00000000.
fn upper_word(a: u64, compute: impl Fn(f64) -> f64) -> u64 {
    let upper = a & 0xffff_ffff_0000_0000;
    let flush = |bits: u64| if bits & 0x7ff0_0000_0000_0000 == 0 { bits & 1 << 63 } else { bits };
    let x = f64::from_bits(a);
    if x.is_nan() {
        return 0x7fff_ffff_0000_0000;
    }
    let y = compute(f64::from_bits(flush(upper)));
    if y.is_nan() {
        return 0x7fff_ffff_0000_0000;
    }
    if y.is_infinite() || y == 0.0 {
        return y.to_bits();
    }
    // To the nearest pattern with an empty lower word.
    flush((y.to_bits() + 0x8000_0000) & 0xffff_ffff_0000_0000)
}

/// `rcp.approx.ftz.f64`.
pub fn rcp_approx_ftz(a: u64) -> u64 {
    upper_word(a, |x| 1.0 / x)
}

/// `rsqrt.approx.ftz.f64`.
pub fn rsqrt_approx_ftz(a: u64) -> u64 {
    upper_word(a, rsqrt_value)
}

/// `rsqrt.approx.f64`: -0 gives negative infinity.
pub fn rsqrt_approx(a: u64) -> u64 {
    let x = f64::from_bits(a);
    first_nan(&[x]).unwrap_or_else(|| finish(rsqrt_value(x)))
}

fn rsqrt_value(x: f64) -> f64 {
    // sqrt(-0) is -0 and its reciprocal negative infinity.
    1.0 / x.sqrt()
}
