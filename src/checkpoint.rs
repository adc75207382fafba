//! Checkpoints: `config.json` + `model.safetensors`, memory-mapped and validated.
//!
//! Whoever holds a [`Checkpoint`] knows that every tensor of its configuration is there, has its shape and is finite,
//! and that there is no other.

mod header;
mod layout;
mod open;
mod random;
mod tensor;

use std::collections::BTreeMap;

pub use layout::layout;
pub use tensor::{Dtype, Tensor};

use crate::config::Config;
use crate::error::{Error, Result, one_line};

/// A validated set of weights with their configuration. Cloning shares the weights.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    config: Config,
    tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// A checkpoint of tensors at hand.
    ///
    /// # Errors
    /// Naming the tensor that is missing, unknown, there twice, misshapen or not finite, or the configuration's
    /// invalid key.
    pub fn from_tensors(config: Config, tensors: impl IntoIterator<Item = Tensor>) -> Result<Self> {
        config.validate()?;
        let fail = |message: String| Err(Error::Checkpoint(message));
        let mut found = BTreeMap::new();
        for tensor in tensors {
            if let Some(twin) = found.insert(tensor.name().to_string(), tensor) {
                return fail(format!("tensor {} is there twice", one_line(twin.name())));
            }
        }
        let expected: BTreeMap<String, Vec<usize>> = layout(&config).into_iter().collect();
        let count = |n: usize| if n > 1 { format!(" (and {} more)", n - 1) } else { String::new() };
        let missing: Vec<&String> = expected.keys().filter(|name| !found.contains_key(*name)).collect();
        let unknown: Vec<&String> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
        let missing = missing.first().map(|name| format!("tensor {name} is missing{}", count(missing.len())));
        let unknown = unknown.first().map(|name| {
            format!("tensor {} does not belong to the configuration{}", one_line(name), count(unknown.len()))
        });
        match (missing, unknown) {
            (Some(a), Some(b)) => return fail(format!("{a}; {b}")),
            (Some(a), None) | (None, Some(a)) => return fail(a),
            (None, None) => {}
        }
        for (name, shape) in &expected {
            let tensor = &found[name];
            if tensor.shape() != shape {
                let shown = one_line(&format!("{:?}", tensor.shape()));
                return fail(format!(
                    "tensor {name} has shape {shown}, but the configuration says {shape:?}"
                ));
            }
        }
        for tensor in found.values() {
            if let Some(index) = tensor.first_non_finite() {
                let name = tensor.name();
                return fail(format!("tensor {name} holds a NaN or an infinity at element {index}"));
            }
        }
        Ok(Checkpoint { config, tensors: found })
    }

    /// A checkpoint whose tensors are right by construction.
    fn trusted(config: Config, tensors: Vec<Tensor>) -> Self {
        let tensors = tensors.into_iter().map(|t| (t.name().to_string(), t)).collect();
        Checkpoint { config, tensors }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// If [`layout`] has no such name for this configuration.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors
            .get(name)
            .ok_or_else(|| Error::Checkpoint(format!("tensor {} is missing", one_line(name))))
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.tensors.values()
    }

    /// The storage type of most elements.
    pub fn dtype(&self) -> Dtype {
        let count = |dtype| self.tensors().filter(|t| t.dtype() == dtype).map(Tensor::len).sum::<usize>();
        let all = [Dtype::Bf16, Dtype::F16, Dtype::F32].map(|dtype| (count(dtype), dtype));
        all.into_iter().max_by_key(|(n, _)| *n).map_or(Dtype::F32, |(_, dtype)| dtype)
    }

    /// The same weights, stored as `dtype`. Tensors that are stored so already are shared.
    pub fn to_dtype(&self, dtype: Dtype) -> Self {
        let tensors = self.tensors().map(|tensor| tensor.to_dtype(dtype)).collect();
        Self::trusted(self.config.clone(), tensors)
    }
}

#[cfg(test)]
mod tests;
