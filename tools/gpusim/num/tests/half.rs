//! f16 and bf16 arithmetic, min and max, classification, lanes.

mod common;

use common::{Random, Signed, round_signed};
use gpusim_num::classify::{self, Property};
use gpusim_num::format::Format;
use gpusim_num::half::{Half, Modifiers};
use gpusim_num::lanes::{self, Lanes};
use gpusim_num::minmax::{self, Modifiers as MinMax};
use gpusim_num::{Rounding, f32 as f32ops};

const HALVES: [(Half, Format); 2] = [(Half::F16, Format::F16), (Half::Bf16, Format::BF16)];
const PLAIN: Modifiers = Modifiers { ftz: false, sat: false, relu: false };

/// The one rounding of an exact sum, product or fused result; the sign of an exact zero as IEEE 754 has it.
fn expected(product: &Signed, addend: Option<&Signed>, f: &Format) -> u16 {
    let (sum, zero_neg) = match addend {
        Some(c) => (product.plus(c), product.neg && c.neg),
        None => (product.clone(), product.neg),
    };
    if sum.big.is_zero() { u16::from(zero_neg) << 15 } else { round_signed(&sum, f, Rounding::Rn) as u16 }
}

#[test]
fn sums_products_and_fused_products_are_rounded_once() {
    let mut random = Random(11);
    for (half, f) in HALVES {
        for round in 0..60_000 {
            let mut v = [0; 3].map(|_| random.pattern(&f) as u16);
            if round % 3 == 0 {
                // The addend cancels or straddles a tie of the product.
                let product = f.decode(v[0].into()) * f.decode(v[1].into());
                v[2] = (f.encode(-product, Rounding::Rn, true) as u16)
                    .wrapping_add(random.below(5) as u16)
                    .wrapping_sub(2);
            }
            let [a, b, c] = v;
            let values = v.map(|h| f.decode(h.into()));
            if values.iter().any(|x| !x.is_finite()) {
                continue;
            }
            let [x, y, z] = values.map(Signed::of_f64);
            let minus_y = Signed { neg: !y.neg, ..y.clone() };
            assert_eq!(half.add(a, b, PLAIN), expected(&x, Some(&y), &f), "{half:?} {a:#x} + {b:#x}");
            assert_eq!(half.sub(a, b, PLAIN), expected(&x, Some(&minus_y), &f), "{half:?} {a:#x} - {b:#x}");
            assert_eq!(half.mul(a, b, PLAIN), expected(&x.times(&y), None, &f), "{half:?} {a:#x} * {b:#x}");
            assert_eq!(
                half.fma(a, b, c, PLAIN),
                expected(&x.times(&y), Some(&z), &f),
                "{half:?} {a:#x} {b:#x} {c:#x}"
            );
        }
    }
}

#[test]
fn fused_products_near_a_tie_feel_the_smallest_addend() {
    // (1 + 2^-4)·(1 + 2^-4) etc. on a tie of bf16, with an addend 100 binary orders below.
    let tiny = Format::BF16.encode(2f64.powi(-100), Rounding::Rn, false) as u16;
    // 1.0078125 · 1.5 = 1.51171875 = 1 + 65.5/128: a tie.
    let (a, b) = (0x3f81, 0x3fc0);
    assert_eq!(Half::Bf16.mul(a, b, PLAIN), 0x3fc2);
    assert_eq!(Half::Bf16.fma(a, b, tiny, PLAIN), 0x3fc2);
    assert_eq!(Half::Bf16.fma(a, b, tiny | 0x8000, PLAIN), 0x3fc1);
    // f16: (1 + 2^-10)·1.5 = 1 + 513.5/1024: a tie; the even neighbour is above.
    assert_eq!(Half::F16.fma(0x3c01, 0x3e00, 0, PLAIN), 0x3e02);
    assert_eq!(Half::F16.fma(0x3c01, 0x3e00, 0x8001, PLAIN), 0x3e01);
}

