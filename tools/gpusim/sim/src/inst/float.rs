//! f32 arithmetic, and the pairs of f32 in 64-bit registers.

use gpusim_num::f32::{self as num, Modifiers};
use gpusim_num::format::Format;
use gpusim_num::{Rounding, classify, minmax};
use gpusim_ptx::ast;

use super::lanewise::{lanewise, test_lanes};
use super::{Entry, Inst, Lower, LowerError, Mods, Run, Ty, map1, map2, map3, operand};
use crate::module::{NEGATED_ADDEND, NEGATED_PRODUCT};

pub(super) const TABLE: &[Entry] = &[
    ("add", arithmetic),
    ("sub", arithmetic),
    ("mul", arithmetic),
    ("fma", arithmetic),
    ("mad", arithmetic),
    ("div", divide),
    ("rcp", divide),
    ("sqrt", divide),
    ("abs", sign),
    ("neg", sign),
    ("min", min_max),
    ("max", min_max),
    ("copysign", copysign),
    ("testp", testp),
];

/// `.rn`, `.rz`, `.rm`, `.rp`.
pub(super) fn rounding(m: &mut Mods) -> Option<Rounding> {
    m.find(|name| {
        Some(match name {
            "rn" => Rounding::Rn,
            "rz" => Rounding::Rz,
            "rm" => Rounding::Rm,
            "rp" => Rounding::Rp,
            _ => return None,
        })
    })
}

/// The module is wrong without a rounding mode.
pub(super) fn required(mode: Option<Rounding>, i: &ast::Instruction) -> Result<Rounding, LowerError> {
    mode.ok_or_else(|| LowerError::Invalid(format!("{} needs a rounding modifier", super::name(i))))
}

/// What a fused multiply-add negates if it was made of `mul` and `sub`: the product, the addend. `sign` has the sign
/// bits of a value.
pub(super) fn negations(m: &mut Mods, sign: u64) -> (u64, u64) {
    let product = if m.take(NEGATED_PRODUCT) { sign } else { 0 };
    (product, if m.take(NEGATED_ADDEND) { sign } else { 0 })
}

/// The one type among the modifiers, if it is `ty`; with a second type the instruction is another family's.
pub(super) fn only(m: &mut Mods, ty: Ty) -> Result<(), LowerError> {
    if m.rest().iter().filter(|name| Ty::parse(name).is_some()).count() != 1 || m.ty() != Ok(ty) {
        return Err(LowerError::NotMine);
    }
    Ok(())
}

/// `$run` with a constant `$m` for each of `.ftz` and `.sat`, so that each has a loop of its own.
macro_rules! flavours {
    ($ftz:expr, $sat:expr, $m:ident => $run:expr) => {
        match ($ftz, $sat) {
            (false, false) => flavours!(@false, false, $m, $run),
            (true, false) => flavours!(@true, false, $m, $run),
            (false, true) => flavours!(@false, true, $m, $run),
            (true, true) => flavours!(@true, true, $m, $run),
        }
    };
    (@$ftz:literal, $sat:literal, $m:ident, $run:expr) => {{
        const $m: Modifiers = Modifiers { mode: Rounding::Rn, ftz: $ftz, sat: $sat };
        $run
    }};
}

fn pair(a: u64, b: u64, f: impl Fn(u32, u32) -> u32) -> u64 {
    u64::from(f((a >> 32) as u32, (b >> 32) as u32)) << 32 | u64::from(f(a as u32, b as u32))
}

