//! Formats and conversions, exhaustively where a format has at most 16 bits.

mod common;

use common::{Big, MODES, Random, Signed, magnitude, round_signed};
use gpusim_num::Rounding;
use gpusim_num::convert::{self, Int, Modifiers};
use gpusim_num::format::{self, Format};

const NARROW: [(&str, Format); 8] = [
    ("f16", Format::F16),
    ("bf16", Format::BF16),
    ("tf32", Format::TF32),
    ("e4m3", Format::E4M3),
    ("e5m2", Format::E5M2),
    ("e2m3", Format::E2M3),
    ("e3m2", Format::E3M2),
    ("e2m1", Format::E2M1),
];

#[test]
fn published_values_of_the_narrow_formats() {
    let e2m1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    for (bits, value) in e2m1.into_iter().enumerate() {
        assert_eq!(Format::E2M1.decode(bits as u64), value);
        assert_eq!(Format::E2M1.decode(bits as u64 | 8), -value);
    }
    assert_eq!(Format::E4M3.decode(0x7e), 448.0);
    assert!(Format::E4M3.decode(0x7f).is_nan() && Format::E4M3.decode(0xff).is_nan());
    assert_eq!(Format::E4M3.decode(1), 2f64.powi(-9));
    assert_eq!(Format::E5M2.decode(0x7b), 57344.0);
    assert_eq!(Format::E5M2.decode(0xfc), f64::NEG_INFINITY);
    assert!(Format::E5M2.decode(0x7d).is_nan());
    assert_eq!(Format::E5M2.decode(1), 2f64.powi(-16));
    assert_eq!(Format::E2M3.decode(0x1f), 7.5);
    assert_eq!(Format::E2M3.decode(1), 0.125);
    assert_eq!(Format::E3M2.decode(0x1f), 28.0);
    assert_eq!(Format::E3M2.decode(1), 0.0625);
    assert_eq!(Format::F16.decode(0x7bff), 65504.0);
    assert_eq!(Format::F16.decode(1), 2f64.powi(-24));
    assert_eq!(Format::BF16.decode(0x3f81), 1.0 + 2f64.powi(-7));
    assert_eq!(Format::TF32.decode(0x3f80 << 3 | 1), 1.0 + 2f64.powi(-10));
}

#[test]
fn every_pattern_decodes_to_its_value_and_encodes_back() {
    for (name, f) in NARROW {
        for bits in 0..1u64 << f.bits() {
            let value = f.decode(bits);
            if f.is_nan(bits) {
                assert!(value.is_nan(), "{name} {bits:#x}");
                continue;
            }
            let neg = bits >> (f.bits() - 1) == 1;
            assert_eq!(value.is_sign_negative(), neg, "{name} {bits:#x}");
            if value.is_finite() {
                let distance = Big::of_f64(value).distance(&magnitude(&f, bits & f.magnitude()));
                assert!(distance.is_zero(), "{name} {bits:#x}");
            }
            for mode in [Rounding::Rn, Rounding::Rz, Rounding::Rm, Rounding::Rp, Rounding::Rna] {
                assert_eq!(f.encode(value, mode, false), bits, "{name} {bits:#x} {mode:?}");
            }
        }
    }
}

#[test]
fn around_every_value_and_every_tie_all_modes_choose_the_right_neighbour() {
    for (name, f) in NARROW {
        for pattern in 0..f.max_finite() {
            let (low, high) = (f.decode(pattern), f.decode(pattern + 1));
            let tie = (low + high) / 2.0;
            let even = pattern + (pattern & 1);
            // The value, and what it rounds to: to nearest even, to nearest away.
            for (x, rn, rna) in [
                (tie, even, pattern + 1),
                (tie.next_up(), pattern + 1, pattern + 1),
                (tie.next_down(), pattern, pattern),
                (low.next_up(), pattern, pattern),
                (high.next_down(), pattern + 1, pattern + 1),
            ] {
                let sign = 1 << (f.bits() - 1);
                let got = |x: f64, mode| f.encode(x, mode, false);
                assert_eq!(got(x, Rounding::Rn), rn, "{name} {x:e}");
                assert_eq!(got(-x, Rounding::Rn), sign | rn, "{name} -{x:e}");
                assert_eq!(got(x, Rounding::Rna), rna, "{name} {x:e}");
                assert_eq!(got(-x, Rounding::Rna), sign | rna, "{name} -{x:e}");
                assert_eq!(got(x, Rounding::Rz), pattern, "{name} {x:e}");
                assert_eq!(got(-x, Rounding::Rz), sign | pattern, "{name} -{x:e}");
                assert_eq!(got(x, Rounding::Rm), pattern, "{name} {x:e}");
                assert_eq!(got(-x, Rounding::Rm), sign | (pattern + 1), "{name} -{x:e}");
                assert_eq!(got(x, Rounding::Rp), pattern + 1, "{name} {x:e}");
                assert_eq!(got(-x, Rounding::Rp), sign | pattern, "{name} -{x:e}");
            }
        }
    }
}

