//! The one error type of the crate.

use std::path::PathBuf;

/// What can go wrong, worded so that the message alone tells what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word on it.
        source: std::io::Error,
    },
    /// `config.json` is not a valid configuration; the message names the key.
    #[error("config: {0}")]
    Config(String),
    /// The weights do not fit the configuration; the message names the tensor.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// An argument of a call is out of range; the message names it, its value and what is allowed.
    #[error("{0}")]
    Argument(String),
    /// The tokenizer could not be loaded or refused its input.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// There is no device to run on: no driver, no GPU, or one too old.
    #[error("no device: {0}")]
    NoDevice(String),
    /// Memory ran out; nothing was changed, and a smaller request may succeed.
    #[error("out of memory on {0}")]
    OutOfMemory(String),
    /// The backend has no kernel for this configuration; the message says what it has kernels for.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The backend failed.
    #[error("backend: {0}")]
    Backend(String),
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io { path: path.into(), source }
    }

    /// An [`Error::Argument`].
    pub fn argument(message: impl Into<String>) -> Self {
        Error::Argument(message.into())
    }
}

/// Text of unknown origin as part of a message: one line, without control characters, of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MOST {
            line.push('…');
            break;
        }
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;
