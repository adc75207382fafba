//! `tensormap.replace` and `tensormap.cp_fenceproxy`.

use gpusim_check::Sem;
use gpusim_ptx::ast;

use super::memory::space;
use super::{Address, Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand};
use crate::exec::{Access, Exec, Fault, FaultKind, MemSpace, lanes};
use crate::tensor_map::{Field, TENSOR_MAP_BYTES, replace};

pub(super) const TABLE: &[Entry] = &[("tensormap", tensormap)];

struct Replace {
    space: MemSpace,
    at: Address,
    field: Field,
    value: Reg,
    wide: bool,
}

fn tensormap(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("cp_fenceproxy") {
        return copy(cx, i, m);
    }
    if !m.take("replace") || !m.take("tile") || !m.take("b1024") {
        return Err(LowerError::Unsupported);
    }
    let space = space(&mut m);
    let at = cx.address(operand(i, 0)?)?;
    let ordinal = |cx: &Lower| match operand(i, 1).map(|o| cx.literal(o)) {
        Ok(Some(n @ 0..=4)) => Ok(n as u8),
        _ => Err(LowerError::Invalid("the ordinal is a constant from 0 to 4".to_owned())),
    };
    let name = m.find(|name| (!matches!(name, "b32" | "b64")).then(|| name.to_owned()));
    let field = match name.as_deref() {
        Some("global_address") => Field::Address,
        Some("rank") => Field::Rank,
        Some("box_dim") => Field::Box(ordinal(cx)?),
        Some("global_dim") => Field::Size(ordinal(cx)?),
        Some("global_stride") => Field::Stride(ordinal(cx)?),
        Some("element_stride") => Field::ElementStride(ordinal(cx)?),
        Some("elemtype") => Field::DataType,
        Some("interleave_layout") => Field::Interleave,
        Some("swizzle_mode") => Field::Swizzle,
        Some("fill_mode") => Field::Fill,
        _ => return Err(LowerError::Unsupported),
    };
    let ordered =
        matches!(field, Field::Box(_) | Field::Size(_) | Field::Stride(_) | Field::ElementStride(_));
    let wide = matches!(field, Field::Address | Field::Stride(_));
    if !m.take(if wide { "b64" } else { "b32" }) {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    let value = cx.src(operand(i, if ordered { 2 } else { 1 })?, if wide { Ty::B64 } else { Ty::B32 })?;
    let data = Replace { space, at, field, value, wide };
    Ok(Inst { a: at.base, b: value, ..Inst::new(run_replace).with_data(data) })
}

fn run_replace(x: &mut Exec, i: &Inst) -> Flow {
    let data = i.data::<Replace>();
    let at = x.addresses(data.at.base, data.at.wide, data.at.offset);
    let bytes = TENSOR_MAP_BYTES as u32;
    let access = Access { bytes, align: bytes, reads: true, writes: true, strong: None };
    let hosts = match x.locate(data.space, &at, access) {
        Ok(hosts) => hosts,
        Err(flow) => return flow,
    };
    for lane in lanes(x.mask) {
        let value = if data.wide {
            x.read_lane::<u64>(data.value, lane)
        } else {
            x.read_lane::<u32>(data.value, lane).into()
        };
        let host = hosts[lane] as *mut [u8; TENSOR_MAP_BYTES];
        // SAFETY: `locate` gives addresses inside live memory.
        let mut map = unsafe { host.read_unaligned() };
        if let Err(what) = replace(&mut map, data.field, value) {
            return x.invalid(lane, "invalid descriptor", what);
        }
        // SAFETY: as above.
        unsafe { host.write_unaligned(map) };
    }
    Flow::Next
}

struct Copy {
    to: Address,
    from: Address,
    scope: gpusim_check::Scope,
}

/// `tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.scope.sync.aligned [to], [from], 128`.
fn copy(cx: &mut Lower, i: &ast::Instruction, mut m: Mods) -> Result<Inst, LowerError> {
    let known = ["global", "shared::cta", "tensormap::generic", "release", "sync", "aligned"];
    if !known.into_iter().all(|name| m.take(name)) || cx.literal(operand(i, 2)?) != Some(128) {
        return Err(LowerError::Unsupported);
    }
    let scope = m.needed_scope()?;
    m.end()?;
    let (to, from) = (cx.address(operand(i, 0)?)?, cx.address(operand(i, 1)?)?);
    Ok(Inst { a: to.base, b: from.base, ..Inst::new(run_copy).with_data(Copy { to, from, scope }) })
}

fn run_copy(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = x.converge(u32::MAX) {
        return flow;
    }
    let data = i.data::<Copy>();
    let to = x.addresses(data.to.base, data.to.wide, data.to.offset);
    let from = x.addresses(data.from.base, data.from.wide, data.from.offset);
    let mask = x.mask;
    let first = mask.trailing_zeros() as usize;
    if let Some(other) = lanes(mask).find(|lane| (to[*lane], from[*lane]) != (to[first], from[first])) {
        let message = "the lanes of the warp have different addresses";
        return x.fail(Fault::new(FaultKind::Check, "convergence required", message).at(1 << other));
    }
    // The warp makes one copy.
    x.mask = 1 << first;
    let bytes = TENSOR_MAP_BYTES as u32;
    let access = Access { bytes, align: bytes, reads: true, writes: false, strong: None };
    let source = x.locate(MemSpace::Shared, &from, access);
    let target = source.and_then(|source| {
        Ok((source, x.locate(MemSpace::Global, &to, Access { reads: false, writes: true, ..access })?))
    });
    x.mask = mask;
    let (source, target) = match target {
        Ok(places) => places,
        Err(flow) => return flow,
    };
    // SAFETY: `locate` checked 128 bytes of both, which are different memories.
    unsafe {
        std::ptr::copy_nonoverlapping(source[first] as *const u8, target[first] as *mut u8, TENSOR_MAP_BYTES);
    }
    let warp = x.warp_id();
    if let Some(check) = x.cluster.check.as_mut() {
        // The release of the pair: the map's users still need their `fence.proxy.tensormap` of the acquiring kind.
        check.fence(warp, mask, Sem::Release, data.scope);
    }
    Flow::Next
}
