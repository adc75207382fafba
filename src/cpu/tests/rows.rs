//! The kernels on single rows.

use super::*;
use crate::cpu::math;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

fn ulps(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if got == rounded {
        return 0.0;
    }
    let step = f32::from_bits(rounded.to_bits() + 1) - rounded;
    (f64::from(got) - want).abs() / f64::from(step)
}

#[test]
fn the_exponential_is_within_two_ulp_everywhere() {
    let inputs: Vec<f32> = (-105_000..=89_000).map(|i| i as f32 * 1e-3 + 3.7e-4).collect();
    for isa in isas() {
        let mut got = inputs.clone();
        math::exp_in_place(isa, &mut got);
        for (&x, &y) in inputs.iter().zip(&got) {
            let want = f64::from(x).exp();
            if want > f64::from(f32::MAX) {
                assert!(y == f32::INFINITY, "{isa:?}: exp({x}) = {y}");
            } else {
                assert!(ulps(y, want) <= 2.0, "{isa:?}: exp({x}) = {y:e}, not {want:e}");
            }
        }
    }
}

#[test]
fn the_exponential_handles_what_is_no_number() {
    for isa in isas() {
        let mut x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN];
        math::exp_in_place(isa, &mut x);
        assert!(x[0].is_nan(), "{isa:?}");
        assert_eq!(x[1..], [f32::INFINITY, 0.0, 1.0, 1.0, f32::INFINITY, 0.0], "{isa:?}");
    }
}

#[test]
fn row_kernels_agree_with_f64_at_every_length() {
    let mut random = Random(1);
    for isa in isas() {
        for n in 1..=70 {
            let (x, gain) = (random.values(n), random.values(n));
            let mut out = vec![f32::NAN; n];
            math::norm(isa, &x, &gain, 1e-5, &mut out);
            close(&out, &rms_norm(&wide(&x), &gain, 1e-5), 1e-6, "norm");

            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let large: Vec<f32> = x.iter().map(|x| 30.0 * x).collect();
            math::swiglu(isa, &large, &gain, &mut out[..n]);
            let want: Vec<f64> =
                wide(&large).iter().zip(&gain).map(|(&x, &u)| x * sigmoid(x) * f64::from(u)).collect();
            close(&out[..n], &want, 1e-6, "swiglu");

            let mut scores = large.clone();
            let sum = math::softmax(isa, &mut scores, 0.5);
            let max = large.iter().copied().fold(f32::MIN, f32::max);
            let want: Vec<f64> = large.iter().map(|&x| (f64::from(x - max) * 0.5).exp()).collect();
            close(&scores, &want, 2e-6, "softmax");
            close(&[sum], &[want.iter().sum()], 2e-6, "sum of softmax");

            let want = wide(&large).iter().map(|x| x.exp()).sum::<f64>().ln();
            assert!((math::log_sum_exp(isa, &large) - want).abs() < 1e-5, "log_sum_exp");
        }
    }
}

#[test]
fn log_sum_exp_stays_exact_over_a_whole_vocabulary() {
    let x: Vec<f32> = Random(2).values(50_001).iter().map(|x| 8.0 * x - 100.0).collect();
    let want = wide(&x).iter().map(|x| x.exp()).sum::<f64>().ln();
    for isa in isas() {
        assert!((math::log_sum_exp(isa, &x) - want).abs() < 1e-6, "{isa:?}");
    }
}

#[test]
fn row_kernels_pass_over_nothing_and_nan_without_a_panic() {
    for isa in isas() {
        math::norm(isa, &[], &[], 1e-5, &mut []);
        math::softmax(isa, &mut [], 1.0);
        assert!(math::log_sum_exp(isa, &[f32::NAN, 1.0]).is_nan());
        math::softmax(isa, &mut [f32::NAN; 17], 1.0);
    }
}
