//! stream_attention.

use photon_kernels::cuda::raw::{Storage, blocked_kv, stream_decodes, stream_partial};
use photon_kernels::cuda::sys::*;
use rand::RngExt;
use rand::rngs::StdRng;

use super::device::{Device, Memory, STORAGES, rng, round, turn, values};
use super::judge::judge;
use super::local::attend;
use super::matrix::Matrix;

const BLOCK: usize = PHOTON_KV_BLOCK as usize;
const SEGMENT: usize = PHOTON_KEY_SEGMENT as usize;

/// Where the caches of a batch lie.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Each at an address of its own.
    Own,
    /// One after another, all with room for the longest.
    Strided,
    /// In a pool of blocks, in any order; the blocks that [`Batch::share`] has made equal are there once.
    Paged,
}

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
    /// Blocks at the beginning that all sequences have in common.
    shared: usize,
    /// Elements from one unit to the next, at least `dim`.
    pitch: usize,
}

/// This crate's layout of a layer, or one like it whose units lie `pitch` elements apart.
pub fn strided_kv(kv_heads: usize, dim: usize, pitch: usize) -> photon_kv {
    let (own, strip) = (blocked_kv(1, kv_heads, dim, 0), BLOCK * pitch);
    if pitch == dim {
        return own;
    }
    photon_kv {
        block_stride: (2 * kv_heads * strip) as i64,
        unit_stride: pitch as i64,
        head_stride: strip as i64,
        value_offset: (kv_heads * strip) as i64,
        ..own
    }
}

