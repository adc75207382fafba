//! project, proj_residual, gate_up_swiglu and qkv_rope_append.

use std::collections::BTreeSet;

use photon_kernels::cuda::raw::{Storage, shape};
use photon_kernels::cuda::sys::*;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::device::{Device, STORAGES, rng, round, turn, values};
use super::judge::judge;
use super::matrix::Matrix;
use super::stream::strided_kv;

/// Rows around every edge of a shape.
const MS: [usize; 19] = [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 129, 200, 300];
/// Inputs around every edge of a step and of the four slices.
const KS: [usize; 12] = [4, 8, 28, 32, 36, 60, 64, 96, 124, 132, 260, 416];

struct Case {
    storage: Storage,
    m: usize,
    n: usize,
    k: usize,
    x: Vec<f32>,
    weight: Vec<f32>,
    device_x: Matrix<f32>,
    device_half: Matrix<u16>,
    device_weight: Matrix<u16>,
}

const EPS: f32 = 1e-5;

impl Case {
    fn new(device: &Device, rng: &mut StdRng, storage: Storage, m: usize, n: usize, k: usize) -> Case {
        let x = values(rng, m * k);
        let scale = 1.0 / (k as f32).sqrt();
        let weight: Vec<f32> = values(rng, n * k).into_iter().map(|w| round(storage, w * scale)).collect();
        let padding = 4 * rng.random_range(0..3);
        let pitch = k.next_multiple_of(8) + 8 * rng.random_range(0..2);
        Case {
            device_x: Matrix::f32(device, &x, k, k + padding),
            device_half: Matrix::half(device, storage, &x, k, pitch),
            device_weight: Matrix::half(device, storage, &weight, k, pitch),
            storage,
            m,
            n,
            k,
            x,
            weight,
        }
    }

    fn product(&self, half: bool) -> photon_product {
        photon_product {
            x: if half { self.device_half.start() as *const _ } else { self.device_x.start() as *const _ },
            weight: self.device_weight.start() as *const _,
            rows: photon_rows::DENSE,
            x_stride: if half { self.device_half.pitch } else { self.device_x.pitch } as i64,
            weight_stride: self.device_weight.pitch as i64,
            m: self.m as i32,
            n: self.n as i32,
            k: self.k as i32,
            eps: EPS,
        }
    }

    /// Row `i` as the operation means it: in f64, and as a naive implementation has it.
    fn row(&self, i: usize, norm: bool, half: bool) -> (Vec<f64>, Vec<f32>) {
        let row = &self.x[i * self.k..(i + 1) * self.k];
        let exact: Vec<f64> =
            row.iter().map(|&x| f64::from(if half { round(self.storage, x) } else { x })).collect();
        let squares: f64 = exact.iter().map(|x| x * x).sum();
        let scale = if norm { 1.0 / (squares / self.k as f64 + f64::from(EPS)).sqrt() } else { 1.0 };
        let naive = exact.iter().map(|x| round(self.storage, (x * scale) as f32)).collect();
        (exact.iter().map(|x| x * scale).collect(), naive)
    }

    /// The product, row after row: in f64 and naively.
    fn expect(&self, norm: bool, half: bool) -> (Vec<f64>, Vec<f64>) {
        let (mut want, mut naive) = (Vec::new(), Vec::new());
        for i in 0..self.m {
            let (exact, rounded) = self.row(i, norm, half);
            for w in self.weight.chunks_exact(self.k) {
                want.push(exact.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum());
                let sum: f32 = rounded.iter().zip(w).map(|(x, w)| x * w).sum();
                naive.push(f64::from(round(self.storage, sum)));
            }
        }
        (want, naive)
    }

    fn name(&self, operation: &str) -> String {
        format!("{operation} {:?} {}x{}x{} ({})", self.storage, self.m, self.n, self.k, shape(self.m, self.n))
    }
}

