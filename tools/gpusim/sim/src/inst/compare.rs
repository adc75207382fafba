//! `setp` and `set` of integers, `selp`, `slct`.

use gpusim_ptx::ast::{self, Operand};

use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Run, Ty, operand, test2, vectorised};

pub(super) const TABLE: &[Entry] = &[("setp", setp), ("set", set), ("selp", selp), ("slct", slct)];

/// The operation that combines a comparison with a predicate, as `Exec::write_test` numbers it; 0 if there is none.
pub(super) fn combination(m: &mut Mods) -> u32 {
    m.find(|name| match name {
        "and" => Some(1),
        "or" => Some(2),
        "xor" => Some(3),
        _ => None,
    })
    .unwrap_or(0)
}

macro_rules! tests {
    ($name:expr; $t:ty) => {
        match $name {
            "eq" => test2(|a: $t, b: $t| a == b),
            "ne" => test2(|a: $t, b: $t| a != b),
            "lt" | "lo" => test2(|a: $t, b: $t| a < b),
            "le" | "ls" => test2(|a: $t, b: $t| a <= b),
            "gt" | "hi" => test2(|a: $t, b: $t| a > b),
            "ge" | "hs" => test2(|a: $t, b: $t| a >= b),
            _ => return Err(LowerError::Unsupported),
        }
    };
}

fn comparison(name: &str, ty: Ty) -> Result<Run, LowerError> {
    // `lo`, `ls`, `hi`, `hs` compare as unsigned numbers whatever the type says.
    let unsigned = matches!(name, "lo" | "ls" | "hi" | "hs") || !ty.is_signed();
    Ok(match (ty.bits(), unsigned) {
        (16, true) => tests!(name; u16),
        (16, false) => tests!(name; i16),
        (32, true) => tests!(name; u32),
        (32, false) => tests!(name; i32),
        (64, true) => tests!(name; u64),
        (64, false) => tests!(name; i64),
        _ => return Err(LowerError::Unsupported),
    })
}

fn operation<'i>(i: &'i ast::Instruction, m: &mut Mods) -> Result<&'i str, LowerError> {
    let name = i.modifiers.first().ok_or(LowerError::Unsupported)?;
    m.take(name);
    Ok(name)
}

fn setp(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let name = operation(i, &mut m)?;
    let combination = combination(&mut m);
    let ty = m.ty().map_err(|_| LowerError::NotMine)?;
    if ty.is_float() {
        return Err(LowerError::NotMine);
    }
    m.end()?;
    let (d, e) = match operand(i, 0)? {
        Operand::Pair(p, q) => (cx.dst_pred(p)?.as_reg(), cx.dst_pred(q)?.as_reg()),
        p => (cx.dst_pred(p)?.as_reg(), Reg::NONE),
    };
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    let c = if combination != 0 { cx.pred(operand(i, 3)?)?.as_reg() } else { Reg::NONE };
    Ok(Inst { d, a, b, c, e, aux: combination, ..Inst::new(comparison(name, ty)?) })
}

/// A comparison into a predicate for discarded results, then all ones, or 1.0, or zero.
struct Set {
    test: Inst,
    one: u32,
}

fn set(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let name = operation(i, &mut m)?;
    let combination = combination(&mut m);
    let (to, ty) = (m.ty()?, m.ty().map_err(|_| LowerError::NotMine)?);
    if ty.is_float() {
        return Err(LowerError::NotMine);
    }
    m.end()?;
    let one = match to {
        Ty::U32 | Ty::S32 => u32::MAX,
        Ty::F32 => 1f32.to_bits(),
        _ => return Err(LowerError::NotMine),
    };
    let d = cx.dst(operand(i, 0)?, to)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    let c = if combination != 0 { cx.pred(operand(i, 3)?)?.as_reg() } else { Reg::NONE };
    let p = cx.sink.1.as_reg();
    let test = Inst { d: p, a, b, c, aux: combination, ..Inst::new(comparison(name, ty)?) };
    Ok(Inst { d, a: p, ..Inst::new(run_set).with_data(Set { test, one }) })
}

fn run_set(x: &mut crate::exec::Exec, i: &Inst) -> Flow {
    let set = i.data::<Set>();
    // SAFETY: lowering made the comparison for this CPU.
    let flow = unsafe { (set.test.run)(x, &set.test) };
    let bits = x.pred(i.a.as_pred());
    let values: [u32; 32] = std::array::from_fn(|lane| if bits >> lane & 1 != 0 { set.one } else { 0 });
    x.write(i.d, &values);
    flow
}

fn selp(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let run = match ty.bits() {
        16 | 32 => vectorised(
            #[inline(always)]
            |x, i| {
                let (a, b, p) = (x.read::<u32>(i.a), x.read::<u32>(i.b), x.pred(i.c.as_pred()));
                let mut d = [0; 32];
                for lane in 0..32 {
                    d[lane] = if p >> lane & 1 != 0 { a[lane] } else { b[lane] };
                }
                x.write(i.d, &d);
                Flow::Next
            },
        ),
        64 => vectorised(
            #[inline(always)]
            |x, i| {
                let (a, b, p) = (x.read::<u64>(i.a), x.read::<u64>(i.b), x.pred(i.c.as_pred()));
                let mut d = [0; 32];
                for lane in 0..32 {
                    d[lane] = if p >> lane & 1 != 0 { a[lane] } else { b[lane] };
                }
                x.write(i.d, &d);
                Flow::Next
            },
        ),
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst(operand(i, 0)?, ty)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    Ok(Inst { d, a, b, c: cx.pred(operand(i, 3)?)?.as_reg(), ..Inst::new(run) })
}

/// `d = c >= 0 ? a : b`; a float `c` counts -0 as not negative and NaN as negative.
fn slct(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ftz = m.take("ftz");
    let (ty, by) = (m.ty()?, m.ty()?);
    m.end()?;
    let run = match (ty.bits(), by, ftz) {
        (16 | 32, Ty::S32, false) => super::map3(|a: u32, b: u32, c: i32| if c >= 0 { a } else { b }),
        (64, Ty::S32, false) => super::map3(|a: u64, b: u64, c: i32| if c >= 0 { a } else { b }),
        (16 | 32, Ty::F32, false) => super::map3(|a: u32, b: u32, c: f32| if c >= 0.0 { a } else { b }),
        (64, Ty::F32, false) => super::map3(|a: u64, b: u64, c: f32| if c >= 0.0 { a } else { b }),
        // A subnormal is a zero.
        (16 | 32, Ty::F32, true) => {
            super::map3(|a: u32, b: u32, c: f32| if c > -f32::MIN_POSITIVE { a } else { b })
        }
        (64, Ty::F32, true) => {
            super::map3(|a: u64, b: u64, c: f32| if c > -f32::MIN_POSITIVE { a } else { b })
        }
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst(operand(i, 0)?, ty)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    Ok(Inst { d, a, b, c: cx.src(operand(i, 3)?, by)?, ..Inst::new(run) })
}
