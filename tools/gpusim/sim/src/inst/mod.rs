//! Decoded instructions and the families they come from.
//!
//! # Adding an instruction
//!
//! 1. Take the file of its family, or make one: `src/inst/family.rs`, with `pub(super) const TABLE: &[Entry]` that maps
//!    opcodes to lowering functions, and add `family::TABLE` to [`FAMILIES`].
//! 2. A lowering function is `fn lower(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError>`. Several families may have
//!    the same opcode (`add` of integers, of floats, of halves): return [`LowerError::NotMine`] for types of another.
//! 3. Read the modifiers as a set: `let mut m = Mods::of(i)`, `m.take("sat")`, `m.ty()`, at last `m.end()?`, which is an
//!    error if something was not taken. An unknown modifier must never be ignored.
//! 4. Resolve operands: [`Lower::src`] (register, immediate, special register or symbol: all of them become a [`Reg`] with 32
//!    lanes), [`Lower::dst`], [`Lower::pred`], [`Lower::dst_pred`], [`Lower::address`], [`Lower::elements`] of `{…}`.
//! 5. Choose what runs. Lane by lane: `Inst::new(map2(|a: i32, b: i32| a.wrapping_add(b)))` with operands in `d`, `a`, `b`
//!    ([`map1`] to [`map4`], [`test2`] for predicates); the closures capture nothing, each makes a function of its own, compiled for
//!    AVX-512 too. Otherwise write `fn run(x: &mut Exec, i: &Inst) -> Flow`: executing lanes are `x.mask`; read with `x.read::<u32>(i.a)`,
//!    write with `x.write(i.d, &values)`, which leaves other lanes alone; more operands go to `i.regs()`
//!    ([`Inst::with_regs`]), settings to `imm` and `aux`, anything else to [`Inst::with_data`]. Read every source before the first
//!    write: a destination may be one of the sources.
//! 6. Memory: only through `Exec::locate` and what stands upon it (`exec/access.rs`): bounds, alignment, races and
//!    counters are dealt with there.
//! 7. Waiting: return [`Flow::Wait`]; the instruction runs again when the wait is over (`exec/group.rs`).
//! 8. Faults: `return x.fault(…)`. Wrong operands of a program are faults, not panics.
//! 9. Predicated-off instructions do not run at all; an instruction that runs has at least one lane in `x.mask`.
//! 10. Destinations come first for liveness; an opcode that writes no register, or reads what stands first, is listed in
//!     `module/slots.rs` if it should not lengthen lives. Not being listed is never wrong.

mod lanes;
mod lower;
mod types;
mod work;

mod approx;
mod atomic;
mod barrier;
mod bits;
mod builtin;
mod carry;
mod compare;
mod control;
mod convert;
mod convert_packed;
mod double;
mod float;
mod float_compare;
mod half;
mod int;
mod lanewise;
mod memory;
mod mixed;
mod mov;
mod warp;

// Tensor cores.
mod matrix_copy;
mod mma;
mod tile;
pub(crate) mod wgmma;
mod wgmma_operand;
mod wmma;

// Asynchronous copies, mbarriers, clusters.
mod bulk;
mod cluster;
mod control_hopper;
mod copy_async;
mod fence;
mod mbarrier;
mod tensor_copy;
mod tensormap;

pub(crate) use lanes::{Elem, map1, map2, map3, map4, test2};
pub(crate) use lower::{Address, Lower, LowerError, Mods, Place, RegInfo, Symbol, operand};
pub(crate) use types::Ty;
pub(crate) use work::Work;

use std::any::Any;
use std::fmt;

use gpusim_ptx::ast;

use crate::exec::{Exec, FaultKind};

/// An opcode and what lowers it.
pub(crate) type Entry = (&'static str, fn(&mut Lower, &ast::Instruction) -> Result<Inst, LowerError>);

/// Every family, asked in this order.
const FAMILIES: &[&[Entry]] = &[
    // First, for `st.async` and `red.async` among the others' opcodes.
    copy_async::TABLE,
    bulk::TABLE,
    tensor_copy::TABLE,
    tensormap::TABLE,
    mbarrier::TABLE,
    fence::TABLE,
    cluster::TABLE,
    control_hopper::TABLE,
    control::TABLE,
    float::TABLE,
    half::TABLE,
    double::TABLE,
    approx::TABLE,
    mixed::TABLE,
    convert::TABLE,
    float_compare::TABLE,
    int::TABLE,
    bits::TABLE,
    carry::TABLE,
    compare::TABLE,
    barrier::TABLE,
    warp::TABLE,
    atomic::TABLE,
    memory::TABLE,
    mov::TABLE,
    mma::TABLE,
    wmma::TABLE,
    matrix_copy::TABLE,
    wgmma::TABLE,
];

/// What an instruction runs. Unsafe because it may be compiled for a CPU's extensions; whoever makes an [`Inst`] has
/// seen to it that the CPU has them.
pub(crate) type Run = unsafe fn(&mut Exec, &Inst) -> Flow;

/// What happens after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Flow {
    /// Go on at `Exec::next`.
    Next,
    /// Go on at `Exec::next`, but let other groups and warps have their turn first.
    Yield,
    /// The groups of the warp changed (a split, an exit): choose again.
    Regroup,
    /// The group waits as `Exec::wait` says and runs the instruction again afterwards.
    Wait,
    /// `Exec` holds a fault.
    Fault,
}

