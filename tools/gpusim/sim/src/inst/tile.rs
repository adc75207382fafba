//! Matrices of tensor-core instructions.
