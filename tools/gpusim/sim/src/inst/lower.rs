//! What lowering functions work with: operands, modifiers, symbols.

use std::collections::HashMap;

use gpusim_check::Scope;
use gpusim_ptx::ast::{self, Operand, Space};

use super::{Pred, Reg, Ty};
use crate::module::{Pool, Special, SpecialPool};

/// Why an instruction could not be lowered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LowerError {
    /// Another family's: the next one is asked.
    NotMine,
    /// No family has it. It becomes an instruction that faults with its name when it is reached.
    Unsupported,
    /// As above, for a reason.
    UnsupportedBecause(String),
    /// The module is wrong: loading fails.
    Invalid(String),
    /// A name that nothing declares: loading fails.
    Unresolved(String),
}

/// What a symbol stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A variable in global memory: its address.
    Global(u64),
    /// A variable in constant memory: its address, which is a device address too.
    Const(u64),
    /// A variable in shared memory: its address.
    Shared(u32),
    /// Dynamic shared memory, in a function that several kernels may call.
    SharedDynamic,
    /// A variable, call parameter or device function's parameter: its offset in the thread's frame.
    Local(u32),
    /// A kernel parameter: its offset.
    Param(u32),
    /// A function: its index.
    Function(u32),
}

/// A symbol as base plus offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub place: Place,
    /// The special register added to the offset, if it is not a constant.
    pub base: Option<Special>,
    pub offset: i64,
}

/// Where a register's value lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegInfo {
    pub ty: Ty,
    /// The [`Reg`], or the [`Pred`]'s bits for a predicate.
    pub reg: Reg,
}

/// A memory operand `[base + offset]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    /// 64-bit if `wide`, else 32-bit.
    pub base: Reg,
    pub wide: bool,
    pub offset: i64,
    /// What the base is, if it is a symbol.
    pub place: Option<Place>,
}

/// The context of lowering one function.
pub(crate) struct Lower<'m> {
    /// Registers by name; components of vector registers as `name.0`.
    pub(crate) regs: &'m HashMap<String, RegInfo>,
    /// Variables and functions by name.
    pub(crate) places: &'m HashMap<String, Place>,
    /// Labels, as indices into the module's code.
    pub(crate) labels: &'m HashMap<String, u32>,
    /// `.branchtargets` and `.calltargets`.
    pub(crate) targets: &'m HashMap<String, Vec<String>>,
    /// The functions of the module.
    pub(crate) functions: &'m [crate::module::FunctionInfo],
    /// The function being lowered.
    pub(crate) current: usize,
    pub(crate) pool: &'m mut Pool,
    pub(crate) specials: &'m mut SpecialPool,
    /// Written by destinations that are discarded: slots for 128 bits, and a predicate.
    pub(crate) sink: (Reg, Pred),
    /// The seed with which approximate functions are perturbed, if they are.
    pub(crate) perturb: Option<u64>,
}

