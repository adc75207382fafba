//! `wgmma`: asynchronous products of a warpgroup.
//!
//! Each warp of the warpgroup computes its sixteen rows. A product is carried out as late as the program allows: when a
//! `wgmma.wait_group` demands it, so that whoever does not wait sees old registers, and shared memory is read when it may
//! already have been overwritten. The random schedule carries out some of them earlier, in order.
//!
//! Registers are watched: those that stand in a `wgmma.mma_async` have slots of their own for the whole function, and other
//! instructions that name them tell [`State`] so. Reported are
//!
//! - an accumulator or an A register touched between the product and the wait for its group,
//! - a product whose accumulators a thread has touched, or whose A registers it has written, since the last `wgmma.fence`,
//! - the first product of a warp without a fence before it,
//! - a product that takes registers of an unfinished one otherwise than as accumulators of the same shape.
//!
//! PTX leaves the result of these undefined, but ptxas sees them and waits in the program's place (its C7517 and C7514).
//! Where nobody asks for reports, so does this: whoever touches a register of a product in flight finds all products done.

use std::collections::{HashMap, HashSet, VecDeque};

use gpusim_num::tensor::Element;
use gpusim_ptx::ast::{self, Body, Operand};

use super::tile::{
    self, Columns, Kind, Product, Row, Rows, Sum, Sums, Unit, expect, load_rows, multiply, whole_warp,
};
use super::wgmma_operand::{Descriptor, Shared};
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, RegInfo, Run, Ty, operand, vectorised};
use crate::Schedule;
use crate::exec::{Exec, Fault, FaultKind};

pub(super) const TABLE: &[Entry] = &[("wgmma", wgmma)];

/// The check's name in reports.
const HAZARD: &str = "wgmma-register-hazard";

/// A decoded `wgmma.mma_async`. D is at the beginning of `Inst::regs`, then A if it is in registers; descriptors of A
/// and B are in `a` and `b`, scale-d is in `e`.
#[derive(Debug)]
struct Async {
    product: Product,
    n: usize,
    /// Registers of D.
    sums: usize,
    /// A is in registers.
    in_registers: bool,
    /// A and B are MN-major.
    transposed: [bool; 2],
    /// A, B negated.
    negated: [bool; 2],
}

/// A set of slots.
#[derive(Default)]
struct Slots(Vec<u64>);

impl Slots {
    fn insert(&mut self, slot: usize) {
        if self.0.len() <= slot / 64 {
            self.0.resize(slot / 64 + 1, 0);
        }
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    fn has(&self, slot: usize) -> bool {
        self.0.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 != 0)
    }
}

/// A product that has been issued and not carried out.
struct Issued {
    pc: u32,
    depth: u32,
    add: bool,
    a: u64,
    b: u64,
    /// Groups committed before it.
    group: u64,
    /// Fences before it.
    fences: u64,
}

/// What a warp has in flight.
#[derive(Default)]
pub(crate) struct State {
    queue: VecDeque<Issued>,
    /// Groups committed.
    groups: u64,
    fences: u64,
    /// Slots that threads have touched, and written, since the last fence.
    touched: Slots,
    written: Slots,
    /// Slots of D and A of products not yet waited for, and how far the wait has come.
    accumulators: Slots,
    operands: Slots,
    unfinished: VecDeque<(u32, u32, u64)>,
}

impl State {
    /// As a warp starts.
    pub(crate) fn reset(&mut self) {
        *self = State::default();
    }
}

/// Watched registers that an instruction names.
pub(crate) struct Watch {
    run: Run,
    reads: Vec<u32>,
    writes: Vec<u32>,
}

/// Slots of the registers that stand in a `wgmma.mma_async` of a function.
pub(crate) fn registers(body: &Body, regs: &HashMap<String, RegInfo>) -> HashSet<u32> {
    let mut slots = HashSet::new();
    for operand in body.code.iter().filter(|i| &*i.opcode == "wgmma").flat_map(|i| &i.operands) {
        if matches!(operand, Operand::Vector(_)) {
            each_register(operand, regs, &mut |info| {
                slots.insert(info.reg.slot() as u32);
            });
        }
    }
    slots
}

