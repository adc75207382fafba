//! lm_head_best and lm_head_pick, and the choice between them and logits in memory.

use std::collections::BTreeSet;

use photon_kernels::backend::{Backend, Layout, LinearSpec, RowMap};
use photon_kernels::checkpoint::{Dtype, Tensor};
use photon_kernels::cuda::raw::{Storage, head_shape, head_tiles};
use photon_kernels::cuda::sys::*;
use photon_kernels::cuda::{CudaBackend, CudaOptions};
use photon_kernels::sampling::{Draw, Sampling, Scratch, pick};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::device::{Device, STORAGES, rng, turn, values};
use super::matrix::Matrix;

/// What keys are before a launch: above the key of any number, and of a token that no vocabulary here has.
const POISON: u64 = 0xffff_ffff_0000_0000;

/// What logits look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Random,
    /// A few different values, each at many ids, in all tiles.
    Ties,
    AllEqual,
    /// NaN at every third id, and at every id of some rows.
    Nan,
    /// Nothing above -inf.
    NoneAbove,
    /// Two ids at +inf.
    Infinite,
    /// +0 and -0.
    Zeros,
}
use Kind::*;
const KINDS: [Kind; 7] = [Random, Ties, AllEqual, Nan, NoneAbove, Infinite, Zeros];

struct Head {
    x: Matrix<f32>,
    weight: Matrix<u16>,
    m: usize,
    n: usize,
    k: usize,
}

impl Head {
    fn new(device: &Device, rng: &mut StdRng, storage: Storage, kind: Kind, [m, n, k]: [usize; 3]) -> Head {
        let mut x = values(rng, m * k);
        let mut weight = values(rng, n * k);
        match kind {
            Random => {}
            Ties | AllEqual => {
                let different = if matches!(kind, Ties) { 3 } else { 1 };
                for id in different..n {
                    let from = rng.random_range(0..different) * k;
                    weight.copy_within(from..from + k, id * k);
                }
            }
            Nan => {
                weight.chunks_exact_mut(k).step_by(3).for_each(|row| row[0] = f32::NAN);
                x.chunks_exact_mut(k).step_by(5).for_each(|row| row[k - 1] = f32::NAN);
            }
            NoneAbove => {
                weight.chunks_exact_mut(k).for_each(|row| row[0] = f32::NEG_INFINITY);
                x.chunks_exact_mut(k).for_each(|row| row[0] = 1.0);
            }
            Infinite => {
                weight[n / 2 * k] = f32::INFINITY;
                weight[(n - 1) * k] = f32::INFINITY;
                x.chunks_exact_mut(k).for_each(|row| row[0] = 1.0);
            }
            Zeros => {
                x.iter_mut().enumerate().for_each(|(i, x)| *x = if i % 2 == 0 { 0.0 } else { -0.0 });
            }
        }
        let pitch = k.next_multiple_of(8) + 8;
        Head {
            x: Matrix::f32(device, &x, k, k + 4),
            weight: Matrix::half(device, storage, &weight, k, pitch),
            m,
            n,
            k,
        }
    }

    fn product(&self, rows: photon_rows, m: usize) -> photon_product {
        photon_product {
            x: self.x.start() as *const _,
            weight: self.weight.start() as *const _,
            rows,
            x_stride: self.x.pitch as i64,
            weight_stride: self.weight.pitch as i64,
            m: m as i32,
            n: self.n as i32,
            k: self.k as i32,
            eps: 1e-5,
        }
    }

    /// The logits that `project` writes.
    fn logits(&self, device: &Device, storage: Storage, norm: bool, bias: *const f32) -> Vec<f32> {
        let out = Matrix::f32(device, &vec![0.0; self.m * self.n], self.n, self.n);
        let params = photon_project_params {
            product: self.product(photon_rows::DENSE, self.m),
            bias,
            out: out.start(),
            to: photon_rows::DENSE,
            out_stride: self.n as i64,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.project(device.stream(), storage, norm, &params) }.expect("a launch");
        out.values("logits")
    }
}

fn draw(sampling: Sampling, forced: Option<u32>) -> Draw {
    Draw { sampling, sequence: 3, position: 17, forced }
}