/// Caches on the device.
struct Caches {
    layout: photon_kv,
    slots: Vec<u32>,
    _memory: (Vec<Matrix<u16>>, Memory<u64>, Memory<u32>),
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
            shared: 0,
            pitch: dim,
        }
    }

    /// Units that lie further apart than this crate's do.
    fn spread(mut self, padding: usize) -> Batch {
        self.pitch = self.dim + padding;
        self
    }

    /// Gives all sequences the first one's units in their first `blocks` blocks: a common prompt.
    fn share(mut self, blocks: usize) -> Batch {
        assert!(self.sequences.iter().all(|(len, _)| len / BLOCK >= blocks), "a prefix of whole blocks");
        let prefix = self.beginning(blocks * BLOCK);
        for (cache, (len, rows)) in self.caches.iter_mut().zip(&self.sequences) {
            for (own, common) in cache
                .chunks_exact_mut((len + rows) * self.dim)
                .zip(prefix.chunks_exact(blocks * BLOCK * self.dim))
            {
                own[..common.len()].copy_from_slice(common);
            }
        }
        self.shared = blocks;
        self
    }

    /// Blocks of a sequence; units that do not exist, and what lies between those that do, are NaN.
    fn blocks(&self, s: usize) -> Vec<f32> {
        let (dim, kv, pitch) = (self.dim, self.kv, self.pitch);
        let (units, block) = (self.sequences[s].0 + self.sequences[s].1, self.block());
        let mut all = vec![f32::NAN; units.div_ceil(BLOCK) * block];
        for (value, head) in (0..2).flat_map(|value| (0..kv).map(move |head| (value, head))) {
            for unit in 0..units {
                let at = unit / BLOCK * block + ((value * kv + head) * BLOCK + unit % BLOCK) * pitch;
                all[at..at + dim].copy_from_slice(self.unit(s, value, head, unit));
            }
        }
        all
    }

    /// Elements of a block.
    fn block(&self) -> usize {
        2 * self.kv * BLOCK * self.pitch
    }

    /// The caches of the entries `which`.
    fn place(&self, device: &Device, which: &[usize], place: Place) -> Caches {
        let block = self.block();
        let half = |values: &[f32]| Matrix::half(device, self.storage, values, block, block);
        let layout = strided_kv(self.kv, self.dim, self.pitch);
        let blocks: Vec<Vec<f32>> = which.iter().map(|&s| self.blocks(s)).collect();
        let slots: Vec<u32> = (0..which.len() as u32).collect();
        let most = blocks.iter().map(|blocks| blocks.len() / block).max().unwrap_or(0);
        match place {
            Place::Own => {
                let caches: Vec<Matrix<u16>> = blocks.iter().map(|blocks| half(blocks)).collect();
                let addresses: Vec<u64> = caches.iter().map(|cache| cache.start() as u64).collect();
                let memory = (caches, device.upload(&addresses), device.upload(&[0u32]));
                let layout = photon_kv { sequences: memory.1.at(0) as *const _, ..layout };
                Caches { layout, slots, _memory: memory }
            }
            Place::Strided => {
                let stride = (most + 1) * block;
                let mut all = vec![f32::NAN; which.len() * stride];
                for (blocks, all) in blocks.iter().zip(all.chunks_exact_mut(stride)) {
                    all[..blocks.len()].copy_from_slice(blocks);
                }
                let memory = (vec![half(&all)], device.upload(&[0u64]), device.upload(&[0u32]));
                let base = memory.0[0].start().cast();
                let layout = photon_kv { base, slot_stride: stride as i64, ..layout };
                Caches { layout, slots, _memory: memory }
            }
            Place::Paged => {
                // Slots in the other order, each with a longer row of the table than it needs: what lies beyond its blocks names none.
                let pitch = most + 2;
                let mut table = vec![u32::MAX; which.len() * pitch];
                let mut logical = Vec::new();
                for (at, blocks) in blocks.iter().enumerate() {
                    let row = which.len() - 1 - at;
                    for (b, values) in blocks.chunks_exact(block).enumerate() {
                        let known = if b < self.shared && at > 0 { Some(b) } else { None };
                        table[row * pitch + b] = known.unwrap_or(logical.len()) as u32;
                        if known.is_none() {
                            logical.push(values);
                        }
                    }
                }
                // Backwards, and every other physical block is nobody's and holds NaN.
                let last = 2 * logical.len() as u32;
                let order: Vec<u32> = (0..logical.len() as u32).map(|b| last - 2 * b).collect();
                let mut pool = vec![f32::NAN; (last as usize + 1) * block];
                for (values, &at) in logical.iter().zip(&order) {
                    pool[at as usize * block..][..block].copy_from_slice(values);
                }
                for entry in table.iter_mut().filter(|entry| **entry != u32::MAX) {
                    *entry = order[*entry as usize];
                }
                let memory = (vec![half(&pool)], device.upload(&[0u64]), device.upload(&table));
                let layout = photon_kv {
                    base: memory.0[0].start().cast(),
                    blocks: memory.2.at(0),
                    blocks_pitch: pitch as i64,
                    ..layout
                };
                let slots = slots.into_iter().rev().collect();
                Caches { layout, slots, _memory: memory }
            }
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
        self.run_at(device, which, Place::Own)
    }

    fn run_at(&self, device: &Device, which: &[usize], place: Place) -> Vec<f32> {
        let (storage, dim, kv) = (self.storage, self.dim, self.kv);
        let heads = kv * self.group;
        let caches = self.place(device, which, place);
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
        let first_rows = device.upload(&first_row);
        let slots = device.upload(&caches.slots);
        let lengths = device.upload(&which.iter().map(|&s| self.sequences[s].0 as u32).collect::<Vec<_>>());
        let counts = stream_partial(which.len(), kv, segments, most_rows * self.group, dim);
        let needed = stream_decodes(most_rows, self.group) && counts.0 > 0;
        let partial = device.upload(&vec![f32::NAN; counts.0.max(1)]);
        let arrived = device.upload(&vec![0u32; counts.1.max(1)]);
        let params = photon_stream_attention_params {
            query: query.start() as *const _,
            query_stride: query.pitch as i64,
            kv: caches.layout,
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
fn what_lies_between_the_units_of_another_engines_layout_changes_no_bit() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(36));
    for (dim, padding) in [(52, 4), (52, 8), (60, 4), (60, 12), (64, 8), (40, 16)] {
        // A step and a prefill; lengths end inside blocks.
        for sequences in [[(270, 1), (31, 2)], [(40, 70), (0, 33)]] {
            let dense = Batch::new(rng, STORAGES[padding / 4 % 2], dim, 2, 1, &sequences);
            let expected = dense.run(&device, &[0, 1]);
            let found = dense.spread(padding).run(&device, &[0, 1]);
            assert!(
                expected.iter().zip(&found).all(|(a, b)| a.to_bits() == b.to_bits()),
                "head_dim {dim} with {padding} elements between units, {sequences:?}"
            );
        }
    }
}

#[test]
fn units_that_begin_between_two_copies_are_refused() {
    let _turn = turn();
    let device = Device::new();
    // Shifts each place in turn by half a copy; `shift` is in elements.
    type Shift = fn(&mut photon_kv, i64);
    let places: [(&str, Shift); 7] = [
        ("kv.unit_stride", |kv, shift| kv.unit_stride += shift),
        ("kv.head_stride", |kv, shift| kv.head_stride += shift),
        ("kv.value_offset", |kv, shift| kv.value_offset += shift),
        ("kv.offset", |kv, shift| kv.offset += shift),
        ("kv.block_stride", |kv, shift| kv.block_stride += shift),
        ("kv.slot_stride", |kv, shift| kv.slot_stride += shift),
        ("kv.base", |kv, shift| kv.base = kv.base.cast::<u16>().wrapping_add(shift as usize).cast()),
    ];
    let run = |dim: usize, kv: photon_kv| {
        let params = photon_stream_attention_params {
            query: std::ptr::null(),
            query_stride: 0,
            kv,
            out: std::ptr::null_mut(),
            out_stride: 0,
            first_row: std::ptr::null(),
            slot: std::ptr::null(),
            length: std::ptr::null(),
            partial: std::ptr::null_mut(),
            arrived: std::ptr::null_mut(),
            // Nothing to do, so that what is not refused touches no memory.
            sequences: 0,
            segments: 1,
            queries: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: dim as i32,
            scale: 1.0,
        };
        // SAFETY: nothing is launched.
        unsafe { device.kernels.stream_attention(device.stream(), Storage::Bf16, 1, &params) }
    };
    for (place, shift) in places {
        for (dim, half) in [(64, 4), (60, 2), (52, 2)] {
            let mut kv = strided_kv(1, dim, dim);
            shift(&mut kv, half);
            let message = run(dim, kv).expect_err(place).to_string();
            assert!(
                message.contains(&format!("{place} is ")) && message.contains("a multiple of"),
                "{message}"
            );
            let mut kv = strided_kv(1, dim, dim);
            shift(&mut kv, 2 * half);
            run(dim, kv).expect(place);
        }
    }
    // What a layout does not use may be anything.
    let listed = photon_kv {
        sequences: std::ptr::dangling(),
        slot_stride: 1,
        base: std::ptr::dangling_mut::<u8>().cast(),
        ..strided_kv(1, 64, 64)
    };
    run(64, listed).expect("a list of addresses");
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

#[test]
fn caches_in_pages_and_in_strides_have_the_bits_of_caches_of_their_own() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(33));
    // Lengths around a block's end, a segment's end and several CTAs; few rows and many.
    let decode: [&[(usize, usize)]; 3] =
        [&[(30, 1), (31, 1), (32, 1), (33, 1)], &[(255, 1), (0, 2), (256, 1)], &[(1100, 1), (64, 1)]];
    let prefill: [&[(usize, usize)]; 3] =
        [&[(0, 31), (0, 32), (0, 33)], &[(31, 40), (32, 33)], &[(0, 70), (250, 65), (5, 1)]];
    for (i, dim) in DIMS.into_iter().enumerate() {
        let sequences = if i % 2 == 0 { decode[i / 2 % 3] } else { prefill[i / 2 % 3] };
        let batch = Batch::new(rng, STORAGES[i / 2 % 2], dim, 1 + i % 2, 1 + i % 3, sequences);
        let all: Vec<usize> = (0..sequences.len()).collect();
        let own = batch.run(&device, &all);
        for place in [Place::Strided, Place::Paged] {
            assert!(batch.run_at(&device, &all, place) == own, "{place:?}: {}", batch.name());
        }
    }
}

#[test]
fn sequences_that_share_the_pages_of_a_common_prompt_err_at_most_twice_as_much_as_naive() {
    let _turn = turn();
    let (device, rng) = (Device::new(), &mut rng(34));
    for (dim, group, blocks, sequences) in [
        (52, 1, 1, &[(32, 1), (33, 1), (63, 1), (64, 1)][..]),
        (64, 2, 2, &[(64, 1), (100, 2)][..]),
        (128, 1, 9, &[(288, 1), (300, 1), (1030, 1)][..]),
        (40, 3, 2, &[(64, 40), (70, 33), (95, 1)][..]),
    ] {
        let batch = Batch::new(rng, Storage::Bf16, dim, 2, group, sequences).share(blocks);
        let all: Vec<usize> = (0..sequences.len()).collect();
        let got = batch.run_at(&device, &all, Place::Paged);
        assert!(got == batch.run(&device, &all), "shared or not: {}", batch.name());
        let (want, naive) = batch.expect();
        let got: Vec<f64> = got.into_iter().map(f64::from).collect();
        judge(&batch.name(), &got, &naive, &want, 2f64.powi(-10));
    }
}
