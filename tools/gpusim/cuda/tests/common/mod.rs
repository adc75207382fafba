//! Loads the library that was built with the tests, so that cudarc finds it under its name.

use std::sync::Once;

use cudarc::driver::sys;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Any function of the driver: on this platform one may be called with more arguments than it has.
#[allow(dead_code)]
pub type Code = unsafe extern "C" fn(
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
) -> i32;

/// The library, loaded by its path. Its name is libcuda.so.1, so the loader gives it to whoever asks for that.
pub fn library() -> Library {
    let folder = std::env::current_exe().unwrap();
    let path = folder.parent().unwrap().join("libcuda.so");
    // SAFETY: the library's initialisers do nothing.
    unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// Makes sure that cudarc's calls reach the simulator, and initialises it.
#[allow(dead_code)]
pub fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        std::mem::forget(library());
        // SAFETY: plain calls of the driver.
        unsafe {
            assert_eq!(sys::cuInit(0), sys::CUresult::CUDA_SUCCESS);
            let mut uuid = sys::CUuuid { bytes: [0; 16] };
            assert_eq!(sys::cuDeviceGetUuid_v2(&mut uuid, 0), sys::CUresult::CUDA_SUCCESS);
            assert_eq!(uuid.bytes.map(|b| b as u8), *b"GPU-simulated-90", "another driver was found");
        }
    });
}

/// A context that is current in this thread.
#[allow(dead_code)]
pub fn context() -> std::sync::Arc<cudarc::driver::CudaContext> {
    start();
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    context.bind_to_thread().unwrap();
    context
}

/// A kernel that adds `value` to each of `n` 32-bit integers.
#[allow(dead_code)]
pub const ADD: &str = "
.version 8.0
.target sm_80
.address_size 64

.visible .global .align 4 .u32 total[4] = {1, 2, 3, 4};

.visible .entry add(.param .u64 data, .param .u32 value, .param .u32 n)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [data];
    ld.param.u32 %r1, [value];
    ld.param.u32 %r2, [n];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r6, %r3, %r4, %r5;
    setp.ge.u32 %p1, %r6, %r2;
    @%p1 bra DONE;
    cvta.to.global.u64 %rd1, %rd1;
    mul.wide.u32 %rd2, %r6, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r7, [%rd3];
    add.s32 %r7, %r7, %r1;
    st.global.u32 [%rd3], %r7;
DONE:
    ret;
}

.visible .entry bounded(.param .u64 data) .maxntid 128, 1, 1
{
    .shared .align 16 .b8 static_buffer[1024];
    ret;
}
\0";