#[test]
fn a_token_is_the_one_that_the_logits_give_whatever_they_hold_and_nothing_else_is_written() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(70));
    let mut scratch = Scratch::default();
    let mut shapes = BTreeSet::new();
    for case in 0..105 {
        // Every number of rows up to 70, then some again with as many outputs as the wide tiles take.
        let m = if case < 70 {
            case + 1
        } else {
            *[1, 8, 9, 16, 17, 32, 33, 64, 65, 70].choose(rng).expect("one")
        };
        let few = [1, 2, 15, 31, 32, 33, 63, 64, 65, 127, 128, 129, 500];
        let n = if case < 70 { *few.choose(rng).expect("one") } else { [2111, 4225][case % 2] };
        let k = *[4, 32, 60, 132].choose(rng).expect("one");
        let (storage, kind) = (STORAGES[case % 2], KINDS[case % KINDS.len()]);
        let (norm, with_bias) = (rng.random_bool(0.3), rng.random_bool(0.3));
        let head = Head::new(&device, rng, storage, kind, [m, n, k]);
        // Small ones, that leave ties to one another.
        let bias: Vec<f32> = (0..n).map(|_| [0.0, 0.25][rng.random_range(0..2)]).collect();
        let bias = device.upload(&bias);
        let bias = if with_bias { bias.at(0) as *const f32 } else { std::ptr::null() };
        let logits = head.logits(&device, storage, norm, bias);

        // The rows in another order, ids in blocks of 3 in every 5.
        let mut order: Vec<u32> = (0..m as u32).collect();
        rand::seq::SliceRandom::shuffle(&mut order[..], rng);
        let device_order = device.upload(&order);
        let place = |i: usize| 2 + i / 3 * 5 + i % 3;
        let to = photon_rows { list: std::ptr::null(), start: 2, len: 3, stride: 5 };
        let draws: Vec<Draw> = (0..m)
            .map(|_| {
                let forced = rng.random_bool(0.2).then(|| rng.random_range(0..n as u32));
                draw(Sampling { temperature: 0.0, ..Sampling::GREEDY }, forced)
            })
            .collect();
        let packed: Vec<photon_draw> = draws.iter().map(photon_draw::from).collect();
        let device_draws = device.upload(&packed);

        let (tiles, pitch) = (head_tiles(n), head_tiles(n) + case % 3);
        let keys = device.upload(&vec![POISON; m * pitch + 5]);
        let ids = device.upload(&vec![u32::MAX; place(m - 1) + 4]);
        let best = photon_lm_head_params {
            product: head.product(photon_rows { list: device_order.at(0), ..photon_rows::DENSE }, m),
            bias,
            best: keys.at(0),
            best_stride: pitch as i64,
        };
        let choose = photon_lm_head_pick_params {
            best: keys.at(0),
            draws: device_draws.at(0),
            ids: ids.at(0),
            to,
            best_stride: pitch as i64,
            m: m as i32,
            tiles: tiles as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe {
            device.kernels.lm_head_best(device.stream(), storage, norm, &best).expect("a launch");
            device.kernels.lm_head_pick(device.stream(), &choose).expect("a launch");
        }
        let shape = head_shape(m, n);
        shapes.insert(shape.to_string());
        let name = format!("{kind:?} {storage:?} {m}x{n}x{k} ({shape}) norm {norm} bias {with_bias}");
        let mut want = vec![u32::MAX; place(m - 1) + 4];
        for (i, draw) in draws.iter().enumerate() {
            let row = order[i] as usize;
            want[place(i)] = pick(&logits[row * n..(row + 1) * n], &mut scratch, draw);
        }
        assert_eq!(ids.download(), want, "{name}");
        for (i, key) in keys.download().into_iter().enumerate() {
            let inside = i / pitch < m && i % pitch < tiles;
            assert!(inside == (key != POISON), "{name}: key {i} (pitch {pitch}, {tiles} tiles) is {key:#x}");
        }
    }
    let all = ["skinny16x32", "skinny32x32", "skinny64x32", "skinny8x32", "tiled64x128", "tiled64x64"];
    assert_eq!(shapes.into_iter().collect::<Vec<_>>(), all, "shapes that were run");
}