fn each_register(operand: &Operand, regs: &HashMap<String, RegInfo>, f: &mut impl FnMut(&RegInfo)) {
    let mut name = |name: &str| {
        if let Some(info) = regs.get(name).filter(|info| info.ty != Ty::Pred) {
            f(info);
        }
    };
    match operand {
        Operand::Name(text) => {
            // `%r1.b0` is part of a register.
            if regs.contains_key(text) { name(text) } else { name(text.split('.').next().unwrap_or(text)) }
        }
        Operand::Component(text, n) => name(&format!("{text}.{n}")),
        Operand::Vector(list) | Operand::List(list) => list.iter().for_each(|o| each_register(o, regs, f)),
        Operand::Address(address) => {
            each_register(&address.base, regs, f);
            address.coordinates.iter().for_each(|o| each_register(o, regs, f));
        }
        Operand::Pair(a, b) => {
            each_register(a, regs, f);
            each_register(b, regs, f);
        }
        Operand::Not(inner) => each_register(inner, regs, f),
        _ => {}
    }
}

/// Opcodes whose first operand is not a destination.
const NO_DESTINATION: &[&str] = &[
    "bar",
    "barrier",
    "bra",
    "brx",
    "call",
    "cp",
    "discard",
    "fence",
    "mbarrier",
    "membar",
    "multimem",
    "nanosleep",
    "prefetch",
    "red",
    "ret",
    "st",
    "stmatrix",
    "trap",
];

/// Makes an instruction that names watched registers tell so.
pub(crate) fn watch(
    watched: &HashSet<u32>,
    regs: &HashMap<String, RegInfo>,
    i: &ast::Instruction,
    inst: &mut Inst,
) {
    if watched.is_empty() || &*i.opcode == "wgmma" {
        return;
    }
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (n, operand) in i.operands.iter().enumerate() {
        let destination = n == 0 && !NO_DESTINATION.contains(&&*i.opcode);
        each_register(operand, regs, &mut |info| {
            let slots = info.reg.slot() as u32..(info.reg.slot() + info.ty.slots()) as u32;
            let list = if destination { &mut writes } else { &mut reads };
            list.extend(slots.filter(|slot| watched.contains(slot)));
        });
    }
    if reads.is_empty() && writes.is_empty() {
        return;
    }
    let watch = Watch { run: inst.run, reads, writes };
    inst.ext.get_or_insert_default().watch = Some(watch);
    inst.run = run_watched;
}

fn run_watched(x: &mut Exec, i: &Inst) -> Flow {
    let Some(watch) = i.ext.as_ref().and_then(|ext| ext.watch.as_ref()) else { return Flow::Next };
    let base = x.launch.frames.start(x.depth as usize).0;
    let state = &mut x.warp.wgmma;
    let mut hazard = None;
    for (list, write) in [(&watch.reads, false), (&watch.writes, true)] {
        for slot in list {
            let slot = base + *slot as usize;
            if !state.unfinished.is_empty() && (state.accumulators.has(slot) || state.operands.has(slot)) {
                hazard = hazard.or(Some((state.accumulators.has(slot), write)));
            }
            state.touched.insert(slot);
            if write {
                state.written.insert(slot);
            }
        }
    }
    if let Some((accumulator, write)) = hazard {
        if !x.launch.settings().check_wgmma_registers() {
            if let Err(flow) = carry_out_all(x) {
                return flow;
            }
            // SAFETY: lowering made the function for this CPU.
            return unsafe { (watch.run)(x, i) };
        }
        let what = if accumulator { "an accumulator" } else { "a register of A" };
        let verb = if write { "writes" } else { "reads" };
        let message = format!("it {verb} {what} of a wgmma.mma_async that has not been waited for");
        return hazard_of(x, message);
    }
    // SAFETY: lowering made the function for this CPU.
    unsafe { (watch.run)(x, i) }
}

