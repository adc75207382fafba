//! The CUDA backend against the plain reference: whole models of random shapes, all modes, both conditions. Runs on whatever `libcuda`
//! is found: a GPU, or the simulated device (`tools/gpusim.sh`).

mod common;

use common::{CUDA, MODES, config_within, reference_mode, rms, rng, text};
use half::{bf16, f16};
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::generate::{Engine, Mode};
use photon_kernels::reference::{self, Reference};
use rand::RngExt;

fn engine(checkpoint: &Checkpoint, dtype: Dtype) -> Engine<CudaBackend> {
    let backend =
        CudaBackend::new(CudaOptions { dtype, ..CudaOptions::default() }).expect("a GPU, real or simulated");
    Engine::new(backend, checkpoint).expect("an engine")
}

fn naive<T: reference::Real>(checkpoint: &Checkpoint, tokens: &[u32], prompt: usize, mode: Mode) -> Vec<f64> {
    let reference = Reference::<T>::new(checkpoint).expect("a reference");
    reference.score(tokens, prompt, reference_mode(mode)).expect("a naive score")
}

#[test]
fn scores_err_at_most_twice_as_much_as_naive_arithmetic_of_the_same_dtype() {
    for seed in 0..16 {
        let dtype = if seed % 4 == 3 { Dtype::F16 } else { Dtype::Bf16 };
        // The floor is one rounding of a logit of magnitude 1/2.
        let floor = if dtype == Dtype::Bf16 { 2f64.powi(-10) } else { 2f64.powi(-13) };
        let rng = &mut rng(5000 + seed);
        let config = config_within(rng, &CUDA);
        let checkpoint = Checkpoint::random(&config, seed, dtype).expect("random weights");
        let exact = Reference::<f64>::new(&checkpoint).expect("a reference");
        let engine = engine(&checkpoint, dtype);
        let c = config.meta_context();
        let len = rng.random_range(0..=(4 * c).min(100));
        let prompt = rng.random_range(0..=len / c) * c;
        let tokens = text(rng, &config, len);
        for mode in MODES {
            let want = exact.score(&tokens, prompt, reference_mode(mode)).expect("a reference score");
            let naive = match dtype {
                Dtype::F16 => naive::<f16>(&checkpoint, &tokens, prompt, mode),
                _ => naive::<bf16>(&checkpoint, &tokens, prompt, mode),
            };
            let got = engine.score(&tokens, mode, prompt, &mut |_, _| ()).expect("a score");
            assert_eq!(got.len(), tokens.len());
            let error = rms(got.iter().map(|&x| f64::from(x)), want.iter().copied());
            let allowed = 2.0 * rms(naive.iter().copied(), want.iter().copied()) + floor;
            println!("seed {seed} {dtype} {mode:?}: {error:.2e} of {allowed:.2e}");
            assert!(
                error <= allowed,
                "seed {seed} {dtype} {mode:?}: {error:.3e} > {allowed:.3e}\n{config:?}"
            );
        }
    }
}
