//! Number formats and arithmetic of the simulated CUDA device: pure functions, no state.
//!
//! Values travel as bit patterns (`u16` for f16 and bf16, `u32` for f32, `u64` for f64), because NaN payloads and the
//! signs of zeros are part of what a kernel can see. PTX modifiers are parameters, PTX names are the functions' names.
//!
//! | module | subject |
//! |---|---|
//! | [`mod@format`] | f16, bf16, tf32, fp8, fp6, fp4, ue8m0: decoding, and rounding of exact values into them |
//! | [`convert`] | `cvt`: float to float, float to integer, integer to float, integer to integer |
//! | [`mod@f32`], [`mod@f64`], [`mod@half`] | arithmetic with rounding modes, `.ftz`, `.sat`, `.relu` |
//! | [`minmax`], [`classify`] | `min`, `max` with `.NaN` and `.xorsign.abs`; `testp`, `copysign`, `abs`, `neg` |
//! | [`lanes`] | the common operations over the 32 lanes of a warp |
//! | [`approx`] | `.approx` and `.full` functions, their documented errors, perturbation within them |
//! | [`tensor`] | tensor-core dot products: bit-accurate models per architecture, and fast ones |

pub mod approx;
pub mod classify;
pub mod convert;
pub mod f32;
pub mod f64;
pub mod format;
pub mod half;
pub mod lanes;
pub mod minmax;
mod round;
pub mod tensor;

pub use round::Rounding;