/// A report with the unfinished products.
#[cold]
fn hazard_of(x: &mut Exec, message: String) -> Flow {
    let mut fault = Fault::new(FaultKind::Check, HAZARD, message).at(x.mask);
    for (pc, ..) in x.warp.wgmma.unfinished.iter().take(4) {
        let site = &x.launch.program.sites[*pc as usize];
        fault = fault.detail(format!("in flight: {} at PTX line {}", site.name, site.line));
    }
    x.fail(fault)
}

fn wgmma(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.take("sync");
    m.take("aligned");
    if m.take("fence") {
        m.end()?;
        return Ok(Inst::new(run_fence));
    }
    if m.take("commit_group") {
        m.end()?;
        return Ok(Inst::new(vectorised(
            #[inline(always)]
            |x, _| run_commit(x),
        )));
    }
    if m.take("wait_group") {
        m.end()?;
        let pending = cx.literal(operand(i, 0)?).filter(|n| (0..8).contains(n));
        let pending = pending.ok_or_else(|| LowerError::Invalid("wait_group takes 0 to 7".to_owned()))?;
        let run = vectorised(
            #[inline(always)]
            |x, i| run_wait(x, i),
        );
        return Ok(Inst { imm: pending as i64, ..Inst::new(run) });
    }
    if !m.take("mma_async") {
        return Err(LowerError::Unsupported);
    }
    mma_async(cx, i, m)
}

/// Whether PTX has the shape and types.
fn has([m, n, k]: [usize; 3], a: Kind, b: Kind, d: Sum) -> bool {
    let integer = matches!(a, Kind::Int { .. } | Kind::Bit);
    let n_exists = n.is_multiple_of(8)
        && (8..=256).contains(&n)
        && (!integer || n == 8 || n == 24 || n.is_multiple_of(16));
    let kind = matches!(a, Kind::Float(_) | Kind::Int { bits: 8, .. } | Kind::Bit);
    kind && m == 64 && n_exists && k * a.bits() == 256 && a.pairs_with(b) && a.sums_to(d)
}

fn mma_async(cx: &mut Lower, i: &ast::Instruction, mut m: Mods) -> Result<Inst, LowerError> {
    let shape = m.find(tile::shape).ok_or(LowerError::Unsupported)?;
    let satfinite = m.take("satfinite");
    let single_bits = m.rest().contains(&"b1");
    let and = super::mma::bit_operation(&mut m, if single_bits { Kind::Bit } else { Kind::F64 })?;
    let d = m.find(Sum::parse).ok_or(LowerError::Unsupported)?;
    let a = m.find(Kind::parse).ok_or(LowerError::Unsupported)?;
    let b = m.find(Kind::parse).ok_or(LowerError::Unsupported)?;
    m.end()?;
    if !has(shape, a, b, d) || satfinite && !matches!(a, Kind::Int { .. }) || single_bits && !and {
        return Err(LowerError::Unsupported);
    }
    let [rows, n, k] = shape;
    let product = Product { unit: Unit::Wgmma, a, b, c: d, d, k, satfinite, and };
    let sums = d.registers(rows * n) / 4;
    let list = cx.elements(operand(i, 0)?).to_vec();
    expect("D", list.len(), sums)?;
    let mut regs = Vec::with_capacity(sums + 4);
    for element in &list {
        regs.push(cx.dst(element, Ty::B32)?);
    }
    let left = operand(i, 1)?;
    let in_registers = matches!(left, Operand::Vector(_));
    let mut inst = Inst::new(vectorised(
        #[inline(always)]
        |x, i| run_async(x, i),
    ));
    if in_registers {
        let list = cx.elements(left).to_vec();
        expect("A", list.len(), 4)?;
        for element in &list {
            regs.push(cx.src(element, Ty::B32)?);
        }
    } else {
        inst.a = cx.src(left, Ty::B64)?;
    }
    inst.b = cx.src(operand(i, 2)?, Ty::B64)?;
    inst.e = cx.pred(operand(i, 3)?)?.as_reg();
    let mut next = 4;
    let mut literal = |allowed: [i128; 2]| {
        let value = operand(i, next).ok().and_then(|operand| cx.literal(operand));
        next += 1;
        match value {
            Some(value) if allowed.contains(&value) => Ok(value == allowed[1]),
            _ => {
                Err(LowerError::Invalid(format!("operand {next}: {} or {} expected", allowed[0], allowed[1])))
            }
        }
    };
    let (mut negated, mut transposed) = ([false; 2], [false; 2]);
    if let Kind::Float(element) = a {
        negated = [literal([1, -1])?, literal([1, -1])?];
        if matches!(element, Element::F16 | Element::Bf16) {
            if !in_registers {
                transposed[0] = literal([0, 1])?;
            }
            transposed[1] = literal([0, 1])?;
        }
    }
    if i.operands.len() != next {
        return Err(LowerError::Invalid(format!("{} operands, {next} expected", i.operands.len())));
    }
    Ok(inst.with_regs(regs).with_data(Async { product, n, sums, in_registers, transposed, negated }))
}

