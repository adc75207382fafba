//! PTX front end: text to syntax tree.
//!
//! The tree is generic. An instruction is an opcode, its modifiers in the order written, and operands; what they
//! mean is the interpreter's business, so a new instruction needs nothing here.

pub mod ast;
