//! What each `check.op` of the manifest expects.

pub mod compare;
pub mod mma;

mod attention;
mod basic;
mod functions;
mod integers;
mod matmul;
mod rounding;
mod rows;
mod warps;

use crate::launch::Outcome;
use crate::manifest::{Case, Program};

pub fn check(program: &Program, case: &Case, out: &Outcome) -> Result<(), String> {
    match case.text("op").unwrap() {
        "matmul" => matmul::matmul(program, case, out),
        "attention" => attention::attention(case, out),
        "combine" => rows::combine(case, out),
        "softmax" => rows::softmax(case, out),
        "layer_norm" => rows::layer_norm(case, out),
        "column_sum" => rows::column_sum(case, out),
        "row_stats" => rows::row_stats(case, out),
        "atomic_stats" => rows::atomic_stats(case, out),
        "scan" => rows::scan(case, out),
        "sort" => rows::sort(case, out),
        "histogram" => rows::histogram(case, out),
        "transpose" => rows::transpose(case, out),
        "gather" => rows::gather(case, out),
        "swiglu" => rows::swiglu(case, out),
        "saxpy" => rows::saxpy(case, out),
        "sum" => rows::sum(case, out),
        "normalise" => rows::normalise(case, out),
        "functions" => functions::f32_functions(&out.before["x"], &out.after["y"], &case.names("rows"), true),
        "integers" => integers::triton(case, out),
        "philox" => integers::philox(case, out),
        "convert" => rounding::casts(case, out),
        "printed" => basic::printed(case, out),
        "fibonacci" => basic::fibonacci(out),
        "ackermann" => basic::ackermann(out),
        "function_table" => basic::function_table(out),
        "virtual_calls" => basic::virtual_calls(out),
        "polynomial" => basic::polynomial(case, out),
        "branch_table" => basic::branch_table(out),
        "collatz" => basic::collatz(out),
        "heap" => basic::heap(out),
        "count" => basic::count(case, out),
        "constants" => basic::constants(case, out),
        "bytes_and_shorts" => integers::bytes_and_shorts(out),
        "atomics_integers" => warps::atomics_integers(case, out),
        "atomics_shared" => warps::atomics_shared(out),
        "mma" => mma::mma(case, out),
        "matrix_moves" => mma::matrix_moves(case, out),
        "nothing" => Ok(()),
        "rows" => match program.entry.as_str() {
            "f32_rounding" | "f64_rounding" => rounding::float_rounding(case, out),
            "to_integers" => rounding::to_integers(case, out),
            "from_integers" => rounding::from_integers(case, out),
            "narrowing" => rounding::narrowing(case, out),
            "fp8_conversions" => rounding::fp8(case, out),
            "f32_functions" => {
                functions::f32_functions(&out.before["a"], &out.after["y"], &case.names("rows"), false)
            }
            "f64_functions" => functions::f64_functions(case, out),
            "half_functions" | "bf16_functions" => functions::pairs(case, out),
            "integers_32" => integers::integers_32(case, out),
            "integers_64" => integers::integers_64(case, out),
            "warp_intrinsics" => warps::intrinsics(case, out),
            other => Err(format!("rows of {other}: no reference")),
        },
        other => Err(format!("{other}: no reference")),
    }
}
