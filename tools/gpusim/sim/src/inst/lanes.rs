//! Lane-by-lane instructions from closures.

use super::{Flow, Inst, Run};
use crate::exec::Exec;

/// A lane's value. Narrow values lie zero-extended in a 32-bit slot.
pub(crate) trait Elem: Copy + Default + 'static {
    /// The unsigned integer a slot holds: u32 or u64.
    type Bits: Copy;
    fn from_bits(bits: Self::Bits) -> Self;
    fn to_bits(self) -> Self::Bits;
    fn slot(x: &Exec, reg: super::Reg) -> *mut [Self::Bits; 32];
}

macro_rules! elem {
    ($($t:ty, $bits:ty, $slot:ident, |$from:ident| $value:expr, |$to:ident| $raw:expr;)*) => {$(
        impl Elem for $t {
            type Bits = $bits;
            #[inline(always)]
            fn from_bits($from: $bits) -> $t { $value }
            #[inline(always)]
            fn to_bits(self) -> $bits { let $to = self; $raw }
            #[inline(always)]
            fn slot(x: &Exec, reg: super::Reg) -> *mut [$bits; 32] { x.$slot(reg) }
        }
    )*};
}

elem! {
    u8, u32, slot32, |b| b as u8, |v| v as u32;
    i8, u32, slot32, |b| b as i8, |v| v as u8 as u32;
    u16, u32, slot32, |b| b as u16, |v| v as u32;
    i16, u32, slot32, |b| b as i16, |v| v as u16 as u32;
    u32, u32, slot32, |b| b, |v| v;
    i32, u32, slot32, |b| b as i32, |v| v as u32;
    f32, u32, slot32, |b| f32::from_bits(b), |v| v.to_bits();
    u64, u64, slot64, |b| b, |v| v;
    i64, u64, slot64, |b| b as i64, |v| v as u64;
    f64, u64, slot64, |b| f64::from_bits(b), |v| v.to_bits();
}

/// Whether the functions compiled for AVX-512 may run.
pub(super) fn wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("lzcnt")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// A closure that captures nothing, out of its type.
#[inline(always)]
fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "a lane function captures nothing") };
    // SAFETY: F has no bytes, and a value of it exists: the callers of `map…` were given one.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $map:ident, $plain:ident, $wide:ident, ($($T:ident $v:ident $field:ident),*);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $map<$($T: Elem,)* D: Elem, F: Fn($($T),*) -> D + Copy + 'static>(_f: F) -> Run {
            #[inline(always)]
            fn body<$($T: Elem,)* D: Elem, F: Fn($($T),*) -> D + Copy>(x: &mut Exec, i: &Inst) -> Flow {
                let f = conjure::<F>();
                $(let $v = x.read::<$T>(i.$field);)*
                let mut d = [D::default(); 32];
                for lane in 0..32 {
                    d[lane] = f($($v[lane]),*);
                }
                x.write(i.d, &d);
                Flow::Next
            }
            fn $plain<$($T: Elem,)* D: Elem, F: Fn($($T),*) -> D + Copy>(x: &mut Exec, i: &Inst) -> Flow {
                body::<$($T,)* D, F>(x, i)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,fma,f16c,bmi2,popcnt,lzcnt")]
            fn $wide<$($T: Elem,)* D: Elem, F: Fn($($T),*) -> D + Copy>(x: &mut Exec, i: &Inst) -> Flow {
                body::<$($T,)* D, F>(x, i)
            }
            #[cfg(target_arch = "x86_64")]
            if wide() {
                return $wide::<$($T,)* D, F>;
            }
            $plain::<$($T,)* D, F>
        }
    )*};
}

shapes! {
    /// `d = f(a)`.
    map1, plain1, wide1, (A a a);
    /// `d = f(a, b)`.
    map2, plain2, wide2, (A a a, B b b);
    /// `d = f(a, b, c)`.
    map3, plain3, wide3, (A a a, B b b, C c c);
    /// `d = f(a, b, c, e)`.
    map4, plain4, wide4, (A a a, B b b, C c c, E e e);
}