#[test]
fn forced_tokens_need_no_keys() {
    let _turn = turn();
    let device = Device::new();
    let draws: Vec<photon_draw> =
        (0..9).map(|i| photon_draw::from(&draw(Sampling::GREEDY, Some(100 + i)))).collect();
    let (draws, ids) = (device.upload(&draws), device.upload(&[0u32; 9]));
    let params = photon_lm_head_pick_params {
        best: std::ptr::null(),
        draws: draws.at(0),
        ids: ids.at(0),
        to: photon_rows::DENSE,
        best_stride: 1,
        m: 9,
        tiles: 1,
    };
    // SAFETY: all operands are as large as the parameters say, and keys are not looked at.
    unsafe { device.kernels.lm_head_pick(device.stream(), &params) }.expect("a launch");
    assert_eq!(ids.download(), (100..109).collect::<Vec<u32>>());
}

#[test]
fn too_narrow_a_row_of_keys_is_refused() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(72));
    let head = Head::new(&device, rng, Storage::Bf16, Random, [1, 33, 32]);
    let keys = device.upload(&[POISON; 2]);
    let params = photon_lm_head_params {
        product: head.product(photon_rows::DENSE, 1),
        bias: std::ptr::null(),
        best: keys.at(0),
        best_stride: 1,
    };
    // SAFETY: nothing is launched.
    let error = unsafe { device.kernels.lm_head_best(device.stream(), Storage::Bf16, false, &params) };
    let message = error.expect_err("33 outputs have two keys").to_string();
    assert_eq!(message, "best_stride is 1; it must be ceil(n / 32) at least");
}

#[test]
fn a_greedy_row_gets_the_same_token_beside_greedy_rows_and_beside_one_that_is_drawn() {
    let _turn = turn();
    let rng = &mut rng(73);
    let backend = CudaBackend::new(CudaOptions::default()).expect("a GPU, real or simulated");
    // More rows than are worked on at once, in blocks that do not divide that number.
    for (m, block) in [(1, 1), (40, 3), (300, 7), (2100, 5)] {
        let (n, k) = (97, 32);
        let tensor = |name: &str, shape: &[usize], values: &[f32]| {
            Tensor::from_f32(name, shape, values).expect("a tensor").to_dtype(Dtype::Bf16)
        };
        let weight = tensor("lm_head.weight", &[n, k], &values(rng, n * k));
        let gain = tensor("norm.weight", &[k], &values(rng, k));
        let spec = LinearSpec {
            norm: (block % 2 == 0).then_some((&gain, 1e-5)),
            weights: &[&weight],
            bias: None,
            layout: Layout::Plain,
        };
        let head = backend.linear(spec).expect("a head");
        let from = RowMap::blocks(1, block, block + 1);
        let to = RowMap::blocks(2, 3, 4);
        let mut h = backend.buffer(from.end(m) * k).expect("a buffer");
        backend.write(&values(rng, from.end(m) * k), &mut h, 0).expect("a copy");
        let run = |draws: &[Draw]| -> Vec<u32> {
            let mut ids = backend.ids(to.end(m)).expect("ids");
            let mut all = vec![0; to.end(m)];
            backend.sample(&head, &h, from, draws, &mut ids, to).expect("tokens");
            backend.read_ids(&ids, 0, &mut all).expect("a copy");
            (0..m).map(|i| all[to.at(i)]).collect()
        };
        let hot = Sampling { temperature: 2.0, ..Sampling::GREEDY };
        let mut draws: Vec<Draw> = (0..m)
            .map(|i| {
                // Only the best is left of a top-k of 1.
                let sampling = if i % 2 == 0 { Sampling::GREEDY } else { Sampling { top_k: 1, ..hot } };
                draw(sampling, (i % 11 == 4).then_some(i as u32 % n as u32))
            })
            .collect();
        let best = run(&draws);
        draws[m - 1] = draw(hot, None);
        let mixed = run(&draws);
        assert_eq!(best[..m - 1], mixed[..m - 1], "{m} rows in blocks of {block}");
        let forced: Vec<Draw> = (0..m).map(|i| draw(hot, Some(i as u32 % 90))).collect();
        assert_eq!(run(&forced), (0..m).map(|i| i as u32 % 90).collect::<Vec<_>>());
    }
}
