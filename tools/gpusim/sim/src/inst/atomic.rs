//! `atom` and `red`.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use gpusim_check::{Scope, StrongOp};
use gpusim_num::format::Format;
use gpusim_num::half::{Half, Modifiers};
use gpusim_num::minmax;
use gpusim_ptx::ast;

use super::memory::{cache_hints, space};
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand};
use crate::exec::{Access, Exec, MemSpace, Strong, Told};
use crate::memory::window;

pub(super) const TABLE: &[Entry] = &[("atom", atom), ("red", atom)];

/// The new value from the old one, the operand, and the second operand of `cas`; the flag tells that subnormals of
/// f32 are flushed.
type Update = fn(u64, u64, u64, bool) -> u64;

struct Atomic {
    space: MemSpace,
    access: Access,
    update: Update,
    /// `cas`.
    compares: bool,
    /// `exch`, which may be a look at a lock.
    swaps: bool,
    /// Bytes of an element.
    size: u32,
    wide: bool,
    /// Destinations, empty for `red`; one per element.
    d: Vec<Reg>,
    b: Vec<Reg>,
}

fn atom(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("async") {
        return Err(LowerError::NotMine);
    }
    let returns = &*i.opcode == "atom";
    let space = space(&mut m);
    let (relaxed, acquire, release) = (m.take("relaxed"), m.take("acquire"), m.take("release"));
    let both = m.take("acq_rel");
    // No semantics means relaxed.
    let _ = relaxed;
    let scope = m.scope().unwrap_or(Scope::Gpu);
    cache_hints(&mut m);
    let vector = m.vector();
    let op = m.find(|name| {
        let known = ["and", "or", "xor", "cas", "exch", "add", "inc", "dec", "min", "max"];
        known.into_iter().find(|op| *op == name)
    });
    let noftz = m.take("noftz");
    let ty = m.ty()?;
    m.end()?;
    let op = op.ok_or(LowerError::Unsupported)?;
    if ty == Ty::B128 {
        return match (op, vector) {
            ("cas" | "exch", None) => {
                atom128(cx, i, space, acquire || both, release || both, scope, op == "cas")
            }
            _ => Err(LowerError::Unsupported),
        };
    }
    if matches!(op, "min" | "max") && noftz && vector.is_none() {
        return Err(LowerError::Unsupported);
    }
    let update = update(op, ty, noftz)?;
    let first = usize::from(returns);
    let count = vector.unwrap_or(1);
    let elements = |cx: &mut Lower, n: usize, written: bool| -> Result<Vec<Reg>, LowerError> {
        let list = cx.elements(operand(i, n)?);
        if list.len() != count {
            return Err(LowerError::Invalid(format!("{} elements, {count} expected", list.len())));
        }
        list.iter().map(|e| if written { cx.dst(e, ty) } else { cx.src(e, ty) }).collect()
    };
    let d = if returns { elements(cx, 0, true)? } else { Vec::new() };
    let b = elements(cx, first + 1, false)?;
    let c = if op == "cas" { cx.src(operand(i, first + 2)?, ty)? } else { Reg::NONE };
    let address = cx.address(operand(i, first)?)?;
    let strong = Strong {
        atomic: true,
        acquire: acquire || both,
        release: release || both,
        scope,
        element: ty.bytes(),
    };
    let bytes = ty.bytes() * count as u32;
    let access = Access { bytes, align: bytes, reads: true, writes: true, strong: Some(strong) };
    let atomic = Atomic {
        space,
        access,
        update,
        compares: op == "cas",
        swaps: op == "exch",
        size: ty.bytes(),
        wide: address.wide,
        d,
        b,
    };
    Ok(Inst { a: address.base, imm: address.offset, c, ..Inst::new(run).with_data(atomic) })
}