/// A predicate from `f(a, b)`, combined as `setp` does: `d = f op c`, and the second destination, in `e`, is
/// `!f op c`. `aux` holds the combination: 0 none, 1 and, 2 or, 3 xor.
pub(crate) fn test2<A: Elem, B: Elem, F: Fn(A, B) -> bool + Copy + 'static>(_f: F) -> Run {
    #[inline(always)]
    fn body<A: Elem, B: Elem, F: Fn(A, B) -> bool + Copy>(
        x: &mut Exec,
        i: &Inst,
        pack: impl Fn(&[u8; 32]) -> u32,
    ) -> Flow {
        let f = conjure::<F>();
        let (a, b) = (x.read::<A>(i.a), x.read::<B>(i.b));
        let mut holds = [0u8; 32];
        for lane in 0..32 {
            holds[lane] = if f(a[lane], b[lane]) { u8::MAX } else { 0 };
        }
        x.write_test(i, pack(&holds));
        Flow::Next
    }
    fn plain<A: Elem, B: Elem, F: Fn(A, B) -> bool + Copy>(x: &mut Exec, i: &Inst) -> Flow {
        let pack = |holds: &[u8; 32]| {
            let bit = |lane: usize| u32::from(holds[lane] & 1) << lane;
            (0..32).fold(0, |bits, lane| bits | bit(lane))
        };
        body::<A, B, F>(x, i, pack)
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,fma,f16c,bmi2,popcnt,lzcnt")]
    fn wide2<A: Elem, B: Elem, F: Fn(A, B) -> bool + Copy>(x: &mut Exec, i: &Inst) -> Flow {
        use std::arch::x86_64::{_mm256_loadu_si256, _mm256_movepi8_mask};
        // The compiler does not find this instruction by itself, and would shift lane by lane.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        #[inline]
        fn pack(holds: &[u8; 32]) -> u32 {
            // SAFETY: 32 bytes are there.
            _mm256_movepi8_mask(unsafe { _mm256_loadu_si256(holds.as_ptr().cast()) })
        }
        body::<A, B, F>(
            x,
            i,
            #[inline(always)]
            |holds| pack(holds),
        )
    }
    #[cfg(target_arch = "x86_64")]
    if wide() {
        return wide2::<A, B, F>;
    }
    plain::<A, B, F>
}

/// The lanes of `values` that `from` names, each below 32.
#[inline(always)]
fn gather(values: &[u32; 32], from: &[u32; 32]) -> [u32; 32] {
    let mut d = [0u32; 32];
    for lane in 0..32 {
        d[lane] = values[from[lane] as usize & 31];
    }
    d
}

/// The same with AVX-512, which has an instruction for it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn gather_wide(values: &[u32; 32], from: &[u32; 32]) -> [u32; 32] {
    use std::arch::x86_64::{_mm512_loadu_si512, _mm512_permutex2var_epi32, _mm512_storeu_si512};
    let mut d = [0u32; 32];
    // SAFETY: each array has twice 64 bytes.
    unsafe {
        let (low, high) =
            (_mm512_loadu_si512(values.as_ptr().cast()), _mm512_loadu_si512(values[16..].as_ptr().cast()));
        for half in [0, 16] {
            let from = _mm512_loadu_si512(from[half..].as_ptr().cast());
            _mm512_storeu_si512(d[half..].as_mut_ptr().cast(), _mm512_permutex2var_epi32(low, from, high));
        }
    }
    d
}

/// An instruction whose destination has the lanes of `a` that a table names. `f` gives the table, or what to return;
/// it also writes the other destinations.
pub(super) fn permuting<F>(_f: F) -> Run
where
    F: Fn(&mut Exec, &Inst) -> Result<[u32; 32], Flow> + Copy + 'static,
{
    fn plain<F: Fn(&mut Exec, &Inst) -> Result<[u32; 32], Flow> + Copy>(x: &mut Exec, i: &Inst) -> Flow {
        let a = x.read::<u32>(i.a);
        match conjure::<F>()(x, i) {
            Ok(from) => x.write(i.d, &gather(&a, &from)),
            Err(flow) => return flow,
        }
        x.shuffled(i.d)
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,fma,f16c,bmi2,popcnt,lzcnt")]
    fn wide_run<F: Fn(&mut Exec, &Inst) -> Result<[u32; 32], Flow> + Copy>(x: &mut Exec, i: &Inst) -> Flow {
        let a = x.read::<u32>(i.a);
        match conjure::<F>()(x, i) {
            Ok(from) => x.write(i.d, &gather_wide(&a, &from)),
            Err(flow) => return flow,
        }
        x.shuffled(i.d)
    }
    #[cfg(target_arch = "x86_64")]
    if wide() {
        return wide_run::<F>;
    }
    plain::<F>
}

/// Four words of each lane, taken apart by number. Compilers do not find the shuffles.
#[inline(always)]
pub(super) fn apart4(block: &[[u32; 4]; 32]) -> [[u32; 32]; 4] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: asked just now.
        return unsafe { apart4_wide(block) };
    }
    std::array::from_fn(|n| std::array::from_fn(|lane| block[lane][n]))
}