fn arithmetic(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let packed = m.take("f32x2");
    if !packed {
        only(&mut m, Ty::F32)?;
    }
    let mode = rounding(&mut m);
    let (ftz, sat) = (m.take("ftz"), !packed && m.take("sat"));
    let (product, addend) = negations(&mut m, 1 << 31);
    m.end()?;
    let fused = matches!(&*i.opcode, "fma" | "mad");
    let mode = if fused { required(mode, i)? } else { mode.unwrap_or(Rounding::Rn) };
    let ty = if packed { Ty::B64 } else { Ty::F32 };
    let m = Modifiers { mode, ftz, sat };
    if packed {
        return packed_arithmetic(cx, i, m);
    }
    if mode != Rounding::Rn || product | addend != 0 {
        let (to, a, b) = ((operand(i, 0)?, ty), (operand(i, 1)?, ty), (operand(i, 2)?, ty));
        let f = match &*i.opcode {
            "add" => num::add,
            "sub" => num::sub,
            "mul" => num::mul,
            _ => {
                return lanewise(cx, to, &[a, b, (operand(i, 3)?, ty)], move |s| {
                    num::fma((s[0] ^ product) as u32, s[1] as u32, (s[2] ^ addend) as u32, m).into()
                });
            }
        };
        return lanewise(cx, to, &[a, b], move |s| f(s[0] as u32, s[1] as u32, m).into());
    }
    let run = match &*i.opcode {
        "add" => flavours!(ftz, sat, M => map2(|a: u32, b: u32| num::add(a, b, M))),
        "sub" => flavours!(ftz, sat, M => map2(|a: u32, b: u32| num::sub(a, b, M))),
        "mul" => flavours!(ftz, sat, M => map2(|a: u32, b: u32| num::mul(a, b, M))),
        _ => flavours!(ftz, sat, M => map3(|a: u32, b: u32, c: u32| num::fma(a, b, c, M))),
    };
    let d = cx.dst(operand(i, 0)?, ty)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    let mut inst = Inst { d, a, b, ..Inst::new(run) };
    if fused {
        inst.c = cx.src(operand(i, 3)?, ty)?;
    }
    Ok(inst)
}

fn packed_arithmetic(cx: &mut Lower, i: &ast::Instruction, m: Modifiers) -> Result<Inst, LowerError> {
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, Ty::B64));
    let f = match &*i.opcode {
        "add" => num::add,
        "sub" => num::sub,
        "mul" => num::mul,
        "fma" => {
            return lanewise(cx, at(0)?, &[at(1)?, at(2)?, at(3)?], move |&[a, b, c, ..]| {
                let high = num::fma((a >> 32) as u32, (b >> 32) as u32, (c >> 32) as u32, m);
                u64::from(high) << 32 | u64::from(num::fma(a as u32, b as u32, c as u32, m))
            });
        }
        _ => return Err(LowerError::Unsupported),
    };
    lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| pair(s[0], s[1], |a, b| f(a, b, m)))
}

/// The correctly rounded forms; `.approx` and `.full` are in `approx.rs`.
fn divide(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F32)?;
    if m.take("approx") || m.take("full") {
        return Err(LowerError::NotMine);
    }
    let mode = required(rounding(&mut m), i)?;
    let ftz = m.take("ftz");
    m.end()?;
    let m = Modifiers { mode, ftz, sat: false };
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, Ty::F32));
    if mode != Rounding::Rn {
        return match &*i.opcode {
            "div" => {
                lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| num::div(s[0] as u32, s[1] as u32, m).into())
            }
            "rcp" => lanewise(cx, at(0)?, &[at(1)?], move |s| num::rcp(s[0] as u32, m).into()),
            _ => lanewise(cx, at(0)?, &[at(1)?], move |s| num::sqrt(s[0] as u32, m).into()),
        };
    }
    let d = cx.dst(operand(i, 0)?, Ty::F32)?;
    let a = cx.src(operand(i, 1)?, Ty::F32)?;
    let run = match &*i.opcode {
        "div" => {
            let b = cx.src(operand(i, 2)?, Ty::F32)?;
            let run = flavours!(ftz, false, M => map2(|a: u32, b: u32| num::div(a, b, M)));
            return Ok(Inst { d, a, b, ..Inst::new(run) });
        }
        "rcp" => flavours!(ftz, false, M => map1(|a: u32| num::rcp(a, M))),
        _ => flavours!(ftz, false, M => map1(|a: u32| num::sqrt(a, M))),
    };
    Ok(Inst { d, a, ..Inst::new(run) })
}

fn sign(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F32)?;
    let ftz = m.take("ftz");
    m.end()?;
    let run = match (&*i.opcode, ftz) {
        ("abs", false) => map1(|a: u32| a & 0x7fff_ffff),
        ("abs", true) => map1(|a: u32| num::flush(a) & 0x7fff_ffff),
        (_, false) => map1(|a: u32| a ^ 0x8000_0000),
        (_, true) => map1(|a: u32| num::flush(a) ^ 0x8000_0000),
    };
    let d = cx.dst(operand(i, 0)?, Ty::F32)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, Ty::F32)?, ..Inst::new(run) })
}

/// Keys that order as the values do, -0 before +0.
#[inline(always)]
fn order(bits: u32) -> i32 {
    bits as i32 ^ ((bits as i32 >> 31) as u32 >> 1) as i32
}

