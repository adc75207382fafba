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

    /// A row's inputs, as exactly as they are known before they are multiplied.
    fn inputs(&self, backend: &CpuBackend, row: usize) -> Vec<f64> {
        let x = &self.x[row * self.k..(row + 1) * self.k];
        match &self.gain {
            Some(gain) => rms_norm(&wide(x), gain, 1e-5),
            None => multiplied(backend, x),
        }
    }

    fn want(&self, backend: &CpuBackend, row: usize) -> Vec<f64> {
        let mut y = product(&self.inputs(backend, row), &self.weights, self.outputs());
        if let Some(bias) = &self.bias {
            y.iter_mut().zip(bias).for_each(|(y, &b)| *y += f64::from(b));
        }
        y
    }

    /// How far a row's results may be from [`Case::want`]: 2e-6 of the greatest for sums in f32, and half a step of bfloat16 for
    /// each input that is rounded behind a norm.
    fn bounds(&self, backend: &CpuBackend, row: usize) -> Vec<f64> {
        let want = self.want(backend, row);
        let floor = 2e-6 * want.iter().fold(0.5, |most: f64, x| most.max(x.abs()));
        let step = if rounds(backend) && self.gain.is_some() { 1.01 / 256.0 } else { 0.0 };
        let x: Vec<f64> = self.inputs(backend, row).iter().map(|x| x.abs() * step).collect();
        let w: Vec<f32> = self.weights.iter().map(|w| w.abs()).collect();
        product(&x, &w, self.outputs()).into_iter().map(|bound| bound + floor).collect()
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
                within(
                    got,
                    &case.want(&backend, row),
                    &case.bounds(&backend, row),
                    &format!("{:?} k {k} m {m}", backend.isa()),
                );
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
                    within(
                        got,
                        &case.want(&backend, row),
                        &case.bounds(&backend, row),
                        &format!("{:?} n {n} m {m}", backend.isa()),
                    );
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
                within(
                    got,
                    &case.want(&backend, row),
                    &case.bounds(&backend, row),
                    &format!("{:?} k {k} m {m}", backend.isa()),
                );
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

/// Every way to keep matrices: the dtype of activations and caches, and whether weights are int8.
const KINDS: [(Dtype, bool); 4] =
    [(Dtype::F32, false), (Dtype::Bf16, false), (Dtype::F32, true), (Dtype::Bf16, true)];

#[test]
fn threads_do_not_change_a_bit() {
    let mut random = Random(6);
    for (k, n, m) in [(208, 4096, 1), (1664, 500, 3), (416, 300, 150), (100, 1000, 20)] {
        let case = Case::new(&mut random, k, vec![n], m, true, true);
        for (dtype, int8) in KINDS {
            let with = |threads| {
                CpuBackend::new(CpuOptions { dtype, int8, threads: Some(threads), isa: None }).unwrap()
            };
            let one = case.project(&with(1), RowMap::DENSE, m);
            for threads in [2, 3, 5] {
                let many = case.project(&with(threads), RowMap::DENSE, m);
                assert!(bits(&one) == bits(&many), "{threads} threads, k {k} n {n} m {m}, int8 {int8}");
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
        for (dtype, int8) in KINDS {
            let [a, b] = [Isa::Avx2, Isa::Avx512].map(|isa| {
                let options = CpuOptions { dtype, int8, threads: Some(1), isa: Some(isa) };
                bits(&case.project(&CpuBackend::new(options).unwrap(), RowMap::DENSE, m))
            });
            assert!(a == b, "k {k} n {n} m {m} {dtype:?}, int8 {int8}");
        }
    }
}

#[test]
fn what_an_earlier_call_left_in_the_scratch_does_not_meet_the_padding() {
    let mut random = Random(23);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for (dtype, int8) in KINDS {
            let backend =
                CpuBackend::new(CpuOptions { dtype, int8, threads: Some(1), isa: Some(isa) }).unwrap();
            for k in [1, 2, 3, 5, 6, 511, 513, 1025] {
                // Padded weights are zero, which hides anything finite and no NaN.
                let mut dirt = Case::new(&mut random, 2048, vec![5], 4, false, false);
                dirt.x.fill(f32::NAN);
                dirt.project(&backend, RowMap::DENSE, 4);
                let case = Case::new(&mut random, k, vec![5], 3, k % 2 == 0, true);
                let got = case.project(&backend, RowMap::DENSE, 3);
                assert!(got.iter().all(|y| y.is_finite()), "{isa:?} {dtype:?} int8 {int8} k {k}: {got:?}");
            }
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
            let want: Vec<Vec<f64>> = (0..m).map(|row| case.want(&backend, row)).collect();
            let bounds: Vec<Vec<f64>> = (0..m).map(|row| case.bounds(&backend, row)).collect();
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
                within(&got[place * n..(place + 1) * n], &want[i], &bounds[i], "row map");
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
            close(&got[at..at + r * d], &case.want(&backend, i), 2e-6, "converter");
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
                let want = case.want(&backend, i);
                let added: Vec<f64> =
                    want.iter().zip(&start[i * 2 * n..]).map(|(y, &x)| y + f64::from(x)).collect();
                let bounds: Vec<f64> = case.bounds(&backend, i).iter().map(|bound| 1.5 * bound).collect();
                within(&sum[i * 2 * n..(i + 1) * 2 * n], &added, &bounds, "residual");
                let (gate, up) = want.split_at(n);
                // The slope of x · sigmoid(x) is at most 1.1.
                let bounds: Vec<f64> = (0..n)
                    .map(|j| {
                        1.1 * (bounds[j] * (up[j].abs() + bounds[n + j]) + gate[j].abs() * bounds[n + j])
                            + 1e-5
                    })
                    .collect();
                let want: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                within(&gated[i * n..(i + 1) * n], &want, &bounds, "gate");
            }
        }
    }
}

/// A backend whose matrices are int8.
fn quantized(isa: Isa, dtype: Dtype) -> CpuBackend {
    CpuBackend::new(CpuOptions { dtype, int8: true, threads: Some(1), isa: Some(isa) }).unwrap()
}

fn quantized_backends() -> impl Iterator<Item = CpuBackend> {
    Isa::ALL
        .into_iter()
        .filter(|isa| isa.available())
        .flat_map(|isa| [Dtype::F32, Dtype::Bf16].map(|dtype| quantized(isa, dtype)))
}

/// Rows of weights as int8 keeps them: the nearest multiples of 1/127 of the greatest.
fn rounded(weights: &[f32], k: usize) -> Vec<f32> {
    weights
        .chunks_exact(k)
        .flat_map(|row| {
            let scale = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
            let steps = move |x: &f32| if scale > 0.0 { (x / scale).round_ties_even() } else { 0.0 };
            row.iter().map(move |x| steps(x) * scale)
        })
        .collect()
}

#[test]
fn int8_products_are_those_of_the_rounded_weights() {
    let mut random = Random(20);
    for backend in quantized_backends() {
        for round in 0..100 {
            let (k, m) = (random.within(1..=1200), random.within(1..=40));
            let outs = vec![random.within(1..=70), random.within(1..=40)];
            let mut case = Case::new(&mut random, k, outs, m, round % 2 == 0, round % 3 == 0);
            let got = case.project(&backend, RowMap::DENSE, m);
            case.weights = rounded(&case.weights, k);
            for (row, got) in got.chunks_exact(case.outputs()).enumerate() {
                let bounds: Vec<f64> = case.bounds(&backend, row).iter().map(|bound| 5.0 * bound).collect();
                within(got, &case.want(&backend, row), &bounds, &format!("{:?} k {k} m {m}", backend.isa()));
            }
        }
    }
}

#[test]
fn int8_weights_are_off_by_half_a_step_of_their_row_at_most() {
    let mut random = Random(21);
    let backend = quantized(Isa::best(), Dtype::F32);
    for (k, size) in [(1, 1.0), (7, 1e-30), (300, 1e30), (512, 3.0)] {
        let mut case = Case::new(&mut random, k, vec![40], k, false, false);
        case.weights.iter_mut().for_each(|w| *w *= size);
        // Unit vectors read the weights back.
        case.x = (0..k * k).map(|i| if i % (k + 1) == 0 { 1.0 } else { 0.0 }).collect();
        let got = case.project(&backend, RowMap::DENSE, k);
        for (j, row) in case.weights.chunks_exact(k).enumerate() {
            let step = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
            for (i, w) in row.iter().enumerate() {
                let read = got[i * 40 + j];
                assert!((read - w).abs() <= 0.5001 * step, "k {k}: {w} is kept as {read}, step {step}");
            }
        }
    }
}

#[test]
fn int8_weights_are_made_of_the_weights_as_they_are_and_not_of_their_roundings() {
    // In bfloat16 the second is 0.94140625, and 120 steps of 1/127 instead of 119.
    let weights = [1.0, 0.9395];
    for backend in quantized_backends() {
        let linear = plain(&backend, 1, 2, &weights);
        let mut out = backend.buffer(1).unwrap();
        backend
            .project(&linear, &buffer(&backend, &[0.0, 1.0]), RowMap::DENSE, 1, &mut out, RowMap::DENSE, 1)
            .unwrap();
        assert_eq!(contents(&backend, &out), [119.0 * (1.0 / 127.0f32)], "{:?}", backend.isa());
    }
}

#[test]
fn int8_holds_every_integer_up_to_127_exactly() {
    let weights: Vec<f32> = (-127..=127).map(|w| w as f32).collect();
    let k = weights.len();
    for backend in quantized_backends() {
        let linear = plain(&backend, 1, k, &weights);
        let unit: Vec<f32> = (0..k * k).map(|i| if i % (k + 1) == 0 { 1.0 } else { 0.0 }).collect();
        let mut out = backend.buffer(k).unwrap();
        backend
            .project(&linear, &buffer(&backend, &unit), RowMap::DENSE, k, &mut out, RowMap::DENSE, 1)
            .unwrap();
        assert_eq!(contents(&backend, &out), weights, "{:?}", backend.isa());
    }
}

#[test]
fn int8_rows_of_zeros_are_zero_and_tiny_ones_finite() {
    for backend in quantized_backends() {
        let weights = [0.0, 0.0, 1e-42, -1e-42, 1.0, -1.0];
        let linear = plain(&backend, 3, 2, &weights);
        let mut out = backend.buffer(3).unwrap();
        backend
            .project(&linear, &buffer(&backend, &[2.0, 1.0]), RowMap::DENSE, 1, &mut out, RowMap::DENSE, 3)
            .unwrap();
        let got = contents(&backend, &out);
        assert_eq!(got[0], 0.0);
        assert!(got[1].abs() < 1e-40, "{}", got[1]);
        assert_eq!(got[2], 1.0);
    }
}

#[test]
fn an_int8_row_has_the_same_bits_whatever_shares_the_call() {
    let mut random = Random(22);
    for backend in quantized_backends() {
        let case = Case::new(&mut random, 1100, vec![102], 40, true, true);
        let alone: Vec<u32> =
            (0..40).flat_map(|i| bits(&case.project(&backend, RowMap::from(i), 1))).collect();
        for m in [2, 3, 5, 12, 13, 25, 40] {
            assert!(
                bits(&case.project(&backend, RowMap::DENSE, m)) == alone[..m * 102],
                "{:?} m {m}",
                backend.isa()
            );
        }
    }
}

#[test]
fn activations_are_rounded_to_the_nearest_bf16_where_the_instruction_needs_them_so() {
    if !Isa::Avx512Bf16.available() {
        return;
    }
    // Ties, values next to ties, the greatest, and what rounds to infinity; a unit weight gives the rounded value back.
    let x: Vec<f32> =
        [0x3F80_8000, 0x3F81_8000, 0x3F80_8001, 0x3F80_7FFF, 0x7F7F_7FFF, 0xBF80_C000, 0x7F7F_FFFF]
            .map(f32::from_bits)
            .into();
    let backend = backend(Isa::Avx512Bf16, Dtype::Bf16, 1);
    let linear = plain(&backend, 1, 1, &[1.0]);
    let mut out = backend.buffer(x.len()).unwrap();
    backend
        .project(&linear, &buffer(&backend, &x), RowMap::DENSE, x.len(), &mut out, RowMap::DENSE, 1)
        .unwrap();
    let want: Vec<f32> = x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
    assert_eq!(contents(&backend, &out), want);
}
