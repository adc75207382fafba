//! Launches with extents, parameters and attributes that a program may get wrong.

mod common;

use std::ffi::c_void;
use std::ptr::null_mut;

use cudarc::driver::sys::{self, CUresult::*};

macro_rules! code {
    ($call:expr) => {
        // SAFETY: the arguments are those of the test; wild ones are what is tested.
        unsafe { $call }
    };
}

fn function(name: &std::ffi::CStr) -> sys::CUfunction {
    let (mut module, mut function) = (null_mut(), null_mut());
    assert_eq!(code!(sys::cuModuleLoadData(&mut module, common::ADD.as_ptr().cast())), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuModuleGetFunction(&mut function, module, name.as_ptr())), CUDA_SUCCESS);
    function
}

/// A launch of `bounded`, whose one parameter it does not use.
fn bounded(grid: [u32; 3], block: [u32; 3], attributes: &[sys::CUlaunchAttribute]) -> sys::CUresult {
    let mut pointer = 0u64;
    let mut params: [*mut c_void; 1] = [(&raw mut pointer).cast()];
    let config = sys::CUlaunchConfig {
        gridDimX: grid[0],
        gridDimY: grid[1],
        gridDimZ: grid[2],
        blockDimX: block[0],
        blockDimY: block[1],
        blockDimZ: block[2],
        sharedMemBytes: 0,
        hStream: null_mut(),
        attrs: attributes.as_ptr().cast_mut(),
        numAttrs: attributes.len() as u32,
    };
    code!(sys::cuLaunchKernelEx(&config, function(c"bounded"), params.as_mut_ptr(), null_mut()))
}

fn cluster(x: u32, y: u32, z: u32) -> sys::CUlaunchAttribute {
    let mut attribute: sys::CUlaunchAttribute = code!(std::mem::zeroed());
    attribute.id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z };
    attribute
}

#[test]
fn extents_whose_product_overflows_are_refused() {
    let _context = common::context();
    const M: u32 = u32::MAX;
    assert_eq!(bounded([1; 3], [M; 3], &[]), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(bounded([M; 3], [1; 3], &[]), CUDA_ERROR_INVALID_VALUE);
    // The product of this block's sides is 0 in 32 bits, and that of the other 0 in 64.
    assert_eq!(bounded([1; 3], [1 << 16, 1 << 16, 1], &[]), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(bounded([1; 3], [1 << 31, 1 << 31, 4], &[]), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(bounded([4, 1, 1], [32, 1, 1], &[cluster(M, M, M)]), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    assert_eq!(bounded([4, 1, 1], [32, 1, 1], &[cluster(0, 1, 1)]), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    assert_eq!(bounded([4, 1, 1], [32, 1, 1], &[cluster(3, 1, 1)]), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(bounded([4, 1, 1], [32, 1, 1], &[cluster(2, 1, 1)]), CUDA_SUCCESS);
}

#[test]
fn a_cooperative_grid_must_be_resident_whatever_its_size() {
    let _context = common::context();
    let mut cooperative: sys::CUlaunchAttribute = code!(std::mem::zeroed());
    cooperative.id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    cooperative.value.cooperative = 1;
    let largest = [i32::MAX as u32, 65535, 65535];
    assert_eq!(bounded([4, 1, 1], [32, 1, 1], &[cooperative]), CUDA_SUCCESS);
    assert_eq!(bounded(largest, [32, 1, 1], &[cooperative]), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
}

#[test]
fn attributes_that_are_not_there_are_refused() {
    let _context = common::context();
    let mut config: sys::CUlaunchConfig = code!(std::mem::zeroed());
    (config.gridDimX, config.gridDimY, config.gridDimZ) = (1, 1, 1);
    (config.blockDimX, config.blockDimY, config.blockDimZ) = (1, 1, 1);
    let mut pointer = 0u64;
    let mut params: [*mut c_void; 1] = [(&raw mut pointer).cast()];
    let function = function(c"bounded");
    for (attributes, count) in [(null_mut(), 1), (8 as _, 1), (null_mut(), u32::MAX)] {
        (config.attrs, config.numAttrs) = (attributes, count);
        let result = code!(sys::cuLaunchKernelEx(&config, function, params.as_mut_ptr(), null_mut()));
        assert_eq!(result, CUDA_ERROR_INVALID_VALUE);
    }
}

#[test]
fn parameters_come_from_a_buffer_that_is_large_enough() {
    let context = common::context();
    let stream = context.default_stream();
    let data = stream.clone_htod(&[1u32, 2, 3, 4]).unwrap();
    let pointer = cudarc::driver::DevicePtr::device_ptr(&data, &stream).0;
    // A pointer, a value and a count, as `add` takes them.
    let mut buffer = [pointer, 5 | 4 << 32];
    let add = function(c"add");
    let go = |keys: [usize; 2], size: &mut usize, address: usize, params: *mut *mut c_void| {
        let size = (size as *mut usize).cast::<c_void>();
        let mut extra =
            [keys[0] as *mut c_void, address as *mut c_void, keys[1] as *mut c_void, size, null_mut()];
        code!(sys::cuLaunchKernel(add, 1, 1, 1, 4, 1, 1, 0, null_mut(), params, extra.as_mut_ptr()))
    };
    let at = buffer.as_mut_ptr() as usize;
    assert_eq!(go([1, 2], &mut 16, at, null_mut()), CUDA_SUCCESS);
    assert_eq!(go([1, 2], &mut 15, at, null_mut()), CUDA_ERROR_INVALID_VALUE, "too small");
    assert_eq!(go([1, 2], &mut 16, 8, null_mut()), CUDA_ERROR_INVALID_VALUE, "no memory");
    assert_eq!(go([1, 7], &mut 16, at, null_mut()), CUDA_ERROR_INVALID_VALUE, "unknown key");
    let mut params: [*mut c_void; 3] = [buffer.as_mut_ptr().cast(); 3];
    assert_eq!(go([1, 2], &mut 16, at, params.as_mut_ptr()), CUDA_ERROR_INVALID_VALUE, "both");
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [6, 7, 8, 9]);
}

#[test]
fn a_function_of_another_context_is_refused() {
    common::start();
    std::thread::spawn(|| {
        let (mut one, mut other) = (null_mut(), null_mut());
        assert_eq!(code!(sys::cuCtxCreate_v2(&mut one, 0, 0)), CUDA_SUCCESS);
        let function = function(c"bounded");
        assert_eq!(code!(sys::cuCtxCreate_v2(&mut other, 0, 0)), CUDA_SUCCESS);
        let mut pointer = 0u64;
        let mut params: [*mut c_void; 1] = [(&raw mut pointer).cast()];
        let mut go = || {
            let (params, none) = (params.as_mut_ptr(), null_mut());
            code!(sys::cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, null_mut(), params, none))
        };
        assert_eq!(go(), CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(code!(sys::cuCtxDestroy_v2(other)), CUDA_SUCCESS);
        assert_eq!(go(), CUDA_SUCCESS);
        assert_eq!(code!(sys::cuCtxDestroy_v2(one)), CUDA_SUCCESS);
    })
    .join()
    .unwrap();
}
