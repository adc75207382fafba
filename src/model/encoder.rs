//! One level of the encoder: `X_l = F_l(chunk_l(X_{l-1}))`.

use crate::backend::{Attention, Backend, Layout, LinearSpec, RowMap};
use crate::checkpoint::Checkpoint;
use crate::config::Chunker;
use crate::error::Result;

use super::buffers::Activations;
use super::stack::Stack;

/// Chunker and context encoder of a level.
pub struct EncoderLevel<B: Backend> {
    /// The linear chunker; `None` where the chunk's rows are just read as one.
    chunker: Option<B::Linear>,
    /// `F_l`.
    pub(crate) stack: Stack<B>,
    width: usize,
}

impl<B: Backend> EncoderLevel<B> {
    pub(crate) fn load(backend: &B, checkpoint: &Checkpoint, l: usize) -> Result<Self> {
        let config = checkpoint.config();
        let prefix = format!("encoder.levels.{l}.");
        let chunker = match config.level(l).chunker {
            Chunker::Concat => None,
            Chunker::Linear => {
                let get = |name: &str| checkpoint.get(&format!("{prefix}chunker.{name}"));
                Some(backend.linear(LinearSpec {
                    norm: Some((get("norm.weight")?, config.rms_norm_eps)),
                    weights: &[get("proj.weight")?],
                    bias: Some(get("proj.bias")?),
                    layout: Layout::Plain,
                })?)
            }
        };
        let stack = Stack::load(backend, checkpoint, &prefix, config.level(l).encoder_layers)?;
        Ok(EncoderLevel { chunker, stack, width: config.hidden_size })
    }

    /// Appends units to the sequences of `lanes`, `units[i]` to the `i`-th.
    ///
    /// `below` holds the units of level `l - 1`; read as rows of `C_l · D_in`, one row a chunk, chunk `i` is row
    /// `from(i)`. The new `X_l` go to rows `to(i)` of `out`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn append(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        caches: &mut [B::Cache],
        lanes: &[usize],
        units: &[usize],
        (below, from): (&B::Buffer, RowMap<'_>),
        (out, to): (&mut B::Buffer, RowMap<'_>),
    ) -> Result<()> {
        let n = units.iter().sum();
        if n == 0 {
            return Ok(());
        }
        activations.fit(backend, n)?;
        let (d, dense) = (self.width, RowMap::DENSE);
        match &self.chunker {
            Some(linear) => backend.project(linear, below, from, n, &mut activations.x, dense, d)?,
            None => backend.copy(below, from, &mut activations.x, dense, n, d)?,
        }
        let mut attention = Attention::Stream { caches, lanes, rows: units };
        self.stack.run(backend, activations, n, &mut attention)?;
        backend.norm(&self.stack.norm, self.stack.eps, &activations.x, dense, n, out, to)
    }
}
