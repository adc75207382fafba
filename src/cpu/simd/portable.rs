//! Arrays of 16: the compiler makes of them what the target has.

use super::{LANES, Simd};

/// What every target can run.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Whether `mul_add` is one instruction here, and not a call into libm.
const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for i in 0..LANES {
        out[i] = f(a[i], b[i]);
    }
    out
}

impl Simd for Portable {
    type V = [f32; LANES];

    const TOGETHER: usize = 1;
    const LOW: (usize, usize) = (1, 4);
    const HIGH: (usize, usize) = (2, 2);
    const WIDTHS: &'static [usize] = &[2, 1];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::V {
        *x
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; LANES], v: Self::V) {
        *out = v;
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        let mut v = [0.0; LANES];
        // SAFETY: the caller vouches for `n ≤ 16` values.
        unsafe { std::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), n) };
        v
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V) {
        // SAFETY: the caller vouches for `n ≤ 16` values.
        unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), p, n) };
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::V {
        // SAFETY: the caller vouches for 16 values; an array of u16 has the alignment of u16.
        let x = unsafe { &*p.cast::<[u16; LANES]>() };
        let mut v = [0.0; LANES];
        for i in 0..LANES {
            v[i] = f32::from_bits(u32::from(x[i]) << 16);
        }
        v
    }
    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const u16, n: usize) -> Self::V {
        let mut x = [0u16; LANES];
        // SAFETY: the caller vouches for `n ≤ 16` values.
        unsafe { std::ptr::copy_nonoverlapping(p, x.as_mut_ptr(), n) };
        // SAFETY: the array holds 16 values.
        unsafe { self.load_bf16(x.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_bf16_pairs(self, p: *const u16) -> (Self::V, Self::V) {
        // SAFETY: the caller vouches for 32 values; an array of u16 has the alignment of u16.
        let x = unsafe { &*p.cast::<[u16; 2 * LANES]>() };
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        for i in 0..LANES {
            even[i] = f32::from_bits(u32::from(x[2 * i]) << 16);
            odd[i] = f32::from_bits(u32::from(x[2 * i + 1]) << 16);
        }
        (even, odd)
    }
    #[inline(always)]
    unsafe fn load_i8_pairs(self, p: *const i8) -> (Self::V, Self::V) {
        // SAFETY: the caller vouches for 32 values.
        let x = unsafe { &*p.cast::<[i8; 2 * LANES]>() };
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        for i in 0..LANES {
            even[i] = f32::from(x[2 * i]);
            odd[i] = f32::from(x[2 * i + 1]);
        }
        (even, odd)
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut out = [0.0; LANES];
        for i in 0..LANES {
            out[i] = if FUSED { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] };
        }
        out
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn shift_into_exponent(self, v: Self::V) -> Self::V {
        zip(v, v, |x, _| f32::from_bits(x.to_bits() << 23))
    }
    #[inline(always)]
    fn sum4(self, v: [Self::V; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        for (out, mut v) in out.iter_mut().zip(v) {
            for half in [8, 4, 2, 1] {
                for i in 0..half {
                    v[i] += v[i + half];
                }
            }
            *out = v[0];
        }
        out
    }
    #[inline(always)]
    fn prefetch<const FAR: bool>(self, _: *const u8) {}
}
