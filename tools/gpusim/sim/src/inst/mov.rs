//! `mov`, `cvta`, `isspacep`, `mapa`, `getctarank`.

use gpusim_ptx::ast::{self, Operand};

use super::{
    Entry, Flow, Inst, Lower, LowerError, Mods, Place, Reg, Symbol, Ty, map1, map2, map3, operand, vectorised,
};
use crate::exec::{Exec, MemSpace};
use crate::memory::window;

pub(super) const TABLE: &[Entry] =
    &[("mov", mov), ("cvta", cvta), ("isspacep", isspacep), ("mapa", mapa), ("getctarank", getctarank)];

fn mov(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let (to, from) = (operand(i, 0)?, operand(i, 1)?);
    if ty == Ty::Pred {
        let (d, a) = (cx.dst_pred(to)?, cx.pred(from)?);
        return Ok(Inst { d: d.as_reg(), a: a.as_reg(), ..Inst::new(mov_pred) });
    }
    if matches!(to, Operand::Vector(_)) || matches!(from, Operand::Vector(_)) {
        return pack(cx, to, from, ty);
    }
    let d = cx.dst(to, ty)?;
    if let Operand::Name(name) = from {
        match name.as_str() {
            "%clock" => return Ok(Inst { d, ..Inst::new(|x, i| counter(x, i, false, 0)) }),
            "%clock_hi" => return Ok(Inst { d, ..Inst::new(|x, i| counter(x, i, false, 32)) }),
            "%clock64" => return Ok(Inst { d, ..Inst::new(|x, i| counter(x, i, true, 0)) }),
            "%globaltimer" => return Ok(Inst { d, ..Inst::new(|x, i| timer(x, i, true, 0)) }),
            "%globaltimer_lo" => return Ok(Inst { d, ..Inst::new(|x, i| timer(x, i, false, 0)) }),
            "%globaltimer_hi" => return Ok(Inst { d, ..Inst::new(|x, i| timer(x, i, false, 32)) }),
            _ => {}
        }
    }
    let special = matches!(from, Operand::Name(name) if name.starts_with('%'));
    if !special && cx.type_of(from).is_none() && matches!(from, Operand::Name(_) | Operand::Offset(..)) {
        let symbol = cx.symbol(from)?;
        return Ok(address_of(cx, symbol, d, ty, 0));
    }
    let a = cx.src(from, ty)?;
    Ok(Inst { d, a, ..Inst::new(copy(ty)) })
}

/// `d = a`, all bits of `ty`.
fn copy(ty: Ty) -> super::Run {
    match ty.bits() {
        ..=8 => map1(|a: u8| a),
        16 => map1(|a: u16| a),
        32 => map1(|a: u32| a),
        64 => map1(|a: u64| a),
        _ => |x, i| {
            let (low, high) = (x.read::<u64>(i.a), x.read::<u64>(Reg(i.a.0 + 2)));
            x.write(i.d, &low);
            x.write(Reg(i.d.0 + 2), &high);
            Flow::Next
        },
    }
}

fn mov_pred(x: &mut Exec, i: &Inst) -> Flow {
    let bits = x.pred(i.a.as_pred());
    x.write_pred(i.d.as_pred(), bits);
    Flow::Next
}

/// `%clock`: instructions that the warp has executed; not cycles. The turn in progress is counted by its place.
fn counter(x: &mut Exec, i: &Inst, wide: bool, shift: u32) -> Flow {
    let now = x.clock();
    if wide {
        x.write(i.d, &[now; 32])
    } else {
        x.write(i.d, &[(now >> shift) as u32; 32])
    }
    Flow::Next
}

/// `%globaltimer`: instructions of all warps of this thread of the simulator; not nanoseconds.
fn timer(x: &mut Exec, i: &Inst, wide: bool, shift: u32) -> Flow {
    let now = x.worker.executed + x.clock();
    if wide {
        x.write(i.d, &[now; 32])
    } else {
        x.write(i.d, &[(now >> shift) as u32; 32])
    }
    Flow::Next
}

