//! Attention inside chunks, and over growing sequences.

use photon_kernels::cuda::raw::{
    KV_BLOCK, Storage, blocked_kv, flat_kv, kv_block, local_heads, stream_decodes, stream_partial,
};
use photon_kernels::cuda::sys::*;

use super::device::{Case, Device, Sizes, bits, near, some, values, widen};

pub fn cases<'d>(device: &'d Device, sizes: Sizes) -> impl Iterator<Item = Case<'d>> {
    let [one, batch, prefill] = sizes.rows;
    let local = [(prefill / 5, 5, 0), (4 * batch, 1, 4)];
    let stream = sizes.units.into_iter().flat_map(move |units| [(one, units, 1), (batch, units, 1)]);
    let stream = stream.chain([(1, prefill, prefill)]);
    local
        .into_iter()
        .map(move |(slots, rows, first)| local_case(device, sizes, slots, rows, first))
        .chain(stream.map(move |(sequences, units, rows)| stream_case(device, sizes, sequences, units, rows)))
}

/// Attention of one query; `unit(value, u)` is a key or a value.
fn attend<'a>(query: &[f32], units: usize, unit: impl Fn(usize, usize) -> &'a [f32]) -> Vec<f64> {
    let dot = |key: &[f32]| query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
    let scores: Vec<f64> = (0..units).map(|u| dot(unit(0, u)) / (query.len() as f64).sqrt()).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    (0..query.len())
        .map(|e| (0..units).map(|u| weights[u] * f64::from(unit(1, u)[e])).sum::<f64>() / total)
        .collect()
}

/// Whole chunks (`first` 0), whose keys and values are the packed rows' own, or a step of each from a buffer.
fn local_case(device: &Device, sizes: Sizes, slots: usize, rows: usize, first: usize) -> Case<'_> {
    let (heads, dim, units) = (sizes.heads, sizes.head_dim, first + rows);
    let (width, row) = (3 * heads * dim, heads * dim);
    let packed = values(3, slots * rows * width);
    let buffer = values(4, if first == 0 { 0 } else { slots * 2 * units * row });
    let bytes = 2 * slots * (2 * rows * row + 2 * units * row);
    let sets = device.sets(bytes);
    let packs = device.copies(&bits(&packed), sets);
    let buffers = device.copies(&bits(&buffer), if first == 0 { 0 } else { sets });
    let outs = device.copies(&vec![0u16; slots * rows * row], sets);
    let results = outs.clone();
    let launch = move |set: usize| {
        let query = device.address(&packs[set]);
        let kv = if first == 0 {
            flat_kv(query as *mut _, row, rows * width, width, dim, row)
        } else {
            flat_kv(device.address(&buffers[set]) as *mut _, 0, 2 * units * row, row, dim, units * row)
        };
        let params = photon_local_attention_params {
            query: query as *const _,
            query_stride: width as i64,
            kv,
            out: device.address(&outs[set]) as *mut _,
            out_stride: row as i64,
            slots: slots as i32,
            rows: rows as i32,
            first: first as i32,
            heads: heads as i32,
            kv_heads: heads as i32,
            head_dim: dim as i32,
            block_heads: local_heads(rows, units, heads, heads, dim).expect("it fits") as i32,
            scale: 1.0 / (dim as f32).sqrt(),
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.local_attention(device.stream(), Storage::Bf16, &params) }.expect("a launch");
    };
    let kind = if first == 0 { "chunks" } else { "a step" };
    let name = format!("local_attention, {kind}: {slots} of {units} rows");
    let what = name.clone();
    let check = move || {
        let out = widen(&device.download(&results[0]));
        for slot in some(slots) {
            for (r, head) in (0..rows).flat_map(|r| (0..heads).map(move |head| (r, head))) {
                let query = &packed[(slot * rows + r) * width + head * dim..][..dim];
                let want = attend(query, first + r + 1, |value, u| {
                    if first == 0 {
                        &packed[(slot * rows + u) * width + (1 + value) * row + head * dim..][..dim]
                    } else {
                        &buffer[((slot * 2 + value) * units + u) * row + head * dim..][..dim]
                    }
                });
                for (e, want) in want.into_iter().enumerate() {
                    near(&what, out[(slot * rows + r) * row + head * dim + e], want, 1e-2);
                }
            }
        }
    };
    Case { name, bytes, sets, launch: Box::new(launch), check: Box::new(check) }
}