impl Lower<'_> {
    /// A source of type `ty`: a register, an immediate, a special register, a symbol's address.
    pub(crate) fn src(&mut self, operand: &Operand, ty: Ty) -> Result<Reg, LowerError> {
        match operand {
            Operand::Name(name) => {
                if let Some(info) = self.regs.get(name) {
                    return self.source(name, info, ty);
                }
                if name.starts_with('%') || name == "WARP_SZ" {
                    return self.special(name, ty);
                }
                let symbol = self.symbol(operand)?;
                match (symbol.base, symbol.offset) {
                    (None, offset) => Ok(self.constant(offset as u64, ty)),
                    (Some(special), 0) => Ok(self.specials.reg(special, ty.bits() > 32)),
                    _ => Err(LowerError::UnsupportedBecause(format!("{name} as an operand"))),
                }
            }
            Operand::Component(name, component) => {
                let key = format!("{name}.{component}");
                let info = self.regs.get(&key).ok_or_else(|| LowerError::Unresolved(key.clone()))?;
                self.source(&key, info, ty)
            }
            Operand::Offset(name, _) => {
                let symbol = self.symbol(operand)?;
                if symbol.base.is_some() {
                    return Err(LowerError::UnsupportedBecause(format!("{name} as an operand")));
                }
                Ok(self.constant(symbol.offset as u64, ty))
            }
            Operand::Sink => Ok(self.constant(0, ty)),
            _ => match immediate(operand, ty) {
                Some(bits) => Ok(self.constant(bits, ty)),
                None => Err(LowerError::Invalid(format!("operand {operand:?} where a value is expected"))),
            },
        }
    }

    /// A destination of type `ty`; `_` is discarded.
    pub(crate) fn dst(&mut self, operand: &Operand, ty: Ty) -> Result<Reg, LowerError> {
        match operand {
            Operand::Sink => Ok(self.sink.0),
            Operand::Name(name) => match self.regs.get(name) {
                Some(info) => self.fits(name, info, ty),
                None => Err(LowerError::Unresolved(name.clone())),
            },
            Operand::Component(name, component) => {
                let key = format!("{name}.{component}");
                let info = self.regs.get(&key).ok_or_else(|| LowerError::Unresolved(key.clone()))?;
                self.fits(&key, info, ty)
            }
            _ => Err(LowerError::Invalid(format!("operand {operand:?} where a register is expected"))),
        }
    }

    /// Sizes need not agree (`ld.u8` into a 32-bit register is legal), but a register must have the slots that an
    /// instruction reads or writes.
    fn fits(&self, name: &str, info: &RegInfo, ty: Ty) -> Result<Reg, LowerError> {
        if (info.ty == Ty::Pred) != (ty == Ty::Pred) || info.ty.slots() < ty.slots() {
            return Err(LowerError::Invalid(format!("register {name} ({:?}) used as {ty:?}", info.ty)));
        }
        Ok(info.reg)
    }

    /// A source has as many slots as are read: a lane of a wider register lies elsewhere. Who takes wider registers asks for
    /// them by their width.
    fn source(&self, name: &str, info: &RegInfo, ty: Ty) -> Result<Reg, LowerError> {
        if info.ty.slots() > ty.slots() {
            return Err(LowerError::UnsupportedBecause(format!("{name}, a register wider than {ty:?}")));
        }
        self.fits(name, info, ty)
    }

    /// As [`Lower::src`] for who asks [`Lower::type_of`] how wide the register is, and reads it so.
    pub(crate) fn src_of_any_width(&mut self, operand: &Operand, ty: Ty) -> Result<Reg, LowerError> {
        if let Operand::Name(name) = operand
            && let Some(info) = self.regs.get(name)
        {
            return self.fits(name, info, ty);
        }
        self.src(operand, ty)
    }

    /// The declared type of a register operand.
    pub(crate) fn type_of(&self, operand: &Operand) -> Option<Ty> {
        match operand {
            Operand::Name(name) => self.regs.get(name).map(|info| info.ty),
            Operand::Component(name, component) => {
                self.regs.get(&format!("{name}.{component}")).map(|i| i.ty)
            }
            _ => None,
        }
    }

    /// A predicate source: `p`, `!p`, or an integer constant.
    pub(crate) fn pred(&mut self, operand: &Operand) -> Result<Pred, LowerError> {
        match operand {
            Operand::Not(inner) => Ok(self.pred(inner)?.negated()),
            Operand::Int(value) => Ok(if *value != 0 { Pred::TRUE } else { Pred::FALSE }),
            Operand::Name(name) => match self.regs.get(name) {
                Some(info) if info.ty == Ty::Pred => Ok(info.reg.as_pred()),
                Some(_) => Err(LowerError::Invalid(format!("register {name} is not a predicate"))),
                None => Err(LowerError::Unresolved(name.clone())),
            },
            _ => Err(LowerError::Invalid(format!("operand {operand:?} where a predicate is expected"))),
        }
    }

    /// A predicate destination; `_` is discarded.
    pub(crate) fn dst_pred(&mut self, operand: &Operand) -> Result<Pred, LowerError> {
        match operand {
            Operand::Sink => Ok(self.sink.1),
            Operand::Name(_) => self.pred(operand),
            _ => Err(LowerError::Invalid(format!("operand {operand:?} where a predicate is expected"))),
        }
    }

    /// A register that holds `bits` in every lane.
    pub(crate) fn constant(&mut self, bits: u64, ty: Ty) -> Reg {
        let bits = if ty.bits() < 64 { bits & ((1 << ty.bits()) - 1) } else { bits };
        if ty == Ty::B128 { self.pool.wide(bits as u128) } else { self.pool.reg(bits, ty.bits() > 32) }
    }

    /// The integer that an operand says literally.
    pub(crate) fn literal(&self, operand: &Operand) -> Option<i128> {
        match operand {
            Operand::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of `{…}`, or the operand itself.
    pub(crate) fn elements<'o>(&self, operand: &'o Operand) -> &'o [Operand] {
        match operand {
            Operand::Vector(list) | Operand::List(list) => list,
            other => std::slice::from_ref(other),
        }
    }

    /// What a name outside registers stands for.
    pub(crate) fn symbol(&self, operand: &Operand) -> Result<Symbol, LowerError> {
        let (name, add) = match operand {
            Operand::Name(name) => (name, 0),
            Operand::Offset(name, offset) => (name, *offset),
            _ => return Err(LowerError::Invalid(format!("operand {operand:?} where a symbol is expected"))),
        };
        let place = *self.places.get(name).ok_or_else(|| LowerError::Unresolved(name.clone()))?;
        let (base, offset) = match place {
            Place::Global(address) | Place::Const(address) => (None, address as i64),
            Place::Shared(address) => (None, i64::from(address)),
            Place::Param(offset) => (None, i64::from(offset)),
            Place::SharedDynamic => (Some(Special::DynamicShared), 0),
            Place::Local(offset) => (Some(Special::FramePointer), i64::from(offset)),
            Place::Function(index) => (None, crate::memory::window::code(index) as i64),
        };
        Ok(Symbol { place, base, offset: offset + add })
    }

    /// `[base + offset]`.
    pub(crate) fn address(&mut self, operand: &Operand) -> Result<Address, LowerError> {
        let (base, add) = match operand {
            Operand::Address(address) if address.coordinates.is_empty() => (&address.base, address.offset),
            // Call parameters and the like may be written without brackets.
            Operand::Name(_) | Operand::Offset(..) => (operand, 0),
            _ => {
                return Err(LowerError::Invalid(format!("operand {operand:?} where an address is expected")));
            }
        };
        if let Some(ty) = self.type_of(base) {
            let wide = ty.bits() > 32;
            let base = self.src(base, if wide { Ty::B64 } else { Ty::B32 })?;
            return Ok(Address { base, wide, offset: add, place: None });
        }
        if let Operand::Int(value) = base {
            let base = self.constant(0, Ty::B64);
            return Ok(Address { base, wide: true, offset: (*value as i64).wrapping_add(add), place: None });
        }
        let symbol = self.symbol(base)?;
        let base = match symbol.base {
            None => self.constant(0, Ty::B64),
            Some(special) => self.specials.reg(special, true),
        };
        Ok(Address { base, wide: true, offset: symbol.offset + add, place: Some(symbol.place) })
    }

    /// The state space of a symbol at the base of an address.
    pub(crate) fn space(&self, address: &Address) -> Option<Space> {
        Some(match address.place? {
            Place::Global(_) => Space::Global,
            Place::Const(_) => Space::Const,
            Place::Shared(_) | Place::SharedDynamic => Space::Shared,
            Place::Local(_) => Space::Local,
            Place::Param(_) => Space::Param,
            Place::Function(_) => return None,
        })
    }

    /// Index into the code of a label.
    pub(crate) fn label(&self, operand: &Operand) -> Result<u32, LowerError> {
        match operand {
            Operand::Name(name) => {
                self.labels.get(name).copied().ok_or_else(|| LowerError::Unresolved(name.clone()))
            }
            _ => Err(LowerError::Invalid(format!("operand {operand:?} where a label is expected"))),
        }
    }

    fn special(&mut self, name: &str, ty: Ty) -> Result<Reg, LowerError> {
        match Special::parse(name) {
            Some(special) => Ok(self.specials.reg(special, ty.bits() > 32)),
            None if Special::is_counter(name) => {
                Err(LowerError::UnsupportedBecause(format!("{name} outside mov")))
            }
            None => Err(LowerError::Unresolved(name.to_owned())),
        }
    }
}