fn run_fence(x: &mut Exec, _: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let state = &mut x.warp.wgmma;
    state.fences += 1;
    state.touched.0.fill(0);
    state.written.0.fill(0);
    Flow::Next
}

#[inline(always)]
fn run_commit(x: &mut Exec) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    x.warp.wgmma.groups += 1;
    committed(x);
    some_early(x)
}

/// The race check hears that a group ends.
fn committed(x: &mut Exec) {
    let warp = x.warp_id();
    if let Some(check) = x.cluster.check.as_mut() {
        check.wgmma_commit(warp);
    }
}

/// The race check hears of a wait for all but `pending` groups.
fn waited(x: &mut Exec, pending: u32) {
    let warp = x.warp_id();
    if let Some(check) = x.cluster.check.as_mut() {
        check.wgmma_wait(warp, pending);
    }
}

/// The race check hears what a product reads of shared memory, through the async proxy and until its group is waited for.
fn observe(x: &mut Exec, stretches: &[(u32, u32)]) -> Result<(), Flow> {
    let (warp, site, rank) = (x.warp_id(), x.site(), x.cta.rank);
    let told = x.tell(|check| {
        let op = check.wgmma_begin(warp, site);
        stretches.iter().try_for_each(|&(at, bytes)| check.wgmma_access(&op, rank, at.into(), bytes.into()))
    });
    told.map(|_| ())
}

#[inline(always)]
fn run_wait(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let pending = i.imm as u64;
    let finished = |group: u64, state: &State| group + pending < state.groups;
    while x.warp.wgmma.queue.front().is_some_and(|front| finished(front.group, &x.warp.wgmma)) {
        if let Err(flow) = carry_out_first(x) {
            return flow;
        }
    }
    let state = &mut x.warp.wgmma;
    while state.unfinished.front().is_some_and(|(_, _, group)| group + pending < state.groups) {
        state.unfinished.pop_front();
    }
    mark_unfinished(x);
    waited(x, pending as u32);
    Flow::Next
}

/// The slots of D and of A of an instruction, at a depth.
fn slots_of<'r>(
    x: &Exec<'r>,
    pc: u32,
    depth: u32,
) -> (impl Iterator<Item = usize> + 'r, impl Iterator<Item = usize> + 'r) {
    let launch = x.launch;
    let inst = &launch.program.code[pc as usize];
    let base = launch.frames.start(depth as usize).0;
    let (d, a) = inst.regs().split_at(inst.data::<Async>().sums);
    // A may hold constants.
    let frame = move |regs: &'r [Reg]| {
        regs.iter().filter(|reg| reg.file() == Reg::FRAME as usize).map(move |reg| base + reg.slot())
    };
    (frame(d), frame(a))
}

/// Marks the registers of what has not been waited for.
fn mark_unfinished(x: &mut Exec) {
    let mut state = std::mem::take(&mut x.warp.wgmma);
    state.accumulators.0.fill(0);
    state.operands.0.fill(0);
    for &(pc, depth, _) in &state.unfinished {
        let (d, a) = slots_of(x, pc, depth);
        d.for_each(|slot| state.accumulators.insert(slot));
        a.for_each(|slot| state.operands.insert(slot));
    }
    x.warp.wgmma = state;
}

