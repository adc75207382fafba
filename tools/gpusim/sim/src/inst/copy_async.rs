//! `cp.async`: copies of 4, 8 or 16 bytes per thread, their groups, and arrivals at an mbarrier.

use gpusim_check::{AccessKind, Engine, Space};
use gpusim_ptx::ast;

use super::memory::cache_hints;
use super::{Address, Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand, vectorised};
use crate::exec::{Access, Change, CopyOperands, Exec, MemSpace, checked_at, lanes};

pub(super) const TABLE: &[Entry] = &[("cp", cp)];

fn cp(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("reduce") || !m.take("async") || m.take("bulk") {
        return Err(LowerError::NotMine);
    }
    if m.take("commit_group") {
        m.end()?;
        return Ok(Inst::new(run_commit));
    }
    if m.take("wait_all") {
        m.end()?;
        return Ok(Inst { imm: -1, ..Inst::new(run_wait) });
    }
    if m.take("wait_group") {
        m.end()?;
        let Some(count) = cx.literal(operand(i, 0)?).filter(|n| (0..=i128::from(u32::MAX)).contains(n))
        else {
            return Err(LowerError::Invalid("cp.async.wait_group takes a constant".to_owned()));
        };
        return Ok(Inst { imm: count as i64, ..Inst::new(run_wait) });
    }
    if m.take("mbarrier") {
        return mark(cx, i, m);
    }
    let (ca, cg) = (m.take("ca"), m.take("cg"));
    let shared = m.take("shared") || m.take("shared::cta");
    if ca == cg || !shared || !m.take("global") {
        return Err(LowerError::Unsupported);
    }
    let policy = cache_hints(&mut m);
    m.end()?;
    let bytes = match cx.literal(operand(i, 2)?) {
        Some(bytes @ (4 | 8)) if ca => bytes as u32,
        Some(16) => 16,
        _ => {
            return Err(LowerError::Invalid("cp.async copies 4, 8 or 16 bytes, with .cg only 16".to_owned()));
        }
    };
    let (to, from) = (cx.address(operand(i, 0)?)?, cx.address(operand(i, 1)?)?);
    let last = i.operands.len() - usize::from(policy);
    let mut data = Data { to, from, bytes, size: Size::All };
    if last > 3 {
        let third = operand(i, 3)?;
        let predicate = matches!(third, ast::Operand::Not(_)) || cx.type_of(third) == Some(Ty::Pred);
        data.size = match predicate {
            true => Size::Ignore(cx.pred(third)?.as_reg()),
            false => Size::Register(cx.src(third, Ty::U32)?),
        };
    }
    if last > 4 {
        return Err(LowerError::Invalid("too many operands".to_owned()));
    }
    let run = vectorised(
        #[inline(always)]
        |x, i| copy(x, i.data()).err().unwrap_or(Flow::Next),
    );
    // The policy is a hint; the registers are named so that they stay alive.
    Ok(Inst { a: to.base, b: from.base, ..Inst::new(run).with_data(data) })
}

struct Data {
    to: Address,
    from: Address,
    bytes: u32,
    size: Size,
}

/// How much of the source is read.
enum Size {
    All,
    Register(Reg),
    /// Nothing where the predicate holds.
    Ignore(Reg),
}

#[inline(always)]
fn copy(x: &mut Exec, data: &Data) -> Result<(), Flow> {
    let bytes = data.bytes;
    let to_at = x.addresses(data.to.base, data.to.wide, data.to.offset);
    let from_at = x.addresses(data.from.base, data.from.wide, data.from.offset);
    let mask = x.mask;
    let access = Access { bytes, align: bytes, reads: false, writes: true, strong: None };
    let (warp, site) = (x.warp_id(), x.site());
    let sizes = sizes(x, data)?;
    let to = x.find(MemSpace::Shared, &to_at, access)?;
    let access = Access { reads: true, writes: false, ..access };
    let from = match &sizes {
        // All lanes read all of it.
        None => {
            let found = x.find(MemSpace::Global, &from_at, access)?;
            tell_read(x, mask, &from_at, bytes)?;
            found
        }
        Some(sizes) => {
            let mut from = [0; 32];
            // Lanes that read nothing may have any source address.
            let mut left = lanes(mask).filter(|lane| sizes[*lane] > 0).fold(0, |m, lane| m | 1u32 << lane);
            while left != 0 {
                let size = sizes[left.trailing_zeros() as usize];
                let same =
                    lanes(left).filter(|lane| sizes[*lane] == size).fold(0, |m, lane| m | 1u32 << lane);
                left &= !same;
                x.mask = same;
                let found = x.find(MemSpace::Global, &from_at, Access { bytes: size.into(), ..access });
                x.mask = mask;
                let found = found?;
                lanes(same).for_each(|lane| from[lane] = found[lane]);
                tell_read(x, same, &from_at, size.into())?;
            }
            from
        }
    };
    let offsets = to_at.map(|at| at & 0xFF_FFFF);
    x.tell(|check| {
        let space = Space::Shared { rank: warp.rank };
        check.access(warp, Engine::CpAsync, space, mask, &offsets, bytes, AccessKind::Write, site)
    })?;
    if x.launch.counted {
        x.worker.counters.async_bytes.cp_async += u64::from(mask.count_ones() * bytes);
    }
    let issuer = x.issuer(mask.trailing_zeros() as usize);
    let eager = !x.launch.settings().checks;
    let sizes = sizes.unwrap_or([bytes as u8; 32]);
    let operands = CopyOperands { bytes: bytes as u8, to, from, sizes };
    x.cluster.flight.copy_async(issuer, mask, &operands, &mut x.worker.rng, eager);
    Ok(())
}

