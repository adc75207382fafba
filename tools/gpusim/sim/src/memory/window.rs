//! Where the state spaces lie in the generic address space.
//!
//! Device allocations have addresses where no host pointer lies, so pinned host memory is mapped at its own address.

use std::ops::Range;

/// Device allocations (`.global`, `.const`, the heap of `malloc`).
pub const GLOBAL: Range<u64> = 0x1000_0000_0000..0x2000_0000_0000;
/// Shared memory: generic address of shared address 0.
pub const SHARED: u64 = 0x3000_0000_0000;
/// Local memory: generic address of local address 0.
pub const LOCAL: u64 = 0x3100_0000_0000;
/// Kernel parameters: generic address of parameter byte 0.
pub const PARAM: u64 = 0x3200_0000_0000;
/// Size of the shared, local and parameter windows.
pub const SIZE: u64 = 1 << 32;
/// Addresses of functions, as `mov.b64 %rd, function` gives them. Not readable.
pub const CODE: u64 = 0x3400_0000_0000;

/// In a shared address, the lowest bit of the cluster rank plus one; 0 in these bits means the CTA itself.
pub const CLUSTER_RANK_SHIFT: u32 = 24;

/// Shared memory that the system keeps for itself on sm_90: no variable lies there, and address 0 is not valid.
pub const SHARED_RESERVED: u32 = 1024;

/// Address of the function with an index.
pub(crate) fn code(index: u32) -> u64 {
    CODE + (u64::from(index) + 1) * 16
}

/// The function that an address stands for.
pub(crate) fn function_at(address: u64) -> Option<u32> {
    let offset = address.checked_sub(CODE)?;
    (offset % 16 == 0 && offset > 0).then(|| u32::try_from(offset / 16 - 1).ok()).flatten()
}
