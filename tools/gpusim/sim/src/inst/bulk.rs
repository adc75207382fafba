//! `cp.async.bulk` and `cp.reduce.async.bulk`: copies of contiguous bytes, their groups and prefetches.

use gpusim_check::{AccessKind, BulkOp, Scope, Sem, Space, StrongOp};
use gpusim_ptx::ast;

use super::{Address, Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand};
use crate::exec::{
    BulkCopy, Completes, Exec, MemoryReduction, Operation, SharedAt, Side, Stretch, checked_at, lanes,
};
use crate::memory::window;

pub(super) const TABLE: &[Entry] = &[("cp", cp)];

/// Where the two sides lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    GlobalToShared,
    SharedToShared,
    SharedToGlobal,
}

struct Data {
    way: Way,
    to: Address,
    from: Address,
    size: Reg,
    mbarrier: Option<Address>,
    /// CTAs that get a multicast.
    ctas: Option<Reg>,
    reduce: Option<MemoryReduction>,
}

fn cp(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let reduce = m.take("reduce");
    if !m.take("async") || !m.take("bulk") || i.modifiers.iter().any(|m| &**m == "tensor") {
        return Err(LowerError::NotMine);
    }
    if m.take("commit_group") {
        m.end()?;
        return Ok(Inst::new(run_commit));
    }
    if m.take("wait_group") {
        let read = m.take("read");
        m.end()?;
        let Some(count) = cx.literal(operand(i, 0)?).filter(|n| (0..=i128::from(u32::MAX)).contains(n))
        else {
            return Err(LowerError::Invalid("cp.async.bulk.wait_group takes a constant".to_owned()));
        };
        return Ok(Inst { imm: count as i64, aux: read.into(), ..Inst::new(run_wait) });
    }
    let policy = m.take("L2::cache_hint");
    if m.take("prefetch") {
        if !m.take("L2") || !m.take("global") {
            return Err(LowerError::Unsupported);
        }
        m.end()?;
        return prefetch(cx, i);
    }
    let on = m.take("mbarrier::complete_tx::bytes");
    let group = m.take("bulk_group");
    let multicast = m.take("multicast::cluster");
    let reduction = match reduce {
        true => {
            let op = m.find(Operation::parse).ok_or(LowerError::Unsupported)?;
            let noftz = m.take("noftz");
            Some(reduction(op, m.ty()?, noftz)?)
        }
        false => None,
    };
    let (cta, cluster, global) = (m.take("shared::cta"), m.take("shared::cluster"), m.take("global"));
    m.end()?;
    let first = i.modifiers.iter().find(|m| m.starts_with("shared::") || &***m == "global");
    let way = match (first.map(|m| &**m), on, group) {
        (Some("global"), false, true) if cta && !cluster => Way::SharedToGlobal,
        (Some("shared::cluster"), true, false) if cta && !global => Way::SharedToShared,
        (Some("shared::cluster" | "shared::cta"), true, false) if global && !reduce => Way::GlobalToShared,
        _ => return Err(LowerError::Unsupported),
    };
    if multicast && (way != Way::GlobalToShared || !cluster) {
        return Err(LowerError::Unsupported);
    }
    let (to, from) = (cx.address(operand(i, 0)?)?, cx.address(operand(i, 1)?)?);
    let size = cx.src(operand(i, 2)?, Ty::U32)?;
    let mbarrier = if on { Some(cx.address(operand(i, 3)?)?) } else { None };
    let mut next = if on { 4 } else { 3 };
    let mut ctas = None;
    if multicast {
        ctas = Some(cx.src(operand(i, next)?, Ty::U16)?);
        next += 1;
    }
    if i.operands.len() != next + usize::from(policy) {
        return Err(LowerError::Invalid(format!("{} operands", i.operands.len())));
    }
    let data = Data { way, to, from, size, mbarrier, ctas, reduce: reduction };
    Ok(Inst { a: to.base, b: from.base, c: size, ..Inst::new(run).with_data(data) })
}

/// A reduction that bulk copies have.
fn reduction(op: Operation, ty: Ty, noftz: bool) -> Result<MemoryReduction, LowerError> {
    use Operation::*;
    let known = match op {
        And | Or | Xor => matches!(ty, Ty::B32 | Ty::B64),
        Inc | Dec => ty == Ty::U32,
        Min | Max => matches!(ty, Ty::U32 | Ty::S32 | Ty::U64 | Ty::S64 | Ty::F16 | Ty::Bf16),
        Add if matches!(ty, Ty::F16 | Ty::Bf16) => noftz,
        Add => matches!(ty, Ty::U32 | Ty::S32 | Ty::U64 | Ty::S64 | Ty::F32 | Ty::F64),
    };
    if known { Ok(MemoryReduction { op, ty }) } else { Err(LowerError::Unsupported) }
}