/// The bits of a literal as a value of type `ty`.
pub(crate) fn immediate(operand: &Operand, ty: Ty) -> Option<u64> {
    Some(match (operand, ty) {
        (Operand::Int(value), Ty::F32) => (*value as f32).to_bits().into(),
        (Operand::Int(value), Ty::F64) => (*value as f64).to_bits(),
        (Operand::Int(value), _) => *value as u64,
        (Operand::F32(bits), Ty::F64) => f64::from(f32::from_bits(*bits)).to_bits(),
        (Operand::F32(bits), _) => u64::from(*bits),
        (Operand::F64(bits), Ty::F32 | Ty::B32 | Ty::Tf32) => (f64::from_bits(*bits) as f32).to_bits().into(),
        (Operand::F64(bits), _) => *bits,
        _ => return None,
    })
}

/// The modifiers of an instruction as a set: what is taken is crossed out, and nothing may remain.
pub(crate) struct Mods<'i> {
    left: Vec<&'i str>,
}

impl<'i> Mods<'i> {
    pub(crate) fn of(i: &'i ast::Instruction) -> Mods<'i> {
        Mods { left: i.modifiers.iter().map(|m| &**m).collect() }
    }

    /// Whether `modifier` is there; crosses it out.
    pub(crate) fn take(&mut self, modifier: &str) -> bool {
        match self.left.iter().position(|m| *m == modifier) {
            Some(at) => {
                self.left.remove(at);
                true
            }
            None => false,
        }
    }

    /// The first modifier that `f` knows.
    pub(crate) fn find<T>(&mut self, f: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (at, value) = self.left.iter().enumerate().find_map(|(at, m)| Some((at, f(m)?)))?;
        self.left.remove(at);
        Some(value)
    }

    /// The first type.
    pub(crate) fn ty(&mut self) -> Result<Ty, LowerError> {
        self.find(Ty::parse).ok_or(LowerError::Unsupported)
    }

    /// The scope, if there is one.
    pub(crate) fn scope(&mut self) -> Option<Scope> {
        self.find(|name| {
            Some(match name {
                "cta" => Scope::Cta,
                "cluster" => Scope::Cluster,
                "gpu" => Scope::Gpu,
                "sys" => Scope::Sys,
                _ => return None,
            })
        })
    }

    /// The scope of what has to have one.
    pub(crate) fn needed_scope(&mut self) -> Result<Scope, LowerError> {
        self.scope().ok_or_else(|| LowerError::Invalid("a scope is missing".to_owned()))
    }

    /// Elements of a vector access, if it is one.
    pub(crate) fn vector(&mut self) -> Option<usize> {
        self.find(|name| match name {
            "v2" => Some(2),
            "v4" => Some(4),
            "v8" => Some(8),
            _ => None,
        })
    }

    /// What is left, in order.
    pub(crate) fn rest(&self) -> &[&'i str] {
        &self.left
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), LowerError> {
        match self.left.first() {
            None => Ok(()),
            Some(modifier) => Err(LowerError::UnsupportedBecause(format!("modifier .{modifier}"))),
        }
    }
}

/// Operand `n`.
pub(crate) fn operand(i: &ast::Instruction, n: usize) -> Result<&Operand, LowerError> {
    i.operands.get(n).ok_or_else(|| LowerError::Invalid(format!("operand {} is missing", n + 1)))
}