/// `sequences` of `units` in all, the last `rows` of which are queries.
fn stream_case(device: &Device, sizes: Sizes, sequences: usize, units: usize, rows: usize) -> Case<'_> {
    let (heads, dim) = (sizes.heads, sizes.head_dim);
    let row = heads * dim;
    let block = kv_block(1, heads, dim);
    let blocks = units.div_ceil(KV_BLOCK);
    let query = values(5, sequences * rows * row);
    // Every sequence has the same cache, each of its own memory.
    let cache = values(6, blocks * block);
    let bytes = sequences * (2 * 2 * units * heads * dim + 2 * 2 * rows * row);
    let sets = device.sets(bytes);
    let queries = device.copies(&bits(&query), sets);
    let caches = device.copies(&bits(&cache).repeat(sequences), sets);
    let outs = device.copies(&vec![0u16; sequences * rows * row], sets);
    let first_row = device.upload(&(0..=sequences).map(|s| (s * rows) as u32).collect::<Vec<_>>());
    let slot = device.upload(&(0..sequences as u32).collect::<Vec<_>>());
    let length = device.upload(&vec![(units - rows) as u32; sequences]);
    let segments = units.div_ceil(PHOTON_KEY_SEGMENT as usize);
    let (floats, counters) = match stream_decodes(rows, 1) {
        true => stream_partial(sequences, heads, segments, rows, dim),
        false => (0, 0),
    };
    let partial = device.upload(&vec![0.0f32; floats.max(1)]);
    let arrived = device.upload(&vec![0u32; counters.max(1)]);
    let results = outs.clone();
    let launch = move |set: usize| {
        let workspace = |address: u64| if floats > 0 { address } else { 0 };
        let params = photon_stream_attention_params {
            query: device.address(&queries[set]) as *const _,
            query_stride: row as i64,
            kv: photon_kv {
                base: device.address(&caches[set]) as *mut _,
                slot_stride: (blocks * block) as i64,
                ..blocked_kv(1, heads, dim, 0)
            },
            out: device.address(&outs[set]) as *mut _,
            out_stride: row as i64,
            first_row: device.address(&first_row) as *const u32,
            slot: device.address(&slot) as *const u32,
            length: device.address(&length) as *const u32,
            partial: workspace(device.address(&partial)) as *mut f32,
            arrived: workspace(device.address(&arrived)) as *mut u32,
            sequences: sequences as i32,
            segments: segments as i32,
            queries: rows as i32,
            heads: heads as i32,
            kv_heads: heads as i32,
            head_dim: dim as i32,
            scale: 1.0 / (dim as f32).sqrt(),
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.stream_attention(device.stream(), Storage::Bf16, rows, &params) }
            .expect("a launch");
    };
    let kind = if stream_decodes(rows, 1) { "decode" } else { "prefill" };
    let name = format!("stream_attention, {kind}: {sequences} of {units} units");
    let what = name.clone();
    let check = move || {
        let out = widen(&device.download(&results[0]));
        for at in some(sequences * rows) {
            let head = at % heads;
            let want =
                attend(&query[at * row + head * dim..][..dim], units - rows + at % rows + 1, |value, u| {
                    let strip = (value * heads + head) * KV_BLOCK + u % KV_BLOCK;
                    &cache[u / KV_BLOCK * block + strip * dim..][..dim]
                });
            for (e, want) in want.into_iter().enumerate() {
                near(&what, out[at * row + head * dim + e], want, 1e-2);
            }
        }
    };
    Case { name, bytes, sets, launch: Box::new(launch), check: Box::new(check) }
}