/// The other way round.
#[inline(always)]
pub(super) fn together4(words: &[[u32; 32]; 4]) -> [[u32; 4]; 32] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: asked just now.
        return unsafe { together4_wide(words) };
    }
    std::array::from_fn(|lane| std::array::from_fn(|n| words[n][lane]))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn apart4_wide(block: &[[u32; 4]; 32]) -> [[u32; 32]; 4] {
    use std::arch::x86_64::{
        _mm512_castsi512_si256, _mm512_inserti64x4, _mm512_loadu_si512, _mm512_permutex2var_epi32,
        _mm512_storeu_si512,
    };
    let mut words = [[0u32; 32]; 4];
    for n in 0..4 {
        let pick: [u32; 16] = std::array::from_fn(|p| (4 * (p as u32 % 8) + n as u32) & 31);
        for half in 0..2 {
            // SAFETY: a vector is four lanes of the block; a half of the words is one vector.
            unsafe {
                let load = |k: usize| _mm512_loadu_si512(block[16 * half + 4 * k..][..4].as_ptr().cast());
                let pick = _mm512_loadu_si512(pick.as_ptr().cast());
                let low = _mm512_permutex2var_epi32(load(0), pick, load(1));
                let high = _mm512_permutex2var_epi32(load(2), pick, load(3));
                let both = _mm512_inserti64x4(low, _mm512_castsi512_si256(high), 1);
                _mm512_storeu_si512(words[n][16 * half..][..16].as_mut_ptr().cast(), both);
            }
        }
    }
    words
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn together4_wide(words: &[[u32; 32]; 4]) -> [[u32; 4]; 32] {
    use std::arch::x86_64::{
        _mm512_loadu_si512, _mm512_mask_blend_epi32, _mm512_permutex2var_epi32, _mm512_storeu_si512,
    };
    let mut block = [[0u32; 4]; 32];
    for k in 0..8 {
        // Word p of the vector is of lane 4k + p / 4: of the first of a pair of registers, or the second.
        let pick: [u32; 16] =
            std::array::from_fn(|p| 4 * (k as u32 % 4) + p as u32 / 4 + 16 * (p as u32 & 1));
        // SAFETY: as above.
        unsafe {
            let load = |n: usize| _mm512_loadu_si512(words[n][k / 4 * 16..][..16].as_ptr().cast());
            let pick = _mm512_loadu_si512(pick.as_ptr().cast());
            let first = _mm512_permutex2var_epi32(load(0), pick, load(1));
            let second = _mm512_permutex2var_epi32(load(2), pick, load(3));
            let both = _mm512_mask_blend_epi32(0xCCCC, first, second);
            _mm512_storeu_si512(block[4 * k..][..4].as_mut_ptr().cast(), both);
        }
    }
    block
}

/// One bit for each byte that is not 0; the bytes are 0 or 255.
#[inline(always)]
pub(super) fn pack(holds: &[u8; 32]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: asked just now.
        return unsafe { pack_wide(holds) };
    }
    (0..32).fold(0, |bits, lane| bits | u32::from(holds[lane] & 1) << lane)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn pack_wide(holds: &[u8; 32]) -> u32 {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm256_movemask_epi8};
    // SAFETY: 32 bytes are there.
    unsafe { _mm256_movemask_epi8(_mm256_loadu_si256(holds.as_ptr().cast())) as u32 }
}

/// See [`super::vectorised`].
pub(super) fn vectorised<F: Fn(&mut Exec, &Inst) -> Flow + Copy + 'static>(_f: F) -> Run {
    fn plain<F: Fn(&mut Exec, &Inst) -> Flow + Copy>(x: &mut Exec, i: &Inst) -> Flow {
        conjure::<F>()(x, i)
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,fma,f16c,bmi2,popcnt,lzcnt")]
    fn wide_run<F: Fn(&mut Exec, &Inst) -> Flow + Copy>(x: &mut Exec, i: &Inst) -> Flow {
        conjure::<F>()(x, i)
    }
    #[cfg(target_arch = "x86_64")]
    if wide() {
        return wide_run::<F>;
    }
    plain::<F>
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_words_of_each_lane_come_apart_and_together_again() {
        let block: [[u32; 4]; 32] =
            std::array::from_fn(|lane| std::array::from_fn(|n| (4 * lane + n) as u32));
        let words = apart4(&block);
        for (n, of) in words.iter().enumerate() {
            assert_eq!(*of, std::array::from_fn(|lane| (4 * lane + n) as u32));
        }
        assert_eq!(together4(&words), block);
    }

    #[test]
    fn bytes_pack_to_their_bits() {
        for bits in [0u32, 1, 0x8000_0000, 0xdead_beef, u32::MAX] {
            let holds = std::array::from_fn(|lane| if bits >> lane & 1 != 0 { u8::MAX } else { 0 });
            assert_eq!(pack(&holds), bits);
        }
    }
}
