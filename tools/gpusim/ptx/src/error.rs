//! What is wrong with a text, and where.

use thiserror::Error;

/// A text that is not PTX.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What was expected or found.
    pub message: String,
}

pub(crate) type Result<T> = std::result::Result<T, ParseError>;
