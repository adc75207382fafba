//! f32 and f64 arithmetic against exact arithmetic: the result must be the one that the definition of the mode singles out.

mod common;

use common::{Big, MODES, Random, Signed, round_signed, rounded};
use gpusim_num::format::Format;
use gpusim_num::{Rounding, f32 as f32ops, f64 as f64ops};

/// What add, mul, fma give for finite operands, from the exact value; exact zeros by IEEE 754's sign rules.
fn sum_expected(product: &Signed, addend: &Signed, format: &Format, mode: Rounding) -> u64 {
    let sum = product.plus(addend);
    if sum.big.is_zero() {
        let neg = if product.neg == addend.neg { product.neg } else { mode == Rounding::Rm };
        return u64::from(neg) << (format.bits() - 1);
    }
    round_signed(&sum, format, mode)
}

fn product_expected(product: &Signed, format: &Format, mode: Rounding) -> u64 {
    if product.big.is_zero() {
        return u64::from(product.neg) << (format.bits() - 1);
    }
    round_signed(product, format, mode)
}

fn quotient_expected(a: &Signed, b: &Signed, format: &Format, mode: Rounding) -> u64 {
    let neg = a.neg != b.neg;
    match (a.big.is_zero(), b.big.is_zero()) {
        (true, _) => u64::from(neg) << (format.bits() - 1),
        (_, true) => u64::from(neg) << (format.bits() - 1) | format.infinity(),
        _ => rounded(neg, format, mode, |candidate| candidate.times(&b.big).compare(&a.big)),
    }
}

fn root_expected(a: &Signed, format: &Format, mode: Rounding) -> u64 {
    if a.big.is_zero() {
        return u64::from(a.neg) << (format.bits() - 1);
    }
    rounded(false, format, mode, |candidate: &Big| candidate.times(candidate).compare(&a.big))
}

type Operation = fn(u64, u64, u64, Rounding) -> u64;

/// add, sub, mul, fma, div, rcp, sqrt
fn check(format: &Format, operations: [Operation; 7], cases: u64, seed: u64) {
    let mut random = Random(seed);
    let one = Signed::of_f64(1.0);
    let mut tested = 0;
    while tested < cases {
        let [a, mut b, mut c] = [0; 3].map(|_| random.pattern(format));
        match random.below(4) {
            // Cancellation: the addend close to the negated product, or the operands close to each other.
            0 => {
                let product = -(format.decode(a) * format.decode(b));
                let close = format.encode(product, Rounding::Rn, true);
                c = close.wrapping_add(random.below(5)).wrapping_sub(2);
            }
            1 => b = (a ^ 1 << (format.bits() - 1)).wrapping_add(random.below(3)),
            _ => {}
        }
        let [x, y, z] = [a, b, c].map(|v| format.decode(v));
        if !(x.is_finite() && y.is_finite() && z.is_finite()) {
            continue;
        }
        tested += 1;
        let [sa, sb, sc] = [x, y, z].map(Signed::of_f64);
        let minus_b = Signed { neg: !sb.neg, ..sb.clone() };
        for mode in MODES {
            let expected = [
                sum_expected(&sa, &sb, format, mode),
                sum_expected(&sa, &minus_b, format, mode),
                product_expected(&sa.times(&sb), format, mode),
                sum_expected(&sa.times(&sb), &sc, format, mode),
            ];
            for (i, want) in expected.into_iter().enumerate() {
                let got = operations[i](a, b, c, mode);
                assert_eq!(
                    got, want,
                    "operation {i} of {x:e} {y:e} {z:e} in {mode:?}: {got:#x}, not {want:#x}"
                );
            }
            if !(sa.big.is_zero() && sb.big.is_zero()) {
                let (got, want) = (operations[4](a, b, c, mode), quotient_expected(&sa, &sb, format, mode));
                assert_eq!(got, want, "{x:e} / {y:e} in {mode:?}");
            }
            let (got, want) = (operations[5](a, b, c, mode), quotient_expected(&one, &sa, format, mode));
            assert_eq!(got, want, "1 / {x:e} in {mode:?}");
            if x >= 0.0 {
                let (got, want) = (operations[6](a, b, c, mode), root_expected(&sa, format, mode));
                assert_eq!(got, want, "sqrt {x:e} in {mode:?}");
            }
        }
    }
}

fn plain(mode: Rounding) -> f32ops::Modifiers {
    f32ops::Modifiers::plain(mode)
}

