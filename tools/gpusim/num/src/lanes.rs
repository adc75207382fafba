//! The operations that fill inner loops, over the 32 lanes of a warp.
//!
//! One portable body per operation, compiled for AVX-512, AVX2 with FMA, and the baseline; the processor picks at run time.
//! Without fused multiply-add in hardware `fma` is right but slow.

use crate::Rounding;
use crate::f32::{canonical, flush};
use crate::format::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use crate::half::{Half, Modifiers};

/// A 32-bit register of a warp.
pub type Lanes = [u32; 32];

macro_rules! vectorised {
    ($(#[$doc:meta])* $name:ident<$(const $flag:ident),*>($($arg:ident: $ty:ty),*) -> $out:ty $body:block) => {
        $(#[$doc])*
        #[inline]
        pub fn $name<$(const $flag: bool),*>($($arg: $ty),*) -> $out {
            #[inline(always)]
            fn body<$(const $flag: bool),*>($($arg: $ty),*) -> $out $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
                fn avx512<$(const $flag: bool),*>($($arg: $ty),*) -> $out { body::<$($flag),*>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$(const $flag: bool),*>($($arg: $ty),*) -> $out { body::<$($flag),*>($($arg),*) }
                match $crate::lanes::level() {
                    // SAFETY: level() reports 2 only where the processor has these features.
                    2 => return unsafe { avx512::<$($flag),*>($($arg),*) },
                    // SAFETY: likewise for 1.
                    1 => return unsafe { avx2::<$($flag),*>($($arg),*) },
                    _ => {}
                }
            }
            body::<$($flag),*>($($arg),*)
        }
    };
}

pub(crate) use vectorised;

/// 2 with AVX-512 (F, BW, VL, DQ), 1 with AVX2 and FMA, 0 otherwise. The detection is cached by the standard library.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn level() -> u8 {
    use std::arch::is_x86_feature_detected as has;
    if has!("avx2") && has!("fma") {
        if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") { 2 } else { 1 }
    } else {
        0
    }
}

#[inline(always)]
fn input<const FTZ: bool>(x: u32) -> f32 {
    f32::from_bits(if FTZ { flush(x) } else { x })
}

#[inline(always)]
fn output<const FTZ: bool, const SAT: bool>(x: f32) -> u32 {
    let bits = canonical(x.to_bits());
    let bits = if FTZ { flush(bits) } else { bits };
    if !SAT {
        bits
    } else if bits >= 0x8000_0000 || bits > 0x7f80_0000 {
        0
    } else {
        bits.min(0x3f80_0000)
    }
}

vectorised! {
    /// `add.rn{.ftz}{.sat}.f32`.
    add_f32<const FTZ, const SAT>(a: &Lanes, b: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            d[i] = output::<FTZ, SAT>(input::<FTZ>(a[i]) + input::<FTZ>(b[i]));
        }
    }
}

vectorised! {
    /// `sub.rn{.ftz}{.sat}.f32`.
    sub_f32<const FTZ, const SAT>(a: &Lanes, b: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            d[i] = output::<FTZ, SAT>(input::<FTZ>(a[i]) - input::<FTZ>(b[i]));
        }
    }
}

vectorised! {
    /// `mul.rn{.ftz}{.sat}.f32`.
    mul_f32<const FTZ, const SAT>(a: &Lanes, b: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            d[i] = output::<FTZ, SAT>(input::<FTZ>(a[i]) * input::<FTZ>(b[i]));
        }
    }
}

vectorised! {
    /// `fma.rn{.ftz}{.sat}.f32`.
    fma_f32<const FTZ, const SAT>(a: &Lanes, b: &Lanes, c: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            d[i] = output::<FTZ, SAT>(input::<FTZ>(a[i]).mul_add(input::<FTZ>(b[i]), input::<FTZ>(c[i])));
        }
    }
}

vectorised! {
    /// `div.rn{.ftz}.f32`.
    div_f32<const FTZ>(a: &Lanes, b: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            d[i] = output::<FTZ, false>(input::<FTZ>(a[i]) / input::<FTZ>(b[i]));
        }
    }
}

vectorised! {
    /// `sqrt.rn{.ftz}.f32`.
    sqrt_f32<const FTZ>(a: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            d[i] = output::<FTZ, false>(input::<FTZ>(a[i]).sqrt());
        }
    }
}

/// As signed integers these keys order as the floats do, -0 before +0.
#[inline(always)]
fn order(bits: u32) -> i32 {
    bits as i32 ^ ((bits as i32 >> 31) as u32 >> 1) as i32
}

#[inline(always)]
fn is_nan(bits: u32) -> bool {
    bits & 0x7fff_ffff > 0x7f80_0000
}

vectorised! {
    /// `min{.ftz}{.NaN}.f32` or, with `MAX`, `max`.
    minmax_f32<const MAX, const FTZ, const NAN>(a: &Lanes, b: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            let (x, y) = if FTZ { (flush(a[i]), flush(b[i])) } else { (a[i], b[i]) };
            let picked = if (order(x) < order(y)) != MAX { x } else { y };
            let picked = if is_nan(x) { y } else { picked };
            let picked = if is_nan(y) { x } else { picked };
            let invalid = if NAN { is_nan(x) | is_nan(y) } else { is_nan(x) & is_nan(y) };
            d[i] = if invalid { crate::f32::NAN } else { picked };
        }
    }
}

