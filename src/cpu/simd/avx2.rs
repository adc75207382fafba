//! AVX2 and FMA: two registers are one vector.

use std::arch::x86_64::*;

use super::{LANES, Simd};

/// Proof that the machine has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The machine must have the features.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Avx2(())
    }
}

/// Lanes 0–7 and 8–15.
type Pair = (__m256, __m256);

macro_rules! ops {
    ($($name:ident($($arg:ident),*) = $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Pair),*) -> Pair {
            // SAFETY: `self` proves that the machine has the instruction.
            unsafe { ($intrinsic($($arg.0),*), $intrinsic($($arg.1),*)) }
        }
    )*};
}

impl Simd for Avx2 {
    type V = Pair;

    const TOGETHER: usize = 1;
    const LOW: (usize, usize) = (1, 4);
    const HIGH: (usize, usize) = (3, 2);
    // 16 registers, two to a vector: the sums, one weight and one activation.
    const WIDTHS: &'static [usize] = &[4, 2, 1, 1, 1, 1];

    ops! {
        fma(a, b, c) = _mm256_fmadd_ps;
        add(a, b) = _mm256_add_ps;
        sub(a, b) = _mm256_sub_ps;
        mul(a, b) = _mm256_mul_ps;
        div(a, b) = _mm256_div_ps;
        max(a, b) = _mm256_max_ps;
        min(a, b) = _mm256_min_ps;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { (_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Pair {
        // SAFETY: as above, and the array holds 16 values.
        unsafe { (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))) }
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; LANES], v: Pair) {
        // SAFETY: as above, and the array holds 16 values.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), v.0);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), v.1);
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Pair {
        let (low, high) = masks(n);
        // SAFETY: as above; masked lanes are not read and the caller vouches for the others.
        unsafe { (_mm256_maskload_ps(p, low), _mm256_maskload_ps(p.wrapping_add(8), high)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Pair) {
        let (low, high) = masks(n);
        // SAFETY: as above; masked lanes are not written and the caller vouches for the others.
        unsafe {
            _mm256_maskstore_ps(p, low, v.0);
            _mm256_maskstore_ps(p.wrapping_add(8), high, v.1);
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Pair {
        // SAFETY: as above; the caller vouches for 16 values.
        unsafe { (widen(_mm_loadu_si128(p.cast())), widen(_mm_loadu_si128(p.add(8).cast()))) }
    }
    #[inline(always)]
    unsafe fn load_bf16_first(self, p: *const u16, n: usize) -> Pair {
        let mut x = [0u16; LANES];
        // SAFETY: the caller vouches for `n ≤ 16` values.
        unsafe { std::ptr::copy_nonoverlapping(p, x.as_mut_ptr(), n) };
        // SAFETY: the array holds 16 values.
        unsafe { self.load_bf16(x.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_bf16_pairs(self, p: *const u16) -> (Pair, Pair) {
        // SAFETY: as above; the caller vouches for 32 values.
        unsafe {
            let (low, high) = (_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(16).cast()));
            let even = |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(v));
            let odd = |v| _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(0xffff_0000_u32 as i32)));
            ((even(low), even(high)), (odd(low), odd(high)))
        }
    }
    #[inline(always)]
    unsafe fn load_i8_pairs(self, p: *const i8) -> (Pair, Pair) {
        // SAFETY: as above; the caller vouches for 32 values.
        unsafe {
            let half = |at: usize| {
                let both = _mm256_cvtepi16_epi32(_mm_loadu_si128(p.add(at).cast()));
                let even = _mm256_srai_epi32::<24>(_mm256_slli_epi32::<24>(both));
                (_mm256_cvtepi32_ps(even), _mm256_cvtepi32_ps(_mm256_srai_epi32::<8>(both)))
            };
            let (low, high) = (half(0), half(LANES));
            ((low.0, high.0), (low.1, high.1))
        }
    }
    #[inline(always)]
    fn shift_into_exponent(self, v: Pair) -> Pair {
        // SAFETY: `self` proves that the machine has the instructions.
        unsafe {
            (
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(v.0))),
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(v.1))),
            )
        }
    }
    #[inline(always)]
    fn sum4(self, v: [Pair; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        // SAFETY: `self` proves that the machine has the instructions; `out` holds the 4 values stored.
        unsafe {
            let [a, b, c, d] = v.map_pairs();
            let ab =
                _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            let cd =
                _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(c, d), _mm256_permute2f128_ps::<0x31>(c, d));
            // Per 128-bit lane: two partial sums of a (or b), then two of c (or d).
            let twos = _mm256_add_ps(
                _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
            );
            let ones = _mm256_add_ps(
                _mm256_shuffle_ps::<0b10_00_10_00>(twos, twos),
                _mm256_shuffle_ps::<0b11_01_11_01>(twos, twos),
            );
            let sums = _mm_unpacklo_ps(_mm256_castps256_ps128(ones), _mm256_extractf128_ps::<1>(ones));
            _mm_storeu_ps(out.as_mut_ptr(), sums);
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

/// The sums of lanes 8 apart.
trait Halves {
    /// # Safety
    /// The machine must have AVX.
    unsafe fn map_pairs(self) -> [__m256; 4];
}

impl Halves for [Pair; 4] {
    #[inline(always)]
    unsafe fn map_pairs(self) -> [__m256; 4] {
        let [a, b, c, d] = self;
        // SAFETY: the caller vouches for the instruction.
        unsafe {
            [
                _mm256_add_ps(a.0, a.1),
                _mm256_add_ps(b.0, b.1),
                _mm256_add_ps(c.0, c.1),
                _mm256_add_ps(d.0, d.1),
            ]
        }
    }
}

/// Masks of the first `n ≤ 16` lanes.
#[inline(always)]
fn masks(n: usize) -> (__m256i, __m256i) {
    const ONES: [i32; 32] = {
        let mut ones = [0; 32];
        let mut i = 0;
        while i < 16 {
            ones[i] = -1;
            i += 1;
        }
        ones
    };
    let at = LANES - n.min(LANES);
    // SAFETY: `at + 16 ≤ 32`; only called with the proof that the machine has AVX2.
    unsafe {
        (
            _mm256_loadu_si256(ONES.as_ptr().add(at).cast()),
            _mm256_loadu_si256(ONES.as_ptr().add(at + 8).cast()),
        )
    }
}

/// Eight bfloat16 to f32.
///
/// # Safety
/// The machine must have AVX2.
#[inline(always)]
unsafe fn widen(x: __m128i) -> __m256 {
    // SAFETY: the caller vouches for the instructions.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(x))) }
}
