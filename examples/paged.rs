//! An engine whose keys and values live in pages: two sequences share the pages of their common prompt, and the kernels append to and read
//! from wherever the engine's block table says.
//!
//! ```sh
//! cargo run --release --features cuda --example paged
//! ```
//!
//! One layer's attention half: `qkv_rope_append`, then `stream_attention`. A prompt of 40 units is read once, for sequence 0. Sequence 1 is
//! forked from it: it takes over the full page of 32 units as it is, and a copy of the page that both would write to. Then both
//! take a step, each with its own row. Nothing else ever runs over sequence 1's first 40 units, and yet its result has the bits of sequence 2, which
//! read the same prompt and took the same step in pages of its own.

use std::error::Error;
use std::ffi::c_void;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr};
use half::bf16;
use photon_kernels::cuda::raw::{KV_BLOCK, Kernels, Storage, blocked_kv, kv_block};
use photon_kernels::cuda::sys::{
    photon_kv, photon_product, photon_qkv_params, photon_rows, photon_stream_attention_params, photon_units,
};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const DIM: usize = 52;
const WIDTH: usize = HEADS * DIM;
const PACKED: usize = (HEADS + 2 * KV_HEADS) * DIM;
/// Pages of the pool, and of the longest sequence: the rows of the block table.
const PAGES: usize = 8;
const PITCH: usize = 2;
const PROMPT: usize = 40;
const POSITIONS: usize = PITCH * KV_BLOCK;

/// What the engine has on the device.
struct Engine {
    kernels: Kernels,
    weight: CudaSlice<u16>,
    angles: CudaSlice<f32>,
    pool: CudaSlice<u16>,
    /// The engine's own memory of who has which page: `table[sequence * PITCH + unit / 32]`.
    table: Vec<u32>,
    stream: std::sync::Arc<CudaStream>,
}

impl Engine {
    fn address<T>(&self, data: &CudaSlice<T>) -> u64 {
        data.device_ptr(&self.stream).0
    }

    /// Runs the rows `x`, of which sequence `sequences[i].0` gets the next `sequences[i].2` after its `sequences[i].1` units.
    fn run(&self, x: &[f32], sequences: &[(u32, usize, usize)]) -> Result<Vec<u16>, Box<dyn Error>> {
        let m = x.len() / WIDTH;
        let (mut slot, mut unit, mut first_row) = (Vec::new(), Vec::new(), vec![0u32]);
        for &(sequence, length, rows) in sequences {
            slot.extend(vec![sequence; rows]);
            unit.extend(length as u32..(length + rows) as u32);
            first_row.push(slot.len() as u32);
        }
        let stream = &self.stream;
        let x = stream.clone_htod(x)?;
        let (slot, unit) = (stream.clone_htod(&slot)?, stream.clone_htod(&unit)?);
        let first_row = stream.clone_htod(&first_row)?;
        let entries = stream.clone_htod(&sequences.iter().map(|s| s.0).collect::<Vec<_>>())?;
        let lengths = stream.clone_htod(&sequences.iter().map(|s| s.1 as u32).collect::<Vec<_>>())?;
        let table = stream.clone_htod(&self.table)?;
        let query: CudaSlice<u16> = stream.alloc_zeros(m * WIDTH)?;
        let out: CudaSlice<u16> = stream.alloc_zeros(m * WIDTH)?;

        // One layer's view of the pool. Its blocks hold `[layer][key or value][head][32 units][52]`.
        let kv = photon_kv {
            base: self.address(&self.pool) as *mut c_void,
            blocks: self.address(&table) as *const u32,
            blocks_pitch: PITCH as i64,
            ..blocked_kv(1, KV_HEADS, DIM, 0)
        };
        let append = photon_qkv_params {
            product: photon_product {
                x: self.address(&x) as *const c_void,
                weight: self.address(&self.weight) as *const c_void,
                rows: photon_rows { list: std::ptr::null(), start: 0, len: 1, stride: 1 },
                x_stride: WIDTH as i64,
                weight_stride: WIDTH as i64,
                m: m as i32,
                n: PACKED as i32,
                k: WIDTH as i32,
                eps: 1e-5,
            },
            query: self.address(&query) as *mut c_void,
            query_stride: WIDTH as i64,
            kv,
            units: photon_units {
                slot: self.address(&slot) as *const u32,
                unit: self.address(&unit) as *const u32,
                rows: 1,
                first: 0,
            },
            angles: self.address(&self.angles) as *const f32,
            heads: HEADS as i32,
            kv_heads: KV_HEADS as i32,
            head_dim: DIM as i32,
        };
        let most_rows = sequences.iter().map(|s| s.2).max().unwrap_or(0);
        let attend = photon_stream_attention_params {
            query: append.query,
            query_stride: WIDTH as i64,
            kv,
            out: self.address(&out) as *mut c_void,
            out_stride: WIDTH as i64,
            first_row: self.address(&first_row) as *const u32,
            slot: self.address(&entries) as *const u32,
            length: self.address(&lengths) as *const u32,
            // Up to four segments of 256 units, one CTA has a head to itself: no workspace.
            partial: std::ptr::null_mut(),
            arrived: std::ptr::null_mut(),
            sequences: sequences.len() as i32,
            segments: 1,
            queries: (most_rows * HEADS / KV_HEADS) as i32,
            heads: HEADS as i32,
            kv_heads: KV_HEADS as i32,
            head_dim: DIM as i32,
            scale: 1.0 / (DIM as f32).sqrt(),
        };
        let queue: *mut c_void = stream.cu_stream().cast();
        // SAFETY: the allocations above are as large as the parameters say and live until the stream has been waited for; the table names pages
        // of the pool for every unit up to the last new one, and no page that is written belongs to two sequences.
        unsafe {
            self.kernels.qkv_rope_append(queue, Storage::Bf16, &append)?;
            self.kernels.stream_attention(queue, Storage::Bf16, most_rows, &attend)?;
        }
        let values = stream.clone_dtoh(&out)?;
        stream.synchronize()?;
        Ok(values)
    }

