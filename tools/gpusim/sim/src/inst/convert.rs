//! `cvt`.
//!
//! Registers may be wider than a conversion's types: sources are cut, integer results extended to the destination
//! register.

use gpusim_num::Rounding;
use gpusim_num::convert::{self as num, Int, Modifiers};
use gpusim_num::f32::flush;
use gpusim_num::format::{Format, bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, to_tf32};
use gpusim_ptx::ast::{self, Operand};

use super::lanewise::{is_wide, lanewise};
use super::{Entry, Inst, Lower, LowerError, Mods, Run, Ty, convert_packed, map1, operand};

pub(super) const TABLE: &[Entry] = &[("cvt", cvt)];

/// How a `cvt` rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// `.rn` and so on: into the destination's format.
    Float(Rounding),
    /// `.rni` and so on: to an integer.
    Integer(Rounding),
    /// `.rs`, with random bits in an operand.
    Stochastic,
}

impl Round {
    fn parse(name: &str) -> Option<Round> {
        Some(match name {
            "rn" => Round::Float(Rounding::Rn),
            "rz" => Round::Float(Rounding::Rz),
            "rm" => Round::Float(Rounding::Rm),
            "rp" => Round::Float(Rounding::Rp),
            "rna" => Round::Float(Rounding::Rna),
            "rni" => Round::Integer(Rounding::Rn),
            "rzi" => Round::Integer(Rounding::Rz),
            "rmi" => Round::Integer(Rounding::Rm),
            "rpi" => Round::Integer(Rounding::Rp),
            "rs" => Round::Stochastic,
            _ => return None,
        })
    }
}

/// The modifiers of a `cvt` other than its types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub round: Option<Round>,
    pub ftz: bool,
    pub sat: bool,
    pub satfinite: bool,
    pub relu: bool,
}

impl Flags {
    /// As the number formats take them.
    pub(super) fn with(self, mode: Rounding) -> Modifiers {
        Modifiers { mode, ftz: self.ftz, sat: self.sat, satfinite: self.satfinite, relu: self.relu }
    }
}

/// What a type of one value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int(Int),
    Float(&'static Format),
}

fn kind(ty: Ty) -> Option<Kind> {
    let int = |signed| Some(Kind::Int(Int { bits: ty.bits(), signed }));
    match ty {
        Ty::U8 | Ty::U16 | Ty::U32 | Ty::U64 => int(false),
        Ty::S8 | Ty::S16 | Ty::S32 | Ty::S64 => int(true),
        Ty::F16 => Some(Kind::Float(&Format::F16)),
        Ty::Bf16 => Some(Kind::Float(&Format::BF16)),
        Ty::F32 => Some(Kind::Float(&Format::F32)),
        Ty::F64 => Some(Kind::Float(&Format::F64)),
        _ => None,
    }
}

fn invalid<T>(i: &ast::Instruction, what: &str) -> Result<T, LowerError> {
    Err(LowerError::Invalid(format!("{}: {what}", super::name(i))))
}

