//! Asynchronous copies, mbarriers, tensor maps and clusters: what each form does, pipelines under many seeds, and what is
//! reported of wrong ones.
#![allow(missing_docs, clippy::type_complexity)]

mod bulk;
mod cluster;
mod copy_async;
#[path = "../common/forms.rs"]
mod forms;
mod mbarrier;
mod mbarrier_forms;
#[path = "../common/ptxas.rs"]
mod ptxas;
mod run;
mod stores;
mod tensor;

#[test]
fn the_list_of_forms_is_what_these_tests_run() {
    forms::of_this_program_are_listed("asynchronous", "the_list_of_forms");
}
