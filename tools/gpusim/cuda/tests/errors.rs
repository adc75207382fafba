//! Error codes: what a program does wrong is reported with the code that hardware's driver gives, and the process
//! goes on.

mod common;

use std::ptr::null_mut;

use cudarc::driver::sys::{self, CUresult::*};

macro_rules! code {
    ($call:expr) => {
        // SAFETY: the arguments are those of the test; wild ones are what is tested.
        unsafe { $call }
    };
}

#[test]
fn freed_and_foreign_pointers_are_reported() {
    let _context = common::context();
    let mut pointer = 0;
    assert_eq!(code!(sys::cuMemAlloc_v2(&mut pointer, 1000)), CUDA_SUCCESS);
    assert_eq!(pointer % 256, 0);
    let mut bytes = [7u8; 1000];
    assert_eq!(code!(sys::cuMemsetD8_v2(pointer, 5, 1000)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), pointer, 1000)), CUDA_SUCCESS);
    assert_eq!(bytes, [5; 1000]);
    assert_eq!(
        code!(sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), pointer, 1001)),
        CUDA_ERROR_INVALID_VALUE
    );
    assert_eq!(code!(sys::cuMemcpyDtoH_v2(null_mut(), pointer, 1000)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuMemFree_v2(pointer + 8)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuMemFree_v2(pointer)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemFree_v2(pointer)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuMemFree_v2(0)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemsetD8_v2(pointer, 5, 1)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), pointer, 1)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuMemAlloc_v2(&mut pointer, 0)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuMemAlloc_v2(&mut pointer, 81 << 30)), CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(code!(sys::cuMemAlloc_v2(null_mut(), 16)), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn bad_handles_are_reported() {
    let _context = common::context();
    let bad = [1usize, 0x1234, 0x6000_0000_0000 + 64 * 1_000_000, usize::MAX];
    for handle in bad {
        assert_eq!(code!(sys::cuEventQuery(handle as _)), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(code!(sys::cuModuleUnload(handle as _)), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(code!(sys::cuGraphDestroy(handle as _)), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(code!(sys::cuCtxSetCurrent(handle as _)), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(
            code!(sys::cuLaunchKernel(handle as _, 1, 1, 1, 1, 1, 1, 0, null_mut(), null_mut(), null_mut())),
            CUDA_ERROR_INVALID_HANDLE
        );
    }
    for handle in &bad[1..] {
        assert_eq!(code!(sys::cuStreamSynchronize(*handle as _)), CUDA_ERROR_INVALID_HANDLE);
    }
    // A destroyed event, and an event where a stream is wanted.
    let mut event = null_mut();
    assert_eq!(code!(sys::cuEventCreate(&mut event, 0)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuStreamSynchronize(event.cast())), CUDA_ERROR_INVALID_HANDLE);
    assert_eq!(code!(sys::cuEventDestroy_v2(event)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuEventDestroy_v2(event)), CUDA_ERROR_INVALID_HANDLE);
}

#[test]
fn calls_without_a_context_are_reported() {
    common::start();
    std::thread::spawn(|| {
        let mut pointer = 0;
        assert_eq!(code!(sys::cuMemAlloc_v2(&mut pointer, 16)), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(code!(sys::cuCtxSynchronize()), CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(code!(sys::cuStreamSynchronize(null_mut())), CUDA_ERROR_INVALID_CONTEXT);
        let mut context = 1 as _;
        assert_eq!(code!(sys::cuCtxGetCurrent(&mut context)), CUDA_SUCCESS);
        assert!(context.is_null());
        assert_eq!(code!(sys::cuCtxPopCurrent_v2(&mut context)), CUDA_ERROR_INVALID_CONTEXT);
    })
    .join()
    .unwrap();
}

#[test]
fn a_destroyed_context_takes_its_objects_with_it() {
    common::start();
    std::thread::spawn(|| {
        let (mut context, mut stream, mut pointer) = (null_mut(), null_mut(), 0);
        assert_eq!(code!(sys::cuCtxCreate_v2(&mut context, 0, 0)), CUDA_SUCCESS);
        assert_eq!(code!(sys::cuStreamCreate(&mut stream, 1)), CUDA_SUCCESS);
        assert_eq!(code!(sys::cuMemAlloc_v2(&mut pointer, 64)), CUDA_SUCCESS);
        assert_eq!(code!(sys::cuCtxPushCurrent_v2(context)), CUDA_SUCCESS);
        assert_eq!(code!(sys::cuCtxDestroy_v2(context)), CUDA_SUCCESS);
        // It is still below on the stack.
        assert_eq!(code!(sys::cuCtxSynchronize()), CUDA_ERROR_CONTEXT_IS_DESTROYED);
        assert_eq!(code!(sys::cuStreamQuery(stream)), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(code!(sys::cuCtxPushCurrent_v2(context)), CUDA_ERROR_INVALID_CONTEXT);
        let (mut base, mut bytes) = (0, 0);
        let _other = common::context();
        assert_eq!(code!(sys::cuMemGetAddressRange_v2(&mut base, &mut bytes, pointer)), CUDA_ERROR_NOT_FOUND);
    })
    .join()
    .unwrap();
}

#[test]
fn names_and_strings_of_errors() {
    common::start();
    let mut text = std::ptr::null();
    assert_eq!(code!(sys::cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &mut text)), CUDA_SUCCESS);
    assert_eq!(code!(std::ffi::CStr::from_ptr(text)), c"CUDA_ERROR_ILLEGAL_ADDRESS");
    assert_eq!(code!(sys::cuGetErrorString(CUDA_ERROR_INVALID_VALUE, &mut text)), CUDA_SUCCESS);
    assert_eq!(code!(std::ffi::CStr::from_ptr(text)), c"invalid argument");
}

#[test]
fn no_time_passes_between_an_event_and_itself() {
    let _context = common::context();
    let (mut event, mut time) = (null_mut(), -1f32);
    assert_eq!(code!(sys::cuEventCreate(&mut event, 0)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuEventElapsedTime(&mut time, event, event)), CUDA_ERROR_INVALID_HANDLE);
    assert_eq!(code!(sys::cuEventRecord(event, null_mut())), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuEventElapsedTime(&mut time, event, event)), CUDA_SUCCESS);
    assert_eq!(time, 0.0);
}

#[test]
fn undocumented_tables_are_not_found() {
    common::start();
    let mut table: *const std::ffi::c_void = std::ptr::dangling();
    let id = sys::CUuuid { bytes: [7; 16] };
    assert_eq!(code!(sys::cuGetExportTable(&mut table, &id)), CUDA_ERROR_NOT_FOUND);
    assert!(table.is_null());
    assert_eq!(code!(sys::cuGetExportTable(null_mut(), &id)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuGetExportTable(&mut table, std::ptr::null())), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn images_that_are_not_ptx_are_reported() {
    let _context = common::context();
    let load = |image: &[u8]| {
        let mut module = null_mut();
        code!(sys::cuModuleLoadData(&mut module, image.as_ptr().cast()))
    };
    assert_eq!(
        load(b"\x7fELF\x02\x01\x01\x33\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        CUDA_ERROR_NO_BINARY_FOR_GPU
    );
    assert_eq!(load(b"\xff\xfe rubbish \x01\0"), CUDA_ERROR_INVALID_IMAGE);
    assert_eq!(
        load(b".version 8.0\n.target sm_80\n.address_size 64\n.entry broken( {\0"),
        CUDA_ERROR_INVALID_PTX
    );
    assert_eq!(load(b".version 99.0\n.target sm_80\n\0"), CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    assert_eq!(load(b".version 8.6\n.target sm_100\n.address_size 64\n\0"), CUDA_ERROR_NO_BINARY_FOR_GPU);
    let mut module = null_mut();
    assert_eq!(code!(sys::cuModuleLoadData(&mut module, std::ptr::null())), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuModuleLoad(&mut module, c"/no/such/file".as_ptr())), CUDA_ERROR_FILE_NOT_FOUND);
}

#[test]
fn the_error_log_says_what_is_wrong_with_ptx() {
    let _context = common::context();
    let mut log = [0u8; 256];
    let mut options =
        [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast(), 256usize as *mut std::ffi::c_void];
    let mut module = null_mut();
    let ptx = c".version 8.0\n.target sm_80\n.address_size 64\n\n.entry broken( {\n";
    let result = code!(sys::cuModuleLoadDataEx(
        &mut module,
        ptx.as_ptr().cast(),
        2,
        options.as_mut_ptr(),
        values.as_mut_ptr()
    ));
    assert_eq!(result, CUDA_ERROR_INVALID_PTX);
    let text = std::ffi::CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
    assert_eq!(values[1] as usize, text.len());
    assert!(text.contains("line 5"), "{text}");
}

/// A module of [`common::ADD`] with its two functions.
fn functions() -> (sys::CUmodule, sys::CUfunction, sys::CUfunction) {
    let (mut module, mut add, mut bounded) = (null_mut(), null_mut(), null_mut());
    assert_eq!(code!(sys::cuModuleLoadData(&mut module, common::ADD.as_ptr().cast())), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuModuleGetFunction(&mut add, module, c"add".as_ptr())), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuModuleGetFunction(&mut bounded, module, c"bounded".as_ptr())), CUDA_SUCCESS);
    (module, add, bounded)
}

fn launch(
    function: sys::CUfunction,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    params: &mut [*mut std::ffi::c_void],
) -> sys::CUresult {
    let [x, y, z] = grid;
    let [a, b, c] = block;
    let params = if params.is_empty() { null_mut() } else { params.as_mut_ptr() };
    code!(sys::cuLaunchKernel(function, x, y, z, a, b, c, shared, null_mut(), params, null_mut()))
}

#[test]
fn bad_launch_configurations_are_reported() {
    let _context = common::context();
    let (_, _, bounded) = functions();
    let mut pointer = 0u64;
    let mut params = [(&raw mut pointer).cast()];
    let mut go = |grid, block, shared| launch(bounded, grid, block, shared, &mut params);
    assert_eq!(go([1, 1, 1], [128, 1, 1], 0), CUDA_SUCCESS);
    assert_eq!(go([0, 1, 1], [128, 1, 1], 0), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(go([1, 65536, 1], [128, 1, 1], 0), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(go([1, 1, 1], [0, 1, 1], 0), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(go([1, 1, 1], [1, 1, 65], 0), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(go([1, 1, 1], [1025, 1, 1], 0), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(go([1, 1, 1], [129, 1, 1], 0), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    // 1 KiB of the 48 KiB is static.
    assert_eq!(go([1, 1, 1], [1, 1, 1], 47 << 10), CUDA_SUCCESS);
    assert_eq!(go([1, 1, 1], [1, 1, 1], (47 << 10) + 1), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(launch(bounded, [1; 3], [1; 3], 0, &mut []), CUDA_ERROR_INVALID_VALUE);
    let mut bad = [std::ptr::without_provenance_mut::<std::ffi::c_void>(1)];
    assert_eq!(launch(bounded, [1; 3], [1; 3], 0, &mut bad), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn dynamic_shared_memory_needs_the_opt_in() {
    let _context = common::context();
    let (_, _, bounded) = functions();
    let mut pointer = 0u64;
    let mut params = [(&raw mut pointer).cast()];
    let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert_eq!(code!(sys::cuFuncSetAttribute(bounded, attribute, (226 << 10) + 1)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(sys::cuFuncSetAttribute(bounded, attribute, 226 << 10)), CUDA_SUCCESS);
    let mut value = 0;
    assert_eq!(code!(sys::cuFuncGetAttribute(&mut value, attribute, bounded)), CUDA_SUCCESS);
    assert_eq!(value, 226 << 10);
    assert_eq!(launch(bounded, [1; 3], [1; 3], 226 << 10, &mut params), CUDA_SUCCESS);
    assert_eq!(launch(bounded, [1; 3], [1; 3], (226 << 10) + 1, &mut params), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn a_kernel_that_fails_returns_an_error_and_the_context_lives_on() {
    let _context = common::context();
    let (_, add, _) = functions();
    let mut pointer = 0;
    assert_eq!(code!(sys::cuMemAlloc_v2(&mut pointer, 400)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemsetD32_v2(pointer, 1, 100)), CUDA_SUCCESS);
    let (mut value, mut n) = (2u32, 100u32);
    let mut go = |mut pointer: u64, n: &mut u32| {
        let mut params = [(&raw mut pointer).cast(), (&raw mut value).cast(), (n as *mut u32).cast()];
        launch(add, [2, 1, 1], [64, 1, 1], 0, &mut params)
    };
    assert_eq!(go(pointer, &mut n), CUDA_SUCCESS);
    n = 101;
    assert_eq!(go(pointer, &mut n), CUDA_ERROR_ILLEGAL_ADDRESS);
    n = 99;
    assert_eq!(go(pointer + 2, &mut n), CUDA_ERROR_MISALIGNED_ADDRESS);
    assert_eq!(go(0x123_4560, &mut n), CUDA_ERROR_ILLEGAL_ADDRESS);
    let mut last = 0u32;
    assert_eq!(code!(sys::cuMemcpyDtoH_v2((&raw mut last).cast(), pointer + 396, 4)), CUDA_SUCCESS);
    assert!(last >= 3, "the first launch added 2");
    assert_eq!(code!(sys::cuMemFree_v2(pointer)), CUDA_SUCCESS);
    assert_eq!(go(pointer, &mut n), CUDA_ERROR_ILLEGAL_ADDRESS);
}

#[test]
fn host_functions_cannot_call_the_driver() {
    use std::sync::atomic::{AtomicI32, Ordering};
    static CODE: AtomicI32 = AtomicI32::new(-1);
    unsafe extern "C" fn call(_: *mut std::ffi::c_void) {
        CODE.store(code!(sys::cuCtxSynchronize()) as i32, Ordering::SeqCst);
    }
    let context = common::context();
    let stream = context.new_stream().unwrap();
    assert_eq!(code!(sys::cuLaunchHostFunc(stream.cu_stream(), Some(call), null_mut())), CUDA_SUCCESS);
    stream.synchronize().unwrap();
    assert_eq!(CODE.load(Ordering::SeqCst), CUDA_ERROR_NOT_PERMITTED as i32);
}

#[test]
fn tensor_maps_are_checked() {
    let _context = common::context();
    #[repr(align(64))]
    struct Aligned([u64; 17]);
    let mut map = Aligned([0; 17]);
    let mut encode = |address: usize, inner: u32, shift: usize| {
        let (sizes, strides, boxes, steps) = ([64u64, 32], [128u64], [inner, 16], [1u32, 1]);
        let out = (map.0.as_mut_ptr() as usize + shift) as *mut sys::CUtensorMap;
        code!(sys::cuTensorMapEncodeTiled(
            out,
            sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            2,
            address as _,
            sizes.as_ptr(),
            strides.as_ptr(),
            boxes.as_ptr(),
            steps.as_ptr(),
            sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_NONE,
            sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        ))
    };
    assert_eq!(encode(0x1000_0000_0000, 64, 0), CUDA_SUCCESS);
    assert_eq!(encode(0x1000_0000_0008, 64, 0), CUDA_ERROR_INVALID_VALUE, "address");
    assert_eq!(encode(0x1000_0000_0000, 72, 0), CUDA_ERROR_INVALID_VALUE, "box beyond the swizzle's span");
    assert_eq!(encode(0x1000_0000_0000, 64, 8), CUDA_ERROR_INVALID_VALUE, "the map's own alignment");
}