#[test]
fn overflow_follows_mode_format_and_satfinite() {
    for (name, f) in NARROW {
        let max = f.decode(f.max_finite());
        let ulp = max - f.decode(f.max_finite() - 1);
        for x in [
            max + ulp / 2.0,
            (max + ulp / 2.0).next_down(),
            max + ulp / 4.0,
            max + ulp,
            max * 4.0,
            1e300,
            f64::MAX,
        ] {
            for x in [x, -x] {
                for mode in [Rounding::Rn, Rounding::Rz, Rounding::Rm, Rounding::Rp, Rounding::Rna] {
                    let want = round_signed(&Signed::of_f64(x), &f, mode);
                    assert_eq!(f.encode(x, mode, false), want, "{name} {x:e} {mode:?}");
                    let sign = u64::from(x < 0.0) << (f.bits() - 1);
                    assert_eq!(
                        f.encode(x, mode, true),
                        sign | f.max_finite(),
                        "{name} {x:e} {mode:?} satfinite"
                    );
                }
            }
        }
        assert_eq!(
            f.encode(f64::NEG_INFINITY, Rounding::Rn, true),
            1 << (f.bits() - 1) | f.max_finite(),
            "{name}"
        );
        assert_eq!(f.encode(f64::NAN, Rounding::Rn, true), f.magnitude(), "{name}");
    }
    assert_eq!(Format::F16.encode(65520.0, Rounding::Rn, false), 0x7c00);
    assert_eq!(Format::F16.encode(65519.999, Rounding::Rn, false), 0x7bff);
    assert_eq!(Format::E4M3.encode(f64::INFINITY, Rounding::Rn, false), 0x7f);
    assert_eq!(Format::E4M3.encode(464.0, Rounding::Rn, false), 0x7e);
    assert_eq!(Format::E4M3.encode(465.0, Rounding::Rn, false), 0x7f);
}

#[test]
fn fast_half_conversions_agree_with_the_search_on_random_and_critical_f32() {
    let mut random = Random(3);
    for i in 0..200_000u64 {
        let bits = match i % 3 {
            0 => random.pattern(&Format::F32),
            // Patterns whose discarded bits are 0…01, 10…0, 01…1 and the like.
            1 => (random.next() & 0xffff_e000) + (0x1000 + random.below(3) - 1),
            _ => (random.next() & 0xffff_0000) + (0x8000 + random.below(3) - 1),
        } as u32;
        let x = f32::from_bits(bits);
        for (f, got) in [(Format::F16, format::f32_to_f16(x)), (Format::BF16, format::f32_to_bf16(x))] {
            let want = if x.is_nan() {
                0x7fff
            } else if x.is_infinite() || x == 0.0 {
                u64::from(x.is_sign_negative()) << 15 | if x == 0.0 { 0 } else { f.infinity() }
            } else {
                round_signed(&Signed::of_f64(x.into()), &f, Rounding::Rn)
            };
            assert_eq!(u64::from(got), want, "{x:e} {f:?}");
        }
    }
}

#[test]
fn fast_half_widening_is_exact_for_every_pattern() {
    for h in 0..=u16::MAX {
        for (f, got) in [(Format::F16, format::f16_to_f32(h)), (Format::BF16, format::bf16_to_f32(h))] {
            let sign = h >> 15 == 1;
            let magnitude_bits = u64::from(h & 0x7fff);
            assert_eq!(got.is_sign_negative(), sign);
            if magnitude_bits > f.infinity() {
                assert!(got.is_nan());
            } else if magnitude_bits == f.infinity() {
                assert!(got.is_infinite());
            } else {
                assert!(Big::of_f64(got.into()).distance(&magnitude(&f, magnitude_bits)).is_zero(), "{h:#x}");
            }
        }
    }
}

