//! What is compiled elsewhere: the parameters of the kernels as `csrc/photon.h` defines them, and the kernels' images.

#[allow(missing_docs, non_camel_case_types, clippy::undocumented_unsafe_blocks)]
#[rustfmt::skip]
mod bindings;

pub use bindings::*;

include!(concat!(env!("OUT_DIR"), "/images.rs"));
