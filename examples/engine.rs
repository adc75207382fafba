//! An engine that has its own device memory and stream, and takes nothing of this crate but kernels: a final norm, the language model's head and a
//! greedy token, enqueued on the engine's stream through the raw layer.
//!
//! ```sh
//! cargo run --release --features cuda --example engine
//! ```

use std::error::Error;
use std::ffi::c_void;

use half::bf16;
use photon_kernels::cuda::raw::{Kernels, Storage};
use photon_kernels::cuda::sys::{
    photon_draw, photon_norm_params, photon_product, photon_project_params, photon_rows, photon_sample_params,
};

// What follows is the engine's: its own bindings of the driver, its own way to hold memory. Here cudarc's safe layer plays that part; the kernels see
// nothing of it but addresses and a `CUstream`.
use cudarc::driver::{CudaContext, CudaSlice, DevicePtr};

fn main() -> Result<(), Box<dyn Error>> {
    let (rows, width, vocabulary) = (3usize, 64usize, 1000usize);
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    context.bind_to_thread()?;

    // Row i of x is the embedding of token 100 i + 7, and the head is the embedding itself: the greedy token is known.
    let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
    let embedding: Vec<f32> =
        (0..vocabulary * width).map(|i| (hash(i) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect();
    let x: Vec<f32> = (0..rows).flat_map(|i| embedding[(100 * i + 7) * width..][..width].to_vec()).collect();
    let weight: Vec<u16> = embedding.iter().map(|&w| bf16::from_f32(w).to_bits()).collect();
    let greedy = photon_draw {
        seed: 0,
        position: 0,
        sequence: 0,
        forced: u32::MAX, // nothing is
        temperature: 0.0,
        top_p: 1.0,
        min_p: 0.0,
        top_k: 0,
    };

    let x = stream.clone_htod(&x)?;
    let gain = stream.clone_htod(&vec![1.0f32; width])?;
    let weight = stream.clone_htod(&weight)?;
    let draws = stream.clone_htod(&vec![greedy; rows])?;
    let normed: CudaSlice<f32> = stream.alloc_zeros(rows * width)?;
    let logits: CudaSlice<f32> = stream.alloc_zeros(rows * vocabulary)?;
    let ids: CudaSlice<u32> = stream.alloc_zeros(rows)?;

    // From here on the engine calls kernels. Loading takes its time, once; a launch only enqueues.
    // SAFETY: the context is current in this thread and outlives the kernels.
    let kernels = unsafe { Kernels::load()? };
    let queue: *mut c_void = stream.cu_stream().cast();
    let norm = photon_norm_params {
        x: x.device_ptr(&stream).0 as *const f32,
        from: photon_rows::DENSE,
        gain: gain.device_ptr(&stream).0 as *const f32,
        out: normed.device_ptr(&stream).0 as *mut f32,
        to: photon_rows::DENSE,
        x_stride: width as i64,
        out_stride: width as i64,
        m: rows as i32,
        width: width as i32,
        eps: 1e-5,
    };
    let head = photon_project_params {
        product: photon_product {
            x: norm.out as *const c_void,
            weight: weight.device_ptr(&stream).0 as *const c_void,
            rows: photon_rows::DENSE,
            x_stride: width as i64,
            weight_stride: width as i64,
            m: rows as i32,
            n: vocabulary as i32,
            k: width as i32,
            eps: 0.0,
        },
        bias: std::ptr::null(),
        out: logits.device_ptr(&stream).0 as *mut f32,
        to: photon_rows::DENSE,
        out_stride: vocabulary as i64,
    };
    let sample = photon_sample_params {
        logits: head.out,
        draws: draws.device_ptr(&stream).0 as *const photon_draw,
        ids: ids.device_ptr(&stream).0 as *mut u32,
        to: photon_rows::DENSE,
        logits_stride: vocabulary as i64,
        m: rows as i32,
        vocabulary: vocabulary as i32,
    };
    // SAFETY: the allocations above are as large as the parameters say and live until the stream has been waited for.
    unsafe {
        kernels.rms_norm(queue, &norm)?;
        kernels.project(queue, Storage::Bf16, false, &head)?;
        kernels.sample(queue, &sample)?;
    }
    let tokens = stream.clone_dtoh(&ids)?;
    stream.synchronize()?;
    println!("tokens: {tokens:?}");
    let expected: Vec<u32> = (0..rows as u32).map(|i| 100 * i + 7).collect();
    if tokens != expected {
        return Err(format!("{expected:?} were expected").into());
    }
    Ok(())
}
