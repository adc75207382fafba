//! A module as it runs.

use gpusim_ptx::ast::Location;

use super::{Pool, SpecialPool};
use crate::inst::{Inst, Reg, Work};

/// Code and constants of a module.
pub(crate) struct Program {
    /// The instructions of all functions.
    pub code: Vec<Inst>,
    /// Where each comes from.
    pub sites: Vec<Site>,
    pub pool: Pool,
    pub specials: SpecialPool,
    pub functions: Vec<FunctionInfo>,
    /// `.file` entries.
    pub files: Vec<(u32, String)>,
    /// The number of the module's `.target sm_…`.
    pub target: u32,
    /// Slots and predicates of the largest frame of a `.func`.
    pub callee_frame: (usize, usize),
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("instructions", &self.code.len()).finish_non_exhaustive()
    }
}

/// Where an instruction comes from.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Line in the PTX text.
    pub line: u32,
    /// Opcode and modifiers.
    pub name: Box<str>,
    pub location: Option<Location>,
    /// What it counts as.
    pub work: Work,
    /// Index of its function.
    pub function: u32,
}

/// Where a parameter or result of a device function lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParamPlace {
    /// In the frame: offset and bytes.
    Frame(u32, u32),
    /// In registers: the first slot, and how many.
    Register(Reg, usize),
}

/// What calls and launches need to know about a function.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionInfo {
    pub name: String,
    pub entry: bool,
    /// Whether it has a body here.
    pub defined: bool,
    /// Its first instruction.
    pub start: u32,
    /// Slots and predicates of its frame.
    pub slots: usize,
    pub preds: usize,
    /// Bytes of its frame in local memory.
    pub frame_bytes: u32,
    /// As above with the frames of all that it calls; of a cycle of calls, only once round.
    pub stack_bytes: u32,
    /// Whether it reaches a cycle of calls or an indirect call.
    pub recursive: bool,
    pub params: Vec<ParamPlace>,
    pub returns: Vec<ParamPlace>,
}
