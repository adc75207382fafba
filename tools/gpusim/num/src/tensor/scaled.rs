//! Block-scaled tensor-core products (sm_100, sm_120), after the same published models as [`super::Model`].

use super::model::truncate;
use super::{Class, Element, Term};
use crate::f32::NAN;
use crate::format::Format;

/// The format of a block's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleFormat {
    /// A power of two.
    Ue8m0,
    /// e4m3 without its sign.
    Ue4m3,
}

impl ScaleFormat {
    fn term(self, bits: u8) -> (Term, i32) {
        match self {
            ScaleFormat::Ue8m0 => {
                let class = if bits == 255 { Class::Nan } else { Class::Finite };
                (Term { sig: 1, exp: i32::from(bits) - 127, class }, 0)
            }
            ScaleFormat::Ue4m3 => (Term::of(&Format::E4M3, u32::from(bits & 0x7f)), 3),
        }
    }
}

/// `sig · 2^shift` toward zero.
fn align(sig: i64, shift: i32) -> i64 {
    let magnitude = sig.unsigned_abs();
    let moved = if shift >= 0 { magnitude << shift } else { magnitude >> (-shift).min(63) } as i64;
    if sig < 0 { -moved } else { moved }
}

/// NaN and infinities as in an ordinary sum; None where everything is finite.
fn special(products: impl Iterator<Item = (Term, Term)>, addend: Term) -> Option<u32> {
    let (mut plus, mut minus) = (
        addend.class == Class::Infinite && addend.sig > 0,
        addend.class == Class::Infinite && addend.sig < 0,
    );
    let mut nan = addend.class == Class::Nan;
    for (x, y) in products {
        nan |= x.class == Class::Nan || y.class == Class::Nan;
        if x.class == Class::Infinite || y.class == Class::Infinite {
            nan |= x.sig == 0 || y.sig == 0;
            plus |= (x.sig < 0) == (y.sig < 0);
            minus |= (x.sig < 0) != (y.sig < 0);
        }
    }
    match (nan || plus && minus, plus, minus) {
        (true, ..) => Some(NAN),
        (_, true, _) => Some(0x7f80_0000),
        (_, _, true) => Some(0xff80_0000),
        _ => None,
    }
}

/// `kind::mxf8f6f4`: 32 elements, one ue8m0 scale for each side, f32 accumulator.
pub fn scaled_dot(
    (a_type, a): (Element, &[u32]),
    (b_type, b): (Element, &[u32]),
    scales: (u8, u8),
    c: u32,
) -> u32 {
    const FRACTION: i32 = 25;
    const ZERO: i32 = -133;
    let addend = Term::of(&Format::F32, c);
    let (scale_a, scale_b) = (ScaleFormat::Ue8m0.term(scales.0).0, ScaleFormat::Ue8m0.term(scales.1).0);
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (a_type.term(x), b_type.term(y)));
    if scale_a.class == Class::Nan || scale_b.class == Class::Nan {
        return NAN;
    }
    if let Some(result) = special(pairs(), addend) {
        return result;
    }
    let man = (a_type.format().man_bits + b_type.format().man_bits) as i32;
    let exponent = |sig: i64, exp: i32| if sig == 0 { ZERO } else { exp };
    let products = || {
        pairs().map(|(x, y)| {
            let sig = i64::from(x.sig) * i64::from(y.sig);
            (sig, exponent(sig, x.exp + y.exp + scale_a.exp + scale_b.exp))
        })
    };
    let addend_exp = exponent(addend.sig.into(), addend.exp);
    let largest = products().map(|(_, e)| e).fold(addend_exp, i32::max);
    let sum: i64 = products().map(|(s, e)| align(s, FRACTION - man + e - largest)).sum();
    truncate(sum + align(addend.sig.into(), FRACTION - 23 + addend_exp - largest), largest - FRACTION, 23)
}

/// `kind::mxf4` and `kind::mxf4nvf4`: 64 e2m1 elements; each block of 16 or 32 has a scale on each side. Groups of 16 products are
/// added exactly before scaling.
pub fn scaled_fp4_dot(
    a: &[u32; 64],
    b: &[u32; 64],
    scale: ScaleFormat,
    scales: (&[u8], &[u8]),
    c: u32,
) -> u32 {
    const FRACTION: i32 = 35;
    const ZERO: i32 = -139;
    let addend = Term::of(&Format::F32, c);
    let block = 64 / scales.0.len().min(scales.1.len()).max(1);
    let mut terms = [(0i64, 0i32); 4];
    let mut man = 0;
    for (group, term) in terms.iter_mut().enumerate() {
        let range = group * 16..group * 16 + 16;
        // e2m1 values are multiples of a half, products of a quarter.
        let value = |bits: u32| {
            let t = Element::E2m1.term(bits);
            i64::from(t.sig) << t.exp
        };
        let products = range.map(|i| value(a[i]) * value(b[i]));
        let (sum, all_zero) = products.fold((0, true), |(sum, zero), p| (sum + p, zero && p == 0));
        let ((x, x_man), (y, y_man)) =
            (scale.term(scales.0[group * 16 / block]), scale.term(scales.1[group * 16 / block]));
        if x.class == Class::Nan || y.class == Class::Nan {
            return NAN;
        }
        man = x_man + y_man + 2;
        let factor = i64::from(x.sig) * i64::from(y.sig);
        *term = (sum * factor, if all_zero || factor == 0 { ZERO } else { x.exp + y.exp });
    }
    if let Some(result) = special(std::iter::empty(), addend) {
        return result;
    }
    let addend_exp = if addend.sig == 0 { ZERO } else { addend.exp };
    let largest = terms.iter().map(|t| t.1).fold(addend_exp, i32::max);
    let sum: i64 = terms.iter().map(|&(s, e)| align(s, FRACTION - man + e - largest)).sum();
    truncate(sum + align(addend.sig.into(), FRACTION - 23 + addend_exp - largest), largest - FRACTION, 23)
}
