//! f32 arithmetic as PTX defines it.
//!
//! NaN results are 0x7fffffff. `.rn` runs on the host's own instructions. The directed modes go through f64: the exact result
//! is rounded there to odd, which leaves enough bits (53 ≥ 24 + 2) for the second rounding to be the only one that counts.

use crate::Rounding;
use crate::format::Format;

/// The canonical NaN.
pub const NAN: u32 = 0x7fff_ffff;

/// The modifiers of an f32 instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modifiers {
    /// `.rn`, `.rz`, `.rm` or `.rp`.
    pub mode: Rounding,
    /// `.ftz`: subnormal inputs and results become zeros of their sign.
    pub ftz: bool,
    /// `.sat`: the result is clamped to `[0, 1]`, NaN becomes +0.
    pub sat: bool,
}

impl Modifiers {
    /// `.rn`, nothing else.
    pub const RN: Modifiers = Modifiers { mode: Rounding::Rn, ftz: false, sat: false };
    /// `.rn.ftz`.
    pub const RN_FTZ: Modifiers = Modifiers { mode: Rounding::Rn, ftz: true, sat: false };

    /// A mode, no `.ftz`, no `.sat`.
    pub const fn plain(mode: Rounding) -> Modifiers {
        Modifiers { mode, ftz: false, sat: false }
    }

    #[inline(always)]
    fn input(self, x: u32) -> f32 {
        f32::from_bits(if self.ftz { flush(x) } else { x })
    }

    #[inline(always)]
    fn output(self, x: f32) -> u32 {
        let bits = if x.is_nan() { NAN } else { x.to_bits() };
        let bits = if self.ftz { flush(bits) } else { bits };
        if self.sat { saturate(bits) } else { bits }
    }

    /// Rounds a value that already is exact or rounded to odd in f64.
    #[inline]
    fn round(self, x: f64) -> u32 {
        self.output(f32::from_bits(Format::F32.encode(x, self.mode, false) as u32))
    }
}

/// A subnormal becomes a zero of its sign.
#[inline(always)]
pub fn flush(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

/// Clamps to `[+0, 1]`; NaN becomes +0.
#[inline(always)]
fn saturate(bits: u32) -> u32 {
    if bits > 0x7f80_0000 { 0 } else { bits.min(0x3f80_0000) }
}

/// NaN becomes 0x7fffffff.
#[inline(always)]
pub fn canonical(bits: u32) -> u32 {
    if bits & 0x7fff_ffff > 0x7f80_0000 { NAN } else { bits }
}

/// `x + y` with the zero sign of the mode: in f64 only exact sums are zero, and IEEE 754 gives those a minus only in
/// `.rm` or when both operands have one.
pub(crate) fn add_to_odd(x: f64, y: f64, mode: Rounding) -> f64 {
    let sum = x + y;
    if sum == 0.0 && mode == Rounding::Rm && (x.is_sign_negative() || y.is_sign_negative()) {
        return -0.0;
    }
    // The error of an addition is a floating-point number (Knuth); infinities and NaN leave it NaN.
    let y_part = sum - x;
    let error = (x - (sum - y_part)) + (y - y_part);
    to_odd(sum, error)
}

/// Moves a rounded value that is even to its odd neighbour on the side of the error, if there is an error.
pub(crate) fn to_odd(value: f64, error: f64) -> f64 {
    let bits = value.to_bits();
    if error == 0.0 || error.is_nan() || !value.is_finite() || bits & 1 == 1 {
        return value;
    }
    f64::from_bits(if (error > 0.0) == (value > 0.0) { bits + 1 } else { bits - 1 })
}

/// `add.f32`.
#[inline(always)]
pub fn add(a: u32, b: u32, m: Modifiers) -> u32 {
    let (x, y) = (m.input(a), m.input(b));
    if m.mode == Rounding::Rn { m.output(x + y) } else { m.round(add_to_odd(x.into(), y.into(), m.mode)) }
}

/// `sub.f32`.
#[inline(always)]
pub fn sub(a: u32, b: u32, m: Modifiers) -> u32 {
    let (x, y) = (m.input(a), m.input(b));
    if m.mode == Rounding::Rn {
        m.output(x - y)
    } else {
        m.round(add_to_odd(x.into(), -f64::from(y), m.mode))
    }
}

/// `mul.f32`.
#[inline(always)]
pub fn mul(a: u32, b: u32, m: Modifiers) -> u32 {
    let (x, y) = (m.input(a), m.input(b));
    if m.mode == Rounding::Rn { m.output(x * y) } else { m.round(f64::from(x) * f64::from(y)) }
}

/// `fma.f32`.
#[inline(always)]
pub fn fma(a: u32, b: u32, c: u32, m: Modifiers) -> u32 {
    let (x, y, z) = (m.input(a), m.input(b), m.input(c));
    if m.mode == Rounding::Rn {
        m.output(x.mul_add(y, z))
    } else {
        m.round(add_to_odd(f64::from(x) * f64::from(y), z.into(), m.mode))
    }
}

/// `div.rnd.f32`.
#[inline(always)]
pub fn div(a: u32, b: u32, m: Modifiers) -> u32 {
    let (x, y) = (m.input(a), m.input(b));
    if m.mode == Rounding::Rn {
        return m.output(x / y);
    }
    let (x, y) = (f64::from(x), f64::from(y));
    let quotient = x / y;
    // The remainder of a correctly rounded quotient is exact; a negative divisor turns its sign around.
    let remainder = (-quotient).mul_add(y, x);
    m.round(to_odd(quotient, if y < 0.0 { -remainder } else { remainder }))
}

/// `rcp.rnd.f32`.
#[inline(always)]
pub fn rcp(a: u32, m: Modifiers) -> u32 {
    div(1f32.to_bits(), a, m)
}

/// `sqrt.rnd.f32`.
#[inline(always)]
pub fn sqrt(a: u32, m: Modifiers) -> u32 {
    let x = m.input(a);
    if m.mode == Rounding::Rn {
        return m.output(x.sqrt());
    }
    let x = f64::from(x);
    let root = x.sqrt();
    m.round(to_odd(root, (-root).mul_add(root, x)))
}

/// `add.f32.{f16,bf16}`: the narrow operand, already widened with [`crate::format::f16_to_f32`] or
/// [`crate::format::bf16_to_f32`], plus an f32, rounded once.
pub fn mixed_add(a: f32, c: u32, m: Modifiers) -> u32 {
    add(a.to_bits(), c, m)
}

/// `sub.f32.{f16,bf16}`: the widened narrow operand minus an f32.
pub fn mixed_sub(a: f32, c: u32, m: Modifiers) -> u32 {
    sub(a.to_bits(), c, m)
}

/// `fma.f32.{f16,bf16}`: the product of two widened narrow operands plus an f32, rounded once.
pub fn mixed_fma(a: f32, b: f32, c: u32, m: Modifiers) -> u32 {
    fma(a.to_bits(), b.to_bits(), c, m)
}
