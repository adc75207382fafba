//! Branches, calls, exits.

use gpusim_ptx::ast::{self, Operand};

use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Place, Reg, Ty, operand};
use crate::exec::{Exec, FaultKind};
use crate::memory::window;
use crate::module::ParamPlace;

pub(super) const TABLE: &[Entry] = &[
    ("bra", bra),
    ("brx", brx),
    ("call", call),
    ("ret", ret),
    ("exit", exit),
    ("trap", trap),
    ("brkpt", brkpt),
    ("nanosleep", nanosleep),
    ("pragma", nothing),
];

/// Calls deeper than this are runaway recursion, even where frames are empty.
const DEEPEST: u32 = 4096;

fn bra(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    // `.uni` promises what the groups of lanes show by themselves.
    m.take("uni");
    m.end()?;
    let target = cx.label(operand(i, 0)?)?;
    Ok(Inst { aux: target, ..Inst::new(run_bra) })
}

fn run_bra(x: &mut Exec, i: &Inst) -> Flow {
    if x.mask == x.active {
        x.next = i.aux;
        return Flow::Next;
    }
    x.add_group(x.active & !x.mask, x.next, x.depth);
    x.add_group(x.mask, i.aux, x.depth);
    Flow::Regroup
}

fn brx(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.take("uni");
    if !m.take("idx") {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    let a = cx.src(operand(i, 0)?, Ty::U32)?;
    let Operand::Name(list) = operand(i, 1)? else { return Err(LowerError::Unsupported) };
    let names = cx.targets.get(list).ok_or_else(|| LowerError::Unresolved(list.clone()))?;
    let labels: Result<Vec<u32>, _> = names
        .iter()
        .map(|name| cx.labels.get(name).copied().ok_or(LowerError::Unresolved(name.clone())))
        .collect();
    Ok(Inst { a, ..Inst::new(run_brx).with_data(labels?) })
}

fn run_brx(x: &mut Exec, i: &Inst) -> Flow {
    let labels = i.data::<Vec<u32>>();
    let index = x.read::<u32>(i.a);
    let rest = x.active & !x.mask;
    let mut left = x.mask;
    x.add_group(rest, x.next, x.depth);
    while left != 0 {
        let first = index[left.trailing_zeros() as usize];
        let same = lanes_where(left, |lane| index[lane] == first);
        let Some(target) = labels.get(first as usize) else {
            let message = format!("index {first} in a list of {} labels", labels.len());
            return x.fault(FaultKind::Trap, "branch index", message);
        };
        x.add_group(same, *target, x.depth);
        left &= !same;
    }
    Flow::Regroup
}

fn lanes_where(mask: u32, f: impl Fn(usize) -> bool) -> u32 {
    (0..32).filter(|lane| mask >> lane & 1 != 0 && f(*lane)).fold(0, |bits, lane| bits | 1 << lane)
}

/// What a call passes: where from, or to, in the caller.
struct Call {
    params: Vec<ParamPlace>,
    returns: Vec<ParamPlace>,
    /// Bytes of the caller's frame.
    frame: u32,
}

fn call(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.take("uni");
    m.end()?;
    let target = operand(i, 1)?;
    if let Operand::Name(name) = target
        && let Some(Place::Function(index)) = cx.places.get(name)
        && !cx.functions[*index as usize].defined
    {
        return super::builtin::lower(cx, i, &cx.functions[*index as usize].name.clone());
    }
    let params = places(cx, operand(i, 2)?, false)?;
    let returns = places(cx, operand(i, 0)?, true)?;
    let frame = cx.functions[cx.current].frame_bytes;
    let a = cx.src(target, Ty::B64)?;
    Ok(Inst { a, ..Inst::new(run_call).with_data(Call { params, returns, frame }) })
}

/// Variables in the frame or registers that a call names.
fn places(cx: &mut Lower, list: &Operand, written: bool) -> Result<Vec<ParamPlace>, LowerError> {
    let mut places = Vec::new();
    for operand in cx.elements(list) {
        places.push(match operand {
            Operand::Name(name) if !cx.regs.contains_key(name) => match cx.places.get(name) {
                // The callee knows the size.
                Some(Place::Local(at)) => ParamPlace::Frame(*at, 0),
                _ => return Err(LowerError::Unresolved(name.clone())),
            },
            _ => {
                let ty = cx.type_of(operand).unwrap_or(Ty::B32);
                let reg = if written { cx.dst(operand, ty)? } else { cx.src(operand, ty)? };
                ParamPlace::Register(reg, ty.slots())
            }
        });
    }
    Ok(places)
}

fn run_call(x: &mut Exec, i: &Inst) -> Flow {
    let call = i.data::<Call>();
    let targets = x.read::<u64>(i.a);
    let first = targets[x.mask.trailing_zeros() as usize];
    let lanes = lanes_where(x.mask, |lane| targets[lane] == first);
    let program = x.launch.program;
    let callee = window::function_at(first).and_then(|index| program.functions.get(index as usize));
    let Some(callee) = callee.filter(|callee| callee.defined && !callee.entry) else {
        return x.fault(FaultKind::Trap, "call", format!("{first:#x} is not the address of a function"));
    };
    if callee.params.len() != call.params.len() || callee.returns.len() != call.returns.len() {
        let message =
            format!("{} takes {} parameters, not {}", callee.name, callee.params.len(), call.params.len());
        return x.fault(FaultKind::Trap, "call", message);
    }
    // Lanes that call something else stay here, those that call nothing go on.
    x.add_group(x.mask & !lanes, x.pc, x.depth);
    x.add_group(x.active & !x.mask, x.next, x.depth);
    if x.depth >= DEEPEST {
        return x.fault(
            FaultKind::IllegalAddress,
            "stack overflow",
            format!("{DEEPEST} calls inside one another"),
        );
    }
    x.mask = lanes;
    let mut values = Vec::new();
    for place in &call.params {
        if let ParamPlace::Register(reg, slots) = *place {
            values.extend(read_slots(x, reg, slots));
        }
    }
    let depth = x.depth + 1;
    x.warp.returns.resize(x.warp.returns.len().max(depth as usize), [0; 32]);
    for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
        x.warp.returns[depth as usize - 1][lane] = x.next;
        let (from, to) = (x.warp.frame[lane], x.warp.frame[lane] + call.frame);
        if let Err(flow) = copy_frame(x, lane, from, &call.params, to, &callee.params, false) {
            return flow;
        }
        x.warp.frame[lane] = to;
    }
    x.enter(lanes, depth);
    let mut values = values.iter();
    for place in &callee.params {
        if let ParamPlace::Register(reg, slots) = *place {
            write_slots(x, reg, slots, &mut values);
        }
    }
    x.update_frame_registers(lanes);
    x.add_group(lanes, callee.start, depth);
    Flow::Regroup
}