/// A register operand: 32 lanes of 32 bits, or two such slots for 64 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reg(pub(crate) u32);

impl Reg {
    /// Registers of the current frame.
    pub(crate) const FRAME: u32 = 0;
    /// Constants of the module, shared by all warps and never written.
    pub(crate) const CONSTANT: u32 = 1;
    /// Special registers of the warp.
    pub(crate) const SPECIAL: u32 = 2;
    /// No register.
    pub(crate) const NONE: Reg = Reg(u32::MAX);

    pub(crate) fn new(file: u32, slot: usize) -> Reg {
        Reg(file << 30 | slot as u32)
    }

    #[inline(always)]
    pub(crate) fn file(self) -> usize {
        (self.0 >> 30) as usize
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> usize {
        (self.0 & 0x3FFF_FFFF) as usize
    }

    /// The same bits as a predicate operand.
    #[inline(always)]
    pub(crate) fn as_pred(self) -> Pred {
        Pred(self.0)
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Reg::NONE => f.write_str("-"),
            reg => write!(f, "{}{}", ["r", "c", "s", "?"][reg.file()], reg.slot()),
        }
    }
}

/// A predicate operand: index in the frame times two, plus one if negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pred(pub(crate) u32);

impl Pred {
    /// No predicate.
    pub(crate) const NONE: Pred = Pred(u32::MAX);
    /// Index 0 of every frame holds true.
    pub(crate) const TRUE: Pred = Pred(0);
    /// Its negation.
    pub(crate) const FALSE: Pred = Pred(1);

    pub(crate) fn new(index: usize) -> Pred {
        Pred((index as u32) << 1)
    }

    pub(crate) fn negated(self) -> Pred {
        Pred(self.0 ^ 1)
    }

    /// The same bits as a field of an [`Inst`].
    pub(crate) fn as_reg(self) -> Reg {
        Reg(self.0)
    }
}

/// A decoded instruction.
pub(crate) struct Inst {
    /// What runs.
    pub run: Run,
    /// `@p`; [`Pred::NONE`] runs always.
    pub guard: Pred,
    /// Destination.
    pub d: Reg,
    /// Sources.
    pub a: Reg,
    pub b: Reg,
    pub c: Reg,
    pub e: Reg,
    /// Whatever the family wants: flags, a mask, a size.
    pub aux: u32,
    /// An offset or constant.
    pub imm: i64,
    /// What few instructions need.
    pub ext: Option<Box<Ext>>,
}

/// The rarely needed part of an [`Inst`].
#[derive(Default)]
pub(crate) struct Ext {
    pub regs: Vec<Reg>,
    /// Registers of `wgmma` that another instruction touches.
    pub watch: Option<wgmma::Watch>,
    pub data: Option<Box<dyn Any + Send + Sync>>,
}

impl Inst {
    /// An instruction without operands; fill in what it has.
    pub(crate) fn new(run: Run) -> Inst {
        let none = Reg::NONE;
        Inst {
            run,
            guard: Pred::NONE,
            d: none,
            a: none,
            b: none,
            c: none,
            e: none,
            aux: 0,
            imm: 0,
            ext: None,
        }
    }

    /// Adds a list of registers, for vectors.
    pub(crate) fn with_regs(mut self, regs: Vec<Reg>) -> Inst {
        self.ext.get_or_insert_default().regs = regs;
        self
    }

    /// Adds data of the family's own type.
    pub(crate) fn with_data<T: Any + Send + Sync>(mut self, data: T) -> Inst {
        self.ext.get_or_insert_default().data = Some(Box::new(data));
        self
    }

    /// The registers of [`Inst::with_regs`].
    #[inline]
    pub(crate) fn regs(&self) -> &[Reg] {
        self.ext.as_ref().map_or(&[], |ext| &ext.regs)
    }

    /// The data of [`Inst::with_data`]; the family knows its type.
    #[inline]
    pub(crate) fn data<T: Any>(&self) -> &T {
        let data = self.ext.as_ref().and_then(|ext| ext.data.as_ref());
        data.and_then(|data| data.downcast_ref()).expect("lowering attached data of this type")
    }
}

/// Lowers an instruction by the first family that takes it.
pub(crate) fn lower(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let entries = FAMILIES.iter().copied().flatten().filter(|(opcode, _)| *opcode == &*i.opcode);
    for (_, lower) in entries {
        match lower(cx, i) {
            Err(LowerError::NotMine) => {}
            other => return other,
        }
    }
    Err(LowerError::Unsupported)
}

/// Opcode and modifiers as written.
pub(crate) fn name(i: &ast::Instruction) -> String {
    let mut text = i.opcode.to_string();
    for modifier in &i.modifiers {
        text.push('.');
        text.push_str(modifier);
    }
    text
}

/// An instruction that faults with its name.
pub(crate) fn unsupported(name: String) -> Inst {
    fn run(x: &mut Exec, i: &Inst) -> Flow {
        x.fault(FaultKind::Unsupported, "unsupported instruction", i.data::<String>().clone())
    }
    Inst::new(run).with_data(name)
}

/// Compiles an instruction's function for AVX-512 too. The closure captures nothing and should be `#[inline(always)]`.
pub(crate) fn vectorised<F: Fn(&mut Exec, &Inst) -> Flow + Copy + 'static>(f: F) -> Run {
    lanes::vectorised(f)
}
