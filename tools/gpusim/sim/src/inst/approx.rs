//! The `.approx` and `.full` functions of f32, f16 and bf16.
//!
//! `GPUSIM_APPROX=exact` gives the nearest value, `perturbed` one within the bound that the PTX ISA documents.

use gpusim_num::approx::{self as num, Modifiers};
use gpusim_num::f32::{canonical, flush};
use gpusim_num::half::Half;
use gpusim_ptx::ast;

use super::float::only;
use super::lanewise::lanewise;
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Run, Ty, map1, map2, operand, vectorised};

pub(super) const TABLE: &[Entry] = &[
    ("div", divide),
    ("rcp", unary),
    ("sqrt", unary),
    ("rsqrt", unary),
    ("sin", unary),
    ("cos", unary),
    ("ex2", unary),
    ("lg2", unary),
    ("tanh", unary),
    ("ex2", half),
    ("tanh", half),
];

/// `run` without and with `.ftz`: `$f` is a function of a constant `FTZ`.
macro_rules! with_ftz {
    ($ftz:expr, $map:ident, |$($v:ident),*| $FTZ:ident => $body:expr) => {
        if $ftz {
            const $FTZ: bool = true;
            $map(|$($v: u32),*| $body)
        } else {
            const $FTZ: bool = false;
            $map(|$($v: u32),*| $body)
        }
    };
}

#[inline(always)]
fn input<const FTZ: bool>(a: u32) -> f32 {
    f32::from_bits(if FTZ { flush(a) } else { a })
}

#[inline(always)]
fn output<const FTZ: bool>(x: f32) -> u32 {
    let bits = canonical(x.to_bits());
    if FTZ { flush(bits) } else { bits }
}

fn divide(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F32)?;
    let (approx, full, ftz) = (m.take("approx"), m.take("full"), m.take("ftz"));
    m.end()?;
    let f = match (approx, full) {
        (true, false) => num::div,
        (false, true) => num::div_full,
        _ => return Err(LowerError::Invalid("div of f32 needs .approx, .full or a rounding".to_owned())),
    };
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, Ty::F32));
    let how = Modifiers { ftz, perturb: cx.perturb };
    if approx || how.perturb.is_some() {
        return lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| f(s[0] as u32, s[1] as u32, how).into());
    }
    // The rounded f64 quotient of two f32 is their rounded quotient: 53 bits are more than twice 24 and two.
    let run = with_ftz!(ftz, map2, |a, b| FTZ => output::<FTZ>(input::<FTZ>(a) / input::<FTZ>(b)));
    let d = cx.dst(operand(i, 0)?, Ty::F32)?;
    let (a, b) = (cx.src(operand(i, 1)?, Ty::F32)?, cx.src(operand(i, 2)?, Ty::F32)?);
    Ok(Inst { d, a, b, ..Inst::new(run) })
}

/// A function over the lanes from `gpusim_num`.
macro_rules! over_lanes {
    ($f:path) => {
        vectorised(
            #[inline(always)]
            |x, i| {
                let a = x.read::<u32>(i.a);
                let mut d = [0; 32];
                $f(&a, &mut d);
                x.write(i.d, &d);
                Flow::Next
            },
        )
    };
}

fn unary(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    only(&mut m, Ty::F32)?;
    if !m.take("approx") {
        return Err(LowerError::Invalid(format!("{} needs .approx", super::name(i))));
    }
    let ftz = m.take("ftz");
    m.end()?;
    let how = Modifiers { ftz, perturb: cx.perturb };
    let exact = how.perturb.is_none();
    let fast: Option<Run> = match &*i.opcode {
        "ex2" if ftz => Some(over_lanes!(num::ex2_lanes::<true>)),
        "ex2" => Some(over_lanes!(num::ex2_lanes::<false>)),
        "rsqrt" if ftz => Some(over_lanes!(num::rsqrt_lanes::<true>)),
        "rsqrt" => Some(over_lanes!(num::rsqrt_lanes::<false>)),
        // One division or root in f32 equals the rounded f64 one, as above.
        "rcp" => Some(with_ftz!(ftz, map1, |a| FTZ => output::<FTZ>(1.0 / input::<FTZ>(a)))),
        "sqrt" => Some(with_ftz!(ftz, map1, |a| FTZ => output::<FTZ>(input::<FTZ>(a).sqrt()))),
        _ => None,
    };
    if let Some(run) = fast.filter(|_| exact) {
        let d = cx.dst(operand(i, 0)?, Ty::F32)?;
        return Ok(Inst { d, a: cx.src(operand(i, 1)?, Ty::F32)?, ..Inst::new(run) });
    }
    let f = match &*i.opcode {
        "rcp" => num::rcp,
        "sqrt" => num::sqrt,
        "rsqrt" => num::rsqrt,
        "sin" => num::sin,
        "cos" => num::cos,
        "ex2" => num::ex2,
        "lg2" => num::lg2,
        "tanh" if ftz => return Err(LowerError::Invalid("tanh has no .ftz".to_owned())),
        _ => num::tanh,
    };
    lanewise(cx, (operand(i, 0)?, Ty::F32), &[(operand(i, 1)?, Ty::F32)], move |s| f(s[0] as u32, how).into())
}

fn half(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    let (format, packed) = match ty {
        Ty::F16 => (Half::F16, false),
        Ty::F16x2 => (Half::F16, true),
        Ty::Bf16 => (Half::Bf16, false),
        Ty::Bf16x2 => (Half::Bf16, true),
        _ => return Err(LowerError::NotMine),
    };
    let (approx, ftz) = (m.take("approx"), m.take("ftz"));
    m.end()?;
    let ex2 = &*i.opcode == "ex2";
    // `.ftz` is there if and only if it is ex2 of bf16.
    if !approx || ftz != (ex2 && format == Half::Bf16) {
        return Err(LowerError::Invalid(format!("modifiers of {}", super::name(i))));
    }
    let how = Modifiers { ftz, perturb: cx.perturb };
    let one = move |h: u64| {
        let h = h as u16;
        u64::from(if ex2 { num::ex2_half(format, h, how) } else { num::tanh_half(format, h, how) })
    };
    lanewise(cx, (operand(i, 0)?, ty), &[(operand(i, 1)?, ty)], move |s| {
        if packed { one(s[0] & 0xffff) | one(s[0] >> 16) << 16 } else { one(s[0]) }
    })
}
