//! Types of operands.

use gpusim_ptx::ast;

/// A type that an instruction's modifiers can name. Packed and narrow formats beyond these are their families' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ty {
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    Tf32,
    F32,
    F64,
    Pred,
}

impl Ty {
    pub(crate) fn parse(text: &str) -> Option<Ty> {
        Some(match text {
            "b8" => Ty::B8,
            "b16" => Ty::B16,
            "b32" => Ty::B32,
            "b64" => Ty::B64,
            "b128" => Ty::B128,
            "u8" => Ty::U8,
            "u16" => Ty::U16,
            "u32" => Ty::U32,
            "u64" => Ty::U64,
            "s8" => Ty::S8,
            "s16" => Ty::S16,
            "s32" => Ty::S32,
            "s64" => Ty::S64,
            "f16" => Ty::F16,
            "f16x2" => Ty::F16x2,
            "bf16" => Ty::Bf16,
            "bf16x2" => Ty::Bf16x2,
            "tf32" => Ty::Tf32,
            "f32" => Ty::F32,
            "f64" => Ty::F64,
            "pred" => Ty::Pred,
            _ => return None,
        })
    }

    /// Bits of a value; 1 for a predicate.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Ty::Pred => 1,
            Ty::B8 | Ty::U8 | Ty::S8 => 8,
            Ty::B16 | Ty::U16 | Ty::S16 | Ty::F16 | Ty::Bf16 => 16,
            Ty::B32 | Ty::U32 | Ty::S32 | Ty::F32 | Ty::Tf32 | Ty::F16x2 | Ty::Bf16x2 => 32,
            Ty::B64 | Ty::U64 | Ty::S64 | Ty::F64 => 64,
            Ty::B128 => 128,
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    /// Slots of a register that holds it.
    pub(crate) fn slots(self) -> usize {
        self.bits().div_ceil(32) as usize
    }

    pub(crate) fn is_signed(self) -> bool {
        matches!(self, Ty::S8 | Ty::S16 | Ty::S32 | Ty::S64)
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Ty::F16 | Ty::F16x2 | Ty::Bf16 | Ty::Bf16x2 | Ty::Tf32 | Ty::F32 | Ty::F64)
    }
}

impl From<ast::Type> for Ty {
    fn from(ty: ast::Type) -> Ty {
        match ty {
            ast::Type::B8 => Ty::B8,
            ast::Type::B16 => Ty::B16,
            ast::Type::B32 => Ty::B32,
            ast::Type::B64 | ast::Type::Opaque => Ty::B64,
            ast::Type::B128 => Ty::B128,
            ast::Type::U8 => Ty::U8,
            ast::Type::U16 => Ty::U16,
            ast::Type::U32 => Ty::U32,
            ast::Type::U64 => Ty::U64,
            ast::Type::S8 => Ty::S8,
            ast::Type::S16 => Ty::S16,
            ast::Type::S32 => Ty::S32,
            ast::Type::S64 => Ty::S64,
            ast::Type::F16 => Ty::F16,
            ast::Type::F16x2 => Ty::F16x2,
            ast::Type::Bf16 => Ty::Bf16,
            ast::Type::Bf16x2 => Ty::Bf16x2,
            ast::Type::F32 => Ty::F32,
            ast::Type::F64 => Ty::F64,
            ast::Type::Pred => Ty::Pred,
        }
    }
}
