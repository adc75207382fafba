//! Registers: liveness, and as few slots as it allows, so that a warp's registers stay in the cache.
//!
//! Lanes write only their own part of a register and each lane follows the control flow graph, so ordinary liveness is
//! right however lanes diverge, provided that a lane's part is the same in all registers that share a slot: a lane of a
//! 64-bit register lies where two other lanes of a 32-bit one would. So the widths have slots of their own.

use std::collections::HashMap;

use gpusim_ptx::ast::{Body, Instruction, Operand};

use crate::inst::{Pred, Reg, RegInfo, Ty};

/// Opcodes whose first operand is written and not read. Others are taken to read all they name, which makes lives longer
/// but is never wrong.
const WRITES_FIRST: &[&str] = &[
    "abs",
    "activemask",
    "add",
    "addc",
    "and",
    "atom",
    "bfe",
    "bfi",
    "bfind",
    "bmsk",
    "brev",
    "clz",
    "cnot",
    "copysign",
    "cos",
    "cvt",
    "cvta",
    "div",
    "dp2a",
    "dp4a",
    "ex2",
    "fma",
    "fns",
    "isspacep",
    "ld",
    "ldmatrix",
    "ldu",
    "lg2",
    "lop3",
    "mad",
    "mad24",
    "madc",
    "mapa",
    "match",
    "max",
    "min",
    "mma",
    "mov",
    "movmatrix",
    "mul",
    "mul24",
    "neg",
    "not",
    "or",
    "popc",
    "prmt",
    "rcp",
    "redux",
    "rem",
    "rsqrt",
    "sad",
    "selp",
    "set",
    "setp",
    "shf",
    "shfl",
    "shl",
    "shr",
    "sin",
    "slct",
    "sqrt",
    "sub",
    "subc",
    "szext",
    "tanh",
    "testp",
    "vote",
    "xor",
];

/// Predicates that every frame begins with: true, and the carry of `add.cc` and its like.
const FIRST_PRED: usize = 2;

/// The carry flag.
pub(crate) const CARRY: Pred = Pred(2);

/// The registers of a function, and the size of its frame.
pub(crate) struct Allocation {
    pub regs: HashMap<String, RegInfo>,
    /// Slots of registers of more than 32 bits, which come first, and of the others.
    wide: usize,
    narrow: usize,
    pub slots: usize,
    pub preds: usize,
    /// Slots and predicate for discarded results.
    pub sink: (Reg, Pred),
}

/// Indices of the registers of a body, by the name that operands use.
struct Names {
    types: Vec<Ty>,
    names: Vec<String>,
    index: HashMap<String, usize>,
}

impl Names {
    fn of(body: &Body) -> Names {
        let mut names = Names { types: Vec::new(), names: Vec::new(), index: HashMap::new() };
        for (name, ty, length) in &body.registers {
            if *length <= 1 {
                names.add(name.clone(), (*ty).into());
            } else {
                (0..*length).for_each(|component| names.add(format!("{name}.{component}"), (*ty).into()));
            }
        }
        names
    }

    fn add(&mut self, name: String, ty: Ty) {
        self.index.insert(name.clone(), self.types.len());
        self.names.push(name);
        self.types.push(ty);
    }

    /// Calls `f` with every register in an operand.
    fn each(&self, operand: &Operand, f: &mut impl FnMut(usize)) {
        match operand {
            Operand::Name(name) => {
                if let Some(at) = self.index.get(name) {
                    f(*at);
                } else {
                    // A vector register as a whole, or with a selector such as `.b0`.
                    let stem = name.split('.').next().unwrap_or(name);
                    if let Some(at) = self.index.get(stem) {
                        f(*at);
                    }
                    (0..8).map_while(|c| self.index.get(&format!("{name}.{c}"))).for_each(|at| f(*at));
                }
            }
            Operand::Component(name, c) => {
                if let Some(at) = self.index.get(&format!("{name}.{c}")) {
                    f(*at);
                }
            }
            Operand::Vector(list) | Operand::List(list) => list.iter().for_each(|o| self.each(o, f)),
            Operand::Address(address) => {
                self.each(&address.base, f);
                address.coordinates.iter().for_each(|o| self.each(o, f));
            }
            Operand::Pair(a, b) => {
                self.each(a, f);
                self.each(b, f);
            }
            Operand::Not(inner) => self.each(inner, f),
            Operand::Offset(name, _) => {
                if let Some(at) = self.index.get(name) {
                    f(*at);
                }
            }
            Operand::Int(_) | Operand::F32(_) | Operand::F64(_) | Operand::Sink => {}
        }
    }