/// A floor of one rounding of a sum of magnitude 1/16.
fn floor(storage: Storage) -> f64 {
    match storage {
        Storage::Bf16 => 2f64.powi(-13),
        Storage::F16 => 2f64.powi(-16),
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn project_with_and_without_norm_and_bias_errs_at_most_twice_as_much_as_naive() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(1));
    for i in 0..48 {
        let storage = STORAGES[i % 2];
        let m = if i < MS.len() { MS[i] } else { *MS.choose(rng).expect("one") };
        let n = *[1, 2, 15, 16, 17, 31, 33, 127, 128, 129, 200].choose(rng).expect("one");
        let k = *KS.choose(rng).expect("one");
        let case = Case::new(&device, rng, storage, m, n, k);
        let norm = rng.random_bool(0.5);
        let bias = values(rng, case.n);
        let with_bias = rng.random_bool(0.5);
        let device_bias = device.upload(&bias);
        let out = Matrix::f32(&device, &vec![0.0; case.m * case.n], case.n, case.n + rng.random_range(0..3));
        let params = photon_project_params {
            product: case.product(false),
            bias: if with_bias { device_bias.at(0) } else { std::ptr::null() },
            out: out.start(),
            to: photon_rows::DENSE,
            out_stride: out.pitch as i64,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.project(device.stream(), storage, norm, &params) }.expect("a launch");
        let (mut want, mut naive) = case.expect(norm, false);
        if with_bias {
            for (j, (want, naive)) in want.iter_mut().zip(&mut naive).enumerate() {
                *want += f64::from(bias[j % case.n]);
                *naive += f64::from(bias[j % case.n]);
            }
        }
        let name = case.name("project");
        judge(&name, &wide(&out.values(&name)), &naive, &want, floor(storage));
    }
}

#[test]
fn project_reads_and_writes_the_rows_that_it_is_told() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(2));
    for _ in 0..6 {
        let (rows, n, k) = (rng.random_range(20..60), 24, 40);
        let case = Case::new(&device, rng, Storage::Bf16, rows, n, k);
        let m = rng.random_range(1..=rows / 2);
        let list: Vec<u32> = rand::seq::index::sample(rng, rows, m).into_iter().map(|i| i as u32).collect();
        let device_list = device.upload(&list);
        // Blocks of 3 rows in every 5.
        let to = photon_rows { list: std::ptr::null(), start: 2, len: 3, stride: 5 };
        let place = |i: usize| 2 + i / 3 * 5 + i % 3;
        let out = Matrix::f32(&device, &vec![7.5; (place(m - 1) + 2) * n], n, n);
        let params = photon_project_params {
            product: photon_product {
                rows: photon_rows { list: device_list.at(0), ..photon_rows::DENSE },
                m: m as i32,
                ..case.product(false)
            },
            bias: std::ptr::null(),
            out: out.start(),
            to,
            out_stride: n as i64,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.project(device.stream(), Storage::Bf16, false, &params) }.expect("a launch");
        let (want, naive) = case.expect(false, false);
        let got = out.values("project");
        let mut written = vec![false; got.len() / n];
        for (i, &row) in list.iter().enumerate() {
            let from = row as usize * n..(row as usize + 1) * n;
            written[place(i)] = true;
            let got = wide(&got[place(i) * n..(place(i) + 1) * n]);
            judge("a listed row", &got, &naive[from.clone()], &want[from], floor(Storage::Bf16));
        }
        for (row, written) in written.iter().enumerate() {
            let untouched = got[row * n..(row + 1) * n].iter().all(|x| *x == 7.5);
            assert!(*written || untouched, "row {row} is not among the rows and was written");
        }
    }
}

#[test]
fn proj_residual_adds_to_what_is_there() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(3));
    for i in 0..36 {
        let storage = STORAGES[i % 2];
        let m = if i < MS.len() { MS[i] } else { *MS.choose(rng).expect("one") };
        let n = *[2, 16, 30, 32, 34, 126, 128, 130, 208].choose(rng).expect("one");
        let k = *KS.choose(rng).expect("one");
        let case = Case::new(&device, rng, storage, m, n, k);
        let old = values(rng, m * n);
        let out = Matrix::f32(&device, &old, n, n + 2 * rng.random_range(0..3));
        let params = photon_residual_params {
            product: case.product(true),
            out: out.start(),
            out_stride: out.pitch as i64,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.proj_residual(device.stream(), storage, &params) }.expect("a launch");
        let (want, naive) = case.expect(false, true);
        let add =
            |sums: Vec<f64>| -> Vec<f64> { sums.iter().zip(&old).map(|(s, x)| s + f64::from(*x)).collect() };
        let name = case.name("proj_residual");
        judge(&name, &wide(&out.values(&name)), &add(naive), &add(want), floor(storage));
    }
}

