//! Approximate functions against values from arbitrary-precision arithmetic, PTX's tables, and PTX's error bounds.

use gpusim_num::Rounding;
use gpusim_num::approx::{self, Bound, Modifiers, bounds};
use gpusim_num::format::Format;
use gpusim_num::half::Half;
use gpusim_num::lanes::Lanes;

type Unary = fn(u32, Modifiers) -> u32;
type HalfUnary = fn(Half, u16, Modifiers) -> u16;
type Exact = fn(f64) -> f64;

const FUNCTIONS: [(&str, Unary); 8] = [
    ("rcp", approx::rcp),
    ("sqrt", approx::sqrt),
    ("rsqrt", approx::rsqrt),
    ("sin", approx::sin),
    ("cos", approx::cos),
    ("ex2", approx::ex2),
    ("lg2", approx::lg2),
    ("tanh", approx::tanh),
];

const PLAIN: Modifiers = Modifiers { ftz: false, perturb: None };
const INF: u32 = 0x7f80_0000;
const NAN: u32 = 0x7fff_ffff;
const ONE: u32 = 0x3f80_0000;
const MINUS: u32 = 1 << 31;

/// Pairs of operand and correctly rounded result.
fn vectors(name: &str) -> Vec<(u32, u32)> {
    let all: serde_json::Value = serde_json::from_str(include_str!("data/approx.json")).unwrap();
    let list: Vec<u32> = all[name].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect();
    list.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

#[test]
fn results_are_correctly_rounded() {
    for (name, function) in FUNCTIONS {
        let cases = vectors(name);
        assert!(cases.len() >= 200);
        for (a, want) in cases {
            let got = function(a, PLAIN);
            assert_eq!(got, want, "{name}({:e}) = {:e}", f32::from_bits(a), f32::from_bits(want));
        }
    }
}

#[test]
fn special_operands_give_what_the_ptx_tables_say() {
    let cases: [(Unary, &[(u32, u32)]); 8] = [
        (
            approx::rcp,
            &[(INF | MINUS, MINUS), (INF, 0), (0, INF), (MINUS, INF | MINUS), (1, INF), (NAN, NAN)],
        ),
        (
            approx::sqrt,
            &[(INF | MINUS, NAN), (ONE | MINUS, NAN), (MINUS, MINUS), (0, 0), (INF, INF), (NAN, NAN)],
        ),
        (
            approx::rsqrt,
            &[(INF | MINUS, NAN), (ONE | MINUS, NAN), (MINUS, INF | MINUS), (0, INF), (INF, 0), (NAN, NAN)],
        ),
        (approx::sin, &[(INF | MINUS, NAN), (MINUS, MINUS), (0, 0), (INF, NAN), (NAN, NAN)]),
        (approx::cos, &[(INF | MINUS, NAN), (MINUS, ONE), (0, ONE), (INF, NAN), (NAN, NAN)]),
        (
            approx::lg2,
            &[
                (INF | MINUS, NAN),
                (ONE | MINUS, NAN),
                (MINUS, INF | MINUS),
                (0, INF | MINUS),
                (INF, INF),
                (NAN, NAN),
            ],
        ),
        (approx::ex2, &[(INF | MINUS, 0), (MINUS, ONE), (0, ONE), (INF, INF), (NAN, NAN)]),
        (approx::tanh, &[(INF | MINUS, ONE | MINUS), (MINUS, MINUS), (0, 0), (INF, ONE), (NAN, NAN), (5, 5)]),
    ];
    for perturb in [None, Some(1), Some(99)] {
        for (function, table) in cases {
            for &(a, want) in table {
                assert_eq!(
                    function(a, Modifiers { ftz: false, perturb }),
                    want,
                    "{a:#x}, perturbation {perturb:?}"
                );
            }
        }
    }
}

#[test]
fn ftz_flushes_subnormal_operands_and_results() {
    let ftz = Modifiers { ftz: true, perturb: None };
    assert_eq!(approx::rcp(1, ftz), INF);
    assert_eq!(approx::rcp(MINUS | 1, ftz), INF | MINUS);
    assert_eq!(approx::rcp(0x7f00_0000 | 1, ftz), 0);
    assert_eq!(
        approx::rcp(0x7f00_0001, PLAIN),
        0x003f_ffff + u32::from(1.0 / f32::from_bits(0x7f00_0001) > f32::from_bits(0x003f_ffff))
    );
    assert_eq!(approx::lg2(1, ftz), INF | MINUS);
    assert_eq!(approx::lg2(1, PLAIN), (-149f32).to_bits());
    assert_eq!(approx::ex2((-130f32).to_bits(), ftz), 0);
    assert_eq!(approx::ex2((-130f32).to_bits(), PLAIN), 1 << 19);
    assert_eq!(approx::sqrt(1, ftz), 0);
    assert_eq!(approx::rsqrt(1, ftz), INF);
    assert_eq!(approx::sin(MINUS | 7, ftz), MINUS);
}

#[test]
fn div_approx_loses_divisors_beyond_2_to_126() {
    let div = |x: f32, y: f32| f32::from_bits(approx::div(x.to_bits(), y.to_bits(), PLAIN));
    assert_eq!(div(1.0, 3.0), 1.0 / 3.0);
    assert_eq!(div(6.0, 2f32.powi(126)), 6.0 * 2f32.powi(-126));
    assert_eq!(div(1e38, 1.5 * 2f32.powi(126)).to_bits(), 0);
    assert_eq!(div(-1e38, 1.5 * 2f32.powi(126)).to_bits(), MINUS);
    assert!(div(f32::INFINITY, 1.5 * 2f32.powi(126)).is_nan());
    assert_eq!(div(1.0, f32::INFINITY), 0.0);
    let full = |x: f32, y: f32| f32::from_bits(approx::div_full(x.to_bits(), y.to_bits(), PLAIN));
    assert_eq!(full(1e38, 1.5 * 2f32.powi(126)), 1e38 / (1.5 * 2f32.powi(126)));
    assert!(full(0.0, 0.0).is_nan());
}

fn allowed(bound: Bound, exact: f64, nearest: f32) -> f64 {
    match bound {
        Bound::Ulp(n) => n * (f64::from(nearest.abs().next_up()) - f64::from(nearest.abs())),
        Bound::Relative(r) => r * exact.abs(),
        Bound::Absolute(a) => a,
        Bound::Unspecified => 0.0,
    }
}

#[test]
fn perturbed_results_stay_within_the_documented_bounds_and_do_move() {
    let exact: [(&str, Unary, Exact, Bound); 8] = [
        ("rcp", approx::rcp, |x| 1.0 / x, bounds::RCP),
        ("sqrt", approx::sqrt, f64::sqrt, bounds::SQRT),
        ("rsqrt", approx::rsqrt, |x| 1.0 / x.sqrt(), bounds::RSQRT),
        ("sin", approx::sin, f64::sin, bounds::SIN_COS_2PI),
        ("cos", approx::cos, f64::cos, bounds::SIN_COS_2PI),
        ("ex2", approx::ex2, f64::exp2, bounds::EX2),
        ("lg2", approx::lg2, f64::log2, bounds::LG2),
        ("tanh", approx::tanh, f64::tanh, bounds::TANH),
    ];
    for (name, function, value, bound) in exact {
        let (mut up, mut down) = (0, 0);
        for i in 0..20_000u64 {
            // Operands in (0.01, 6.25): all of the ranges with a stated bound.
            let x = (0.01 + i as f64 * 3.12e-4) as f32;
            let exact = value(x.into());
            let bound = if name == "lg2" && x > 0.5 && x < 2.0 { bounds::LG2_NEAR_ONE } else { bound };
            let plain = f32::from_bits(function(x.to_bits(), PLAIN));
            let got =
                |seed| f32::from_bits(function(x.to_bits(), Modifiers { ftz: false, perturb: Some(seed) }));
            let moved = got(i % 7);
            assert_eq!(moved.to_bits(), got(i % 7).to_bits());
            // Correct rounding alone may exceed a bound that is tighter than half an ulp: near a zero of sin, say.
            let slack = (f64::from(plain) - exact).abs();
            assert!(
                (f64::from(moved) - exact).abs() <= allowed(bound, exact, plain).max(slack),
                "{name}({x:e}) = {moved:e}"
            );
            assert!(!matches!(name, "sin" | "cos" | "tanh") || moved.abs() <= 1.0);
            up += u32::from(moved > plain);
            down += u32::from(moved < plain);
        }
        assert!(up > 1000 && down > 1000, "{name}: {up} up, {down} down");
    }
}

#[test]
fn half_precision_functions_are_correctly_rounded_and_move_within_bounds_for_every_operand() {
    for (half, format, ex2_bound, tanh_bound) in [
        (Half::F16, Format::F16, bounds::EX2_F16, bounds::TANH_F16),
        (Half::Bf16, Format::BF16, bounds::EX2_BF16, bounds::TANH_BF16),
    ] {
        for a in 0..=u16::MAX {
            let x = half.widen(a);
            let functions: [(HalfUnary, f64, Bound); 2] = [
                (approx::ex2_half, f64::from(x).exp2(), ex2_bound),
                (approx::tanh_half, f64::from(x).tanh(), tanh_bound),
            ];
            for (function, exact, bound) in functions {
                let plain = function(half, a, PLAIN);
                if x.is_nan() {
                    assert_eq!(plain, 0x7fff);
                    continue;
                }
                assert_eq!(u64::from(plain), format.encode(exact, Rounding::Rn, false), "{x:e} {half:?}");
                let moved = half.widen(function(half, a, Modifiers { ftz: false, perturb: Some(3) }));
                let near = half.widen(plain);
                if near.is_finite() {
                    let slack = (f64::from(near) - exact).abs();
                    assert!(
                        (f64::from(moved) - exact).abs() <= allowed(bound, exact, near).max(slack),
                        "{x:e} {half:?}"
                    );
                }
            }
        }
        let ftz = Modifiers { ftz: true, perturb: None };
        assert_eq!(approx::ex2_half(half, 0x8001, ftz), if half == Half::F16 { 0x3c00 } else { 0x3f80 });
    }
}

#[test]
fn lane_forms_equal_the_scalar_forms() {
    let mut bits = 12345u32;
    for _ in 0..5_000 {
        let mut a: Lanes = [0; 32];
        for x in &mut a {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *x = if bits & 0x100 == 0 { bits } else { 0x3c00_0000 + (bits >> 3) % 0x0800_0000 };
        }
        let ftz = Modifiers { ftz: true, perturb: None };
        let mut d = [[0; 32]; 6];
        approx::ex2_lanes::<false>(&a, &mut d[0]);
        approx::ex2_lanes::<true>(&a, &mut d[1]);
        approx::rcp_lanes::<false>(&a, &mut d[2]);
        approx::rcp_lanes::<true>(&a, &mut d[3]);
        approx::rsqrt_lanes::<false>(&a, &mut d[4]);
        approx::rsqrt_lanes::<true>(&a, &mut d[5]);
        for i in 0..32 {
            let x = a[i];
            let want = [
                approx::ex2(x, PLAIN),
                approx::ex2(x, ftz),
                approx::rcp(x, PLAIN),
                approx::rcp(x, ftz),
                approx::rsqrt(x, PLAIN),
                approx::rsqrt(x, ftz),
            ];
            assert_eq!([d[0][i], d[1][i], d[2][i], d[3][i], d[4][i], d[5][i]], want, "{x:#x}");
        }
    }
}