    fn uses_and_defs(&self, i: &Instruction, uses: &mut Vec<usize>, defs: &mut Vec<usize>) {
        uses.clear();
        defs.clear();
        if let Some((name, _)) = &i.guard {
            uses.extend(self.index.get(name));
        }
        let writes = i.guard.is_none() && WRITES_FIRST.binary_search(&&*i.opcode).is_ok();
        for (n, operand) in i.operands.iter().enumerate() {
            let list = if n == 0 && writes { &mut *defs } else { &mut *uses };
            self.each(operand, &mut |at| list.push(at));
        }
    }
}

/// Where the control flow goes from the instruction at `at`.
fn successors(body: &Body, at: usize, labels: &HashMap<&str, usize>, out: &mut Vec<usize>) {
    out.clear();
    let i = &body.code[at];
    let mut falls = true;
    match &*i.opcode {
        "bra" => {
            if let Some(Operand::Name(label)) = i.operands.first() {
                out.extend(labels.get(label.as_str()));
            }
            falls = i.guard.is_some();
        }
        "brx" => {
            if let Some(Operand::Name(list)) = i.operands.get(1) {
                let names = body.targets.iter().filter(|(name, _)| name == list).flat_map(|(_, names)| names);
                out.extend(names.filter_map(|name| labels.get(name.as_str())));
            }
            falls = i.guard.is_some();
        }
        "ret" | "exit" | "trap" => falls = i.guard.is_some(),
        _ => {}
    }
    if falls {
        out.push(at + 1);
    }
    out.retain(|target| *target < body.code.len());
}

/// A set of registers.
#[derive(Clone, PartialEq)]
struct Set(Vec<u64>);

impl Set {
    fn new(size: usize) -> Set {
        Set(vec![0; size.div_ceil(64)])
    }

    fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn remove(&mut self, at: usize) {
        self.0[at / 64] &= !(1 << (at % 64));
    }

    fn add(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| word * 64 + bit)
        })
    }
}

/// First and last instruction at which each register is alive; None if it never is.
fn lives(body: &Body, names: &Names) -> Vec<Option<(usize, usize)>> {
    let count = names.types.len();
    let length = body.code.len();
    let labels: HashMap<&str, usize> = body.labels.iter().map(|(name, at)| (name.as_str(), *at)).collect();
    let (mut uses, mut defs, mut next) = (Vec::new(), Vec::new(), Vec::new());

    // Blocks begin at labels and after branches.
    let mut begins = vec![false; length + 1];
    begins[0] = true;
    labels.values().for_each(|at| begins[(*at).min(length)] = true);
    for at in 0..length {
        if matches!(&*body.code[at].opcode, "bra" | "brx" | "ret" | "exit" | "trap") {
            begins[at + 1] = true;
        }
    }
    let starts: Vec<usize> = (0..length).filter(|at| begins[*at]).collect();
    let block_of: Vec<usize> = {
        let mut block = 0;
        (0..length)
            .map(|at| {
                block += usize::from(begins[at]);
                block - 1
            })
            .collect()
    };
    let end = |block: usize| starts.get(block + 1).copied().unwrap_or(length);

    let blocks = starts.len();
    let mut reads = vec![Set::new(count); blocks];
    let mut kills = vec![Set::new(count); blocks];
    let mut follow: Vec<Vec<usize>> = Vec::new();
    for block in 0..blocks {
        for at in (starts[block]..end(block)).rev() {
            names.uses_and_defs(&body.code[at], &mut uses, &mut defs);
            for def in &defs {
                reads[block].remove(*def);
                kills[block].insert(*def);
            }
            uses.iter().for_each(|at| reads[block].insert(*at));
        }
        successors(body, end(block) - 1, &labels, &mut next);
        follow.push(next.iter().map(|at| block_of[*at]).collect());
    }
    let mut live_in = reads.clone();
    let mut live_out = vec![Set::new(count); blocks];
    loop {
        let mut changed = false;
        for block in (0..blocks).rev() {
            let mut out = Set::new(count);
            follow[block].iter().for_each(|at| out.add(&live_in[*at]));
            if out != live_out[block] {
                changed = true;
                let mut through = out.clone();
                through.0.iter_mut().zip(&kills[block].0).for_each(|(a, b)| *a &= !b);
                live_in[block].add(&through);
                live_out[block] = out;
            }
        }
        if !changed {
            break;
        }
    }

    let mut lives: Vec<Option<(usize, usize)>> = vec![None; count];
    let mut extend = |reg: usize, at: usize| {
        let (first, last) = lives[reg].unwrap_or((at, at));
        lives[reg] = Some((first.min(at), last.max(at)));
    };
    for block in 0..blocks {
        live_in[block].iter().for_each(|reg| extend(reg, starts[block]));
        live_out[block].iter().for_each(|reg| extend(reg, end(block) - 1));
        for at in starts[block]..end(block) {
            names.uses_and_defs(&body.code[at], &mut uses, &mut defs);
            uses.iter().chain(&defs).for_each(|reg| extend(*reg, at));
        }
    }
    lives
}

