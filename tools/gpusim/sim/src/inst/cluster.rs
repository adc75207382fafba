//! `barrier.cluster`, `st.async` and `red.async`.

use gpusim_check::{AccessKind, Scope, Sem, StrongOp};
use gpusim_ptx::ast;

use super::bulk::{begin, take_off};
use super::{Address, Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand};
use crate::exec::{
    BulkCopy, Completes, Exec, FaultKind, MemoryReduction, Operation, Side, Stretch, Wait, lanes,
};

pub(super) const TABLE: &[Entry] = &[("barrier", barrier), ("st", store), ("red", store)];

struct Barrier {
    aligned: bool,
    /// Release of an arrival.
    release: bool,
}

fn barrier(_: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if !m.take("cluster") {
        return Err(LowerError::NotMine);
    }
    let aligned = m.take("aligned");
    let (arrive, wait) = (m.take("arrive"), m.take("wait"));
    let relaxed = arrive && m.take("relaxed");
    m.take(if arrive { "release" } else { "acquire" });
    m.end()?;
    let run = match (arrive, wait) {
        (true, false) => run_arrive,
        (false, true) => run_wait,
        _ => return Err(LowerError::Unsupported),
    };
    Ok(Inst::new(run).with_data(Barrier { aligned, release: !relaxed }))
}

fn run_arrive(x: &mut Exec, i: &Inst) -> Flow {
    let barrier = i.data::<Barrier>();
    if barrier.aligned
        && let Some(flow) = x.converge(u32::MAX)
    {
        return flow;
    }
    let (warp, mask) = (x.warp_id(), x.mask);
    let twice = x.cluster.flight.arrived(warp.rank, warp.index).1 & mask;
    if twice != 0 {
        x.mask = twice;
        let message = "barrier.cluster.arrive a second time without barrier.cluster.wait in between";
        return x.fault(FaultKind::Check, "barrier divergence", message);
    }
    if let Some(check) = x.cluster.check.as_mut() {
        check.cluster_arrive(warp, mask, barrier.release);
    }
    let generation = x.cluster.arrive(mask.count_ones());
    let arrived = x.cluster.flight.arrived(warp.rank, warp.index);
    lanes(mask).for_each(|lane| arrived.0[lane] = generation);
    arrived.1 |= mask;
    Flow::Next
}

fn run_wait(x: &mut Exec, i: &Inst) -> Flow {
    let barrier = i.data::<Barrier>();
    if barrier.aligned
        && let Some(flow) = x.converge(u32::MAX)
    {
        return flow;
    }
    let (warp, mask) = (x.warp_id(), x.mask);
    let (generations, arrived) = *x.cluster.flight.arrived(warp.rank, warp.index);
    if mask & !arrived != 0 {
        x.mask = mask & !arrived;
        let message = "barrier.cluster.wait without barrier.cluster.arrive before it";
        return x.fault(FaultKind::Check, "barrier divergence", message);
    }
    let generation = x.cluster.barrier.generation;
    if lanes(mask).any(|lane| generations[lane] == generation) {
        x.wait = Wait::ClusterBarrier { generation };
        return Flow::Wait;
    }
    x.cluster.flight.arrived(warp.rank, warp.index).1 &= !mask;
    if let Some(check) = x.cluster.check.as_mut() {
        check.cluster_wait(warp, mask);
    }
    Flow::Next
}

struct Store {
    to: Address,
    mbarrier: Address,
    ty: Ty,
    values: Vec<Reg>,
    reduce: Option<MemoryReduction>,
}

