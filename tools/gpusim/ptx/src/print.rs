//! Text of instructions and operands, for reports and error messages. It parses to the same tree again.

use std::fmt::{self, Display, Formatter};

use crate::ast::{Address, Instruction, Operand};

fn separated(parts: &[Operand], f: &mut Formatter<'_>) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{part}")?;
    }
    Ok(())
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Name(name) => f.write_str(name),
            Operand::Component(name, index) => {
                write!(f, "{name}.{}", ["x", "y", "z", "w"].get(*index as usize).unwrap_or(&"?"))
            }
            Operand::Int(value) => write!(f, "{value}"),
            Operand::F32(bits) => write!(f, "0f{bits:08X}"),
            Operand::F64(bits) => write!(f, "0d{bits:016X}"),
            Operand::Vector(parts) => {
                f.write_str("{")?;
                separated(parts, f)?;
                f.write_str("}")
            }
            Operand::List(parts) => {
                f.write_str("(")?;
                separated(parts, f)?;
                f.write_str(")")
            }
            Operand::Address(address) => write!(f, "{address}"),
            Operand::Pair(a, b) => write!(f, "{a}|{b}"),
            Operand::Not(operand) => write!(f, "!{operand}"),
            Operand::Sink => f.write_str("_"),
            Operand::Offset(name, offset) => write!(f, "{name}+{offset}"),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.base)?;
        if self.offset != 0 {
            write!(f, "+{}", self.offset)?;
        }
        let scalar = |part: &Operand| !matches!(part, Operand::Vector(_));
        if !self.coordinates.is_empty() && self.coordinates.iter().all(scalar) {
            f.write_str(", {")?;
            separated(&self.coordinates, f)?;
            f.write_str("}")?;
        } else if !self.coordinates.is_empty() {
            f.write_str(", ")?;
            separated(&self.coordinates, f)?;
        }
        f.write_str("]")
    }
}

impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some((name, negated)) = &self.guard {
            write!(f, "@{}{name} ", if *negated { "!" } else { "" })?;
        }
        f.write_str(&self.opcode)?;
        for modifier in &self.modifiers {
            write!(f, ".{modifier}")?;
        }
        let operands = match (&*self.opcode, self.operands.as_slice()) {
            // An empty list of returns is not written.
            ("call", [Operand::List(returns), rest @ ..]) if returns.is_empty() => rest,
            (_, operands) => operands,
        };
        if !operands.is_empty() {
            f.write_str(" ")?;
            separated(operands, f)?;
        }
        f.write_str(";")
    }
}
