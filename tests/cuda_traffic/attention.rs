//! Attention.

use photon_kernels::cuda::raw::{blocked_kv, flat_kv, local_heads};
use photon_kernels::cuda::sys::*;

use super::bench::{BF16, Bench, Launch, exactly, within};
use super::{DIM, HEADS};

const ROW: usize = HEADS * DIM;

/// Tensor instructions, as products of k8, of 16 queries and a step of keys: scores of `dim` inputs, values of as many outputs, in whole parts of 8.
fn step_products(dim: usize) -> usize {
    let parts = dim.div_ceil(8);
    PHOTON_KEY_STEP as usize / 8 * parts * 2
}

fn local_params(
    bench: &Bench,
    [slots, rows, first]: [usize; 3],
    query: *mut u16,
    query_stride: usize,
    kv: photon_kv,
    out: &cudarc::driver::CudaSlice<u16>,
) -> photon_local_attention_params {
    photon_local_attention_params {
        query: query as *const _,
        query_stride: query_stride as i64,
        kv,
        out: bench.at(out) as *mut _,
        out_stride: ROW as i64,
        slots: slots as i32,
        rows: rows as i32,
        first: first as i32,
        heads: HEADS as i32,
        kv_heads: HEADS as i32,
        head_dim: DIM as i32,
        block_heads: local_heads(rows, first + rows, HEADS, HEADS, DIM).expect("it fits") as i32,
        scale: 1.0,
    }
}

/// Scores and values are read without a conflict. Only where half a warp goes from one row of all heads to the next, while rows come in and while
/// results leave, two lanes may meet: once for each such place, and once a warp where lanes that see different numbers of units store results at
/// different times.
fn local_conflicts(launch: &Launch, slots: usize, rows: usize, units: usize) {
    let blocks = slots * HEADS.div_ceil(4);
    let (loads, stores) = (launch.get("/shared_load/conflicts"), launch.get("/shared_store/conflicts"));
    assert!(loads <= (blocks * (rows - 1)) as u64, "{loads} conflicts of loads in {blocks} CTAs");
    let places = 2 * (units - 1) + rows - 1 + HEADS.min(4);
    assert!(stores <= (blocks * places) as u64, "{stores} conflicts of stores in {blocks} CTAs");
}

pub fn local(bench: &Bench) {
    let (window, slots) = (5, 16);
    let width = 3 * ROW;
    let packed = bench.zeros::<u16>(slots * window * width);
    let out = bench.zeros::<u16>(slots * window * ROW);
    let kv = flat_kv(bench.at(&packed) as *mut _, ROW, window * width, width, DIM, ROW);
    let params = local_params(bench, [slots, window, 0], bench.at(&packed), width, kv, &out);
    // SAFETY: all operands are as large as the parameters say.
    let launch = bench.count(|kernels, stream| unsafe { kernels.local_attention(stream, BF16, &params) });
    let elements = slots * window * ROW;
    // Nothing is written but the result: keys and values stay on chip.
    let (read, written) = launch.memory();
    exactly("local attention reads", read, 2 * 3 * elements);
    exactly("local attention writes", written, 2 * elements);
    let (loaded, stored) = launch.sectors();
    within("local attention asks for", loaded, 2 * 3 * elements, 1.05);
    within("local attention stores", stored, 2 * elements, 1.05);
    local_conflicts(&launch, slots, window, window);
}

pub fn local_step(bench: &Bench) {
    let (window, slots) = (5, 16);
    for first in [2, 4] {
        let kept = bench.zeros::<u16>(slots * 2 * window * ROW);
        let (query, out) = (bench.zeros::<u16>(slots * ROW), bench.zeros::<u16>(slots * ROW));
        let kv = flat_kv(bench.at(&kept) as *mut _, 0, 2 * window * ROW, ROW, DIM, window * ROW);
        let params = local_params(bench, [slots, 1, first], bench.at(&query), ROW, kv, &out);
        // SAFETY: all operands are as large as the parameters say.
        let launch = bench.count(|kernels, stream| unsafe { kernels.local_attention(stream, BF16, &params) });
        let unavoidable = 2 * slots * ROW * (1 + 2 * (first + 1));
        let (read, written) = launch.memory();
        exactly("a local step reads", read, unavoidable);
        exactly("a local step writes", written, 2 * slots * ROW);
        let (loaded, stored) = launch.sectors();
        within("a local step asks for", loaded, unavoidable, 1.05);
        within("a local step stores", stored, 2 * slots * ROW, 1.05);
        local_conflicts(&launch, slots, 1, first + 1);
    }
}

