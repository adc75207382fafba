//! stream_attention.

use photon_kernels::cuda::raw::{Storage, blocked_kv, stream_decodes, stream_partial};
use photon_kernels::cuda::sys::*;
use rand::RngExt;
use rand::rngs::StdRng;

use super::device::{Device, STORAGES, rng, round, turn, values};
use super::judge::judge;
use super::local::attend;
use super::matrix::Matrix;

const BLOCK: usize = PHOTON_KV_BLOCK as usize;
const SEGMENT: usize = PHOTON_KEY_SEGMENT as usize;

/// A batch of sequences with their caches.
struct Batch {
    storage: Storage,
    dim: usize,
    kv: usize,
    group: usize,
    /// Units before the new rows, and new rows, of each sequence.
    sequences: Vec<(usize, usize)>,
    queries: Vec<f32>,
    /// `[sequence][key or value][head][unit][dim]`
    caches: Vec<Vec<f32>>,
}

impl Batch {
    fn new(
        rng: &mut StdRng,
        storage: Storage,
        dim: usize,
        kv: usize,
        group: usize,
        sequences: &[(usize, usize)],
    ) -> Batch {
        let mut random = |len: usize, scale: f32| -> Vec<f32> {
            values(rng, len).into_iter().map(|x| round(storage, scale * x)).collect()
        };
        let rows: usize = sequences.iter().map(|s| s.1).sum();
        Batch {
            storage,
            dim,
            kv,
            group,
            sequences: sequences.to_vec(),
            queries: random(rows * kv * group * dim, 3.0),
            caches: sequences.iter().map(|(len, rows)| random(2 * kv * (len + rows) * dim, 2.0)).collect(),
        }
    }

    fn unit(&self, s: usize, value: usize, head: usize, unit: usize) -> &[f32] {
        let units = self.sequences[s].0 + self.sequences[s].1;
        &self.caches[s][((value * self.kv + head) * units + unit) * self.dim..][..self.dim]
    }

    /// The first units of the first sequence.
    fn beginning(&self, units: usize) -> Vec<f32> {
        let mut all = Vec::new();
        for (value, head) in (0..2).flat_map(|value| (0..self.kv).map(move |head| (value, head))) {
            all.extend((0..units).flat_map(|unit| self.unit(0, value, head, unit)));
        }
        all
    }

    /// Runs the kernel on the entries `which`; the rows of their results, in bits.
    fn run(&self, device: &Device, which: &[usize]) -> Vec<f32> {
        let (storage, dim, kv, width) = (self.storage, self.dim, self.kv, self.dim.next_multiple_of(8));
        let heads = kv * self.group;
        let block = 2 * kv * BLOCK * width;
        // Blocks of a sequence; padding of heads zero as appending leaves it, units that do not exist NaN.
        let caches: Vec<Matrix<u16>> = which
            .iter()
            .map(|&s| {
                let units = self.sequences[s].0 + self.sequences[s].1;
                let mut all = vec![f32::NAN; units.div_ceil(BLOCK) * block];
                for value in 0..2 {
                    for head in 0..kv {
                        for unit in 0..units {
                            let at =
                                unit / BLOCK * block + ((value * kv + head) * BLOCK + unit % BLOCK) * width;
                            all[at..at + dim].copy_from_slice(self.unit(s, value, head, unit));
                            all[at + dim..at + width].fill(0.0);
                        }
                    }
                }
                Matrix::half(device, storage, &all, block, block)
            })
            .collect();
        let addresses: Vec<u64> = caches.iter().map(|cache| cache.start() as u64).collect();
        let (mut first_row, mut rows) = (vec![0u32], Vec::new());
        for &s in which {
            let before: usize = self.sequences[..s].iter().map(|s| s.1).sum();
            rows.extend(before..before + self.sequences[s].1);
            first_row.push(rows.len() as u32);
        }
        let queries: Vec<f32> = rows
            .iter()
            .flat_map(|row| self.queries[row * heads * dim..(row + 1) * heads * dim].to_vec())
            .collect();
        let most_rows = which.iter().map(|&s| self.sequences[s].1).max().unwrap_or(0);
        let segments = which
            .iter()
            .map(|&s| (self.sequences[s].0 + self.sequences[s].1).div_ceil(SEGMENT))
            .max()
            .unwrap_or(1)
            .max(1);
        let query = Matrix::half(device, storage, &queries, heads * dim, heads * dim + 4);
        let out = Matrix::half(device, storage, &vec![0.0; queries.len()], heads * dim, heads * dim + 8);
        let sequences = device.upload(&addresses);
        let first_rows = device.upload(&first_row);
        let slots = device.upload(&(0..which.len() as u32).collect::<Vec<_>>());
        let lengths = device.upload(&which.iter().map(|&s| self.sequences[s].0 as u32).collect::<Vec<_>>());
        let counts = stream_partial(which.len(), kv, segments, most_rows * self.group, dim);
        let needed = stream_decodes(most_rows, self.group) && counts.0 > 0;
        let partial = device.upload(&vec![f32::NAN; counts.0.max(1)]);
        let arrived = device.upload(&vec![0u32; counts.1.max(1)]);
        let params = photon_stream_attention_params {
            query: query.start() as *const _,
            query_stride: query.pitch as i64,
            kv: photon_kv { sequences: sequences.at(0) as *const _, ..blocked_kv(1, kv, dim, 0) },
            out: out.start().cast(),
            out_stride: out.pitch as i64,
            first_row: first_rows.at(0),
            slot: slots.at(0),
            length: lengths.at(0),
            partial: if needed { partial.at(0) } else { std::ptr::null_mut() },
            arrived: if needed { arrived.at(0) } else { std::ptr::null_mut() },
            sequences: which.len() as i32,
            segments: segments as i32,
            queries: (most_rows * self.group) as i32,
            heads: heads as i32,
            kv_heads: kv as i32,
            head_dim: dim as i32,
            scale: 1.0 / (dim as f32).sqrt(),
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.stream_attention(device.stream(), storage, most_rows, &params) }
            .expect("a launch");
        assert!(arrived.download().iter().all(|&count| count == 0), "counters are zero again");
        out.values(storage, &self.name())
    }

