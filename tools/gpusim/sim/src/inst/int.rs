//! Integer arithmetic.

use gpusim_ptx::ast;

use super::{Entry, Inst, Lower, LowerError, Mods, Run, Ty, map1, map2, map3, operand};

pub(super) const TABLE: &[Entry] = &[
    ("add", add_sub),
    ("sub", add_sub),
    ("mul", mul),
    ("mad", mad),
    ("div", div_rem),
    ("rem", div_rem),
    ("abs", unary),
    ("neg", unary),
    ("min", min_max),
    ("max", min_max),
    ("sad", sad),
    ("mul24", mul24),
    ("mad24", mul24),
];

/// `f` for each of the integer types given, by the type's name.
macro_rules! by_type {
    ($ty:expr, $($variant:ident => $t:ident),*; $run:expr) => {
        match $ty {
            $(Ty::$variant => { type T = $t; $run })*
            _ => return Err(LowerError::NotMine),
        }
    };
}

fn binary(cx: &mut Lower, i: &ast::Instruction, ty: Ty, run: Run) -> Result<Inst, LowerError> {
    let d = cx.dst(operand(i, 0)?, ty)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, b: cx.src(operand(i, 2)?, ty)?, ..Inst::new(run) })
}

fn add_sub(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if &*i.opcode == "add" && (m.take("u16x2") || m.take("s16x2")) {
        m.end()?;
        return binary(cx, i, Ty::B32, map2(|a: u32, b: u32| halves(a, b, u16::wrapping_add)));
    }
    let ty = m.ty()?;
    let sat = m.take("sat");
    if ty.is_float() || m.take("cc") {
        return Err(LowerError::NotMine);
    }
    m.end()?;
    let add = &*i.opcode == "add";
    let run = match (add, sat, ty) {
        (true, true, Ty::S32) => map2(|a: i32, b: i32| a.saturating_add(b)),
        (false, true, Ty::S32) => map2(|a: i32, b: i32| a.saturating_sub(b)),
        (_, true, _) => return Err(LowerError::Unsupported),
        (true, ..) => by_type!(ty, U16 => u16, S16 => u16, U32 => u32, S32 => u32, U64 => u64, S64 => u64;
            map2(|a: T, b: T| a.wrapping_add(b))),
        (false, ..) => by_type!(ty, U16 => u16, S16 => u16, U32 => u32, S32 => u32, U64 => u64, S64 => u64;
            map2(|a: T, b: T| a.wrapping_sub(b))),
    };
    binary(cx, i, ty, run)
}

/// Which part of a product an instruction wants.
enum Part {
    Low,
    High,
    Wide,
}

fn part(m: &mut Mods) -> Result<Part, LowerError> {
    m.find(|name| match name {
        "lo" => Some(Part::Low),
        "hi" => Some(Part::High),
        "wide" => Some(Part::Wide),
        _ => None,
    })
    .ok_or(LowerError::NotMine)
}

fn wider(ty: Ty) -> Result<Ty, LowerError> {
    Ok(match ty {
        Ty::U16 => Ty::U32,
        Ty::S16 => Ty::S32,
        Ty::U32 => Ty::U64,
        Ty::S32 => Ty::S64,
        _ => return Err(LowerError::Unsupported),
    })
}

fn mul(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let part = part(&mut m)?;
    let ty = m.ty()?;
    m.end()?;
    let (run, to) = match part {
        Part::Low => (
            by_type!(ty, U16 => u16, S16 => u16, U32 => u32, S32 => u32, U64 => u64, S64 => u64;
                map2(|a: T, b: T| a.wrapping_mul(b))),
            ty,
        ),
        Part::High => (high(ty)?, ty),
        Part::Wide => (
            match ty {
                Ty::U16 => map2(|a: u16, b: u16| u32::from(a) * u32::from(b)),
                Ty::S16 => map2(|a: i16, b: i16| i32::from(a) * i32::from(b)),
                Ty::U32 => map2(|a: u32, b: u32| u64::from(a) * u64::from(b)),
                Ty::S32 => map2(|a: i32, b: i32| i64::from(a) * i64::from(b)),
                _ => return Err(LowerError::Unsupported),
            },
            wider(ty)?,
        ),
    };
    let d = cx.dst(operand(i, 0)?, to)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, b: cx.src(operand(i, 2)?, ty)?, ..Inst::new(run) })
}

