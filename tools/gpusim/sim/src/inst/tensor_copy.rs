//! `cp.async.bulk.tensor` and `cp.reduce.async.bulk.tensor`: copies of boxes described by a tensor map.

use gpusim_check::{AccessKind, BulkOp, Space};
use gpusim_ptx::ast::{self, Operand};

use super::bulk::{begin, in_cta, kind, range, take_off, targets};
use super::{Address, Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand};
use crate::exec::{
    BulkCopy, Completes, Exec, FaultKind, MemSpace, MemoryReduction, Operation, Side, Stretch, lanes,
};
use crate::memory::window;
use crate::tensor_map::{DataType, Interleave, TENSOR_MAP_ALIGN, TENSOR_MAP_BYTES, TensorMap};

pub(super) const TABLE: &[Entry] = &[("cp", cp)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Load,
    Store,
    Prefetch,
}

struct Data {
    way: Way,
    rank: u32,
    map: Address,
    coordinates: Vec<Reg>,
    /// The box's shared address.
    shared: Option<Address>,
    mbarrier: Option<Address>,
    ctas: Option<Reg>,
    reduce: Option<Operation>,
}

fn cp(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let reduce = m.take("reduce");
    if !m.take("async") || !m.take("bulk") || !m.take("tensor") {
        return Err(LowerError::NotMine);
    }
    let dim = m.find(|name| match name.strip_suffix('d')?.parse() {
        Ok(rank @ 1..=5) => Some(rank),
        _ => None,
    });
    let rank = dim.ok_or(LowerError::Unsupported)?;
    m.take("tile");
    let modes =
        ["im2col", "im2col_no_offs", "im2col::w", "im2col::w::128", "tile::gather4", "tile::scatter4"];
    if let Some(mode) = modes.into_iter().find(|mode| m.take(mode)) {
        return Err(LowerError::UnsupportedBecause(format!("tensor copies in mode {mode}")));
    }
    let policy = m.take("L2::cache_hint");
    let (prefetch, on, group) =
        (m.take("prefetch"), m.take("mbarrier::complete_tx::bytes"), m.take("bulk_group"));
    let multicast = m.take("multicast::cluster");
    let operation =
        if reduce { Some(m.find(Operation::parse).ok_or(LowerError::Unsupported)?) } else { None };
    let (cta, cluster, global) = (m.take("shared::cta"), m.take("shared::cluster"), m.take("global"));
    if prefetch {
        m.take("L2");
    }
    m.end()?;
    let first = i.modifiers.iter().find(|m| m.starts_with("shared::") || &***m == "global");
    let to_global = first.is_some_and(|first| &**first == "global");
    let way = match (prefetch, on, group) {
        (true, false, false) if global && !reduce => Way::Prefetch,
        (false, true, false) if global && (cta || cluster) && !to_global && !reduce => Way::Load,
        (false, false, true) if global && cta && to_global => Way::Store,
        _ => return Err(LowerError::Unsupported),
    };
    if multicast && (way != Way::Load || !cluster) {
        return Err(LowerError::Unsupported);
    }
    let tensor = operand(i, usize::from(way == Way::Load))?;
    let Operand::Address(address) = tensor else {
        return Err(LowerError::Invalid("a tensor operand is missing".to_owned()));
    };
    if address.coordinates.len() != rank as usize {
        return Err(LowerError::Invalid(format!("{} coordinates", address.coordinates.len())));
    }
    let plain = ast::Address { coordinates: Vec::new(), ..(**address).clone() };
    let map = cx.address(&Operand::Address(Box::new(plain)))?;
    let coordinates: Result<Vec<Reg>, _> = address.coordinates.iter().map(|c| cx.src(c, Ty::S32)).collect();
    let mut data = Data {
        way,
        rank,
        map,
        coordinates: coordinates?,
        shared: None,
        mbarrier: None,
        ctas: None,
        reduce: operation,
    };
    let mut next = 1;
    match way {
        Way::Load => {
            data.shared = Some(cx.address(operand(i, 0)?)?);
            data.mbarrier = Some(cx.address(operand(i, 2)?)?);
            next = 3;
            if multicast {
                data.ctas = Some(cx.src(operand(i, next)?, Ty::U16)?);
                next += 1;
            }
        }
        Way::Store => {
            data.shared = Some(cx.address(operand(i, 1)?)?);
            next = 2;
        }
        Way::Prefetch => {}
    }
    if i.operands.len() != next + usize::from(policy) {
        return Err(LowerError::Invalid(format!("{} operands", i.operands.len())));
    }
    Ok(Inst { a: map.base, ..Inst::new(run).with_data(data) })
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

/// The tensor map of a lane, and its address if it is in global memory.
fn load_map(x: &mut Exec, data: &Data, lane: usize) -> Result<(TensorMap, Option<u64>), Flow> {
    let at = x.addresses(data.map.base, data.map.wide, data.map.offset)[lane];
    if !at.is_multiple_of(TENSOR_MAP_ALIGN as u64) {
        let message = format!("a tensor map at {at:#x}, which is not a multiple of {TENSOR_MAP_ALIGN}");
        return Err(misaligned(x, lane, message));
    }
    // Maps are in global, constant or parameter memory.
    if (window::SHARED..window::PARAM).contains(&at) {
        return Err(x.invalid(
            lane,
            "invalid descriptor",
            format!("a tensor map in shared or local memory, at {at:#x}"),
        ));
    }
    let mask = std::mem::replace(&mut x.mask, 1 << lane);
    let host = x.host(MemSpace::Generic, at, TENSOR_MAP_BYTES as u32, false);
    x.mask = mask;
    // SAFETY: `host` checked the range.
    let bytes = unsafe { host?.cast::<[u8; TENSOR_MAP_BYTES]>().read_unaligned() };
    let global = window::GLOBAL.contains(&at).then_some(at);
    let Some(map) = TensorMap::decode(&bytes) else {
        return Err(x.invalid(lane, "invalid descriptor", format!("no tensor map at {at:#x}")));
    };
    if let Err(rule) = map.validate() {
        return Err(x.invalid(
            lane,
            "invalid descriptor",
            format!("the tensor map at {at:#x} breaks a rule: {rule}"),
        ));
    }
    if map.rank != data.rank {
        let message = format!("a copy in {} dimensions with a tensor map of {}", data.rank, map.rank);
        return Err(x.invalid(lane, "invalid descriptor", message));
    }
    let lacking = match (map.interleave, map.data_type) {
        (Interleave::B16 | Interleave::B32, _) => Some("interleaved tensor maps"),
        (_, DataType::F32Ftz | DataType::Tf32 | DataType::Tf32Ftz) => {
            Some("tensor maps of .f32.ftz, .tf32 and .tf32.ftz, which convert in an undocumented way")
        }
        _ => None,
    };
    match lacking {
        Some(lacking) => Err(x.fault(FaultKind::Unsupported, "unsupported instruction", lacking)),
        None => Ok((map, global)),
    }
}

fn misaligned(x: &mut Exec, lane: usize, message: String) -> Flow {
    x.fail(crate::exec::Fault::new(FaultKind::Misaligned, "misaligned address", message).at(1 << lane))
}

/// Elements of a box along a dimension. Along the innermost the traversal stride has no effect.
fn extent(map: &TensorMap, d: usize) -> u32 {
    if d == 0 { map.box_sizes[0] } else { map.box_sizes[d].div_ceil(map.element_strides[d]) }
}

/// A row of the box inside the tensor.
struct Row {
    /// Where it is in the box.
    at: u32,
    address: u64,
    bytes: u32,
}

/// The rows of the box at `corner`, as far as they are inside the tensor, and the bytes of the whole box.
fn rows(map: &TensorMap, corner: &[i32]) -> (Vec<Row>, u32) {
    let width = i64::from(map.data_type.bytes());
    let rank = map.rank as usize;
    let inner = i64::from(map.box_sizes[0]);
    let first = i64::from(corner[0]);
    let size = map.sizes[0] as i64;
    let (low, high) = (first.max(0), (first + inner).min(size));
    let count: u32 = (1..rank).map(|d| extent(map, d)).product();
    let mut rows = Vec::new();
    for row in 0..count {
        let (mut rest, mut address, mut inside) = (row, map.address, low < high);
        for d in 1..rank {
            let n = extent(map, d);
            let index = i64::from(corner[d]) + i64::from(rest % n) * i64::from(map.element_strides[d]);
            rest /= n;
            inside &= (0..map.sizes[d] as i64).contains(&index);
            address = address.wrapping_add((index as u64).wrapping_mul(map.strides[d - 1]));
        }
        if inside {
            let at = i64::from(row) * inner + (low - first);
            rows.push(Row {
                at: (at * width) as u32,
                address: address.wrapping_add((low * width) as u64),
                bytes: ((high - low) * width) as u32,
            });
        }
    }
    (rows, count * (inner * width) as u32)
}

/// What elements out of bounds hold.
fn fill(map: &TensorMap, bytes: u32) -> Vec<u8> {
    if !map.nan_fill {
        return vec![0; bytes as usize];
    }
    let width = map.data_type.bytes() as usize;
    let mut nan = vec![0xFF; width];
    nan[width - 1] = 0x7F;
    nan.repeat(bytes as usize / width)
}

/// The type that a reduction works on.
fn reduction(op: Operation, ty: DataType) -> Option<MemoryReduction> {
    use Operation::*;
    let ty = match (ty, op) {
        (DataType::U32, And | Or | Xor) => Ty::B32,
        (DataType::U64, And | Or | Xor) => Ty::B64,
        (DataType::U32, _) => Ty::U32,
        (DataType::I32, Add | Min | Max) => Ty::S32,
        (DataType::I32, And | Or | Xor) => Ty::B32,
        (DataType::U64, Add | Min | Max) => Ty::U64,
        (DataType::I64, Add | Min | Max) => Ty::S64,
        (DataType::I64, And | Or | Xor) => Ty::B64,
        (DataType::F16, Add | Min | Max) => Ty::F16,
        (DataType::Bf16, Add | Min | Max) => Ty::Bf16,
        (DataType::F32, Add) => Ty::F32,
        (DataType::F64, Add) => Ty::F64,
        _ => return None,
    };
    Some(MemoryReduction { op, ty })
}

fn issue(x: &mut Exec, data: &Data, lane: usize) -> Result<(), Flow> {
    let (map, map_at) = load_map(x, data, lane)?;
    let corner: Vec<i32> = data.coordinates.iter().map(|reg| x.read_lane(*reg, lane)).collect();
    let (rows, bytes) = rows(&map, &corner);
    if data.way == Way::Prefetch {
        return Ok(());
    }
    let mut runs = Vec::with_capacity(rows.len());
    for row in &rows {
        let host = x.global_place(lane, row.address, row.bytes, 1, data.way == Way::Store)?;
        runs.push(Stretch { host, at: row.at, bytes: row.bytes });
    }
    let Some(shared) = data.shared else { return Ok(()) };
    let shared = x.addresses(shared.base, shared.wide, shared.offset)[lane];
    // Swizzles move 16-byte chunks inside rows of the span: what is touched is made of whole rows.
    let touched = bytes.next_multiple_of(map.swizzle.span().unwrap_or(16));
    let boxed = x.shared_place(lane, shared, false, touched, 128, data.way == Way::Load)?;
    let width = map.data_type.bytes();
    if data.way == Way::Store {
        let reduce = match data.reduce {
            None => None,
            Some(op) => match reduction(op, map.data_type) {
                Some(reduce) => Some(reduce),
                None => {
                    let message = format!("{op:?} of a tensor of {:?}", map.data_type);
                    return Err(x.invalid(lane, "invalid descriptor", message));
                }
            },
        };
        let op = begin(x, lane, None)?;
        tell_map(x, op.as_ref(), map_at)?;
        range(x, op.as_ref(), boxed.space(), boxed.offset.into(), bytes, AccessKind::Read, 16)?;
        for row in &rows {
            range(x, op.as_ref(), Space::Global, row.address, row.bytes, kind(reduce), width)?;
        }
        let warp = x.warp_id();
        let group = x.cluster.flight.bulk_group(warp.rank, warp.index, lane as u32);
        let copy = BulkCopy {
            issuer: x.issuer(lane),
            from: Side::Box { host: boxed.host, address: boxed.offset, swizzle: map.swizzle },
            to: Side::Runs(runs),
            into: None,
            bytes,
            data: vec![0; bytes as usize],
            read: false,
            reduce,
            completes: Completes::Group(group),
            check: op,
        };
        return take_off(x, copy);
    }
    let Some(mbarrier) = data.mbarrier else { return Ok(()) };
    let on = x.addresses(mbarrier.base, mbarrier.wide, mbarrier.offset)[lane];
    let on = x.shared_place(lane, on, false, 8, 8, true)?;
    if on.rank != boxed.rank && data.ctas.is_none() {
        let message = format!("data for CTA rank {}, its mbarrier in CTA rank {}", boxed.rank, on.rank);
        return Err(x.invalid(lane, "invalid operand", message));
    }
    for rank in targets(x, lane, data.ctas, boxed.rank)? {
        let on = x.shared_place(lane, in_cta(rank, on.offset), false, 8, 8, true)?;
        let boxed = x.shared_place(lane, in_cta(rank, boxed.offset), false, touched, 128, true)?;
        let op = begin(x, lane, Some(on))?;
        tell_map(x, op.as_ref(), map_at)?;
        for row in &rows {
            range(x, op.as_ref(), Space::Global, row.address, row.bytes, AccessKind::Read, width)?;
        }
        range(x, op.as_ref(), boxed.space(), boxed.offset.into(), bytes, AccessKind::Write, 16)?;
        let copy = BulkCopy {
            issuer: x.issuer(lane),
            from: Side::Runs(runs.clone()),
            to: Side::Box { host: boxed.host, address: boxed.offset, swizzle: map.swizzle },
            into: Some(rank),
            bytes,
            data: fill(&map, bytes),
            read: false,
            reduce: None,
            completes: Completes::On(on.mbarrier()),
            check: op,
        };
        take_off(x, copy)?;
    }
    Ok(())
}

fn tell_map(x: &mut Exec, op: Option<&BulkOp>, at: Option<u64>) -> Result<(), Flow> {
    let (Some(op), Some(at)) = (op, at) else { return Ok(()) };
    x.tell(|check| check.bulk_tensormap(op, at)).map(drop)
}
