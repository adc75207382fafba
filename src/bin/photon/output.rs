//! Writing to standard output and standard error without ever panicking on a closed pipe.

use std::io::Write;

use photon_kernels::{Error, Result};

/// Writes `text` to standard output as it is, and flushes it.
pub fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::io("standard output", e))
}

/// Writes `text` and a line feed to standard output.
pub fn line(text: &str) -> Result<()> {
    write(&format!("{text}\n"))
}

/// Writes `error: …` to standard error, on one line.
pub fn complain(message: &str) {
    let message = message.replace(['\n', '\r'], " ");
    let _ = writeln!(std::io::stderr(), "error: {message}");
}

/// Writes one JSON object and a line feed to standard output.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    line(&serde_json::to_string(value).map_err(|e| Error::io("standard output", e.into()))?)
}
