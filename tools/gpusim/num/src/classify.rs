//! `testp`, `copysign`, `abs`, `neg`.

use crate::convert::flush;
use crate::format::Format;

/// The property that `testp` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Neither infinite nor NaN.
    Finite,
    /// Infinite.
    Infinite,
    /// Not NaN.
    Number,
    /// NaN.
    NotANumber,
    /// Finite and not subnormal; zeros count as normal.
    Normal,
    /// Subnormal; zeros do not count.
    Subnormal,
}

/// `testp`.
pub fn testp(bits: u64, format: &Format, property: Property) -> bool {
    let magnitude = bits & format.magnitude();
    let nan = magnitude > format.infinity();
    let infinite = magnitude == format.infinity();
    let subnormal = magnitude != 0 && magnitude >> format.man_bits == 0;
    match property {
        Property::Finite => !nan && !infinite,
        Property::Infinite => infinite,
        Property::Number => !nan,
        Property::NotANumber => nan,
        Property::Normal => !nan && !infinite && !subnormal,
        Property::Subnormal => subnormal,
    }
}

/// `copysign d, a, b`: the sign of `a`, the magnitude of `b`.
pub fn copysign(a: u64, b: u64, format: &Format) -> u64 {
    a & (format.magnitude() + 1) | b & format.magnitude()
}

/// `abs`: clears the sign. A NaN (PTX leaves its result unspecified) keeps its payload.
pub fn abs(a: u64, format: &Format, ftz: bool) -> u64 {
    (if ftz { flush(a, format) } else { a }) & format.magnitude()
}

/// `neg`: turns the sign around. A NaN (PTX leaves its result unspecified) keeps its payload.
pub fn neg(a: u64, format: &Format, ftz: bool) -> u64 {
    (if ftz { flush(a, format) } else { a }) ^ (format.magnitude() + 1)
}
