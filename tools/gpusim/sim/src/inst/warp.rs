//! Instructions that lanes of a warp execute together: `shfl`, `vote`, `match`, `redux`, `activemask`, `elect`.

use gpusim_ptx::ast::{self, Operand};

use super::lanes::{pack, permuting};
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Pred, Reg, Run, Ty, operand};
use crate::exec::{Exec, FaultKind, Wait};

pub(super) const TABLE: &[Entry] = &[
    ("shfl", shfl),
    ("vote", vote),
    ("match", matching),
    ("redux", redux),
    ("activemask", activemask),
    ("elect", elect),
];

/// The member mask in `reg`, once all its lanes are here; else what to return. Lanes with different masks are different
/// collectives, as tiles of a warp are: the first that is complete goes on now, the others' turn comes at [`Exec::united`].
#[inline(always)]
fn members(x: &mut Exec, reg: Reg) -> Result<u32, Flow> {
    if reg.file() as u32 == Reg::CONSTANT {
        let first = x.read_lane::<u32>(reg, 0);
        return match x.converge(first) {
            Some(flow) => Err(flow),
            None => Ok(first),
        };
    }
    let masks = x.read::<u32>(reg);
    let first = masks[x.mask.trailing_zeros() as usize];
    let differ = (0..32).fold(0, |bits, lane| bits | u32::from(masks[lane] != first) << lane);
    if differ & x.mask != 0 {
        return divide(x, &masks);
    }
    match x.converge(first) {
        Some(flow) => Err(flow),
        None => Ok(first),
    }
}

/// Picks the lanes of one mask among those of several.
#[cold]
fn divide(x: &mut Exec, masks: &[u32; 32]) -> Result<u32, Flow> {
    let all = x.mask;
    let mut left = all;
    while left != 0 {
        let members = masks[left.trailing_zeros() as usize];
        let alike = (0..32).fold(0, |bits, lane| bits | u32::from(masks[lane] == members) << lane) & left;
        left &= !alike;
        if alike & !members != 0 {
            x.mask = alike;
            return Err(x.converge(members).unwrap_or(Flow::Next));
        }
        if members & x.warp.alive & !alike == 0 {
            x.set_aside(all & !alike);
            return Ok(members);
        }
    }
    x.wait = Wait::Converge;
    Err(Flow::Wait)
}

fn sync(m: &mut Mods) -> Result<(), LowerError> {
    // Without `.sync` the instructions are gone since sm_70.
    if m.take("sync") { Ok(()) } else { Err(LowerError::Unsupported) }
}

/// Destinations `d|p`; the second may be absent.
fn pair(operand: &Operand) -> (&Operand, Option<&Operand>) {
    match operand {
        Operand::Pair(d, p) => (d, Some(p)),
        d => (d, None),
    }
}