/// `d` = a symbol's address, plus `window` for the generic one.
fn address_of(cx: &mut Lower, symbol: Symbol, d: Reg, ty: Ty, window: u64) -> Inst {
    let offset = cx.constant((symbol.offset as u64).wrapping_add(window), ty);
    let wide = ty.bits() > 32;
    match symbol.base {
        None => Inst { d, a: offset, ..Inst::new(copy(ty)) },
        Some(special) => {
            let run = if wide {
                map2(|a: u64, b: u64| a.wrapping_add(b))
            } else {
                map2(|a: u32, b: u32| a.wrapping_add(b))
            };
            Inst { d, a: cx.specials.reg(special, wide), b: offset, ..Inst::new(run) }
        }
    }
}

/// `mov.b64 d, {a, b}` and `mov.b64 {a, b}, d`: elements from the least significant up.
fn pack(cx: &mut Lower, to: &Operand, from: &Operand, ty: Ty) -> Result<Inst, LowerError> {
    let (vector, unpack) = if matches!(to, Operand::Vector(_)) { (to, true) } else { (from, false) };
    if unpack && matches!(from, Operand::Vector(_)) {
        // `mov.v2.b32`-like: element by element.
        return Err(LowerError::UnsupportedBecause("vector to vector".to_owned()));
    }
    let elements = cx.elements(vector);
    let bits = ty.bits() / elements.len() as u32;
    let part = match bits {
        8 => Ty::B8,
        16 => Ty::B16,
        32 => Ty::B32,
        64 => Ty::B64,
        _ => return Err(LowerError::Invalid(format!("{} elements in {ty:?}", elements.len()))),
    };
    let regs: Result<Vec<Reg>, _> =
        elements.iter().map(|e| if unpack { cx.dst(e, part) } else { cx.src(e, part) }).collect();
    let regs = regs?;
    if unpack {
        let a = cx.src(from, ty)?;
        let run = match (ty.bits(), bits) {
            (64, 32) => vectorised(
                #[inline(always)]
                |x, i| {
                    let a = x.read::<u64>(i.a);
                    x.write(i.regs()[0], &a.map(|a| a as u32));
                    x.write(i.regs()[1], &a.map(|a| (a >> 32) as u32));
                    Flow::Next
                },
            ),
            (32, 16) => vectorised(
                #[inline(always)]
                |x, i| {
                    let a = x.read::<u32>(i.a);
                    x.write(i.regs()[0], &a.map(|a| a as u16));
                    x.write(i.regs()[1], &a.map(|a| (a >> 16) as u16));
                    Flow::Next
                },
            ),
            _ => unpack_any as super::Run,
        };
        return Ok(Inst {
            a,
            imm: i64::from(bits) | i64::from(ty.bits()) << 32,
            ..Inst::new(run).with_regs(regs)
        });
    }
    let d = cx.dst(to, ty)?;
    let run = match (ty.bits(), bits) {
        (64, 32) => map2(|a: u32, b: u32| u64::from(a) | u64::from(b) << 32),
        (32, 16) => map2(|a: u16, b: u16| u32::from(a) | u32::from(b) << 16),
        _ => pack_any as super::Run,
    };
    let at = |n: usize| regs.get(n).copied().unwrap_or(Reg::NONE);
    let imm = i64::from(bits) | i64::from(ty.bits()) << 32;
    Ok(Inst { d, a: at(0), b: at(1), imm, ..Inst::new(run).with_regs(regs) })
}

/// The 128 bits of a register of 32, 64 or 128.
fn wide_lanes(x: &Exec, reg: Reg, bits: u32) -> [u128; 32] {
    match bits {
        ..=32 => x.read::<u32>(reg).map(u128::from),
        64 => x.read::<u64>(reg).map(u128::from),
        _ => {
            let (low, high) = (x.read::<u64>(reg), x.read::<u64>(Reg(reg.0 + 2)));
            std::array::from_fn(|lane| u128::from(low[lane]) | u128::from(high[lane]) << 64)
        }
    }
}

