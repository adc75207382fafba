//! Pools and boxes: sizes that overflow, pitches that do not fit, and what is counted.

mod common;

use std::ptr::{null, null_mut};

use cudarc::driver::sys::{self, CUresult::*};

macro_rules! code {
    ($call:expr) => {
        // SAFETY: the arguments are those of the test; wild ones are what is tested.
        unsafe { $call }
    };
}

fn pool(most: usize) -> sys::CUmemoryPool {
    let mut props: sys::CUmemPoolProps = code!(std::mem::zeroed());
    props.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    // `maxSize`, which CUDA 12.0's header counts to the reserved bytes, lies behind the security attributes.
    let mut bytes = [0u8; 88];
    code!(std::ptr::copy_nonoverlapping((&raw const props).cast::<u8>(), bytes.as_mut_ptr(), 88));
    bytes[24..32].copy_from_slice(&most.to_le_bytes());
    let mut pool = null_mut();
    assert_eq!(code!(sys::cuMemPoolCreate(&mut pool, bytes.as_ptr().cast())), CUDA_SUCCESS);
    pool
}

fn used(pool: sys::CUmemoryPool) -> u64 {
    let mut used = 0u64;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
    assert_eq!(code!(sys::cuMemPoolGetAttribute(pool, attribute, (&raw mut used).cast())), CUDA_SUCCESS);
    used
}

#[test]
fn a_pool_counts_what_is_allocated_whichever_call_frees_it() {
    let _context = common::context();
    let pool = pool(1000);
    let allocate = |bytes: usize| {
        let mut pointer = 0;
        (code!(sys::cuMemAllocFromPoolAsync(&mut pointer, bytes, pool, null_mut())), pointer)
    };
    let (result, pointer) = allocate(600);
    assert_eq!((result, used(pool)), (CUDA_SUCCESS, 600));
    assert_eq!(allocate(401).0, CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(allocate(usize::MAX).0, CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(code!(sys::cuMemFree_v2(pointer)), CUDA_SUCCESS);
    assert_eq!(used(pool), 0);
    let (result, pointer) = allocate(1000);
    assert_eq!((result, used(pool)), (CUDA_SUCCESS, 1000));
    assert_eq!(code!(sys::cuMemFreeAsync(pointer, null_mut())), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemFreeAsync(pointer, null_mut())), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(used(pool), 0);
    assert_eq!(code!(sys::cuMemPoolDestroy(pool)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemPoolDestroy(pool)), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn memory_outlives_its_pool() {
    let _context = common::context();
    let pool = pool(0);
    let mut pointer = 0;
    assert_eq!(code!(sys::cuMemAllocFromPoolAsync(&mut pointer, 64, pool, null_mut())), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemPoolDestroy(pool)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemsetD8_v2(pointer, 1, 64)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemFreeAsync(pointer, null_mut())), CUDA_SUCCESS);
}

/// A copy inside an allocation of 1 KiB, changed by the test.
fn copy(change: impl Fn(&mut sys::CUDA_MEMCPY3D)) -> sys::CUresult {
    let mut pointer = 0;
    assert_eq!(code!(sys::cuMemAlloc_v2(&mut pointer, 1024)), CUDA_SUCCESS);
    let device = sys::CUmemorytype::CU_MEMORYTYPE_DEVICE;
    let mut box_ = sys::CUDA_MEMCPY3D {
        srcXInBytes: 0,
        srcY: 0,
        srcZ: 0,
        srcLOD: 0,
        srcMemoryType: device,
        srcHost: null(),
        srcDevice: pointer,
        srcArray: null_mut(),
        reserved0: null_mut(),
        srcPitch: 16,
        srcHeight: 2,
        dstXInBytes: 0,
        dstY: 0,
        dstZ: 0,
        dstLOD: 0,
        dstMemoryType: device,
        dstHost: null_mut(),
        dstDevice: pointer + 512,
        dstArray: null_mut(),
        reserved1: null_mut(),
        dstPitch: 32,
        dstHeight: 3,
        WidthInBytes: 8,
        Height: 2,
        Depth: 2,
    };
    change(&mut box_);
    let result = code!(sys::cuMemcpy3D_v2(&box_));
    assert_eq!(code!(sys::cuMemFree_v2(pointer)), CUDA_SUCCESS);
    result
}

#[test]
fn boxes_that_do_not_fit_are_refused() {
    let _context = common::context();
    assert_eq!(copy(|_| ()), CUDA_SUCCESS);
    let refused = |change: fn(&mut sys::CUDA_MEMCPY3D)| assert_eq!(copy(change), CUDA_ERROR_INVALID_VALUE);
    refused(|b| b.srcPitch = 7);
    refused(|b| b.dstPitch = 7);
    refused(|b| b.srcXInBytes = 9);
    refused(|b| (b.srcHeight, b.Height) = (1, 2));
    refused(|b| b.dstHeight = 1);
    refused(|b| (b.Height, b.Depth, b.srcPitch) = (1, 1, 1 << 31));
    refused(|b| b.dstZ = 6);
    refused(|b| b.srcY = usize::MAX);
    refused(|b| b.dstZ = usize::MAX / 96);
    refused(|b| (b.Height, b.Depth) = (1 << 40, 1 << 40));
    refused(|b| (b.WidthInBytes, b.srcPitch, b.dstPitch) = (usize::MAX, usize::MAX, usize::MAX));
    refused(|b| b.srcLOD = 1);
    // Nothing is copied, so nothing can be out of bounds; a slice's height means nothing without a second slice.
    assert_eq!(copy(|b| (b.WidthInBytes, b.Height, b.Depth) = (0, usize::MAX, 1)), CUDA_SUCCESS);
    assert_eq!(copy(|b| (b.Depth, b.srcHeight) = (1, 1)), CUDA_SUCCESS);
}