/// Slots in use, by the last instruction that needs them.
#[derive(Default)]
struct Slots(Vec<Option<usize>>);

impl Slots {
    /// `size` neighbouring slots that are free at `first`, taken until `last`.
    fn take(&mut self, size: usize, first: usize, last: usize) -> usize {
        let free = |slot: &Option<usize>| slot.is_none_or(|until| until < first);
        let mut at = 0;
        while let Some(taken) = (at..at + size).rev().find(|s| self.0.get(*s).is_some_and(|slot| !free(slot)))
        {
            at = taken + 1;
        }
        if self.0.len() < at + size {
            self.0.resize(at + size, None);
        }
        self.0[at..at + size].fill(Some(last));
        at
    }
}

/// Gives every register of `body` its place. `fixed` registers (parameters) live from the start to the end.
pub(crate) fn allocate(body: &Body, fixed: &[&str]) -> Allocation {
    let names = Names::of(body);
    let mut lives = lives(body, &names);
    for name in fixed {
        if let Some(at) = names.index.get(*name) {
            lives[*at] = Some((0, usize::MAX));
        }
    }
    // wgmma reads and writes registers later than the instruction stands; besides, hazards are told by slots.
    for operand in body.code.iter().filter(|i| &*i.opcode == "wgmma").flat_map(|i| &i.operands) {
        if matches!(operand, Operand::Vector(_)) {
            names.each(operand, &mut |at| lives[at] = Some((0, usize::MAX)));
        }
    }
    let mut order: Vec<usize> = (0..names.types.len()).filter(|reg| lives[*reg].is_some()).collect();
    order.sort_by_key(|reg| lives[*reg]);
    let (mut wide, mut narrow, mut preds) = (Slots::default(), Slots::default(), Slots::default());
    let mut places = Vec::new();
    for reg in order {
        let Some((first, last)) = lives[reg] else { continue };
        let pool = match (names.types[reg], names.types[reg].slots()) {
            (Ty::Pred, _) => &mut preds,
            (_, 1) => &mut narrow,
            _ => &mut wide,
        };
        places.push((reg, pool.take(names.types[reg].slots().max(1), first, last)));
    }
    let mut regs = HashMap::new();
    for (reg, at) in places {
        let ty = names.types[reg];
        let place = match (ty, ty.slots()) {
            (Ty::Pred, _) => Pred::new(FIRST_PRED + at).as_reg(),
            (_, 1) => Reg::new(Reg::FRAME, wide.0.len() + at),
            _ => Reg::new(Reg::FRAME, at),
        };
        regs.insert(names.names[reg].clone(), RegInfo { ty, reg: place });
    }
    let (wide, narrow, preds) = (wide.0.len(), narrow.0.len(), FIRST_PRED + preds.0.len());
    let sink = (Reg::new(Reg::FRAME, wide + narrow), Pred::new(preds));
    Allocation { regs, wide, narrow, slots: wide + narrow + SINK, preds: preds + 1, sink }
}

/// Slots for discarded results: 128 bits.
const SINK: usize = 4;

