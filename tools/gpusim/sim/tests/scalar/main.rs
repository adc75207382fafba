//! Integer, logic, comparison, memory, atomic and warp instructions, each form against an expectation computed here.
// Expectations are written as the PTX text puts them.
#![allow(missing_docs, clippy::manual_clamp, clippy::type_complexity)]

#[path = "../common/mod.rs"]
mod common;

mod arithmetic;
mod atomic;
mod atomic_forms;
mod bits;
mod carry;
mod collectives;
mod compare;
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
    common::ptxas::accepts_what_tests_run("ptxas_accepts");
}
