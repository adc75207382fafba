//! What a [`Ledger`](crate::Ledger) has in the place of memory: lengths, and which part of the model a weight belongs to.

use std::sync::Arc;

use photon_kernels::backend::{Heads, KvCache, Layout};
use photon_kernels::cuda::raw::{KV_BLOCK, kv_block};
use photon_kernels::{Error, Result};

/// Where in the model a weight is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `decoder 1`, `encoder 2`, `embedding`, `head`; `stack` of a vanilla model.
    pub part: Arc<str>,
    /// The layer within a stack.
    pub layer: Option<usize>,
}

impl Place {
    /// The place of a tensor, by its name. Chunkers belong to their encoder, converters and start latents to their decoder.
    pub fn of(tensor: &str) -> Place {
        let words: Vec<&str> = tensor.split('.').collect();
        let part = match words[..] {
            ["lm_head", ..] => "head".into(),
            ["embed_tokens", ..] | [_, "embed_tokens", ..] => "embedding".into(),
            [side, "levels", level, ..] => format!("{side} {level}"),
            _ => "stack".into(),
        };
        let layer =
            words.iter().skip_while(|word| **word != "layers").nth(1).and_then(|layer| layer.parse().ok());
        Place { part: part.into(), layer }
    }
}

/// Activations: a length, and which layer's packed rows it holds.
pub struct LedgerBuffer {
    pub(crate) len: usize,
    pub(crate) place: Option<Place>,
}

/// Token ids, whose values change nothing that is launched.
pub struct LedgerIds;

/// A linear map: its sizes.
pub struct LedgerLinear {
    pub(crate) place: Place,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) norm: bool,
    pub(crate) bias: bool,
    pub(crate) layout: Layout,
}

/// An embedding table: the width of its rows.
pub struct LedgerTable {
    pub(crate) place: Place,
    pub(crate) width: usize,
}

/// A gain or a learned row: its length.
pub struct LedgerVector {
    pub(crate) place: Place,
    pub(crate) len: usize,
}

/// The fixed buffer of live chunks, of which only the sizes of a step matter.
pub struct LedgerLocal;

/// Keys and values of a sequence: how many units there are and would be room for.
pub struct LedgerCache {
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
    pub(crate) len: usize,
    pub(crate) blocks: usize,
}

impl LedgerCache {
    /// Makes room as the CUDA backend's caches do: by half of what there is when nobody has reserved it.
    pub(crate) fn ensure(&mut self, len: usize) {
        if len > self.blocks * KV_BLOCK {
            self.blocks = len.div_ceil(KV_BLOCK).max(self.blocks + self.blocks / 2);
        }
    }
}

impl KvCache for LedgerCache {
    fn len(&self) -> usize {
        self.len
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.len {
            return Err(Error::Argument(format!("len is {len}; only {} units are cached", self.len)));
        }
        self.len = len;
        Ok(())
    }

    fn reserve(&mut self, additional: usize) -> Result<()> {
        self.blocks = self.blocks.max((self.len + additional).div_ceil(KV_BLOCK));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.blocks * kv_block(self.layers, self.heads.kv, self.heads.head_dim) * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_belongs_to_its_level_and_layer() {
        for (name, part, layer) in [
            ("decoder.levels.2.layers.13.self_attn.q_proj.weight", "decoder 2", Some(13)),
            ("encoder.levels.1.chunker.proj.weight", "encoder 1", None),
            ("decoder.levels.1.norm.weight", "decoder 1", None),
            ("encoder.embed_tokens.weight", "embedding", None),
            ("layers.3.mlp.down_proj.weight", "stack", Some(3)),
            ("embed_tokens.weight", "embedding", None),
            ("lm_head.weight", "head", None),
        ] {
            assert_eq!(Place::of(name), Place { part: part.into(), layer }, "{name}");
        }
    }
}
