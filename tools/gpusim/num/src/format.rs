//! The number formats: what their bits mean, and how values are rounded into them.

use crate::Rounding;
use crate::round::{Exact, round_exact};

/// What the encodings of the largest exponent mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// Infinities and NaNs as in IEEE 754.
    Ieee,
    /// No infinity; only the pattern of all ones is a NaN (e4m3).
    NanOnly,
    /// Every pattern is a finite number (e2m1, e2m3, e3m2).
    None,
}

/// A binary floating-point format with a sign bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits of the exponent field.
    pub exp_bits: u32,
    /// Bits of the stored significand.
    pub man_bits: u32,
    /// What the largest exponent encodes.
    pub specials: Specials,
}

impl Format {
    /// IEEE 754 binary16.
    pub const F16: Format = Format { exp_bits: 5, man_bits: 10, specials: Specials::Ieee };
    /// The upper half of an f32.
    pub const BF16: Format = Format { exp_bits: 8, man_bits: 7, specials: Specials::Ieee };
    /// 19 bits; PTX keeps it in the upper bits of an f32, see [`to_tf32`].
    pub const TF32: Format = Format { exp_bits: 8, man_bits: 10, specials: Specials::Ieee };
    /// IEEE 754 binary32.
    pub const F32: Format = Format { exp_bits: 8, man_bits: 23, specials: Specials::Ieee };
    /// IEEE 754 binary64.
    pub const F64: Format = Format { exp_bits: 11, man_bits: 52, specials: Specials::Ieee };
    /// 8 bits, largest value 448.
    pub const E4M3: Format = Format { exp_bits: 4, man_bits: 3, specials: Specials::NanOnly };
    /// 8 bits, largest value 57344.
    pub const E5M2: Format = Format { exp_bits: 5, man_bits: 2, specials: Specials::Ieee };
    /// 6 bits, largest value 7.5.
    pub const E2M3: Format = Format { exp_bits: 2, man_bits: 3, specials: Specials::None };
    /// 6 bits, largest value 28.
    pub const E3M2: Format = Format { exp_bits: 3, man_bits: 2, specials: Specials::None };
    /// 4 bits, largest value 6.
    pub const E2M1: Format = Format { exp_bits: 2, man_bits: 1, specials: Specials::None };

    /// Bits of a value, sign included.
    pub const fn bits(&self) -> u32 {
        1 + self.exp_bits + self.man_bits
    }

    /// The exponent bias.
    pub const fn bias(&self) -> i32 {
        (1 << (self.exp_bits - 1)) - 1
    }

    /// The exponent of the smallest normal number.
    pub const fn e_min(&self) -> i32 {
        1 - self.bias()
    }

    /// The exponent of the largest finite number.
    pub const fn e_max(&self) -> i32 {
        match self.specials {
            Specials::Ieee => self.bias(),
            _ => self.bias() + 1,
        }
    }

    /// The pattern of the largest finite number.
    pub const fn max_finite(&self) -> u64 {
        match self.specials {
            Specials::Ieee => self.infinity() - 1,
            Specials::NanOnly => self.magnitude() - 1,
            Specials::None => self.magnitude(),
        }
    }

    /// All bits but the sign.
    pub const fn magnitude(&self) -> u64 {
        (1 << (self.exp_bits + self.man_bits)) - 1
    }

    /// The pattern of positive infinity, where there is one.
    pub const fn infinity(&self) -> u64 {
        ((1 << self.exp_bits) - 1) << self.man_bits
    }

    /// The canonical NaN: all bits but the sign set. Formats without NaN give their largest value.
    pub const fn nan(&self) -> u64 {
        self.magnitude()
    }

    pub(crate) const fn sign(&self, neg: bool) -> u64 {
        (neg as u64) << (self.exp_bits + self.man_bits)
    }

    /// Whether the pattern is a NaN.
    pub const fn is_nan(&self, bits: u64) -> bool {
        match self.specials {
            Specials::Ieee => bits & self.magnitude() > self.infinity(),
            Specials::NanOnly => bits & self.magnitude() == self.magnitude(),
            Specials::None => false,
        }
    }

    /// The value of a pattern; bits above the format's are ignored. Exact for every format here. A NaN gives the
    /// quiet NaN of f64.
    pub fn decode(&self, bits: u64) -> f64 {
        if *self == Format::F64 {
            return f64::from_bits(bits);
        }
        let magnitude = bits & self.magnitude();
        let neg = bits >> (self.bits() - 1) & 1 == 1;
        let field = (magnitude >> self.man_bits) as i32;
        let man = magnitude & ((1 << self.man_bits) - 1);
        let value = if self.is_nan(bits) {
            return f64::NAN;
        } else if self.specials == Specials::Ieee && magnitude == self.infinity() {
            f64::INFINITY
        } else if field == 0 {
            man as f64 * pow2(self.e_min() - self.man_bits as i32)
        } else {
            (man | 1 << self.man_bits) as f64 * pow2(field - self.bias() - self.man_bits as i32)
        };
        if neg { -value } else { value }
    }