fn shfl(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    sync(&mut m)?;
    let mode = m.find(|name| {
        Some(match name {
            "up" => Shuffle::Up,
            "down" => Shuffle::Down,
            "bfly" => Shuffle::Butterfly,
            "idx" => Shuffle::Index,
            _ => return None,
        })
    });
    let mode = mode.ok_or(LowerError::Unsupported)?;
    if m.ty()? != Ty::B32 {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    let (to, p) = pair(operand(i, 0)?);
    let d = cx.dst(to, Ty::B32)?;
    let p = match p {
        Some(p) => cx.dst_pred(p)?,
        None => cx.sink.1,
    };
    let (a, e) = (cx.src(operand(i, 1)?, Ty::B32)?, cx.src(operand(i, 4)?, Ty::B32)?);
    let (amount, bounds) = (operand(i, 2)?, operand(i, 3)?);
    if let (Some(amount), Some(bounds)) = (cx.literal(amount), cx.literal(bounds)) {
        let plan = plan(mode, &[amount as u32; 32], &[bounds as u32; 32]);
        return Ok(Inst { d, a, e, imm: p.0.into(), ..Inst::new(permuting(run_planned)).with_data(plan) });
    }
    let (b, c) = (cx.src(amount, Ty::B32)?, cx.src(bounds, Ty::B32)?);
    let run = match mode {
        Shuffle::Up => permuting(
            #[inline(always)]
            |x, i| run_shfl(x, i, Shuffle::Up),
        ),
        Shuffle::Down => permuting(
            #[inline(always)]
            |x, i| run_shfl(x, i, Shuffle::Down),
        ),
        Shuffle::Butterfly => permuting(
            #[inline(always)]
            |x, i| run_shfl(x, i, Shuffle::Butterfly),
        ),
        Shuffle::Index => permuting(
            #[inline(always)]
            |x, i| run_shfl(x, i, Shuffle::Index),
        ),
    };
    Ok(Inst { d, a, b, c, e, imm: p.0.into(), ..Inst::new(run) })
}

#[derive(Clone, Copy)]
enum Shuffle {
    Up,
    Down,
    Butterfly,
    Index,
}

/// Where each lane of a shuffle reads, and whether that is inside its segment.
struct Plan {
    from: [u32; 32],
    inside: u32,
    /// `.idx` and `.bfly` ask for a lane by name. `.up` and `.down` of part of a warp reach past its end as a matter of course.
    named: bool,
}

#[inline(always)]
fn plan(mode: Shuffle, amounts: &[u32; 32], bounds: &[u32; 32]) -> Plan {
    let named = matches!(mode, Shuffle::Butterfly | Shuffle::Index);
    let mut plan = Plan { from: [0; 32], inside: 0, named };
    let mut holds = [0u8; 32];
    for lane in 0..32usize {
        let here = lane as u32;
        let (amount, bound, segment) = (amounts[lane] & 31, bounds[lane] & 31, bounds[lane] >> 8 & 31);
        let last = here & segment | bound & !segment;
        let (from, inside) = match mode {
            Shuffle::Up => (here.wrapping_sub(amount), here as i32 - amount as i32 >= last as i32),
            Shuffle::Down => (here + amount, here + amount <= last),
            Shuffle::Butterfly => (here ^ amount, here ^ amount <= last),
            // Bits of the segment's mask belong to the lane, the others to the index.
            Shuffle::Index => {
                let from = here & segment | amount & !segment;
                (from, from <= last)
            }
        };
        plan.from[lane] = if inside { from & 31 } else { here };
        holds[lane] = if inside { u8::MAX } else { 0 };
    }
    plan.inside = pack(&holds);
    plan
}

#[inline(always)]
fn run_planned(x: &mut Exec, i: &Inst) -> Result<[u32; 32], Flow> {
    let members = members(x, i.e)?;
    finish(x, i, i.data::<Plan>(), members)
}

#[inline(always)]
fn run_shfl(x: &mut Exec, i: &Inst, mode: Shuffle) -> Result<[u32; 32], Flow> {
    let members = members(x, i.e)?;
    let plan = plan(mode, &x.read::<u32>(i.b), &x.read::<u32>(i.c));
    finish(x, i, &plan, members)
}

#[inline(always)]
fn finish(x: &mut Exec, i: &Inst, plan: &Plan, members: u32) -> Result<[u32; 32], Flow> {
    if x.mask != u32::MAX {
        let from = |lanes: u32| {
            (0..32).fold(0, |bits, lane| bits | (lanes >> (plan.from[lane] & 31) & 1) << lane) & x.mask
        };
        let promised = from(!x.mask & members);
        if promised != 0 && plan.named {
            return Err(stray_shuffle(x, promised));
        }
        x.undefined(from(!x.mask));
    }
    x.write_pred(Pred(i.imm as u32), plan.inside);
    Ok(plan.from)
}

/// The value of a lane that does not take part is not defined, which is nothing wrong as long as nobody uses it: sums over part of a
/// warp bring such values to lanes whose sums are dropped. So it is one that the seed makes up. But a lane that the mask names,
/// asked for by its name, and that has ended was expected to take part.
#[cold]
fn stray_shuffle(x: &mut Exec, stray: u32) -> Flow {
    let lane = stray.trailing_zeros();
    let message = format!(
        "lane {lane} reads from a lane that its mask names and that has ended; {:#010x} take part",
        x.mask
    );
    x.fault(FaultKind::Check, "shuffle from an inactive lane", message)
}

fn vote(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    sync(&mut m)?;
    let mode = m.find(|name| match name {
        "all" => Some(0),
        "any" => Some(1),
        "uni" => Some(2),
        "ballot" => Some(3),
        _ => None,
    });
    let aux: u32 = mode.ok_or(LowerError::Unsupported)?;
    let ty = m.ty()?;
    m.end()?;
    let to = operand(i, 0)?;
    let d = match (aux, ty) {
        (3, Ty::B32) => cx.dst(to, Ty::B32)?,
        (0..3, Ty::Pred) => cx.dst_pred(to)?.as_reg(),
        _ => return Err(LowerError::Unsupported),
    };
    let a = cx.pred(operand(i, 1)?)?.as_reg();
    Ok(Inst { d, a, b: cx.src(operand(i, 2)?, Ty::B32)?, aux, ..Inst::new(run_vote) })
}

fn run_vote(x: &mut Exec, i: &Inst) -> Flow {
    if let Err(flow) = members(x, i.b) {
        return flow;
    }
    let votes = x.pred(i.a.as_pred()) & x.mask;
    let holds = match i.aux {
        0 => votes == x.mask,
        1 => votes != 0,
        2 => votes == x.mask || votes == 0,
        _ => {
            x.write(i.d, &[votes; 32]);
            return x.united();
        }
    };
    x.write_pred(i.d.as_pred(), 0u32.wrapping_sub(holds.into()));
    x.united()
}

fn matching(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (any, all) = (m.take("any"), m.take("all"));
    sync(&mut m)?;
    let ty = m.ty()?;
    m.end()?;
    if any == all || !matches!(ty, Ty::B32 | Ty::B64) {
        return Err(LowerError::Unsupported);
    }
    let (to, p) = pair(operand(i, 0)?);
    let d = cx.dst(to, Ty::B32)?;
    let c = match p {
        Some(p) if all => cx.dst_pred(p)?,
        Some(_) => return Err(LowerError::Invalid("match.any has no predicate".to_owned())),
        None => cx.sink.1,
    };
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, Ty::B32)?);
    let aux = u32::from(all) | u32::from(ty == Ty::B64) << 1;
    Ok(Inst { d, a, b, c: c.as_reg(), aux, ..Inst::new(run_match) })
}