vectorised! {
    /// `cvt.rn.f16x2.f32 d, a, b`, or with `BF16` `cvt.rn.bf16x2.f32`: `a` in the upper half.
    pack_half<const BF16>(a: &Lanes, b: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            let (x, y) = (f32::from_bits(a[i]), f32::from_bits(b[i]));
            let (hi, lo) = if BF16 { (f32_to_bf16(x), f32_to_bf16(y)) } else { (f32_to_f16(x), f32_to_f16(y)) };
            d[i] = u32::from(hi) << 16 | u32::from(lo);
        }
    }
}

vectorised! {
    /// The lower (or with `HIGH` the upper) f16 or bf16 of each register as f32 patterns.
    widen_half<const BF16, const HIGH>(a: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            let h = if HIGH { (a[i] >> 16) as u16 } else { a[i] as u16 };
            d[i] = if BF16 { bf16_to_f32(h) } else { f16_to_f32(h) }.to_bits();
        }
    }
}

vectorised! {
    /// `cvt.{rni,rzi,rmi,rpi}{.ftz}.{s32,u32}.f32`, the modes given as rn, rz, rm, rp. Clamps; NaN gives 0.
    f32_to_int<const SIGNED, const FTZ>(a: &Lanes, mode: Rounding, d: &mut Lanes) -> () {
        let cast = |x: f32| if SIGNED { x as i32 as u32 } else { x as u32 };
        let each = |x: u32| input::<FTZ>(x);
        match mode {
            Rounding::Rz => (0..32).for_each(|i| d[i] = cast(each(a[i]))),
            Rounding::Rm => (0..32).for_each(|i| d[i] = cast(each(a[i]).floor())),
            Rounding::Rp => (0..32).for_each(|i| d[i] = cast(each(a[i]).ceil())),
            Rounding::Rna => (0..32).for_each(|i| d[i] = cast(each(a[i]).round())),
            Rounding::Rn | Rounding::Rs { .. } => (0..32).for_each(|i| d[i] = cast(each(a[i]).round_ties_even())),
        }
    }
}

vectorised! {
    /// `cvt.rn.f32.{s32,u32}`.
    int_to_f32<const SIGNED>(a: &Lanes, d: &mut Lanes) -> () {
        for i in 0..32 {
            d[i] = if SIGNED { a[i] as i32 as f32 } else { a[i] as f32 }.to_bits();
        }
    }
}

/// A two-operand instruction on packed halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half2 {
    /// `add`.
    Add,
    /// `sub`.
    Sub,
    /// `mul`.
    Mul,
}

#[inline(always)]
fn each(x: u32, y: u32, f: impl Fn(u16, u16) -> u16) -> u32 {
    u32::from(f((x >> 16) as u16, (y >> 16) as u16)) << 16 | u32::from(f(x as u16, y as u16))
}

vectorised! {
    /// `add`, `sub` or `mul` of f16x2, or with `BF16` of bf16x2.
    half2<const BF16>(op: Half2, a: &Lanes, b: &Lanes, d: &mut Lanes, m: Modifiers) -> () {
        // The plain case apart, so that its loops are free of the modifiers' branches.
        if m == Modifiers::default() { half2_loop::<BF16>(op, a, b, d, Modifiers::default()) } else { half2_loop::<BF16>(op, a, b, d, m) }
    }
}

#[inline(always)]
fn half2_loop<const BF16: bool>(op: Half2, a: &Lanes, b: &Lanes, d: &mut Lanes, m: Modifiers) {
    let half = if BF16 { Half::Bf16 } else { Half::F16 };
    match op {
        Half2::Add => (0..32).for_each(|i| d[i] = each(a[i], b[i], |x, y| half.add(x, y, m))),
        Half2::Sub => (0..32).for_each(|i| d[i] = each(a[i], b[i], |x, y| half.sub(x, y, m))),
        Half2::Mul => (0..32).for_each(|i| d[i] = each(a[i], b[i], |x, y| half.mul(x, y, m))),
    }
}

vectorised! {
    /// `fma` of f16x2, or with `BF16` of bf16x2.
    fma_half2<const BF16>(a: &Lanes, b: &Lanes, c: &Lanes, d: &mut Lanes, m: Modifiers) -> () {
        if m == Modifiers::default() { fma_loop::<BF16>(a, b, c, d, Modifiers::default()) } else { fma_loop::<BF16>(a, b, c, d, m) }
    }
}

#[inline(always)]
fn fma_loop<const BF16: bool>(a: &Lanes, b: &Lanes, c: &Lanes, d: &mut Lanes, m: Modifiers) {
    let half = if BF16 { Half::Bf16 } else { Half::F16 };
    for i in 0..32 {
        let low = half.fma(a[i] as u16, b[i] as u16, c[i] as u16, m);
        let high = half.fma((a[i] >> 16) as u16, (b[i] >> 16) as u16, (c[i] >> 16) as u16, m);
        d[i] = u32::from(high) << 16 | u32::from(low);
    }
}
