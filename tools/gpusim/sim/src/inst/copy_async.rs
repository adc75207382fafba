//! `cp.async`: copies of 4, 8 or 16 bytes per thread, their groups, and arrivals at an mbarrier.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