/// Gives functions that are called frames of one shape: lanes of a warp may be in different ones at one depth, and what is
/// true inside a function, that a slot holds one width only, has to be true of all of them together.
pub(crate) fn align(callees: &mut [&mut Allocation]) {
    let most = |of: fn(&Allocation) -> usize| callees.iter().map(|a| of(a)).max().unwrap_or(0);
    let (wide, narrow) = (most(|a| a.wide), most(|a| a.narrow));
    for allocation in callees {
        let shift = (wide - allocation.wide) as u32;
        for info in allocation.regs.values_mut() {
            if info.ty != Ty::Pred && info.ty.slots() == 1 {
                info.reg = Reg(info.reg.0 + shift);
            }
        }
        (allocation.wide, allocation.narrow) = (wide, narrow);
        allocation.slots = wide + narrow + SINK;
        allocation.sink.0 = Reg::new(Reg::FRAME, wide + narrow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        let head = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {\n";
        let module = gpusim_ptx::parse(&format!("{head}{text}\n}}")).unwrap();
        module.functions[0].body.clone().unwrap()
    }

    #[test]
    fn the_list_of_opcodes_is_sorted() {
        assert!(WRITES_FIRST.is_sorted());
    }

    #[test]
    fn a_chain_of_values_needs_two_slots() {
        let mut text = ".reg .b32 %r<100>;\nmov.u32 %r0, 1;\n".to_owned();
        for n in 1..100 {
            text += &format!("add.u32 %r{n}, %r{}, 1;\n", n - 1);
        }
        let allocation = allocate(&body(&(text + "ret;")), &[]);
        assert_eq!(allocation.slots, 2 + 4);
    }

    /// Lane 0 may still be before the conversion, with `%r1` alive, when lane 1 has written `%d1`.
    #[test]
    fn registers_of_different_widths_share_no_slot() {
        let text = ".reg .b32 %r<3>; .reg .b64 %d<3>;
            mov.u32 %r0, 7; add.u32 %r1, %r0, 1; cvt.u64.u32 %d0, %r1; add.u64 %d1, %d0, 1;
            cvt.u32.u64 %r2, %d1; add.u32 %r2, %r2, 1; cvt.u64.u32 %d2, %r2; ret;";
        let allocation = allocate(&body(text), &[]);
        let at = |name: &str| allocation.regs[name].reg.slot();
        let wide: Vec<usize> = ["%d0", "%d1", "%d2"].iter().flat_map(|d| [at(d), at(d) + 1]).collect();
        assert!(["%r0", "%r1", "%r2"].iter().all(|r| !wide.contains(&at(r))), "{wide:?}");
    }

    #[test]
    fn registers_of_different_width_share_no_slot_between_functions_either() {
        let mut one = allocate(&body(".reg .b64 %d<9>; mov.u64 %d0, 1; add.u64 %d1, %d0, 1; ret;"), &[]);
        let mut other = allocate(&body(".reg .b32 %r<9>; mov.u32 %r0, 1; add.u32 %r1, %r0, 1; ret;"), &[]);
        align(&mut [&mut one, &mut other]);
        let slots = |of: &Allocation| of.regs.values().map(|info| info.reg.slot()).collect::<Vec<_>>();
        let wide: Vec<usize> = slots(&one).iter().flat_map(|at| [*at, at + 1]).collect();
        assert!(slots(&other).iter().all(|at| !wide.contains(at)), "{wide:?} {:?}", slots(&other));
        assert_eq!((one.sink, one.slots), (other.sink, other.slots));
        assert!(slots(&other).iter().chain(&wide).all(|at| *at < one.sink.0.slot()));
    }

    #[test]
    fn registers_of_different_width_never_share_a_slot() {
        let text = ".reg .b32 %r<3>; .reg .b64 %d<3>;
            mov.u32 %r0, 1; add.u32 %r1, %r0, 1; add.u32 %r2, %r1, 1;
            mov.u64 %d0, 1; add.u64 %d1, %d0, 1; add.u64 %d2, %d1, 1; ret;";
        let allocation = allocate(&body(text), &[]);
        let slot = |name: &str| allocation.regs[name].reg.slot();
        for narrow in ["%r0", "%r1", "%r2"] {
            for wide in ["%d0", "%d1", "%d2"] {
                assert!(!(slot(wide)..slot(wide) + 2).contains(&slot(narrow)), "{narrow} and {wide}");
            }
        }
    }

    #[test]
    fn a_value_used_after_a_loop_keeps_its_slot_through_the_loop() {
        let text = ".reg .b32 %r<4>; .reg .pred %p;
            mov.u32 %r0, 7; mov.u32 %r1, 0;
            L: add.u32 %r2, %r1, 1; mov.u32 %r1, %r2; setp.lt.u32 %p, %r1, 10; @%p bra L;
            add.u32 %r3, %r0, %r1; ret;";
        let allocation = allocate(&body(text), &[]);
        let at = |name: &str| allocation.regs[name].reg;
        assert!(at("%r0") != at("%r1") && at("%r0") != at("%r2") && at("%r1") != at("%r2"));
    }

    #[test]
    fn a_guarded_write_keeps_what_was_there() {
        let text = ".reg .b32 %r<4>; .reg .pred %p;
            mov.u32 %r0, 7; setp.eq.u32 %p, %r0, 1; mov.u32 %r2, 5;
            @%p mov.u32 %r2, 6; mov.u32 %r3, 1; add.u32 %r3, %r3, %r2; ret;";
        let allocation = allocate(&body(text), &[]);
        let at = |name: &str| allocation.regs[name].reg;
        assert!(at("%r2") != at("%r3"));
    }
}