#[test]
fn gate_up_swiglu_errs_at_most_twice_as_much_as_naive() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(4));
    for i in 0..36 {
        let storage = STORAGES[i % 2];
        let m = if i < MS.len() { MS[i] } else { *MS.choose(rng).expect("one") };
        let f = *[1, 8, 15, 16, 17, 63, 64, 65, 100].choose(rng).expect("one");
        let k = *KS.choose(rng).expect("one");
        let case = Case::new(&device, rng, storage, m, 2 * f, k);
        let out = Matrix::half(
            &device,
            storage,
            &vec![0.0; m * f],
            f,
            f.next_multiple_of(2) + 2 * rng.random_range(0..3),
        );
        let params = photon_swiglu_params {
            product: case.product(false),
            out: out.start().cast(),
            out_stride: out.pitch as i64,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.gate_up_swiglu(device.stream(), storage, &params) }.expect("a launch");
        let (want, naive) = case.expect(true, false);
        let want: Vec<f64> =
            want.as_chunks::<2>().0.iter().map(|[g, u]| g / (1.0 + (-g).exp()) * u).collect();
        let naive: Vec<f64> = naive
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[g, u]| {
                let silu = round(storage, (g / (1.0 + (-g).exp())) as f32);
                f64::from(round(storage, silu * *u as f32))
            })
            .collect();
        let name = case.name("gate_up_swiglu");
        judge(&name, &wide(&out.values(storage, &name)), &naive, &want, floor(storage));
    }
}

