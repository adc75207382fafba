//! PTX front end: text to syntax tree.
//!
//! The tree is generic. An instruction is an opcode, its modifiers in the order written, and operands; what they
//! mean is the interpreter's business, so a new instruction needs nothing here.
//!
//! ```
//! let module = gpusim_ptx::parse(
//!     ".version 8.0 .target sm_90 .address_size 64
//!      .visible .entry nothing() { ret; }",
//! )?;
//! assert_eq!(module.functions[0].name, "nothing");
//! # Ok::<(), gpusim_ptx::ParseError>(())
//! ```

pub mod ast;
mod declarations;
mod error;
mod expressions;
mod functions;
mod initialisers;
mod instructions;
mod lexer;
mod module;
mod numbers;
mod operands;
mod parser;
mod print;
mod scopes;

pub use error::ParseError;

/// Parses a module. Debug sections and pragmas are skipped; everything else is kept or an error.
pub fn parse(source: &str) -> Result<ast::Module, ParseError> {
    parser::Parser::new(source)?.parse()
}
