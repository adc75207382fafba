//! Functions: their heads and the statements of their bodies.

use crate::ast::{Function, Linkage, Location, Space, Variable};
use crate::declarations::space_of;
use crate::error::Result;
use crate::lexer::Kind;
use crate::parser::Parser;
use crate::scopes;

/// Performance directives, and how many numbers they have at least and at most.
const DIRECTIVES: &[(&str, usize, usize)] = &[
    ("maxntid", 1, 3),
    ("reqntid", 1, 3),
    ("minnctapersm", 1, 1),
    ("maxnctapersm", 1, 1),
    ("maxnreg", 1, 1),
    ("reqnctapercluster", 1, 3),
    ("explicitcluster", 0, 0),
    ("maxclusterrank", 1, 1),
    ("blocksareclusters", 0, 0),
    ("noreturn", 0, 0),
    ("abi_preserve", 1, 1),
    ("abi_preserve_control", 1, 1),
];

impl Parser<'_> {
    /// `.entry` or `.func` at the cursor, to the end of its body or the semicolon of a prototype.
    pub(crate) fn function(&mut self, linkage: Linkage) -> Result<()> {
        let line = self.line();
        let entry = self.text() == ".entry";
        self.advance();
        while self.take_dotted(".attribute") {
            self.attribute()?;
        }
        let returns = if !entry && self.is_mark(b'(') { self.parameters()? } else { Vec::new() };
        let name = self.identifier("the name of a function")?.to_owned();
        while self.take_dotted(".attribute") {
            self.attribute()?;
        }
        let params = if self.is_mark(b'(') { self.parameters()? } else { Vec::new() };
        let directives = self.directives()?;
        let mut function = Function { linkage, entry, name, returns, params, directives, body: None, line };
        // ptxas does without the semicolon behind a prototype.
        if self.take_mark(b';') || (self.peek() == Kind::Dotted && !entry) || self.peek() == Kind::End {
            self.module.functions.push(function);
            return Ok(());
        }
        if !self.is_mark(b'{') {
            return Err(self.expected("a performance directive, a function body or `;`"));
        }
        let at = self.position();
        self.declare_global(&function.name, at)?;
        self.body = Default::default();
        self.scopes.restart();
        for Variable { name, .. } in function.returns.iter().chain(&function.params).filter(|v| v.name != "_")
        {
            self.declare(name, at)?;
        }
        self.body()?;
        function.body = Some(std::mem::take(&mut self.body));
        self.module.functions.push(function);
        Ok(())
    }

    /// Performance directives between the head and the body: `.maxntid 128, 1, 1 .minnctapersm 2`.
    fn directives(&mut self) -> Result<Vec<(String, Vec<u64>)>> {
        let mut directives: Vec<(String, Vec<u64>)> = Vec::new();
        while self.peek() == Kind::Dotted {
            if self.is_dotted(".pragma") {
                self.pragma()?;
                continue;
            }
            let name = &self.text()[1..];
            let Some(&(_, least, most)) = DIRECTIVES.iter().find(|d| d.0 == name) else { break };
            if directives.iter().any(|d| d.0 == name) {
                return Err(self.error(format!("a second `.{name}`")));
            }
            self.advance();
            let mut numbers = Vec::new();
            while numbers.len() < most && (numbers.len() < least || self.is_mark(b',') || numbers.is_empty())
            {
                if !numbers.is_empty() {
                    self.expect_mark(b',')?;
                }
                numbers.push(self.literal()?);
            }
            directives.push((name.to_owned(), numbers));
        }
        Ok(directives)
    }

    /// The body at the cursor. Scopes are a stack and no recursion, so their depth costs nothing here.
    fn body(&mut self) -> Result<()> {
        let start = self.position();
        self.expect_mark(b'{')?;
        let mut location = None;
        loop {
            match self.peek() {
                Kind::Mark(b'{') => {
                    if self.scopes.depth() >= scopes::MAX_DEPTH {
                        return Err(self.error("these scopes are nested too deeply"));
                    }
                    self.scopes.open(&self.body);
                    self.advance();
                }
                Kind::Mark(b'}') => {
                    self.advance();
                    self.scopes.close(&mut self.body);
                    if self.scopes.depth() == 0 {
                        return Ok(());
                    }
                }
                Kind::Dotted => {
                    if let Some(found) = self.directive()? {
                        location = Some(found);
                    }
                }
                Kind::Identifier if self.peek_at(1) == Kind::Mark(b':') => self.label()?,
                Kind::Identifier | Kind::Mark(b'@') => self.instruction(location)?,
                Kind::End => return Err(self.error_at(start, "this function body is not closed")),
                _ => return Err(self.expected("an instruction")),
            }
        }
    }

    /// A directive in a body. Gives the location if it is a `.loc`.
    fn directive(&mut self) -> Result<Option<Location>> {
        match self.text() {
            ".loc" => return self.location().map(Some),
            ".file" => self.file()?,
            ".pragma" => self.pragma()?,
            ".reg" => {
                self.advance();
                self.registers()?;
            }
            text => {
                let Some(space) = space_of(text).filter(|&space| space != Space::Reg) else {
                    return Err(self.expected("a directive that a body may hold"));
                };
                self.advance();
                self.local_variables(space)?;
            }
        }
        Ok(None)
    }

    /// `.loc 1 20 3`, perhaps with `, function_name $L__info_string0+4, inlined_at 1 18 9`.
    pub(crate) fn location(&mut self) -> Result<Location> {
        self.advance();
        let file = self.small_literal()?;
        let line = self.small_literal()?;
        let column = self.small_literal()?;
        while self.take_mark(b',') {
            match self.identifier("`function_name` or `inlined_at`")? {
                "function_name" => {
                    // A label, or the debug section itself with an offset.
                    match self.peek() {
                        Kind::Identifier | Kind::Dotted => self.advance(),
                        _ => return Err(self.expected("a label")),
                    }
                    self.offset()?;
                }
                "inlined_at" => {
                    for _ in 0..3 {
                        self.small_literal()?;
                    }
                }
                _ => return Err(self.error("`function_name` or `inlined_at` is expected here")),
            }
        }
        Ok(Location { file, line, column })
    }

    /// A label, and the directive that it names if it is one.
    fn label(&mut self) -> Result<()> {
        let at = self.position();
        let name = self.identifier("a label")?;
        self.expect_mark(b':')?;
        let declared = self.scopes.declare_label(name);
        let name =
            declared.map_err(|_| self.error_at(at, format!("`{name}` is declared twice in one scope")))?;
        match self.peek() {
            Kind::Dotted if matches!(self.text(), ".branchtargets" | ".calltargets") => {
                self.advance();
                let targets = self.targets()?;
                self.body.targets.push((name, targets));
            }
            Kind::Dotted if self.text() == ".callprototype" => {
                let prototype = self.prototype()?;
                self.body.prototypes.push((name, prototype));
            }
            _ => self.body.labels.push((name, self.body.code.len())),
        }
        Ok(())
    }

    /// `a, b, c<3>;`.
    fn targets(&mut self) -> Result<Vec<String>> {
        let mut targets = Vec::new();
        loop {
            let name = self.identifier("a label or function")?;
            match self.range()? {
                Some(count) => {
                    targets.extend((0..count).map(|index| self.scopes.resolve(&format!("{name}{index}"))));
                }
                None => targets.push(self.scopes.resolve(name)),
            }
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b';')?;
        Ok(targets)
    }

    /// `.callprototype (.param .b32 _) _ (.param .b64 _) .noreturn;`.
    fn prototype(&mut self) -> Result<Function> {
        let line = self.line();
        self.advance();
        let returns = if self.is_mark(b'(') { self.parameters()? } else { Vec::new() };
        let name = self.identifier("`_`")?.to_owned();
        let params = if self.is_mark(b'(') { self.parameters()? } else { Vec::new() };
        let directives = self.directives()?;
        self.expect_mark(b';')?;
        let linkage = Linkage::Internal;
        Ok(Function { linkage, entry: false, name, returns, params, directives, body: None, line })
    }
}
