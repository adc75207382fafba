//! `fence`, `membar` and the proxy fences.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
