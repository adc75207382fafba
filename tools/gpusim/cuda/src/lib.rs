//! The CUDA driver API over the simulated device.
