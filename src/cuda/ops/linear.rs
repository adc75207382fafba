//! Linear maps: weights in the order of the kernels, and the operations that multiply.

use half::{bf16, f16};
use rayon::prelude::*;

use super::cache::geometry;
use super::device::{CudaBackend, refused};
use super::memory::{CudaBuffer, Memory, matrix, small};
use crate::backend::{Layout, LinearSpec, RowMap};
use crate::check;
use crate::checkpoint::Dtype;
use crate::cuda::sys::{
    photon_product, photon_project_params, photon_residual_params, photon_rows, photon_swiglu_params,
};
use crate::error::{Error, Result};

/// A linear map with its optional norm and bias. The gain of the norm is part of the weights.
pub struct CudaLinear {
    /// `[outputs, pitch]`, rows padded with zeros to whole 16-byte parts.
    weight: Memory<u16>,
    pitch: usize,
    bias: Option<Memory<f32>>,
    /// The norm's eps.
    pub(super) norm: Option<f32>,
    layout: Layout,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// Which output of the map the checkpoint has becomes row `row`: photon.h says why.
fn source(layout: Layout, row: usize, outputs: usize) -> usize {
    match layout {
        Layout::Plain => row,
        Layout::GateUp => row % 2 * (outputs / 2) + row / 2,
        Layout::Qkv(heads) => {
            if row >= heads.query_width() + heads.kv_width() {
                return row;
            }
            let e = row % heads.head_dim;
            row - e + e / 2 + e % 2 * (heads.head_dim / 2)
        }
    }
}

impl CudaBackend {
    pub(crate) fn new_linear(&self, spec: LinearSpec<'_>) -> Result<CudaLinear> {
        let Some(first) = spec.weights.first() else {
            return Err(Error::argument("weights is empty; a linear map needs at least one matrix"));
        };
        let (_, inputs) = matrix(first)?;
        let mut outputs = 0;
        for weight in spec.weights {
            let (rows, columns) = matrix(weight)?;
            check::equal(
                &format!("input width of {}", weight.name()),
                columns,
                inputs,
                &format!("that of {}", first.name()),
            )?;
            outputs += rows;
        }
        match spec.layout {
            Layout::Qkv(heads) => {
                check::equal("number of outputs", outputs, heads.packed(), "the width of q, k and v")?;
                geometry(heads)?;
            }
            Layout::GateUp if outputs % 2 == 1 => {
                return Err(Error::argument(format!(
                    "linear has {outputs} outputs; gate and up need an even number"
                )));
            }
            _ => {}
        }
        if !inputs.is_multiple_of(4) {
            return Err(Error::Unsupported(format!(
                "{} has {inputs} inputs; on CUDA they must be a multiple of 4",
                first.name()
            )));
        }
        if spec.bias.is_some() && spec.layout != Layout::Plain {
            return Err(Error::Unsupported(format!(
                "{} has a bias; on CUDA q, k, v, gate and up have none",
                first.name()
            )));
        }
        let vector = |tensor: &crate::checkpoint::Tensor, len: usize| -> Result<Vec<f32>> {
            if tensor.shape() != [len] {
                return Err(Error::argument(format!(
                    "{} has shape {:?}; [{len}] is needed",
                    tensor.name(),
                    tensor.shape()
                )));
            }
            Ok(tensor.to_f32())
        };
        let gain = spec.norm.map(|(gain, _)| vector(gain, inputs)).transpose()?;
        let bias = spec.bias.map(|bias| vector(bias, outputs)).transpose()?;

        let pitch = inputs.next_multiple_of(8);
        let size = check::product(first.name(), &[outputs, pitch])?;
        let wide: Vec<Vec<f32>> = spec.weights.iter().map(|weight| weight.to_f32()).collect();
        let mut places = Vec::with_capacity(outputs);
        for (i, values) in wide.iter().enumerate() {
            places.extend((0..values.len() / inputs).map(|row| (i, row)));
        }
        let dtype = self.dtype();
        let mut values = Vec::new();
        values
            .try_reserve_exact(size)
            .map_err(|_| Error::OutOfMemory("the host, while loading weights".into()))?;
        values.resize(size, 0u16);
        values.par_chunks_mut(pitch).enumerate().for_each(|(row, out)| {
            let (i, at) = places[source(spec.layout, row, outputs)];
            let from = &wide[i][at * inputs..(at + 1) * inputs];
            for (k, (out, &x)) in out.iter_mut().zip(from).enumerate() {
                let x = gain.as_ref().map_or(x, |gain| x * gain[k]);
                *out = if dtype == Dtype::Bf16 {
                    bf16::from_f32(x).to_bits()
                } else {
                    f16::from_f32(x).to_bits()
                };
            }
        });
        // An exponent of all ones, which no finite weight has.
        let ones = if dtype == Dtype::Bf16 { 0x7f80 } else { 0x7c00 };
        if values.par_iter().any(|bits| bits & ones == ones) {
            return Err(Error::Checkpoint(format!(
                "{}: a weight (times its norm's gain) is not finite as {dtype}; keep the weights in another dtype",
                first.name()
            )));
        }
        Ok(CudaLinear {
            weight: self.copied(&values)?,
            pitch,
            bias: bias.map(|bias| self.copied(&bias)).transpose()?,
            norm: spec.norm.map(|(_, eps)| eps as f32),
            layout: spec.layout,
            inputs,
            outputs,
        })
    }

