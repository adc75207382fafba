//! Ordinary programs: cudarc's safe API, unmodified, and the calls around memory, streams and contexts.

mod common;

use std::ptr::null_mut;
use std::sync::mpsc::{Receiver, channel};

use cudarc::driver::sys::{self, CUresult::*};
use cudarc::driver::{CudaContext, DevicePtr, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

macro_rules! ok {
    ($call:expr) => {
        // SAFETY: valid handles and out-pointers to locals.
        assert_eq!(unsafe { $call }, CUDA_SUCCESS)
    };
}

/// A structure that is zero but for its two memory types, which have no zero.
macro_rules! copy {
    ($type:ident, $from:ident, $to:ident) => {{
        let mut copy = std::mem::MaybeUninit::<sys::$type>::zeroed();
        // SAFETY: zero is a value of every other field.
        unsafe {
            (*copy.as_mut_ptr()).srcMemoryType = sys::CUmemorytype::$from;
            (*copy.as_mut_ptr()).dstMemoryType = sys::CUmemorytype::$to;
            copy.assume_init()
        }
    }};
}

#[test]
fn a_kernel_runs() {
    let context = common::context();
    let stream = context.new_stream().unwrap();
    let module = context.load_module(Ptx::from_src(&common::ADD[..common::ADD.len() - 1])).unwrap();
    let add = module.load_function("add").unwrap();
    let input: Vec<u32> = (0..1000).collect();
    let mut data = stream.clone_htod(&input).unwrap();
    let mut launch = stream.launch_builder(&add);
    // SAFETY: the parameters are the kernel's.
    unsafe { launch.arg(&mut data).arg(&5u32).arg(&1000u32).launch(LaunchConfig::for_num_elems(1000)) }
        .unwrap();
    let expected: Vec<u32> = (5..1005).collect();
    assert_eq!(stream.clone_dtoh(&data).unwrap(), expected);
    assert!(module.load_function("no_such_kernel").is_err());
}

#[test]
fn module_variables_have_addresses_and_their_initial_values() {
    let _context = common::context();
    let (mut module, mut pointer, mut bytes) = (null_mut(), 0, 0);
    ok!(sys::cuModuleLoadData(&mut module, common::ADD.as_ptr().cast()));
    ok!(sys::cuModuleGetGlobal_v2(&mut pointer, &mut bytes, module, c"total".as_ptr()));
    assert_eq!(bytes, 16);
    let mut values = [0u32; 4];
    ok!(sys::cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), pointer, 16));
    assert_eq!(values, [1, 2, 3, 4]);
    ok!(sys::cuModuleUnload(module));
    // SAFETY: the pointer is no longer one.
    let after = unsafe { sys::cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), pointer, 16) };
    assert_eq!(after, CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn parameters_can_come_in_a_buffer() {
    let _context = common::context();
    let (mut module, mut add, mut pointer) = (null_mut(), null_mut(), 0u64);
    ok!(sys::cuModuleLoadData(&mut module, common::ADD.as_ptr().cast()));
    ok!(sys::cuModuleGetFunction(&mut add, module, c"add".as_ptr()));
    ok!(sys::cuMemAlloc_v2(&mut pointer, 128));
    ok!(sys::cuMemsetD32_v2(pointer, 1, 32));
    let buffer = [pointer, 7 | 32 << 32];
    let (mut right, mut short) = (16usize, 15usize);
    // CU_LAUNCH_PARAM_BUFFER_POINTER and CU_LAUNCH_PARAM_BUFFER_SIZE are the addresses 1 and 2.
    let (at, bytes) = (std::ptr::without_provenance_mut(1), std::ptr::without_provenance_mut(2));
    let mut extra = [at, buffer.as_ptr() as *mut _, bytes, (&raw mut right).cast(), null_mut()];
    ok!(sys::cuLaunchKernel(add, 1, 1, 1, 32, 1, 1, 0, null_mut(), null_mut(), extra.as_mut_ptr()));
    let mut values = [0u32; 32];
    ok!(sys::cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), pointer, 128));
    assert_eq!(values, [8; 32]);
    extra[3] = (&raw mut short).cast();
    // SAFETY: as above.
    let code =
        unsafe { sys::cuLaunchKernel(add, 1, 1, 1, 32, 1, 1, 0, null_mut(), null_mut(), extra.as_mut_ptr()) };
    assert_eq!(code, CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn rectangles_are_copied_between_pitches() {
    let _context = common::context();
    let (mut device, mut pitch) = (0, 0);
    ok!(sys::cuMemAllocPitch_v2(&mut device, &mut pitch, 6, 4, 4));
    assert_eq!(pitch % 512, 0);
    ok!(sys::cuMemsetD2D8_v2(device, pitch, 0xee, 6, 4));
    let source: Vec<u8> = (0..40).collect();
    let mut copy = copy!(CUDA_MEMCPY2D, CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_DEVICE);
    copy.srcHost = source.as_ptr().cast();
    copy.srcPitch = 10;
    (copy.srcXInBytes, copy.srcY) = (2, 1);
    copy.dstDevice = device;
    copy.dstPitch = pitch;
    (copy.dstXInBytes, copy.dstY) = (1, 1);
    (copy.WidthInBytes, copy.Height) = (4, 2);
    ok!(sys::cuMemcpy2D_v2(&copy));
    let mut back = [0u8; 24];
    let mut out = copy!(CUDA_MEMCPY2D, CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_HOST);
    (out.srcDevice, out.srcPitch) = (device, pitch);
    (out.dstHost, out.dstPitch) = (back.as_mut_ptr().cast(), 6);
    (out.WidthInBytes, out.Height) = (6, 4);
    ok!(sys::cuMemcpy2D_v2(&out));
    let e = 0xee;
    let expected = [[e; 6], [e, 12, 13, 14, 15, e], [e, 22, 23, 24, 25, e], [e; 6]].concat();
    assert_eq!(back[..], expected[..]);
}

#[test]
fn boxes_are_copied_between_heights() {
    let _context = common::context();
    let source: Vec<u8> = (0..60).collect();
    let mut target = [0u8; 16];
    let mut copy = copy!(CUDA_MEMCPY3D, CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_HOST);
    (copy.srcHost, copy.srcPitch, copy.srcHeight) = (source.as_ptr().cast(), 5, 4);
    (copy.srcXInBytes, copy.srcY, copy.srcZ) = (1, 2, 1);
    (copy.dstHost, copy.dstPitch, copy.dstHeight) = (target.as_mut_ptr().cast(), 4, 2);
    (copy.WidthInBytes, copy.Height, copy.Depth) = (3, 2, 2);
    ok!(sys::cuMemcpy3D_v2(&copy));
    // Slice 1 and 2 of 20 bytes, rows 2 and 3 of 5, bytes 1 to 3.
    assert_eq!(target, [31, 32, 33, 0, 36, 37, 38, 0, 51, 52, 53, 0, 56, 57, 58, 0]);
}

#[test]
fn pinned_and_managed_memory_is_seen_by_both_sides() {
    let _context = common::context();
    let (mut pinned, mut managed, mut device) = (null_mut(), 0, 0);
    ok!(sys::cuMemHostAlloc(&mut pinned, 64, 0));
    ok!(sys::cuMemAllocManaged(&mut managed, 64, 1));
    ok!(sys::cuMemHostGetDevicePointer_v2(&mut device, pinned, 0));
    ok!(sys::cuMemsetD32_v2(device, 0x0403_0201, 16));
    ok!(sys::cuMemcpyDtoD_v2(managed, device, 64));
    // SAFETY: managed memory may be read by the host.
    assert_eq!(unsafe { *(managed as *const [u8; 4]) }, [1, 2, 3, 4]);
    let mut kind = 0u32;
    let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
    ok!(sys::cuPointerGetAttribute((&raw mut kind).cast(), attribute, pinned as u64 + 5));
    assert_eq!(kind, 1);
    ok!(sys::cuPointerGetAttribute((&raw mut kind).cast(), attribute, managed));
    assert_eq!(kind, 2);
    ok!(sys::cuMemFreeHost(pinned));
    ok!(sys::cuMemFree_v2(managed));
    // SAFETY: a registered buffer of the program.
    let mut own = vec![1u8; 10_000];
    ok!(sys::cuMemHostRegister_v2(own.as_mut_ptr().cast(), own.len(), 0));
    ok!(sys::cuMemsetD8_v2(own.as_ptr() as u64 + 100, 9, 50));
    assert_eq!((own[99], own[100], own[149], own[150]), (1, 9, 9, 1));
    // SAFETY: as above.
    let again = unsafe { sys::cuMemHostRegister_v2(own.as_mut_ptr().cast(), 10, 0) };
    assert_eq!(again, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    ok!(sys::cuMemHostUnregister(own.as_mut_ptr().cast()));
}

#[test]
fn pools_count_what_is_used() {
    let context = CudaContext::new_non_primary(
        {
            common::start();
            0
        },
        Default::default(),
    )
    .unwrap();
    let stream = context.new_stream().unwrap();
    // SAFETY: plain structure; zero is a value of each field.
    let mut props: sys::CUmemPoolProps = unsafe { std::mem::zeroed() };
    props.allocType = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    let (mut pool, mut pointer, mut used) = (null_mut(), 0, 0u64);
    ok!(sys::cuMemPoolCreate(&mut pool, &props));
    ok!(sys::cuMemAllocFromPoolAsync(&mut pointer, 1 << 20, pool, stream.cu_stream()));
    let (now, high) = (
        sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
        sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
    );
    ok!(sys::cuMemPoolGetAttribute(pool, now, (&raw mut used).cast()));
    assert_eq!(used, 1 << 20);
    ok!(sys::cuMemFreeAsync(pointer, stream.cu_stream()));
    ok!(sys::cuMemPoolGetAttribute(pool, now, (&raw mut used).cast()));
    assert_eq!(used, 0);
    ok!(sys::cuMemPoolGetAttribute(pool, high, (&raw mut used).cast()));
    assert_eq!(used, 1 << 20);
    // SAFETY: freed above.
    assert_eq!(unsafe { sys::cuMemFreeAsync(pointer, stream.cu_stream()) }, CUDA_ERROR_INVALID_VALUE);
    ok!(sys::cuMemPoolDestroy(pool));
}

#[test]
fn two_mappings_of_one_physical_allocation_alias() {
    let _context = common::context();
    const SIZE: usize = 2 << 20;
    // SAFETY: plain structure; zero is a value of each field.
    let mut props: sys::CUmemAllocationProp = unsafe { std::mem::zeroed() };
    props.type_ = sys::CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    let (mut base, mut handle) = (0, 0);
    ok!(sys::cuMemAddressReserve(&mut base, 2 * SIZE, 0, 0, 0));
    ok!(sys::cuMemCreate(&mut handle, SIZE, &props, 0));
    ok!(sys::cuMemMap(base, SIZE, 0, handle, 0));
    ok!(sys::cuMemMap(base + SIZE as u64, SIZE, 0, handle, 0));
    let access = sys::CUmemAccessDesc {
        location: props.location,
        flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
    };
    // SAFETY: not accessible yet.
    assert_eq!(unsafe { sys::cuMemsetD8_v2(base, 1, 16) }, CUDA_ERROR_INVALID_VALUE);
    ok!(sys::cuMemSetAccess(base, 2 * SIZE, &access, 1));
    ok!(sys::cuMemsetD8_v2(base + 8, 0x5a, 16));
    let mut byte = [0u8; 2];
    ok!(sys::cuMemcpyDtoH_v2(byte.as_mut_ptr().cast(), base + SIZE as u64 + 23, 2));
    assert_eq!(byte, [0x5a, 0]);
    ok!(sys::cuMemUnmap(base, 2 * SIZE));
    ok!(sys::cuMemRelease(handle));
    // SAFETY: the last reference is gone.
    assert_eq!(unsafe { sys::cuMemRelease(handle) }, CUDA_ERROR_INVALID_VALUE);
    ok!(sys::cuMemAddressFree(base, 2 * SIZE));
}

#[test]
fn work_behind_a_host_function_waits_for_it() {
    unsafe extern "C" fn wait(data: *mut std::ffi::c_void) {
        // SAFETY: the box that the test passed.
        let release = unsafe { Box::from_raw(data.cast::<Receiver<()>>()) };
        let _ = release.recv();
    }
    let context = common::context();
    let stream = context.new_stream().unwrap();
    let mut data = stream.clone_htod(&[1u8; 8]).unwrap();
    let (release, receiver) = channel::<()>();
    let (mut event, mut behind) = (null_mut(), null_mut());
    ok!(sys::cuEventCreate(&mut event, 0));
    ok!(sys::cuStreamCreate(&mut behind, 1));
    let receiver = Box::into_raw(Box::new(receiver));
    ok!(sys::cuLaunchHostFunc(stream.cu_stream(), Some(wait), receiver.cast()));
    stream.memset_zeros(&mut data).unwrap();
    ok!(sys::cuEventRecord(event, stream.cu_stream()));
    ok!(sys::cuStreamWaitEvent(behind, event, 0));
    // SAFETY: valid handles.
    unsafe {
        assert_eq!(sys::cuEventQuery(event), CUDA_ERROR_NOT_READY);
        assert_eq!(sys::cuStreamQuery(stream.cu_stream()), CUDA_ERROR_NOT_READY);
        assert_eq!(sys::cuStreamQuery(behind), CUDA_ERROR_NOT_READY);
    }
    release.send(()).unwrap();
    ok!(sys::cuStreamSynchronize(behind));
    ok!(sys::cuEventQuery(event));
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [0; 8]);
}

#[test]
fn a_copy_to_pageable_memory_is_done_when_it_returns_and_one_to_pinned_memory_is_not() {
    unsafe extern "C" fn pause(_: *mut std::ffi::c_void) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let context = common::context();
    let stream = context.new_stream().unwrap();
    let data = stream.clone_htod(&[7u8; 64]).unwrap();
    let mut pinned = null_mut();
    ok!(sys::cuMemHostAlloc(&mut pinned, 64, 0));
    let (address, _record) = data.device_ptr(&stream);
    let mut pageable = [0u8; 64];
    ok!(sys::cuLaunchHostFunc(stream.cu_stream(), Some(pause), null_mut()));
    ok!(sys::cuMemcpyDtoHAsync_v2(pinned, address, 64, stream.cu_stream()));
    // SAFETY: a valid handle.
    assert_eq!(unsafe { sys::cuStreamQuery(stream.cu_stream()) }, CUDA_ERROR_NOT_READY);
    ok!(sys::cuMemcpyDtoHAsync_v2(pageable.as_mut_ptr().cast(), address, 64, stream.cu_stream()));
    assert_eq!(pageable, [7; 64]);
    // A source may be used again at once.
    let mut source = [9u8; 64];
    ok!(sys::cuLaunchHostFunc(stream.cu_stream(), Some(pause), null_mut()));
    ok!(sys::cuMemcpyHtoDAsync_v2(address, source.as_ptr().cast(), 64, stream.cu_stream()));
    source.fill(1);
    ok!(sys::cuMemcpyDtoH_v2(pageable.as_mut_ptr().cast(), address, 64));
    assert_eq!(pageable, [9; 64]);
    ok!(sys::cuMemFreeHost(pinned));
}

#[test]
fn occupancy_and_attributes_of_a_function() {
    let _context = common::context();
    let (mut module, mut bounded, mut blocks, mut value) = (null_mut(), null_mut(), 0, 0);
    ok!(sys::cuModuleLoadData(&mut module, common::ADD.as_ptr().cast()));
    ok!(sys::cuModuleGetFunction(&mut bounded, module, c"bounded".as_ptr()));
    // 1 KiB static, 1 KiB reserved and 54 KiB dynamic: four blocks in 228 KiB.
    ok!(sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(&mut blocks, bounded, 128, 54 << 10));
    assert_eq!(blocks, 4);
    use sys::CUfunction_attribute::*;
    for (attribute, expected) in [
        (CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 128),
        (CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, 1024),
        (CU_FUNC_ATTRIBUTE_PTX_VERSION, 80),
        (CU_FUNC_ATTRIBUTE_BINARY_VERSION, 90),
        (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 47 << 10),
    ] {
        ok!(sys::cuFuncGetAttribute(&mut value, attribute, bounded));
        assert_eq!(value, expected, "{attribute:?}");
    }
}