    fn expect(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut want, mut naive, mut row) = (Vec::new(), Vec::new(), 0);
        let heads = self.kv * self.group;
        for (s, &(len, rows)) in self.sequences.iter().enumerate() {
            for r in 0..rows {
                for head in 0..heads {
                    let query = &self.queries[(row * heads + head) * self.dim..][..self.dim];
                    let of = |value| {
                        (0..=len + r).map(|u| self.unit(s, value, head / self.group, u)).collect::<Vec<_>>()
                    };
                    let (exact, rounded) = attend(self.storage, query, &of(0), &of(1));
                    want.extend(exact);
                    naive.extend(rounded);
                }
                row += 1;
            }
        }
        (want, naive)
    }

    fn name(&self) -> String {
        let Batch { storage, dim, kv, group, sequences, .. } = self;
        format!("stream {storage:?} head_dim {dim} {}/{kv} {sequences:?}", kv * group)
    }

    fn check(&self, device: &Device) {
        let got: Vec<f64> = self
            .run(device, &(0..self.sequences.len()).collect::<Vec<_>>())
            .into_iter()
            .map(f64::from)
            .collect();
        let (want, naive) = self.expect();
        let floor = if self.storage == Storage::Bf16 { 2f64.powi(-10) } else { 2f64.powi(-13) };
        judge(&self.name(), &got, &naive, &want, floor);
    }
}

const DIMS: [usize; 10] = [32, 40, 48, 52, 56, 60, 64, 80, 96, 128];

#[test]
fn decoding_at_every_length_around_steps_and_segments_errs_at_most_twice_as_much_as_naive() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(30));
    let lengths = [0, 1, 30, 31, 32, 33, 255, 256, 257, 511, 1023, 1024, 1300];
    for (i, dim) in DIMS.into_iter().enumerate() {
        let group = [1, 2, 3, 8][rng.random_range(0..4)];
        let sequences: Vec<(usize, usize)> = (0..rng.random_range(1..=4))
            .map(|_| (lengths[rng.random_range(0..lengths.len())], rng.random_range(1..=(16 / group).min(2))))
            .collect();
        Batch::new(rng, STORAGES[i % 2], dim, 1 + i % 2, group, &sequences).check(&device);
    }
    for length in lengths {
        Batch::new(rng, Storage::Bf16, 52, 1, 1, &[(length, 1)]).check(&device);
    }
}

#[test]
fn prefill_of_ragged_batches_errs_at_most_twice_as_much_as_naive() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(31));
    for (i, dim) in DIMS.into_iter().enumerate() {
        let group = 1 + i % 3;
        let sequences: Vec<(usize, usize)> = (0..rng.random_range(1..=3))
            .map(|_| {
                (
                    [0, 1, 31, 32, 100, 250][rng.random_range(0..6)],
                    [1, 17, 33, 64, 65, 90][rng.random_range(0..6)],
                )
            })
            .chain([(0, 20)])
            .collect();
        Batch::new(rng, STORAGES[i % 2], dim, 1, group, &sequences).check(&device);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_in_a_batch_in_a_prefill_and_in_every_repetition() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(32));
    for (dim, kv, group) in [(52, 2, 1), (64, 1, 2), (128, 1, 1)] {
        let batch = Batch::new(rng, Storage::Bf16, dim, kv, group, &[(0, 600), (300, 1), (1100, 2)]);
        let all = batch.run(&device, &[0, 1, 2]);
        assert!(all == batch.run(&device, &[0, 1, 2]), "repeated: {}", batch.name());
        let row = kv * group * dim;
        assert!(batch.run(&device, &[1]) == all[600 * row..601 * row], "alone: {}", batch.name());
        assert!(batch.run(&device, &[1, 2]) == all[600 * row..], "in another batch: {}", batch.name());
        // The last rows of the prefill, as decoding would have made them.
        for at in [0, 17, 255, 256, 599] {
            let mut one = Batch::new(rng, batch.storage, dim, kv, group, &[(at, 1)]);
            one.queries = batch.queries[at * row..(at + 1) * row].to_vec();
            one.caches = vec![batch.beginning(at + 1)];
            assert!(
                one.run(&device, &[0]) == all[at * row..(at + 1) * row],
                "row {at} decoded: {}",
                batch.name()
            );
        }
    }
}
