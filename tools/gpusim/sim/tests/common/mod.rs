//! Running PTX snippets on a device.
#![allow(dead_code, missing_docs)]

pub mod forms;
pub mod ptxas;

use std::sync::Arc;

use gpusim::{Device, Function, Launch, LaunchError, Settings};

pub const HEAD: &str = ".version 8.3\n.target sm_90a\n.address_size 64\n";

pub fn device() -> Device {
    Device::new(Settings::default())
}

/// The kernel `k` of a module.
pub fn kernel(device: &Device, ptx: &str) -> Arc<Function> {
    ptxas::collect(ptx);
    let module = device.load(ptx).unwrap_or_else(|error| panic!("{error}\n{ptx}"));
    assert!(module.unsupported().is_empty(), "{:?}", module.unsupported());
    module.function("k").expect("a kernel k")
}

pub fn words(device: &Device, ptr: u64, count: usize) -> Vec<u32> {
    let mut bytes = vec![0; 4 * count];
    device.read(ptr, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

pub fn upload(device: &Device, words: &[u32]) -> u64 {
    let ptr = device.alloc(4 * words.len() as u64, 4).unwrap();
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    device.write(ptr, &bytes).unwrap();
    ptr
}

/// Parameters of 8 bytes each.
pub fn params(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A kernel with `.param .u64 out` and `.u64 in`, whose body finds the thread's number in `%tid`, `&out[tid]` (32-bit
/// words) in `%out` and `&in[tid]` in `%in`.
pub fn wrap(body: &str) -> String {
    format!(
        "{HEAD}.visible .entry k(.param .u64 p_out, .param .u64 p_in) {{
        .reg .b16 %h<40>; .reg .b32 %r<80>; .reg .b64 %d<40>; .reg .f32 %f<40>; .reg .f64 %g<40>; .reg .pred %p<20>;
        .reg .b64 %out; .reg .b64 %in; .reg .b32 %t;
        mov.u32 %t, %tid.x;
        ld.param.u64 %d0, [p_out]; ld.param.u64 %d1, [p_in];
        cvta.to.global.u64 %d0, %d0; cvta.to.global.u64 %d1, %d1;
        mad.wide.u32 %out, %t, 4, %d0; mad.wide.u32 %in, %t, 4, %d1;
        {body}
        ret; }}"
    )
}

/// Runs `wrap(body)` with `threads` threads over `input`, and returns `outputs` words.
pub fn try_run(body: &str, threads: u32, input: &[u32], outputs: usize) -> Result<Vec<u32>, LaunchError> {
    try_run_text(&wrap(body), threads, input, outputs)
}

/// The same with a module's whole text, as [`wrap`] makes it.
pub fn try_run_text(
    text: &str,
    threads: u32,
    input: &[u32],
    outputs: usize,
) -> Result<Vec<u32>, LaunchError> {
    let device = device();
    let function = kernel(&device, text);
    let (out, input) = (upload(&device, &vec![0xDEAD_BEEF; outputs]), upload(&device, input));
    device.launch(&Launch {
        block: [threads, 1, 1],
        params: params(&[out, input]),
        ..Launch::new(function)
    })?;
    Ok(words(&device, out, outputs))
}

pub fn run(body: &str, threads: u32, input: &[u32], outputs: usize) -> Vec<u32> {
    try_run(body, threads, input, outputs).unwrap_or_else(|error| panic!("{error}"))
}

pub fn run_text(text: &str, threads: u32, input: &[u32], outputs: usize) -> Vec<u32> {
    try_run_text(text, threads, input, outputs).unwrap_or_else(|error| panic!("{error}"))
}
