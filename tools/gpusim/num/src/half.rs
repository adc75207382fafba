//! f16 and bf16 arithmetic as PTX defines it, `.rn` only (PTX has no other mode here).
//!
//! The f32 operations on exact inputs carry 24 ≥ 2·11 + 2 bits, so that rounding their results again is harmless for sums and
//! products. A fused multiply-add is rounded to odd first. NaN results are 0x7fff.

use crate::format::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// The canonical NaN of both formats.
pub const NAN: u16 = 0x7fff;

/// f16 or bf16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    Bf16,
}

/// The modifiers of a half-precision instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// `.ftz`: subnormal inputs and results become zeros of their sign.
    pub ftz: bool,
    /// `.sat`: the result is clamped to `[0, 1]`, NaN becomes +0.
    pub sat: bool,
    /// `.relu`: negative results become +0, NaN stays NaN.
    pub relu: bool,
}

impl Half {
    /// The value as f32, exact.
    #[inline(always)]
    pub fn widen(self, h: u16) -> f32 {
        match self {
            Half::F16 => f16_to_f32(h),
            Half::Bf16 => bf16_to_f32(h),
        }
    }

    /// Rounded to nearest even; NaN gives 0x7fff.
    #[inline(always)]
    pub fn narrow(self, x: f32) -> u16 {
        match self {
            Half::F16 => f32_to_f16(x),
            Half::Bf16 => f32_to_bf16(x),
        }
    }

    const fn exponent_mask(self) -> u16 {
        match self {
            Half::F16 => 0x7c00,
            Half::Bf16 => 0x7f80,
        }
    }

    const fn one(self) -> u16 {
        match self {
            Half::F16 => 0x3c00,
            Half::Bf16 => 0x3f80,
        }
    }

    /// Whether the pattern is a NaN.
    #[inline(always)]
    pub const fn is_nan(self, h: u16) -> bool {
        h & 0x7fff > self.exponent_mask()
    }

    /// A subnormal becomes a zero of its sign.
    #[inline(always)]
    pub const fn flush(self, h: u16) -> u16 {
        if h & self.exponent_mask() == 0 { h & 0x8000 } else { h }
    }

    #[inline(always)]
    fn input(self, h: u16, m: Modifiers) -> f32 {
        self.widen(if m.ftz { self.flush(h) } else { h })
    }

    #[inline(always)]
    fn output(self, h: u16, m: Modifiers) -> u16 {
        let h = if m.ftz { self.flush(h) } else { h };
        let h = if m.relu && h & 0x8000 != 0 && !self.is_nan(h) { 0 } else { h };
        match m.sat {
            true if self.is_nan(h) || h & 0x8000 != 0 => 0,
            true => h.min(self.one()),
            false => h,
        }
    }

    /// `add`.
    #[inline(always)]
    pub fn add(self, a: u16, b: u16, m: Modifiers) -> u16 {
        self.output(self.narrow(self.input(a, m) + self.input(b, m)), m)
    }

    /// `sub`.
    #[inline(always)]
    pub fn sub(self, a: u16, b: u16, m: Modifiers) -> u16 {
        self.output(self.narrow(self.input(a, m) - self.input(b, m)), m)
    }

    /// `mul`.
    #[inline(always)]
    pub fn mul(self, a: u16, b: u16, m: Modifiers) -> u16 {
        self.output(self.narrow(self.input(a, m) * self.input(b, m)), m)
    }

    /// `fma`.
    #[inline(always)]
    pub fn fma(self, a: u16, b: u16, c: u16, m: Modifiers) -> u16 {
        let (x, y, z) = (self.input(a, m), self.input(b, m), self.input(c, m));
        let rounded = match self {
            Half::F16 => f32_to_f16(add_to_odd_f32(x * y, z)),
            Half::Bf16 => f32_to_bf16(f64_to_f32_odd(sum_to_odd(f64::from(x) * f64::from(y), z.into()))),
        };
        self.output(rounded, m)
    }
}

/// The sum rounded to odd. f16 products and addends are multiples of 2^-48 below 2^33, so nothing leaves f32's range.
#[inline(always)]
fn add_to_odd_f32(x: f32, y: f32) -> f32 {
    let sum = x + y;
    let y_part = sum - x;
    let error = (x - (sum - y_part)) + (y - y_part);
    let bits = sum.to_bits();
    let step = if (error > 0.0) == (sum > 0.0) { 1 } else { u32::MAX };
    let moved = bits & 1 == 0 && error != 0.0 && bits & 0x7f80_0000 != 0x7f80_0000;
    f32::from_bits(bits.wrapping_add(if moved { step } else { 0 }))
}

/// The same in f64, for bf16.
#[inline(always)]
fn sum_to_odd(x: f64, y: f64) -> f64 {
    let sum = x + y;
    let y_part = sum - x;
    let error = (x - (sum - y_part)) + (y - y_part);
    let bits = sum.to_bits();
    let step = if (error > 0.0) == (sum > 0.0) { 1 } else { u64::MAX };
    let moved = bits & 1 == 0 && error != 0.0 && sum.abs() < f64::INFINITY;
    f64::from_bits(bits.wrapping_add(if moved { step } else { 0 }))
}

/// An f64 rounded to odd in f32; what exceeds f32 becomes its largest value, which is odd.
#[inline(always)]
fn f64_to_f32_odd(x: f64) -> f32 {
    let near = x as f32;
    let back = f64::from(near);
    let bits = near.to_bits();
    // Away from zero from a value too small (a zero becomes the least subnormal), else toward it (from infinity to the largest).
    let step = if back.abs() < x.abs() { 1 } else { u32::MAX };
    let moved = bits & 1 == 0 && back != x && !x.is_nan();
    f32::from_bits(bits.wrapping_add(if moved { step } else { 0 }))
}
