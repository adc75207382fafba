//! The plain reference implementation.
