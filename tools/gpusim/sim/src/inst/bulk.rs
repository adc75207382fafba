//! `cp.async.bulk` and `cp.reduce.async.bulk`: copies of contiguous bytes, their groups and prefetches.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
