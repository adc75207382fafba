//! Operands.

use crate::ast::{Address, Operand, Variable};
use crate::declarations::bytes_of;
use crate::error::Result;
use crate::lexer::Kind;
use crate::parser::Parser;

/// Special registers that have components: `%tid.x` is a name, not a component of a vector.
const SPECIAL_VECTORS: &[&str] =
    &["%tid", "%ntid", "%ctaid", "%nctaid", "%clusterid", "%nclusterid", "%cluster_ctaid", "%cluster_nctaid"];

impl Parser<'_> {
    /// An operand. With `by_address`, `array[1]` is an address and not what lies there.
    pub(crate) fn operand(&mut self, by_address: bool) -> Result<Operand> {
        let first = self.single_operand(by_address, 0)?;
        if self.take_mark(b'|') {
            let second = self.single_operand(by_address, 0)?;
            return Ok(Operand::Pair(Box::new(first), Box::new(second)));
        }
        Ok(first)
    }

    fn single_operand(&mut self, by_address: bool, depth: u32) -> Result<Operand> {
        let constant = |kind, text| kind != Kind::Identifier || text == "WARP_SZ";
        match self.peek() {
            Kind::Mark(b'{') if depth == 0 => Ok(Operand::Vector(self.vector()?)),
            Kind::Mark(b'[') => self.address(),
            Kind::Mark(b'!') if self.peek_at(1) == Kind::Identifier && self.text_at(1) != "WARP_SZ" => {
                if depth > 0 {
                    return Err(self.error("no negated predicate may stand in braces"));
                }
                self.advance();
                let name = self.identifier("a predicate")?;
                Ok(Operand::Not(Box::new(Operand::Name(self.scopes.resolve(name)))))
            }
            kind if constant(kind, self.text()) => match kind {
                Kind::Number | Kind::Identifier | Kind::Mark(b'-' | b'+' | b'~' | b'!' | b'(') => {
                    Ok(self.constant()?.operand())
                }
                _ => Err(self.expected("an operand")),
            },
            _ => self.name(by_address, false),
        }
    }

    /// `{a, b}`, braces included.
    fn vector(&mut self) -> Result<Vec<Operand>> {
        self.expect_mark(b'{')?;
        let mut parts = Vec::new();
        loop {
            parts.push(self.single_operand(true, 1)?);
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b'}')?;
        Ok(parts)
    }

    /// An operand that begins with an identifier.
    fn name(&mut self, by_address: bool, in_address: bool) -> Result<Operand> {
        let name = self.identifier("an operand")?;
        if name == "_" {
            return Ok(Operand::Sink);
        }
        if self.peek() == Kind::Dotted {
            return self.component(name);
        }
        let name = self.scopes.resolve(name);
        if self.is_mark(b'[') {
            if in_address {
                return Err(self.expected("`]`"));
            }
            let offset = self.element_offset(&name)?;
            if by_address {
                return Ok(Operand::Offset(name, offset));
            }
            let base = Operand::Name(name);
            return Ok(Operand::Address(Box::new(Address { base, offset, coordinates: Vec::new() })));
        }
        if self.is_mark(b'+') {
            return Ok(Operand::Offset(name, self.offset()?));
        }
        Ok(Operand::Name(name))
    }

    /// What follows a name at the dot.
    fn component(&mut self, name: &str) -> Result<Operand> {
        let text = self.text();
        let index = match text {
            ".x" | ".r" => 0,
            ".y" | ".g" => 1,
            ".z" | ".b" => 2,
            ".w" | ".a" => 3,
            ".b0" | ".b1" | ".b2" | ".b3" | ".h0" | ".h1" => {
                self.advance();
                return Ok(Operand::Name(format!("{}{text}", self.scopes.resolve(name))));
            }
            _ => return Err(self.expected("a component")),
        };
        self.advance();
        Ok(if SPECIAL_VECTORS.contains(&name) {
            Operand::Name(format!("{name}{text}"))
        } else {
            Operand::Component(self.scopes.resolve(name), index)
        })
    }

    /// Bytes from the beginning of the array `name` to the element whose index is at the cursor.
    fn element_offset(&mut self, name: &str) -> Result<i64> {
        let at = self.position();
        let named = |v: &&Variable| v.name == name;
        let variable =
            self.body.variables.iter().find(named).or_else(|| self.module.variables.iter().find(named));
        let Some(variable) = variable else {
            return Err(self.error_at(at, format!("`{name}` is not an array that was declared before")));
        };
        let Some(rest) = variable.dims.get(1..) else {
            return Err(self.error_at(at, format!("`{name}` is not an array")));
        };
        let element = bytes_of(variable.ty).wrapping_mul(variable.vector.into());
        let span = rest.iter().fold(element, |span, &extent| span.wrapping_mul(extent));
        self.expect_mark(b'[')?;
        let offset = self.integer()?.wrapping_mul(span);
        self.expect_mark(b']')?;
        Ok(offset as i64)
    }

    /// `[base+offset]`, `[map, {x, y}]`, brackets included.
    fn address(&mut self) -> Result<Operand> {
        self.expect_mark(b'[')?;
        let (base, offset) = if self.peek() == Kind::Identifier && self.text() != "WARP_SZ" {
            match self.name(true, true)? {
                Operand::Offset(name, offset) => (Operand::Name(name), offset),
                base => (base, 0),
            }
        } else {
            (Operand::Int(self.integer()?.into()), 0)
        };
        let mut coordinates = Vec::new();
        while offset == 0 && self.take_mark(b',') {
            coordinates.push(self.single_operand(true, 0)?);
        }
        if !coordinates.is_empty() && !matches!(coordinates.last(), Some(Operand::Vector(_))) {
            return Err(self.expected("coordinates in braces"));
        }
        if let [Operand::Vector(_)] = coordinates.as_slice()
            && let Some(Operand::Vector(parts)) = coordinates.pop()
        {
            coordinates = parts;
        }
        self.expect_mark(b']')?;
        if self.take_dotted(".unified") {
            self.unified = true;
        }
        Ok(Operand::Address(Box::new(Address { base, offset, coordinates })))
    }
}
