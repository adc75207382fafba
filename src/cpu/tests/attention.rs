//! Attention: right against f64, and the same whichever way rows are cut into calls.

use super::*;
use crate::backend::{Attention, KvCache};

const THETA: f64 = 100.0;

/// One layer's QKV map and some rows of input.
struct Case {
    heads: Heads,
    d: usize,
    weights: Vec<f32>,
    x: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, heads: Heads, rows: usize) -> Self {
        let d = random.within(3..=40);
        let weights = random.short(heads.packed() * d);
        // Short, so that no instruction set rounds them.
        Case { heads, d, weights, x: random.short(rows * d) }
    }

    fn linear(&self, backend: &CpuBackend) -> CpuLinear {
        plain(backend, self.heads.packed(), self.d, &self.weights)
    }

    /// Rows of one sequence at positions from 0, attended to in f64. `round`: how keys and values are stored.
    fn want(&self, rows: std::ops::Range<usize>, round: impl Fn(f64) -> f64) -> Vec<f64> {
        let Heads { query, kv, head_dim } = self.heads;
        let mut packed: Vec<Vec<f64>> = Vec::new();
        for (position, i) in rows.enumerate() {
            let mut row =
                product(&wide(&self.x[i * self.d..(i + 1) * self.d]), &self.weights, self.heads.packed());
            for head in row[..(query + kv) * head_dim].chunks_exact_mut(head_dim) {
                for i in 0..head_dim / 2 {
                    let angle = position as f64 * THETA.powf(-2.0 * i as f64 / head_dim as f64);
                    let (a, b) = (head[i], head[i + head_dim / 2]);
                    head[i] = a * angle.cos() - b * angle.sin();
                    head[i + head_dim / 2] = b * angle.cos() + a * angle.sin();
                }
            }
            row[query * head_dim..].iter_mut().for_each(|x| *x = round(*x));
            packed.push(row);
        }
        let mut out = Vec::new();
        for (i, row) in packed.iter().enumerate() {
            for h in 0..query {
                let q = &row[h * head_dim..(h + 1) * head_dim];
                let k = (query + h / (query / kv)) * head_dim;
                let v = k + kv * head_dim;
                let dot = |key: &Vec<f64>| q.iter().zip(&key[k..]).map(|(a, b)| a * b).sum::<f64>();
                let scores: Vec<f64> =
                    packed[..=i].iter().map(|key| (dot(key) / (head_dim as f64).sqrt()).exp()).collect();
                let sum: f64 = scores.iter().sum();
                out.extend(
                    (0..head_dim).map(|c| {
                        scores.iter().zip(&packed).map(|(s, row)| s * row[v + c]).sum::<f64>() / sum
                    }),
                );
            }
        }
        out
    }

    /// One pass over rows of `x` beginning with `first`.
    fn pass(
        &self,
        backend: &CpuBackend,
        first: usize,
        n: usize,
        attention: &mut Attention<'_, CpuBackend>,
    ) -> Vec<f32> {
        let linear = self.linear(backend);
        let x = buffer(backend, &self.x[first * self.d..(first + n) * self.d]);
        // What lies in the buffers before a pass must not matter.
        let mut packed = buffer(backend, &vec![f32::NAN; n * self.heads.packed()]);
        let mut out = buffer(backend, &vec![f32::NAN; n * self.heads.query_width() + 7]);
        backend.qkv(&linear, self.heads, THETA, &x, n, 0, attention, &mut packed).unwrap();
        backend.attend(self.heads, &packed, n, 0, attention, &mut out).unwrap();
        backend.commit(attention).unwrap();
        let mut out = contents(backend, &out);
        assert!(out.split_off(n * self.heads.query_width()).iter().all(|x| x.is_nan()), "sentinel");
        out
    }
}

fn geometries(random: &mut Random) -> Vec<Heads> {
    let mut all: Vec<Heads> = [2, 10, 16, 30, 32, 40, 48, 52, 56, 60, 64, 66, 80, 96, 114, 128, 130]
        .into_iter()
        .map(|head_dim| {
            let kv = random.within(1..=3);
            Heads { kv, query: kv * random.within(1..=4), head_dim }
        })
        .collect();
    all.push(Heads { kv: 1, query: 16, head_dim: 12 });
    all
}

fn to_bf16(x: f64) -> f64 {
    half::bf16::from_f64(x).to_f64()
}

#[test]
fn streams_agree_with_f64_for_every_head_width() {
    let mut random = Random(20);
    for backend in backends() {
        for heads in geometries(&mut random) {
            let n = random.within(1..=40);
            let case = Case::new(&mut random, heads, n);
            let mut caches = [backend.cache(1, heads, 3).unwrap()];
            let mut attention = Attention::Stream { caches: &mut caches, lanes: &[0], rows: &[n] };
            let got = case.pass(&backend, 0, n, &mut attention);
            let what = format!("{:?} {heads:?} {n} rows", backend.isa());
            match backend.dtype() {
                Dtype::F32 => close(&got, &case.want(0..n, |x| x), 1e-5, &what),
                // A key on the edge between two bfloat16 may round either way.
                _ => close(&got, &case.want(0..n, to_bf16), 5e-3, &what),
            }
            assert_eq!(caches[0].len(), n);
        }
    }
}