    /// The product of `m` rows, whose first element is at `x`.
    pub(super) fn product(
        &self,
        linear: &CudaLinear,
        x: u64,
        rows: photon_rows,
        x_stride: usize,
        m: usize,
    ) -> Result<photon_product> {
        Ok(photon_product {
            x: x as *const _,
            weight: self.address(&linear.weight) as *const _,
            rows,
            x_stride: x_stride as i64,
            weight_stride: linear.pitch as i64,
            m: small("the number of rows", m)?,
            n: small("the number of outputs", linear.outputs)?,
            k: small("the number of inputs", linear.inputs)?,
            eps: linear.norm.unwrap_or(0.0),
        })
    }

    /// The bias as the kernels take it, null without one.
    pub(super) fn bias(&self, linear: &CudaLinear) -> *const f32 {
        linear.bias.as_ref().map_or(std::ptr::null(), |bias| self.address(bias) as *const f32)
    }

    /// Fails unless the map was loaded for the operation.
    pub(super) fn made_for(&self, linear: &CudaLinear, layout: Layout, norm: bool) -> Result<()> {
        if linear.layout != layout {
            return Err(Error::argument(format!(
                "linear has layout {:?}; {layout:?} is needed",
                linear.layout
            )));
        }
        if norm && linear.norm.is_none() {
            return Err(Error::argument("linear has no norm; this operation needs one"));
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn project_rows(
        &self,
        linear: &CudaLinear,
        x: &CudaBuffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut CudaBuffer,
        to: RowMap<'_>,
        to_width: usize,
    ) -> Result<()> {
        self.made_for(linear, Layout::Plain, false)?;
        x.whole("x")?;
        check::rows("x", x.len, from, n, linear.inputs, linear.inputs)?;
        check::rows("out", out.len, to, n, to_width, linear.outputs)?;
        let mut scratch = self.scratch();
        let scratch = &mut *scratch;
        check::apart("out", to, n, to_width, linear.outputs, &mut scratch.places)?;
        out.half = None;
        let from = self.rows(from, n, &mut scratch.host)?;
        let to = self.rows(to, n, &mut scratch.host)?;
        let out = self.address(&out.data) as *mut f32;
        self.launch_project(linear, self.address(&x.data), from, n, out, to, to_width)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn launch_project(
        &self,
        linear: &CudaLinear,
        x: u64,
        from: photon_rows,
        n: usize,
        out: *mut f32,
        to: photon_rows,
        to_width: usize,
    ) -> Result<()> {
        let params = photon_project_params {
            product: self.product(linear, x, from, linear.inputs, n)?,
            bias: self.bias(linear),
            out,
            to,
            out_stride: to_width as i64,
        };
        // SAFETY: the rows lie in their buffers, as the callers have checked, and those of the result apart; memory is freed
        // in the order of the stream.
        unsafe { self.kernels.project(&*self.queue, self.storage, linear.norm.is_some(), &params) }
            .map_err(refused("project"))
    }

    pub(crate) fn project_residual(
        &self,
        linear: &CudaLinear,
        h: &CudaBuffer,
        n: usize,
        x: &mut CudaBuffer,
    ) -> Result<()> {
        self.made_for(linear, Layout::Plain, false)?;
        if linear.norm.is_some() || linear.bias.is_some() {
            return Err(Error::Unsupported("project_add on CUDA takes a map without norm and bias".into()));
        }
        let pitch = linear.inputs.next_multiple_of(8);
        h.rows_of("h", pitch)?;
        x.whole("x")?;
        check::rows("x", x.len, RowMap::DENSE, n, linear.outputs, linear.outputs)?;
        check::holds("h", 2 * h.len, n * pitch)?;
        let params = photon_residual_params {
            product: self.product(linear, self.address(&h.data), photon_rows::DENSE, pitch, n)?,
            out: self.address(&x.data) as *mut f32,
            out_stride: linear.outputs as i64,
        };
        // SAFETY: `n` rows of both lie in their buffers.
        unsafe { self.kernels.proj_residual(&*self.queue, self.storage, &params) }
            .map_err(refused("project_add"))
    }

    pub(crate) fn swiglu(
        &self,
        linear: &CudaLinear,
        x: &CudaBuffer,
        n: usize,
        out: &mut CudaBuffer,
    ) -> Result<()> {
        self.made_for(linear, Layout::GateUp, true)?;
        x.whole("x")?;
        check::rows("x", x.len, RowMap::DENSE, n, linear.inputs, linear.inputs)?;
        let pitch = (linear.outputs / 2).next_multiple_of(8);
        check::holds("out", 2 * out.len, n * pitch)?;
        let params = photon_swiglu_params {
            product: self.product(linear, self.address(&x.data), photon_rows::DENSE, linear.inputs, n)?,
            out: self.address(&out.data) as *mut _,
            out_stride: pitch as i64,
        };
        out.half = Some(pitch);
        // SAFETY: `n` rows of both lie in their buffers.
        unsafe { self.kernels.gate_up_swiglu(&*self.queue, self.storage, &params) }
            .map_err(refused("gate_up"))
    }
}
