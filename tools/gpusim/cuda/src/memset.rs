//! Fills.

use crate::context::current;
use crate::copy::Fill;
use crate::driver::api;
use crate::error::Result;
use crate::op::Op;
use crate::stream;
use crate::types::{Handle, MemsetNodeParams};

fn fill(dst: u64, pitch: usize, value: u32, element_size: u32, width: usize, height: usize) -> Result<Op> {
    let fill = Fill::new(MemsetNodeParams { dst, pitch, value, element_size, width, height })?;
    fill.check()?;
    Ok(Op::Fill(fill))
}

fn now(op: Result<Op>) -> Result {
    current()?;
    stream::submit_and_wait(op?)
}

fn later(op: Result<Op>, stream: Handle) -> Result {
    let stream = stream::resolve(stream)?;
    stream::submit(&stream, op?)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8_v2(dst: u64, value: u8, count: usize) -> i32 {
    api(|| now(fill(dst, 0, value as u32, 1, count, 1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(dst: u64, value: u8, count: usize, stream: Handle) -> i32 {
    api(|| later(fill(dst, 0, value as u32, 1, count, 1), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D8_v2(dst: u64, pitch: usize, value: u8, width: usize, height: usize) -> i32 {
    api(|| now(fill(dst, pitch, value as u32, 1, width, height)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D8Async(
    dst: u64,
    pitch: usize,
    value: u8,
    width: usize,
    height: usize,
    stream: Handle,
) -> i32 {
    api(|| later(fill(dst, pitch, value as u32, 1, width, height), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD16_v2(dst: u64, value: u16, count: usize) -> i32 {
    api(|| now(fill(dst, 0, value as u32, 2, count, 1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD16Async(dst: u64, value: u16, count: usize, stream: Handle) -> i32 {
    api(|| later(fill(dst, 0, value as u32, 2, count, 1), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D16_v2(dst: u64, pitch: usize, value: u16, width: usize, height: usize) -> i32 {
    api(|| now(fill(dst, pitch, value as u32, 2, width, height)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D16Async(
    dst: u64,
    pitch: usize,
    value: u16,
    width: usize,
    height: usize,
    stream: Handle,
) -> i32 {
    api(|| later(fill(dst, pitch, value as u32, 2, width, height), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(dst: u64, value: u32, count: usize) -> i32 {
    api(|| now(fill(dst, 0, value, 4, count, 1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32Async(dst: u64, value: u32, count: usize, stream: Handle) -> i32 {
    api(|| later(fill(dst, 0, value, 4, count, 1), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D32_v2(dst: u64, pitch: usize, value: u32, width: usize, height: usize) -> i32 {
    api(|| now(fill(dst, pitch, value, 4, width, height)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D32Async(
    dst: u64,
    pitch: usize,
    value: u32,
    width: usize,
    height: usize,
    stream: Handle,
) -> i32 {
    api(|| later(fill(dst, pitch, value, 4, width, height), stream))
}
