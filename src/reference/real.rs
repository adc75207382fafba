//! Number types of the reference: how values are stored, and in what arithmetic an operation works inside.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

use half::{bf16, f16};

/// The arithmetic inside one operation.
pub trait Wide:
    Copy + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// The same value.
    fn to_f64(self) -> f64;
    /// `e^self`.
    fn exp(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
}

/// The values between operations. Each operation of [`super::ops`] reads them, works in [`Real::Wide`], and rounds
/// its result once.
///
/// For `f64` and `f32` the two types are one and nothing is rounded. For [`bf16`] the inside is `f32`: a dot product
/// is accumulated in `f32` and then rounded, a sum of two values is rounded, and so on, as a naive
/// implementation in PyTorch does.
pub trait Real: Copy + PartialEq + Debug + 'static {
    /// Arithmetic inside an operation.
    type Wide: Wide;

    /// The same value, for the inside of an operation.
    fn widen(self) -> Self::Wide;
    /// The nearest value (ties to even): the end of an operation.
    fn round(value: Self::Wide) -> Self;

    /// The value nearest to a constant or to a weight.
    fn from_f64(value: f64) -> Self {
        Self::round(Self::Wide::from_f64(value))
    }
    /// The same value as `f64`.
    fn to_f64(self) -> f64 {
        self.widen().to_f64()
    }
    /// The operation `self + other`.
    fn plus(self, other: Self) -> Self {
        Self::round(self.widen() + other.widen())
    }
    /// The operation `self - other`.
    fn minus(self, other: Self) -> Self {
        Self::round(self.widen() - other.widen())
    }
    /// The operation `self · other`.
    fn times(self, other: Self) -> Self {
        Self::round(self.widen() * other.widen())
    }
}

impl Wide for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn exp(self) -> Self {
        f64::exp(self)
    }
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
}

impl Wide for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn exp(self) -> Self {
        f32::exp(self)
    }
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
}

impl Real for f64 {
    type Wide = f64;
    fn widen(self) -> f64 {
        self
    }
    fn round(value: f64) -> Self {
        value
    }
}

impl Real for f32 {
    type Wide = f32;
    fn widen(self) -> f32 {
        self
    }
    fn round(value: f32) -> Self {
        value
    }
}

impl Real for bf16 {
    type Wide = f32;
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn round(value: f32) -> Self {
        bf16::from_f32(value)
    }
}

impl Real for f16 {
    type Wide = f32;
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn round(value: f32) -> Self {
        f16::from_f32(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_each_operation_to_eight_bits_ties_to_even() {
        let one = bf16::from_f64(1.0);
        let half_ulp = bf16::from_f64(2f64.powi(-8));
        assert_eq!(one.plus(half_ulp).to_f64(), 1.0, "a tie goes to the even mantissa");
        let odd = bf16::from_f64(1.0 + 2f64.powi(-7));
        assert_eq!(odd.plus(half_ulp).to_f64(), 1.0 + 2f64.powi(-6));
        assert_eq!(odd.times(odd).to_f64(), 1.0 + 2f64.powi(-6), "1 + 2^-6 + 2^-14 does not fit");
        assert_eq!(odd.minus(one).to_f64(), 2f64.powi(-7));
    }
}
