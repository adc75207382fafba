//! Asynchronous copies, mbarriers, tensor maps and clusters: what each form does, pipelines under many seeds, and what is
//! reported of wrong ones.
#![allow(missing_docs, clippy::type_complexity)]

mod bulk;
mod cluster;
mod copy_async;
mod mbarrier;
#[path = "../common/ptxas.rs"]
mod ptxas;
mod run;
mod stores;
mod tensor;
