//! A LLaMA stack: pre-norm causal attention and SwiGLU with residuals, and one final norm.

use super::ops::{add, causal_attention, linear, rms_norm, rope, swiglu};
use super::{Real, Rows};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::config::Config;
use crate::error::{Error, Result};

/// The tensor of that name, checked to have `shape`.
fn tensor<'a>(checkpoint: &'a Checkpoint, name: &str, shape: &[usize]) -> Result<&'a Tensor> {
    let tensor = checkpoint.get(name)?;
    if tensor.shape() != shape {
        return Err(Error::Checkpoint(format!("{name} is {:?}; it must be {shape:?}", tensor.shape())));
    }
    Ok(tensor)
}

/// A vector `[len]` of the checkpoint.
pub(super) fn vector<S: Real>(checkpoint: &Checkpoint, name: &str, len: usize) -> Result<Vec<S>> {
    let values = tensor(checkpoint, name, &[len])?.to_f32();
    Ok(values.into_iter().map(|x| S::from_f64(x.into())).collect())
}

/// A matrix `[rows][columns]` of the checkpoint.
pub(super) fn matrix<S: Real>(
    checkpoint: &Checkpoint,
    name: &str,
    rows: usize,
    columns: usize,
) -> Result<Rows<S>> {
    let values = tensor(checkpoint, name, &[rows, columns])?.to_f32();
    Ok(values.chunks_exact(columns).map(|row| row.iter().map(|&x| S::from_f64(x.into())).collect()).collect())
}

/// The weights of one layer, named as in the checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Layer<S> {
    pub(super) input_layernorm: Vec<S>,
    pub(super) q_proj: Rows<S>,
    pub(super) k_proj: Rows<S>,
    pub(super) v_proj: Rows<S>,
    pub(super) o_proj: Rows<S>,
    pub(super) post_attention_layernorm: Vec<S>,
    pub(super) gate_proj: Rows<S>,
    pub(super) up_proj: Rows<S>,
    pub(super) down_proj: Rows<S>,
}

/// A context encoder, a local decoder or the flat baseline: a sequence of `[d]` rows to as many.
#[derive(Clone, Debug)]
pub(super) struct Stack<S> {
    pub(super) layers: Vec<Layer<S>>,
    pub(super) norm: Vec<S>,
    head_dim: usize,
    theta: f64,
    eps: f64,
}

impl<S: Real> Stack<S> {
    /// Loads `{prefix}layers.0 …` and `{prefix}norm`.
    pub(super) fn load(checkpoint: &Checkpoint, prefix: &str, layers: usize) -> Result<Self> {
        let config = checkpoint.config();
        Ok(Stack {
            layers: (0..layers)
                .map(|i| Layer::load(checkpoint, &format!("{prefix}layers.{i}.")))
                .collect::<Result<_>>()?,
            norm: vector(checkpoint, &format!("{prefix}norm.weight"), config.hidden_size)?,
            head_dim: config.head_dim(),
            theta: config.rope_theta,
            eps: config.rms_norm_eps,
        })
    }

    /// All rows from position 0 on, each seeing itself and those before it.
    pub(super) fn forward(&self, rows: Rows<S>) -> Rows<S> {
        let rows = self.layers.iter().fold(rows, |rows, layer| self.layer(layer, rows));
        rows.iter().map(|x| rms_norm(x, &self.norm, self.eps)).collect()
    }

    fn layer(&self, layer: &Layer<S>, rows: Rows<S>) -> Rows<S> {
        let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
        for (position, x) in rows.iter().enumerate() {
            let normed = rms_norm(x, &layer.input_layernorm, self.eps);
            q.push(linear(&layer.q_proj, None, &normed));
            k.push(linear(&layer.k_proj, None, &normed));
            v.push(linear(&layer.v_proj, None, &normed));
            rope(&mut q[position], self.head_dim, position, self.theta);
            rope(&mut k[position], self.head_dim, position, self.theta);
        }
        let attended = causal_attention(&q, &k, &v, self.head_dim);
        let mut out = Vec::with_capacity(rows.len());
        for (x, attended) in rows.iter().zip(attended) {
            let x = add(x, &linear(&layer.o_proj, None, &attended));
            let normed = rms_norm(&x, &layer.post_attention_layernorm, self.eps);
            let gate = linear(&layer.gate_proj, None, &normed);
            let up = linear(&layer.up_proj, None, &normed);
            out.push(add(&x, &linear(&layer.down_proj, None, &swiglu(&gate, &up))));
        }
        out
    }
}

impl<S: Real> Layer<S> {
    fn load(checkpoint: &Checkpoint, prefix: &str) -> Result<Self> {
        let Config { hidden_size: d, intermediate_size: m, .. } = *checkpoint.config();
        let kv = checkpoint.config().num_key_value_heads * checkpoint.config().head_dim();
        let name = |suffix: &str| format!("{prefix}{suffix}.weight");
        Ok(Layer {
            input_layernorm: vector(checkpoint, &name("input_layernorm"), d)?,
            q_proj: matrix(checkpoint, &name("self_attn.q_proj"), d, d)?,
            k_proj: matrix(checkpoint, &name("self_attn.k_proj"), kv, d)?,
            v_proj: matrix(checkpoint, &name("self_attn.v_proj"), kv, d)?,
            o_proj: matrix(checkpoint, &name("self_attn.o_proj"), d, d)?,
            post_attention_layernorm: vector(checkpoint, &name("post_attention_layernorm"), d)?,
            gate_proj: matrix(checkpoint, &name("mlp.gate_proj"), m, d)?,
            up_proj: matrix(checkpoint, &name("mlp.up_proj"), m, d)?,
            down_proj: matrix(checkpoint, &name("mlp.down_proj"), d, m)?,
        })
    }
}