#[test]
fn f32_results_are_correctly_rounded_in_every_mode() {
    let operations: [Operation; 7] = [
        |a, b, _, m| f32ops::add(a as u32, b as u32, plain(m)).into(),
        |a, b, _, m| f32ops::sub(a as u32, b as u32, plain(m)).into(),
        |a, b, _, m| f32ops::mul(a as u32, b as u32, plain(m)).into(),
        |a, b, c, m| f32ops::fma(a as u32, b as u32, c as u32, plain(m)).into(),
        |a, b, _, m| f32ops::div(a as u32, b as u32, plain(m)).into(),
        |a, _, _, m| f32ops::rcp(a as u32, plain(m)).into(),
        |a, _, _, m| f32ops::sqrt(a as u32, plain(m)).into(),
    ];
    check(&Format::F32, operations, 30_000, 1);
}

#[test]
fn f64_results_are_correctly_rounded_in_every_mode() {
    let operations: [Operation; 7] = [
        |a, b, _, m| f64ops::add(a, b, m),
        |a, b, _, m| f64ops::sub(a, b, m),
        |a, b, _, m| f64ops::mul(a, b, m),
        f64ops::fma,
        |a, b, _, m| f64ops::div(a, b, m),
        |a, _, _, m| f64ops::rcp(a, m),
        |a, _, _, m| f64ops::sqrt(a, m),
    ];
    check(&Format::F64, operations, 10_000, 2);
}

#[test]
fn f32_invalid_operations_and_nan_operands_give_the_canonical_nan() {
    const INF: u32 = 0x7f80_0000;
    for mode in MODES {
        let m = plain(mode);
        for nan in [0x7f80_0001, 0xffc0_0000, 0x7fff_ffff] {
            assert_eq!(f32ops::add(nan, 1, m), f32ops::NAN);
            assert_eq!(f32ops::mul(1, nan, m), f32ops::NAN);
            assert_eq!(f32ops::fma(1, 2, nan, m), f32ops::NAN);
            assert_eq!(f32ops::div(nan, 3, m), f32ops::NAN);
            assert_eq!(f32ops::sqrt(nan, m), f32ops::NAN);
        }
        assert_eq!(f32ops::sub(INF, INF, m), f32ops::NAN);
        assert_eq!(f32ops::mul(INF, 0, m), f32ops::NAN);
        assert_eq!(f32ops::fma(INF, 1f32.to_bits(), INF | 1 << 31, m), f32ops::NAN);
        assert_eq!(f32ops::div(0, 0, m), f32ops::NAN);
        assert_eq!(f32ops::div(INF, INF, m), f32ops::NAN);
        assert_eq!(f32ops::sqrt((-1f32).to_bits(), m), f32ops::NAN);
        assert_eq!(f32ops::sqrt(1 << 31, m), 1 << 31);
        assert_eq!(f32ops::add(INF, 1f32.to_bits(), m), INF);
        assert_eq!(f32ops::fma(INF, (-2f32).to_bits(), 5, m), INF | 1 << 31);
        assert_eq!(f32ops::div(1f32.to_bits(), INF | 1 << 31, m), 1 << 31);
        assert_eq!(f32ops::rcp(1 << 31, m), INF | 1 << 31);
        assert_eq!(f32ops::sqrt(INF, m), INF);
    }
}

#[test]
fn f64_nan_operands_keep_their_payload_and_become_quiet() {
    let (signalling, other) = (0x7ff0_0000_0000_1234, 0xfff8_0000_0000_5678);
    for mode in MODES {
        assert_eq!(f64ops::add(signalling, other, mode), 0x7ff8_0000_0000_1234);
        assert_eq!(f64ops::sub(0, other, mode), other);
        assert_eq!(f64ops::fma(0, other, signalling, mode), other);
        assert_eq!(f64ops::sqrt(signalling, mode), 0x7ff8_0000_0000_1234);
        assert_eq!(f64ops::mul(f64::INFINITY.to_bits(), 0, mode), f64ops::NAN);
        assert_eq!(f64ops::div(0, 1 << 63, mode), f64ops::NAN);
        assert_eq!(f64ops::div(1, 0, mode), f64::INFINITY.to_bits());
        assert_eq!(f64ops::sqrt((-0.0f64).to_bits(), mode), (-0.0f64).to_bits());
    }
}