fn high(ty: Ty) -> Result<Run, LowerError> {
    Ok(match ty {
        Ty::U16 => map2(|a: u16, b: u16| ((u32::from(a) * u32::from(b)) >> 16) as u16),
        Ty::S16 => map2(|a: i16, b: i16| ((i32::from(a) * i32::from(b)) >> 16) as i16),
        Ty::U32 => map2(|a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32),
        Ty::S32 => map2(|a: i32, b: i32| ((i64::from(a) * i64::from(b)) >> 32) as i32),
        Ty::U64 => map2(|a: u64, b: u64| ((u128::from(a) * u128::from(b)) >> 64) as u64),
        Ty::S64 => map2(|a: i64, b: i64| ((i128::from(a) * i128::from(b)) >> 64) as i64),
        _ => return Err(LowerError::Unsupported),
    })
}

fn mad(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let part = part(&mut m)?;
    let ty = m.ty()?;
    let sat = m.take("sat");
    if m.take("cc") {
        return Err(LowerError::NotMine);
    }
    m.end()?;
    let (run, to) = match part {
        Part::Low => (
            by_type!(ty, U16 => u16, S16 => u16, U32 => u32, S32 => u32, U64 => u64, S64 => u64;
                map3(|a: T, b: T, c: T| a.wrapping_mul(b).wrapping_add(c))),
            ty,
        ),
        Part::High => (
            match (ty, sat) {
                (Ty::S32, true) => map3(|a: i32, b: i32, c: i32| {
                    (((i64::from(a) * i64::from(b)) >> 32) as i32).saturating_add(c)
                }),
                (_, true) => return Err(LowerError::Unsupported),
                (Ty::U16, _) => map3(|a: u16, b: u16, c: u16| {
                    (((u32::from(a) * u32::from(b)) >> 16) as u16).wrapping_add(c)
                }),
                (Ty::S16, _) => map3(|a: i16, b: i16, c: i16| {
                    (((i32::from(a) * i32::from(b)) >> 16) as i16).wrapping_add(c)
                }),
                (Ty::U32, _) => map3(|a: u32, b: u32, c: u32| {
                    (((u64::from(a) * u64::from(b)) >> 32) as u32).wrapping_add(c)
                }),
                (Ty::S32, _) => map3(|a: i32, b: i32, c: i32| {
                    (((i64::from(a) * i64::from(b)) >> 32) as i32).wrapping_add(c)
                }),
                (Ty::U64, _) => map3(|a: u64, b: u64, c: u64| {
                    (((u128::from(a) * u128::from(b)) >> 64) as u64).wrapping_add(c)
                }),
                (Ty::S64, _) => map3(|a: i64, b: i64, c: i64| {
                    (((i128::from(a) * i128::from(b)) >> 64) as i64).wrapping_add(c)
                }),
                _ => return Err(LowerError::Unsupported),
            },
            ty,
        ),
        Part::Wide => (
            match ty {
                Ty::U16 => map3(|a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c)),
                Ty::S16 => map3(|a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c)),
                Ty::U32 => map3(|a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).wrapping_add(c)),
                Ty::S32 => map3(|a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).wrapping_add(c)),
                _ => return Err(LowerError::Unsupported),
            },
            wider(ty)?,
        ),
    };
    let d = cx.dst(operand(i, 0)?, to)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    Ok(Inst { d, a, b, c: cx.src(operand(i, 3)?, to)?, ..Inst::new(run) })
}

/// Division by zero gives all ones, and the dividend as remainder: PTX leaves it open, this is what hardware does.
fn div_rem(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    if ty.is_float() {
        return Err(LowerError::NotMine);
    }
    m.end()?;
    let run = if &*i.opcode == "div" {
        by_type!(ty, U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64;
            map2(|a: T, b: T| if b == 0 { !0 } else { a.wrapping_div(b) }))
    } else {
        by_type!(ty, U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64;
            map2(|a: T, b: T| if b == 0 { a } else { a.wrapping_rem(b) }))
    };
    binary(cx, i, ty, run)
}

fn unary(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    if !ty.is_signed() {
        return Err(LowerError::NotMine);
    }
    m.end()?;
    let run = if &*i.opcode == "abs" {
        by_type!(ty, S16 => i16, S32 => i32, S64 => i64; map1(|a: T| a.wrapping_abs()))
    } else {
        by_type!(ty, S16 => i16, S32 => i32, S64 => i64; map1(|a: T| a.wrapping_neg()))
    };
    let d = cx.dst(operand(i, 0)?, ty)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, ..Inst::new(run) })
}

