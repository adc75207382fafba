//! The matrix kernels: which shape a product takes, and its launch.

use std::fmt;

use super::{Function, Kernels, Params, RawError, Status, Storage, Target, require};
use crate::cuda::sys::{
    PHOTON_K_SLICES, PHOTON_K_STEP, photon_product, photon_project_params, photon_qkv_params,
    photon_residual_params, photon_swiglu_params,
};

/// The shape of a matrix kernel (`csrc/tile/instances.cuh`). All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of a CTA.
    pub rows: usize,
    /// Outputs of a CTA.
    pub outputs: usize,
    /// Whether the four warps take a slice of K each, else all take all of K.
    pub skinny: bool,
}

const SHAPES: [Shape; 6] = [
    Shape { rows: 8, outputs: 16, skinny: true },
    Shape { rows: 8, outputs: 32, skinny: true },
    Shape { rows: 16, outputs: 16, skinny: true },
    Shape { rows: 16, outputs: 32, skinny: true },
    Shape { rows: 32, outputs: 32, skinny: true },
    Shape { rows: 64, outputs: 128, skinny: false },
];

/// CTAs that fill an H100, the largest GPU here.
const FULL: usize = 132;

/// The shape for `m` rows and `n` outputs. Up to 32 rows one CTA has them all, so weights are read once; with more, the skinny
/// shapes read them once for every 32 rows, from L2, which is still better than tiles that leave most of the GPU idle.
pub fn shape(m: usize, n: usize) -> Shape {
    let [few16, few32, half16, half32, skinny, tiled] = SHAPES;
    if m > 32 && m.div_ceil(tiled.rows) * n.div_ceil(tiled.outputs) >= FULL / 2 {
        return tiled;
    }
    let wide = n.div_ceil(32) >= FULL;
    match m {
        0..=8 if wide => few32,
        0..=8 => few16,
        9..=16 if wide => half32,
        9..=16 => half16,
        _ => skinny,
    }
}

impl fmt::Display for Shape {
    /// As in the names of the kernels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.skinny { "skinny" } else { "tiled" };
        write!(f, "{kind}{}x{}", self.rows, self.outputs)
    }
}

impl Shape {
    fn threads(self) -> u32 {
        if self.skinny { 128 } else { 256 }
    }

    /// Dynamic shared memory: four stages, a set of them for each warp of the skinny kernels, whose results take their place.
    fn shared(self, element: usize) -> usize {
        let stage = PHOTON_K_STEP as usize * (self.rows * element + self.outputs * 2);
        if !self.skinny {
            return 4 * stage;
        }
        let slices = PHOTON_K_SLICES as usize;
        (slices * 4 * stage).max(slices * self.rows * (self.outputs + 8 + 1) * 4)
    }
}

/// A matrix kernel in all shapes.
pub(super) struct Product {
    shapes: [Function; SHAPES.len()],
    /// Bytes of an element of x.
    element: usize,
}

impl Product {
    pub(super) fn find(
        element: usize,
        get: impl Fn(Shape) -> Result<Function, RawError>,
    ) -> Result<Product, RawError> {
        let mut shapes = [Function::NONE; SHAPES.len()];
        for (place, shape) in shapes.iter_mut().zip(SHAPES) {
            *place = get(shape)?;
        }
        Ok(Product { shapes, element })
    }

    /// # Safety
    /// As [`Function::launch`]; `P` holds `product`.
    unsafe fn launch<P: Copy + Into<Params>>(
        &self,
        stream: impl Target,
        product: &photon_product,
        params: &P,
    ) -> Status {
        let (m, n, k) = (i64::from(product.m), i64::from(product.n), i64::from(product.k));
        require("m", m, m >= 0, "at least 0")?;
        require("n", n, n > 0, "at least 1")?;
        require("k", k, k > 0 && k % 4 == 0, "a positive multiple of 4")?;
        require("rows.len", product.rows.len, product.rows.len > 0, "at least 1")?;
        let part = 16 / self.element as i64;
        require("x_stride", product.x_stride, product.x_stride % part == 0, "whole 16-byte parts")?;
        require("weight_stride", product.weight_stride, product.weight_stride % 8 == 0, "a multiple of 8")?;
        if m == 0 {
            return Ok(());
        }
        let shape = shape(m as usize, n as usize);
        let index = SHAPES.iter().position(|s| *s == shape).unwrap_or(0);
        let grid = [(m as usize).div_ceil(shape.rows) as i64, (n as usize).div_ceil(shape.outputs) as i64, 1];
        // SAFETY: the caller vouches for the parameters.
        unsafe {
            self.shapes[index].launch(stream, grid, shape.threads(), shape.shared(self.element), params)
        }
    }
}