fn cvt(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("pack") {
        return convert_packed::pack(cx, i, m);
    }
    let round = m.find(Round::parse);
    let (ftz, sat) = (m.take("ftz"), m.take("sat"));
    let (satfinite, relu) = (m.take("satfinite"), m.take("relu"));
    let flags = Flags { round, ftz, sat, satfinite, relu };
    let names: Vec<&str> = m.rest().to_vec();
    let [to, from] = names[..] else { return Err(LowerError::Unsupported) };
    if convert_packed::is_packed(to) || convert_packed::is_packed(from) {
        return convert_packed::cvt(cx, i, flags, to, from);
    }
    let (Some(to), Some(from)) = (Ty::parse(to), Ty::parse(from)) else {
        return Err(LowerError::Unsupported);
    };
    if to == Ty::Tf32 {
        return tf32(cx, i, flags, from);
    }
    let (Some(to_kind), Some(from_kind)) = (kind(to), kind(from)) else {
        return Err(LowerError::Unsupported);
    };
    if (relu || satfinite) && !(from == Ty::F32 && matches!(to, Ty::F16 | Ty::Bf16)) {
        return invalid(i, ".relu and .satfinite are for f32 to narrower formats");
    }
    if to == Ty::Bf16 && from.bits() == 8 || from == Ty::Bf16 && to.bits() == 8 {
        return invalid(i, "bf16 and bytes do not convert");
    }
    match (to_kind, from_kind) {
        (Kind::Int(to_int), Kind::Int(from_int)) => {
            if round.is_some() || ftz {
                return invalid(i, "rounding between integers");
            }
            if sat && to_int.min() <= from_int.min() && to_int.max() >= from_int.max() {
                return invalid(i, ".sat where every value fits");
            }
            integers(cx, i, (to, to_int), (from, from_int), sat)
        }
        (Kind::Int(to_int), Kind::Float(format)) => {
            let Some(Round::Integer(mode)) = round else { return invalid(i, "needs an integer rounding") };
            to_integer(cx, i, (to, to_int), (from, format), mode, ftz)
        }
        (Kind::Float(format), Kind::Int(from_int)) => {
            let Some(Round::Float(mode)) = round else { return invalid(i, "needs a rounding") };
            let fits = is_wide(cx, operand(i, 1)?, from) == (from.bits() > 32);
            if let Some(run) =
                (fits && !sat && mode == Rounding::Rn).then(|| from_integer_run(to, from)).flatten()
            {
                return one(cx, i, to, from, run);
            }
            let (d, a) = ((operand(i, 0)?, to), (operand(i, 1)?, from));
            lanewise(cx, d, &[a], move |s| num::int_to_float(s[0], from_int, format, mode, sat))
        }
        (Kind::Float(to_format), Kind::Float(from_format)) => {
            floats(cx, i, (to, to_format), (from, from_format), flags)
        }
    }
}

/// An instruction with one source.
fn one(cx: &mut Lower, i: &ast::Instruction, to: Ty, from: Ty, run: Run) -> Result<Inst, LowerError> {
    let d = cx.dst(operand(i, 0)?, to)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, from)?, ..Inst::new(run) })
}

/// The width of the register that an integer result is extended to.
fn register(cx: &Lower, d: &Operand, ty: Ty) -> Ty {
    match cx.type_of(d).map_or(ty.bits(), Ty::bits).max(ty.bits()) {
        ..=16 => Ty::B16,
        17..=32 => Ty::B32,
        _ => Ty::B64,
    }
}

fn integers(
    cx: &mut Lower,
    i: &ast::Instruction,
    (to, to_int): (Ty, Int),
    (from, from_int): (Ty, Int),
    sat: bool,
) -> Result<Inst, LowerError> {
    let d = operand(i, 0)?;
    let register = register(cx, d, to);
    // Without saturation only the narrower type's low bits matter, and the sign with which they are extended: the
    // destination's if it is the narrower or as wide, else the source's, whose value fits.
    let narrow = if to_int.bits <= from_int.bits { to_int } else { from_int };
    // A wider unsigned destination keeps the extended bits, and is itself extended with zeros.
    let simple = to_int.bits == register.bits() || to_int.signed == narrow.signed || !narrow.signed;
    if !sat && simple {
        let run = extension(narrow, is_wide(cx, operand(i, 1)?, from), register);
        let d = cx.dst(d, register)?;
        return Ok(Inst { d, a: cx.src_of_any_width(operand(i, 1)?, from)?, ..Inst::new(run) });
    }
    lanewise(cx, (d, register), &[(operand(i, 1)?, from)], move |s| {
        num::int_to_int(s[0], from_int, to_int, sat)
    })
}

