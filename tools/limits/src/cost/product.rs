//! The matrix kernels.

use photon_kernels::backend::Heads;
use photon_kernels::checkpoint::Dtype;
use photon_kernels::cuda::raw::{head_shape, head_tiles, shape};
use photon_kernels::cuda::sys::PHOTON_K_STEP;

use super::rows::Rows;
use super::{F32, T, launch};
use crate::launch::Launch;

/// Where `qkv_rope_append` puts keys and values.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// Into the caches of sequences.
    Grown,
    /// Into the fixed buffer of live chunks.
    Local,
    /// Into the packed rows of a pass over whole chunks.
    Packed,
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue {
    /// `project`, rows of `x` and of the result where they lie. f32 results.
    Project {
        /// Whether it is of `x / rms(x)`.
        norm: bool,
        /// Whether a bias is added.
        bias: bool,
        /// Rows of `x`.
        from: Rows,
        /// Rows of the result.
        to: Rows,
        /// Whether the result is logits.
        logits: bool,
    },
    /// `lm_head_best`: of every 32 outputs of a row the key of the best, 8 bytes.
    Best {
        /// Whether it is of `x / rms(x)`.
        norm: bool,
        /// Whether a bias is added.
        bias: bool,
        /// Rows of `x`.
        from: Rows,
    },
    /// `proj_residual`: reads and writes f32 rows, `x` is `T`.
    Residual,
    /// `gate_up_swiglu`: half as many results as outputs, `T`.
    Swiglu,
    /// `qkv_rope_append`, all results `T`.
    Qkv {
        /// The heads.
        heads: Heads,
        /// Where keys and values go.
        keys: Keys,
        /// Different positions among the rows: each has `head_dim / 2` cosines and sines.
        positions: u64,
        /// Sequences with an address of their own, which the rows name in two lists; 0 where a row's unit is computed.
        sequences: u64,
    },
}

/// A product of `m` rows, `n` outputs and `k` inputs.
///
/// A CTA has one tile. It fetches its rows of weights and of `x` whole, in steps of 32 inputs, so weights go by once for every tile of
/// rows and `x` once for every tile of outputs; from memory both come once.
///
/// | | read | written | FLOPs |
/// |---|---|---|---|
/// | `project` | `2nk + 4mk`, `4n` of bias | `4mn` | `2mnk` |
/// | `lm_head_best` | `2nk + 4mk`, `4n` of bias | `8m ceil(n / 32)` | `2mnk` |
/// | `proj_residual` | `2nk + 2mk + 4mn` | `4mn` | `2mnk` |
/// | `gate_up_swiglu` | `2nk + 4mk` | `mn` | `2mnk` |
/// | `qkv_rope_append` | `2nk + 4mk`, `4 head_dim` of angles a position, `8m + 8` a sequence of plan | `2mn` | `2mnk + 3m (H + H_kv) head_dim` |
pub fn product(dtype: Dtype, epilogue: Epilogue, m: usize, n: usize, k: usize) -> Launch {
    let (tile, keys) = match epilogue {
        Epilogue::Best { .. } => (head_shape(m, n), head_tiles(n) as u64),
        _ => (shape(m, n), 0),
    };
    let [m, n, k] = [m, n, k].map(|size| size as u64);
    let [rows, outputs, step] = [tile.rows, tile.outputs, PHOTON_K_STEP as usize].map(|size| size as u64);
    let (down, across, steps) = (m.div_ceil(rows), n.div_ceil(outputs), k.div_ceil(step));
    let (operation, element) = match epilogue {
        Epilogue::Project { norm: false, .. } => ("project", F32),
        Epilogue::Project { norm: true, .. } => ("project_norm", F32),
        Epilogue::Best { norm: false, .. } => ("lm_head_best", F32),
        Epilogue::Best { norm: true, .. } => ("lm_head_best_norm", F32),
        Epilogue::Residual => ("proj_residual", T),
        Epilogue::Swiglu => ("gate_up_swiglu", F32),
        Epilogue::Qkv { .. } => ("qkv_rope_append", F32),
    };
    let size = format!("{n} × {k}");
    let mut cost = launch(format!("{operation}_{dtype}_{tile}"), size, m, [down, across, 1]);
    cost.read.weights = T * n * k;
    cost.read.activations = element * m * k;
    cost.flops = 2 * m * n * k;
    // Tensor instructions take 16 rows at least.
    cost.tensor_flops = down * across * steps * 2 * rows.max(16) * outputs * step;
    cost.copied = down * across * steps * step * (element * rows + T * outputs);
    cost.fetched = down * T * n * k + across * element * m * k;
    let operands = cost.read.total();
    match epilogue {
        Epilogue::Project { bias, from, to, logits, .. } => {
            cost.read.activations = element * from.distinct * k;
            cost.read.weights += if bias { F32 * n } else { 0 };
            cost.read.control = from.list + to.list;
            let out = if logits { &mut cost.written.logits } else { &mut cost.written.activations };
            *out = F32 * m * n;
        }
        Epilogue::Best { bias, from, .. } => {
            cost.read.activations = element * from.distinct * k;
            cost.read.weights += if bias { F32 * n } else { 0 };
            cost.read.control = from.list;
            cost.written.logits = 8 * m * keys;
        }
        Epilogue::Residual => {
            cost.read.activations += F32 * m * n;
            cost.written.activations = F32 * m * n;
        }
        Epilogue::Swiglu => cost.written.activations = T * m * n / 2,
        Epilogue::Qkv { heads, keys, positions, sequences } => {
            let [query, kv, dim] =
                [heads.query_width(), heads.kv_width(), heads.head_dim].map(|size| size as u64);
            cost.flops += 3 * m * (query + kv);
            cost.read.control = F32 * dim * positions;
            if sequences > 0 {
                cost.read.control += 2 * F32 * m + 8 * sequences;
            }
            cost.written.activations = T * m * query;
            *match keys {
                Keys::Grown => &mut cost.written.grown,
                Keys::Local => &mut cost.written.local,
                Keys::Packed => &mut cost.written.activations,
            } += T * m * 2 * kv;
        }
    }
    cost.fetched += cost.read.total().saturating_sub(operands);
    cost
}