#[test]
fn f64_to_f32_in_every_mode() {
    let mut random = Random(4);
    for _ in 0..100_000 {
        let x = f64::from_bits(random.pattern(&Format::F64));
        let x = if random.below(2) == 0 {
            x
        } else {
            f64::from(x as f32) * (1.0 + random.below(9) as f64 * 2f64.powi(-26))
        };
        if !x.is_finite() || x == 0.0 {
            continue;
        }
        for mode in MODES {
            let got =
                convert::float_to_float(x.to_bits(), &Format::F64, &Format::F32, Modifiers::plain(mode));
            assert_eq!(got, round_signed(&Signed::of_f64(x), &Format::F32, mode), "{x:e} {mode:?}");
        }
    }
}

#[test]
fn modifiers_of_float_conversions() {
    let to = |x: f32, dst: &Format, how: Modifiers| {
        convert::float_to_float(x.to_bits().into(), &Format::F32, dst, how)
    };
    let rn = Modifiers::plain(Rounding::Rn);
    let relu = Modifiers { relu: true, ..rn };
    assert_eq!(to(-3.0, &Format::F16, relu), 0);
    assert_eq!(to(-0.0, &Format::F16, relu), 0);
    assert_eq!(to(f32::NEG_INFINITY, &Format::BF16, relu), 0);
    assert_eq!(to(-f32::NAN, &Format::BF16, relu), 0x7fff);
    assert_eq!(to(1.5, &Format::BF16, relu), 0x3fc0);
    let satfinite = Modifiers { satfinite: true, ..rn };
    assert_eq!(to(1e9, &Format::F16, satfinite), 0x7bff);
    assert_eq!(to(f32::NEG_INFINITY, &Format::F16, satfinite), 0xfbff);
    assert_eq!(to(f32::NAN, &Format::F16, satfinite), 0x7fff);
    assert_eq!(to(f32::NAN, &Format::E2M1, satfinite), 7);
    assert_eq!(to(-f32::NAN, &Format::E3M2, satfinite), 0x1f);
    assert_eq!(to(-f32::NAN, &Format::E4M3, satfinite), 0x7f);
    assert_eq!(to(f32::NAN, &Format::E5M2, satfinite), 0x7f);
    let sat = Modifiers { sat: true, ..rn };
    assert_eq!(to(7.0, &Format::F16, sat), 0x3c00);
    assert_eq!(to(-7.0, &Format::F16, sat), 0);
    assert_eq!(to(f32::NAN, &Format::F32, sat), 0);
    assert_eq!(to(0.5, &Format::F64, sat), 0.5f64.to_bits());
    let ftz = Modifiers { ftz: true, ..rn };
    assert_eq!(to(f32::from_bits(0x8000_0005), &Format::F64, ftz), 1 << 63);
    let narrowed = convert::float_to_float((-1e-40f64).to_bits(), &Format::F64, &Format::F32, ftz);
    assert_eq!(narrowed, 1 << 31);
    assert_eq!(format::to_tf32(1.0 + 2f32.powi(-11), Rounding::Rna, false), 0x3f80_2000);
    assert_eq!(format::to_tf32(1.0 + 2f32.powi(-11), Rounding::Rn, false), 0x3f80_0000);
    assert_eq!(format::to_tf32(f32::MAX, Rounding::Rna, false), 0x7f80_0000);
    assert_eq!(format::to_tf32(f32::MAX, Rounding::Rna, true), 0x7f7f_e000);
    assert_eq!(format::to_tf32(-f32::NAN, Rounding::Rna, false), 0x7fff_ffff);
}

