//! sample and log_prob.

use photon_kernels::cuda::sys::*;
use photon_kernels::sampling::{Draw, Sampling, Scratch, pick};
use rand::RngExt;
use rand::rngs::StdRng;

use super::device::{Device, rng, turn, values};
use super::matrix::Matrix;

fn logits(rng: &mut StdRng, vocabulary: usize, kind: usize) -> Vec<f32> {
    let mut row: Vec<f32> = values(rng, vocabulary).into_iter().map(|x| 6.0 * x).collect();
    match kind {
        1 => row.fill(1.5),
        2 => row.iter_mut().for_each(|x| *x = x.round()),
        3 => row.iter_mut().step_by(3).for_each(|x| *x = f32::NAN),
        4 => row.fill(f32::NEG_INFINITY),
        5 => row[vocabulary / 2] = f32::INFINITY,
        _ => {}
    }
    row
}

#[test]
fn tokens_are_those_that_the_host_draws_from_the_same_logits() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(50));
    let mut scratch = Scratch::default();
    for vocabulary in [1, 2, 31, 255, 256, 1000, 1024, 1025, 4096] {
        let m = 24;
        let rows: Vec<Vec<f32>> = (0..m).map(|i| logits(rng, vocabulary, i % 7)).collect();
        let draws: Vec<Draw> = (0..m)
            .map(|i| Draw {
                sampling: Sampling {
                    temperature: [0.0, 0.5, 1.0, 2.0][rng.random_range(0..4)],
                    top_k: [0, 0, 1, 5, 50][rng.random_range(0..5)],
                    top_p: [1.0, 1.0, 0.9, 0.3][rng.random_range(0..4)],
                    min_p: [0.0, 0.0, 0.05, 1.0][rng.random_range(0..4)],
                    seed: rng.random_range(0..u64::MAX),
                },
                sequence: i as u32,
                position: rng.random_range(0..u64::MAX),
                forced: (i % 8 == 5).then(|| rng.random_range(0..vocabulary as u32)),
            })
            .collect();
        let packed: Vec<photon_draw> = draws.iter().map(photon_draw::from).collect();
        let flat: Vec<f32> = rows.concat();
        let (device_logits, device_draws) =
            (Matrix::f32(&device, &flat, vocabulary, vocabulary + 3), device.upload(&packed));
        let ids = device.upload(&vec![u32::MAX; m]);
        let params = photon_sample_params {
            logits: device_logits.start(),
            draws: device_draws.at(0),
            ids: ids.at(0),
            to: photon_rows::DENSE,
            logits_stride: device_logits.pitch as i64,
            m: m as i32,
            vocabulary: vocabulary as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.sample(device.stream(), &params) }.expect("a launch");
        for (i, got) in ids.download().into_iter().enumerate() {
            let want = pick(&rows[i], &mut scratch, &draws[i]);
            assert_eq!(got, want, "row {i} of kind {} in {vocabulary}: {:?}", i % 7, draws[i]);
        }
    }
}

#[test]
fn log_probabilities_agree_with_f64_to_a_millionth() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(51));
    for vocabulary in [1, 2, 255, 256, 257, 4096, 32000] {
        let m = 6;
        let rows: Vec<Vec<f32>> = (0..m).map(|_| logits(rng, vocabulary, 0)).collect();
        let targets: Vec<u32> =
            (0..m).map(|i| if i == 2 { u32::MAX } else { rng.random_range(0..vocabulary as u32) }).collect();
        let device_logits = Matrix::f32(&device, &rows.concat(), vocabulary, vocabulary);
        let (device_targets, out) = (device.upload(&targets), device.upload(&vec![f32::NAN; m]));
        let params = photon_log_prob_params {
            logits: device_logits.start(),
            target: device_targets.at(0),
            out: out.at(0),
            logits_stride: vocabulary as i64,
            m: m as i32,
            vocabulary: vocabulary as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.log_prob(device.stream(), &params) }.expect("a launch");
        for ((row, &target), got) in rows.iter().zip(&targets).zip(out.download()) {
            if target == u32::MAX {
                assert_eq!(got, 0.0);
                continue;
            }
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
            let want = f64::from(row[target as usize]) - f64::from(most) - sum.ln();
            assert!((f64::from(got) - want).abs() <= 1e-6 * want.abs().max(1.0), "{got} is not {want}");
        }
    }
}