impl Kernels {
    /// `chunk_project`, `converter`, the head: `out[to(i)] = x[from(i)] · Wᵀ + bias`; with `norm` of `x / rms(x)`.
    ///
    /// # Errors
    /// [`RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says: pointers valid until the launch has run, `x` f32, `weight` in `storage`.
    pub unsafe fn project(
        &self,
        stream: impl Target,
        storage: Storage,
        norm: bool,
        params: &photon_project_params,
    ) -> Status {
        let kernels = if norm { &self.project_norm } else { &self.project };
        require("to.len", params.to.len, params.to.len > 0, "at least 1")?;
        // SAFETY: the caller's promise.
        unsafe { kernels[storage.index()].launch(stream, &params.product, params) }
    }

    /// `proj_residual`: `out[i] += x[i] · Wᵀ`, `x` in `storage`.
    ///
    /// # Errors
    /// [`RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn proj_residual(
        &self,
        stream: impl Target,
        storage: Storage,
        params: &photon_residual_params,
    ) -> Status {
        let n = i64::from(params.product.n);
        require("n", n, n % 2 == 0, "even")?;
        require("out_stride", params.out_stride, params.out_stride % 2 == 0, "even")?;
        // SAFETY: the caller's promise.
        unsafe { self.proj_residual[storage.index()].launch(stream, &params.product, params) }
    }

    /// `gate_up_swiglu`: `out[i] = silu(gate) · up`.
    ///
    /// # Errors
    /// [`RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn gate_up_swiglu(
        &self,
        stream: impl Target,
        storage: Storage,
        params: &photon_swiglu_params,
    ) -> Status {
        let n = i64::from(params.product.n);
        require("n", n, n % 2 == 0, "even")?;
        // SAFETY: the caller's promise.
        unsafe { self.gate_up_swiglu[storage.index()].launch(stream, &params.product, params) }
    }

    /// `qkv_rope_append`: queries to their rows, keys and values to where their unit is kept.
    ///
    /// # Errors
    /// [`RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn qkv_rope_append(
        &self,
        stream: impl Target,
        storage: Storage,
        params: &photon_qkv_params,
    ) -> Status {
        let (heads, kv, dim) =
            (i64::from(params.heads), i64::from(params.kv_heads), i64::from(params.head_dim));
        require("head_dim", dim, dim > 0 && dim % 2 == 0, "positive and even")?;
        require("kv_heads", kv, kv > 0 && heads > 0 && heads % kv == 0, "a divisor of heads")?;
        let n = i64::from(params.product.n);
        require("n", n, n == (heads + 2 * kv) * dim, "(heads + 2 kv_heads) * head_dim")?;
        require("units.rows", params.units.rows.into(), params.units.rows > 0, "at least 1")?;
        // SAFETY: the caller's promise.
        unsafe { self.qkv_rope_append[storage.index()].launch(stream, &params.product, params) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skinny_shape_holds_all_rows_up_to_32() {
        for m in 1..=32 {
            for n in [16, 1664, 4992, 32000] {
                let shape = shape(m, n);
                assert!(shape.skinny && shape.rows >= m, "{m} x {n}: {shape}");
            }
        }
    }

    #[test]
    fn every_shape_fits_the_shared_memory_of_every_architecture() {
        for shape in SHAPES {
            assert!(shape.shared(4) <= super::super::load::MOST_SHARED, "{shape}");
        }
    }
}
