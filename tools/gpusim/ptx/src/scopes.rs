//! Names of a function: nested scopes are resolved by renaming.

use std::collections::{HashMap, HashSet};

use crate::ast::{Body, Operand};
use crate::lexer::{Kind, Token};

/// Braces inside one another.
pub(crate) const MAX_DEPTH: usize = 128;

/// The scopes around the cursor, the function's own first.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    stack: Vec<Scope>,
    /// Nested scopes of this function so far.
    count: u32,
    /// Identifiers of the text that look like renamed ones.
    reserved: HashSet<Box<str>>,
}

#[derive(Debug, Default)]
struct Scope {
    number: u32,
    /// What is declared here, and its name in the flattened body if that is another.
    names: HashMap<Box<str>, Option<Box<str>>>,
    labels: Vec<Box<str>>,
    /// Lengths of the body's lists when the scope began.
    code: usize,
    targets: usize,
}

/// Why a scope cannot be closed or a name declared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redeclared;

impl Scopes {
    pub(crate) fn new(tokens: &[Token], source: &str) -> Self {
        let renamed = |text: &str| {
            let suffixes = text.bytes().zip(text.bytes().skip(1)).skip(1);
            suffixes.into_iter().any(|(a, b)| a == b'$' && b.is_ascii_digit())
        };
        let reserved = tokens
            .iter()
            .filter(|t| t.kind == Kind::Identifier)
            .map(|t| &source[t.start as usize..t.end as usize])
            .filter(|text| renamed(text))
            .map(Into::into)
            .collect();
        Self { reserved, ..Self::default() }
    }

    /// Forgets the last function and opens the scope of a new one.
    pub(crate) fn restart(&mut self) {
        self.stack.clear();
        self.stack.push(Scope::default());
        self.count = 0;
    }

    pub(crate) fn depth(&self) -> usize {
        self.stack.len()
    }

    pub(crate) fn open(&mut self, body: &Body) {
        self.count += 1;
        let (code, targets) = (body.code.len(), body.targets.len());
        self.stack.push(Scope { number: self.count, code, targets, ..Scope::default() });
    }

    /// Closes the innermost scope and renames the uses of its labels, which may stand before them.
    pub(crate) fn close(&mut self, body: &mut Body) {
        let Some(scope) = self.stack.pop() else { return };
        let renamed = |name: &str| scope.names.get(name).and_then(|new| new.as_deref());
        let labels: HashMap<&str, &str> =
            scope.labels.iter().filter_map(|label| Some((&**label, renamed(label)?))).collect();
        if labels.is_empty() {
            return;
        }
        for instruction in &mut body.code[scope.code..] {
            instruction.operands.iter_mut().for_each(|operand| rename(operand, &labels));
        }
        for (_, names) in &mut body.targets[scope.targets..] {
            for name in names {
                if let Some(&new) = labels.get(name.as_str()) {
                    *name = new.to_owned();
                }
            }
        }
    }

    /// Declares a register or variable in the innermost scope; gives its name in the flattened body.
    pub(crate) fn declare(&mut self, name: &str) -> Result<String, Redeclared> {
        let Some(scope) = self.stack.last_mut() else { return Ok(name.to_owned()) };
        if scope.names.contains_key(name) {
            return Err(Redeclared);
        }
        if scope.number == 0 {
            scope.names.insert(name.into(), None);
            return Ok(name.to_owned());
        }
        let mut new = format!("{name}${}", scope.number);
        while self.reserved.contains(new.as_str()) {
            new.push('$');
        }
        scope.names.insert(name.into(), Some(new.as_str().into()));
        Ok(new)
    }

    /// Declares a label.
    pub(crate) fn declare_label(&mut self, name: &str) -> Result<String, Redeclared> {
        let new = self.declare(name)?;
        if let Some(scope) = self.stack.last_mut().filter(|scope| scope.number > 0) {
            scope.labels.push(name.into());
        }
        Ok(new)
    }

    /// What a name means here.
    pub(crate) fn resolve(&self, name: &str) -> String {
        let nested = self.stack.get(1..).unwrap_or_default();
        let found = nested.iter().rev().find_map(|scope| scope.names.get(name));
        match found {
            Some(Some(new)) => new.as_ref().to_owned(),
            _ => name.to_owned(),
        }
    }
}

fn rename(operand: &mut Operand, labels: &HashMap<&str, &str>) {
    match operand {
        Operand::Name(name) => {
            if let Some(&new) = labels.get(name.as_str()) {
                *name = new.to_owned();
            }
        }
        Operand::Vector(parts) | Operand::List(parts) => {
            parts.iter_mut().for_each(|part| rename(part, labels))
        }
        _ => {}
    }
}
