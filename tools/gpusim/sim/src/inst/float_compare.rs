//! setp, set and selp of floats.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
