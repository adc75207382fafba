//! A LLaMA stack: pre-norm attention and SwiGLU layers, residuals, one final norm.

use crate::backend::{Attention, Backend, Heads, Layout, LinearSpec};
use crate::checkpoint::Checkpoint;
use crate::error::Result;

use super::buffers::Activations;

/// One layer: five launches.
pub(crate) struct Layer<B: Backend> {
    qkv: B::Linear,
    output: B::Linear,
    gate_up: B::Linear,
    down: B::Linear,
}

/// A stack of layers and its final norm.
pub struct Stack<B: Backend> {
    heads: Heads,
    theta: f64,
    pub(crate) eps: f64,
    layers: Vec<Layer<B>>,
    pub(crate) norm: B::Vector,
}

impl<B: Backend> Stack<B> {
    /// Loads `{prefix}layers.{i}.…` and `{prefix}norm.weight`.
    pub(crate) fn load(backend: &B, checkpoint: &Checkpoint, prefix: &str, layers: usize) -> Result<Self> {
        let config = checkpoint.config();
        let eps = config.rms_norm_eps;
        let layer = |i: usize| -> Result<Layer<B>> {
            let get = |name: &str| checkpoint.get(&format!("{prefix}layers.{i}.{name}.weight"));
            let normed = |norm: &str, weights: &[&str], layout| -> Result<B::Linear> {
                let weights = weights.iter().map(|w| get(w)).collect::<Result<Vec<_>>>()?;
                let norm = Some((get(norm)?, eps));
                backend.linear(LinearSpec { norm, weights: &weights, bias: None, layout })
            };
            let plain = |weight: &str| -> Result<B::Linear> {
                let layout = Layout::Plain;
                backend.linear(LinearSpec { norm: None, weights: &[get(weight)?], bias: None, layout })
            };
            Ok(Layer {
                qkv: normed(
                    "input_layernorm",
                    &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
                    Layout::Qkv(heads(config)),
                )?,
                output: plain("self_attn.o_proj")?,
                gate_up: normed(
                    "post_attention_layernorm",
                    &["mlp.gate_proj", "mlp.up_proj"],
                    Layout::GateUp,
                )?,
                down: plain("mlp.down_proj")?,
            })
        };
        Ok(Stack {
            heads: heads(config),
            theta: config.rope_theta,
            eps,
            layers: (0..layers).map(layer).collect::<Result<_>>()?,
            norm: backend.vector(checkpoint.get(&format!("{prefix}norm.weight"))?)?,
        })
    }

    /// Layers in the stack.
    pub(crate) fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The attention geometry.
    pub(crate) fn heads(&self) -> Heads {
        self.heads
    }

    /// Runs the first `n` rows of `activations.x` through all layers, in place. The final norm is left to the
    /// caller, who knows which rows are wanted.
    pub(crate) fn run(
        &self,
        backend: &B,
        activations: &mut Activations<B>,
        n: usize,
        attention: &mut Attention<'_, B>,
    ) -> Result<()> {
        let Activations { x, packed, attended, hidden, .. } = activations;
        for (i, layer) in self.layers.iter().enumerate() {
            backend.qkv(&layer.qkv, self.heads, self.theta, x, n, i, attention, packed)?;
            backend.attend(self.heads, packed, n, i, attention, attended)?;
            backend.project_add(&layer.output, attended, n, x)?;
            backend.gate_up(&layer.gate_up, x, n, hidden)?;
            backend.project_add(&layer.down, hidden, n, x)?;
        }
        backend.commit(attention)
    }
}

/// The attention geometry that a configuration asks for.
pub(crate) fn heads(config: &crate::Config) -> Heads {
    Heads { query: config.num_attention_heads, kv: config.num_key_value_heads, head_dim: config.head_dim() }
}
