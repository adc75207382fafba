//! f16 and bf16 arithmetic.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
