//! `bar`, `barrier`, `bar.warp.sync`. `barrier.cluster` is another family's.

use gpusim_ptx::ast::{self, Operand};

use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Pred, Reg, Ty, operand};
use crate::exec::{Arrival, Exec, FaultKind, Reduction};

pub(super) const TABLE: &[Entry] = &[("bar", bar), ("barrier", bar)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sync,
    Arrive,
    Red(Reduction),
}

#[derive(Clone, Copy)]
struct Bar {
    kind: Kind,
    aligned: bool,
}

fn bar(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("cluster") {
        return Err(LowerError::NotMine);
    }
    if m.take("warp") {
        if !m.take("sync") {
            return Err(LowerError::Unsupported);
        }
        m.end()?;
        return Ok(Inst { a: cx.src(operand(i, 0)?, Ty::B32)?, ..Inst::new(run_warp) });
    }
    m.take("cta");
    // `bar` is `barrier.aligned`.
    let aligned = m.take("aligned") || &*i.opcode == "bar";
    let (sync, arrive, red) = (m.take("sync"), m.take("arrive"), m.take("red"));
    let mut operands = i.operands.iter();
    let mut d = Reg::NONE;
    let mut predicate = Pred::TRUE;
    let kind = if red {
        let reduction = m.find(|name| match name {
            "popc" => Some(Reduction::Popc),
            "and" => Some(Reduction::And),
            "or" => Some(Reduction::Or),
            _ => None,
        });
        let reduction = reduction.ok_or(LowerError::Unsupported)?;
        let to = operands.next().ok_or(LowerError::Unsupported)?;
        let from = i.operands.last().ok_or(LowerError::Unsupported)?;
        d = match (m.ty()?, reduction) {
            (Ty::U32, Reduction::Popc) => cx.dst(to, Ty::U32)?,
            (Ty::Pred, Reduction::And | Reduction::Or) => cx.dst_pred(to)?.as_reg(),
            _ => return Err(LowerError::Unsupported),
        };
        predicate = cx.pred(from)?;
        Kind::Red(reduction)
    } else if arrive {
        Kind::Arrive
    } else if sync {
        Kind::Sync
    } else {
        return Err(LowerError::Unsupported);
    };
    m.end()?;
    let sources: Vec<&Operand> = operands.collect();
    let sources = if red { &sources[..sources.len().saturating_sub(1)] } else { &sources[..] };
    let a = cx.src(sources.first().ok_or(LowerError::Unsupported)?, Ty::U32)?;
    let b = match sources.get(1) {
        Some(count) => cx.src(count, Ty::U32)?,
        None if arrive => return Err(LowerError::Invalid("arrive needs a number of threads".to_owned())),
        None => Reg::NONE,
    };
    Ok(Inst { d, a, b, c: predicate.as_reg(), ..Inst::new(run_bar).with_data(Bar { kind, aligned }) })
}

fn run_bar(x: &mut Exec, i: &Inst) -> Flow {
    let Bar { kind, aligned } = *i.data::<Bar>();
    let first = x.mask.trailing_zeros() as usize;
    let id = x.read_lane::<u32>(i.a, first);
    if x.woken {
        if let Kind::Red(reduction) = kind {
            let result = x.barrier_result(id, reduction);
            match reduction {
                Reduction::Popc => x.write(i.d, &[result; 32]),
                _ => x.write_pred(i.d.as_pred(), 0u32.wrapping_sub(result)),
            }
        }
        return Flow::Next;
    }
    let ids = x.read::<u32>(i.a);
    let counts = if i.b == Reg::NONE { None } else { Some(x.read::<u32>(i.b)) };
    let count = counts.map(|counts| counts[first]);
    let same = |lane: usize| ids[lane] == id && counts.is_none_or(|counts| Some(counts[lane]) == count);
    if !(0..32).all(|lane| x.mask >> lane & 1 == 0 || same(lane)) {
        return x.fault(FaultKind::Check, "barrier divergence", "lanes of a warp name different barriers");
    }
    let predicate = x.pred(i.c.as_pred());
    if let Err(flow) = x.barrier_arrive(Arrival { id, count, aligned, predicate }) {
        return flow;
    }
    if kind == Kind::Arrive {
        x.open_barriers();
        return Flow::Next;
    }
    x.barrier_wait(id)
}

fn run_warp(x: &mut Exec, i: &Inst) -> Flow {
    let first = x.mask.trailing_zeros() as usize;
    let members = x.read::<u32>(i.a);
    let alike =
        (0..32).fold(0, |alike, lane| alike | u32::from(members[lane] == members[first]) << lane) & x.mask;
    // Lanes with another mask synchronise among themselves: they come here again on their own.
    let others = x.mask & !alike;
    x.add_group(others, x.pc, x.depth);
    x.active &= !others;
    x.mask = alike;
    x.warp_sync(members[first])
}