/// The lanes of a register, 64 bits at a time unless it is narrower.
fn read_slots(x: &Exec, reg: Reg, slots: usize) -> Vec<[u64; 32]> {
    match slots {
        1 => vec![x.read::<u32>(reg).map(u64::from)],
        _ => (0..slots).step_by(2).map(|slot| x.read::<u64>(Reg(reg.0 + slot as u32))).collect(),
    }
}

/// The opposite, for the executing lanes.
fn write_slots<'a>(x: &mut Exec, reg: Reg, slots: usize, values: &mut impl Iterator<Item = &'a [u64; 32]>) {
    for (slot, value) in (0..slots).step_by(2).zip(values) {
        match slots {
            1 => x.write(reg, &value.map(|v| v as u32)),
            _ => x.write(Reg(reg.0 + slot as u32), value),
        }
    }
}

/// Copies parameters (or results, if `back`) between frames; the callee knows their sizes.
fn copy_frame(
    x: &mut Exec,
    lane: usize,
    caller: u32,
    outer: &[ParamPlace],
    callee: u32,
    inner: &[ParamPlace],
    back: bool,
) -> Result<(), Flow> {
    for (outer, inner) in outer.iter().zip(inner) {
        if let (ParamPlace::Frame(outer, _), ParamPlace::Frame(inner, bytes)) = (outer, inner) {
            let (outer, inner) =
                (x.local(lane, caller + outer, *bytes)?, x.local(lane, callee + inner, *bytes)?);
            let (from, to) = if back { (inner, outer) } else { (outer, inner) };
            // SAFETY: `local` checked both ranges; frames do not overlap.
            unsafe { std::ptr::copy(from, to, *bytes as usize) };
        }
    }
    Ok(())
}

fn ret(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.take("uni");
    m.end()?;
    let function = &cx.functions[cx.current];
    if function.entry {
        return Ok(Inst::new(run_exit));
    }
    Ok(Inst::new(run_ret).with_data(function.returns.clone()))
}

fn run_ret(x: &mut Exec, i: &Inst) -> Flow {
    let inner = i.data::<Vec<ParamPlace>>();
    let program = x.launch.program;
    let (depth, active) = (x.depth, x.active);
    let all = x.mask;
    x.add_group(active & !all, x.next, depth);
    let mut left = all;
    while left != 0 {
        let to = x.warp.returns[depth as usize - 1];
        let next = to[left.trailing_zeros() as usize];
        let lanes = lanes_where(left, |lane| to[lane] == next);
        left &= !lanes;
        let call = program.code[next as usize - 1].data::<Call>();
        x.enter(lanes, depth);
        let mut values = Vec::new();
        for place in inner {
            if let ParamPlace::Register(reg, slots) = *place {
                values.extend(read_slots(x, reg, slots));
            }
        }
        for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
            let callee = x.warp.frame[lane];
            let caller = callee - call.frame;
            if let Err(flow) = copy_frame(x, lane, caller, &call.returns, callee, inner, true) {
                return flow;
            }
            x.warp.frame[lane] = caller;
        }
        x.enter(lanes, depth - 1);
        let mut values = values.iter();
        for place in &call.returns {
            if let ParamPlace::Register(reg, slots) = *place {
                write_slots(x, reg, slots, &mut values);
            }
        }
        x.update_frame_registers(lanes);
        x.add_group(lanes, next, depth - 1);
    }
    Flow::Regroup
}

fn exit(_: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    Mods::of(i).end()?;
    Ok(Inst::new(run_exit))
}

fn run_exit(x: &mut Exec, _: &Inst) -> Flow {
    x.exit_lanes()
}

fn trap(_: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    Mods::of(i).end()?;
    Ok(Inst::new(|x, _| x.fault(FaultKind::Trap, "trap", "the program executed a trap")))
}

fn brkpt(_: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    Mods::of(i).end()?;
    Ok(Inst::new(|x, _| x.fault(FaultKind::Trap, "breakpoint", "the program executed a breakpoint")))
}

/// Time does not pass here; turns end by themselves.
fn nanosleep(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.ty()?;
    m.end()?;
    cx.src(operand(i, 0)?, Ty::U32)?;
    Ok(Inst::new(|_, _| Flow::Next))
}

fn nothing(_: &mut Lower, _: &ast::Instruction) -> Result<Inst, LowerError> {
    Ok(Inst::new(|_, _| Flow::Next))
}
