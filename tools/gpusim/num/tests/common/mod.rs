//! An oracle for rounding: arbitrary-precision dyadic numbers, and a search for the correctly rounded pattern by comparison.
//! Nothing of the crate's own arithmetic is used.
#![allow(dead_code)]

use std::cmp::Ordering;

use gpusim_num::Rounding;
use gpusim_num::format::{Format, Specials};

/// A non-negative number `Σ limb[i]·2^(32i) · 2^exp`.
#[derive(Clone, Debug)]
pub struct Big {
    limbs: Vec<u32>,
    exp: i32,
}

impl Big {
    pub fn new(sig: u128, exp: i32) -> Big {
        Big { limbs: (0..4).map(|i| (sig >> (32 * i)) as u32).collect(), exp }
    }

    pub fn of_f64(x: f64) -> Big {
        let bits = x.abs().to_bits();
        let (field, man) = ((bits >> 52) as i32, u128::from(bits & ((1 << 52) - 1)));
        if field == 0 { Big::new(man, -1074) } else { Big::new(man + (1 << 52), field - 1075) }
    }

    pub fn times(&self, other: &Big) -> Big {
        let mut limbs = vec![0u32; self.limbs.len() + other.limbs.len() + 1];
        for (i, &x) in self.limbs.iter().enumerate() {
            let mut carry = 0u64;
            for (j, &y) in other.limbs.iter().enumerate() {
                let t = u64::from(x) * u64::from(y) + u64::from(limbs[i + j]) + carry;
                limbs[i + j] = t as u32;
                carry = t >> 32;
            }
            limbs[i + other.limbs.len()] = carry as u32;
        }
        Big { limbs, exp: self.exp + other.exp }
    }

    fn at(&self, exp: i32) -> Vec<u32> {
        let by = (self.exp - exp) as usize;
        let (words, bits) = (by / 32, by % 32);
        let mut out = vec![0u32; words];
        let mut carry = 0u64;
        for &x in &self.limbs {
            let t = u64::from(x) << bits | carry;
            out.push(t as u32);
            carry = t >> 32;
        }
        out.push(carry as u32);
        out
    }

    fn aligned(&self, other: &Big) -> (Vec<u32>, Vec<u32>, i32) {
        let exp = self.exp.min(other.exp);
        let (mut a, mut b) = (self.at(exp), other.at(exp));
        let len = a.len().max(b.len()) + 1;
        a.resize(len, 0);
        b.resize(len, 0);
        (a, b, exp)
    }

    pub fn plus(&self, other: &Big) -> Big {
        let (a, b, exp) = self.aligned(other);
        let mut carry = 0u64;
        let limbs = a.iter().zip(&b).map(|(&x, &y)| {
            let t = u64::from(x) + u64::from(y) + carry;
            carry = t >> 32;
            t as u32
        });
        Big { limbs: limbs.collect(), exp }
    }

    /// `|self - other|`.
    pub fn distance(&self, other: &Big) -> Big {
        let (mut a, mut b, exp) = self.aligned(other);
        if a.iter().rev().lt(b.iter().rev()) {
            std::mem::swap(&mut a, &mut b);
        }
        let mut borrow = 0i64;
        let limbs = a.iter().zip(&b).map(|(&x, &y)| {
            let t = i64::from(x) - i64::from(y) + borrow;
            borrow = t >> 32;
            t as u32
        });
        Big { limbs: limbs.collect(), exp }
    }

    pub fn compare(&self, other: &Big) -> Ordering {
        let (a, b, _) = self.aligned(other);
        a.iter().rev().cmp(b.iter().rev())
    }

    pub fn is_zero(&self) -> bool {
        self.limbs.iter().all(|&x| x == 0)
    }
}

/// A number with a sign.
#[derive(Clone, Debug)]
pub struct Signed {
    pub neg: bool,
    pub big: Big,
}

impl Signed {
    pub fn of_f64(x: f64) -> Signed {
        Signed { neg: x.is_sign_negative(), big: Big::of_f64(x) }
    }

    pub fn times(&self, other: &Signed) -> Signed {
        Signed { neg: self.neg != other.neg, big: self.big.times(&other.big) }
    }

