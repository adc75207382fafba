//! `ldmatrix, stmatrix, movmatrix`.

use super::Entry;

pub(super) const TABLE: &[Entry] = &[];
