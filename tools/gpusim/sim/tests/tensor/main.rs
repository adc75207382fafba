//! Tensor-core instructions, through PTX. Expectations are plain loops over matrices; fragment layouts are those of the PTX
//! ISA, written out as it has them.

mod copies;
mod elements;
#[path = "../common/forms.rs"]
mod forms;
mod hazards;
mod mma;
mod mmasim;
#[path = "../common/ptxas.rs"]
mod ptxas;
mod run;
mod wgmma;
mod wgmma_forms;
mod wmma;

#[test]
fn the_list_of_forms_is_what_these_tests_run() {
    forms::of_this_program_are_listed("tensor", "the_list_of_forms");
}
