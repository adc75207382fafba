//! Working memory of the forward pass: allocated when a stage needs more than before, never per token.

use crate::backend::{Backend, Heads};
use crate::config::Config;
use crate::error::Result;

use super::stack::heads;

/// Makes `buffer` hold at least `len` elements; its contents are lost when it has to grow.
pub(crate) fn fit<B: Backend>(backend: &B, buffer: &mut B::Buffer, len: usize) -> Result<()> {
    if backend.buffer_len(buffer) < len {
        *buffer = backend.buffer(len)?;
    }
    Ok(())
}

/// The rows that travel through a stack.
pub struct Activations<B: Backend> {
    /// The residual stream, `[n, d]`.
    pub(crate) x: B::Buffer,
    /// Packed `[q | k | v]` rows.
    pub(crate) packed: B::Buffer,
    /// Attention output, `[n, H · head_dim]`.
    pub(crate) attended: B::Buffer,
    /// SwiGLU hidden rows, `[n, intermediate]`.
    pub(crate) hidden: B::Buffer,
    rows: usize,
    heads: Heads,
    width: usize,
    intermediate: usize,
}

impl<B: Backend> Activations<B> {
    /// Buffers without rows yet.
    pub(crate) fn new(backend: &B, config: &Config) -> Result<Self> {
        Ok(Activations {
            x: backend.buffer(0)?,
            packed: backend.buffer(0)?,
            attended: backend.buffer(0)?,
            hidden: backend.buffer(0)?,
            rows: 0,
            heads: heads(config),
            width: config.hidden_size,
            intermediate: config.intermediate_size,
        })
    }

    /// Makes room for `n` rows. Contents are lost when the buffers have to grow.
    pub(crate) fn fit(&mut self, backend: &B, n: usize) -> Result<()> {
        if n > self.rows {
            fit(backend, &mut self.x, n * self.width)?;
            fit(backend, &mut self.packed, n * self.heads.packed())?;
            fit(backend, &mut self.attended, n * self.heads.query_width())?;
            fit(backend, &mut self.hidden, n * self.intermediate)?;
            self.rows = n;
        }
        Ok(())
    }
}
