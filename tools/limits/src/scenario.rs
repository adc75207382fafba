//! Full-size generations, of which one meta-context in the middle is written down.

use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::generate::{Bottleneck, Engine, Generation, Mode, Request};
use photon_kernels::presets::preset;
use photon_kernels::sampling::Sampling;
use photon_kernels::{Config, Error, Result};

use crate::launch::Launch;
use crate::ledger::Ledger;
use crate::weights::zeros;

/// Tokens of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regime {
    /// Its name in the paper.
    pub name: &'static str,
    /// Known tokens of a sequence.
    pub prompt: usize,
    /// New ones.
    pub new: usize,
}

/// Mostly reading: 2048 + 128.
pub const PF: Regime = Regime { name: "PF", prompt: 2048, new: 128 };
/// Mostly generating: 128 + 2048.
pub const DE: Regime = Regime { name: "DE", prompt: 128, new: 2048 };

/// A model, ready to be asked for its launches.
pub struct Model {
    engine: Engine<Ledger>,
}

/// One meta-context of a batch (one token of a vanilla model).
#[derive(Clone, Debug)]
pub struct Step {
    /// Tokens of a sequence before it.
    pub context: usize,
    /// New tokens of a sequence.
    pub tokens: usize,
    /// Bytes of keys and values that a sequence keeps, as they are allocated for the whole generation.
    pub cache_bytes: usize,
    /// What is launched.
    pub launches: Vec<Launch>,
}

impl Model {
    /// One of the presets, in bf16.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown name.
    pub fn preset(name: &str) -> Result<Model> {
        Model::new(&preset(name)?)
    }

    /// Any configuration, in bf16.
    ///
    /// # Errors
    /// If it is invalid.
    pub fn new(config: &Config) -> Result<Model> {
        Model::of(&zeros(config)?, Dtype::Bf16)
    }

    /// A checkpoint in a storage type.
    ///
    /// # Errors
    /// [`Error::Argument`] for f32.
    pub fn of(checkpoint: &Checkpoint, dtype: Dtype) -> Result<Model> {
        Ok(Model { engine: Engine::new(Ledger::new(dtype)?, checkpoint)? })
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        self.engine.config()
    }

    /// Its engine, whose backend is the ledger.
    pub fn engine(&self) -> &Engine<Ledger> {
        &self.engine
    }

    /// Starts a greedy generation of `batch` sequences. What reading the prompts launches is in the ledger.
    ///
    /// # Errors
    /// What the engine refuses, such as a parallel mode of a vanilla model.
    pub fn start(&self, mode: Mode, batch: usize, regime: Regime) -> Result<Generation<'_, Ledger>> {
        self.engine.backend().take();
        let request = |sequence| Request {
            prompt: vec![0; regime.prompt],
            max_new_tokens: regime.new,
            sampling: Sampling::GREEDY,
            sequence,
        };
        let requests: Vec<Request> = (0..batch as u32).map(request).collect();
        self.engine.generate(&requests, mode, Bottleneck::Reconstruction, &mut |_, _| ())
    }

    /// The launches of the next meta-context of a generation.
    ///
    /// # Errors
    /// If the generation has ended.
    pub fn step(&self, generation: &mut Generation<'_, Ledger>) -> Result<Vec<Launch>> {
        self.engine.backend().take();
        generation.step()?;
        match self.engine.backend().take() {
            launches if launches.is_empty() => Err(Error::Argument("the generation has ended".into())),
            launches => Ok(launches),
        }
    }

    /// The meta-context in the middle of a generation: as many tokens have been generated as are still to come.
    ///
    /// # Errors
    /// What the engine refuses; a regime too short to have a middle.
    pub fn middle(&self, mode: Mode, batch: usize, regime: Regime) -> Result<Step> {
        let tokens = self.config().meta_context();
        let before = regime.new / tokens / 2;
        let mut generation = self.start(mode, batch, regime)?;
        for _ in 0..before {
            generation.step()?;
            self.engine.backend().take();
        }
        let launches = self.step(&mut generation)?;
        Ok(Step {
            context: regime.prompt + before * tokens,
            tokens,
            cache_bytes: generation.cache_bytes(0),
            launches,
        })
    }
}
