//! Declarations of variables, parameters and registers.

use crate::ast::{Linkage, Space, Type, Variable};
use crate::error::Result;
use crate::lexer::Kind;
use crate::parser::Parser;

/// Dimensions of an array, for initialisers are read recursively.
const MAX_DIMENSIONS: usize = 32;

/// What stands before the names of a declaration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Specification {
    pub(crate) ty: Type,
    pub(crate) vector: u32,
    align: Option<u32>,
    pointer: Option<(Option<Space>, u32)>,
}

/// A state space by its directive.
pub(crate) fn space_of(text: &str) -> Option<Space> {
    Some(match text {
        ".reg" => Space::Reg,
        ".global" => Space::Global,
        ".shared" => Space::Shared,
        ".local" => Space::Local,
        ".param" => Space::Param,
        ".const" => Space::Const,
        _ => return None,
    })
}

/// A type by its directive. Variables of bf16 types are declared as `.b16` and `.b32`.
fn type_of(text: &str) -> Option<Type> {
    Some(match text {
        ".b8" => Type::B8,
        ".b16" => Type::B16,
        ".b32" => Type::B32,
        ".b64" => Type::B64,
        ".b128" => Type::B128,
        ".u8" => Type::U8,
        ".u16" => Type::U16,
        ".u32" => Type::U32,
        ".u64" => Type::U64,
        ".s8" => Type::S8,
        ".s16" => Type::S16,
        ".s32" => Type::S32,
        ".s64" => Type::S64,
        ".f16" => Type::F16,
        ".f16x2" => Type::F16x2,
        ".f32" => Type::F32,
        ".f64" => Type::F64,
        ".pred" => Type::Pred,
        ".texref" | ".samplerref" | ".surfref" => Type::Opaque,
        _ => return None,
    })
}

/// Bytes of a value in memory; predicates and opaque objects have no layout of their own and count as a word.
pub(crate) fn bytes_of(ty: Type) -> u64 {
    match ty {
        Type::B8 | Type::U8 | Type::S8 => 1,
        Type::B16 | Type::U16 | Type::S16 | Type::F16 | Type::Bf16 => 2,
        Type::B32 | Type::U32 | Type::S32 | Type::F32 | Type::F16x2 | Type::Bf16x2 | Type::Pred => 4,
        Type::B64 | Type::U64 | Type::S64 | Type::F64 | Type::Opaque => 8,
        Type::B128 => 16,
    }
}

impl<'s> Parser<'s> {
    /// Takes a state space.
    pub(crate) fn space(&mut self) -> Option<Space> {
        let space = space_of(self.text())?;
        self.advance();
        Some(space)
    }

    /// Attributes, alignment, vector length and type.
    pub(crate) fn specification(&mut self) -> Result<Specification> {
        let mut specification = Specification { ty: Type::B8, vector: 1, align: None, pointer: None };
        let mut ty = None;
        while self.peek() == Kind::Dotted {
            let at = self.position();
            let text = self.text();
            self.advance();
            match text {
                ".align" if ty.is_none() && specification.vector == 1 && specification.align.is_none() => {
                    specification.align = Some(self.alignment()?);
                }
                ".v2" if ty.is_none() && specification.vector == 1 => specification.vector = 2,
                ".v4" if ty.is_none() && specification.vector == 1 => specification.vector = 4,
                ".attribute" => self.attribute()?,
                ".ptr" if specification.pointer.is_none() => {
                    let space = self.space();
                    let align = if self.take_dotted(".align") { self.alignment()? } else { 4 };
                    specification.pointer = Some((space, align));
                }
                _ => match (type_of(text), ty) {
                    (Some(found), None) => ty = Some(found),
                    (Some(_), Some(_)) => return Err(self.error_at(at, "a second type")),
                    (None, _) => {
                        return Err(self
                            .error_at(at, format!("`{text}` is no type or attribute that may stand here")));
                    }
                },
            }
        }
        specification.ty = ty.ok_or_else(|| self.expected("a type"))?;
        Ok(specification)
    }

    fn alignment(&mut self) -> Result<u32> {
        let at = self.position();
        let align = self.small_literal()?;
        if align.is_power_of_two() { Ok(align) } else { Err(self.error_at(at, "not a power of two")) }
    }

    /// What follows `.attribute`: `(.managed)`, `(.unified(1, 2))`. Both concern linking and placement only.
    pub(crate) fn attribute(&mut self) -> Result<()> {
        self.expect_mark(b'(')?;
        let mut depth = 1;
        while depth > 0 {
            match self.peek() {
                Kind::Mark(b'(') => depth += 1,
                Kind::Mark(b')') => depth -= 1,
                Kind::Mark(b',') | Kind::Dotted | Kind::Number => {}
                _ => return Err(self.expected("an attribute")),
            }
            self.advance();
        }
        Ok(())
    }

