//! f64 arithmetic.

use gpusim_num::format::Format;
use gpusim_num::{Rounding, f64 as num, minmax};
use gpusim_ptx::ast;

use super::float::{negations, only, required, rounding};
use super::lanewise::lanewise;
use super::{Entry, Inst, Lower, LowerError, Mods, Ty, map1, map2, map3, operand};

pub(super) const TABLE: &[Entry] = &[
    ("add", arithmetic),
    ("sub", arithmetic),
    ("mul", arithmetic),
    ("fma", arithmetic),
    ("mad", arithmetic),
    ("div", divide),
    ("rcp", divide),
    ("sqrt", divide),
    ("rsqrt", rsqrt),
    ("abs", sign),
    ("neg", sign),
    ("min", min_max),
    ("max", min_max),
];

fn arithmetic(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F64)?;
    let mode = rounding(&mut m);
    let (product, addend) = negations(&mut m, 1 << 63);
    m.end()?;
    let fused = matches!(&*i.opcode, "fma" | "mad");
    let mode = if fused { required(mode, i)? } else { mode.unwrap_or(Rounding::Rn) };
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, Ty::F64));
    if mode != Rounding::Rn || product | addend != 0 {
        let f = match &*i.opcode {
            "add" => num::add,
            "sub" => num::sub,
            "mul" => num::mul,
            _ => {
                return lanewise(cx, at(0)?, &[at(1)?, at(2)?, at(3)?], move |s| {
                    // A NaN passes with its own sign.
                    let negate = |v: u64, sign| if f64::from_bits(v).is_nan() { v } else { v ^ sign };
                    num::fma(negate(s[0], product), s[1], negate(s[2], addend), mode)
                });
            }
        };
        return lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| f(s[0], s[1], mode));
    }
    let run = match &*i.opcode {
        "add" => map2(|a: u64, b: u64| num::add(a, b, Rounding::Rn)),
        "sub" => map2(|a: u64, b: u64| num::sub(a, b, Rounding::Rn)),
        "mul" => map2(|a: u64, b: u64| num::mul(a, b, Rounding::Rn)),
        _ => map3(|a: u64, b: u64, c: u64| num::fma(a, b, c, Rounding::Rn)),
    };
    let d = cx.dst(operand(i, 0)?, Ty::F64)?;
    let (a, b) = (cx.src(operand(i, 1)?, Ty::F64)?, cx.src(operand(i, 2)?, Ty::F64)?);
    let mut inst = Inst { d, a, b, ..Inst::new(run) };
    if fused {
        inst.c = cx.src(operand(i, 3)?, Ty::F64)?;
    }
    Ok(inst)
}

fn divide(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F64)?;
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, Ty::F64));
    if &*i.opcode == "rcp" && m.take("approx") {
        if !m.take("ftz") {
            return Err(LowerError::Invalid("rcp.approx.f64 needs .ftz".to_owned()));
        }
        m.end()?;
        return lanewise(cx, at(0)?, &[at(1)?], |s| num::rcp_approx_ftz(s[0]));
    }
    let mode = required(rounding(&mut m), i)?;
    m.end()?;
    match &*i.opcode {
        "div" => lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| num::div(s[0], s[1], mode)),
        "rcp" => lanewise(cx, at(0)?, &[at(1)?], move |s| num::rcp(s[0], mode)),
        _ => lanewise(cx, at(0)?, &[at(1)?], move |s| num::sqrt(s[0], mode)),
    }
}

fn rsqrt(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F64)?;
    let (approx, ftz) = (m.take("approx"), m.take("ftz"));
    m.end()?;
    if !approx {
        return Err(LowerError::Invalid("rsqrt needs .approx".to_owned()));
    }
    let f = if ftz { num::rsqrt_approx_ftz } else { num::rsqrt_approx };
    lanewise(cx, (operand(i, 0)?, Ty::F64), &[(operand(i, 1)?, Ty::F64)], move |s| f(s[0]))
}

fn sign(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F64)?;
    m.end()?;
    let run = if &*i.opcode == "abs" { map1(|a: u64| a & !(1 << 63)) } else { map1(|a: u64| a ^ 1 << 63) };
    let d = cx.dst(operand(i, 0)?, Ty::F64)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, Ty::F64)?, ..Inst::new(run) })
}

fn min_max(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F64)?;
    m.end()?;
    let f = if &*i.opcode == "max" { minmax::max } else { minmax::min };
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, Ty::F64));
    lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| {
        f(s[0], s[1], &Format::F64, minmax::Modifiers::default())
    })
}
