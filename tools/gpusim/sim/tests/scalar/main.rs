//! Integer, logic, comparison, memory, atomic and warp instructions, each form against an expectation computed here.
// Expectations are written as the PTX text puts them.
#![allow(missing_docs, clippy::manual_clamp, clippy::type_complexity)]

#[path = "../common/mod.rs"]
mod common;
use common::forms;

mod access_forms;
mod arithmetic;
mod atomic;
mod atomic_forms;
mod atomic_spaces;
mod bits;
mod carry;
mod carry_forms;
mod collectives;
mod compare;
mod compare_forms;
mod control;
mod logic;
mod memory;
mod moves;
mod programs;
mod runtime;
mod shuffle;
mod spaces;
mod synchronise;
mod table;

#[test]
fn ptxas_accepts_what_these_tests_run() {
    common::ptxas::accepts_what_tests_run("scalar", "ptxas_accepts");
}