#[test]
fn f32_ftz_flushes_subnormal_operands_and_results_and_keeps_their_sign() {
    for mode in MODES {
        let m = f32ops::Modifiers { mode, ftz: true, sat: false };
        let least_normal = 0x0080_0000;
        // Subnormal operands count as zeros.
        assert_eq!(f32ops::mul(0x007f_ffff, 0x7f00_0000, m), 0);
        assert_eq!(f32ops::mul(0x807f_ffff, 0x7f00_0000, m), 1 << 31);
        assert_eq!(f32ops::add(1, least_normal, m), least_normal);
        assert_eq!(f32ops::div(1f32.to_bits(), 0x8000_0001, m), 0xff80_0000);
        assert_eq!(f32ops::sqrt(0x8000_0001, m), 1 << 31);
        // Half of the least normal number is subnormal; the same negative.
        assert_eq!(f32ops::mul(least_normal, 0.5f32.to_bits(), m), 0);
        assert_eq!(f32ops::mul(least_normal, (-0.5f32).to_bits(), m), 1 << 31);
        assert_eq!(f32ops::sub(0x0080_0001, least_normal, m), 0);
        assert_eq!(f32ops::fma(least_normal, 0.5f32.to_bits(), 0, m), 0);
    }
}

#[test]
fn f32_sat_clamps_to_the_unit_interval_and_turns_nan_into_zero() {
    let m = f32ops::Modifiers { mode: Rounding::Rn, ftz: false, sat: true };
    let add = |a: f32, b: f32| f32::from_bits(f32ops::add(a.to_bits(), b.to_bits(), m));
    assert_eq!(add(0.25, 0.5), 0.75);
    assert_eq!(add(0.75, 0.5), 1.0);
    assert_eq!(add(f32::INFINITY, 0.5), 1.0);
    assert_eq!(add(-0.75, 0.5).to_bits(), 0);
    assert_eq!(add(-0.0, -0.0).to_bits(), 0);
    assert_eq!(add(f32::NAN, 0.5).to_bits(), 0);
    assert_eq!(add(f32::from_bits(3), 0.0).to_bits(), 3);
}

#[test]
fn mixed_operands_are_rounded_once() {
    // 1 + 2^-24 + 2^-30: the f16 operand is exact in f32, so that only the sum is rounded.
    let m = plain(Rounding::Rp);
    assert_eq!(f32ops::mixed_add(2f32.powi(-24), 1f32.to_bits(), m), 0x3f80_0001);
    assert_eq!(f32ops::mixed_sub(1.0, (2f32.powi(-30)).to_bits(), plain(Rounding::Rz)), 0x3f7f_ffff);
    assert_eq!(f32ops::mixed_fma(3.0, 5.0, 1f32.to_bits(), plain(Rounding::Rn)), 16f32.to_bits());
}

#[test]
fn f64_approximations_see_and_fill_the_upper_word_only() {
    let third = f64ops::rcp_approx_ftz(3f64.to_bits());
    assert_eq!(third & 0xffff_ffff, 0);
    assert!((f64::from_bits(third) * 3.0 - 1.0).abs() < 2f64.powi(-20));
    // The lower word of the operand does not matter.
    assert_eq!(f64ops::rcp_approx_ftz(3f64.to_bits() | 0xffff_ffff), third);
    assert_eq!(f64ops::rcp_approx_ftz(1), f64::INFINITY.to_bits());
    assert_eq!(f64ops::rcp_approx_ftz(1 << 63 | 1), f64::NEG_INFINITY.to_bits());
    assert_eq!(f64ops::rcp_approx_ftz(f64::MAX.to_bits()), 0);
    assert_eq!(f64ops::rcp_approx_ftz(f64::NAN.to_bits()), 0x7fff_ffff_0000_0000);
    assert_eq!(f64ops::rsqrt_approx_ftz(4f64.to_bits()), 0.5f64.to_bits());
    assert_eq!(f64ops::rsqrt_approx_ftz((-1f64).to_bits()), 0x7fff_ffff_0000_0000);
    assert_eq!(f64ops::rsqrt_approx_ftz(1 << 63), f64::NEG_INFINITY.to_bits());
    assert_eq!(f64ops::rsqrt_approx_ftz(7), f64::INFINITY.to_bits());
    assert_eq!(f64ops::rsqrt_approx(0.25f64.to_bits()), 2f64.to_bits());
}
