//! Weights as the backend keeps them: matrices packed for the kernel, tables as views of the checkpoint where the dtype
//! allows.

use std::ops::Range;

use super::arithmetic;
use super::math;
use super::memory::Aligned;
use super::pack::Packed;
use super::product::{self, Activations, Output, Product, Rows, Then};
use super::quantize::{Int8, SignMagnitude};
use super::simd::Isa;
use super::threads::{Shared, Threads};
use crate::backend::{LinearSpec, RowMap};
use crate::check;
use crate::checkpoint::{Dtype, Tensor};
use crate::error::{Error, Result};

/// A linear map with its optional norm and bias.
pub struct CpuLinear {
    norm: Option<(Vec<f32>, f32)>,
    blocks: Vec<Block>,
    bias: Option<Vec<f32>>,
    activations: Activations,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// One of the matrices that a linear map puts one below the other.
enum Block {
    F32(Packed<f32>),
    Bf16(Packed<u16>),
    Int8(Int8<i8>),
    /// For products with activations in bfloat16.
    Int8Dots(Int8<SignMagnitude>),
}

/// Calls `$body` with the packed matrix of a block, of whatever type.
macro_rules! with_packed {
    ($block:expr, $w:ident => $body:expr) => {
        match $block {
            Block::F32($w) => $body,
            Block::Bf16($w) => $body,
            Block::Int8(Int8 { values: $w, .. }) => $body,
            Block::Int8Dots(Int8 { values: $w, .. }) => $body,
        }
    };
}

impl Block {
    fn outputs(&self) -> usize {
        with_packed!(self, packed => packed.outputs())
    }

    /// Inputs, padded.
    fn inputs(&self) -> usize {
        with_packed!(self, packed => packed.inputs())
    }

    /// Factors of the outputs, where there are any.
    fn scales(&self) -> Option<&[f32]> {
        match self {
            Block::F32(_) | Block::Bf16(_) => None,
            Block::Int8(Int8 { scales, .. }) | Block::Int8Dots(Int8 { scales, .. }) => Some(scales),
        }
    }