fn min_max(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let packed = m.find(|name| match name {
        "u16x2" => Some(false),
        "s16x2" => Some(true),
        _ => None,
    });
    let relu = m.take("relu");
    let min = &*i.opcode == "min";
    if let Some(signed) = packed {
        m.end()?;
        let run = match (min, signed, relu) {
            (true, false, false) => map2(|a: u32, b: u32| halves(a, b, |a, b| a.min(b))),
            (false, false, false) => map2(|a: u32, b: u32| halves(a, b, |a, b| a.max(b))),
            (true, true, false) => {
                map2(|a: u32, b: u32| halves(a, b, |a, b| (a as i16).min(b as i16) as u16))
            }
            (false, true, false) => {
                map2(|a: u32, b: u32| halves(a, b, |a, b| (a as i16).max(b as i16) as u16))
            }
            (true, true, true) => {
                map2(|a: u32, b: u32| halves(a, b, |a, b| (a as i16).min(b as i16).max(0) as u16))
            }
            (false, true, true) => {
                map2(|a: u32, b: u32| halves(a, b, |a, b| (a as i16).max(b as i16).max(0) as u16))
            }
            _ => return Err(LowerError::Unsupported),
        };
        return binary(cx, i, Ty::B32, run);
    }
    let ty = m.ty()?;
    if ty.is_float() {
        return Err(LowerError::NotMine);
    }
    m.end()?;
    let run = match (min, relu, ty) {
        (true, true, Ty::S32) => map2(|a: i32, b: i32| a.min(b).max(0)),
        (false, true, Ty::S32) => map2(|a: i32, b: i32| a.max(b).max(0)),
        (_, true, _) => return Err(LowerError::Unsupported),
        (true, ..) => by_type!(ty, U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64;
            map2(|a: T, b: T| a.min(b))),
        (false, ..) => by_type!(ty, U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64;
            map2(|a: T, b: T| a.max(b))),
    };
    binary(cx, i, ty, run)
}

/// `f` on the low and on the high halves.
#[inline(always)]
fn halves(a: u32, b: u32, f: impl Fn(u16, u16) -> u16) -> u32 {
    u32::from(f(a as u16, b as u16)) | u32::from(f((a >> 16) as u16, (b >> 16) as u16)) << 16
}

fn sad(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let run = match ty {
        Ty::U16 => map3(|a: u16, b: u16, c: u16| c.wrapping_add(a.abs_diff(b))),
        Ty::S16 => map3(|a: i16, b: i16, c: u16| c.wrapping_add(a.abs_diff(b))),
        Ty::U32 => map3(|a: u32, b: u32, c: u32| c.wrapping_add(a.abs_diff(b))),
        Ty::S32 => map3(|a: i32, b: i32, c: u32| c.wrapping_add(a.abs_diff(b))),
        Ty::U64 => map3(|a: u64, b: u64, c: u64| c.wrapping_add(a.abs_diff(b))),
        Ty::S64 => map3(|a: i64, b: i64, c: u64| c.wrapping_add(a.abs_diff(b))),
        _ => return Err(LowerError::Unsupported),
    };
    let mut inst = binary(cx, i, ty, run)?;
    inst.c = cx.src(operand(i, 3)?, ty)?;
    Ok(inst)
}

/// Products of the low 24 bits.
fn mul24(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    let (low, high) = (m.take("lo"), m.take("hi"));
    let sat = &*i.opcode == "mad24" && ty == Ty::S32 && high && m.take("sat");
    m.end()?;
    let run = match (ty, low, high) {
        (Ty::S32, false, true) if sat => {
            map3(|a: i32, b: i32, c: i32| ((signed24(a, b) >> 16) as i32).saturating_add(c))
        }
        (Ty::U32, true, false) => map3(|a: u32, b: u32, c: u32| (unsigned24(a, b) as u32).wrapping_add(c)),
        (Ty::U32, false, true) => {
            map3(|a: u32, b: u32, c: u32| ((unsigned24(a, b) >> 16) as u32).wrapping_add(c))
        }
        (Ty::S32, true, false) => map3(|a: i32, b: i32, c: i32| (signed24(a, b) as i32).wrapping_add(c)),
        (Ty::S32, false, true) => {
            map3(|a: i32, b: i32, c: i32| ((signed24(a, b) >> 16) as i32).wrapping_add(c))
        }
        _ => return Err(LowerError::Unsupported),
    };
    let mut inst = binary(cx, i, ty, run)?;
    inst.c = if &*i.opcode == "mad24" { cx.src(operand(i, 3)?, ty)? } else { cx.constant(0, ty) };
    Ok(inst)
}

#[inline(always)]
fn unsigned24(a: u32, b: u32) -> u64 {
    u64::from(a & 0xFF_FFFF) * u64::from(b & 0xFF_FFFF)
}

#[inline(always)]
fn signed24(a: i32, b: i32) -> i64 {
    i64::from(a << 8 >> 8) * i64::from(b << 8 >> 8)
}