fn run(x: &mut Exec, i: &Inst) -> Flow {
    let data = i.data::<Data>();
    for lane in lanes(x.mask) {
        if let Err(flow) = issue(x, data, lane) {
            return flow;
        }
    }
    Flow::Next
}

/// The kind of access that the destination sees.
pub(super) fn kind(reduce: Option<MemoryReduction>) -> AccessKind {
    match reduce {
        None => AccessKind::Write,
        Some(_) => AccessKind::Strong { op: StrongOp::Red, sem: Sem::Relaxed, scope: Scope::Gpu },
    }
}

/// The ranks of the CTAs of a multicast, or the destination's own.
pub(super) fn targets(x: &mut Exec, lane: usize, ctas: Option<Reg>, own: u32) -> Result<Vec<u32>, Flow> {
    let Some(ctas) = ctas else { return Ok(vec![own]) };
    let mask = x.read_lane::<u16>(ctas, lane);
    let ranks: Vec<u32> = (0..16).filter(|rank| mask >> rank & 1 != 0).collect();
    let size = x.cluster.shared.len() as u32;
    match ranks.iter().find(|rank| **rank >= size) {
        None => Ok(ranks),
        Some(rank) => {
            let message = format!("multicast to CTA rank {rank} of a cluster of {size}");
            Err(x.invalid(lane, "invalid operand", message))
        }
    }
}

/// The shared address of the same offset in a CTA of another rank.
pub(super) fn in_cta(rank: u32, offset: u32) -> u64 {
    u64::from(rank + 1) << window::CLUSTER_RANK_SHIFT | u64::from(offset)
}

/// Tells the checks that a copy takes off.
pub(super) fn begin(x: &mut Exec, lane: usize, on: Option<SharedAt>) -> Result<Option<BulkOp>, Flow> {
    if let Some(place) = on
        && let Err(what) = x.cluster.mbarrier_usable(place.mbarrier())
    {
        return Err(x.misuse(lane, place.mbarrier(), what));
    }
    let (warp, site) = (x.warp_id(), x.site());
    x.tell(|check| check.bulk_begin(warp, lane as u32, on.map(|at| checked_at(at.mbarrier())), site))
}

/// Tells the checks of a range that a copy reads or writes.
pub(super) fn range(
    x: &mut Exec,
    op: Option<&BulkOp>,
    space: Space,
    address: u64,
    bytes: u32,
    kind: AccessKind,
    element: u32,
) -> Result<(), Flow> {
    let Some(op) = op else { return Ok(()) };
    x.tell(|check| check.bulk_access(op, space, address, bytes.into(), kind, element)).map(drop)
}

/// Lets a copy take off.
pub(super) fn take_off(x: &mut Exec, copy: BulkCopy) -> Result<(), Flow> {
    if x.launch.counted {
        let moved = &mut x.worker.counters.async_bytes;
        let towards = if copy.into.is_some() { &mut moved.bulk_load } else { &mut moved.bulk_store };
        *towards += u64::from(copy.bytes);
    }
    let eager = !x.launch.settings().checks;
    let done = x.cluster.issue_bulk(copy, &mut x.worker.rng, eager);
    x.landed(done)
}