#[test]
fn qkv_rope_append_turns_and_places_every_row_at_its_unit() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(5));
    for i in 0..24 {
        let storage = STORAGES[i % 2];
        let dim = [32, 40, 48, 52, 56, 60, 64, 80, 96, 128][i % 10];
        let (kv, group) = (rng.random_range(1..=2), rng.random_range(1..=2));
        let heads = kv * group;
        let m = *MS[..15].choose(rng).expect("one");
        let n = (heads + 2 * kv) * dim;
        let case = Case::new(&device, rng, storage, m, n, 64);
        // Three sequences, each row at a unit of its own.
        let (slots, capacity) = (3, 128 + PHOTON_KV_BLOCK as usize);
        let units: Vec<(u32, u32)> = rand::seq::index::sample(rng, slots * 128, m)
            .into_iter()
            .map(|at| ((at % slots) as u32, (at / slots) as u32))
            .collect();
        let slot = device.upload(&units.iter().map(|u| u.0).collect::<Vec<_>>());
        let unit = device.upload(&units.iter().map(|u| u.1).collect::<Vec<_>>());
        let angles: Vec<f32> = (0..128 * dim / 2)
            .flat_map(|at| {
                let (position, i) = (at / (dim / 2), at % (dim / 2));
                let angle = position as f64 * 10000f64.powf(-2.0 * i as f64 / dim as f64);
                [angle.cos() as f32, angle.sin() as f32]
            })
            .collect();
        let device_angles = device.upload(&angles);
        let blocks = capacity / PHOTON_KV_BLOCK as usize;
        // Two of five layouts leave room between units, which stays as it is.
        let pitch = dim + [0, 4, 0, 0, 12][i % 5];
        let block = 2 * kv * PHOTON_KV_BLOCK as usize * pitch;
        let cache = Matrix::half(&device, storage, &vec![0.0; slots * blocks * block], block, block);
        let query = Matrix::half(&device, storage, &vec![0.0; m * heads * dim], heads * dim, heads * dim + 4);
        // Paged: physical blocks in random order.
        let mut order: Vec<u32> = (0..(slots * blocks) as u32).collect();
        rand::seq::SliceRandom::shuffle(&mut order[..], rng);
        let table = device.upload(&order);
        let kv_layout = photon_kv {
            base: cache.start().cast(),
            blocks: table.at(0),
            blocks_pitch: blocks as i64,
            ..strided_kv(kv, dim, pitch)
        };
        let params = photon_qkv_params {
            product: case.product(false),
            query: query.start().cast(),
            query_stride: query.pitch as i64,
            kv: kv_layout,
            units: photon_units { slot: slot.at(0), unit: unit.at(0), rows: 1, first: 0 },
            angles: device_angles.at(0),
            heads: heads as i32,
            kv_heads: kv as i32,
            head_dim: dim as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.qkv_rope_append(device.stream(), storage, &params) }.expect("a launch");
        let (want, naive) = case.expect(true, false);
        // Neighbours of q and k are a pair that is turned.
        let turn = |sums: &[f64], rounded: bool| -> Vec<f64> {
            let mut out = sums.to_vec();
            for (i, row) in out.chunks_exact_mut(n).enumerate() {
                for pair in 0..(heads + kv) * dim / 2 {
                    let at = (units[i].1 as usize * (dim / 2) + pair % (dim / 2)) * 2;
                    let (c, s) = (f64::from(angles[at]), f64::from(angles[at + 1]));
                    let (x, y) = (row[2 * pair], row[2 * pair + 1]);
                    (row[2 * pair], row[2 * pair + 1]) = (x * c - y * s, y * c + x * s);
                }
            }
            if rounded {
                out.iter_mut().for_each(|x| *x = f64::from(round(storage, *x as f32)));
            }
            out
        };
        let (want, naive) = (turn(&want, false), turn(&naive, true));
        let name = format!("{} head_dim {dim}", case.name("qkv_rope_append"));
        let queries = query.values(storage, &name);
        let kept = cache.values(storage, &name);
        let mut got = Vec::with_capacity(m * n);
        let mut expected_zero = vec![true; kept.len()];
        for (i, &(slot, unit)) in units.iter().enumerate() {
            got.extend(wide(&queries[i * heads * dim..(i + 1) * heads * dim]));
            let physical = order[slot as usize * blocks + unit as usize / PHOTON_KV_BLOCK as usize] as usize;
            for value in 0..2 {
                for head in 0..kv {
                    let at = physical * block
                        + (value * kv + head) * PHOTON_KV_BLOCK as usize * pitch
                        + unit as usize % PHOTON_KV_BLOCK as usize * pitch;
                    got.extend(wide(&kept[at..at + dim]));
                    expected_zero[at..at + dim].fill(false);
                }
            }
        }
        judge(&name, &got, &naive, &want, floor(storage));
        for (i, zero) in expected_zero.iter().enumerate() {
            assert!(
                !zero || kept[i] == 0.0,
                "{name}: element {i} of the cache belongs to no new unit and was written"
            );
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_shape_and_in_every_repetition() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(6));
    let mut shapes = BTreeSet::new();
    for (n, k) in [(4224, 96), (1040, 260), (200, 36)] {
        let case = Case::new(&device, rng, Storage::Bf16, 300, n, k);
        let run = |first: usize, m: usize| -> Vec<u32> {
            let out = Matrix::f32(&device, &vec![0.0; m * n], n, n);
            let params = photon_project_params {
                product: photon_product {
                    rows: photon_rows { start: first as i64, ..photon_rows::DENSE },
                    m: m as i32,
                    ..case.product(false)
                },
                bias: std::ptr::null(),
                out: out.start(),
                to: photon_rows::DENSE,
                out_stride: n as i64,
            };
            // SAFETY: all operands are as large as the parameters say.
            unsafe { device.kernels.project(device.stream(), Storage::Bf16, true, &params) }
                .expect("a launch");
            out.values("project").into_iter().map(f32::to_bits).collect()
        };
        let all = run(0, 300);
        for (first, m) in [
            (0, 300),
            (0, 1),
            (5, 8),
            (17, 16),
            (40, 32),
            (100, 33),
            (60, 48),
            (200, 64),
            (131, 65),
            (172, 128),
        ] {
            shapes.insert(shape(m, n).to_string());
            assert!(
                run(first, m) == all[first * n..(first + m) * n],
                "{m} rows from {first} of {n} x {k} ({})",
                shape(m, n)
            );
        }
    }
    assert_eq!(shapes.len(), 8, "shapes that were compared: {shapes:?}");
}