    pub fn plus(&self, other: &Signed) -> Signed {
        if self.neg == other.neg {
            return Signed { neg: self.neg, big: self.big.plus(&other.big) };
        }
        let neg = if self.big.compare(&other.big) == Ordering::Less { other.neg } else { self.neg };
        Signed { neg, big: self.big.distance(&other.big) }
    }
}

/// The magnitude that a pattern stands for; the pattern after the largest finite one stands for the next power of two, as
/// if the format had no end.
pub fn magnitude(format: &Format, pattern: u64) -> Big {
    let man = format.man_bits;
    let field = pattern >> man;
    let stored = u128::from(pattern & ((1 << man) - 1));
    let lsb = 1 - format.bias() - man as i32;
    if field == 0 { Big::new(stored, lsb) } else { Big::new(stored + (1 << man), lsb + field as i32 - 1) }
}

/// The pattern that a nonzero exact value rounds to. `against` compares a candidate magnitude with the magnitude of the value.
pub fn rounded(neg: bool, format: &Format, mode: Rounding, against: impl Fn(&Big) -> Ordering) -> u64 {
    let top = format.max_finite() + 1;
    let (mut low, mut high) = (0, top);
    while low < high {
        let mid = (low + high).div_ceil(2);
        if against(&magnitude(format, mid)) == Ordering::Greater { high = mid - 1 } else { low = mid }
    }
    let sign = u64::from(neg) << (format.exp_bits + man_of(format));
    let overflow = match format.specials {
        Specials::Ieee => format.infinity(),
        Specials::NanOnly => format.nan(),
        Specials::None => format.max_finite(),
    };
    let sign_on_overflow = if format.specials == Specials::NanOnly { 0 } else { sign };
    let here = if low == top { Ordering::Less } else { against(&magnitude(format, low)) };
    let up = match mode {
        _ if here == Ordering::Equal => false,
        Rounding::Rz => false,
        Rounding::Rm => neg,
        Rounding::Rp => !neg,
        Rounding::Rn | Rounding::Rna => {
            low == top || {
                let two = Big::new(1, -1);
                let middle = magnitude(format, low).plus(&magnitude(format, low + 1)).times(&two);
                match against(&middle) {
                    Ordering::Less => true,
                    Ordering::Greater => false,
                    Ordering::Equal => mode == Rounding::Rna || low & 1 == 1,
                }
            }
        }
        Rounding::Rs { .. } => unreachable!("the oracle knows no random bits"),
    };
    let result = low + u64::from(up && low < top);
    if result < top {
        return sign | result;
    }
    // Beyond the largest finite value: the modes that go toward zero stop there.
    if up || low < top { sign_on_overflow | overflow } else { sign | format.max_finite() }
}

fn man_of(format: &Format) -> u32 {
    format.man_bits
}

/// [`rounded`] for a signed number; exact zeros get the sign that IEEE 754 gives a sum.
pub fn round_signed(value: &Signed, format: &Format, mode: Rounding) -> u64 {
    rounded(value.neg, format, mode, |candidate| candidate.compare(&value.big))
}

/// A small generator of random bits (SplitMix64), so that tests are the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A finite or special pattern of a format: any bits, values near 1, subnormals, powers of two and neighbours, specials.
    pub fn pattern(&mut self, format: &Format) -> u64 {
        let total = format.exp_bits + format.man_bits;
        let sign = (self.next() & 1) << total;
        let any = self.next() & format.magnitude();
        let man = any & ((1 << format.man_bits) - 1);
        let bias = format.bias() as u64;
        let near = |r: &mut Random, spread: u64| (bias + r.below(2 * spread) - spread) << format.man_bits;
        sign | match self.below(8) {
            0 | 1 => any,
            2 => near(self, 3.min(bias)) | man,
            3 => near(self, 30.min(bias)) | man,
            4 => man,
            5 => (any & !((1 << format.man_bits) - 1)).wrapping_sub(self.below(3)) & format.magnitude(),
            6 => near(self, 12.min(bias)) | man >> (format.man_bits / 2) << (format.man_bits / 2),
            _ => [
                0,
                1,
                format.infinity(),
                format.infinity() - 1,
                format.nan(),
                format.infinity() + 1,
                2,
                bias << format.man_bits,
            ][self.below(8) as usize],
        }
    }
}

pub const MODES: [Rounding; 4] = [Rounding::Rn, Rounding::Rz, Rounding::Rm, Rounding::Rp];
