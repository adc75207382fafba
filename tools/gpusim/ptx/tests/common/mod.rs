//! What the tests share.
#![allow(dead_code)]

use gpusim_ptx::ast::{Body, Function, Instruction, Module, Operand, Variable};
use gpusim_ptx::{ParseError, parse};

pub const HEAD: &str = ".version 8.4\n.target sm_90\n.address_size 64\n";

/// A module of the directives in `text`; its first line is line 4.
pub fn module(text: &str) -> Module {
    parse(&format!("{HEAD}{text}")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub fn module_error(text: &str) -> ParseError {
    match parse(&format!("{HEAD}{text}")) {
        Ok(_) => panic!("parsed: {text}"),
        Err(error) => error,
    }
}

pub fn variable(text: &str) -> Variable {
    module(text).variables.remove(0)
}

pub fn function(text: &str) -> Function {
    module(text).functions.remove(0)
}

/// The body of a kernel that holds the statements in `text`.
pub fn body(text: &str) -> Body {
    function(&format!(".visible .entry k(.param .u64 p)\n{{\n{text}\n}}")).body.expect("a body")
}

pub fn body_error(text: &str) -> ParseError {
    module_error(&format!(".visible .entry k(.param .u64 p)\n{{\n{text}\n}}"))
}

pub fn instruction(text: &str) -> Instruction {
    let mut code = body(text).code;
    assert_eq!(code.len(), 1, "{text}");
    code.remove(0)
}

pub fn operands(text: &str) -> Vec<Operand> {
    instruction(text).operands
}

/// Opcode and modifiers with dots between them.
pub fn mnemonic(instruction: &Instruction) -> String {
    let mut text = instruction.opcode.to_string();
    for modifier in &instruction.modifiers {
        text += ".";
        text += modifier;
    }
    text
}

pub fn name(text: &str) -> Operand {
    Operand::Name(text.into())
}
