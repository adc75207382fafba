//! The forward pass over a [`crate::backend::Backend`].