/// The value that all lanes agree on.
fn uniform(x: &Exec, reg: Reg) -> Option<u64> {
    let lanes = x.read::<u64>(reg);
    lanes.iter().all(|lane| *lane == lanes[0]).then_some(lanes[0])
}

fn run_async(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let data = i.data::<Async>();
    if x.warp.index | 3 >= x.cta.warps {
        let message = "the warpgroup has fewer than four warps";
        return x.fault(FaultKind::Check, "convergence-required", message);
    }
    let scale = x.pred(super::Pred(i.e.0));
    let a = if data.in_registers { Some(0) } else { uniform(x, i.a) };
    let (Some(a), Some(b), 0 | u32::MAX) = (a, uniform(x, i.b), scale) else {
        let message = "lanes disagree about a descriptor or scale-d";
        return x.fault(FaultKind::Check, "convergence-required", message);
    };
    if x.launch.settings().check_wgmma_registers()
        && let Some(message) = hazard(x, data)
    {
        return hazard_of(x, message);
    }
    let shared = shared(x);
    let warp = x.warp.index as usize % 4;
    let mut operands = vec![("B", b, 0..data.n, data.transposed[1])];
    if !data.in_registers {
        operands.push(("A", a, 16 * warp..16 * warp + 16, data.transposed[0]));
    }
    let mut stretches = Vec::new();
    for (name, bits, rows, transposed) in operands {
        let descriptor = Descriptor::new(bits);
        match descriptor.stretches(&shared, rows, transposed) {
            Ok(found) => stretches.extend(found),
            Err(at) => {
                let message = format!(
                    "{name} with {descriptor} takes 16 bytes at {at:#x}; shared memory is {:#x} to {:#x}",
                    crate::memory::window::SHARED_RESERVED,
                    crate::memory::window::SHARED_RESERVED + shared.size
                );
                return x.fault(FaultKind::IllegalAddress, "out-of-bounds", message);
            }
        }
    }
    if let Err(flow) = observe(x, &stretches) {
        return flow;
    }
    let (pc, depth) = (x.pc, x.depth);
    let (d, left) = slots_of(x, pc, depth);
    let state = &mut x.warp.wgmma;
    d.for_each(|slot| state.accumulators.insert(slot));
    left.for_each(|slot| state.operands.insert(slot));
    let (group, fences) = (state.groups, state.fences);
    state.unfinished.push_back((pc, depth, group));
    state.queue.push_back(Issued { pc, depth, add: scale != 0, a, b, group, fences });
    some_early(x)
}

/// What is wrong with the registers of a product that is being issued.
fn hazard(x: &Exec, data: &Async) -> Option<String> {
    let state = &x.warp.wgmma;
    if state.fences == 0 {
        return Some("no wgmma.fence before the first wgmma.mma_async".to_owned());
    }
    let (mut d, mut a) = slots_of(x, x.pc, x.depth);
    if d.any(|slot| state.touched.has(slot)) {
        return Some("an accumulator was touched after the last wgmma.fence".to_owned());
    }
    let (d, left) = slots_of(x, x.pc, x.depth);
    if a.any(|slot| state.written.has(slot)) {
        return Some("a register of A was written after the last wgmma.fence".to_owned());
    }
    if state.unfinished.is_empty() {
        return None;
    }
    let d: Vec<usize> = d.collect();
    if left.into_iter().any(|slot| state.accumulators.has(slot)) {
        return Some("A is an accumulator of a wgmma.mma_async that has not been waited for".to_owned());
    }
    if d.iter().any(|slot| state.operands.has(*slot)) {
        return Some(
            "an accumulator is a register of A of a wgmma.mma_async that has not been waited for".to_owned(),
        );
    }
    if !d.iter().any(|slot| state.accumulators.has(*slot)) {
        return None;
    }
    for issued in state.queue.iter().filter(|issued| issued.fences == state.fences) {
        let other = x.launch.program.code[issued.pc as usize].data::<Async>();
        let same =
            other.n == data.n && other.product.k == data.product.k && other.product.d == data.product.d;
        if !same && slots_of(x, issued.pc, issued.depth).0.any(|slot| d.contains(&slot)) {
            return Some(
                "an accumulator of a wgmma.mma_async of another shape, without wgmma.fence".to_owned(),
            );
        }
    }
    None
}

