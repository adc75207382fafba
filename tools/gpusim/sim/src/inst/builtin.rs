//! Functions that nvcc's code calls and nobody defines: `vprintf`, `malloc`, `free`, `__assertfail`.

use gpusim_ptx::ast;

use super::{Inst, Lower, LowerError};

/// Lowers a call of the undefined function `name`.
pub(super) fn lower(_cx: &mut Lower, _i: &ast::Instruction, name: &str) -> Result<Inst, LowerError> {
    Err(LowerError::UnsupportedBecause(format!("function {name} is not defined")))
}
