//! Exact arithmetic on big integers, and rounding of exact values: what results are compared with.

use num_bigint::BigUint;

/// A format: exponent bits, significand bits, and whether it has infinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fmt {
    pub exp: u32,
    pub man: u32,
    pub specials: Specials,
}

/// What the largest exponent means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    Ieee,
    NanOnly,
    None,
}

const fn fmt(exp: u32, man: u32, specials: Specials) -> Fmt {
    Fmt { exp, man, specials }
}

pub const F16: Fmt = fmt(5, 10, Specials::Ieee);
pub const BF16: Fmt = fmt(8, 7, Specials::Ieee);
pub const TF32: Fmt = fmt(8, 10, Specials::Ieee);
pub const F32: Fmt = fmt(8, 23, Specials::Ieee);
pub const F64: Fmt = fmt(11, 52, Specials::Ieee);
pub const E4M3: Fmt = fmt(4, 3, Specials::NanOnly);
pub const E5M2: Fmt = fmt(5, 2, Specials::Ieee);
pub const E2M3: Fmt = fmt(2, 3, Specials::None);
pub const E3M2: Fmt = fmt(3, 2, Specials::None);
pub const E2M1: Fmt = fmt(2, 1, Specials::None);

impl Fmt {
    pub fn bits(self) -> u32 {
        1 + self.exp + self.man
    }
    pub fn sign_bit(self) -> u64 {
        1 << (self.exp + self.man)
    }
    pub fn nan(self) -> u64 {
        self.sign_bit() - 1
    }
    pub fn infinity(self) -> u64 {
        ((1 << self.exp) - 1) << self.man
    }
    pub fn max(self) -> u64 {
        match self.specials {
            Specials::Ieee => self.infinity() - 1,
            Specials::NanOnly => self.nan() - 1,
            Specials::None => self.nan(),
        }
    }
    fn bias(self) -> i64 {
        (1 << (self.exp - 1)) - 1
    }
    pub fn is_nan(self, bits: u64) -> bool {
        let magnitude = bits & self.nan();
        match self.specials {
            Specials::Ieee => magnitude > self.infinity(),
            Specials::NanOnly => magnitude == self.nan(),
            Specials::None => false,
        }
    }
    pub fn is_subnormal(self, bits: u64) -> bool {
        let magnitude = bits & self.nan();
        magnitude != 0 && magnitude >> self.man == 0
    }
    /// A subnormal becomes a zero of its sign.
    pub fn flush(self, bits: u64) -> u64 {
        if self.is_subnormal(bits) { bits & self.sign_bit() } else { bits }
    }
    pub fn decode(self, bits: u64) -> Val {
        let (neg, magnitude) = (bits & self.sign_bit() != 0, bits & self.nan());
        if self.is_nan(bits) {
            return Val::Nan;
        }
        if self.specials == Specials::Ieee && magnitude == self.infinity() {
            return Val::Inf(neg);
        }
        let (field, man) = ((magnitude >> self.man) as i64, magnitude & ((1 << self.man) - 1));
        let low = 1 - self.bias() - i64::from(self.man);
        let (sig, exp) = if field == 0 { (man, low) } else { (man | 1 << self.man, low + field - 1) };
        Val::Fin(Num { neg, sig: sig.into(), exp })
    }
    /// The nearest f64: exact for all formats up to f64.
    pub fn to_f64(self, bits: u64) -> f64 {
        match self.decode(bits) {
            Val::Nan => f64::NAN,
            Val::Inf(neg) => {
                if neg {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
            Val::Fin(num) => f64::from_bits(round(&num, F64, Mode::Rn, false)),
        }
    }
}

/// A finite number `±sig·2^exp`.
#[derive(Clone, Debug)]
pub struct Num {
    pub neg: bool,
    pub sig: BigUint,
    pub exp: i64,
}

#[derive(Clone, Debug)]
pub enum Val {
    Nan,
    Inf(bool),
    Fin(Num),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Rn,
    Rz,
    Rm,
    Rp,
    Rna,
}

impl Mode {
    pub const ALL: [(Mode, &str); 4] =
        [(Mode::Rn, "rn"), (Mode::Rz, "rz"), (Mode::Rm, "rm"), (Mode::Rp, "rp")];
}

fn zero() -> BigUint {
    BigUint::ZERO
}

impl Num {
    pub fn int(value: i128) -> Num {
        Num { neg: value < 0, sig: value.unsigned_abs().into(), exp: 0 }
    }
    pub fn is_zero(&self) -> bool {
        self.sig == zero()
    }
    /// `sig` at a smaller exponent.
    fn at(&self, exp: i64) -> BigUint {
        &self.sig << (self.exp - exp) as usize
    }
}

/// `round`, its quotient and whether it was inexact: `sig·2^exp` in units of `2^unit`.
fn quantum(num: &Num, unit: i64, mode: Mode) -> BigUint {
    if num.exp >= unit {
        return num.at(unit);
    }
    let shift = (unit - num.exp) as usize;
    let quotient = &num.sig >> shift;
    let rest = &num.sig - (&quotient << shift);
    let half = BigUint::from(1u32) << (shift - 1);
    let odd = quotient.bit(0);
    let up = match mode {
        Mode::Rn => rest > half || rest == half && odd,
        Mode::Rna => rest >= half,
        Mode::Rz => false,
        Mode::Rm => num.neg && rest > zero(),
        Mode::Rp => !num.neg && rest > zero(),
    };
    if up { quotient + 1u32 } else { quotient }
}

/// The rounded pattern.
pub fn round(num: &Num, to: Fmt, mode: Mode, satfinite: bool) -> u64 {
    let sign = if num.neg { to.sign_bit() } else { 0 };
    if num.is_zero() {
        return sign;
    }
    let top = num.sig.bits() as i64 - 1 + num.exp;
    let field = top.max(1 - to.bias());
    let quotient = quantum(num, field - i64::from(to.man), mode);
    // The exponent field counts from 1; a significand that reaches the hidden bit adds one to it by itself.
    let bits = (BigUint::from((field - 1 + to.bias()) as u64) << to.man as usize) + quotient;
    if bits <= BigUint::from(to.max()) {
        return sign | bits.iter_u64_digits().next().unwrap_or(0);
    }
    let finite = match mode {
        Mode::Rz => true,
        Mode::Rm => !num.neg,
        Mode::Rp => num.neg,
        _ => false,
    };
    if satfinite || finite || to.specials == Specials::None {
        sign | to.max()
    } else if to.specials == Specials::Ieee {
        sign | to.infinity()
    } else {
        to.nan()
    }
}

/// To an integral value, as a signed integer; only values below 2^100.
pub fn to_integer(num: &Num, mode: Mode) -> i128 {
    let units = quantum(num, 0, mode);
    let magnitude = i128::try_from(units).unwrap_or(1 << 100).min(1 << 100);
    if num.neg { -magnitude } else { magnitude }
}

/// An infinite, NaN or exact result, to be rounded.
pub fn finish(value: &Val, to: Fmt, mode: Mode) -> u64 {
    match value {
        Val::Nan => to.nan(),
        Val::Inf(neg) => to.infinity() | if *neg { to.sign_bit() } else { 0 },
        Val::Fin(num) => round(num, to, mode, false),
    }
}

pub fn add(a: &Val, b: &Val, mode: Mode) -> Val {
    match (a, b) {
        (Val::Nan, _) | (_, Val::Nan) => Val::Nan,
        (Val::Inf(x), Val::Inf(y)) if x != y => Val::Nan,
        (Val::Inf(x), _) | (_, Val::Inf(x)) => Val::Inf(*x),
        (Val::Fin(a), Val::Fin(b)) => {
            let exp = a.exp.min(b.exp);
            let (x, y) = (a.at(exp), b.at(exp));
            if a.neg == b.neg {
                return Val::Fin(Num { neg: a.neg, sig: x + y, exp });
            }
            if x == y {
                return Val::Fin(Num { neg: mode == Mode::Rm, sig: zero(), exp: 0 });
            }
            let (neg, sig) = if x > y { (a.neg, x - y) } else { (b.neg, y - x) };
            Val::Fin(Num { neg, sig, exp })
        }
    }
}

pub fn negate(a: &Val) -> Val {
    match a.clone() {
        Val::Nan => Val::Nan,
        Val::Inf(neg) => Val::Inf(!neg),
        Val::Fin(num) => Val::Fin(Num { neg: !num.neg, ..num }),
    }
}

fn is_zero(a: &Val) -> bool {
    matches!(a, Val::Fin(num) if num.is_zero())
}

fn neg(a: &Val) -> bool {
    match a {
        Val::Nan => false,
        Val::Inf(neg) => *neg,
        Val::Fin(num) => num.neg,
    }
}

pub fn mul(a: &Val, b: &Val) -> Val {
    let sign = neg(a) != neg(b);
    match (a, b) {
        (Val::Nan, _) | (_, Val::Nan) => Val::Nan,
        (Val::Inf(_), x) | (x, Val::Inf(_)) => {
            if is_zero(x) {
                Val::Nan
            } else {
                Val::Inf(sign)
            }
        }
        (Val::Fin(a), Val::Fin(b)) => Val::Fin(Num { neg: sign, sig: &a.sig * &b.sig, exp: a.exp + b.exp }),
    }
}

/// The quotient to 400 bits, with a sticky one.
pub fn div(a: &Val, b: &Val) -> Val {
    let sign = neg(a) != neg(b);
    match (a, b) {
        (Val::Nan, _) | (_, Val::Nan) | (Val::Inf(_), Val::Inf(_)) => Val::Nan,
        (Val::Inf(_), _) => Val::Inf(sign),
        (_, Val::Inf(_)) => Val::Fin(Num { neg: sign, sig: zero(), exp: 0 }),
        (Val::Fin(x), Val::Fin(y)) => {
            if y.is_zero() {
                return if x.is_zero() { Val::Nan } else { Val::Inf(sign) };
            }
            let dividend = &x.sig << 400usize;
            let quotient = &dividend / &y.sig;
            let sticky = u32::from(&quotient * &y.sig != dividend);
            Val::Fin(Num { neg: sign, sig: (quotient << 1usize) + sticky, exp: x.exp - y.exp - 401 })
        }
    }
}

pub fn sqrt(a: &Val) -> Val {
    match a {
        Val::Fin(x) if x.is_zero() => a.clone(),
        Val::Fin(x) if !x.neg => {
            let shift = 400 + (x.exp & 1);
            let sig = &x.sig << shift as usize;
            let root = sig.sqrt();
            let sticky = u32::from(&root * &root != sig);
            Val::Fin(Num { neg: false, sig: (root << 1usize) + sticky, exp: (x.exp - shift) / 2 - 1 })
        }
        Val::Inf(false) => Val::Inf(false),
        _ => Val::Nan,
    }
}

/// To `[+0, 1]`, NaN to +0.
pub fn saturate(bits: u64, f: Fmt) -> u64 {
    if f.is_nan(bits) || bits & f.sign_bit() != 0 {
        return 0;
    }
    bits.min(((1 << (f.exp - 1)) - 1) << f.man)
}
