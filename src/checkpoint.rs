//! Checkpoints: `config.json` + `model.safetensors`, memory-mapped and validated.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::Config;
use crate::error::{Error, Result};

/// Storage type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half.
    F16,
}

/// A named tensor, row-major; a view into a mapped file or an owned allocation.
#[derive(Clone, Debug)]
pub struct Tensor {
    _stub: (),
}

/// A validated set of weights with their configuration.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    config: Config,
    tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Opens a checkpoint directory.
    pub fn open(_dir: &Path) -> Result<Self> {
        Err(Error::Checkpoint("not written yet".into()))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::Checkpoint(format!("{name} is missing")))
    }
}