    /// Bytes of one weight.
    fn element(&self) -> usize {
        match self {
            Block::F32(_) => 4,
            Block::Bf16(_) => 2,
            Block::Int8(_) | Block::Int8Dots(_) => 1,
        }
    }
}

/// An embedding table.
pub struct CpuTable(pub(crate) Matrix);

/// A gain or a learned row.
pub struct CpuVector(pub(crate) Vec<f32>);

/// A row-major matrix in the dtype that the backend keeps.
pub(crate) struct Matrix {
    tensor: Tensor,
    narrow: bool,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Matrix {
    pub(crate) fn new(tensor: &Tensor, dtype: Dtype) -> Result<Self> {
        let &[rows, columns] = tensor.shape() else {
            return Err(Error::argument(format!(
                "{} has shape {:?}; a matrix is needed",
                tensor.name(),
                tensor.shape()
            )));
        };
        if rows == 0 || columns == 0 {
            return Err(Error::argument(format!(
                "{} has shape {:?}: it is empty",
                tensor.name(),
                tensor.shape()
            )));
        }
        let converted = tensor.dtype() != dtype;
        let tensor = tensor.to_dtype(dtype);
        // The checkpoint was checked as it is stored; what is rounded here may have left the range.
        if converted && let Some(at) = tensor.first_non_finite() {
            return Err(Error::Checkpoint(format!(
                "{}: element {at} is not finite as {dtype}; keep the weights in another dtype",
                tensor.name()
            )));
        }
        let narrow = dtype == Dtype::Bf16;
        let size = if narrow { size_of::<u16>() } else { size_of::<f32>() };
        let bytes = tensor.bytes();
        let expected = check::product(tensor.name(), &[rows, columns, size])?;
        if bytes.len() != expected || bytes.as_ptr().align_offset(size) != 0 {
            return Err(Error::Checkpoint(format!(
                "{} has {} bytes at {:p}; {expected} aligned to {size} are needed",
                tensor.name(),
                bytes.len(),
                bytes.as_ptr()
            )));
        }
        Ok(Matrix { tensor, narrow, rows, columns })
    }

    /// A copy in the kernel's order.
    fn packed(&self, threads: &Threads, int8: bool, activations: Activations) -> Result<Block> {
        let bytes = self.tensor.bytes();
        Ok(if int8 {
            match activations {
                Activations::F32 => Block::Int8(Int8::new(threads, self)?),
                Activations::Bf16 => Block::Int8Dots(Int8::new(threads, self)?),
            }
        } else if self.narrow {
            Block::Bf16(Packed::new(threads, bytemuck::cast_slice(bytes), self.rows, self.columns)?)
        } else {
            Block::F32(Packed::new(threads, bytemuck::cast_slice(bytes), self.rows, self.columns)?)
        })
    }

    /// Copies a row, widened.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.columns..(row + 1) * self.columns;
        if self.narrow {
            let values: &[u16] = bytemuck::cast_slice(self.tensor.bytes());
            for (out, &x) in out.iter_mut().zip(&values[range]) {
                *out = f32::from_bits(u32::from(x) << 16);
            }
        } else {
            out.copy_from_slice(&bytemuck::cast_slice::<_, f32>(self.tensor.bytes())[range]);
        }
    }
}

/// A vector of a given length, as f32.
pub(crate) fn vector(tensor: &Tensor, len: Option<usize>) -> Result<Vec<f32>> {
    let values = tensor.to_f32();
    match len {
        Some(len) if values.len() != len || tensor.shape().len() != 1 => Err(Error::argument(format!(
            "{} has shape {:?}; [{len}] is needed",
            tensor.name(),
            tensor.shape()
        ))),
        _ if values.is_empty() => Err(Error::argument(format!("{} is empty", tensor.name()))),
        _ => Ok(values),
    }
}

impl CpuLinear {
    pub(crate) fn new(
        spec: LinearSpec<'_>,
        dtype: Dtype,
        int8: bool,
        isa: Isa,
        threads: &Threads,
    ) -> Result<Self> {
        let Some(first) = spec.weights.first() else {
            return Err(Error::argument("weights is empty; a linear map needs at least one matrix"));
        };
        // f32 models keep their activations: there the sums are compared bit by bit with those of other machines.
        let rounds = isa == Isa::Avx512Bf16 && dtype == Dtype::Bf16;
        let activations = if rounds { Activations::Bf16 } else { Activations::F32 };
        let mut blocks = Vec::with_capacity(spec.weights.len());
        let mut inputs = None;
        for tensor in spec.weights {
            // Integers are made of the weights as they are, not of their roundings.
            let exact = if int8 && tensor.dtype() != Dtype::Bf16 { Dtype::F32 } else { dtype };
            let matrix = Matrix::new(tensor, exact)?;
            let inputs = *inputs.get_or_insert(matrix.columns);
            check::equal(
                &format!("input width of {}", tensor.name()),
                matrix.columns,
                inputs,
                &format!("that of {}", first.name()),
            )?;
            blocks.push(matrix.packed(threads, int8, activations)?);
        }
        let inputs = inputs.unwrap_or(0);
        let outputs = blocks.iter().map(Block::outputs).sum();
        let norm = match spec.norm {
            Some((gain, eps)) => Some((vector(gain, Some(inputs))?, eps as f32)),
            None => None,
        };
        let bias = match spec.bias {
            Some(bias) => Some(vector(bias, Some(outputs))?),
            None => None,
        };
        Ok(CpuLinear { norm, blocks, bias, activations, inputs, outputs })
    }

    /// Bytes of the matrices, factors of outputs included.
    pub(crate) fn bytes(&self) -> usize {
        let weights = self.inputs * self.outputs * self.blocks[0].element();
        weights + self.blocks[0].scales().map_or(0, |_| self.outputs * size_of::<f32>())
    }

    /// A guess, in nanoseconds of one thread, at what `rows` rows of all `outputs` cost.
    pub(crate) fn cost(&self, rows: usize) -> usize {
        let read = self.bytes() / 10;
        let per_ns = if self.activations == Activations::Bf16 { 100 } else { 40 };
        let compute = self.outputs * self.inputs / per_ns * rows;
        read.max(compute)
    }

