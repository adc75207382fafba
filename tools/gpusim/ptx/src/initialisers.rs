//! Initial values of variables.

use crate::ast::{Init, Type, Variable};
use crate::error::Result;
use crate::expressions::Constant;
use crate::lexer::Kind;
use crate::parser::Parser;

/// Braces inside one another.
const MAX_DEPTH: usize = 16;

impl Parser<'_> {
    /// What follows `=`. Fills `init`, and the first dimension if it was left out.
    pub(crate) fn initialiser(&mut self, variable: &mut Variable) -> Result<()> {
        if variable.ty == Type::Opaque {
            return self.opaque_initialiser();
        }
        let mut shape = variable.dims.clone();
        if variable.vector > 1 {
            shape.push(variable.vector.into());
        }
        let at = self.position();
        // Elements that one index of each dimension spans.
        let mut spans = vec![1u64];
        for &extent in shape.iter().skip(1).rev() {
            let span = spans[spans.len() - 1].checked_mul(extent).filter(|&span| span > 0);
            spans.push(span.ok_or_else(|| self.error_at(at, "an array that is empty or too large"))?);
        }
        spans.reverse();
        let open = variable.dims.first() == Some(&0);
        let capacity = match shape.first() {
            None => 1,
            Some(_) if open => u64::MAX,
            Some(&extent) => spans[0]
                .checked_mul(extent)
                .ok_or_else(|| self.error_at(at, "an array that is empty or too large"))?,
        };
        if self.is_mark(b'{') {
            let spans = if shape.is_empty() { &[] } else { spans.as_slice() };
            self.braced(&mut variable.init, capacity, spans, 0)?;
        } else if self.peek() == Kind::Text {
            let text = self.string()?;
            variable.init.extend(text.bytes().map(|byte| Init::Int(byte.into())));
        } else {
            let element = self.element()?;
            variable.init.push(element);
        }
        let count = variable.init.len() as u64;
        if count > capacity {
            return Err(self.error_at(at, "more values than elements"));
        }
        if open {
            variable.dims[0] = count.div_ceil(spans[0]);
        }
        Ok(())
    }

    /// A braced list that fills at most `capacity` elements. `spans` are those of the dimension that it stands for
    /// and of those inside.
    fn braced(&mut self, init: &mut Vec<Init>, capacity: u64, spans: &[u64], depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(self.error("these braces are nested too deeply"));
        }
        let start = init.len() as u64;
        self.expect_mark(b'{')?;
        while !self.is_mark(b'}') {
            let at = self.position();
            if self.is_mark(b'{') {
                let span = spans.first().copied().unwrap_or(1);
                // A row begins at a row's place, also behind single values.
                let used = init.len() as u64 - start;
                self.pad(init, used.next_multiple_of(span) - used, at)?;
                let row = init.len() as u64;
                self.braced(init, span, spans.get(1..).unwrap_or_default(), depth + 1)?;
                self.pad_row(init, row, span, at)?;
            } else {
                let element = self.element()?;
                init.push(element);
            }
            if init.len() as u64 - start > capacity {
                return Err(self.error_at(at, "more values than elements"));
            }
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b'}')
    }

    /// Fills a row with zeros, unless it is the last one: those are implied.
    fn pad_row(&mut self, init: &mut Vec<Init>, row: u64, span: u64, at: usize) -> Result<()> {
        let last = self.is_mark(b'}') || (self.is_mark(b',') && self.peek_at(1) == Kind::Mark(b'}'));
        if last {
            Ok(())
        } else {
            self.pad(init, row.saturating_add(span).saturating_sub(init.len() as u64), at)
        }
    }

    fn pad(&mut self, init: &mut Vec<Init>, count: u64, at: usize) -> Result<()> {
        match self.padding_left.checked_sub(count) {
            Some(left) => self.padding_left = left,
            None => return Err(self.error_at(at, "rows too short for so large an array")),
        }
        init.extend((0..count).map(|_| Init::Int(0)));
        Ok(())
    }

    /// One value: a number, a symbol with an offset, `generic(…)`, or `0xFF00(…)` and `mask(0xFF00, …)` around these.
    fn element(&mut self) -> Result<Init> {
        match self.peek() {
            Kind::Number if self.peek_at(1) == Kind::Mark(b'(') => {
                let mask = self.literal()?;
                self.expect_mark(b'(')?;
                let init = self.symbol(Some(mask))?;
                self.expect_mark(b')')?;
                Ok(init)
            }
            Kind::Identifier if self.text() == "mask" && self.peek_at(1) == Kind::Mark(b'(') => {
                self.advance();
                self.advance();
                let mask = self.integer()?;
                self.expect_mark(b',')?;
                let init = self.symbol(Some(mask))?;
                self.expect_mark(b')')?;
                Ok(init)
            }
            Kind::Identifier if self.text() != "WARP_SZ" => self.symbol(None),
            _ => Ok(match self.constant()? {
                Constant::Signed(value) => Init::Int(value.into()),
                Constant::Unsigned(value) => Init::Int(value.into()),
                Constant::Double(value) => Init::Float(value),
                Constant::Single(bits) => Init::Float(f32::from_bits(bits).into()),
            }),
        }
    }

    /// `name`, `name+8`, `generic(name)+8`.
    fn symbol(&mut self, mask: Option<u64>) -> Result<Init> {
        let mut name = self.identifier("a symbol")?;
        let generic = name == "generic" && self.take_mark(b'(');
        let mut offset = 0i64;
        if generic {
            name = self.identifier("a symbol")?;
            offset = self.offset()?;
            self.expect_mark(b')')?;
        }
        offset = offset.wrapping_add(self.offset()?);
        Ok(Init::Symbol { name: name.to_owned(), offset, generic, mask })
    }

    /// `+4`, `-4`, `+-4` or nothing.
    pub(crate) fn offset(&mut self) -> Result<i64> {
        if self.take_mark(b'+') || self.is_mark(b'-') { Ok(self.integer()? as i64) } else { Ok(0) }
    }

    /// `{ addr_mode_0 = clamp_to_border, filter_mode = nearest }` of a sampler: textures are not interpreted, so the
    /// settings are skipped.
    fn opaque_initialiser(&mut self) -> Result<()> {
        self.skip_braces()
    }
}
