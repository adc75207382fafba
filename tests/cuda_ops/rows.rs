//! embed_chunk, copy_rows and rms_norm.

use photon_kernels::cuda::sys::*;
use rand::RngExt;

use super::device::{Device, STORAGES, rng, round, turn, values};
use super::judge::judge;
use super::matrix::Matrix;

#[test]
fn embedding_copies_the_rows_of_the_ids_and_an_unknown_id_is_nan() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(40));
    for (i, width) in [1, 3, 4, 52, 104, 416, 418, 1024].into_iter().enumerate() {
        let storage = STORAGES[i % 2];
        let (vocabulary, m) = (rng.random_range(1..50), rng.random_range(1..40));
        let table: Vec<f32> =
            values(rng, vocabulary * width).into_iter().map(|x| round(storage, x)).collect();
        let device_table = Matrix::half(&device, storage, &table, width, width);
        let mut ids: Vec<u32> = (0..m).map(|_| rng.random_range(0..vocabulary as u32)).collect();
        ids[m / 2] = if i % 2 == 0 { u32::MAX } else { vocabulary as u32 };
        let device_ids = device.upload(&ids);
        let out = Matrix::f32(&device, &vec![0.0; m * width], width, width);
        let params = photon_embed_params {
            table: device_table.start() as *const _,
            ids: device_ids.at(0),
            from: photon_rows::DENSE,
            out: out.start(),
            to: photon_rows::DENSE,
            out_stride: width as i64,
            m: m as i32,
            width: width as i32,
            vocabulary: vocabulary as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.embed_chunk(device.stream(), storage, &params) }.expect("a launch");
        for (row, id) in out.values("embed").chunks_exact(width).zip(&ids) {
            match table.get(*id as usize * width..) {
                Some(from) if from.len() >= width && (*id as usize) < vocabulary => {
                    assert_eq!(row, &from[..width])
                }
                _ => assert!(row.iter().all(|x| x.is_nan()), "id {id} of {vocabulary}"),
            }
        }
    }
}

#[test]
fn rows_are_copied_from_and_to_any_place_and_a_stride_of_zero_repeats_one() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(41));
    for width in [1, 2, 4, 5, 128, 130, 512] {
        let (rows, m) = (30, rng.random_range(1..=30));
        let x = values(rng, rows * width);
        let source = Matrix::f32(&device, &x, width, width);
        let list: Vec<u32> = rand::seq::index::sample(rng, rows, m).into_iter().map(|i| i as u32).collect();
        let device_list = device.upload(&list);
        for repeat in [false, true] {
            let out = Matrix::f32(&device, &vec![0.0; m * width], width, width);
            let params = photon_copy_params {
                x: source.start(),
                from: photon_rows {
                    list: if repeat { std::ptr::null() } else { device_list.at(0) },
                    ..photon_rows::DENSE
                },
                out: out.start(),
                to: photon_rows::DENSE,
                x_stride: if repeat { 0 } else { width as i64 },
                out_stride: width as i64,
                m: m as i32,
                width: width as i32,
            };
            // SAFETY: all operands are as large as the parameters say.
            unsafe { device.kernels.copy_rows(device.stream(), &params) }.expect("a launch");
            for (row, from) in out.values("copy").chunks_exact(width).zip(&list) {
                let from = if repeat { 0 } else { *from as usize };
                assert_eq!(row, &x[from * width..(from + 1) * width]);
            }
        }
    }
}

#[test]
fn the_norm_of_rows_is_that_of_f64_to_a_few_roundings() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(42));
    for width in [4, 52, 128, 132, 508, 512, 516, 1664, 2052] {
        let m = rng.random_range(1..20);
        let scale = 10f32.powi(rng.random_range(-4..4));
        let x: Vec<f32> = values(rng, m * width).into_iter().map(|v| v * scale).collect();
        let gain = values(rng, width);
        let (source, device_gain) = (Matrix::f32(&device, &x, width, width), device.upload(&gain));
        let out = Matrix::f32(&device, &vec![0.0; m * width], width, width + 4);
        let params = photon_norm_params {
            x: source.start(),
            from: photon_rows::DENSE,
            gain: device_gain.at(0),
            out: out.start(),
            to: photon_rows::DENSE,
            x_stride: width as i64,
            out_stride: out.pitch as i64,
            m: m as i32,
            width: width as i32,
            eps: 1e-5,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.rms_norm(device.stream(), &params) }.expect("a launch");
        let (mut want, mut naive) = (Vec::new(), Vec::new());
        for row in x.chunks_exact(width) {
            let squares: f64 = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
            let exact = 1.0 / (squares / width as f64 + f64::from(1e-5f32)).sqrt();
            let squares: f32 = row.iter().map(|v| v * v).sum();
            let rounded = 1.0 / (squares / width as f32 + 1e-5).sqrt();
            for (v, g) in row.iter().zip(&gain) {
                want.push(f64::from(*v) * exact * f64::from(*g));
                naive.push(f64::from(v * rounded * g));
            }
        }
        let got: Vec<f64> = out.values("norm").into_iter().map(f64::from).collect();
        judge(&format!("norm of {width}"), &got, &naive, &want, 2f64.powi(-24));
    }
}