/// One sequence of `length` units and `rows` new ones, whose cache has room for `units`.
fn stream(
    bench: &Bench,
    dim: usize,
    heads: usize,
    [length, rows]: [usize; 2],
    check: impl FnOnce(&Launch, usize),
) {
    let width = dim.next_multiple_of(8);
    let units = length + rows;
    let block = 2 * heads * PHOTON_KV_BLOCK as usize * dim;
    let cache = bench.zeros::<u16>(units.div_ceil(PHOTON_KV_BLOCK as usize) * block);
    let (query, out) = (bench.zeros::<u16>(rows * heads * dim), bench.zeros::<u16>(rows * heads * dim));
    let first_row = bench.upload(&[0, rows as u32]);
    let (slot, lengths) = (bench.upload(&[0u32]), bench.upload(&[length as u32]));
    let params = photon_stream_attention_params {
        query: bench.at(&query) as *const _,
        query_stride: (heads * dim) as i64,
        kv: photon_kv { base: bench.at(&cache) as *mut _, ..blocked_kv(1, heads, dim, 0) },
        out: bench.at(&out) as *mut _,
        out_stride: (heads * dim) as i64,
        first_row: bench.at(&first_row),
        slot: bench.at(&slot),
        length: bench.at(&lengths),
        partial: std::ptr::null_mut(),
        arrived: std::ptr::null_mut(),
        sequences: 1,
        segments: 1,
        queries: rows as i32,
        heads: heads as i32,
        kv_heads: heads as i32,
        head_dim: dim as i32,
        scale: 1.0,
    };
    // SAFETY: all operands are as large as the parameters say.
    let launch =
        bench.count(|kernels, stream| unsafe { kernels.stream_attention(stream, BF16, rows, &params) });
    let (read, written) = launch.memory();
    exactly("stream attention reads", read, 4 * units * heads * dim + 2 * rows * heads * dim + 16);
    exactly("stream attention writes", written, 2 * rows * heads * dim);
    launch.no_conflicts("stream attention");
    check(&launch, width);
}

pub fn decode(bench: &Bench) {
    // 2176 tokens of context: 136 units.
    let length = 136;
    stream(bench, DIM, HEADS, [length, 1], |launch, width| {
        let steps = (length + 1).div_ceil(PHOTON_KEY_STEP as usize);
        let block = 4 * PHOTON_KEY_STEP as usize * width;
        exactly("decoding copies", launch.copied(), HEADS * steps * block);
        exactly("tensor instructions", launch.tensor(), HEADS * steps * step_products(DIM));
    });
}

pub fn prefill(bench: &Bench) {
    // A prompt of 2048 tokens is 128 units, two tiles of 64 queries.
    for (dim, heads, [length, rows]) in
        [(DIM, HEADS, [0usize, 128usize]), (56, 2, [64, 64]), (60, 2, [0, 192]), (64, 1, [256, 64])]
    {
        stream(bench, dim, heads, [length, rows], |launch, width| {
            // A tile walks from the first key to its last row's own.
            let keys: usize = (1..=rows / 64).map(|tile| length + 64 * tile).sum();
            exactly("prefill copies", launch.copied(), heads * keys * 4 * width);
            let steps = keys / PHOTON_KEY_STEP as usize;
            exactly("tensor instructions", launch.tensor(), heads * steps * 4 * step_products(dim));
            // Full tiles: 4 dim FLOPs for each of 64 queries and each key, 2048 an instruction of k8.
            let useful = heads * keys * 64 * 4 * dim / 2048;
            within("tensor instructions beside the useful ones", launch.tensor(), useful, 1.10);
        });
    }
}
