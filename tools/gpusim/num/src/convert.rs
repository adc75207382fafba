//! `cvt`: conversions between formats and integers, with PTX's rules for NaN, saturation and subnormals.

use crate::Rounding;
use crate::format::{Format, Specials};
use crate::round::{Exact, round_exact, round_integer};

/// The modifiers of a float-to-float `cvt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modifiers {
    /// The rounding mode; exact conversions ignore it.
    pub mode: Rounding,
    /// `.ftz`: f32 subnormals, as inputs and as results, become zeros of their sign.
    pub ftz: bool,
    /// `.sat`: the result is clamped to `[0, 1]`, NaN becomes +0.
    pub sat: bool,
    /// `.satfinite`: what exceeds the largest finite value becomes it.
    pub satfinite: bool,
    /// `.relu`: negative results become +0, NaN the canonical NaN.
    pub relu: bool,
}

impl Modifiers {
    /// Only a rounding mode.
    pub const fn plain(mode: Rounding) -> Modifiers {
        Modifiers { mode, ftz: false, sat: false, satfinite: false, relu: false }
    }
}

/// `cvt.dst.src` between floating-point formats. tf32 results are 19 bits (see [`crate::format::to_tf32`] for PTX's
/// register layout). NaN gives the canonical NaN of the destination, or its largest value where it has none; f64 to f64
/// and f32 to f32 are conversions like any other.
pub fn float_to_float(bits: u64, src: &Format, dst: &Format, how: Modifiers) -> u64 {
    let bits = if how.ftz && *src == Format::F32 { flush(bits, src) } else { bits };
    let mut out = dst.encode(src.decode(bits), how.mode, how.satfinite);
    if how.ftz && *dst == Format::F32 {
        out = flush(out, dst);
    }
    if how.relu {
        out = relu(out, dst);
    }
    if how.sat {
        out = saturate(out, dst);
    }
    out
}

/// A subnormal becomes a zero of its sign.
pub(crate) fn flush(bits: u64, format: &Format) -> u64 {
    let field = bits & format.magnitude() & !((1 << format.man_bits) - 1);
    if field == 0 { bits & !format.magnitude() } else { bits }
}

/// Negative values and -0 become +0, NaN the canonical NaN.
pub(crate) fn relu(bits: u64, format: &Format) -> u64 {
    if format.is_nan(bits) && format.specials != Specials::None {
        format.nan()
    } else if bits >> (format.bits() - 1) & 1 == 1 {
        0
    } else {
        bits
    }
}

/// Clamps to `[+0, 1]`; NaN becomes +0.
pub(crate) fn saturate(bits: u64, format: &Format) -> u64 {
    let one = (format.bias() as u64) << format.man_bits;
    if format.is_nan(bits) || bits >> (format.bits() - 1) & 1 == 1 { 0 } else { bits.min(one) }
}

/// An integer type of PTX, 8 to 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int {
    /// 8, 16, 32 or 64.
    pub bits: u32,
    /// `.s*` rather than `.u*`.
    pub signed: bool,
}

impl Int {
    /// The smallest value.
    pub const fn min(&self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    /// The largest value.
    pub const fn max(&self) -> i128 {
        (1 << (self.bits - self.signed as u32)) - 1
    }

    /// The value of the low bits.
    pub const fn value(&self, bits: u64) -> i128 {
        let unused = 64 - self.bits;
        if self.signed {
            (((bits << unused) as i64) >> unused) as i128
        } else {
            (bits << unused >> unused) as i128
        }
    }
}

/// `cvt.{rni,rzi,rmi,rpi}.int.float`, the modes given as rn, rz, rm, rp. Out-of-range values clamp; NaN gives 0, but
/// `1 << (width - 1)` if the source is f64 or the destination has 64 bits. The result is sign- or zero-extended to 64 bits.
pub fn float_to_int(bits: u64, src: &Format, dst: Int, mode: Rounding, ftz: bool) -> u64 {
    let x = src.decode(if ftz && *src == Format::F32 { flush(bits, src) } else { bits });
    if x.is_nan() {
        if *src == Format::F64 || dst.bits == 64 {
            return dst.value(1 << (dst.bits - 1)) as u64;
        }
        return 0;
    }
    // Beyond 2^64 every type is out of range.
    if x.abs() >= 18_446_744_073_709_551_616.0 {
        return (if x < 0.0 { dst.min() } else { dst.max() }) as u64;
    }
    let Exact { neg, sig, exp } = Exact::from_f64(x);
    let magnitude = if exp >= 0 { sig << exp } else { round_integer(neg, sig, -exp as u32, mode).0 } as i128;
    (if neg { -magnitude } else { magnitude }).clamp(dst.min(), dst.max()) as u64
}

/// `cvt.mode.float.int`; the result has the destination's width. `sat` clamps to `[0, 1]`.
pub fn int_to_float(bits: u64, src: Int, dst: &Format, mode: Rounding, sat: bool) -> u64 {
    let value = src.value(bits);
    let out = round_exact(Exact { neg: value < 0, sig: value.unsigned_abs(), exp: 0 }, dst, mode, false);
    if sat { saturate(out, dst) } else { out }
}

/// `cvt{.sat}.int.int`: truncation or extension, with `sat` clamping to the destination's range. The result is
/// sign- or zero-extended to 64 bits according to the destination.
pub fn int_to_int(bits: u64, src: Int, dst: Int, sat: bool) -> u64 {
    let value = src.value(bits);
    if sat { value.clamp(dst.min(), dst.max()) as u64 } else { dst.value(value as u64) as u64 }
}

/// `cvt.{rni,rzi,rmi,rpi}` within one format: rounds to an integral value and keeps the sign of zero. The modifiers'
/// mode is rn, rz, rm or rp.
pub fn round_to_integral(bits: u64, format: &Format, how: Modifiers) -> u64 {
    let bits = if how.ftz && *format == Format::F32 { flush(bits, format) } else { bits };
    let x = format.decode(bits);
    let rounded = match how.mode {
        Rounding::Rz => x.trunc(),
        Rounding::Rm => x.floor(),
        Rounding::Rp => x.ceil(),
        Rounding::Rna => x.round(),
        Rounding::Rn | Rounding::Rs { .. } => x.round_ties_even(),
    };
    // Integers of a format's magnitude are in the format or round up to a power of two that is.
    let out = format.encode(rounded, Rounding::Rn, false);
    if how.sat { saturate(out, format) } else { out }
}
