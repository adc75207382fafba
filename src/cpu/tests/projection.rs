//! Linear maps: right against f64, and of the same bits however the work is divided.

use super::*;
use crate::backend::RowMap;

struct Case {
    k: usize,
    outs: Vec<usize>,
    gain: Option<Vec<f32>>,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    x: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, k: usize, outs: Vec<usize>, m: usize, norm: bool, bias: bool) -> Self {
        let n: usize = outs.iter().sum();
        Case {
            gain: norm.then(|| random.values(k)),
            weights: random.short(n * k),
            bias: bias.then(|| random.values(n)),
            x: random.values(m * k),
            k,
            outs,
        }
    }

    fn outputs(&self) -> usize {
        self.outs.iter().sum()
    }

    fn linear(&self, backend: &CpuBackend) -> CpuLinear {
        let mut rest = &self.weights[..];
        let blocks: Vec<Tensor> = self
            .outs
            .iter()
            .map(|&n| {
                let (block, after) = rest.split_at(n * self.k);
                rest = after;
                tensor("w", &[n, self.k], block)
            })
            .collect();
        let gain = self.gain.as_ref().map(|gain| tensor("gain", &[self.k], gain));
        let bias = self.bias.as_ref().map(|bias| tensor("bias", &[bias.len()], bias));
        backend
            .linear(LinearSpec {
                norm: gain.as_ref().map(|gain| (gain, 1e-5)),
                weights: &blocks.iter().collect::<Vec<_>>(),
                bias: bias.as_ref(),
                layout: Layout::Plain,
            })
            .unwrap()
    }

    fn want(&self, row: usize) -> Vec<f64> {
        let mut x = wide(&self.x[row * self.k..(row + 1) * self.k]);
        if let Some(gain) = &self.gain {
            x = rms_norm(&x, gain, 1e-5);
        }
        let mut y = product(&x, &self.weights, self.outputs());
        if let Some(bias) = &self.bias {
            y.iter_mut().zip(bias).for_each(|(y, &b)| *y += f64::from(b));
        }
        y
    }

    /// The outputs of some rows, by one call.
    fn project(&self, backend: &CpuBackend, from: RowMap<'_>, n: usize) -> Vec<f32> {
        let linear = self.linear(backend);
        let mut out = backend.buffer(n * self.outputs()).unwrap();
        let x = buffer(backend, &self.x);
        backend.project(&linear, &x, from, n, &mut out, RowMap::DENSE, self.outputs()).unwrap();
        contents(backend, &out)
    }
}

#[test]
fn projections_agree_with_f64_at_every_edge() {
    let mut random = Random(3);
    for backend in backends() {
        for round in 0..150 {
            let outs = (0..random.within(1..=3)).map(|_| random.within(1..=40)).collect();
            let (k, m) = (random.within(1..=70), random.within(1..=40));
            let case = Case::new(&mut random, k, outs, m, round % 2 == 0, round % 3 == 0);
            let got = case.project(&backend, RowMap::DENSE, m);
            for (row, got) in got.chunks_exact(case.outputs()).enumerate() {
                close(got, &case.want(row), 2e-6, &format!("{:?} k {k} m {m}", backend.isa()));
            }
        }
    }
}

#[test]
fn wide_maps_agree_with_f64_in_tiles_of_every_width() {
    let mut random = Random(11);
    for backend in backends() {
        for n in [16, 48, 64, 127, 128, 145, 272, 400] {
            for m in (1..=13).chain([17, 25]) {
                let case = Case::new(&mut random, 19, vec![n, 37], m, n % 3 == 0, n % 2 == 0);
                let got = case.project(&backend, RowMap::DENSE, m);
                for (row, got) in got.chunks_exact(case.outputs()).enumerate() {
                    close(got, &case.want(row), 2e-6, &format!("{:?} n {n} m {m}", backend.isa()));
                }
            }
        }
    }
}