#[test]
fn stochastic_rounding_goes_away_from_zero_for_as_many_random_patterns_as_the_fraction_says() {
    // bf16 discards 16 bits of an f32: with all 2^16 patterns, as many round up as the discarded bits count.
    for discarded in [0u32, 1, 0x7fff, 0x8000, 0xfffe, 0xffff] {
        for sign in [0, 1 << 31] {
            let x = f32::from_bits(0x3f81_0000 | discarded | sign);
            let up = (0..1u32 << 16)
                .filter(|&bits| {
                    let mode = Rounding::Rs { bits, count: 16 };
                    let got = Format::BF16.encode(x.into(), mode, false) & 0x7fff;
                    assert!(got == 0x3f81 || got == 0x3f82);
                    got == 0x3f82
                })
                .count();
            assert_eq!(up, discarded as usize);
        }
    }
    // f16 discards 13.
    let x = f32::from_bits(0x3f80_0000 | 0x123);
    let up = (0..1u32 << 13)
        .filter(|&bits| Format::F16.encode(x.into(), Rounding::Rs { bits, count: 13 }, false) == 0x3c01);
    assert_eq!(up.count(), 0x123);
}

#[test]
fn ue8m0_takes_the_exponent() {
    let rz = |x: f32| format::f32_to_ue8m0(x, Rounding::Rz, true);
    let rp = |x: f32| format::f32_to_ue8m0(x, Rounding::Rp, true);
    assert_eq!((rz(1.0), rp(1.0)), (127, 127));
    assert_eq!((rz(1.5), rp(1.5)), (127, 128));
    assert_eq!((rz(-1.5), rp(-1.5)), (127, 128));
    assert_eq!((rz(f32::MAX), rp(f32::MAX)), (254, 254));
    assert_eq!((rz(f32::INFINITY), rz(f32::NAN)), (254, 255));
    assert_eq!((rz(0.0), rp(f32::from_bits(1))), (0, 0));
    assert_eq!((rz(f32::from_bits(0x0040_0001)), rp(f32::from_bits(0x0040_0001))), (0, 1));
    for e in 0..255u8 {
        let value = format::ue8m0_to_f64(e);
        assert_eq!(value.log2() as i32, i32::from(e) - 127);
        assert_eq!(rz(value as f32), e);
    }
    assert!(format::ue8m0_to_f64(255).is_nan());
}

const INTS: [Int; 8] = [
    Int { bits: 8, signed: false },
    Int { bits: 8, signed: true },
    Int { bits: 16, signed: false },
    Int { bits: 16, signed: true },
    Int { bits: 32, signed: false },
    Int { bits: 32, signed: true },
    Int { bits: 64, signed: false },
    Int { bits: 64, signed: true },
];

#[test]
fn floats_become_the_nearest_integer_in_range() {
    let mut random = Random(5);
    for round in 0..200_000 {
        let x = match round % 4 {
            0 => f64::from_bits(random.pattern(&Format::F64)),
            1 => (random.next() as i64 >> random.below(63)) as f64,
            2 => (random.below(1000) as f64 - 500.0) / 2.0,
            _ => (random.next() as i64 >> random.below(63)) as f64 + 0.5,
        };
        if x.is_nan() {
            continue;
        }
        for dst in INTS {
            for (mode, integral) in [
                (Rounding::Rn, x.round_ties_even()),
                (Rounding::Rz, x.trunc()),
                (Rounding::Rm, x.floor()),
                (Rounding::Rp, x.ceil()),
            ] {
                // The casts of Rust clamp.
                let want = match (dst.bits, dst.signed) {
                    (8, false) => u64::from(integral as u8),
                    (8, true) => integral as i8 as u64,
                    (16, false) => u64::from(integral as u16),
                    (16, true) => integral as i16 as u64,
                    (32, false) => u64::from(integral as u32),
                    (32, true) => integral as i32 as u64,
                    (64, false) => integral as u64,
                    _ => integral as i64 as u64,
                };
                assert_eq!(
                    convert::float_to_int(x.to_bits(), &Format::F64, dst, mode, false),
                    want,
                    "{x:e} {dst:?} {mode:?}"
                );
            }
        }
    }
}