#[test]
fn ragged_streams_give_each_sequence_what_it_gets_alone() {
    let mut random = Random(21);
    for backend in backends().chain([backend(Isa::best(), Dtype::Bf16, 3)]) {
        for heads in [HEADS, Heads { query: 4, kv: 4, head_dim: 52 }] {
            let lengths = [5, 1, 33, 14];
            let total: usize = lengths.iter().sum();
            let case = Case::new(&mut random, heads, total);
            let mut caches: Vec<_> = lengths.iter().map(|_| backend.cache(1, heads, 0).unwrap()).collect();
            let mut attention =
                Attention::Stream { caches: &mut caches, lanes: &[0, 1, 2, 3], rows: &lengths };
            let together = case.pass(&backend, 0, total, &mut attention);
            let mut first = 0;
            for n in lengths {
                // Alone, and moreover row by row.
                let mut caches = [0, 100].map(|capacity| backend.cache(1, heads, capacity).unwrap());
                for i in first..first + n {
                    let mut attention = Attention::Stream { caches: &mut caches, lanes: &[1], rows: &[1] };
                    let alone = case.pass(&backend, i, 1, &mut attention);
                    let width = heads.query_width();
                    assert!(bits(&alone) == bits(&together[i * width..(i + 1) * width]), "row {i}");
                }
                first += n;
            }
        }
    }
}

#[test]
fn chunks_agree_with_f64_and_steps_give_the_same_bits() {
    let mut random = Random(22);
    for backend in backends() {
        for heads in geometries(&mut random) {
            let (window, chunks) = (random.within(1..=9), random.within(1..=4));
            let n = window * chunks;
            let case = Case::new(&mut random, heads, n);
            let whole = case.pass(&backend, 0, n, &mut Attention::Chunks { window });
            let width = heads.query_width();
            for c in 0..chunks {
                let got = &whole[c * window * width..(c + 1) * window * width];
                close(got, &case.want(c * window..(c + 1) * window, |x| x), 1e-5, &format!("{heads:?}"));
            }
            // The same in two steps of all chunks, cut anywhere.
            let cut = random.within(0..=window);
            let mut local = backend.local(1, heads, chunks + 1, window).unwrap();
            for (position, rows) in [(0, cut), (cut, window - cut)] {
                if rows == 0 {
                    continue;
                }
                let mut x = Vec::new();
                for c in 0..chunks {
                    let at = (c * window + position) * case.d;
                    x.extend_from_slice(&case.x[at..at + rows * case.d]);
                }
                let step = Case { heads, d: case.d, weights: case.weights.clone(), x };
                let mut attention = Attention::Step { local: &mut local, position, rows };
                let got = step.pass(&backend, 0, chunks * rows, &mut attention);
                for c in 0..chunks {
                    let want = &whole[(c * window + position) * width..][..rows * width];
                    assert!(bits(&got[c * rows * width..(c + 1) * rows * width]) == bits(want));
                }
            }
        }
    }
}

#[test]
fn avx2_and_avx512_attend_with_the_same_bits() {
    if !Isa::Avx512.available() {
        return;
    }
    let mut random = Random(23);
    for heads in geometries(&mut random) {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let case = Case::new(&mut random, heads, 35);
            let [a, b] = [Isa::Avx2, Isa::Avx512].map(|isa| {
                let backend = backend(isa, dtype, 1);
                let mut caches = [backend.cache(1, heads, 3).unwrap()];
                let mut attention = Attention::Stream { caches: &mut caches, lanes: &[0], rows: &[35] };
                bits(&case.pass(&backend, 0, 35, &mut attention))
            });
            assert!(a == b, "{heads:?} {dtype:?}");
        }
    }
}

#[test]
fn a_truncated_cache_continues_as_if_nothing_had_been_there() {
    let mut random = Random(24);
    let backend = backend(Isa::best(), Dtype::Bf16, 1);
    let case = Case::new(&mut random, HEADS, 20);
    let mut cache = backend.cache(1, HEADS, 4).unwrap();
    let pass = |cache: &mut crate::cpu::CpuCache, first, n: usize| {
        let caches = std::slice::from_mut(cache);
        case.pass(&backend, first, n, &mut Attention::Stream { caches, lanes: &[0], rows: &[n] })
    };
    let whole = pass(&mut cache, 0, 20);
    cache.truncate(7).unwrap();
    let again = pass(&mut cache, 7, 13);
    assert!(bits(&again) == bits(&whole[7 * HEADS.query_width()..]));
    assert!(cache.truncate(21).is_err());
}

#[test]
fn nan_in_a_later_row_never_reaches_an_earlier_one() {
    let mut random = Random(25);
    for backend in backends() {
        let mut case = Case::new(&mut random, HEADS, 12);
        let width = HEADS.query_width();
        let clean = case.pass(&backend, 0, 12, &mut Attention::Chunks { window: 6 });
        case.x[3 * case.d..4 * case.d].fill(f32::NAN);
        let got = case.pass(&backend, 0, 12, &mut Attention::Chunks { window: 6 });
        assert!(bits(&got[..3 * width]) == bits(&clean[..3 * width]));
        assert!(bits(&got[6 * width..]) == bits(&clean[6 * width..]));
    }
}