    /// `[4][2]`, `[]`, or nothing.
    fn dimensions(&mut self) -> Result<Vec<u64>> {
        let mut dims = Vec::new();
        while self.take_mark(b'[') {
            if dims.len() == MAX_DIMENSIONS {
                return Err(self.error("too many dimensions"));
            }
            if self.take_mark(b']') {
                if !dims.is_empty() {
                    return Err(self.error("only the first dimension may be left out"));
                }
                dims.push(0);
                continue;
            }
            dims.push(self.literal()?);
            self.expect_mark(b']')?;
        }
        Ok(dims)
    }

    fn variable(
        &mut self,
        specification: Specification,
        linkage: Linkage,
        space: Space,
        name: String,
    ) -> Variable {
        let Specification { ty, vector, align, pointer } = specification;
        let line = self.line();
        Variable {
            linkage,
            space,
            ty,
            vector,
            name,
            dims: Vec::new(),
            align,
            pointer,
            init: Vec::new(),
            line,
        }
    }

    /// What follows linkage and space of a module-scope variable, to the semicolon.
    pub(crate) fn variables(&mut self, linkage: Linkage, space: Space) -> Result<Vec<Variable>> {
        let at = self.position();
        let specification = self.specification()?;
        if specification.ty == Type::Pred {
            return Err(self.error_at(at, "predicates live in registers only"));
        }
        let mut variables = Vec::new();
        loop {
            if self.peek() != Kind::Identifier {
                return Err(self.expected("the name of a variable"));
            }
            let mut variable = self.variable(specification, linkage, space, self.text().to_owned());
            self.advance();
            if let Some(count) = self.range()? {
                let Some(left) = self.padding_left.checked_sub(count) else {
                    return Err(self.error("more than a million variables from ranges"));
                };
                self.padding_left = left;
                for index in 0..count {
                    variables
                        .push(Variable { name: format!("{}{index}", variable.name), ..variable.clone() });
                }
            } else {
                variable.dims = self.dimensions()?;
                let at = self.position();
                if self.take_mark(b'=') {
                    if !matches!(space, Space::Global | Space::Const) {
                        return Err(
                            self.error_at(at, "only .global and .const variables have an initial value")
                        );
                    }
                    self.initialiser(&mut variable)?;
                }
                if linkage != Linkage::Extern && variable.dims.contains(&0) {
                    return Err(self.error_at(at, "an array without a size"));
                }
                variables.push(variable);
            }
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b';')?;
        Ok(variables)
    }

    /// What follows the space of a variable in a function.
    pub(crate) fn local_variables(&mut self, space: Space) -> Result<()> {
        let at = self.position();
        for mut variable in self.variables(Linkage::Internal, space)? {
            variable.name = self.declare(&variable.name, at)?;
            self.body.variables.push(variable);
        }
        Ok(())
    }

    /// What follows `.reg`, to the semicolon.
    pub(crate) fn registers(&mut self) -> Result<()> {
        let Specification { ty, vector, .. } = self.specification()?;
        loop {
            let at = self.position();
            let name = self.identifier("the name of a register")?;
            match self.range()? {
                None => {
                    let name = self.declare(name, at)?;
                    self.body.registers.push((name, ty, vector));
                }
                Some(count) => {
                    for index in 0..count {
                        let name = self.declare(&format!("{name}{index}"), at)?;
                        self.body.registers.push((name, ty, vector));
                    }
                }
            }
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b';')
    }

    /// `<10>` after a name: how many names it makes.
    pub(crate) fn range(&mut self) -> Result<Option<u64>> {
        if !self.take_mark(b'<') {
            return Ok(None);
        }
        let at = self.position();
        let count = self.literal()?;
        self.expect_mark(b'>')?;
        match self.names_left.checked_sub(count) {
            Some(left) => self.names_left = left,
            None => return Err(self.error_at(at, "more than four million names from ranges")),
        }
        Ok(Some(count))
    }

    /// Declares a name in the scope at the cursor.
    pub(crate) fn declare(&mut self, name: &str, at: usize) -> Result<String> {
        if name == "_" {
            return Err(self.error_at(at, "`_` is no name"));
        }
        self.scopes
            .declare(name)
            .map_err(|_| self.error_at(at, format!("`{name}` is declared twice in one scope")))
    }

    /// `(.param .u64 a, .param .align 4 .b8 b[12])`, parentheses included.
    pub(crate) fn parameters(&mut self) -> Result<Vec<Variable>> {
        self.expect_mark(b'(')?;
        let mut parameters = Vec::new();
        if self.take_mark(b')') {
            return Ok(parameters);
        }
        loop {
            let Some(space) = self.space().filter(|s| matches!(s, Space::Param | Space::Reg)) else {
                return Err(self.expected("`.param` or `.reg`"));
            };
            let specification = self.specification()?;
            let name = self.identifier("the name of a parameter")?.to_owned();
            let mut parameter = self.variable(specification, Linkage::Internal, space, name);
            parameter.dims = self.dimensions()?;
            parameters.push(parameter);
            if !self.take_mark(b',') {
                break;
            }
        }
        self.expect_mark(b')')?;
        Ok(parameters)
    }
}