#[test]
fn nan_becomes_zero_or_the_integer_indefinite() {
    for dst in INTS {
        let wide = if dst.signed { (-1i64 << (dst.bits - 1)) as u64 } else { 1 << (dst.bits - 1) };
        let of = |bits, f: &Format| convert::float_to_int(bits, f, dst, Rounding::Rz, false);
        assert_eq!(of(f64::NAN.to_bits(), &Format::F64), wide);
        let narrow = if dst.bits == 64 { wide } else { 0 };
        assert_eq!(of(0x7fff_ffff, &Format::F32), narrow);
        assert_eq!(of(0x7fff, &Format::F16), narrow);
        assert_eq!(of(0xffff, &Format::BF16), narrow);
    }
}

#[test]
fn ftz_makes_a_subnormal_zero_before_rounding_to_an_integer() {
    let dst = Int { bits: 32, signed: true };
    assert_eq!(convert::float_to_int(1, &Format::F32, dst, Rounding::Rp, false), 1);
    assert_eq!(convert::float_to_int(1, &Format::F32, dst, Rounding::Rp, true), 0);
    let how = Modifiers { ftz: true, ..Modifiers::plain(Rounding::Rm) };
    assert_eq!(convert::round_to_integral(0x8000_0001, &Format::F32, how), 1 << 31);
}

#[test]
fn integers_become_correctly_rounded_floats() {
    let mut random = Random(6);
    for _ in 0..2_000 {
        let bits = random.next() >> random.below(64);
        let bits = if random.below(3) == 0 { bits | 1 << 63 } else { bits };
        for src in INTS {
            let value = src.value(bits);
            for f in [Format::F16, Format::BF16, Format::F32, Format::F64] {
                for mode in MODES {
                    let got = convert::int_to_float(bits, src, &f, mode, false);
                    if value == 0 {
                        assert_eq!(got, 0);
                        continue;
                    }
                    let exact = Signed { neg: value < 0, big: Big::new(value.unsigned_abs(), 0) };
                    assert_eq!(got, round_signed(&exact, &f, mode), "{value} {f:?} {mode:?}");
                }
            }
        }
    }
}

#[test]
fn integer_conversions_truncate_extend_or_saturate() {
    let int = |bits, signed| Int { bits, signed };
    assert_eq!(convert::int_to_int(0x1_ff80, int(32, false), int(8, true), false), 0xffff_ffff_ffff_ff80);
    assert_eq!(convert::int_to_int(0xff, int(8, true), int(32, false), false), 0xffff_ffff);
    assert_eq!(convert::int_to_int(0xff, int(8, false), int(32, true), false), 0xff);
    assert_eq!(convert::int_to_int(300, int(32, true), int(8, false), true), 255);
    assert_eq!(convert::int_to_int((-5i64) as u64, int(32, true), int(8, false), true), 0);
    assert_eq!(convert::int_to_int(1 << 40, int(64, true), int(32, true), true), 0x7fff_ffff);
    assert_eq!(convert::int_to_int(u64::MAX, int(64, false), int(64, true), true), i64::MAX as u64);
    assert_eq!(convert::int_to_int((-300i64) as u64, int(64, true), int(8, true), true), (-128i64) as u64);
}

#[test]
fn integral_rounding_keeps_format_and_sign_of_zero() {
    let of = |x: f32, mode| {
        f32::from_bits(
            convert::round_to_integral(x.to_bits().into(), &Format::F32, Modifiers::plain(mode)) as u32
        )
    };
    for (x, rn, rz, rm, rp) in [
        (2.5, 2.0, 2.0, 2.0, 3.0),
        (3.5, 4.0, 3.0, 3.0, 4.0),
        (-0.5, -0.0, -0.0, -1.0, -0.0),
        (0.3, 0.0, 0.0, 0.0, 1.0),
        (-2.7, -3.0, -2.0, -3.0, -2.0),
        (8_388_609.0, 8_388_609.0, 8_388_609.0, 8_388_609.0, 8_388_609.0),
        (f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY),
    ] {
        let got = MODES.map(|mode| of(x, mode).to_bits());
        assert_eq!(got, [rn, rz, rm, rp].map(|v: f32| v.to_bits()), "{x}");
    }
    assert_eq!(of(f32::from_bits(0xff80_0001), Rounding::Rz).to_bits(), 0x7fff_ffff);
    // f16 2047.5 cannot exist; 1023.5 is a tie and 1024 is representable.
    assert_eq!(convert::round_to_integral(0x63ff, &Format::F16, Modifiers::plain(Rounding::Rn)), 0x6400);
}