/// `min` or, with `MAX`, `max`: without branches, so that a loop over lanes vectorises.
#[inline(always)]
fn pick<const MAX: bool, const FTZ: bool, const NAN: bool>(a: u32, b: u32) -> u32 {
    let nan = |x: u32| x & 0x7fff_ffff > 0x7f80_0000;
    let (a, b) = if FTZ { (num::flush(a), num::flush(b)) } else { (a, b) };
    let picked = if (order(a) < order(b)) != MAX { a } else { b };
    let picked = if nan(a) { b } else { picked };
    let picked = if nan(b) { a } else { picked };
    let invalid = if NAN { nan(a) | nan(b) } else { nan(a) & nan(b) };
    if invalid { num::NAN } else { picked }
}

fn min_max_run(max: bool, ftz: bool, nan: bool) -> Run {
    match (max, ftz, nan) {
        (false, false, false) => map2(|a: u32, b: u32| pick::<false, false, false>(a, b)),
        (false, false, true) => map2(|a: u32, b: u32| pick::<false, false, true>(a, b)),
        (false, true, false) => map2(|a: u32, b: u32| pick::<false, true, false>(a, b)),
        (false, true, true) => map2(|a: u32, b: u32| pick::<false, true, true>(a, b)),
        (true, false, false) => map2(|a: u32, b: u32| pick::<true, false, false>(a, b)),
        (true, false, true) => map2(|a: u32, b: u32| pick::<true, false, true>(a, b)),
        (true, true, false) => map2(|a: u32, b: u32| pick::<true, true, false>(a, b)),
        (true, true, true) => map2(|a: u32, b: u32| pick::<true, true, true>(a, b)),
    }
}

fn min_max(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F32)?;
    let (ftz, nan) = (m.take("ftz"), m.take("NaN"));
    let (xorsign, abs) = (m.take("xorsign"), m.take("abs"));
    m.end()?;
    let max = &*i.opcode == "max";
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, Ty::F32));
    if i.operands.len() == 4 {
        if xorsign {
            return Err(LowerError::Invalid("three inputs with .xorsign".to_owned()));
        }
        let m = minmax::Modifiers { ftz, nan, xorsign_abs: false };
        let f = if max { minmax::max3 } else { minmax::min3 };
        let keep = if abs { 0x7fff_ffff } else { u64::MAX };
        return lanewise(cx, at(0)?, &[at(1)?, at(2)?, at(3)?], move |s| {
            f(s[0] & keep, s[1] & keep, s[2] & keep, &Format::F32, m)
        });
    }
    if xorsign != abs {
        return Err(LowerError::Invalid(".xorsign and .abs go together with two inputs".to_owned()));
    }
    if xorsign {
        let m = minmax::Modifiers { ftz, nan, xorsign_abs: true };
        let f = if max { minmax::max } else { minmax::min };
        return lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| f(s[0], s[1], &Format::F32, m));
    }
    let d = cx.dst(operand(i, 0)?, Ty::F32)?;
    let (a, b) = (cx.src(operand(i, 1)?, Ty::F32)?, cx.src(operand(i, 2)?, Ty::F32)?);
    Ok(Inst { d, a, b, ..Inst::new(min_max_run(max, ftz, nan)) })
}

fn copysign(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let run = match ty {
        Ty::F32 => map2(|a: u32, b: u32| a & 0x8000_0000 | b & 0x7fff_ffff),
        Ty::F64 => map2(|a: u64, b: u64| a & 1 << 63 | b & !(1 << 63)),
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst(operand(i, 0)?, ty)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, b: cx.src(operand(i, 2)?, ty)?, ..Inst::new(run) })
}

fn testp(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    use classify::Property;
    let mut m = Mods::of(i);
    let property = m
        .find(|name| {
            Some(match name {
                "finite" => Property::Finite,
                "infinite" => Property::Infinite,
                "number" => Property::Number,
                "notanumber" => Property::NotANumber,
                "normal" => Property::Normal,
                "subnormal" => Property::Subnormal,
                _ => return None,
            })
        })
        .ok_or(LowerError::Unsupported)?;
    let ty = m.ty()?;
    m.end()?;
    let format = match ty {
        Ty::F32 => &Format::F32,
        Ty::F64 => &Format::F64,
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst_pred(operand(i, 0)?)?.as_reg();
    let inst = test_lanes(cx, &[(operand(i, 1)?, ty)], move |s| classify::testp(s[0], format, property))?;
    Ok(Inst { d, ..inst })
}
