//! Rounding of exact binary values into a format: the one place where rounding modes are decided for the slow paths.

use crate::format::{Format, Specials};

/// A rounding mode of PTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `.rn`: to nearest, ties to even.
    Rn,
    /// `.rz`: toward zero.
    Rz,
    /// `.rm`: toward negative infinity.
    Rm,
    /// `.rp`: toward positive infinity.
    Rp,
    /// `.rna`: to nearest, ties away from zero.
    Rna,
    /// `.rs`: the `count` random bits are added to the `count` highest discarded bits; the carry rounds away from zero.
    Rs {
        /// The random bits, in the low `count` bits.
        bits: u32,
        /// How many of them there are, at most 32.
        count: u8,
    },
}

/// A value `±sig · 2^exp`. `sig`'s lowest bit may be sticky: it stands for anything nonzero at or below it, provided that
/// `sig` has at least two more bits than the precision it is rounded to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact {
    pub neg: bool,
    pub sig: u128,
    pub exp: i32,
}

impl Exact {
    /// The value of a finite f64.
    pub fn from_f64(x: f64) -> Exact {
        let bits = x.to_bits();
        let field = (bits >> 52) as i32 & 0x7ff;
        let man = bits & ((1 << 52) - 1);
        let (sig, exp) = if field == 0 { (man, -1074) } else { (man | 1 << 52, field - 1075) };
        Exact { neg: bits >> 63 == 1, sig: sig as u128, exp }
    }

    /// The same value with the highest bit of `sig` at bit `at`; bits that fall out below are kept as a sticky bit.
    fn normalised(self, at: u32) -> Exact {
        if self.sig == 0 {
            return self;
        }
        let top = 127 - self.sig.leading_zeros();
        let (sig, by) = if top <= at {
            (self.sig << (at - top), -((at - top) as i32))
        } else {
            (shift_right_sticky(self.sig, top - at), (top - at) as i32)
        };
        Exact { sig, exp: self.exp + by, ..self }
    }

    /// The sum, exact or with a sticky lowest bit at least 100 bits below the highest bit of the larger operand. A result
    /// of zero has the sign that IEEE 754 gives an exact zero sum in mode `mode`.
    pub fn plus(self, other: Exact, mode: Rounding) -> Exact {
        if self.sig == 0 && other.sig == 0 {
            let neg = if self.neg == other.neg { self.neg } else { mode == Rounding::Rm };
            return Exact { neg, sig: 0, exp: 0 };
        }
        if self.sig == 0 {
            return other;
        }
        if other.sig == 0 {
            return self;
        }
        // One bit above for the carry. Products of two f64 have 106 bits and lie in bits 20..=125, so a bit is lost only
        // from the smaller operand and only where no cancellation of more than one bit can follow.
        let (a, b) = (self.normalised(125), other.normalised(125));
        let (big, small) = if a.exp > b.exp || (a.exp == b.exp && a.sig >= b.sig) { (a, b) } else { (b, a) };
        let aligned = shift_right_sticky(small.sig, (big.exp - small.exp) as u32);
        if big.neg == small.neg {
            return Exact { sig: big.sig + aligned, ..big };
        }
        let sig = big.sig - aligned;
        let neg = if sig == 0 { mode == Rounding::Rm } else { big.neg };
        Exact { neg, sig, exp: big.exp }
    }
}

/// `x >> by`, with the lowest bit set if anything nonzero was shifted out.
pub(crate) fn shift_right_sticky(x: u128, by: u32) -> u128 {
    match by {
        0 => x,
        1..=127 => x >> by | u128::from(x & ((1 << by) - 1) != 0),
        _ => u128::from(x != 0),
    }
}

/// Splits `sig >> shift` into quotient, the first discarded bit, and whether anything below it is nonzero.
fn split(sig: u128, shift: u32) -> (u128, bool, bool) {
    match shift {
        0 => (sig, false, false),
        1..=127 => (sig >> shift, sig >> (shift - 1) & 1 == 1, sig & ((1 << (shift - 1)) - 1) != 0),
        128 => (0, sig >> 127 == 1, sig << 1 != 0),
        _ => (0, false, sig != 0),
    }
}

/// Whether the integer part `sig >> shift` is to be incremented, and that integer part.
pub(crate) fn round_integer(neg: bool, sig: u128, shift: u32, mode: Rounding) -> (u128, bool) {
    let (quotient, half, sticky) = split(sig, shift);
    let up = match mode {
        Rounding::Rn => half && (sticky || quotient & 1 == 1),
        Rounding::Rna => half,
        Rounding::Rz => false,
        Rounding::Rm => neg && (half || sticky),
        Rounding::Rp => !neg && (half || sticky),
        Rounding::Rs { bits, count } => {
            // The discarded fraction as a fixed-point number of `count` bits, truncated.
            let count = u32::from(count).min(32);
            let fraction = if shift == 0 || count == 0 {
                0
            } else if shift <= 127 {
                let discarded = sig & ((1 << shift) - 1);
                if shift >= count { discarded >> (shift - count) } else { discarded << (count - shift) }
            } else if shift - count <= 127 {
                sig >> (shift - count)
            } else {
                0
            };
            let random = u128::from(bits) & ((1 << count) - 1);
            (fraction + random) >> count != 0
        }
    };
    (quotient + u128::from(up), half || sticky)
}

/// Rounds an exact value into `format`; overflow gives what IEEE 754 says for the mode, or the largest finite value
/// with `satfinite` and in formats without infinity and NaN.
pub(crate) fn round_exact(value: Exact, format: &Format, mode: Rounding, satfinite: bool) -> u64 {
    let Exact { neg, sig, exp } = value;
    let sign = format.sign(neg);
    if sig == 0 {
        return sign;
    }
    let man = format.man_bits as i32;
    let e = (127 - sig.leading_zeros()) as i32 + exp;
    let field = e.max(format.e_min());
    let shift = field - man - exp;
    let quotient =
        if shift <= 0 { sig << (-shift) as u32 } else { round_integer(neg, sig, shift as u32, mode).0 };
    if e <= format.e_max() {
        // A subnormal has field e_min and no implicit bit, so that the sum below leaves its exponent field at 0; a carry
        // out of the significand moves on to the next exponent.
        let bits = (((field - format.e_min()) as u64) << man) + quotient as u64;
        if bits <= format.max_finite() {
            return sign | bits;
        }
    }
    let to_finite = match mode {
        Rounding::Rn | Rounding::Rna | Rounding::Rs { .. } => false,
        Rounding::Rz => true,
        Rounding::Rm => !neg,
        Rounding::Rp => neg,
    };
    if satfinite || to_finite || format.specials == Specials::None {
        sign | format.max_finite()
    } else if format.specials == Specials::Ieee {
        sign | format.infinity()
    } else {
        format.nan()
    }
}