fn shared(x: &Exec) -> Shared {
    let (start, size) = x.cluster.shared[x.cta.rank as usize];
    Shared { start, size }
}

/// Under the random schedule some products are carried out before anybody waits for them.
#[inline(always)]
fn some_early(x: &mut Exec) -> Flow {
    if x.launch.settings().schedule == Schedule::Random {
        while !x.warp.wgmma.queue.is_empty() && x.worker.rng.below(4) == 0 {
            if let Err(flow) = carry_out_first(x) {
                return flow;
            }
        }
    }
    Flow::Next
}

/// Carries out all products, in order.
#[cold]
fn carry_out_all(x: &mut Exec) -> Result<(), Flow> {
    while !x.warp.wgmma.queue.is_empty() {
        carry_out_first(x)?;
    }
    Ok(())
}

/// Carries out the oldest product, in all lanes even if only some are here.
#[inline(always)]
fn carry_out_first(x: &mut Exec) -> Result<(), Flow> {
    let Some(issued) = x.warp.wgmma.queue.pop_front() else { return Ok(()) };
    let (mask, depth) = (x.mask, x.depth);
    let elsewhere = depth != issued.depth || mask != u32::MAX;
    if elsewhere {
        x.enter(u32::MAX, issued.depth);
    }
    let done = carry_out(x, &issued);
    if elsewhere {
        x.enter(mask, depth);
    }
    done
}

#[inline(always)]
fn carry_out(x: &mut Exec, issued: &Issued) -> Result<(), Flow> {
    let launch = x.launch;
    let inst = &launch.program.code[issued.pc as usize];
    let data = inst.data::<Async>();
    let (d, a) = inst.regs().split_at(data.sums);
    let shared = shared(x);
    let warp = x.warp.index as usize % 4;
    let mut rows: Rows = [[0; 32]; 16];
    if data.in_registers {
        rows = load_rows(&super::mma::read_all::<4>(x, a), 16);
    } else {
        let rows_of_warp = 16 * warp..16 * warp + 16;
        Descriptor::new(issued.a).load(&shared, rows_of_warp, data.transposed[0], &mut rows);
    }
    let mut columns: [Columns; 32] = [[[0; 32]; 8]; 32];
    let blocks = data.n / 8;
    let columns = &mut columns[..blocks];
    Descriptor::new(issued.b).load(&shared, 0..data.n, data.transposed[1], columns.as_flattened_mut());
    negate(data.product.a, data.negated[0], &mut rows);
    negate(data.product.b, data.negated[1], columns.as_flattened_mut());
    let mut sums: [Sums; 32] = [[[0; 8]; 16]; 32];
    let sums = &mut sums[..blocks];
    let per_block = data.sums / blocks;
    if issued.add {
        for (sums, regs) in sums.iter_mut().zip(d.chunks_exact(per_block)) {
            *sums = tile::load_sums(data.product.d, &super::mma::read_all::<4>(x, regs)[..per_block]);
        }
    }
    if multiply(&data.product, tile::how(x), &rows, columns, sums).is_err() {
        return Err(tile::no_model(x));
    }
    for (sums, regs) in sums.iter().zip(d.chunks_exact(per_block)) {
        for (r, reg) in regs.iter().enumerate() {
            x.write(*reg, &tile::store_sums(data.product.d, sums, r));
        }
    }
    Ok(())
}

/// Turns the signs of all elements.
fn negate(kind: Kind, negated: bool, rows: &mut [Row]) {
    if negated {
        let bytes = kind.bits() / 8;
        for row in rows {
            row.iter_mut().skip(bytes - 1).step_by(bytes).for_each(|byte| *byte ^= 0x80);
        }
    }
}
