//! The CUDA backend against the plain reference: whole models of random shapes, all modes, both conditions, every head width. Runs on whatever
//! `libcuda` is found: a GPU, or the simulated device (`tools/gpusim.sh`), there under several seeds, schedules and models of arithmetic.

#[path = "../common/again.rs"]
mod again;
#[path = "../common/mod.rs"]
mod common;
mod greedy;
mod models;
mod score;

/// What the simulated device may do differently: when asynchronous copies land, in which order warps run, how tensor cores and
/// approximate functions round, what is fused. Models from 10 on, which the tests by themselves do not take.
const SETTINGS: [(&str, &[(&str, &str)]); 4] = [
    ("10..12", &[("GPUSIM_SEED", "1"), ("GPUSIM_SCHEDULE", "random")]),
    ("13..15", &[("GPUSIM_SEED", "2"), ("GPUSIM_TENSOR", "exact"), ("GPUSIM_TENSOR_ARCH", "80")]),
    ("15..16", &[("GPUSIM_SEED", "3"), ("GPUSIM_TENSOR", "exact"), ("GPUSIM_SCHEDULE", "random")]),
    ("17..19", &[("GPUSIM_SEED", "4"), ("GPUSIM_APPROX", "perturbed"), ("GPUSIM_FUSE", "on")]),
];

#[test]
fn scores_and_tokens_hold_under_other_seeds_schedules_and_arithmetic() {
    if !again::simulated() {
        println!("skipped: a GPU has no such settings");
        return;
    }
    // Side by side: a launch of few CTAs keeps one core busy.
    std::thread::scope(|scope| {
        for (models, settings) in SETTINGS {
            let settings = [settings, &[(models::WHICH, models)]].concat();
            scope.spawn(move || again::run(&["score::", "greedy::tokens"], &settings));
        }
    });
}