/// Tells the checks that lanes of a copy read `bytes` bytes of global memory each.
fn tell_read(x: &mut Exec, mask: u32, from: &[u64; 32], bytes: u32) -> Result<(), Flow> {
    let (warp, site) = (x.warp_id(), x.site());
    x.tell(|check| {
        check.access(warp, Engine::CpAsync, Space::Global, mask, from, bytes, AccessKind::Read, site)
    })
    .map(|_| ())
}

/// How much each lane reads; None if that is all that it copies.
fn sizes(x: &mut Exec, data: &Data) -> Result<Option<[u8; 32]>, Flow> {
    let bytes = data.bytes;
    let mut sizes = [bytes as u8; 32];
    match data.size {
        Size::All => return Ok(None),
        Size::Register(reg) => {
            let given = x.read::<u32>(reg);
            for lane in lanes(x.mask) {
                if given[lane] > bytes {
                    let message = format!("a source of {} bytes for a copy of {bytes}", given[lane]);
                    return Err(x.invalid(lane, "invalid operand", message));
                }
                sizes[lane] = given[lane] as u8;
            }
        }
        Size::Ignore(reg) => {
            let ignored = x.pred(reg.as_pred());
            lanes(ignored).for_each(|lane| sizes[lane] = 0);
        }
    }
    let whole = lanes(x.mask).all(|lane| u32::from(sizes[lane]) == bytes);
    Ok((!whole).then_some(sizes))
}

fn run_commit(x: &mut Exec, _: &Inst) -> Flow {
    let (warp, mask) = (x.warp_id(), x.mask);
    x.cluster.flight.copy_commit(warp.rank, warp.index, mask);
    if let Some(check) = x.cluster.check.as_mut() {
        check.cp_async_commit(warp, mask);
    }
    Flow::Next
}

fn run_wait(x: &mut Exec, i: &Inst) -> Flow {
    let pending = u32::try_from(i.imm).ok();
    let (warp, mask) = (x.warp_id(), x.mask);
    x.cluster.flight.copy_wait(warp.rank, warp.index, mask, pending);
    if let Some(check) = x.cluster.check.as_mut() {
        check.cp_async_wait(warp, mask, pending);
    }
    Flow::Next
}

/// `cp.async.mbarrier.arrive{.noinc}`.
fn mark(cx: &mut Lower, i: &ast::Instruction, mut m: Mods) -> Result<Inst, LowerError> {
    if !m.take("arrive") || !m.take("b64") {
        return Err(LowerError::Unsupported);
    }
    let noinc = m.take("noinc");
    let shared = m.take("shared") || m.take("shared::cta");
    m.end()?;
    let at = cx.address(operand(i, 0)?)?;
    Ok(Inst { a: at.base, aux: noinc.into(), ..Inst::new(run_mark).with_data((at, !shared)) })
}

fn run_mark(x: &mut Exec, i: &Inst) -> Flow {
    arrive_later(x, i).err().unwrap_or(Flow::Next)
}

fn arrive_later(x: &mut Exec, i: &Inst) -> Result<(), Flow> {
    let (address, generic) = *i.data::<(Address, bool)>();
    let all = x.addresses(address.base, address.wide, address.offset);
    let mut left = x.mask;
    while left != 0 {
        let first = left.trailing_zeros() as usize;
        let same = lanes(left).filter(|lane| all[*lane] == all[first]).fold(0, |m, lane| m | 1u32 << lane);
        left &= !same;
        let place = x.shared_place(first, all[first], generic, 8, 8, true)?;
        let at = place.mbarrier();
        // Without .noinc the phase expects these arrivals on top of what it was initialised with.
        let add = if i.aux == 0 { same.count_ones() } else { 0 };
        if let Err(what) = x.cluster.mbarrier_change(at, Change { add, ..Change::default() }) {
            return Err(x.misuse(first, at, what));
        }
        let (warp, site) = (x.warp_id(), x.site());
        let (sem, scope) = (gpusim_check::Sem::Relaxed, gpusim_check::Scope::Cta);
        let mark = x.tell(|check| {
            check.mbarrier_arrive(warp, same, checked_at(at), sem, scope, site)?;
            Ok(check.cp_async_mark(warp, same))
        })?;
        let issuer = x.issuer(first);
        x.cluster.flight.copy_mark(issuer, same, at, mark, &mut x.worker.rng);
    }
    Ok(())
}
