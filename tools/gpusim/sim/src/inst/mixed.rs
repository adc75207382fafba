//! Arithmetic on f32 with narrow operands.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