    /// Copies a page: what a fork does with a page that is not full.
    fn copy_page(&mut self, from: u32, to: u32) -> Result<(), Box<dyn Error>> {
        let page = kv_block(1, KV_HEADS, DIM);
        let values =
            self.stream.clone_dtoh(&self.pool.slice(from as usize * page..(from as usize + 1) * page))?;
        let mut target = self.pool.slice_mut(to as usize * page..(to as usize + 1) * page);
        Ok(self.stream.memcpy_htod(&values, &mut target)?)
    }
}

/// Numbers that look random.
fn numbers(seed: u32, len: usize) -> Vec<f32> {
    let hash = |i: u32| (i ^ seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
    (0..len as u32).map(|i| (hash(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    context.bind_to_thread()?;
    let weight: Vec<u16> =
        numbers(1, PACKED * WIDTH).iter().map(|w| bf16::from_f32(w / 8.0).to_bits()).collect();
    let angles: Vec<f32> = (0..POSITIONS * DIM / 2)
        .flat_map(|i| {
            let (position, pair) = (i / (DIM / 2), i % (DIM / 2));
            let angle = position as f64 * 10000f64.powf(-2.0 * pair as f64 / DIM as f64);
            [angle.cos() as f32, angle.sin() as f32]
        })
        .collect();
    let mut engine = Engine {
        // SAFETY: the context is current in this thread and outlives the kernels.
        kernels: unsafe { Kernels::load()? },
        weight: stream.clone_htod(&weight)?,
        angles: stream.clone_htod(&angles)?,
        pool: stream.alloc_zeros(PAGES * kv_block(1, KV_HEADS, DIM))?,
        // Any pages will do: 5 and 2 for sequence 0, 5 and 7 for its fork, 0 and 3 for the one that shares nothing.
        table: vec![5, 2, 5, 7, 0, 3],
        stream,
    };
    let prompt = numbers(2, PROMPT * WIDTH);
    let steps = numbers(3, 2 * WIDTH);

    engine.run(&prompt, &[(0, 0, PROMPT)])?;
    engine.copy_page(2, 7)?;
    let both = engine.run(&steps, &[(0, PROMPT, 1), (1, PROMPT, 1)])?;

    engine.run(&prompt, &[(2, 0, PROMPT)])?;
    let alone = engine.run(&steps[WIDTH..], &[(2, PROMPT, 1)])?;
    let first: Vec<f32> = both[WIDTH..].iter().take(4).map(|&x| bf16::from_bits(x).to_f32()).collect();
    println!("the fork's first values: {first:?}");
    if both[WIDTH..] != alone[..] || both[..WIDTH] == both[WIDTH..] {
        return Err("the fork and the sequence of its own differ".into());
    }
    println!("the same bits with shared pages and without");
    Ok(())
}
