//! Shared-memory operands of `wgmma`.