/// `st.async` and `red.async`: a store or reduction of registers that completes on an mbarrier.
fn store(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if !m.take("async") {
        return Err(LowerError::NotMine);
    }
    let red = &*i.opcode == "red";
    m.take("weak");
    if red {
        m.take("relaxed");
        m.take("cluster");
    }
    if !m.take("shared::cluster") || !m.take("mbarrier::complete_tx::bytes") {
        return Err(LowerError::Unsupported);
    }
    let op = if red { Some(m.find(Operation::parse).ok_or(LowerError::Unsupported)?) } else { None };
    let count = m.find(|name| match name {
        "v2" => Some(2),
        "v4" => Some(4),
        _ => None,
    });
    let ty = m.ty()?;
    m.end()?;
    let known = match op {
        None => matches!(ty, Ty::B32 | Ty::U32 | Ty::S32 | Ty::F32 | Ty::B64 | Ty::U64 | Ty::S64 | Ty::F64),
        Some(Operation::Inc | Operation::Dec) => ty == Ty::U32,
        Some(Operation::Min | Operation::Max) => matches!(ty, Ty::U32 | Ty::S32),
        Some(Operation::Add) => matches!(ty, Ty::U32 | Ty::S32 | Ty::U64),
        Some(_) => ty == Ty::B32,
    };
    if !known || (count.is_some() && red) || count == Some(4) && ty.bits() == 64 {
        return Err(LowerError::Unsupported);
    }
    let (to, mbarrier) = (cx.address(operand(i, 0)?)?, cx.address(operand(i, 2)?)?);
    let list = cx.elements(operand(i, 1)?);
    if list.len() != count.unwrap_or(1) {
        return Err(LowerError::Invalid(format!("{} elements", list.len())));
    }
    let values: Result<Vec<Reg>, _> = list.iter().map(|value| cx.src(value, ty)).collect();
    let reduce = op.map(|op| MemoryReduction { op, ty });
    let data = Store { to, mbarrier, ty, values: values?, reduce };
    Ok(Inst { a: to.base, b: mbarrier.base, ..Inst::new(run_store).with_data(data) })
}

fn run_store(x: &mut Exec, i: &Inst) -> Flow {
    let data = i.data::<Store>();
    for lane in lanes(x.mask) {
        if let Err(flow) = issue(x, data, lane) {
            return flow;
        }
    }
    Flow::Next
}

fn issue(x: &mut Exec, data: &Store, lane: usize) -> Result<(), Flow> {
    let to = x.addresses(data.to.base, data.to.wide, data.to.offset)[lane];
    let on = x.addresses(data.mbarrier.base, data.mbarrier.wide, data.mbarrier.offset)[lane];
    let bytes = data.ty.bytes() * data.values.len() as u32;
    let target = x.shared_place(lane, to, false, bytes, bytes, true)?;
    let on = x.shared_place(lane, on, false, 8, 8, true)?;
    if on.rank != target.rank {
        let message = format!("data for CTA rank {}, its mbarrier in CTA rank {}", target.rank, on.rank);
        return Err(x.invalid(lane, "invalid operand", message));
    }
    let mut value = Vec::with_capacity(bytes as usize);
    for reg in &data.values {
        if data.ty.bits() == 64 {
            value.extend(x.read_lane::<u64>(*reg, lane).to_le_bytes());
        } else {
            value.extend(x.read_lane::<u32>(*reg, lane).to_le_bytes());
        }
    }
    let op = begin(x, lane, Some(on))?;
    let kind = match data.reduce {
        None => AccessKind::Write,
        Some(_) => AccessKind::Strong { op: StrongOp::Red, sem: Sem::Relaxed, scope: Scope::Cluster },
    };
    if let Some(op) = op.as_ref() {
        // Not of the async proxy: PTX names bulk copies and wgmma as its operations.
        let (space, at) = (target.space(), target.offset.into());
        x.tell(|check| check.async_store(op, space, at, bytes.into(), kind, data.ty.bytes()))?;
    }
    let copy = BulkCopy {
        issuer: x.issuer(lane),
        from: Side::Value,
        to: Side::Runs(vec![Stretch { host: target.host, at: 0, bytes }]),
        into: Some(target.rank),
        bytes,
        data: value,
        read: true,
        reduce: data.reduce,
        completes: Completes::On(on.mbarrier()),
        check: op,
    };
    take_off(x, copy)
}
