//! The ceilings that bounds are made of.

use crate::launch::Launch;

/// A GPU as two ceilings. They are what is stated for it, not what this project measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device {
    /// Its name.
    pub name: &'static str,
    /// Bytes a second that a copy reads and writes, together.
    pub copy: f64,
    /// FLOP/s of dense bf16 products with f32 sums.
    pub bf16: f64,
}

/// H100 SXM5: 3.0 TB/s, 790 TFLOP/s.
pub const H100: Device = Device { name: "H100", copy: 3.0e12, bf16: 790e12 };
/// H200 SXM: 4.3 TB/s, 790 TFLOP/s.
pub const H200: Device = Device { name: "H200", copy: 4.3e12, bf16: 790e12 };

impl Device {
    /// A lower bound of a launch's time in seconds: the longer of moving its bytes and of computing its FLOPs, as if nothing
    /// else took time and nothing had been left in a cache.
    pub fn bound(&self, launch: &Launch) -> f64 {
        self.of(launch.bytes(), launch.flops)
    }

    /// [`Device::bound`] of bytes and FLOPs.
    pub fn of(&self, bytes: u64, flops: u64) -> f64 {
        (bytes as f64 / self.copy).max(flops as f64 / self.bf16)
    }
}
