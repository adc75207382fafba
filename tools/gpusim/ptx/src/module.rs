//! Module-level directives.

use crate::ast::{Linkage, Module, Space};
use crate::error::Result;
use crate::lexer::Kind;
use crate::parser::Parser;

impl Parser<'_> {
    /// The whole text.
    pub(crate) fn parse(mut self) -> Result<Module> {
        if !self.is_dotted(".version") {
            return Err(self.expected("`.version`, with which a module begins"));
        }
        while self.peek() != Kind::End {
            self.module_statement()?;
        }
        if self.module.targets.is_empty() {
            return Err(self.expected("`.target`"));
        }
        Ok(self.module)
    }

    fn module_statement(&mut self) -> Result<()> {
        if self.peek() != Kind::Dotted {
            return Err(self.expected("a directive"));
        }
        match self.text() {
            ".version" => self.version(),
            ".target" => self.target(),
            ".address_size" => {
                self.advance();
                let at = self.position();
                match self.literal()? {
                    bits @ (32 | 64) => self.module.address_size = bits as u32,
                    _ => return Err(self.error_at(at, "addresses have 32 or 64 bits")),
                }
                Ok(())
            }
            ".file" => self.file(),
            ".section" => self.section(),
            ".pragma" => self.pragma(),
            ".loc" => self.location().map(drop),
            ".alias" => {
                self.advance();
                let alias = self.identifier("the alias")?.to_owned();
                self.expect_mark(b',')?;
                let function = self.identifier("the function that the alias stands for")?.to_owned();
                self.expect_mark(b';')?;
                self.module.aliases.push((alias, function));
                Ok(())
            }
            _ => {
                let linkage = self.linkage();
                match self.text() {
                    ".entry" | ".func" => self.function(linkage),
                    _ => {
                        let Some(space) = self.space().filter(|&s| !matches!(s, Space::Reg | Space::Param))
                        else {
                            return Err(self.expected("a module-level directive"));
                        };
                        let at = self.position();
                        let variables = self.variables(linkage, space)?;
                        for variable in &variables {
                            self.declare_global(&variable.name, at)?;
                        }
                        self.module.variables.extend(variables);
                        Ok(())
                    }
                }
            }
        }
    }

    /// A name may be declared once in a module, functions with a prototype apart.
    pub(crate) fn declare_global(&mut self, name: &str, at: usize) -> Result<()> {
        if self.globals.insert(name.into()) {
            Ok(())
        } else {
            Err(self.error_at(at, format!("`{name}` is defined twice")))
        }
    }

    fn version(&mut self) -> Result<()> {
        self.advance();
        if self.module.version != (0, 0) {
            return Err(self.error("a second `.version`"));
        }
        let text = self.text();
        let parts = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let Some(version) = parts.filter(|_| self.peek() == Kind::Number) else {
            return Err(self.expected("a version such as 8.0"));
        };
        self.module.version = version;
        self.advance();
        Ok(())
    }

    fn target(&mut self) -> Result<()> {
        if !self.module.targets.is_empty() {
            return Err(self.error("a second `.target`"));
        }
        self.advance();
        loop {
            let target = self.identifier("a target such as sm_90")?.to_owned();
            self.module.targets.push(target);
            if !self.take_mark(b',') {
                return Ok(());
            }
        }
    }

    /// `.file 1 "name"`, perhaps with a time and a size.
    pub(crate) fn file(&mut self) -> Result<()> {
        self.advance();
        let index = self.small_literal()?;
        let name = self.string()?;
        while self.take_mark(b',') {
            self.literal()?;
        }
        self.module.files.push((index, name));
        Ok(())
    }

    pub(crate) fn small_literal(&mut self) -> Result<u32> {
        let at = self.position();
        u32::try_from(self.literal()?).map_err(|_| self.error_at(at, "this integer needs more than 32 bits"))
    }

    /// `.section .debug_info { … }`.
    pub(crate) fn section(&mut self) -> Result<()> {
        self.advance();
        while matches!(self.peek(), Kind::Dotted | Kind::Identifier | Kind::Text) {
            self.advance();
        }
        self.skip_braces()
    }

    /// `.pragma "…", "…";`: hints to ptxas, none of which changes what a program means.
    pub(crate) fn pragma(&mut self) -> Result<()> {
        self.advance();
        loop {
            self.string()?;
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b';')
    }

    /// The linkage directive at the cursor, if there is one.
    pub(crate) fn linkage(&mut self) -> Linkage {
        let linkage = match self.text() {
            ".visible" => Linkage::Visible,
            ".extern" => Linkage::Extern,
            ".weak" => Linkage::Weak,
            ".common" => Linkage::Common,
            _ => return Linkage::Internal,
        };
        self.advance();
        linkage
    }
}
