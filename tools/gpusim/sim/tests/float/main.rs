//! Every floating-point instruction form, run from PTX text over special and random operands, against exact integer
//! arithmetic. Approximate functions are held to the PTX ISA's error bounds.
#![allow(missing_docs)]

mod approx;
mod arithmetic;
mod compare;
mod convert;
mod convert_packed;
#[path = "../common/forms.rs"]
mod forms;
mod fuse;
mod halves;
mod harness;
mod oracle;
#[path = "../common/ptxas.rs"]
mod ptxas;
mod select;
mod values;

#[test]
fn the_list_of_forms_is_what_these_tests_run() {
    forms::of_this_program_are_listed("float", "the_list_of_forms");
}