fn issue(x: &mut Exec, data: &Data, lane: usize) -> Result<(), Flow> {
    let to = x.addresses(data.to.base, data.to.wide, data.to.offset)[lane];
    let from = x.addresses(data.from.base, data.from.wide, data.from.offset)[lane];
    let bytes = x.read_lane::<u32>(data.size, lane);
    if !bytes.is_multiple_of(16) {
        let message = format!("a bulk copy of {bytes} bytes, which is not a multiple of 16");
        return Err(x.fail(
            crate::exec::Fault::new(crate::exec::FaultKind::Misaligned, "misaligned address", message)
                .at(1 << lane),
        ));
    }
    let element = data.reduce.map_or(16, |reduce| reduce.ty.bytes());
    let stretch = |host: *mut u8| Side::Runs(vec![Stretch { host, at: 0, bytes }]);
    let buffer = || vec![0; bytes as usize];
    if data.way == Way::SharedToGlobal {
        let source = x.shared_place(lane, from, false, bytes, 16, false)?;
        let host = x.global_place(lane, to, bytes, 16, true)?;
        let op = begin(x, lane, None)?;
        range(x, op.as_ref(), source.space(), source.offset.into(), bytes, AccessKind::Read, 16)?;
        range(x, op.as_ref(), Space::Global, to, bytes, kind(data.reduce), element)?;
        let warp = x.warp_id();
        let group = x.cluster.flight.bulk_group(warp.rank, warp.index, lane as u32);
        let copy = BulkCopy {
            issuer: x.issuer(lane),
            from: stretch(source.host),
            to: stretch(host),
            into: None,
            bytes,
            data: buffer(),
            read: false,
            reduce: data.reduce,
            completes: Completes::Group(group),
            check: op,
        };
        return take_off(x, copy);
    }
    let Some(mbarrier) = data.mbarrier else { return Ok(()) };
    let on = x.addresses(mbarrier.base, mbarrier.wide, mbarrier.offset)[lane];
    let on = x.shared_place(lane, on, false, 8, 8, true)?;
    let target = x.shared_place(lane, to, false, bytes, 16, true)?;
    if on.rank != target.rank && data.ctas.is_none() {
        let message = format!("data for CTA rank {}, its mbarrier in CTA rank {}", target.rank, on.rank);
        return Err(x.invalid(lane, "invalid operand", message));
    }
    let (space, address, host) = match data.way {
        Way::GlobalToShared => (Space::Global, from, x.global_place(lane, from, bytes, 16, false)?),
        _ => {
            let source = x.shared_place(lane, from, false, bytes, 16, false)?;
            (source.space(), u64::from(source.offset), source.host)
        }
    };
    for rank in targets(x, lane, data.ctas, target.rank)? {
        let on = x.shared_place(lane, in_cta(rank, on.offset), false, 8, 8, true)?;
        let target = x.shared_place(lane, in_cta(rank, target.offset), false, bytes, 16, true)?;
        let op = begin(x, lane, Some(on))?;
        range(x, op.as_ref(), space, address, bytes, AccessKind::Read, 16)?;
        range(x, op.as_ref(), target.space(), target.offset.into(), bytes, kind(data.reduce), element)?;
        let copy = BulkCopy {
            issuer: x.issuer(lane),
            from: stretch(host),
            to: stretch(target.host),
            into: Some(rank),
            bytes,
            data: buffer(),
            read: false,
            reduce: data.reduce,
            completes: Completes::On(on.mbarrier()),
            check: op,
        };
        take_off(x, copy)?;
    }
    Ok(())
}

fn run_commit(x: &mut Exec, _: &Inst) -> Flow {
    let (warp, mask) = (x.warp_id(), x.mask);
    x.cluster.flight.bulk_commit(warp.rank, warp.index, mask);
    if let Some(check) = x.cluster.check.as_mut() {
        check.bulk_commit(warp, mask);
    }
    Flow::Next
}

fn run_wait(x: &mut Exec, i: &Inst) -> Flow {
    let (warp, mask) = (x.warp_id(), x.mask);
    let (pending, read) = (i.imm as u32, i.aux != 0);
    let done = x.cluster.bulk_wait(warp.rank, warp.index, mask, pending, read);
    if let Err(flow) = x.landed(done) {
        return flow;
    }
    if let Some(check) = x.cluster.check.as_mut() {
        check.bulk_wait(warp, mask, pending, read);
    }
    Flow::Next
}

/// A prefetch changes nothing, but its operands must be legal.
fn prefetch(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let from = cx.address(operand(i, 0)?)?;
    let size = cx.src(operand(i, 1)?, Ty::U32)?;
    Ok(Inst { a: from.base, c: size, ..Inst::new(run_prefetch).with_data((from, size)) })
}

fn run_prefetch(x: &mut Exec, i: &Inst) -> Flow {
    let (from, size) = *i.data::<(Address, Reg)>();
    let at = x.addresses(from.base, from.wide, from.offset);
    for lane in lanes(x.mask) {
        let bytes = x.read_lane::<u32>(size, lane);
        if let Err(flow) = x.global_place(lane, at[lane] | u64::from(bytes % 16), bytes, 16, false) {
            return flow;
        }
    }
    Flow::Next
}
