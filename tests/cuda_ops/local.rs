//! local_attention.

use photon_kernels::cuda::raw::{Storage, flat_kv, local_heads};
use photon_kernels::cuda::sys::*;
use rand::RngExt;

use super::device::{Device, STORAGES, rng, round, turn, values};
use super::judge::judge;
use super::matrix::Matrix;

/// Attention of one query over keys and values: exactly, and naively.
pub fn attend(storage: Storage, query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> (Vec<f64>, Vec<f64>) {
    let dim = query.len();
    let scale = 1.0 / (dim as f64).sqrt();
    let score = |key: &[f32]| -> f64 {
        query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * scale
    };
    let scores: Vec<f64> = keys.iter().map(|key| score(key)).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    let exact = (0..dim)
        .map(|e| weights.iter().zip(values).map(|(w, v)| w * f64::from(v[e])).sum::<f64>() / total)
        .collect();

    // As a framework does it in the storage type: scores and probabilities are rounded on their way.
    let rounded: Vec<f64> = scores.iter().map(|s| f64::from(round(storage, *s as f32))).collect();
    let most = rounded.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = rounded.iter().map(|s| (s - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    let naive = (0..dim)
        .map(|e| {
            let sum: f64 = weights
                .iter()
                .zip(values)
                .map(|(w, v)| f64::from(round(storage, (w / total) as f32)) * f64::from(v[e]))
                .sum();
            f64::from(round(storage, sum as f32))
        })
        .collect();
    (exact, naive)
}

#[test]
fn chunks_and_steps_of_every_window_and_head_width_err_at_most_twice_as_much_as_naive() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(20));
    for i in 0..60 {
        let storage = STORAGES[i % 2];
        let window = if i < 40 { i + 1 } else { rng.random_range(1..=PHOTON_MAX_WINDOW as usize) };
        let dim = [32, 40, 48, 52, 56, 60, 64, 80, 96, 128][rng.random_range(0..10)];
        let (kv, group, slots) = (rng.random_range(1..=6), rng.random_range(1..=2), rng.random_range(1..=4));
        let heads = kv * group;
        let step = rng.random_bool(0.5);
        let rows = if step { rng.random_range(1..=window) } else { window };
        let first = if step { rng.random_range(0..=window - rows) } else { 0 };

        // Packed rows [q | k | v] for chunks; for steps keys and values lie in a buffer of their own, of which units from
        // first + rows on hold NaN.
        let width = (heads + 2 * kv) * dim;
        let mut packed: Vec<f32> = values(rng, slots * rows * width);
        packed.iter_mut().for_each(|x| *x = round(storage, 3.0 * *x));
        let device_packed = Matrix::half(&device, storage, &packed, width, width);
        let row = kv * dim;
        let mut buffer: Vec<f32> = values(rng, slots * 2 * window * row);
        buffer.iter_mut().for_each(|x| *x = round(storage, 3.0 * *x));
        for (at, x) in buffer.iter_mut().enumerate() {
            if at / row % window >= first + rows {
                *x = f32::NAN;
            }
        }
        let device_buffer = Matrix::half(&device, storage, &buffer, row, row);
        let flat = |base: *mut u16, slot: usize, unit: usize, value: usize, offset: usize| {
            flat_kv(base.cast(), offset, slot, unit, dim, value)
        };
        let kv_layout = if step {
            flat(device_buffer.start(), 2 * window * row, row, window * row, 0)
        } else {
            flat(device_packed.start(), window * width, width, row, heads * dim)
        };
        let out = Matrix::half(
            &device,
            storage,
            &vec![0.0; slots * rows * heads * dim],
            heads * dim,
            heads * dim + 4,
        );
        let params = photon_local_attention_params {
            query: device_packed.start() as *const _,
            query_stride: width as i64,
            kv: kv_layout,
            out: out.start().cast(),
            out_stride: out.pitch as i64,
            slots: slots as i32,
            rows: rows as i32,
            first: first as i32,
            heads: heads as i32,
            kv_heads: kv as i32,
            head_dim: dim as i32,
            block_heads: local_heads(rows, first + rows, heads, kv, dim).expect("it fits") as i32,
            scale: 1.0 / (dim as f32).sqrt(),
        };
        let what = format!(
            "local {storage:?} window {window} rows {rows} from {first} head_dim {dim} {heads}/{kv} x {slots}"
        );
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.local_attention(device.stream(), storage, &params) }.expect("a launch");
        let got: Vec<f64> = out.values(storage, &what).into_iter().map(f64::from).collect();
        let (mut want, mut naive) = (Vec::new(), Vec::new());
        for slot in 0..slots {
            for row_index in 0..rows {
                for head in 0..heads {
                    let at = (slot * rows + row_index) * width + head * dim;
                    let h = head / group;
                    let key = |unit: usize, value: usize| -> &[f32] {
                        if step {
                            &buffer[((slot * 2 + value) * window + unit) * row + h * dim..][..dim]
                        } else {
                            &packed[(slot * window + unit) * width + (heads + value * kv + h) * dim..][..dim]
                        }
                    };
                    let keys: Vec<&[f32]> = (0..=first + row_index).map(|unit| key(unit, 0)).collect();
                    let values: Vec<&[f32]> = (0..=first + row_index).map(|unit| key(unit, 1)).collect();
                    let (exact, rounded) = attend(storage, &packed[at..at + dim], &keys, &values);
                    want.extend(exact);
                    naive.extend(rounded);
                }
            }
        }
        let floor = if storage == Storage::Bf16 { 2f64.powi(-10) } else { 2f64.powi(-13) };
        judge(&what, &got, &naive, &want, floor);
    }
}

#[test]
fn a_window_beyond_the_limit_is_refused() {
    let _turn = turn();
    let device = Device::new();
    let params = photon_local_attention_params {
        query: std::ptr::null(),
        query_stride: 0,
        // SAFETY: a struct of integers and pointers, for which zero is a value.
        kv: unsafe { std::mem::zeroed() },
        out: std::ptr::null_mut(),
        out_stride: 0,
        slots: 1,
        rows: 1,
        first: PHOTON_MAX_WINDOW as i32,
        heads: 1,
        kv_heads: 1,
        head_dim: 64,
        block_heads: 1,
        scale: 1.0,
    };
    // SAFETY: nothing is launched.
    let result = unsafe { device.kernels.local_attention(device.stream(), Storage::Bf16, &params) };
    assert!(result.expect_err("a refusal").to_string().contains("first + rows is 65"));
}
