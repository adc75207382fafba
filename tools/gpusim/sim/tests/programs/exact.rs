//! Exact binary numbers, and their rounding to any format: what correctly rounded operations must give.

use num_bigint::BigUint;

use crate::elem::{Format, pow2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Nearest,
    Zero,
    Down,
    Up,
}

impl Round {
    /// By the last two letters that CUDA's names have.
    pub fn named(name: &str) -> Round {
        match name {
            "rn" => Round::Nearest,
            "rz" => Round::Zero,
            "rd" => Round::Down,
            "ru" => Round::Up,
            _ => panic!("rounding {name}"),
        }
    }
}

/// ±magnitude · 2^exponent, plus a bit of unknown size below the lowest one if `sticky`.
#[derive(Clone, Debug)]
pub struct Exact {
    pub negative: bool,
    pub magnitude: BigUint,
    pub exponent: i64,
    pub sticky: bool,
}

impl Exact {
    /// A finite value.
    pub fn of(value: f64) -> Option<Exact> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let (field, fraction) = (bits >> 52 & 0x7FF, bits & ((1 << 52) - 1));
        let (magnitude, exponent) =
            if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field as i64 - 1075) };
        let negative = value.is_sign_negative();
        Some(Exact { negative, magnitude: magnitude.into(), exponent, sticky: false })
    }

    pub fn integer(value: i128) -> Exact {
        Exact { negative: value < 0, magnitude: value.unsigned_abs().into(), exponent: 0, sticky: false }
    }

    pub fn is_zero(&self) -> bool {
        self.magnitude.bits() == 0 && !self.sticky
    }

    fn align(a: &Exact, b: &Exact) -> (BigUint, BigUint, i64) {
        let exponent = a.exponent.min(b.exponent);
        (
            &a.magnitude << (a.exponent - exponent) as usize,
            &b.magnitude << (b.exponent - exponent) as usize,
            exponent,
        )
    }

    /// The sum; an exact zero of operands that differ in sign takes `zero_negative`.
    pub fn add(&self, other: &Exact, zero_negative: bool) -> Exact {
        let (a, b, exponent) = Exact::align(self, other);
        let (negative, magnitude) = if self.negative == other.negative {
            (self.negative, a + b)
        } else if a == b {
            (zero_negative, BigUint::ZERO)
        } else if a > b {
            (self.negative, a - b)
        } else {
            (other.negative, b - a)
        };
        Exact { negative, magnitude, exponent, sticky: false }
    }

    pub fn mul(&self, other: &Exact) -> Exact {
        Exact {
            negative: self.negative != other.negative,
            magnitude: &self.magnitude * &other.magnitude,
            exponent: self.exponent + other.exponent,
            sticky: false,
        }
    }

    /// The quotient to 200 bits; the divisor is not zero.
    pub fn div(&self, other: &Exact) -> Exact {
        let shift = 200 + other.magnitude.bits() as usize;
        let numerator = &self.magnitude << shift;
        let quotient = &numerator / &other.magnitude;
        let sticky = &quotient * &other.magnitude != numerator;
        let exponent = self.exponent - other.exponent - shift as i64;
        Exact { negative: self.negative != other.negative, magnitude: quotient, exponent, sticky }
    }

    /// The square root to 200 bits.
    pub fn sqrt(&self) -> Exact {
        let shift = 400 + (self.exponent & 1) as usize;
        let square = &self.magnitude << shift;
        let magnitude = square.sqrt();
        let sticky = &magnitude * &magnitude != square;
        Exact { negative: self.negative, magnitude, exponent: (self.exponent - shift as i64) / 2, sticky }
    }

    /// What is left of |self| / |other|, with the quotient rounded towards zero, or to nearest even; the sign of `self`
    /// (before the correction).
    pub fn remainder(&self, other: &Exact, nearest: bool) -> Exact {
        let (a, b, exponent) = Exact::align(self, other);
        let quotient = &a / &b;
        let rest = a - &quotient * &b;
        let twice = &rest << 1usize;
        let up = nearest && (twice > b || twice == b && quotient.bit(0));
        let negative = self.negative != up;
        let magnitude = if up { b - rest } else { rest };
        let negative = if magnitude.bits() == 0 { self.negative } else { negative };
        Exact { negative, magnitude, exponent, sticky: false }
    }

    /// The value with its lowest kept bit at 2^lowest, as a count of 2^lowest.
    fn to_steps(&self, lowest: i64, round: Round) -> BigUint {
        if self.exponent >= lowest {
            assert!(!self.sticky);
            return &self.magnitude << (self.exponent - lowest) as usize;
        }
        let cut = (lowest - self.exponent) as usize;
        let mut steps = &self.magnitude >> cut;
        let rest = &self.magnitude - (&steps << cut);
        let half = BigUint::from(1u32) << (cut - 1);
        let inexact = rest.bits() > 0 || self.sticky;
        let up = match round {
            Round::Nearest => rest > half || rest == half && (self.sticky || steps.bit(0)),
            Round::Zero => false,
            Round::Down => inexact && self.negative,
            Round::Up => inexact && !self.negative,
        };
        if up {
            steps += 1u32;
        }
        steps
    }

    pub fn round(&self, format: Format, round: Round) -> f64 {
        let sign = if self.negative { -1.0 } else { 1.0 };
        if self.is_zero() {
            return sign * 0.0;
        }
        let top = self.magnitude.bits() as i64 - 1 + self.exponent;
        let lowest = (top - format.mantissa as i64).max(format.lowest());
        let steps = self.to_steps(lowest, round);
        let digits: u64 = steps.try_into().expect("a rounded significand is short");
        // Scaled in two steps, so that neither factor over- or underflows before the product does.
        let value = digits as f64 * pow2(lowest / 2) * pow2(lowest - lowest / 2);
        if value <= format.largest() {
            return sign * value;
        }
        let away = match round {
            Round::Nearest => true,
            Round::Zero => false,
            Round::Down => self.negative,
            Round::Up => !self.negative,
        };
        match (away, format.infinities) {
            (false, _) => sign * format.largest(),
            (true, true) => sign * f64::INFINITY,
            (true, false) => f64::NAN,
        }
    }

    /// The nearest integer in that direction; None if it does not fit an i128.
    pub fn to_integer(&self, round: Round) -> Option<i128> {
        let steps: i128 = self.to_steps(0, round).try_into().ok()?;
        Some(if self.negative { -steps } else { steps })
    }
}