fn run_match(x: &mut Exec, i: &Inst) -> Flow {
    if let Err(flow) = members(x, i.b) {
        return flow;
    }
    let values = if i.aux & 2 != 0 { x.read::<u64>(i.a) } else { x.read::<u32>(i.a).map(u64::from) };
    let mask = x.mask;
    let same = |value: u64| {
        (0..32)
            .filter(|lane| mask >> lane & 1 != 0 && values[*lane] == value)
            .fold(0u32, |m, lane| m | 1 << lane)
    };
    if i.aux & 1 != 0 {
        let all = same(values[mask.trailing_zeros() as usize]) == mask;
        x.write(i.d, &[if all { mask } else { 0 }; 32]);
        x.write_pred(i.c.as_pred(), 0u32.wrapping_sub(all.into()));
    } else {
        x.write(i.d, &values.map(same));
    }
    x.united()
}

fn redux(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    sync(&mut m)?;
    let name =
        m.find(|name| matches!(name, "add" | "min" | "max" | "and" | "or" | "xor").then(|| name.to_owned()));
    let ty = m.ty()?;
    m.end()?;
    let run: Run = match (name.as_deref(), ty) {
        (Some("add"), Ty::U32 | Ty::S32) => |x, i| fold(x, i, u32::wrapping_add),
        (Some("min"), Ty::U32) => |x, i| fold(x, i, u32::min),
        (Some("max"), Ty::U32) => |x, i| fold(x, i, u32::max),
        (Some("min"), Ty::S32) => |x, i| fold(x, i, |a, b| (a as i32).min(b as i32) as u32),
        (Some("max"), Ty::S32) => |x, i| fold(x, i, |a, b| (a as i32).max(b as i32) as u32),
        (Some("and"), Ty::B32) => |x, i| fold(x, i, |a, b| a & b),
        (Some("or"), Ty::B32) => |x, i| fold(x, i, |a, b| a | b),
        (Some("xor"), Ty::B32) => |x, i| fold(x, i, |a, b| a ^ b),
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst(operand(i, 0)?, Ty::B32)?;
    let (a, b) = (cx.src(operand(i, 1)?, Ty::B32)?, cx.src(operand(i, 2)?, Ty::B32)?);
    Ok(Inst { d, a, b, ..Inst::new(run) })
}

fn fold(x: &mut Exec, i: &Inst, f: impl Fn(u32, u32) -> u32) -> Flow {
    if let Err(flow) = members(x, i.b) {
        return flow;
    }
    let a = x.read::<u32>(i.a);
    let result = (0..32).filter(|lane| x.mask >> lane & 1 != 0).map(|lane| a[lane]).reduce(f);
    x.write(i.d, &[result.unwrap_or(0); 32]);
    x.united()
}

fn activemask(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.ty()?;
    m.end()?;
    let d = cx.dst(operand(i, 0)?, Ty::B32)?;
    Ok(Inst {
        d,
        ..Inst::new(|x, i| {
            x.write(i.d, &[x.mask; 32]);
            Flow::Next
        })
    })
}

/// The lowest member is the leader: what the ISA leaves open but says of hardware.
fn elect(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    sync(&mut m)?;
    m.end()?;
    let (to, p) = pair(operand(i, 0)?);
    let d = cx.dst(to, Ty::B32)?;
    let p = p.ok_or_else(|| LowerError::Invalid("elect needs a predicate".to_owned()))?;
    let c = cx.dst_pred(p)?.as_reg();
    let run: Run = |x, i| match members(x, i.b) {
        Err(flow) => flow,
        Ok(members) => {
            let leader = (members & x.mask).trailing_zeros();
            x.write(i.d, &[leader; 32]);
            x.write_pred(i.c.as_pred(), 1 << (leader & 31));
            x.united()
        }
    };
    Ok(Inst { d, b: cx.src(operand(i, 1)?, Ty::B32)?, c, ..Inst::new(run) })
}
