//! `min` and `max`: NaN handling, `.xorsign.abs`, three inputs.

use crate::convert::flush;
use crate::format::Format;

/// The modifiers of `min` and `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// `.ftz`: subnormal inputs become zeros of their sign (f16, f32).
    pub ftz: bool,
    /// `.NaN`: one NaN operand makes the result NaN; otherwise only two do.
    pub nan: bool,
    /// `.xorsign.abs`: magnitudes are compared, the sign is the exclusive or of the operands' signs.
    pub xorsign_abs: bool,
}

/// `min` of f16, bf16, f32 or f64 patterns. -0 is less than +0; a NaN result is canonical.
#[inline]
pub fn min(a: u64, b: u64, format: &Format, m: Modifiers) -> u64 {
    select(a, b, format, m, true)
}

/// `max`, likewise.
#[inline]
pub fn max(a: u64, b: u64, format: &Format, m: Modifiers) -> u64 {
    select(a, b, format, m, false)
}

/// `min` with three inputs: of `a` and `b`, and of that and `c`; with `.xorsign.abs` the sign is that of all three.
pub fn min3(a: u64, b: u64, c: u64, format: &Format, m: Modifiers) -> u64 {
    min(min(a, b, format, m), c, format, m)
}

/// `max` with three inputs, likewise.
pub fn max3(a: u64, b: u64, c: u64, format: &Format, m: Modifiers) -> u64 {
    max(max(a, b, format, m), c, format, m)
}

#[inline(always)]
fn select(a: u64, b: u64, format: &Format, m: Modifiers, min: bool) -> u64 {
    let (mut a, mut b) = if m.ftz { (flush(a, format), flush(b, format)) } else { (a, b) };
    let sign_bit = format.magnitude() + 1;
    let sign = (a ^ b) & sign_bit;
    if m.xorsign_abs {
        a &= format.magnitude();
        b &= format.magnitude();
    }
    let (a_nan, b_nan) = (format.is_nan(a), format.is_nan(b));
    let picked = if a_nan && b_nan || m.nan && (a_nan || b_nan) {
        return format.nan();
    } else if a_nan {
        b
    } else if b_nan || (order(a, sign_bit) < order(b, sign_bit)) == min {
        a
    } else {
        b
    };
    if m.xorsign_abs { picked & format.magnitude() | sign } else { picked }
}

/// A key that orders patterns as their values, -0 before +0.
fn order(bits: u64, sign_bit: u64) -> i64 {
    let magnitude = (bits & (sign_bit - 1)) as i64;
    if bits & sign_bit != 0 { !magnitude } else { magnitude }
}
