//! One level of the decoder: a converter and a local stack that sees nothing outside its chunk.

use crate::backend::{Attention, Backend, Layout, LinearSpec, RowMap};
use crate::checkpoint::Checkpoint;
use crate::config::Level;
use crate::error::Result;

use super::buffers::Activations;
use super::stack::Stack;

/// Converter `U_l`, local decoder `G_l` and start latent `s_l` of a level.
pub struct DecoderLevel<B: Backend> {
    pub(crate) start: B::Vector,
    converter: B::Linear,
    stack: Stack<B>,
    width: usize,
    level: Level,
}

/// Keys and values of the live chunks of one level; they die with the chunk.
pub struct LocalBuffer<B: Backend> {
    buffer: Option<B::Local>,
    slots: usize,
}

impl<B: Backend> LocalBuffer<B> {
    pub(crate) fn new() -> Self {
        LocalBuffer { buffer: None, slots: 0 }
    }
}

/// The known content of whole chunks.
pub(crate) enum Content<'a, B: Backend> {
    /// Rows of the level below, `C_l` per chunk; the last of each chunk is not read.
    Rows(&'a B::Buffer),
    /// Tokens, `C_1` per chunk, through the decoder's embedding.
    Tokens(&'a B::Table, &'a B::Ids),
}

impl<B: Backend> DecoderLevel<B> {
    pub(crate) fn load(backend: &B, checkpoint: &Checkpoint, l: usize) -> Result<Self> {
        let config = checkpoint.config();
        let prefix = format!("decoder.levels.{l}.");
        let get = |name: &str| checkpoint.get(&format!("{prefix}{name}"));
        Ok(DecoderLevel {
            start: backend.vector(get("start")?)?,
            converter: backend.linear(LinearSpec {
                norm: None,
                weights: &[get("converter.weight")?],
                bias: Some(get("converter.bias")?),
                layout: Layout::Plain,
            })?,
            stack: Stack::load(backend, checkpoint, &prefix, config.level(l).decoder_layers)?,
            width: config.hidden_size,
            level: config.level(l).clone(),
        })
    }

    /// Chunks that decode side by side: their prefixes are a pass.
    pub(crate) fn side_by_side(&self, backend: &B) -> usize {
        (backend.pass_rows() / self.level.prefix_length).max(1)
    }

    /// Opens `n` chunks conditioned on rows `from(i)` of `h`: runs the prefixes. Afterwards
    /// [`DecoderLevel::emit`] gives the first unit of each.
    pub(crate) fn begin(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        local: &mut LocalBuffer<B>,
        (h, from): (&B::Buffer, RowMap<'_>),
        n: usize,
    ) -> Result<()> {
        let r = self.level.prefix_length;
        activations.fit(backend, n * r)?;
        backend.project(&self.converter, h, from, n, &mut activations.x, RowMap::every(0, r), self.width)?;
        self.advance(backend, activations, local, n, 0, r)
    }

    /// Runs one content row of each of `n` live chunks, taken from rows `0..n` of `activations.x`. `j` counts the
    /// units that the chunk has so far, so the row's position is `R_l + j - 1`.
    pub(crate) fn step(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        local: &mut LocalBuffer<B>,
        n: usize,
        j: usize,
    ) -> Result<()> {
        self.advance(backend, activations, local, n, self.level.prefix_length + j - 1, 1)
    }

    fn advance(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        local: &mut LocalBuffer<B>,
        n: usize,
        position: usize,
        rows: usize,
    ) -> Result<()> {
        let stack = &self.stack;
        if local.buffer.is_none() || local.slots < n {
            local.buffer = None;
            local.buffer = Some(backend.local(stack.depth(), stack.heads(), n, self.level.window())?);
            local.slots = n;
        }
        if let Some(local) = &mut local.buffer {
            stack.run(backend, activations, n * rows, &mut Attention::Step { local, position, rows })?;
        }
        Ok(())
    }

    /// Writes the unit that the last [`DecoderLevel::begin`] (`j = 0`) or [`DecoderLevel::step`] predicts for each
    /// of `n` chunks to rows `to(i)` of `out`.
    pub(crate) fn emit(
        &self,
        backend: &B,
        activations: &Activations<B>,
        n: usize,
        j: usize,
        out: &mut B::Buffer,
        to: RowMap<'_>,
    ) -> Result<()> {
        let r = self.level.prefix_length;
        let from = if j == 0 { RowMap::every(r - 1, r) } else { RowMap::DENSE };
        backend.norm(&self.stack.norm, self.stack.eps, &activations.x, from, n, out, to)
    }

    /// Unfolds `n` chunks on their own outputs: row `i · C_l + j` of `out` is unit `j` of the chunk conditioned on
    /// row `i` of `h`.
    pub(crate) fn unfold(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        local: &mut LocalBuffer<B>,
        h: &B::Buffer,
        n: usize,
        out: &mut B::Buffer,
    ) -> Result<()> {
        let c = self.level.chunk_length;
        let most = self.side_by_side(backend);
        for first in (0..n).step_by(most) {
            let m = most.min(n - first);
            self.begin(backend, activations, local, (h, RowMap::from(first)), m)?;
            self.emit(backend, activations, m, 0, out, RowMap::every(first * c, c))?;
            for j in 1..c {
                let before = RowMap::every(first * c + j - 1, c);
                backend.copy(out, before, &mut activations.x, RowMap::DENSE, m, self.width)?;
                self.step(backend, activations, local, m, j)?;
                self.emit(backend, activations, m, j, out, RowMap::every(first * c + j, c))?;
            }
        }
        Ok(())
    }

    /// Runs `n` whole chunks whose content is known: row `i · C_l + j` of `out` is the prediction of unit `j` of the
    /// chunk conditioned on row `i` of `h`.
    pub(crate) fn forward(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        h: &B::Buffer,
        content: Content<'_, B>,
        n: usize,
        out: &mut B::Buffer,
    ) -> Result<()> {
        let (r, c, w) = (self.level.prefix_length, self.level.chunk_length, self.level.window());
        let most = (backend.pass_rows() / w).max(1);
        for first in (0..n).step_by(most) {
            let m = most.min(n - first);
            activations.fit(backend, m * w)?;
            let x = &mut activations.x;
            backend.project(
                &self.converter,
                h,
                RowMap::from(first),
                m,
                x,
                RowMap::every(0, w),
                self.width,
            )?;
            if c > 1 {
                let (from, to) = (RowMap::blocks(first * c, c - 1, c), RowMap::blocks(r, c - 1, w));
                match &content {
                    Content::Rows(rows) => backend.copy(rows, from, x, to, m * (c - 1), self.width)?,
                    Content::Tokens(table, ids) => backend.embed(table, ids, from, x, to, m * (c - 1))?,
                }
            }
            self.stack.run(backend, activations, m * w, &mut Attention::Chunks { window: w })?;
            let (from, to) = (RowMap::blocks(r - 1, c, w), RowMap::from(first * c));
            backend.norm(&self.stack.norm, self.stack.eps, &activations.x, from, m * c, out, to)?;
        }
        Ok(())
    }
}
