//! How the matrix kernel ([`super::product`]) multiplies: in f32, or in pairs of bfloat16 where the machine can.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use super::quantize::SignMagnitude;
#[cfg(target_arch = "x86_64")]
use super::simd::Avx512;
use super::simd::{Isa, LANES, Simd};

/// A step: the next [`PAIRS`](Self::PAIRS) pairs of inputs times a panel's weights for them, added to the panel's sums.
pub(crate) trait Arithmetic<E>: Copy {
    /// The vectors of the sums.
    type S: Simd;
    /// A step's activations in memory.
    type Inputs;
    /// A step's activations, in every lane.
    type X: Copy;
    /// A panel's weights for a step.
    type W: Copy;
    /// Pairs of inputs to a step.
    const PAIRS: usize;
    /// Panels of a tile of one row, of two rows, and so on up to the tallest.
    const WIDTHS: &'static [usize];

    fn simd(self) -> Self::S;

    /// # Safety
    /// A step's activations are readable at `p`.
    unsafe fn spread(self, p: *const Self::Inputs) -> Self::X;

    /// # Safety
    /// `PAIRS` times [`super::pack::PAIR`] weights are readable at `p`.
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
    type Inputs = [f32; 2];
    type X = (S::V, S::V);
    type W = (S::V, S::V);
    const PAIRS: usize = 1;
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

    /// A pair of activations, in every lane.
    #[inline(always)]
    fn pair(self, pair: u32) -> __m512bh {
        // SAFETY: `self` proves that the machine has the instruction; both types are 64 bytes without invalid values.
        unsafe { std::mem::transmute(_mm512_set1_epi32(pair.cast_signed())) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Arithmetic<u16> for Bf16Dots {
    type S = Avx512;
    type Inputs = u32;
    type X = __m512bh;
    type W = __m512bh;
    const PAIRS: usize = 1;
    // 32 registers: the sums, the weights of a panel and one pair of activations.
    const WIDTHS: &'static [usize] = &[4, 4, 4, 4, 4, 4, 3, 3, 2, 2, 2, 2];

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    unsafe fn spread(self, p: *const u32) -> __m512bh {
        // SAFETY: the caller vouches for a pair.
        self.pair(unsafe { *p })
    }

    #[inline(always)]
    unsafe fn weights(self, p: *const u16) -> __m512bh {
        // SAFETY: the caller vouches for 32 weights; `self` proves that the machine has the instruction; both types are 64
        // bytes without invalid values.
        unsafe { std::mem::transmute(_mm512_loadu_si512(p.cast())) }
    }

    #[inline(always)]
    fn multiply(self, x: __m512bh, w: __m512bh, sum: __m512) -> __m512 {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { _mm512_dpbf16_ps(sum, x, w) }
    }
}

/// [`Bf16Dots`] with small integers as weights, which bfloat16 holds exactly.
///
/// A bfloat16 is looked up by the seven bits of a magnitude, each of its bytes in a table of 128, and gets the sign: seven instructions for 64
/// weights. By way of i32 and f32 they are ten, and two kilobytes of registers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Int8Dots {
    dots: Bf16Dots,
    low: [__m512i; 2],
    high: [__m512i; 2],
}

/// The lower and the upper bytes of 0 to 127 as bfloat16.
#[cfg(target_arch = "x86_64")]
const BF16_BYTES: [[u8; 128]; 2] = {
    let mut bytes = [[0; 128]; 2];
    let mut n = 0;
    while n < 128 {
        let bits = (n as f32).to_bits();
        bytes[0][n] = (bits >> 16) as u8;
        bytes[1][n] = (bits >> 24) as u8;
        n += 1;
    }
    bytes
};

#[cfg(target_arch = "x86_64")]
impl Int8Dots {
    /// # Safety
    /// The machine must have AVX-512 VBMI and what [`Bf16Dots`] needs.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: both halves of a table; the caller vouches for the features.
        let table = |bytes: &[u8; 128]| unsafe {
            [_mm512_loadu_si512(bytes.as_ptr().cast()), _mm512_loadu_si512(bytes[64..].as_ptr().cast())]
        };
        // SAFETY: the caller vouches for the features.
        Int8Dots { dots: unsafe { Bf16Dots::new() }, low: table(&BF16_BYTES[0]), high: table(&BF16_BYTES[1]) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Arithmetic<SignMagnitude> for Int8Dots {
    type S = Avx512;
    type Inputs = [u32; 2];
    type X = (__m512bh, __m512bh);
    type W = (__m512bh, __m512bh);
    const PAIRS: usize = 2;
    // 32 registers: the tables, the sums, the weights of a panel and two pairs of activations.
    const WIDTHS: &'static [usize] = &[4, 4, 4, 4, 4, 3, 3, 2, 2, 2];

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.dots.0
    }

    #[inline(always)]
    unsafe fn spread(self, p: *const [u32; 2]) -> Self::X {
        // SAFETY: the caller vouches for two pairs.
        let [first, second] = unsafe { *p };
        (self.dots.pair(first), self.dots.pair(second))
    }

    #[inline(always)]
    unsafe fn weights(self, p: *const SignMagnitude) -> Self::W {
        // SAFETY: the caller vouches for 64 weights; `self` proves that the machine has the instructions; vectors are 64 bytes
        // without invalid values.
        unsafe {
            let weights = _mm512_loadu_si512(p.cast());
            let low = _mm512_permutex2var_epi8(self.low[0], weights, self.low[1]);
            let high = _mm512_permutex2var_epi8(self.high[0], weights, self.high[1]);
            // 0xF8: high | (weights & sign).
            let high = _mm512_ternarylogic_epi32::<0xF8>(high, weights, _mm512_set1_epi8(i8::MIN));
            let first = _mm512_unpacklo_epi8(low, high);
            let second = _mm512_unpackhi_epi8(low, high);
            (
                std::mem::transmute::<__m512i, __m512bh>(first),
                std::mem::transmute::<__m512i, __m512bh>(second),
            )
        }
    }

    #[inline(always)]
    fn multiply(self, x: Self::X, w: Self::W, sum: __m512) -> __m512 {
        self.dots.multiply(x.1, w.1, self.dots.multiply(x.0, w.0, sum))
    }
}

/// Writes `x`, or `x · scale · gain`, as pairs of bfloat16, rounded to nearest (ties to even) and padded with zeros.
#[cfg(target_arch = "x86_64")]
pub(crate) fn round(isa: Isa, x: &[f32], norm: Option<(f32, &[f32])>, out: &mut [u32]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512bf16,avx2,fma")]
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