#[test]
fn specials_and_modifiers_of_half_arithmetic() {
    for (half, f) in HALVES {
        let (inf, nan, one) = (f.infinity() as u16, 0x7fff, (f.bias() as u16) << f.man_bits);
        assert_eq!(half.add(inf, inf | 0x8000, PLAIN), nan);
        assert_eq!(half.mul(inf, 0, PLAIN), nan);
        assert_eq!(half.fma(one, inf, inf | 0x8000, PLAIN), nan);
        assert_eq!(half.add(0xffff, one, PLAIN), nan);
        assert_eq!(half.add(f.max_finite() as u16, f.max_finite() as u16, PLAIN), inf);
        assert_eq!(half.fma(f.max_finite() as u16, f.max_finite() as u16, one, PLAIN), inf);
        let sat = Modifiers { sat: true, ..PLAIN };
        assert_eq!(half.add(one, one, sat), one);
        assert_eq!(half.sub(0, one, sat), 0);
        assert_eq!(half.add(0x8000, 0x8000, sat), 0);
        assert_eq!(half.fma(nan, one, one, sat), 0);
        let relu = Modifiers { relu: true, ..PLAIN };
        assert_eq!(half.fma(one, one | 0x8000, 0, relu), 0);
        assert_eq!(half.fma(one, one, 0, relu), one);
        assert_eq!(half.fma(one, 0xffff, 0, relu), nan);
        let ftz = Modifiers { ftz: true, ..PLAIN };
        assert_eq!(half.add(1, 1, ftz), 0);
        assert_eq!(half.mul(0x8001, one, ftz), 0x8000);
        let least = 1u16 << f.man_bits;
        assert_eq!(half.sub(least + 1, least, ftz), 0);
        assert_eq!(half.sub(least + 1, least, PLAIN), 1);
    }
}

/// A total order of the values, -0 before +0, from the definition.
fn less(a: u64, b: u64, f: &Format) -> bool {
    let (x, y) = (f.decode(a), f.decode(b));
    x < y || x == y && x.is_sign_negative() && y.is_sign_positive()
}

#[test]
fn min_and_max_follow_the_ptx_pseudocode() {
    let mut random = Random(12);
    for f in [Format::F16, Format::BF16, Format::F32, Format::F64] {
        let sign = 1u64 << (f.bits() - 1);
        for _ in 0..40_000 {
            let (a, b) = (random.pattern(&f), random.pattern(&f));
            for choice in 0..8 {
                let m = MinMax { ftz: choice & 1 != 0, nan: choice & 2 != 0, xorsign_abs: choice & 4 != 0 };
                for is_max in [false, true] {
                    let flushed = |v: u64| {
                        let subnormal = f.decode(v).abs() < 2f64.powi(f.e_min());
                        if m.ftz && subnormal && !f.is_nan(v) && f.decode(v) != 0.0 { v & sign } else { v }
                    };
                    let (mut x, mut y) = (flushed(a), flushed(b));
                    let xorsign = (a & sign) ^ (b & sign);
                    if m.xorsign_abs {
                        (x, y) = (x & !sign, y & !sign);
                    }
                    let nan = f.magnitude();
                    let mut want = match (f.is_nan(x), f.is_nan(y)) {
                        (true, true) => nan,
                        (true, _) | (_, true) if m.nan => nan,
                        (true, _) => y,
                        (_, true) => x,
                        _ if less(x, y, &f) != is_max => x,
                        _ => y,
                    };
                    if m.xorsign_abs && !f.is_nan(want) {
                        want = want & !sign | xorsign;
                    }
                    let got = if is_max { minmax::max(a, b, &f, m) } else { minmax::min(a, b, &f, m) };
                    assert_eq!(got, want, "{a:#x} {b:#x} {m:?} max: {is_max}");
                }
            }
        }
    }
    let v = |x: f32| u64::from(x.to_bits());
    let m = MinMax::default();
    assert_eq!(minmax::min3(v(3.0), v(-2.0), v(7.0), &Format::F32, m), v(-2.0));
    assert_eq!(minmax::max3(v(3.0), v(f32::NAN), v(7.0), &Format::F32, m), v(7.0));
    assert_eq!(
        minmax::max3(v(3.0), v(f32::NAN), v(7.0), &Format::F32, MinMax { nan: true, ..m }),
        0x7fff_ffff
    );
    let xorsign = MinMax { xorsign_abs: true, ..m };
    assert_eq!(minmax::max3(v(-3.0), v(-2.0), v(-7.0), &Format::F32, xorsign), v(-7.0));
    assert_eq!(minmax::min3(v(-3.0), v(-2.0), v(7.0), &Format::F32, xorsign), v(2.0));
}

