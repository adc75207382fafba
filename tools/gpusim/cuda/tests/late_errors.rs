//! `GPUSIM_ERRORS=sync`: a kernel's error comes from the next call that waits for it, once.

mod common;

use std::ffi::c_void;
use std::ptr::null_mut;

use cudarc::driver::sys::{self, CUresult, CUresult::*};

macro_rules! code {
    ($call:expr) => {
        // SAFETY: valid handles and out-pointers to locals.
        unsafe { $call }
    };
}

#[test]
fn a_kernels_error_comes_when_the_program_waits_for_it() {
    // SAFETY: the only test of this process, and the driver is not initialised yet.
    unsafe { std::env::set_var("GPUSIM_ERRORS", "sync") };
    let _context = common::context();
    let (mut module, mut function) = (null_mut(), null_mut());
    assert_eq!(code!(sys::cuModuleLoadData(&mut module, common::ADD.as_ptr().cast())), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuModuleGetFunction(&mut function, module, c"add".as_ptr())), CUDA_SUCCESS);
    let mut streams = [null_mut(); 2];
    for stream in &mut streams {
        assert_eq!(code!(sys::cuStreamCreate(stream, 1)), CUDA_SUCCESS);
    }
    let mut event = null_mut();
    assert_eq!(code!(sys::cuEventCreate(&mut event, 0)), CUDA_SUCCESS);
    let launch = |stream: sys::CUstream, mut data: u64| -> CUresult {
        let mut numbers = [1u32; 2];
        let at = numbers.as_mut_ptr();
        let mut params: [*mut c_void; 3] = [(&raw mut data).cast(), at.cast(), at.wrapping_add(1).cast()];
        code!(sys::cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, params.as_mut_ptr(), null_mut()))
    };
    let [one, other] = streams;
    let mut data = 0;
    assert_eq!(code!(sys::cuMemAlloc_v2(&mut data, 4)), CUDA_SUCCESS);

    assert_eq!(launch(one, 0x1230), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuStreamSynchronize(other)), CUDA_SUCCESS, "another stream");
    assert_eq!(code!(sys::cuStreamSynchronize(one)), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_eq!(code!(sys::cuStreamSynchronize(one)), CUDA_SUCCESS, "it is not sticky");

    assert_eq!(launch(one, data + 2), CUDA_SUCCESS);
    assert_eq!(launch(one, data), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuEventRecord(event, one)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuEventSynchronize(event)), CUDA_ERROR_MISALIGNED_ADDRESS, "the first error");
    assert_eq!(code!(sys::cuCtxSynchronize()), CUDA_ERROR_MISALIGNED_ADDRESS);
    assert_eq!(code!(sys::cuEventRecord(event, one)), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuEventSynchronize(event)), CUDA_SUCCESS);

    // What is wrong with the call itself is still returned by the call.
    assert_eq!(launch(77 as _, data), CUDA_ERROR_INVALID_HANDLE);
    // Freeing waits too; it frees nevertheless.
    assert_eq!(launch(other, 0x1230), CUDA_SUCCESS);
    assert_eq!(code!(sys::cuMemFree_v2(data)), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_eq!(code!(sys::cuMemFree_v2(data)), CUDA_ERROR_INVALID_VALUE);
}
