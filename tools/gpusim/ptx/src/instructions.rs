//! Instructions: guard, opcode, modifiers, operands.

use crate::ast::{Instruction, Location, Operand};
use crate::error::Result;
use crate::lexer::Kind;
use crate::parser::Parser;

/// What no modifier is called: a directive behind a forgotten semicolon must not become one.
const DIRECTIVES: &[&str] = &[
    "align",
    "branchtargets",
    "callprototype",
    "calltargets",
    "entry",
    "extern",
    "func",
    "loc",
    "noreturn",
    "pragma",
    "reg",
    "section",
    "visible",
];

impl Parser<'_> {
    /// The instruction at the cursor, to its semicolon.
    pub(crate) fn instruction(&mut self, location: Option<Location>) -> Result<()> {
        let guard = if self.take_mark(b'@') {
            let negated = self.take_mark(b'!');
            if self.text() == "_" {
                return Err(self.expected("a predicate"));
            }
            let name = self.identifier("a predicate")?;
            Some((self.scopes.resolve(name), negated))
        } else {
            None
        };
        let line = self.line();
        if self.text() == "_" {
            return Err(self.expected("an instruction"));
        }
        let opcode = self.identifier("an instruction")?;
        let mut modifiers = Vec::new();
        while self.peek() == Kind::Dotted {
            let text = &self.text()[1..];
            if DIRECTIVES.contains(&text) {
                return Err(self.expected("an operand or `;`"));
            }
            self.advance();
            modifiers.push(self.word(text));
        }
        self.unified = false;
        let operands = match opcode {
            "call" => self.call_operands()?,
            // These take the address of an array element; to all others it is a place in memory.
            "mov" | "cvta" => self.operands(true)?,
            _ => self.operands(false)?,
        };
        if self.unified {
            modifiers.push(self.word("unified"));
        }
        self.expect_mark(b';')?;
        let opcode = self.word(opcode);
        self.body.code.push(Instruction { guard, opcode, modifiers, operands, line, location });
        Ok(())
    }

    fn operands(&mut self, by_address: bool) -> Result<Vec<Operand>> {
        let mut operands = Vec::new();
        if self.is_mark(b';') {
            return Ok(operands);
        }
        loop {
            operands.push(self.operand(by_address)?);
            if !self.take_mark(b',') {
                return Ok(operands);
            }
        }
    }

    /// `(returns), target, (parameters), prototype`, of which all but the target may be missing.
    fn call_operands(&mut self) -> Result<Vec<Operand>> {
        let mut returns = Vec::new();
        if self.is_mark(b'(') {
            returns = self.arguments()?;
            self.expect_mark(b',')?;
        }
        let target = self.identifier("a function, or a register that holds one")?;
        let target = Operand::Name(self.scopes.resolve(target));
        let mut parameters = Vec::new();
        let mut prototype = None;
        if self.take_mark(b',') {
            let listed = self.is_mark(b'(');
            if listed {
                parameters = self.arguments()?;
            }
            if !listed || self.take_mark(b',') {
                let name = self.identifier("a prototype or a list of targets")?;
                prototype = Some(Operand::Name(self.scopes.resolve(name)));
            }
        }
        let mut operands = vec![Operand::List(returns), target, Operand::List(parameters)];
        operands.extend(prototype);
        Ok(operands)
    }

    fn arguments(&mut self) -> Result<Vec<Operand>> {
        self.expect_mark(b'(')?;
        let mut arguments = Vec::new();
        if self.take_mark(b')') {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.operand(true)?);
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b')')?;
        Ok(arguments)
    }
}