fn update(op: &str, ty: Ty, noftz: bool) -> Result<Update, LowerError> {
    fn f32_sum(old: u64, b: u64, _: u64, flush: bool) -> u64 {
        let m = if flush { gpusim_num::f32::Modifiers::RN_FTZ } else { gpusim_num::f32::Modifiers::RN };
        gpusim_num::f32::add(old as u32, b as u32, m).into()
    }
    Ok(match (op, ty) {
        ("and", Ty::B32 | Ty::B64) => |old, b, _, _| old & b,
        ("or", Ty::B32 | Ty::B64) => |old, b, _, _| old | b,
        ("xor", Ty::B32 | Ty::B64) => |old, b, _, _| old ^ b,
        ("exch", Ty::B32 | Ty::B64) => |_, b, _, _| b,
        ("cas", Ty::B16 | Ty::B32 | Ty::B64) => |old, b, c, _| if old == b { c } else { old },
        ("add", Ty::U32 | Ty::S32 | Ty::U64 | Ty::S64) => |old, b, _, _| old.wrapping_add(b),
        ("inc", Ty::U32) => |old, b, _, _| if old >= b { 0 } else { old + 1 },
        ("dec", Ty::U32) => |old, b, _, _| if old == 0 || old > b { b } else { old - 1 },
        ("min", Ty::U32 | Ty::U64) => |old, b, _, _| old.min(b),
        ("max", Ty::U32 | Ty::U64) => |old, b, _, _| old.max(b),
        ("min", Ty::S32) => |old, b, _, _| (old as i32).min(b as i32) as u32 as u64,
        ("max", Ty::S32) => |old, b, _, _| (old as i32).max(b as i32) as u32 as u64,
        ("min", Ty::S64) => |old, b, _, _| (old as i64).min(b as i64) as u64,
        ("max", Ty::S64) => |old, b, _, _| (old as i64).max(b as i64) as u64,
        ("add", Ty::F32) => f32_sum,
        ("add", Ty::F64) => |old, b, _, _| gpusim_num::f64::add(old, b, gpusim_num::Rounding::Rn),
        ("add" | "min" | "max", Ty::F16 | Ty::F16x2 | Ty::Bf16 | Ty::Bf16x2) if noftz => match (op, ty) {
            ("add", Ty::F16) => |old, b, _, _| Half::F16.add(old as u16, b as u16, PLAIN).into(),
            ("add", Ty::Bf16) => |old, b, _, _| Half::Bf16.add(old as u16, b as u16, PLAIN).into(),
            ("add", Ty::F16x2) => |old, b, _, _| pairs(old, b, |a, b| Half::F16.add(a, b, PLAIN)),
            ("add", Ty::Bf16x2) => |old, b, _, _| pairs(old, b, |a, b| Half::Bf16.add(a, b, PLAIN)),
            ("min", Ty::F16 | Ty::F16x2) => |old, b, _, _| pairs(old, b, |a, b| least(a, b, &Format::F16)),
            ("max", Ty::F16 | Ty::F16x2) => |old, b, _, _| pairs(old, b, |a, b| most(a, b, &Format::F16)),
            ("min", _) => |old, b, _, _| pairs(old, b, |a, b| least(a, b, &Format::BF16)),
            _ => |old, b, _, _| pairs(old, b, |a, b| most(a, b, &Format::BF16)),
        },
        _ => return Err(LowerError::Unsupported),
    })
}

fn least(a: u16, b: u16, format: &Format) -> u16 {
    minmax::min(a.into(), b.into(), format, minmax::Modifiers::default()) as u16
}

fn most(a: u16, b: u16, format: &Format) -> u16 {
    minmax::max(a.into(), b.into(), format, minmax::Modifiers::default()) as u16
}

const PLAIN: Modifiers = Modifiers { ftz: false, sat: false, relu: false };

fn pairs(a: u64, b: u64, f: impl Fn(u16, u16) -> u16) -> u64 {
    u64::from(f(a as u16, b as u16)) | u64::from(f((a >> 16) as u16, (b >> 16) as u16)) << 16
}

/// The low bytes of a register's lanes.
fn values(x: &Exec, reg: Reg, size: u32) -> [u64; 32] {
    match size {
        _ if reg == Reg::NONE => [0; 32],
        8 => x.read::<u64>(reg),
        4 => x.read::<u32>(reg).map(u64::from),
        _ => x.read::<u16>(reg).map(u64::from),
    }
}

fn run(x: &mut Exec, i: &Inst) -> Flow {
    let atomic = i.data::<Atomic>();
    let at = x.addresses(i.a, atomic.wide, i.imm);
    let hosts = match x.find(atomic.space, &at, atomic.access) {
        Ok(hosts) => hosts,
        Err(flow) => return flow,
    };
    let _held = x.hold();
    // f32 sums in global memory flush subnormals, those in shared memory do not.
    let flushes = |at: u64| match atomic.space {
        MemSpace::Shared => false,
        MemSpace::Generic => at.wrapping_sub(window::SHARED) >= window::SIZE,
        _ => true,
    };
    let c = values(x, i.c, atomic.size);
    // Lanes whose `cas` found another value, which therefore only read.
    let mut failed = 0u32;
    for (n, b) in atomic.b.iter().enumerate() {
        let b = values(x, *b, atomic.size);
        let mut old = [0u64; 32];
        for lane in (0..32).filter(|lane| x.mask >> lane & 1 != 0) {
            let host = hosts[lane] + n as u64 * u64::from(atomic.size);
            let update = |old| (atomic.update)(old, b[lane], c[lane], flushes(at[lane]));
            // SAFETY: `locate` checked bounds and alignment; device memory is shared between threads of a launch, which
            // use atomic operations where the program does.
            old[lane] = unsafe { exchange(host, atomic.size, update) };
            failed |= u32::from(atomic.compares && old[lane] != b[lane]) << lane;
            x.worker.effects += u64::from(update(old[lane]) != old[lane]);
        }
        let Some(d) = atomic.d.get(n) else { continue };
        match atomic.size {
            8 => x.write(*d, &old),
            _ => x.write(*d, &old.map(|v| v as u32)),
        }
    }
    match observe(x, atomic, &at, failed) {
        Ok(()) if failed != 0 || atomic.swaps => x.polled(),
        Ok(()) => Flow::Next,
        Err(flow) => flow,
    }
}

