//! `tensormap.replace` and `tensormap.cp_fenceproxy`.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
