//! What the kernels move, at the shapes of photon-600m, as the simulated device counts it. Bytes of memory are counted once for every byte that a launch
//! touches; what goes through L2 is what the requests ask for. On a real GPU there is nothing to count with, and the test says so.
//!
//! Its own `main`: the counters' file has to be named before the driver is loaded.

mod attention;
mod bench;
#[path = "../common/counters.rs"]
mod counters;
mod layer;
mod product;
mod rows;

use std::process::ExitCode;

use bench::Bench;
use counters::Counters;

/// photon-600m.
const D: usize = 1664;
const HIDDEN: usize = 4096;
const HEADS: usize = 32;
const DIM: usize = 52;
const VOCABULARY: usize = 32000;

type Check = fn(&Bench);

const CHECKS: [(&str, Check); 14] = [
    ("embedding reads the rows of its ids and writes them widened", rows::embed),
    ("copies and the final norm read and write every element once", rows::copy_and_norm),
    ("products of up to 64 rows read their weights once and hardly anything else", product::skinny),
    ("products of more rows read what their tiles say", product::tiled),
    ("the chunker and the converter read and write what their formulas say", product::chunker_and_converter),
    ("gate and up read their weights once and write one row", product::gate_up),
    ("the head writes a quarter of a byte for each output instead of four", product::head),
    ("an append writes the new keys and values", product::append),
    ("local attention reads every element once and writes its result only", attention::local),
    ("a local step reads its chunk's keys and values once", attention::local_step),
    ("decoding reads every key and value once", attention::decode),
    ("prefill reads what its tiles say", attention::prefill),
    ("a layer is five launches", layer::five_launches),
    ("logits are computed to memory only where a row is drawn from them", layer::head_by_draws),
];

fn main() -> ExitCode {
    let counters = match Counters::open() {
        Ok(counters) => counters,
        Err(ended) => return ended,
    };
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let Some(bench) = Bench::new(counters) else {
        println!("skipped: this libcuda counts nothing (it is not the simulated device)");
        return ExitCode::SUCCESS;
    };
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        check(&bench);
        println!("traffic: {name} ... ok");
    }
    ExitCode::SUCCESS
}
