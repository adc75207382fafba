//! `setmaxnreg`, `griddepcontrol`, `createpolicy`.

use gpusim_ptx::ast;

use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Ty, operand};
use crate::exec::{Exec, FaultKind};

pub(super) const TABLE: &[Entry] =
    &[("setmaxnreg", setmaxnreg), ("griddepcontrol", griddepcontrol), ("createpolicy", createpolicy)];

/// Registers are not limited here, but the instruction's rules are: a multiple of 8 from 24 to 256, the same for all warps
/// of a warpgroup.
fn setmaxnreg(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("inc") == m.take("dec") || !m.take("sync") || !m.take("aligned") || !m.take("u32") {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    match cx.literal(operand(i, 0)?) {
        Some(count @ 24..=256) if count % 8 == 0 => {
            Ok(Inst { imm: count as i64, ..Inst::new(run_setmaxnreg) })
        }
        _ => Err(LowerError::Invalid("setmaxnreg takes a multiple of 8 from 24 to 256".to_owned())),
    }
}

fn run_setmaxnreg(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = x.converge(u32::MAX) {
        return flow;
    }
    let (rank, warp) = (x.cta.rank, x.warp.index);
    let count = i.imm as u32;
    if let Some(other) = x.cluster.flight.set_registers(rank, warp, count) {
        let message = format!("{count} registers in warp {warp}, {other} in another warp of its warpgroup");
        return x.fault(FaultKind::Check, "convergence required", message);
    }
    Flow::Next
}

/// Launches run one after the other: what a grid depends on is complete when it starts.
fn griddepcontrol(_: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("wait") == m.take("launch_dependents") {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    Ok(Inst::new(|_, _| Flow::Next))
}

/// A cache policy is opaque, and a hint only.
fn createpolicy(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let forms = ["fractional", "range", "cvt"].into_iter().filter(|form| m.take(form)).count();
    while m.find(|name| (name.starts_with("L2") || name == "global").then_some(())).is_some() {}
    if forms != 1 || !m.take("b64") {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    let d = cx.dst(operand(i, 0)?, Ty::B64)?;
    let a = cx.constant(0x14F0_0000_0000_0000, Ty::B64);
    Ok(Inst { d, a, ..Inst::new(super::map1(|policy: u64| policy)) })
}
