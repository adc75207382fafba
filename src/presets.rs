//! The nine presets of the paper.
