//! The generation modes.
