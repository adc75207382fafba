//! How the matrix kernel ([`super::product`]) multiplies: in f32, or in pairs of bfloat16 where the machine can.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use super::simd::Avx512;
use super::simd::{Isa, LANES, Simd};

/// A pair of inputs times a panel's weights for it, added to a panel's sums.
pub(crate) trait Arithmetic<E>: Copy {
    /// The vectors of the sums.
    type S: Simd;
    /// A pair of activations in memory.
    type Pair;
    /// A pair of activations, in every lane.
    type X: Copy;
    /// A panel's weights for a pair.
    type W: Copy;
    /// Panels of a tile of one row, of two rows, and so on up to the tallest.
    const WIDTHS: &'static [usize];

    fn simd(self) -> Self::S;

    /// # Safety
    /// A pair is readable at `p`.
    unsafe fn spread(self, p: *const Self::Pair) -> Self::X;

    /// # Safety
    /// [`super::pack::PAIR`] weights are readable at `p`.
    unsafe fn weights(self, p: *const E) -> Self::W;

    fn multiply(self, x: Self::X, w: Self::W, sum: <Self::S as Simd>::V) -> <Self::S as Simd>::V;
}

/// Weights that widen to f32 without rounding.
pub(crate) trait Widen: Copy {
    /// The 16 outputs' weights for both inputs of a pair.
    ///
    /// # Safety
    /// [`super::pack::PAIR`] values are readable at `p`.
    unsafe fn pair<S: Simd>(s: S, p: *const Self) -> (S::V, S::V);
}

impl Widen for f32 {
    #[inline(always)]
    unsafe fn pair<S: Simd>(s: S, p: *const f32) -> (S::V, S::V) {
        // SAFETY: the caller vouches for 32 values; an array of f32 has the alignment of f32.
        unsafe { (s.load(&*p.cast::<[f32; LANES]>()), s.load(&*p.add(LANES).cast::<[f32; LANES]>())) }
    }
}

impl Widen for u16 {
    #[inline(always)]
    unsafe fn pair<S: Simd>(s: S, p: *const u16) -> (S::V, S::V) {
        // SAFETY: the caller vouches for 32 values.
        unsafe { s.load_bf16_pairs(p) }
    }
}

impl Widen for i8 {
    #[inline(always)]
    unsafe fn pair<S: Simd>(s: S, p: *const i8) -> (S::V, S::V) {
        // SAFETY: the caller vouches for 32 values.
        unsafe { s.load_i8_pairs(p) }
    }
}

/// f32 activations times widened weights: two fused multiply-adds for a pair, the first input's before the second's.
#[derive(Clone, Copy)]
pub(crate) struct Fma<S>(pub(crate) S);

impl<S: Simd, E: Widen> Arithmetic<E> for Fma<S> {
    type S = S;
    type Pair = [f32; 2];
    type X = (S::V, S::V);
    type W = (S::V, S::V);
    const WIDTHS: &'static [usize] = S::WIDTHS;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    unsafe fn spread(self, p: *const [f32; 2]) -> Self::X {
        // SAFETY: the caller vouches for a pair.
        let [first, second] = unsafe { *p };
        (self.0.splat(first), self.0.splat(second))
    }

    #[inline(always)]
    unsafe fn weights(self, p: *const E) -> Self::W {
        // SAFETY: the caller vouches for 32 weights.
        unsafe { E::pair(self.0, p) }
    }

    #[inline(always)]
    fn multiply(self, x: Self::X, w: Self::W, sum: S::V) -> S::V {
        self.0.fma(x.1, w.1, self.0.fma(x.0, w.0, sum))
    }
}

/// Activations rounded to bfloat16 times bfloat16 weights, a pair in one instruction, sums in f32.
///
/// Twice the products per instruction of [`Fma`] and nothing to widen. The instruction takes denormals for zero.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Bf16Dots(Avx512);

#[cfg(target_arch = "x86_64")]
impl Bf16Dots {
    /// # Safety
    /// The machine must have AVX-512 BF16 and what [`Avx512`] needs.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: the caller vouches for the features.
        Bf16Dots(unsafe { Avx512::new() })
    }
}

