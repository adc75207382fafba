//! Several host threads use the driver at once.

mod common;

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;

use cudarc::driver::sys::{self, CUresult::*};

macro_rules! ok {
    ($call:expr) => {
        // SAFETY: valid handles and out-pointers to locals.
        assert_eq!(unsafe { $call }, CUDA_SUCCESS)
    };
}

fn launch(function: sys::CUfunction, stream: sys::CUstream, mut data: u64, mut value: u32) -> sys::CUresult {
    let mut n = 256u32;
    let mut params: [*mut c_void; 3] = [(&raw mut data).cast(), (&raw mut value).cast(), (&raw mut n).cast()];
    // SAFETY: the parameters are those of `add`; what the address points to is the test's business.
    unsafe { sys::cuLaunchKernel(function, 2, 1, 1, 128, 1, 1, 0, stream, params.as_mut_ptr(), null_mut()) }
}

fn module() -> (sys::CUmodule, sys::CUfunction) {
    let (mut module, mut function) = (null_mut(), null_mut());
    ok!(sys::cuModuleLoadData(&mut module, common::ADD.as_ptr().cast()));
    ok!(sys::cuModuleGetFunction(&mut function, module, c"add".as_ptr()));
    (module, function)
}

#[test]
fn threads_with_streams_of_their_own_get_their_own_results() {
    let context = common::context();
    let work = |seed: u32| {
        context.bind_to_thread().unwrap();
        let mut stream = null_mut();
        ok!(sys::cuStreamCreate(&mut stream, seed % 2));
        for round in 0..40 {
            let (module, function) = module();
            let mut data = 0;
            ok!(sys::cuMemAllocAsync(&mut data, 1024, stream));
            ok!(sys::cuMemsetD32Async(data, round, 256, stream));
            assert_eq!(launch(function, stream, data, seed), CUDA_SUCCESS);
            let mut host = [0u32; 256];
            ok!(sys::cuMemcpyDtoHAsync_v2(host.as_mut_ptr().cast(), data, 1024, stream));
            ok!(sys::cuStreamSynchronize(stream));
            assert_eq!(host, [round + seed; 256]);
            ok!(sys::cuMemFreeAsync(data, stream));
            ok!(sys::cuModuleUnload(module));
        }
        ok!(sys::cuStreamDestroy_v2(stream));
    };
    std::thread::scope(|scope| {
        for seed in 0..8 {
            scope.spawn(move || work(seed));
        }
    });
}

/// Kernels use host memory at its own address: what one thread frees must stay until another's kernel has ended. A
/// launch that comes too late is told so.
#[test]
fn host_memory_can_be_freed_while_other_threads_launch_kernels_on_it() {
    let context = common::context();
    let (_, function) = module();
    let function = function as usize;
    let live: Mutex<Vec<usize>> = Mutex::default();
    let end = std::time::Instant::now() + std::time::Duration::from_millis(500);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (live, context) = (&live, &context);
            scope.spawn(move || {
                context.bind_to_thread().unwrap();
                while std::time::Instant::now() < end {
                    if thread < 2 {
                        let mut host = null_mut();
                        ok!(sys::cuMemAllocHost_v2(&mut host, 1024));
                        live.lock().unwrap().push(host as usize);
                        std::thread::yield_now();
                        let first = live.lock().unwrap().remove(0);
                        ok!(sys::cuMemFreeHost(first as *mut c_void));
                    } else {
                        let host = live.lock().unwrap().last().copied().unwrap_or(64);
                        let result = launch(function as sys::CUfunction, 2 as _, host as u64, 1);
                        // Two threads may add to the same memory, which the race check does not see across launches.
                        assert!(matches!(result, CUDA_SUCCESS | CUDA_ERROR_ILLEGAL_ADDRESS), "{result:?}");
                    }
                }
            });
        }
    });
}
