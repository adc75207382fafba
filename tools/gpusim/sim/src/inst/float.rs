//! f32 arithmetic.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