fn write_wide(x: &mut Exec, reg: Reg, bits: u32, values: &[u128; 32]) {
    match bits {
        8 => x.write(reg, &values.map(|v| v as u8)),
        16 => x.write(reg, &values.map(|v| v as u16)),
        32 => x.write(reg, &values.map(|v| v as u32)),
        64 => x.write(reg, &values.map(|v| v as u64)),
        _ => {
            x.write(reg, &values.map(|v| v as u64));
            x.write(Reg(reg.0 + 2), &values.map(|v| (v >> 64) as u64));
        }
    }
}

fn unpack_any(x: &mut Exec, i: &Inst) -> Flow {
    let (part, whole) = (i.imm as u32, (i.imm >> 32) as u32);
    let values = wide_lanes(x, i.a, whole);
    for (n, reg) in i.regs().iter().enumerate() {
        write_wide(x, *reg, part, &values.map(|v| v >> (n as u32 * part)));
    }
    Flow::Next
}

fn pack_any(x: &mut Exec, i: &Inst) -> Flow {
    let (part, whole) = (i.imm as u32, (i.imm >> 32) as u32);
    let keep = u128::MAX >> (128 - part);
    let mut values = [0u128; 32];
    for (n, reg) in i.regs().iter().enumerate() {
        let element = wide_lanes(x, *reg, part);
        values.iter_mut().zip(element).for_each(|(v, e)| *v |= (e & keep) << (n as u32 * part));
    }
    write_wide(x, i.d, whole, &values);
    Flow::Next
}

/// The window of a space named by modifiers; global and constant addresses are generic addresses as they are.
fn window_of(m: &mut Mods) -> Result<(MemSpace, u64), LowerError> {
    m.find(|name| {
        Some(match name {
            "global" => (MemSpace::Global, 0),
            "const" => (MemSpace::Const, 0),
            "shared" | "shared::cta" | "shared::cluster" => (MemSpace::Shared, window::SHARED),
            "local" => (MemSpace::Local, window::LOCAL),
            "param" | "param::entry" => (MemSpace::Param, window::PARAM),
            _ => return None,
        })
    })
    .ok_or(LowerError::Unsupported)
}

fn cvta(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let to = m.take("to");
    let (_, window) = window_of(&mut m)?;
    let ty = m.ty()?;
    m.end()?;
    if ty.bits() != 64 {
        return Err(LowerError::UnsupportedBecause("32-bit addresses".to_owned()));
    }
    let d = cx.dst(operand(i, 0)?, ty)?;
    let from = operand(i, 1)?;
    if !to && cx.type_of(from).is_none() && matches!(from, Operand::Name(_) | Operand::Offset(..)) {
        let symbol = cx.symbol(from)?;
        return Ok(address_of(cx, symbol, d, ty, window));
    }
    let a = cx.src(from, ty)?;
    let b = cx.constant(if to { window.wrapping_neg() } else { window }, ty);
    Ok(Inst { d, a, b, ..Inst::new(map2(|a: u64, b: u64| a.wrapping_add(b))) })
}

