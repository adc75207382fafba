//! Tensor-core arithmetic: one output element is a dot product, rounded in ways that differ between architectures.
//!
//! [`Model`] follows published measurements bit by bit; [`fast`] accumulates in f32, k in order, with fused
//! multiply-add, for runs where time counts; [`integer`] is exact anyway; [`fragment`] moves register fragments of a warp into
//! matrices and back.

pub mod fast;
pub mod fragment;
pub mod integer;
mod model;
mod scaled;

pub use model::{Accumulator, Architecture, Evidence, Model};
pub use scaled::{ScaleFormat, scaled_dot, scaled_fp4_dot};

use crate::Rounding;
use crate::format::{Format, Specials};

/// One element of D of an f64 `mma`: fused multiply-adds to nearest, k in order.
pub fn dot_f64(a: &[u64], b: &[u64], c: u64) -> u64 {
    a.iter().zip(b).fold(c, |sum, (&x, &y)| crate::f64::fma(x, y, sum, Rounding::Rn))
}

/// The type of the elements of A or B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// f16.
    F16,
    /// bf16.
    Bf16,
    /// tf32: an f32 register of which the lower 13 bits are ignored.
    Tf32,
    /// e4m3.
    E4m3,
    /// e5m2.
    E5m2,
    /// e3m2, in the low 6 bits.
    E3m2,
    /// e2m3, in the low 6 bits.
    E2m3,
    /// e2m1, in the low 4 bits.
    E2m1,
}

impl Element {
    /// The format; tf32's 19 bits are the upper bits of the register.
    pub const fn format(self) -> Format {
        match self {
            Element::F16 => Format::F16,
            Element::Bf16 => Format::BF16,
            Element::Tf32 => Format::TF32,
            Element::E4m3 => Format::E4M3,
            Element::E5m2 => Format::E5M2,
            Element::E3m2 => Format::E3M2,
            Element::E2m3 => Format::E2M3,
            Element::E2m1 => Format::E2M1,
        }
    }

    /// Bytes per element as the tensor core holds it; the narrow formats take one.
    const fn bytes(self) -> usize {
        match self {
            Element::F16 | Element::Bf16 => 2,
            Element::Tf32 => 4,
            _ => 1,
        }
    }

    #[inline(always)]
    pub(crate) fn term(self, bits: u32) -> Term {
        match self {
            Element::Tf32 => Term::of(&Format::TF32, bits >> 13),
            Element::F16 => Term::of(&Format::F16, bits),
            Element::Bf16 => Term::of(&Format::BF16, bits),
            _ => Term::of(&self.format(), bits),
        }
    }
}

/// A decoded operand: `sig · 2^(exp - man_bits)`. Subnormals keep the smallest exponent and a short significand, as the hardware does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Term {
    pub sig: i32,
    pub exp: i32,
    pub class: Class,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Class {
    #[default]
    Finite,
    /// The sign is that of `sig`.
    Infinite,
    Nan,
}

impl Term {
    #[inline(always)]
    pub fn of(format: &Format, bits: u32) -> Term {
        let man = format.man_bits;
        let magnitude = bits & format.magnitude() as u32;
        let field = (magnitude >> man) as i32;
        let stored = (magnitude & ((1 << man) - 1)) as i32;
        let class = match format.specials {
            Specials::Ieee if magnitude > format.infinity() as u32 => Class::Nan,
            Specials::Ieee if magnitude == format.infinity() as u32 => Class::Infinite,
            Specials::NanOnly if magnitude == format.magnitude() as u32 => Class::Nan,
            _ => Class::Finite,
        };
        let sig = stored | i32::from(field != 0) << man;
        let neg = bits >> (format.exp_bits + man) & 1 == 1;
        Term { sig: if neg { -sig } else { sig }, exp: field.max(1) - format.bias(), class }
    }
}
