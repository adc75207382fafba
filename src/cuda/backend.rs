//! [`Backend`] for [`CudaBackend`]: every operation is one of [`super::ops`].

use super::ops::{
    CudaBackend, CudaBuffer, CudaCache, CudaIds, CudaLinear, CudaLocal, CudaTable, CudaVector, PASS_ROWS,
};
use crate::backend::{Attention, Backend, Heads, LinearSpec, RowMap};
use crate::checkpoint::Tensor;
use crate::error::Result;
use crate::sampling::Draw;

impl Backend for CudaBackend {
    type Buffer = CudaBuffer;
    type Ids = CudaIds;
    type Linear = CudaLinear;
    type Table = CudaTable;
    type Vector = CudaVector;
    type Cache = CudaCache;
    type Local = CudaLocal;

    fn pass_rows(&self) -> usize {
        PASS_ROWS
    }

    fn linear(&self, spec: LinearSpec<'_>) -> Result<CudaLinear> {
        self.new_linear(spec)
    }

    fn table(&self, weight: &Tensor) -> Result<CudaTable> {
        self.new_table(weight)
    }

    fn vector(&self, weight: &Tensor) -> Result<CudaVector> {
        self.new_vector(weight)
    }

    fn buffer(&self, len: usize) -> Result<CudaBuffer> {
        self.new_buffer(len)
    }

    fn buffer_len(&self, buffer: &CudaBuffer) -> usize {
        buffer.len
    }

    fn ids(&self, len: usize) -> Result<CudaIds> {
        self.new_ids(len)
    }

    fn cache(&self, layers: usize, heads: Heads, capacity: usize) -> Result<CudaCache> {
        self.new_cache(layers, heads, capacity)
    }

    fn local(&self, layers: usize, heads: Heads, slots: usize, window: usize) -> Result<CudaLocal> {
        self.new_local(layers, heads, slots, window)
    }

    fn read(&self, buffer: &CudaBuffer, at: usize, out: &mut [f32]) -> Result<()> {
        self.read_buffer(buffer, at, out)
    }

    fn write(&self, values: &[f32], buffer: &mut CudaBuffer, at: usize) -> Result<()> {
        self.write_buffer(values, buffer, at)
    }

    fn read_ids(&self, ids: &CudaIds, at: usize, out: &mut [u32]) -> Result<()> {
        self.read_tokens(ids, at, out)
    }

    fn write_ids(&self, values: &[u32], ids: &mut CudaIds, at: usize) -> Result<()> {
        self.write_tokens(values, ids, at)
    }

    fn copy(
        &self,
        source: &CudaBuffer,
        from: RowMap<'_>,
        target: &mut CudaBuffer,
        to: RowMap<'_>,
        n: usize,
        width: usize,
    ) -> Result<()> {
        self.copy_rows(source, from, target, to, n, width)
    }

    fn fill(&self, row: &CudaVector, target: &mut CudaBuffer, to: RowMap<'_>, n: usize) -> Result<()> {
        self.fill_rows(row, target, to, n)
    }

    fn embed(
        &self,
        table: &CudaTable,
        ids: &CudaIds,
        from: RowMap<'_>,
        out: &mut CudaBuffer,
        to: RowMap<'_>,
        n: usize,
    ) -> Result<()> {
        self.embed_rows(table, ids, from, out, to, n)
    }

    fn project(
        &self,
        linear: &CudaLinear,
        x: &CudaBuffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut CudaBuffer,
        to: RowMap<'_>,
        to_width: usize,
    ) -> Result<()> {
        self.project_rows(linear, x, from, n, out, to, to_width)
    }

    fn qkv(
        &self,
        linear: &CudaLinear,
        heads: Heads,
        theta: f64,
        x: &CudaBuffer,
        n: usize,
        layer: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut CudaBuffer,
    ) -> Result<()> {
        self.qkv_rows(linear, heads, theta, x, n, layer, attention, out)
    }

    fn attend(
        &self,
        heads: Heads,
        packed: &CudaBuffer,
        n: usize,
        layer: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut CudaBuffer,
    ) -> Result<()> {
        self.attend_rows(heads, packed, n, layer, attention, out)
    }

    fn commit(&self, attention: &mut Attention<'_, Self>) -> Result<()> {
        self.end_pass(attention)
    }

    fn project_add(&self, linear: &CudaLinear, h: &CudaBuffer, n: usize, x: &mut CudaBuffer) -> Result<()> {
        self.project_residual(linear, h, n, x)
    }

    fn gate_up(&self, linear: &CudaLinear, x: &CudaBuffer, n: usize, out: &mut CudaBuffer) -> Result<()> {
        self.swiglu(linear, x, n, out)
    }

    fn norm(
        &self,
        gain: &CudaVector,
        eps: f64,
        x: &CudaBuffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut CudaBuffer,
        to: RowMap<'_>,
    ) -> Result<()> {
        self.norm_rows(gain, eps, x, from, n, out, to)
    }

    fn sample(
        &self,
        head: &CudaLinear,
        h: &CudaBuffer,
        from: RowMap<'_>,
        draws: &[Draw],
        ids: &mut CudaIds,
        to: RowMap<'_>,
    ) -> Result<()> {
        self.sample_rows(head, h, from, draws, ids, to)
    }

    fn log_probs(
        &self,
        head: &CudaLinear,
        h: &CudaBuffer,
        from: RowMap<'_>,
        targets: &[u32],
        out: &mut [f32],
    ) -> Result<()> {
        self.log_probs_of(head, h, from, targets, out)
    }
}
