//! `setmaxnreg`, `griddepcontrol`, `elect`, `createpolicy`, `multimem`.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
