//! `barrier.cluster`, `st.async` and `red.async`.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