fn isspacep(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let cluster = i.modifiers.iter().any(|m| &**m == "shared::cluster");
    let (space, _) = window_of(&mut m)?;
    m.end()?;
    let d = cx.dst_pred(operand(i, 0)?)?.as_reg();
    let a = cx.src(operand(i, 1)?, Ty::U64)?;
    let constants: Vec<u64> = cx
        .places
        .values()
        .filter_map(|place| if let Place::Const(address) = place { Some(*address) } else { None })
        .collect();
    let run: super::Run = match space {
        // Constant memory lies among global memory, an allocation for each variable.
        MemSpace::Const => |x, i| test_constant(x, i, |_, constant| constant),
        MemSpace::Global if !constants.is_empty() => |x, i| {
            test_constant(x, i, |at, constant| !constant && !(window::SHARED..window::CODE).contains(&at))
        },
        MemSpace::Global => |x, i| test(x, i, |at| !(window::SHARED..window::CODE).contains(&at)),
        MemSpace::Shared if cluster => |x, i| test(x, i, |at| at.wrapping_sub(window::SHARED) < window::SIZE),
        MemSpace::Shared => |x, i| {
            let own = u64::from(x.cta.rank) + 1;
            test(x, i, |at| {
                let offset = at.wrapping_sub(window::SHARED);
                let rank = offset >> window::CLUSTER_RANK_SHIFT;
                offset < window::SIZE && (rank == 0 || rank == own)
            })
        },
        MemSpace::Local => |x, i| test(x, i, |at| at.wrapping_sub(window::LOCAL) < window::SIZE),
        _ => |x, i| test(x, i, |at| at.wrapping_sub(window::PARAM) < window::SIZE),
    };
    Ok(Inst { d, a, ..Inst::new(run).with_data(constants) })
}

/// As [`test`], for a function that wants to know whether the address is one of the module's constants.
fn test_constant(x: &mut Exec, i: &Inst, f: impl Fn(u64, bool) -> bool) -> Flow {
    let constants = i.data::<Vec<u64>>();
    let device = x.launch.device;
    let constant = |at| device.range(at).is_some_and(|(base, _)| constants.contains(&base));
    test(x, i, |at| f(at, constant(at)))
}

fn test(x: &mut Exec, i: &Inst, f: impl Fn(u64) -> bool) -> Flow {
    let at = x.read::<u64>(i.a);
    let bits = (0..32).fold(0, |bits, lane| bits | u32::from(f(at[lane])) << lane);
    x.write_pred(i.d.as_pred(), bits);
    Flow::Next
}

/// `mapa`: the address of the same variable in the CTA of another rank.
fn mapa(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let shared = m.take("shared::cluster");
    let ty = m.ty()?;
    m.end()?;
    let d = cx.dst(operand(i, 0)?, ty)?;
    let from = operand(i, 1)?;
    let a = if cx.type_of(from).is_none() && matches!(from, Operand::Offset(..)) {
        let symbol = cx.symbol(from)?;
        cx.constant(symbol.offset as u64, ty)
    } else {
        cx.src(from, ty)?
    };
    let b = cx.src(operand(i, 2)?, Ty::U32)?;
    // The rank replaces what the address said about it; the window's bits, if any, stay.
    let keep = !(((1u64 << (32 - window::CLUSTER_RANK_SHIFT)) - 1) << window::CLUSTER_RANK_SHIFT);
    let c = cx.constant(keep, ty);
    if !shared && ty.bits() != 64 {
        return Err(LowerError::UnsupportedBecause("32-bit generic addresses".to_owned()));
    }
    let run = if ty.bits() == 64 {
        map3(|a: u64, b: u32, keep: u64| a & keep | (u64::from(b) + 1) << window::CLUSTER_RANK_SHIFT)
    } else {
        map3(|a: u32, b: u32, keep: u32| a & keep | b.wrapping_add(1) << window::CLUSTER_RANK_SHIFT)
    };
    Ok(Inst { d, a, b, c, ..Inst::new(run) })
}

/// `getctarank`: the rank of the CTA that a shared address belongs to.
fn getctarank(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.take("shared::cluster");
    let ty = m.ty()?;
    m.end()?;
    let d = cx.dst(operand(i, 0)?, Ty::U32)?;
    let a = cx.src(operand(i, 1)?, ty)?;
    let b = cx.specials.reg(crate::module::Special::ClusterCtarank, false);
    let run = if ty.bits() == 64 {
        map2(|a: u64, own: u32| match a as u32 >> window::CLUSTER_RANK_SHIFT {
            0 => own,
            rank => rank - 1,
        })
    } else {
        map2(|a: u32, own: u32| match a >> window::CLUSTER_RANK_SHIFT {
            0 => own,
            rank => rank - 1,
        })
    };
    Ok(Inst { d, a, b, ..Inst::new(run) })
}
