//! AVX-512: one register is one vector.

use std::arch::x86_64::*;

use super::{LANES, Simd};

/// Proof that the machine has AVX-512 F, BW, DQ, VL and all of AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The machine must have the features.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Avx512(())
    }
}

macro_rules! ops {
    ($($name:ident($($arg:ident),*) = $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m512),*) -> __m512 {
            // SAFETY: `self` proves that the machine has the instruction.
            unsafe { $intrinsic($($arg),*) }
        }
    )*};
}

impl Simd for Avx512 {
    type V = __m512;

    const TOGETHER: usize = 4;
    const LOW: (usize, usize) = (6, 4);
    const HIGH: (usize, usize) = (8, 3);
    // 32 registers: the sums, two weights a panel and one activation.
    const WIDTHS: &'static [usize] = &[4, 4, 4, 4, 4, 3, 3, 3, 2, 2, 2, 2];

    ops! {
        fma(a, b, c) = _mm512_fmadd_ps;
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        div(a, b) = _mm512_div_ps;
        max(a, b) = _mm512_max_ps;
        min(a, b) = _mm512_min_ps;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m512 {
        // SAFETY: as above, and the array holds 16 values.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; LANES], v: __m512) {
        // SAFETY: as above, and the array holds 16 values.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read and the caller vouches for the others.
        unsafe { _mm512_maskz_loadu_ps(first(n), p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: __m512) {
        // SAFETY: as above; masked lanes are not written and the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(p, first(n), v) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> __m512 {
        // SAFETY: as above; the caller vouches for 16 values.
        unsafe { widen(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const u16, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read and the caller vouches for the others.
        unsafe { widen(_mm256_maskz_loadu_epi16(first(n), p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16_pairs(self, p: *const u16) -> (__m512, __m512) {
        // SAFETY: as above; the caller vouches for 32 values.
        unsafe {
            let both = _mm512_loadu_si512(p.cast());
            let odd = _mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            (_mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)), _mm512_castsi512_ps(odd))
        }
    }
    #[inline(always)]
    unsafe fn load_i8_pairs(self, p: *const i8) -> (__m512, __m512) {
        // SAFETY: as above; the caller vouches for 32 values.
        unsafe {
            let both = _mm512_cvtepi16_epi32(_mm256_loadu_si256(p.cast()));
            let even = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(both));
            (_mm512_cvtepi32_ps(even), _mm512_cvtepi32_ps(_mm512_srai_epi32::<8>(both)))
        }
    }
    #[inline(always)]
    fn shift_into_exponent(self, v: __m512) -> __m512 {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(v))) }
    }
    #[inline(always)]
    fn sum4(self, v: [__m512; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        // SAFETY: `self` proves that the machine has the instructions; `out` holds the 4 values stored.
        unsafe {
            let p = quarters(v[0], v[1], v[2], v[3]);
            let p = _mm512_add_ps(p, _mm512_permute_ps::<0b01_00_11_10>(p));
            let p = _mm512_add_ps(p, _mm512_permute_ps::<0b10_11_00_01>(p));
            let each = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
            let p = _mm512_permutexvar_ps(each, p);
            _mm_storeu_ps(out.as_mut_ptr(), _mm512_castps512_ps128(p));
        }
        out
    }
    #[inline(always)]
    fn prefetch<const FAR: bool>(self, p: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe {
            if FAR { _mm_prefetch::<_MM_HINT_T1>(p.cast()) } else { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
    }
}

/// A mask of the first `n ≤ 16` lanes.
#[inline(always)]
fn first(n: usize) -> u16 {
    ((1u32 << n) - 1) as u16
}

/// Sixteen bfloat16 to f32.
///
/// # Safety
/// The machine must have AVX-512 F.
#[inline(always)]
unsafe fn widen(x: __m256i) -> __m512 {
    // SAFETY: the caller vouches for the instructions.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x))) }
}

/// Per 128-bit lane `i`, the four partial sums (lanes 8 apart, then 4 apart) of the `i`-th argument.
///
/// # Safety
/// The machine must have AVX-512 F.
#[inline(always)]
unsafe fn quarters(a: __m512, b: __m512, c: __m512, d: __m512) -> __m512 {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let ab = _mm512_add_ps(
            _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
            _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
        );
        let cd = _mm512_add_ps(
            _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d),
            _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d),
        );
        _mm512_add_ps(
            _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd),
        )
    }
}