#[test]
fn long_sums_agree_with_f64_across_blocks() {
    let mut random = Random(4);
    for backend in backends() {
        for (k, m) in [(1024, 3), (1025, 20), (2500, 1), (4096, 17), (1664, 140)] {
            let case = Case::new(&mut random, k, vec![13], m, k % 2 == 0, true);
            let got = case.project(&backend, RowMap::DENSE, m);
            for (row, got) in got.chunks_exact(13).enumerate() {
                close(got, &case.want(row), 2e-6, &format!("{:?} k {k} m {m}", backend.isa()));
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_whatever_shares_the_call() {
    let mut random = Random(5);
    for backend in backends() {
        for k in [7, 64, 208, 1700] {
            let case = Case::new(&mut random, k, vec![11, 102], 150, k == 208, k == 7);
            let n = case.outputs();
            let alone: Vec<u32> =
                (0..150).flat_map(|i| bits(&case.project(&backend, RowMap::from(i), 1))).collect();
            for m in [2, 3, 4, 5, 6, 7, 9, 13, 14, 15, 16, 17, 31, 64, 131, 150] {
                let got = bits(&case.project(&backend, RowMap::DENSE, m));
                assert!(got == alone[..m * n], "{:?} {:?} k {k} m {m}", backend.isa(), backend.dtype());
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let mut random = Random(6);
    for (k, n, m) in [(208, 4096, 1), (1664, 500, 3), (416, 300, 150), (100, 1000, 20)] {
        let case = Case::new(&mut random, k, vec![n], m, true, true);
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let one = case.project(&backend(Isa::best(), dtype, 1), RowMap::DENSE, m);
            for threads in [2, 3, 5] {
                let many = case.project(&backend(Isa::best(), dtype, threads), RowMap::DENSE, m);
                assert!(bits(&one) == bits(&many), "{threads} threads, k {k} n {n} m {m}");
            }
        }
    }
}

#[test]
fn avx2_and_avx512_give_the_same_bits() {
    if !Isa::Avx512.available() {
        return;
    }
    let mut random = Random(7);
    for round in 0..60 {
        let (k, n, m) = (random.within(1..=1500), random.within(1..=40), random.within(1..=30));
        let case = Case::new(&mut random, k, vec![n], m, round % 2 == 0, false);
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let [a, b] = [Isa::Avx2, Isa::Avx512]
                .map(|isa| bits(&case.project(&backend(isa, dtype, 1), RowMap::DENSE, m)));
            assert!(a == b, "k {k} n {n} m {m} {dtype:?}");
        }
    }
}

#[test]
fn only_the_rows_of_the_maps_are_read_and_written() {
    let mut random = Random(8);
    for backend in backends() {
        for _ in 0..30 {
            let (k, n, m) = (random.within(1..=40), random.within(1..=20), random.within(1..=20));
            let mut case = Case::new(&mut random, k, vec![n], m, true, false);
            let want: Vec<Vec<f64>> = (0..m).map(|row| case.want(row)).collect();
            // Every third row of the input is real, the rest is poison; the output goes to a shuffled list.
            let mut x = vec![f32::NAN; (3 * m + 1) * k];
            for i in 0..m {
                x[(3 * i + 1) * k..(3 * i + 2) * k].copy_from_slice(&case.x[i * k..(i + 1) * k]);
            }
            case.x = x;
            let mut places: Vec<usize> = (0..2 * m).collect();
            for i in (1..places.len()).rev() {
                places.swap(i, random.below(i + 1));
            }
            places.truncate(m);
            let sentinel = f32::from_bits(0x7FC1_2345);
            let mut out = buffer(&backend, &vec![sentinel; 2 * m * n + 5]);
            let (x, linear) = (buffer(&backend, &case.x), case.linear(&backend));
            backend.project(&linear, &x, RowMap::every(1, 3), m, &mut out, RowMap::List(&places), n).unwrap();
            let got = contents(&backend, &out);
            let mut untouched = vec![true; got.len()];
            for (i, &place) in places.iter().enumerate() {
                close(&got[place * n..(place + 1) * n], &want[i], 2e-6, "row map");
                untouched[place * n..(place + 1) * n].fill(false);
            }
            for (x, untouched) in got.iter().zip(untouched) {
                assert!(!untouched || x.to_bits() == sentinel.to_bits(), "a neighbour was written");
            }
        }
    }
}

#[test]
fn a_converter_fills_consecutive_rows_of_strided_windows() {
    let mut random = Random(9);
    let (d, r, window, m) = (12, 2, 5, 3);
    let case = Case::new(&mut random, d, vec![r * d], m, false, true);
    for backend in backends() {
        let mut out = buffer(&backend, &vec![f32::NAN; window * m * d]);
        let (x, linear) = (buffer(&backend, &case.x), case.linear(&backend));
        backend.project(&linear, &x, RowMap::DENSE, m, &mut out, RowMap::every(0, window), d).unwrap();
        let got = contents(&backend, &out);
        for i in 0..m {
            let at = i * window * d;
            close(&got[at..at + r * d], &case.want(i), 2e-6, "converter");
            assert!(got[at + r * d..at + window * d].iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
fn residual_and_gated_projections_agree_with_f64() {
    let mut random = Random(10);
    for backend in backends() {
        for _ in 0..40 {
            let (k, n, m) = (random.within(1..=70), random.within(1..=40), random.within(1..=30));
            let case = Case::new(&mut random, k, vec![n, n], m, true, false);
            let (linear, x) = (case.linear(&backend), buffer(&backend, &case.x));
            let start = random.values(m * 2 * n);
            let mut sum = buffer(&backend, &start);
            let mut gated = backend.buffer(m * n).unwrap();
            backend.project_add(&linear, &x, m, &mut sum).unwrap();
            backend.gate_up(&linear, &x, m, &mut gated).unwrap();
            let (sum, gated) = (contents(&backend, &sum), contents(&backend, &gated));
            for i in 0..m {
                let want = case.want(i);
                let added: Vec<f64> =
                    want.iter().zip(&start[i * 2 * n..]).map(|(y, &x)| y + f64::from(x)).collect();
                close(&sum[i * 2 * n..(i + 1) * 2 * n], &added, 3e-6, "residual");
                let (gate, up) = want.split_at(n);
                let want: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                close(&gated[i * n..(i + 1) * n], &want, 1e-5, "gate");
            }
        }
    }
}
