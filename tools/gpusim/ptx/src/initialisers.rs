//! Initial values of variables.

use crate::ast::{Init, Type, Variable};
use crate::error::Result;
use crate::expressions::Constant;
use crate::lexer::Kind;
use crate::parser::Parser;

impl Parser<'_> {
    /// What follows `=`. Fills `init`, and the first dimension if it was left out.
    pub(crate) fn initialiser(&mut self, variable: &mut Variable) -> Result<()> {
        if variable.ty == Type::Opaque {
            // Settings of a sampler: textures are not interpreted.
            return self.skip_braces();
        }
        let mut shape = variable.dims.clone();
        if variable.vector > 1 {
            shape.push(variable.vector.into());
        }
        let at = self.position();
        if shape.is_empty() {
            let element = self.element(variable.ty)?;
            variable.init.push(element);
            return Ok(());
        }
        let open = variable.dims.first() == Some(&0);
        if open {
            shape[0] = u64::MAX;
        }
        // Elements that one index of each dimension spans.
        let mut spans = vec![1u64; shape.len()];
        for i in (1..shape.len()).rev() {
            let span = spans[i].checked_mul(shape[i]).filter(|&span| span > 0);
            spans[i - 1] = span.ok_or_else(|| self.error_at(at, "an array that is empty or too large"))?;
        }
        let rows = self.rows(variable.ty, &mut variable.init, &shape, &spans)?;
        if open {
            variable.dims[0] = rows;
        }
        Ok(())
    }

    /// A braced list for the first dimension of `shape`; gives how many of it there are. The recursion is as deep as
    /// the shape, which is no deeper than what [`Parser::dimensions`] allows.
    fn rows(&mut self, ty: Type, init: &mut Vec<Init>, shape: &[u64], spans: &[u64]) -> Result<u64> {
        self.expect_mark(b'{')?;
        let mut rows = 0;
        if self.take_mark(b'}') {
            return Ok(rows);
        }
        loop {
            let at = self.position();
            if rows == shape[0] {
                return Err(self.error_at(at, "more values than elements"));
            }
            rows += 1;
            if shape.len() == 1 {
                let element = self.element(ty)?;
                init.push(element);
            } else {
                let row = init.len() as u64;
                self.rows(ty, init, &shape[1..], &spans[1..])?;
                // What follows the last row of all is implied.
                if self.is_mark(b',') {
                    self.pad(init, spans[0] - (init.len() as u64 - row), at)?;
                }
            }
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b'}')?;
        Ok(rows)
    }

    fn pad(&mut self, init: &mut Vec<Init>, count: u64, at: usize) -> Result<()> {
        match self.padding_left.checked_sub(count) {
            Some(left) => self.padding_left = left,
            None => return Err(self.error_at(at, "rows too short for so large an array")),
        }
        init.extend((0..count).map(|_| Init::Int(0)));
        Ok(())
    }

    /// One value: a number, a symbol with an offset, `generic(…)`, or `0xFF00(…)` around these.
    fn element(&mut self, ty: Type) -> Result<Init> {
        let at = self.position();
        if self.peek() == Kind::Number && self.peek_at(1) == Kind::Mark(b'(') {
            let mask = self.literal()?;
            self.expect_mark(b'(')?;
            let init = self.symbol(Some(mask))?;
            self.expect_mark(b')')?;
            return Ok(init);
        }
        if self.peek() == Kind::Identifier && self.text() != "WARP_SZ" {
            return self.symbol(None);
        }
        let constant = self.constant()?;
        let real = matches!(constant, Constant::Double(_) | Constant::Single(_));
        let init = match constant {
            Constant::Signed(value) => Init::Int(value.into()),
            Constant::Unsigned(value) => Init::Int(value.into()),
            Constant::Double(value) => Init::Float(value),
            // Such a literal stands for its bits, also where more are stored and where a conversion would change a NaN.
            Constant::Single(bits) => {
                let value = f32::from_bits(bits);
                let exact = !value.is_nan() && matches!(ty, Type::F32 | Type::B32);
                if exact { Init::Float(value.into()) } else { Init::Int(bits.into()) }
            }
        };
        let fits = match ty {
            Type::B32 | Type::B64 | Type::B128 => true,
            Type::F32 | Type::F64 => real,
            Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 => false,
            _ => !real,
        };
        if fits { Ok(init) } else { Err(self.error_at(at, "a variable of this type cannot have this value")) }
    }

    /// `name`, `name+8`, `generic(name)+8`.
    fn symbol(&mut self, mask: Option<u64>) -> Result<Init> {
        let mut name = self.identifier("a symbol")?;
        let generic = name == "generic" && self.take_mark(b'(');
        if generic {
            name = self.identifier("a symbol")?;
            self.expect_mark(b')')?;
        }
        let offset = self.offset()?;
        Ok(Init::Symbol { name: name.to_owned(), offset, generic, mask })
    }

    /// `+4`, `+-4` or nothing.
    pub(crate) fn offset(&mut self) -> Result<i64> {
        if self.take_mark(b'+') { Ok(self.integer()? as i64) } else { Ok(0) }
    }
}
