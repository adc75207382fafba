//! Every kernel through the raw layer, against f64: at most twice the error of a naive implementation in the same storage type, plus a
//! stated floor. Padding and workspace are NaN, what lies around an output must stay what it was, allocations are exactly as
//! large as the parameters say. Runs on whatever `libcuda` is found: a GPU, or the simulated device (`tools/gpusim.sh`), there under several
//! seeds, schedules and models of arithmetic.

#[path = "../common/again.rs"]
mod again;
mod device;
mod head;
mod judge;
mod lm_head;
mod local;
mod matrix;
mod product;
mod rows;
mod stream;

/// Tensor cores bit for bit as on Ampere and on Hopper, lanes and warps in random order, other moments at which copies land, approximate functions
/// anywhere within their documented errors, `mul` and `add` fused.
const SETTINGS: [&[(&str, &str)]; 3] = [
    &[("GPUSIM_SEED", "7"), ("GPUSIM_SCHEDULE", "random"), ("GPUSIM_TENSOR", "exact")],
    &[
        ("GPUSIM_SEED", "8"),
        ("GPUSIM_APPROX", "perturbed"),
        ("GPUSIM_TENSOR", "exact"),
        ("GPUSIM_TENSOR_ARCH", "90"),
    ],
    &[("GPUSIM_SEED", "9"), ("GPUSIM_SCHEDULE", "random"), ("GPUSIM_FUSE", "on")],
];

#[test]
fn attention_and_products_hold_under_other_seeds_schedules_and_arithmetic() {
    if !again::simulated() {
        println!("skipped: a GPU has no such settings");
        return;
    }
    let _turn = device::turn();
    // Side by side: a launch of few CTAs keeps one core busy.
    std::thread::scope(|scope| {
        for settings in SETTINGS {
            scope.spawn(|| again::run(&["local::", "product::", "stream::"], settings));
        }
    });
}