#[test]
fn classification_and_sign_operations() {
    let f = Format::F32;
    let v = |x: f32| u64::from(x.to_bits());
    for (x, subject) in [
        (0.0, [true, false, true, false, true, false]),
        (-1.5, [true, false, true, false, true, false]),
        (1e-40, [true, false, true, false, false, true]),
        (f32::NEG_INFINITY, [false, true, true, false, false, false]),
        (f32::NAN, [false, false, false, true, false, false]),
    ] {
        let properties = [
            Property::Finite,
            Property::Infinite,
            Property::Number,
            Property::NotANumber,
            Property::Normal,
            Property::Subnormal,
        ];
        assert_eq!(properties.map(|p| classify::testp(v(x), &f, p)), subject, "{x}");
    }
    assert_eq!(classify::copysign(v(-1.0), v(3.0), &f), v(-3.0));
    assert_eq!(classify::abs(v(-0.0), &f, false), 0);
    assert_eq!(classify::abs(0x8000_0001, &f, true), 0);
    assert_eq!(classify::neg(v(2.0), &f, false), v(-2.0));
    assert_eq!(classify::neg(1, &f, true), 1 << 31);
    assert_eq!(classify::neg(0x3c00, &Format::F16, false), 0xbc00);
}

fn registers(random: &mut Random, f: &Format) -> Lanes {
    std::array::from_fn(|_| {
        if f.bits() == 16 {
            (random.pattern(f) << 16 | random.pattern(f)) as u32
        } else {
            random.pattern(f) as u32
        }
    })
}

#[test]
fn f32_lanes_equal_the_scalar_operations() {
    let mut random = Random(13);
    macro_rules! compare {
        ($ftz:literal, $sat:literal, $a:ident, $b:ident, $c:ident) => {{
            let m = f32ops::Modifiers { mode: Rounding::Rn, ftz: $ftz, sat: $sat };
            let mut d = [[0u32; 32]; 4];
            lanes::add_f32::<$ftz, $sat>(&$a, &$b, &mut d[0]);
            lanes::sub_f32::<$ftz, $sat>(&$a, &$b, &mut d[1]);
            lanes::mul_f32::<$ftz, $sat>(&$a, &$b, &mut d[2]);
            lanes::fma_f32::<$ftz, $sat>(&$a, &$b, &$c, &mut d[3]);
            for i in 0..32 {
                let (x, y, z) = ($a[i], $b[i], $c[i]);
                let want = [
                    f32ops::add(x, y, m),
                    f32ops::sub(x, y, m),
                    f32ops::mul(x, y, m),
                    f32ops::fma(x, y, z, m),
                ];
                assert_eq!([d[0][i], d[1][i], d[2][i], d[3][i]], want, "{x:#x} {y:#x} {z:#x} {m:?}");
            }
        }};
    }
    for _ in 0..3_000 {
        let [a, b, c] = [0; 3].map(|_| registers(&mut random, &Format::F32));
        compare!(false, false, a, b, c);
        compare!(true, false, a, b, c);
        compare!(false, true, a, b, c);
        compare!(true, true, a, b, c);
        let mut d = [[0; 32]; 6];
        lanes::div_f32::<false>(&a, &b, &mut d[0]);
        lanes::sqrt_f32::<true>(&a, &mut d[1]);
        lanes::minmax_f32::<false, false, false>(&a, &b, &mut d[2]);
        lanes::minmax_f32::<true, true, false>(&a, &b, &mut d[3]);
        lanes::minmax_f32::<true, false, true>(&a, &b, &mut d[4]);
        lanes::minmax_f32::<false, true, true>(&a, &b, &mut d[5]);
        for i in 0..32 {
            let (x, y) = (a[i], b[i]);
            let (p, q, f) = (u64::from(x), u64::from(y), &Format::F32);
            let m = |ftz, nan| MinMax { ftz, nan, xorsign_abs: false };
            let want = [
                f32ops::div(x, y, f32ops::Modifiers::RN),
                f32ops::sqrt(x, f32ops::Modifiers::RN_FTZ),
                minmax::min(p, q, f, m(false, false)) as u32,
                minmax::max(p, q, f, m(true, false)) as u32,
                minmax::max(p, q, f, m(false, true)) as u32,
                minmax::min(p, q, f, m(true, true)) as u32,
            ];
            assert_eq!([d[0][i], d[1][i], d[2][i], d[3][i], d[4][i], d[5][i]], want, "{x:#x} {y:#x}");
        }
    }
}

