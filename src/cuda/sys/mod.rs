//! What is compiled elsewhere: the parameters of the kernels as `csrc/photon.h` defines them, and the kernels' images.

#[allow(missing_docs, non_camel_case_types, clippy::undocumented_unsafe_blocks)]
#[rustfmt::skip]
mod bindings;

pub use bindings::*;

use crate::sampling::Draw;

impl photon_rows {
    /// Rows `0, 1, 2, …`.
    pub const DENSE: photon_rows = photon_rows { list: std::ptr::null(), start: 0, len: 1, stride: 1 };
}

impl From<&Draw> for photon_draw {
    fn from(draw: &Draw) -> Self {
        let sampling = &draw.sampling;
        photon_draw {
            seed: sampling.seed,
            position: draw.position,
            sequence: draw.sequence,
            forced: draw.forced.unwrap_or(u32::MAX),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            top_k: u32::try_from(sampling.top_k).unwrap_or(u32::MAX),
        }
    }
}

// SAFETY: C's layout, integers and floats without padding.
unsafe impl cudarc::driver::DeviceRepr for photon_draw {}
// SAFETY: as above.
unsafe impl bytemuck::NoUninit for photon_draw {}
// SAFETY: zeros are a greedy draw.
unsafe impl cudarc::driver::ValidAsZeroBits for photon_draw {}

include!(concat!(env!("OUT_DIR"), "/images.rs"));
