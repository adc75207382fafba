//! Copies.
//!
//! A copy checks its arguments when it is called or captured, and again when it runs.

use std::sync::Arc;

use crate::capture::is_capturing;
use crate::context::{context_or_current, current};
use crate::copy::{Copy, Place, unified};
use crate::driver::api;
use crate::error::{Error, Result};
use crate::host::{get, get_all, put_if};
use crate::op::Op;
use crate::stream;
use crate::types::{Handle, Memcpy2D, Memcpy3D};

/// A copy that is done when the call returns.
fn now(copy: Result<Copy>) -> Result {
    current()?;
    stream::submit_and_wait(Op::Copy(Arc::new(copy?)))
}

/// A copy in a stream. One that touches pageable host memory is done when the call returns: hardware fetches it
/// through a buffer of its own, and programs rely on reading what they copied to a `Vec` without another wait.
fn later(copy: Result<Copy>, stream: Handle) -> Result {
    let stream = stream::resolve(stream)?;
    let copy = copy?;
    let is_capturing = is_capturing(&stream);
    if is_capturing {
        // What the addresses hold is the launch's business, that they are addresses is the capture's.
        copy.check()?;
    }
    let is_pageable = copy.kind() != (true, true);
    stream::submit(&stream, Op::Copy(Arc::new(copy)))?;
    if is_pageable && !is_capturing { stream.synchronize() } else { Ok(()) }
}

fn device(address: u64) -> Place {
    Place::Device(address)
}

/// A host pointer; with unified addressing it may be a device address.
fn any(address: usize) -> Place {
    unified(address as u64)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoD_v2(dst: u64, src: usize, bytes: usize) -> i32 {
    api(|| now(Copy::linear(device(dst), any(src), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoDAsync_v2(dst: u64, src: usize, bytes: usize, stream: Handle) -> i32 {
    api(|| later(Copy::linear(device(dst), any(src), bytes), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoH_v2(dst: usize, src: u64, bytes: usize) -> i32 {
    api(|| now(Copy::linear(any(dst), device(src), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoHAsync_v2(dst: usize, src: u64, bytes: usize, stream: Handle) -> i32 {
    api(|| later(Copy::linear(any(dst), device(src), bytes), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoD_v2(dst: u64, src: u64, bytes: usize) -> i32 {
    api(|| now(Copy::linear(device(dst), device(src), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoDAsync_v2(dst: u64, src: u64, bytes: usize, stream: Handle) -> i32 {
    api(|| later(Copy::linear(device(dst), device(src), bytes), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy(dst: u64, src: u64, bytes: usize) -> i32 {
    api(|| now(Copy::linear(unified(dst), unified(src), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyAsync(dst: u64, src: u64, bytes: usize, stream: Handle) -> i32 {
    api(|| later(Copy::linear(unified(dst), unified(src), bytes), stream))
}

fn peers(dst: Handle, src: Handle) -> Result {
    context_or_current(dst)?;
    context_or_current(src)?;
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyPeer(
    dst: u64,
    dst_context: Handle,
    src: u64,
    src_context: Handle,
    bytes: usize,
) -> i32 {
    api(|| peers(dst_context, src_context).and_then(|_| now(Copy::linear(device(dst), device(src), bytes))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyPeerAsync(
    dst: u64,
    dst_context: Handle,
    src: u64,
    src_context: Handle,
    bytes: usize,
    stream: Handle,
) -> i32 {
    api(|| {
        peers(dst_context, src_context)
            .and_then(|_| later(Copy::linear(device(dst), device(src), bytes), stream))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2D_v2(params: *const Memcpy2D) -> i32 {
    api(|| now(get(params).and_then(|params| Copy::from_2d(&params))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2DUnaligned_v2(params: *const Memcpy2D) -> i32 {
    api(|| now(get(params).and_then(|params| Copy::from_2d(&params))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy3D_v2(params: *const Memcpy3D) -> i32 {
    api(|| now(get(params).and_then(|params| Copy::from_3d(&params))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2DAsync_v2(params: *const Memcpy2D, stream: Handle) -> i32 {
    api(|| later(get(params).and_then(|params| Copy::from_2d(&params)), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy3DAsync_v2(params: *const Memcpy3D, stream: Handle) -> i32 {
    api(|| later(get(params).and_then(|params| Copy::from_3d(&params)), stream))
}

fn peer_3d(params: *const Memcpy3D) -> Result<Copy> {
    let params = get(params)?;
    peers(params.dst_context, params.src_context)?;
    Copy::from_3d(&params)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy3DPeer(params: *const Memcpy3D) -> i32 {
    api(|| now(peer_3d(params)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy3DPeerAsync(params: *const Memcpy3D, stream: Handle) -> i32 {
    api(|| later(peer_3d(params), stream))
}

/// The copies of a batch, one after another. Attributes say when sources are read and where the memory is, which
/// makes no difference here.
fn batch(
    dsts: *const u64,
    srcs: *const u64,
    sizes: *const usize,
    count: usize,
    fail: *mut usize,
    stream: Handle,
) -> Result {
    if count == 0 || stream <= 1 {
        return Err(Error::INVALID_VALUE);
    }
    put_if(fail, usize::MAX)?;
    let (dsts, srcs, sizes) = (get_all(dsts, count)?, get_all(srcs, count)?, get_all(sizes, count)?);
    for i in 0..count {
        let copy = Copy::linear(unified(dsts[i]), unified(srcs[i]), sizes[i]);
        if let Err(error) = later(copy, stream) {
            put_if(fail, i)?;
            return Err(error);
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyBatchAsync(
    dsts: *const u64,
    srcs: *const u64,
    sizes: *const usize,
    count: usize,
    attributes: usize,
    indices: *const usize,
    attribute_count: usize,
    fail: *mut usize,
    stream: Handle,
) -> i32 {
    api(|| {
        let _ = (attributes, indices, attribute_count);
        batch(dsts, srcs, sizes, count, fail, stream)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyBatchAsync_v2(
    dsts: *const u64,
    srcs: *const u64,
    sizes: *const usize,
    count: usize,
    attributes: usize,
    indices: *const usize,
    attribute_count: usize,
    stream: Handle,
) -> i32 {
    api(|| {
        let _ = (attributes, indices, attribute_count);
        batch(dsts, srcs, sizes, count, std::ptr::null_mut(), stream)
    })
}
