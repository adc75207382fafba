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
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    words: std::sync::Arc<Vec<u32>>,
    bytes: usize,
}

impl Tensor {
    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Storage type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }
    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.bytes]
    }
    /// Values.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => bytemuck::cast_slice(self.bytes()).to_vec(),
            Dtype::Bf16 => {
                bytemuck::cast_slice::<_, half::bf16>(self.bytes()).iter().map(|x| x.to_f32()).collect()
            }
            Dtype::F16 => {
                bytemuck::cast_slice::<_, half::f16>(self.bytes()).iter().map(|x| x.to_f32()).collect()
            }
        }
    }
    /// From values.
    pub fn from_f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let words = values.iter().map(|x| x.to_bits()).collect();
        Tensor {
            name: name.into(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            words: std::sync::Arc::new(words),
            bytes: values.len() * 4,
        }
    }
    /// Converted.
    pub fn to_dtype(&self, dtype: Dtype) -> Self {
        let values = self.to_f32();
        if dtype == Dtype::F32 {
            return Self::from_f32(&self.name, &self.shape, &values);
        }
        let halves: Vec<u16> = values
            .iter()
            .map(|&x| match dtype {
                Dtype::F16 => half::f16::from_f32(x).to_bits(),
                _ => half::bf16::from_f32(x).to_bits(),
            })
            .collect();
        let words = halves.chunks(2).map(|c| u32::from(c[0]) | u32::from(*c.get(1).unwrap_or(&0)) << 16);
        Tensor {
            name: self.name.clone(),
            dtype,
            shape: self.shape.clone(),
            words: std::sync::Arc::new(words.collect()),
            bytes: halves.len() * 2,
        }
    }
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
