//! The matrix kernels: which shape a product takes, and its launch.

use std::fmt;

use super::kv::kv_begins;
use super::{Function, Kernels, Params, RawError, Status, Storage, Target, require};
use crate::cuda::sys::{
    PHOTON_HEAD_TILE, PHOTON_K_SLICES, PHOTON_K_STEP, photon_lm_head_params, photon_product,
    photon_project_params, photon_qkv_params, photon_residual_params, photon_swiglu_params,
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

/// For each number of rows the shapes from the widest to the narrowest.
const SHAPES: [Shape; 8] = [
    Shape { rows: 8, outputs: 32, skinny: true },
    Shape { rows: 8, outputs: 16, skinny: true },
    Shape { rows: 16, outputs: 32, skinny: true },
    Shape { rows: 16, outputs: 16, skinny: true },
    Shape { rows: 32, outputs: 32, skinny: true },
    Shape { rows: 64, outputs: 128, skinny: false },
    Shape { rows: 64, outputs: 64, skinny: false },
    Shape { rows: 64, outputs: 32, skinny: true },
];

/// CTAs of which a shape should give at least as many: half the SMs of an H100, the largest GPU here.
const BUSY: usize = 66;

/// The shape for `m` rows and `n` outputs.
///
/// The fewest rows of 8, 16, 32 and 64 that hold all, so that up to 64 rows weights go by once, and beyond that once for every 64; then the
/// widest of those shapes that makes 66 CTAs, because x goes by once for each tile of outputs, or else the narrowest. For 32 outputs
/// and 64 rows of f32 that are `320 k` bytes with 32 outputs a CTA, `192 k` with 64, `128 k` with 128; two CTAs of 32 rows each, which
/// would read the weights twice, make it `384 k`.
pub fn shape(m: usize, n: usize) -> Shape {
    widest(m, n, 0)
}

/// The shape that `lm_head_best` takes for `m` rows and `n` outputs: as [`shape`], but never of fewer than 32 outputs.
pub fn head_shape(m: usize, n: usize) -> Shape {
    widest(m, n, PHOTON_HEAD_TILE as usize)
}

fn widest(m: usize, n: usize, narrowest: usize) -> Shape {
    let rows = [8, 16, 32].into_iter().find(|&rows| m <= rows).unwrap_or(64);
    let fitting = SHAPES.into_iter().filter(|shape| shape.rows == rows && shape.outputs >= narrowest);
    let mut chosen = SHAPES[SHAPES.len() - 1];
    for shape in fitting {
        chosen = shape;
        if m.div_ceil(shape.rows) * n.div_ceil(shape.outputs) >= BUSY {
            break;
        }
    }
    chosen
}

/// Keys that `lm_head_best` writes for a row of `n` outputs.
pub fn head_tiles(n: usize) -> usize {
    n.div_ceil(PHOTON_HEAD_TILE as usize)
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
        if self.skinny { 128 } else { 2 * self.outputs as u32 }
    }

    /// Dynamic shared memory for rows of `element`-byte elements. Tiled kernels have four stages; skinny ones a set of four for each warp, fewer
    /// where they do not fit, and their results take its place.
    fn shared(self, element: usize) -> usize {
        let stage = PHOTON_K_STEP as usize * (self.rows * element + self.outputs * 2);
        if !self.skinny {
            return 4 * stage;
        }
        let set = PHOTON_K_SLICES as usize * stage;
        let results = PHOTON_K_SLICES as usize * self.rows * (self.outputs + 8 + 1) * 4;
        (set * (SKINNY_MEMORY / set).min(4)).max(results)
    }
}

/// What the stages of a skinny kernel may take (`csrc/tile/product_skinny.cuh`).
const SKINNY_MEMORY: usize = 96 * 1024;

/// A matrix kernel in its shapes.
pub(super) struct Product {
    shapes: [Function; SHAPES.len()],
    /// Outputs of the narrowest shape.
    narrowest: usize,
    /// Bytes of an element of x.
    element: usize,
}

impl Product {
    pub(super) fn find(
        element: usize,
        narrowest: usize,
        get: impl Fn(Shape) -> Result<Function, RawError>,
    ) -> Result<Product, RawError> {
        let mut shapes = [Function::NONE; SHAPES.len()];
        for (place, shape) in shapes.iter_mut().zip(SHAPES) {
            if shape.outputs >= narrowest {
                *place = get(shape)?;
            }
        }
        Ok(Product { shapes, narrowest, element })
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
        let shape = widest(m as usize, n as usize, self.narrowest);
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

    /// `lm_head_best`: the best of every 32 outputs of `x · Wᵀ + bias`, with `norm` of `x / rms(x)`, for [`Kernels::lm_head_pick`].
    ///
    /// # Errors
    /// [`RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says; `best` has [`head_tiles`] keys a row.
    pub unsafe fn lm_head_best(
        &self,
        stream: impl Target,
        storage: Storage,
        norm: bool,
        params: &photon_lm_head_params,
    ) -> Status {
        let kernels = if norm { &self.lm_head_best_norm } else { &self.lm_head_best };
        let tiles = head_tiles(params.product.n.max(0) as usize) as i64;
        require("best_stride", params.best_stride, params.best_stride >= tiles, "ceil(n / 32) at least")?;
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
        kv_begins(&params.kv, 2)?;
        // SAFETY: the caller's promise.
        unsafe { self.qkv_rope_append[storage.index()].launch(stream, &params.product, params) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cta_holds_all_rows_up_to_64() {
        for m in 1..=64 {
            for n in [16, 1664, 4992, 8192, 32000] {
                for shape in [shape(m, n), head_shape(m, n)] {
                    assert!(shape.rows >= m && (m > 32 || shape.skinny), "{m} x {n}: {shape}");
                }
            }
        }
    }

    #[test]
    fn tiles_are_as_wide_as_half_the_multiprocessors_allow() {
        let named = |m: usize, n: usize| shape(m, n).to_string();
        assert_eq!(named(4, 1664), "skinny8x16");
        assert_eq!(named(4, 4992), "skinny8x32");
        assert_eq!(named(64, 1664), "skinny64x32");
        assert_eq!(named(64, 4992), "tiled64x64");
        assert_eq!(named(64, 8192), "tiled64x64");
        assert_eq!(named(64, 32000), "tiled64x128");
        assert_eq!(named(512, 1664), "tiled64x128");
        assert_eq!(head_shape(1, 100).to_string(), "skinny8x32");
    }

    #[test]
    fn every_shape_fits_the_shared_memory_of_every_architecture() {
        for shape in SHAPES {
            for element in [2, 4] {
                assert!(shape.shared(element) <= super::super::load::MOST_SHARED, "{shape}");
            }
        }
    }
}
