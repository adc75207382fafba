//! Asynchronous copies, mbarriers, tensor maps and clusters: what each form does, pipelines under many seeds, and what is
//! reported of wrong ones.
#![allow(missing_docs)]

mod bulk;
mod cluster;
mod copy_async;
mod mbarrier;
mod run;
mod tensor;
