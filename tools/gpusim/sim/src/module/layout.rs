//! Sizes, addresses and initial values of variables.

use std::collections::HashMap;

use gpusim_ptx::ast::{Init, Type, Variable};

use crate::LoadError;
use crate::inst::{Place, Ty};
use crate::memory::window;

/// Bytes of a variable; what does not fit into 64 bits is the largest number, which fits nowhere.
pub(super) fn size(variable: &Variable) -> u64 {
    let product = |dims: &[u64]| dims.iter().fold(1, |n: u64, &dim| n.saturating_mul(dim));
    let elements = product(&variable.dims);
    let elements = if variable.dims.first() == Some(&0) && !variable.init.is_empty() {
        let rest = product(&variable.dims[1..]);
        let row = rest.max(1).saturating_mul(u64::from(variable.vector.max(1)));
        (variable.init.len() as u64).div_ceil(row).saturating_mul(rest)
    } else {
        elements
    };
    (u64::from(Ty::from(variable.ty).bytes()) * u64::from(variable.vector.max(1))).saturating_mul(elements)
}

/// Alignment of a variable.
pub(super) fn align(variable: &Variable) -> u64 {
    let natural = u64::from(Ty::from(variable.ty).bytes()) * u64::from(variable.vector.max(1));
    u64::from(variable.align.unwrap_or(0)).max(natural.next_power_of_two()).max(1)
}

/// Lays variables out one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    pub end: u64,
}

impl Cursor {
    pub(super) fn place(&mut self, variable: &Variable) -> u64 {
        let at = self.end.checked_next_multiple_of(align(variable)).unwrap_or(u64::MAX);
        self.end = at.saturating_add(size(variable));
        at
    }
}

/// The bytes that an initialiser gives.
pub(super) fn initial_bytes(
    variable: &Variable,
    places: &HashMap<String, Place>,
) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let width = Ty::from(variable.ty).bytes() as usize;
    for init in &variable.init {
        let bits: i128 = match init {
            Init::Int(value) => *value,
            Init::Float(value) => match variable.ty {
                Type::F32 => (*value as f32).to_bits().into(),
                Type::F64 => value.to_bits().into(),
                ty => {
                    let instruction = format!("float initialiser of {:?} variable {}", ty, variable.name);
                    return Err(LoadError::Unsupported { line: variable.line, instruction });
                }
            },
            Init::Symbol { name, offset, generic, mask } => {
                let unresolved = || LoadError::Unresolved { line: variable.line, name: name.clone() };
                let base = match places.get(name).ok_or_else(unresolved)? {
                    Place::Global(at) | Place::Const(at) => *at,
                    Place::Shared(at) => u64::from(*at) + if *generic { window::SHARED } else { 0 },
                    Place::Function(index) => window::code(*index),
                    Place::SharedDynamic | Place::Local(_) | Place::Param(_) => return Err(unresolved()),
                };
                let address = base.wrapping_add_signed(*offset);
                match mask {
                    Some(mask) if *mask != 0 => i128::from((address & mask) >> mask.trailing_zeros()),
                    _ => i128::from(address),
                }
            }
        };
        bytes.extend(&bits.to_le_bytes()[..width]);
    }
    Ok(bytes)
}