/// The low bits of a source, as many as `narrow` has, extended to a register.
fn extension(narrow: Int, from_wide: bool, to: Ty) -> Run {
    macro_rules! to {
        ($source:ty, $narrow:ty) => {
            match to {
                Ty::B16 => map1(|a: $source| a as $narrow as u16),
                Ty::B32 => map1(|a: $source| a as $narrow as u32),
                _ => map1(|a: $source| a as $narrow as u64),
            }
        };
    }
    match (from_wide, narrow.bits, narrow.signed) {
        (false, 8, false) => to!(u32, u8),
        (false, 8, true) => to!(u32, i8),
        (false, 16, false) => to!(u32, u16),
        (false, 16, true) => to!(u32, i16),
        (false, _, false) => to!(u32, u32),
        (false, _, true) => to!(u32, i32),
        (true, 8, false) => to!(u64, u8),
        (true, 8, true) => to!(u64, i8),
        (true, 16, false) => to!(u64, u16),
        (true, 16, true) => to!(u64, i16),
        (true, 32, false) => to!(u64, u32),
        (true, 32, true) => to!(u64, i32),
        (true, ..) => to!(u64, u64),
    }
}

fn to_integer(
    cx: &mut Lower,
    i: &ast::Instruction,
    (to, to_int): (Ty, Int),
    (from, format): (Ty, &'static Format),
    mode: Rounding,
    ftz: bool,
) -> Result<Inst, LowerError> {
    let d = operand(i, 0)?;
    let register = register(cx, d, to);
    // `as` truncates, clamps and makes zero of NaN, as PTX does for f32 to 32 bits.
    let fast: Option<Run> = match (to, from, mode) {
        (Ty::S32, Ty::F32, _) if ftz || register != Ty::B32 => None,
        (Ty::S32, Ty::F32, Rounding::Rz) => Some(map1(|a: f32| a as i32)),
        (Ty::S32, Ty::F32, Rounding::Rm) => Some(map1(|a: f32| a.floor() as i32)),
        (Ty::S32, Ty::F32, Rounding::Rp) => Some(map1(|a: f32| a.ceil() as i32)),
        (Ty::S32, Ty::F32, Rounding::Rn) => Some(map1(|a: f32| a.round_ties_even() as i32)),
        (Ty::U32, Ty::F32, Rounding::Rz) if !ftz && register == Ty::B32 => Some(map1(|a: f32| a as u32)),
        _ => None,
    };
    if let Some(run) = fast {
        return one(cx, i, to, from, run);
    }
    lanewise(cx, (d, register), &[(operand(i, 1)?, from)], move |s| {
        num::float_to_int(s[0], format, to_int, mode, ftz)
    })
}

/// `.rn` without `.sat`, where the host converts likewise.
fn from_integer_run(to: Ty, from: Ty) -> Option<Run> {
    Some(match (to, from) {
        (Ty::F32, Ty::S8) => map1(|a: i8| f32::from(a)),
        (Ty::F32, Ty::U8) => map1(|a: u8| f32::from(a)),
        (Ty::F32, Ty::S16) => map1(|a: i16| f32::from(a)),
        (Ty::F32, Ty::U16) => map1(|a: u16| f32::from(a)),
        (Ty::F32, Ty::S32) => map1(|a: i32| a as f32),
        (Ty::F32, Ty::U32) => map1(|a: u32| a as f32),
        (Ty::F32, Ty::S64) => map1(|a: i64| a as f32),
        (Ty::F32, Ty::U64) => map1(|a: u64| a as f32),
        (Ty::F64, Ty::S32) => map1(|a: i32| f64::from(a)),
        (Ty::F64, Ty::U32) => map1(|a: u32| f64::from(a)),
        (Ty::F64, Ty::S64) => map1(|a: i64| a as f64),
        (Ty::F64, Ty::U64) => map1(|a: u64| a as f64),
        _ => return None,
    })
}

#[inline(always)]
fn canonical(x: f32) -> u32 {
    gpusim_num::f32::canonical(x.to_bits())
}

fn floats(
    cx: &mut Lower,
    i: &ast::Instruction,
    (to, to_format): (Ty, &'static Format),
    (from, from_format): (Ty, &'static Format),
    flags: Flags,
) -> Result<Inst, LowerError> {
    if flags.ftz && from != Ty::F32 && to != Ty::F32 {
        return invalid(i, ".ftz is for f32");
    }
    let (d, a) = ((operand(i, 0)?, to), (operand(i, 1)?, from));
    let halves = matches!((to, from), (Ty::F16, Ty::Bf16) | (Ty::Bf16, Ty::F16));
    let widens = to.bits() > from.bits();
    let mode = match flags.round {
        Some(Round::Integer(mode)) => {
            if to != from {
                return invalid(i, "an integer rounding between two formats");
            }
            if let (Ty::F32, false, false) = (to, flags.ftz, flags.sat) {
                let run = match mode {
                    Rounding::Rz => map1(|a: f32| canonical(a.trunc())),
                    Rounding::Rm => map1(|a: f32| canonical(a.floor())),
                    Rounding::Rp => map1(|a: f32| canonical(a.ceil())),
                    _ => map1(|a: f32| canonical(a.round_ties_even())),
                };
                return one(cx, i, to, from, run);
            }
            let how = flags.with(mode);
            return lanewise(cx, d, &[a], move |s| num::round_to_integral(s[0], to_format, how));
        }
        Some(Round::Stochastic) => return invalid(i, ".rs is for packed formats"),
        Some(Round::Float(mode)) if to == from || widens => {
            // Rounding an exact conversion is an error but where assemblers are known to let it pass.
            if !(halves || to == from) {
                return invalid(i, "rounds an exact conversion");
            }
            mode
        }
        Some(Round::Float(mode)) => mode,
        None if to == from || widens || halves => Rounding::Rn,
        None => return invalid(i, "needs a rounding"),
    };
    if mode == Rounding::Rna && !(from == Ty::F32 && to == Ty::Bf16) {
        return invalid(i, ".rna is for tf32");
    }
    let plain = !(flags.ftz || flags.sat || flags.satfinite || flags.relu) && mode == Rounding::Rn;
    let fast: Option<Run> = match (to, from) {
        (Ty::F32, Ty::F32) if flags.ftz && !flags.sat => {
            Some(map1(|a: u32| flush(gpusim_num::f32::canonical(a))))
        }
        _ if !plain => None,
        (Ty::F32, Ty::F16) => Some(map1(|a: u16| canonical(f16_to_f32(a)))),
        (Ty::F32, Ty::Bf16) => Some(map1(|a: u16| canonical(bf16_to_f32(a)))),
        (Ty::F16, Ty::F32) => Some(map1(|a: u32| f32_to_f16(f32::from_bits(a)))),
        (Ty::Bf16, Ty::F32) => Some(map1(|a: u32| f32_to_bf16(f32::from_bits(a)))),
        (Ty::F32, Ty::F64) => Some(map1(|a: f64| canonical(a as f32))),
        _ => None,
    };
    if let Some(run) = fast {
        return one(cx, i, to, from, run);
    }
    let how = flags.with(mode);
    lanewise(cx, d, &[a], move |s| num::float_to_float(s[0], from_format, to_format, how))
}

/// `cvt.….tf32.f32`: the result is an f32 whose low 13 bits are zero, but for NaN.
fn tf32(cx: &mut Lower, i: &ast::Instruction, flags: Flags, from: Ty) -> Result<Inst, LowerError> {
    let Some(Round::Float(mode @ (Rounding::Rn | Rounding::Rz | Rounding::Rna))) = flags.round else {
        return invalid(i, "needs .rn, .rz or .rna");
    };
    if from != Ty::F32 || flags.ftz || flags.sat || (mode == Rounding::Rna && flags.relu) {
        return Err(LowerError::Unsupported);
    }
    let Flags { satfinite, relu, .. } = flags;
    lanewise(cx, (operand(i, 0)?, Ty::B32), &[(operand(i, 1)?, Ty::F32)], move |s| {
        let x = f32::from_bits(s[0] as u32);
        let bits = to_tf32(x, mode, satfinite);
        u64::from(if relu && bits >> 31 != 0 { 0 } else { bits })
    })
}
