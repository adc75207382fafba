//! Counted work: what the backend has read and computed since it was made.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{CpuBackend, CpuLinear};
use crate::checkpoint::Dtype;

/// Work done so far. Counted from the shapes of the operations, not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkDone {
    /// Bytes of weight matrices (once per operation) and of cached keys and values (once per pass over a sequence).
    pub bytes_read: u64,
    /// Floating-point operations of matrix products and attention, a multiply-add as two.
    pub flops: u64,
}

#[derive(Default)]
pub(super) struct Work {
    bytes_read: AtomicU64,
    flops: AtomicU64,
}

impl CpuBackend {
    /// Work done by all operations so far.
    pub fn work(&self) -> WorkDone {
        WorkDone { bytes_read: self.work.bytes_read.load(Relaxed), flops: self.work.flops.load(Relaxed) }
    }

    pub(super) fn count(&self, bytes_read: usize, flops: usize) {
        self.work.bytes_read.fetch_add(bytes_read as u64, Relaxed);
        self.work.flops.fetch_add(flops as u64, Relaxed);
    }

    /// A matrix read once and applied to `n` rows.
    pub(super) fn count_linear(&self, linear: &CpuLinear, n: usize) {
        self.count(linear.bytes(), 2 * n * linear.inputs * linear.outputs);
    }

    /// Bytes of a stored key or value.
    pub(super) fn element(&self) -> usize {
        if self.dtype == Dtype::Bf16 { 2 } else { 4 }
    }
}