/// `cas` and `exch` of 128 bits, in registers of two halves.
fn atom128(
    cx: &mut Lower,
    i: &ast::Instruction,
    space: MemSpace,
    acquire: bool,
    release: bool,
    scope: Scope,
    compares: bool,
) -> Result<Inst, LowerError> {
    if &*i.opcode != "atom" {
        return Err(LowerError::Unsupported);
    }
    let d = cx.dst(operand(i, 0)?, Ty::B128)?;
    let address = cx.address(operand(i, 1)?)?;
    let b = cx.src(operand(i, 2)?, Ty::B128)?;
    let c = if compares { cx.src(operand(i, 3)?, Ty::B128)? } else { Reg::NONE };
    let strong = Strong { atomic: true, acquire, release, scope, element: 16 };
    let access = Access { bytes: 16, align: 16, reads: true, writes: true, strong: Some(strong) };
    let atomic = Atomic {
        space,
        access,
        update: |old, _, _, _| old,
        compares,
        swaps: !compares,
        size: 16,
        wide: address.wide,
        d: vec![d],
        b: vec![b],
    };
    Ok(Inst { a: address.base, imm: address.offset, c, ..Inst::new(run128).with_data(atomic) })
}

fn run128(x: &mut Exec, i: &Inst) -> Flow {
    let atomic = i.data::<Atomic>();
    let at = x.addresses(i.a, atomic.wide, i.imm);
    let hosts = match x.find(atomic.space, &at, atomic.access) {
        Ok(hosts) => hosts,
        Err(flow) => return flow,
    };
    // All strong accesses hold this, so two halves do not come apart.
    let _held = x.hold();
    let halves = |reg: Reg| [x.read::<u64>(reg), x.read::<u64>(Reg(reg.0 + 2))];
    let b = halves(atomic.b[0]);
    let c = if atomic.compares { halves(i.c) } else { b };
    let (mut old, mut failed) = ([[0u64; 32]; 2], 0u32);
    for lane in (0..32).filter(|lane| x.mask >> lane & 1 != 0) {
        let host = hosts[lane] as *mut [u64; 2];
        // SAFETY: `find` checked bounds and alignment.
        let now = unsafe { host.read() };
        let equal = now == [b[0][lane], b[1][lane]];
        x.worker.effects += u64::from((equal || !atomic.compares) && now != [c[0][lane], c[1][lane]]);
        if equal || !atomic.compares {
            // SAFETY: as above.
            unsafe { host.write([c[0][lane], c[1][lane]]) };
        } else {
            failed |= 1 << lane;
        }
        (old[0][lane], old[1][lane]) = (now[0], now[1]);
    }
    x.write(atomic.d[0], &old[0]);
    x.write(Reg(atomic.d[0].0 + 2), &old[1]);
    match observe(x, atomic, &at, failed) {
        Ok(()) if failed != 0 || atomic.swaps => x.polled(),
        Ok(()) => Flow::Next,
        Err(flow) => flow,
    }
}

/// Tells checks and counters.
fn observe(x: &mut Exec, atomic: &Atomic, at: &[u64; 32], failed: u32) -> Result<(), Flow> {
    let Some(strong) = atomic.access.strong.filter(|_| x.launch.observed) else { return Ok(()) };
    let op = if atomic.d.is_empty() { StrongOp::Red } else { StrongOp::Rmw };
    let (bytes, element, kind) = (atomic.access.bytes, strong.element, strong.kind(op));
    let told = Told { mask: x.mask, failed, bytes, element, kind, matrices: 0 };
    x.observe_as(atomic.space, at, told, None)
}

/// Replaces the value at a host address by `update` of it, and returns the old one.
///
/// # Safety
/// The address is live, aligned to `size`, and accessed by others atomically or not at all.
unsafe fn exchange(host: u64, size: u32, update: impl Fn(u64) -> u64) -> u64 {
    // SAFETY: the caller's promise.
    let done = unsafe {
        match size {
            8 => {
                AtomicU64::from_ptr(host as *mut u64).fetch_update(Relaxed, Relaxed, |old| Some(update(old)))
            }
            4 => AtomicU32::from_ptr(host as *mut u32)
                .fetch_update(Relaxed, Relaxed, |old| Some(update(old.into()) as u32))
                .map(u64::from)
                .map_err(u64::from),
            _ => AtomicU16::from_ptr(host as *mut u16)
                .fetch_update(Relaxed, Relaxed, |old| Some(update(old.into()) as u16))
                .map(u64::from)
                .map_err(u64::from),
        }
    };
    // The closure never refuses.
    done.unwrap_or_else(|old| old)
}