    /// Rounds an f64 (so also an f32) into the format. NaN gives the canonical NaN, in formats without one the largest
    /// value. `satfinite` turns infinities and overflow into the largest finite value of that sign.
    pub fn encode(&self, x: f64, mode: Rounding, satfinite: bool) -> u64 {
        if x.is_nan() {
            return self.nan();
        }
        let neg = x.is_sign_negative();
        if x.is_infinite() {
            return match self.specials {
                _ if satfinite => self.sign(neg) | self.max_finite(),
                Specials::Ieee => self.sign(neg) | self.infinity(),
                Specials::NanOnly => self.nan(),
                Specials::None => self.sign(neg) | self.max_finite(),
            };
        }
        round_exact(Exact::from_f64(x), self, mode, satfinite)
    }
}

/// `2^e` for exponents of normal f64.
pub(crate) fn pow2(e: i32) -> f64 {
    debug_assert!((-1022..=1023).contains(&e));
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// An f16 as f32: exact, NaN payloads kept in the upper bits. Free of branches, so that a loop over lanes vectorises.
#[inline(always)]
pub fn f16_to_f32(h: u16) -> f32 {
    let magnitude = u32::from(h & 0x7fff) << 13;
    // Scaling by 2^112 corrects the bias for normal and subnormal numbers alike.
    let scaled = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let special = magnitude | 0x7f80_0000;
    let bits = if magnitude >= 0x0f80_0000 { special } else { scaled };
    f32::from_bits(bits | u32::from(h & 0x8000) << 16)
}

/// A bf16 as f32: exact.
#[inline(always)]
pub fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits(u32::from(h) << 16)
}

/// `cvt.rn.f16.f32`: NaN gives 0x7fff. Free of branches.
#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // Half of the last kept bit, less one where that bit is even: ties go to even. The carry may reach the exponent.
    let odd = magnitude >> 13 & 1;
    let normal = (magnitude.wrapping_add(0xfff + odd).wrapping_sub(112 << 23)) >> 13;
    // Below 2^-14 the addition to 0.5 lets the hardware round at 2^-24, the last place of f16's subnormals.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
    let finite = if magnitude >= 0x477f_f000 { 0x7c00 } else { finite };
    let result = if magnitude > 0x7f80_0000 { 0x7fff } else { finite | bits >> 16 & 0x8000 };
    result as u16
}

/// `cvt.rn.bf16.f32`: NaN gives 0x7fff. Free of branches.
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { 0x7fff } else { rounded }) as u16
}

/// An f32 rounded to tf32, in the upper 19 bits of the result; NaN gives 0x7fffffff as in `cvt.rna.tf32.f32`.
pub fn to_tf32(x: f32, mode: Rounding, satfinite: bool) -> u32 {
    if x.is_nan() {
        return 0x7fff_ffff;
    }
    (Format::TF32.encode(f64::from(x), mode, satfinite) as u32) << 13
}

/// The value of a ue8m0 scale: a power of two from 2^-127 to 2^127, or NaN for 255.
pub fn ue8m0_to_f64(bits: u8) -> f64 {
    if bits == 255 { f64::NAN } else { pow2(i32::from(bits) - 127) }
}

/// `cvt.{rz,rp}.satfinite.ue8m0x2.f32`, one element. The sign is ignored; NaN gives 255. Without `satfinite` a magnitude
/// beyond the largest value gives 255.
pub fn f32_to_ue8m0(x: f32, mode: Rounding, satfinite: bool) -> u8 {
    if x.is_nan() {
        return 255;
    }
    let over = if satfinite { 254 } else { 255 };
    if x.is_infinite() {
        return over;
    }
    let magnitude = x.to_bits() & 0x7fff_ffff;
    if magnitude == 0 {
        return 0;
    }
    let exact = Exact::from_f64(f64::from(f32::from_bits(magnitude)));
    let top = 127 - exact.sig.leading_zeros();
    let exponent = top as i32 + exact.exp;
    let inexact = exact.sig & ((1 << top) - 1) != 0;
    let up = match mode {
        Rounding::Rz | Rounding::Rm => false,
        Rounding::Rp => inexact,
        // Between 2^e and 2^(e+1) the middle is 1.5·2^e; only directed modes exist in PTX.
        Rounding::Rn | Rounding::Rna | Rounding::Rs { .. } => exact.sig >> (top - 1) & 1 == 1,
    };
    match exponent + i32::from(up) + 127 {
        ..=0 => 0,
        e @ 1..=254 => e as u8,
        _ => over,
    }
}
