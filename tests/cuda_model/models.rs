//! The models under test, by number.

use half::{bf16, f16};
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Config, ModelType};
use photon_kernels::cuda::raw::HEAD_DIMS;
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Engine, Mode};
use photon_kernels::reference::{Reference, Rows};
use rand::rngs::StdRng;

use super::common::{CUDA, Limits, config_that, reference_mode, rng};

/// The variable that says which models are tested: `10..13`.
pub const WHICH: &str = "PHOTON_TEST_MODELS";

/// The numbers of the models to test. Ten have all head widths.
pub fn numbers() -> std::ops::Range<usize> {
    let Ok(which) = std::env::var(WHICH) else { return 0..10 };
    let (first, end) = which.split_once("..").expect("a range");
    first.parse().expect("a number")..end.parse().expect("a number")
}

pub struct Model {
    pub checkpoint: Checkpoint,
    pub dtype: Dtype,
    pub engine: Engine<CudaBackend>,
    /// For the texts.
    pub rng: StdRng,
}

/// What varies: L 1 to 3 or none (a vanilla model), chunks, prefixes, grouped queries, odd widths, conditions.
pub fn config(number: usize, rng: &mut StdRng) -> Config {
    // The widths of heads come one after another.
    let at = number % HEAD_DIMS.len();
    let limits =
        Limits { head_dims: &HEAD_DIMS[at..=at], width: 160, intermediate: 24, vocabulary: 120, ..CUDA };
    // Deep models are where the modes differ; the reference is slow where meta-contexts are long.
    let mut config = config_that(rng, &limits, |config| {
        (2..=12).contains(&config.meta_context()) && (config.depth() > 1 || number % 5 == 4)
    });
    if number % 10 == 7 {
        config = Config {
            model_type: ModelType::Vanilla,
            levels: Vec::new(),
            layers: Some(2),
            encoder_embedding_size: 0,
            ..config
        };
        config.validate().expect("a vanilla configuration");
    }
    config
}

pub fn model(number: usize) -> Model {
    let mut rng = rng(5000 + number as u64);
    let config = config(number, &mut rng);
    let dtype = if number % 3 == 2 { Dtype::F16 } else { Dtype::Bf16 };
    let checkpoint = Checkpoint::random(&config, number as u64, dtype).expect("random weights");
    Model { engine: engine(&checkpoint, dtype), checkpoint, dtype, rng }
}

pub fn engine(checkpoint: &Checkpoint, dtype: Dtype) -> Engine<CudaBackend> {
    let options = CudaOptions { dtype, ..CudaOptions::default() };
    Engine::new(CudaBackend::new(options).expect("a GPU, real or simulated"), checkpoint).expect("an engine")
}

impl Model {
    /// The modes that differ for it. Refresh 1 is HierGen, bit for bit.
    pub fn modes(&self) -> &'static [Mode] {
        const ALL: [Mode; 4] =
            [Mode::Exact, Mode::HierGen, Mode::RecGen { refresh: None }, Mode::RecGen { refresh: Some(2) }];
        match self.checkpoint.config().depth() {
            0 => &ALL[..1],
            1 => &ALL[..2],
            _ => &ALL,
        }
    }

    /// The lengths of texts and prompts are counted in: a meta-context, or a few tokens of a vanilla model.
    pub fn stride(&self) -> usize {
        let config = self.checkpoint.config();
        if config.depth() == 0 { 6 } else { config.meta_context() }
    }

    /// One rounding of a logit of magnitude 1/2.
    pub fn floor(&self) -> f64 {
        if self.dtype == Dtype::Bf16 { 2f64.powi(-10) } else { 2f64.powi(-13) }
    }

    /// What naive arithmetic in the model's own dtype scores.
    pub fn naive_score(&self, tokens: &[u32], prompt: usize, mode: Mode) -> Vec<f64> {
        let mode = reference_mode(mode);
        match self.dtype {
            Dtype::F16 => Reference::<f16>::new(&self.checkpoint).and_then(|r| r.score(tokens, prompt, mode)),
            _ => Reference::<bf16>::new(&self.checkpoint).and_then(|r| r.score(tokens, prompt, mode)),
        }
        .expect("a naive score")
    }

    /// Its logits.
    pub fn naive_logits(&self, tokens: &[u32], prompt: usize, mode: Mode) -> Rows<f64> {
        fn wide<S: photon_kernels::reference::Real>(rows: Rows<S>) -> Rows<f64> {
            rows.into_iter().map(|row| row.into_iter().map(S::to_f64).collect()).collect()
        }
        let mode = reference_mode(mode);
        match self.dtype {
            Dtype::F16 => {
                Reference::<f16>::new(&self.checkpoint).and_then(|r| r.logits(tokens, prompt, mode)).map(wide)
            }
            _ => Reference::<bf16>::new(&self.checkpoint)
                .and_then(|r| r.logits(tokens, prompt, mode))
                .map(wide),
        }
        .expect("naive logits")
    }
}