/// Weights that bfloat16 holds exactly.
#[cfg(target_arch = "x86_64")]
pub(crate) trait ToBf16: Copy {
    /// The 16 outputs' weights for both inputs of a pair, output by output.
    ///
    /// # Safety
    /// [`super::pack::PAIR`] values are readable at `p`; the machine has AVX-512 F and BF16.
    unsafe fn pairs(p: *const Self) -> __m512bh;
}

#[cfg(target_arch = "x86_64")]
impl ToBf16 for u16 {
    #[inline(always)]
    unsafe fn pairs(p: *const u16) -> __m512bh {
        // SAFETY: the caller vouches for 32 values; both types are 64 bytes without invalid values.
        unsafe { std::mem::transmute(_mm512_loadu_si512(p.cast())) }
    }
}

#[cfg(target_arch = "x86_64")]
impl ToBf16 for i8 {
    #[inline(always)]
    unsafe fn pairs(p: *const i8) -> __m512bh {
        // SAFETY: the caller vouches for 32 values and for the instructions.
        unsafe {
            let low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())));
            let high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.add(LANES).cast())));
            _mm512_cvtne2ps_pbh(high, low)
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl<E: ToBf16> Arithmetic<E> for Bf16Dots {
    type S = Avx512;
    type Pair = u32;
    type X = __m512bh;
    type W = __m512bh;
    // 32 registers: the sums, the weights of a panel and one pair of activations.
    const WIDTHS: &'static [usize] = &[4, 4, 4, 4, 4, 4, 3, 3, 2, 2, 2, 2];

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    unsafe fn spread(self, p: *const u32) -> __m512bh {
        // SAFETY: the caller vouches for a pair; both types are 64 bytes without invalid values.
        unsafe { std::mem::transmute(_mm512_set1_epi32((*p).cast_signed())) }
    }

    #[inline(always)]
    unsafe fn weights(self, p: *const E) -> __m512bh {
        // SAFETY: the caller vouches for 32 weights; `self` proves that the machine has the instructions.
        unsafe { E::pairs(p) }
    }

    #[inline(always)]
    fn multiply(self, x: __m512bh, w: __m512bh, sum: __m512) -> __m512 {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { _mm512_dpbf16_ps(sum, x, w) }
    }
}

/// Writes `x`, or `x · scale · gain`, as pairs of bfloat16, rounded to nearest (ties to even) and padded with zeros.
#[cfg(target_arch = "x86_64")]
pub(crate) fn round(isa: Isa, x: &[f32], norm: Option<(f32, &[f32])>, out: &mut [u32]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    fn enter(s: Avx512, x: &[f32], norm: Option<(f32, &[f32])>, out: &mut [u32]) {
        let part = |at: usize| {
            let range = at.min(x.len())..x.len().min(at + LANES);
            let x = s.load_tail(&x[range.clone()]);
            match norm {
                Some((scale, gain)) => s.mul(s.mul(x, s.splat(scale)), s.load_tail(&gain[range])),
                None => x,
            }
        };
        for (i, out) in out.chunks_mut(LANES).enumerate() {
            let (low, high) = (part(2 * i * LANES), part((2 * i + 1) * LANES));
            // SAFETY: this function is compiled for the instruction; both types are 64 bytes without invalid values.
            let pairs = unsafe { std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low)) };
            s.store_tail(bytemuck::cast_slice_mut(out), pairs);
        }
    }
    assert!(isa == Isa::Avx512Bf16 && isa.available(), "the machine has no AVX-512 BF16");
    // SAFETY: the machine has the features, as just checked.
    unsafe { enter(Avx512::new(), x, norm, out) }
}

/// Writes `x` as pairs of bfloat16.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn round(_: Isa, _: &[f32], _: Option<(f32, &[f32])>, _: &mut [u32]) {
    unreachable!("activations are rounded on machines with AVX-512 BF16 alone");
}
