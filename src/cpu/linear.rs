//! Weights as the backend keeps them: views of the checkpoint where the dtype allows, one copy where not.

use std::ops::Range;

use super::check;
use super::math;
use super::memory::Aligned;
use super::panel::{self, Panel, Then};
use super::simd::{Isa, LANES};
use super::threads::{Shared, Threads};
use crate::backend::{LinearSpec, RowMap};
use crate::checkpoint::{Dtype, Tensor};
use crate::error::{Error, Result};

/// A linear map with its optional norm and bias.
pub struct CpuLinear {
    norm: Option<(Vec<f32>, f32)>,
    blocks: Vec<Matrix>,
    bias: Option<Vec<f32>>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
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

/// Rows of activations as the matrix kernel wants them: dense, each padded with zeros to a multiple of 16.
pub(crate) struct Rows<'a> {
    values: &'a [f32],
    pitch: usize,
    count: usize,
}

impl CpuLinear {
    pub(crate) fn new(spec: LinearSpec<'_>, dtype: Dtype) -> Result<Self> {
        let blocks =
            spec.weights.iter().map(|tensor| Matrix::new(tensor, dtype)).collect::<Result<Vec<_>>>()?;
        let Some(first) = blocks.first() else {
            return Err(Error::argument("weights is empty; a linear map needs at least one matrix"));
        };
        let inputs = first.columns;
        for block in &blocks {
            check::equal(
                &format!("input width of {}", block.tensor.name()),
                block.columns,
                inputs,
                &format!("that of {}", first.tensor.name()),
            )?;
        }
        let outputs = blocks.iter().map(|block| block.rows).sum();
        let norm = match spec.norm {
            Some((gain, eps)) => Some((vector(gain, Some(inputs))?, eps as f32)),
            None => None,
        };
        let bias = match spec.bias {
            Some(bias) => Some(vector(bias, Some(outputs))?),
            None => None,
        };
        Ok(CpuLinear { norm, blocks, bias, inputs, outputs })
    }

    /// Bytes of one row of weights.
    fn row_bytes(&self) -> usize {
        self.inputs * if self.blocks[0].narrow { 2 } else { 4 }
    }

    /// A guess, in nanoseconds of one thread, at what `rows` rows of all `outputs` cost.
    pub(crate) fn cost(&self, rows: usize) -> usize {
        let read = self.outputs * self.row_bytes() / 10;
        let compute = self.outputs * self.inputs / 40 * rows;
        read.max(compute)
    }

    /// The rows `from` of `x`, normalised if the map has a norm. Dense rows without a norm are used in place.
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
        if self.norm.is_none()
            && width.is_multiple_of(LANES)
            && let Some(start) = dense(from, count)
        {
            return Ok(Rows { values: &x[start * width..(start + count) * width], pitch: width, count });
        }
        let pitch = width.next_multiple_of(LANES);
        let values = scratch.at_least(count * pitch)?;
        let shared = Shared::new(values);
        threads.share(count, count * width / 2, |range| {
            for i in range {
                let row = &x[from.at(i) * width..][..width];
                // SAFETY: rows of `pitch` do not overlap, and each belongs to one range.
                let out = unsafe { shared.slice(i * pitch, pitch) };
                match &self.norm {
                    Some((gain, eps)) => math::norm(isa, row, gain, *eps, out),
                    None => {
                        out[..width].copy_from_slice(row);
                        out[width..].fill(0.0);
                    }
                }
            }
        });
        Ok(Rows { values, pitch, count })
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
        let blocks = rows.div_ceil(panel::ROWS).max(1);
        let height = rows.div_ceil(blocks).next_multiple_of(12);
        let blocks = rows.div_ceil(height);
        let unit = if blocks > 1 { panel::COLUMNS } else { panel::COLUMNS / 4 };
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
        let a = x.values[range.start * x.pitch..range.end * x.pitch].as_ptr();
        let offsets = &offsets[range];
        let mut first = 0;
        for block in &self.blocks {
            let (from, to) = (columns.start.max(first), columns.end.min(first + block.rows));
            if from < to {
                let out = out.wrapping_add(from - columns.start);
                let bias = self.bias.as_ref().map(|bias| &bias[from..to]);
                let (skip, n, k) = ((from - first) * self.inputs, to - from, self.inputs);
                let bytes = block.tensor.bytes().as_ptr();
                // SAFETY: `a` holds the rows, padded to `pitch`; rows `from..to` of the map are rows
                // `from - first..` of this block, whose size `Matrix::new` checked; the caller vouches for `out`.
                unsafe {
                    if block.narrow {
                        let w = bytes.cast::<u16>().add(skip);
                        panel::run(isa, &Panel::new(a, x.pitch, w, k, n, k, out, offsets, bias, then));
                    } else {
                        let w = bytes.cast::<f32>().add(skip);
                        panel::run(isa, &Panel::new(a, x.pitch, w, k, n, k, out, offsets, bias, then));
                    }
                }
            }
            first += block.rows;
        }
    }
}

/// The first row, if the `n` rows are consecutive.
fn dense(rows: RowMap<'_>, n: usize) -> Option<usize> {
    match rows {
        RowMap::Blocks { start, len, stride } if n <= len || len == stride => Some(start),
        _ => None,
    }
}
