//! Tensor-core instructions, through PTX. Expectations are plain loops over matrices; fragment layouts are those of the PTX
//! ISA, written out as it has them.

mod copies;
mod elements;
mod hazards;
mod mma;
mod mmasim;
#[path = "../common/ptxas.rs"]
mod ptxas;
mod run;
mod wgmma;
mod wgmma_forms;
mod wmma;
