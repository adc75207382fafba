//! f16 and bf16 arithmetic, single and in pairs.

use gpusim_num::format::Format;
use gpusim_num::half::{Half, Modifiers};
use gpusim_num::minmax;
use gpusim_ptx::ast;

use super::float::negations;
use super::lanewise::lanewise;
use super::{Entry, Inst, Lower, LowerError, Mods, Run, Ty, map1, map2, map3, operand};

pub(super) const TABLE: &[Entry] = &[
    ("add", arithmetic),
    ("sub", arithmetic),
    ("mul", arithmetic),
    ("fma", arithmetic),
    ("abs", sign),
    ("neg", sign),
    ("min", min_max),
    ("max", min_max),
];

/// The format, and whether two values make an operand.
fn shape(m: &mut Mods) -> Result<(Ty, Half, bool), LowerError> {
    let mut types = m.rest().iter().filter_map(|name| Ty::parse(name));
    let (ty, more) = (types.next(), types.next());
    let (half, packed) = match (ty, more) {
        (Some(Ty::F16), None) => (Half::F16, false),
        (Some(Ty::F16x2), None) => (Half::F16, true),
        (Some(Ty::Bf16), None) => (Half::Bf16, false),
        (Some(Ty::Bf16x2), None) => (Half::Bf16, true),
        _ => return Err(LowerError::NotMine),
    };
    Ok((m.ty()?, half, packed))
}

fn format_of(half: Half) -> &'static Format {
    match half {
        Half::F16 => &Format::F16,
        Half::Bf16 => &Format::BF16,
    }
}

/// `f` on the low and on the high halves.
#[inline(always)]
fn both(a: u32, b: u32, c: u32, f: impl Fn(u16, u16, u16) -> u16) -> u32 {
    let high = f((a >> 16) as u16, (b >> 16) as u16, (c >> 16) as u16);
    u32::from(high) << 16 | u32::from(f(a as u16, b as u16, c as u16))
}

const PLAIN: Modifiers = Modifiers { ftz: false, sat: false, relu: false };

/// The loops of the forms without modifiers.
macro_rules! plain {
    ($half:ident, $packed:expr, $op:ident) => {
        if $packed {
            map2(|a: u32, b: u32| both(a, b, 0, |a, b, _| Half::$half.$op(a, b, PLAIN)))
        } else {
            map2(|a: u16, b: u16| Half::$half.$op(a, b, PLAIN))
        }
    };
}

fn plain_run(opcode: &str, half: Half, packed: bool) -> Run {
    match (opcode, half) {
        ("add", Half::F16) => plain!(F16, packed, add),
        ("add", Half::Bf16) => plain!(Bf16, packed, add),
        ("sub", Half::F16) => plain!(F16, packed, sub),
        ("sub", Half::Bf16) => plain!(Bf16, packed, sub),
        ("mul", Half::F16) => plain!(F16, packed, mul),
        ("mul", Half::Bf16) => plain!(Bf16, packed, mul),
        (_, Half::F16) if packed => {
            map3(|a: u32, b: u32, c: u32| both(a, b, c, |a, b, c| Half::F16.fma(a, b, c, PLAIN)))
        }
        (_, Half::F16) => map3(|a: u16, b: u16, c: u16| Half::F16.fma(a, b, c, PLAIN)),
        (_, Half::Bf16) if packed => {
            map3(|a: u32, b: u32, c: u32| both(a, b, c, |a, b, c| Half::Bf16.fma(a, b, c, PLAIN)))
        }
        (_, Half::Bf16) => map3(|a: u16, b: u16, c: u16| Half::Bf16.fma(a, b, c, PLAIN)),
    }
}

fn arithmetic(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (ty, half, packed) = shape(&mut m)?;
    let fused = &*i.opcode == "fma";
    let rn = m.take("rn");
    if fused && !rn {
        return Err(LowerError::Invalid("fma needs a rounding modifier".to_owned()));
    }
    // bf16 has neither `.ftz` nor `.sat`, and only fma has `.relu`.
    let ftz = half == Half::F16 && m.take("ftz");
    let sat = half == Half::F16 && m.take("sat");
    let relu = fused && m.take("relu");
    let (product, addend) = negations(&mut m, 0x8000);
    m.end()?;
    if sat && relu {
        return Err(LowerError::Invalid("both .sat and .relu".to_owned()));
    }
    let how = Modifiers { ftz, sat, relu };
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, ty));
    if how != PLAIN || product | addend != 0 {
        let op: fn(Half, u16, u16, Modifiers) -> u16 = match &*i.opcode {
            "add" => Half::add,
            "sub" => Half::sub,
            "mul" => Half::mul,
            _ => {
                return lanewise(cx, at(0)?, &[at(1)?, at(2)?, at(3)?], move |s| {
                    both(s[0] as u32, s[1] as u32, s[2] as u32, |a, b, c| {
                        half.fma(a ^ product as u16, b, c ^ addend as u16, how)
                    })
                    .into()
                });
            }
        };
        return lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| {
            both(s[0] as u32, s[1] as u32, 0, |a, b, _| op(half, a, b, how)).into()
        });
    }
    let d = cx.dst(operand(i, 0)?, ty)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    let mut inst = Inst { d, a, b, ..Inst::new(plain_run(&i.opcode, half, packed)) };
    if fused {
        inst.c = cx.src(operand(i, 3)?, ty)?;
    }
    Ok(inst)
}

fn sign(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (ty, half, packed) = shape(&mut m)?;
    let ftz = half == Half::F16 && m.take("ftz");
    m.end()?;
    let abs = &*i.opcode == "abs";
    if ftz {
        return lanewise(cx, (operand(i, 0)?, ty), &[(operand(i, 1)?, ty)], move |s| {
            both(s[0] as u32, 0, 0, |a, _, _| {
                let a = half.flush(a);
                if abs { a & 0x7fff } else { a ^ 0x8000 }
            })
            .into()
        });
    }
    let run = match (abs, packed) {
        (true, true) => map1(|a: u32| a & 0x7fff_7fff),
        (false, true) => map1(|a: u32| a ^ 0x8000_8000),
        (true, false) => map1(|a: u16| a & 0x7fff),
        (false, false) => map1(|a: u16| a ^ 0x8000),
    };
    let d = cx.dst(operand(i, 0)?, ty)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, ..Inst::new(run) })
}

fn min_max(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (ty, half, _) = shape(&mut m)?;
    let ftz = half == Half::F16 && m.take("ftz");
    let nan = m.take("NaN");
    let (xorsign, abs) = (m.take("xorsign"), m.take("abs"));
    m.end()?;
    if xorsign != abs {
        return Err(LowerError::Invalid(".xorsign and .abs go together".to_owned()));
    }
    let how = minmax::Modifiers { ftz, nan, xorsign_abs: xorsign };
    let f = if &*i.opcode == "max" { minmax::max } else { minmax::min };
    let format = format_of(half);
    let at = |n| Ok::<_, LowerError>((operand(i, n)?, ty));
    lanewise(cx, at(0)?, &[at(1)?, at(2)?], move |s| {
        both(s[0] as u32, s[1] as u32, 0, |a, b, _| f(a.into(), b.into(), format, how) as u16).into()
    })
}
