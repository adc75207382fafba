//! Sixteen `f32` lanes on every instruction set, with one meaning of every operation.
//!
//! Kernels are written once, generic over [`Simd`], and entered through [`entry!`], which compiles them for each
//! instruction set. A vector always has 16 lanes, so AVX-512, AVX2 and targets with a fused multiply-add do the same
//! roundings in the same order and give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// An instruction set the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// What the target always has. With a fused multiply-add (aarch64) it gives the bits of the other two.
    Portable,
    /// AVX2 and FMA; the same bits as AVX-512.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 with BF16 and VBMI: multiplies activations rounded to bfloat16 where weights are bfloat16 or int8, at twice the rate.
    Avx512Bf16,
}

impl Isa {
    /// All instruction sets, slowest first.
    pub const ALL: [Isa; 4] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16];

    /// Whether this machine can run it.
    pub fn available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Isa::Avx2.available()
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => {
                is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512vbmi")
                    && Isa::Avx512.available()
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The fastest that this machine can run.
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.available()).unwrap_or(Isa::Portable)
    }
}

/// An instruction set as a value: having one proves that the machine has the instructions.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen lanes.
    type V: Copy;

    /// Largest tile (queries, keys) of [`super::dots`] for few queries ...
    const LOW: (usize, usize);
    /// ... and for more.
    const HIGH: (usize, usize);
    /// Panels of a tile of [`super::product`] of one row, of two rows, and so on up to the tallest.
    const WIDTHS: &'static [usize];
    /// Queries of attention that share the values they read: 4 or 1.
    const TOGETHER: usize;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, x: &[f32; LANES]) -> Self::V;
    fn store(self, out: &mut [f32; LANES], v: Self::V);
    /// The first `n ≤ 16` lanes from `p`, the others zero; reads nothing beyond.
    ///
    /// # Safety
    /// `n` values must be readable at `p`.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V;
    /// Writes the first `n ≤ 16` lanes.
    ///
    /// # Safety
    /// `n` values must be writable at `p`.
    unsafe fn store_first(self, p: *mut f32, n: usize, v: Self::V);
    /// Sixteen bfloat16, widened.
    ///
    /// # Safety
    /// 16 values must be readable at `p`.
    unsafe fn load_bf16(self, p: *const u16) -> Self::V;
    /// The first `n ≤ 16` of them.
    ///
    /// # Safety
    /// `n` values must be readable at `p`.
    unsafe fn load_bf16_first(self, p: *const u16, n: usize) -> Self::V;
    /// 32 bfloat16, widened: those of even index and those of odd index.
    ///
    /// # Safety
    /// 32 values must be readable at `p`.
    unsafe fn load_bf16_pairs(self, p: *const u16) -> (Self::V, Self::V);
    /// 32 small integers, widened: those of even index and those of odd index.
    ///
    /// # Safety
    /// 32 values must be readable at `p`.
    unsafe fn load_i8_pairs(self, p: *const i8) -> (Self::V, Self::V);

    /// `a · b + c`, rounded once where the target can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a > b ? a : b`: a NaN in either gives `b`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a < b ? a : b`: a NaN in either gives `b`.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The bits of every lane shifted left by 23: moves a small integer into the exponent field.
    fn shift_into_exponent(self, v: Self::V) -> Self::V;
    /// The lane sums of four vectors. The tree is the same for every vector and every instruction set: lanes 8
    /// apart, then 4, 2 and 1.
    fn sum4(self, v: [Self::V; 4]) -> [f32; 4];
    /// Hints that the line at `p` will be read soon, from L1 or, if `FAR`, from L2. Any address is allowed.
    fn prefetch<const FAR: bool>(self, p: *const u8);

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }
    /// The sum of the lanes.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        self.sum4([v, self.zero(), self.zero(), self.zero()])[0]
    }
    /// The greatest lane; NaN lanes may be passed over.
    #[inline(always)]
    fn greatest(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, v);
        lanes.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
    }
    /// A slice of at most 16 values, zeros after it.
    #[inline(always)]
    fn load_tail(self, x: &[f32]) -> Self::V {
        debug_assert!(x.len() <= LANES);
        // SAFETY: the slice holds `len` values.
        unsafe { self.load_first(x.as_ptr(), x.len().min(LANES)) }
    }
    /// Stores as many lanes as the slice (at most 16) holds.
    #[inline(always)]
    fn store_tail(self, out: &mut [f32], v: Self::V) {
        debug_assert!(out.len() <= LANES);
        // SAFETY: the slice holds `len` values.
        unsafe { self.store_first(out.as_mut_ptr(), out.len().min(LANES), v) }
    }
}

/// How a matrix or a cache stores one value.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// Sixteen values, widened.
    ///
    /// # Safety
    /// 16 values must be readable at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;
    /// The first `n ≤ 16` values, widened, the other lanes zero.
    ///
    /// # Safety
    /// `n` values must be readable at `p`.
    unsafe fn load_first<S: Simd>(s: S, p: *const Self, n: usize) -> S::V;
    /// Rounded to nearest, ties to even.
    fn from_f32(x: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f32) -> S::V {
        // SAFETY: the caller vouches for 16 values; an array of f32 has the alignment of f32.
        s.load(unsafe { &*p.cast::<[f32; LANES]>() })
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(s: S, p: *const f32, n: usize) -> S::V {
        // SAFETY: the caller vouches for `n` values.
        unsafe { s.load_first(p, n) }
    }
    #[inline(always)]
    fn from_f32(x: f32) -> f32 {
        x
    }
}

impl Element for u16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u16) -> S::V {
        // SAFETY: the caller vouches for 16 values.
        unsafe { s.load_bf16(p) }
    }
    #[inline(always)]
    unsafe fn load_first<S: Simd>(s: S, p: *const u16, n: usize) -> S::V {
        // SAFETY: the caller vouches for `n` values.
        unsafe { s.load_bf16_first(p, n) }
    }
    #[inline(always)]
    fn from_f32(x: f32) -> u16 {
        half::bf16::from_f32(x).to_bits()
    }
}

/// Defines `fn name(isa, args...)` that runs the generic kernel `path::<S>(s, args...)` compiled for `isa`.
///
/// The kernel and all it calls must be `#[inline(always)]`, so that they end up inside the function that has the
/// target features.
macro_rules! entry {
    ($(#[$doc:meta])* $vis:vis fn $name:ident $(<$gen:ident : $bound:path>)? ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? = $kernel:ident) => {
        $(#[$doc])*
        $vis fn $name $(<$gen: $bound>)? (isa: $crate::cpu::simd::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512 $(<$gen: $bound>)? (s: $crate::cpu::simd::Avx512, $($arg: $ty),*) $(-> $ret)? {
                $kernel(s, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$gen: $bound>)? (s: $crate::cpu::simd::Avx2, $($arg: $ty),*) $(-> $ret)? {
                $kernel(s, $($arg),*)
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Isa::Avx512 | $crate::cpu::simd::Isa::Avx512Bf16 => {
                    assert!(isa.available(), "the machine has no AVX-512");
                    // SAFETY: the machine has the features, as just checked.
                    unsafe { avx512(<$crate::cpu::simd::Avx512>::new(), $($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Isa::Avx2 => {
                    assert!(isa.available(), "the machine has no AVX2");
                    // SAFETY: the machine has the features, as just checked.
                    unsafe { avx2(<$crate::cpu::simd::Avx2>::new(), $($arg),*) }
                }
                _ => $kernel($crate::cpu::simd::Portable, $($arg),*),
            }
        }
    };
}
pub(crate) use entry;