#[test]
fn packed_half_lanes_equal_the_scalar_operations() {
    let mut random = Random(14);
    for round in 0..3_000 {
        let bf16 = round % 2 == 1;
        let (half, f) = HALVES[usize::from(bf16)];
        let [a, b, c] = [0; 3].map(|_| registers(&mut random, &f));
        let m = Modifiers { ftz: round % 3 == 0, sat: round % 5 == 0, relu: round % 7 == 0 };
        let mut d = [[0; 32]; 7];
        for (i, op) in [lanes::Half2::Add, lanes::Half2::Sub, lanes::Half2::Mul].into_iter().enumerate() {
            if bf16 {
                lanes::half2::<true>(op, &a, &b, &mut d[i], m)
            } else {
                lanes::half2::<false>(op, &a, &b, &mut d[i], m)
            }
        }
        let wide = registers(&mut random, &Format::F32);
        if bf16 {
            lanes::fma_half2::<true>(&a, &b, &c, &mut d[3], m);
            lanes::pack_half::<true>(&wide, &b, &mut d[4]);
            lanes::widen_half::<true, true>(&a, &mut d[5]);
            lanes::widen_half::<true, false>(&a, &mut d[6]);
        } else {
            lanes::fma_half2::<false>(&a, &b, &c, &mut d[3], m);
            lanes::pack_half::<false>(&wide, &b, &mut d[4]);
            lanes::widen_half::<false, true>(&a, &mut d[5]);
            lanes::widen_half::<false, false>(&a, &mut d[6]);
        }
        for i in 0..32 {
            let both = |g: &dyn Fn(u16, u16, u16) -> u16| {
                let (x, y, z) = (a[i], b[i], c[i]);
                let high = g((x >> 16) as u16, (y >> 16) as u16, (z >> 16) as u16);
                u32::from(high) << 16 | u32::from(g(x as u16, y as u16, z as u16))
            };
            assert_eq!(d[0][i], both(&|x, y, _| half.add(x, y, m)));
            assert_eq!(d[1][i], both(&|x, y, _| half.sub(x, y, m)));
            assert_eq!(d[2][i], both(&|x, y, _| half.mul(x, y, m)));
            assert_eq!(d[3][i], both(&|x, y, z| half.fma(x, y, z, m)));
            let narrowed = |v: u32| u32::from(half.narrow(f32::from_bits(v)));
            assert_eq!(d[4][i], narrowed(wide[i]) << 16 | narrowed(b[i]));
            assert_eq!(d[5][i], half.widen((a[i] >> 16) as u16).to_bits());
            assert_eq!(d[6][i], half.widen(a[i] as u16).to_bits());
        }
    }
}

#[test]
fn integer_conversion_lanes_equal_the_scalar_conversion() {
    use gpusim_num::convert::{Int, float_to_int, int_to_float};
    let mut random = Random(15);
    for _ in 0..2_000 {
        let mut a = registers(&mut random, &Format::F32);
        a[0] = (2f32.powi(31)).to_bits();
        a[1] = 0xc0e0_0000 + random.below(9) as u32 * 0x8_0000;
        for mode in common::MODES {
            let mut d = [[0; 32]; 4];
            lanes::f32_to_int::<true, false>(&a, mode, &mut d[0]);
            lanes::f32_to_int::<true, true>(&a, mode, &mut d[1]);
            lanes::f32_to_int::<false, false>(&a, mode, &mut d[2]);
            lanes::f32_to_int::<false, true>(&a, mode, &mut d[3]);
            for i in 0..32 {
                let of = |signed, ftz| {
                    float_to_int(a[i].into(), &Format::F32, Int { bits: 32, signed }, mode, ftz) as u32
                };
                let want = [of(true, false), of(true, true), of(false, false), of(false, true)];
                assert_eq!([d[0][i], d[1][i], d[2][i], d[3][i]], want, "{:e} {mode:?}", f32::from_bits(a[i]));
            }
        }
        let mut d = [[0; 32]; 2];
        lanes::int_to_f32::<true>(&a, &mut d[0]);
        lanes::int_to_f32::<false>(&a, &mut d[1]);
        for i in 0..32 {
            for (signed, got) in [(true, d[0][i]), (false, d[1][i])] {
                let want =
                    int_to_float(a[i].into(), Int { bits: 32, signed }, &Format::F32, Rounding::Rn, false);
                assert_eq!(u64::from(got), want);
            }
        }
    }
}
