//! Sums of an f32 and narrower values, rounded once: `add.f32.f16`, `sub`, `fma`, and the same with bf16.

use gpusim_num::Rounding;
use gpusim_num::f32::{self as num, Modifiers};
use gpusim_num::half::Half;
use gpusim_ptx::ast;

use super::float::{required, rounding};
use super::lanewise::lanewise;
use super::{Entry, Inst, Lower, LowerError, Mods, Ty, operand};

pub(super) const TABLE: &[Entry] = &[("add", mixed), ("sub", mixed), ("fma", mixed)];

fn mixed(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let types: Vec<Ty> = m.rest().iter().filter_map(|name| Ty::parse(name)).collect();
    let half = match types[..] {
        [Ty::F32, Ty::F16] => Half::F16,
        [Ty::F32, Ty::Bf16] => Half::Bf16,
        _ => return Err(LowerError::NotMine),
    };
    let (wide, narrow) = (m.ty()?, m.ty()?);
    let mode = rounding(&mut m);
    let sat = m.take("sat");
    m.end()?;
    let fused = &*i.opcode == "fma";
    let mode = if fused { required(mode, i)? } else { mode.unwrap_or(Rounding::Rn) };
    let how = Modifiers { mode, ftz: false, sat };
    let at = |n, ty| Ok::<_, LowerError>((operand(i, n)?, ty));
    let d = at(0, wide)?;
    if fused {
        return lanewise(cx, d, &[at(1, narrow)?, at(2, narrow)?, at(3, wide)?], move |s| {
            num::mixed_fma(half.widen(s[0] as u16), half.widen(s[1] as u16), s[2] as u32, how).into()
        });
    }
    let f = if &*i.opcode == "add" { num::mixed_add } else { num::mixed_sub };
    lanewise(cx, d, &[at(1, narrow)?, at(2, wide)?], move |s| {
        f(half.widen(s[0] as u16), s[1] as u32, how).into()
    })
}