    /// The rows `from` of `x`, normalised if the map has a norm. A row without a norm is used in place.
    pub(crate) fn rows<'a>(
        &self,
        isa: Isa,
        threads: &Threads,
        x: &'a [f32],
        from: RowMap<'_>,
        count: usize,
        scratch: &'a mut Aligned<f32>,
    ) -> Result<Rows<'a>> {
        let width = self.inputs;
        let k = self.blocks[0].inputs();
        let kind = self.activations;
        if self.norm.is_none() && width == k && count == 1 && kind == Activations::F32 {
            return Ok(Rows { values: &x[from.at(0) * width..][..width], kind, count, k });
        }
        let values = scratch.at_least(count * k / kind.per_value())?;
        let shared = Shared::new(values);
        let block = product::block(k);
        threads.share(count, count * width / 2, |range| {
            for i in range {
                let row = &x[from.at(i) * width..][..width];
                let norm = self.norm.as_ref().map(|(gain, eps)| (gain, math::inverse_rms(isa, row, *eps)));
                for at in (0..k).step_by(block) {
                    let len = block.min(k - at);
                    let end = width.min(at + len);
                    let per = kind.per_value();
                    // SAFETY: row `i` of the block at `at`; rows do not overlap, and each belongs to one range.
                    let out = unsafe { shared.slice((at * count + i * len) / per, len / per) };
                    if kind == Activations::Bf16 {
                        let norm = norm.map(|(gain, scale)| (scale, &gain[at..end]));
                        arithmetic::round(isa, &row[at..end], norm, bytemuck::cast_slice_mut(out));
                        continue;
                    }
                    let (out, padding) = out.split_at_mut(end - at);
                    match norm {
                        Some((gain, scale)) => math::scale(isa, &row[at..end], scale, &gain[at..end], out),
                        None => out.copy_from_slice(&row[at..end]),
                    }
                    padding.fill(0.0);
                }
            }
        });
        Ok(Rows { values, kind, count, k })
    }

    /// Calls `work` on rectangles (rows, columns) that cover `rows × columns`, where a column costs `1 / columns` of
    /// the whole map.
    pub(crate) fn tiles(
        &self,
        threads: &Threads,
        rows: usize,
        columns: usize,
        work: impl Fn(Range<usize>, Range<usize>) + Sync,
    ) {
        let blocks = rows.div_ceil(product::ROWS).max(1);
        let height = rows.div_ceil(blocks).next_multiple_of(12);
        let blocks = rows.div_ceil(height);
        let unit = product::COLUMNS;
        let strips = columns.div_ceil(unit);
        threads.share(strips * blocks, self.cost(rows), |range| {
            if blocks == 1 {
                return work(0..rows, range.start * unit..columns.min(range.end * unit));
            }
            for i in range {
                let (strip, block) = (i / blocks, i % blocks);
                work(
                    block * height..rows.min((block + 1) * height),
                    strip * unit..columns.min((strip + 1) * unit),
                );
            }
        });
    }

    /// The outputs `columns` of the rows `range` of `x`. Output `columns.start` of row `i` goes to
    /// `out[offsets[i]]`, the next ones after it.
    ///
    /// # Safety
    /// These places of `out` exist and nobody else uses them meanwhile.
    pub(crate) unsafe fn apply(
        &self,
        isa: Isa,
        x: &Rows<'_>,
        range: Range<usize>,
        columns: Range<usize>,
        out: *mut f32,
        offsets: &[usize],
        then: Then,
    ) {
        assert!(range.end <= x.count && range.end <= offsets.len() && columns.end <= self.outputs);
        let mut first = 0;
        for block in &self.blocks {
            let outputs = block.outputs();
            let (from, to) = (columns.start.max(first), columns.end.min(first + outputs));
            if from < to {
                let out = out.wrapping_add(from - columns.start);
                let bias = self.bias.as_ref().map(|bias| &bias[first..first + outputs]);
                let (from, to) = (from - first, to - first);
                let (row, offsets) = (range.start, &offsets[range.clone()]);
                let scales = block.scales();
                // SAFETY: the caller vouches for `out`.
                let out = unsafe { Output::new(out) };
                with_packed!(block, w => {
                    product::run(isa, &Product { x: *x, row, w, from, to, scales, bias, offsets, out, then });
                });
            }
            first += outputs;
        }
    }
}
