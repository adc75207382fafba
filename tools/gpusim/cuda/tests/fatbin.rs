//! Fatbins as nvcc makes them; tests/data/make.sh says how.

mod common;

use std::ptr::null_mut;

use cudarc::driver::sys::{self, CUresult::*};

const ZSTD: &[u8] = include_bytes!("data/zstd.fatbin");
const LZ4: &[u8] = include_bytes!("data/lz4.fatbin");
const PLAIN: &[u8] = include_bytes!("data/plain.fatbin");
const CUBIN: &[u8] = include_bytes!("data/cubin.fatbin");
const NEWER: &[u8] = include_bytes!("data/newer.fatbin");

fn load(image: &[u8]) -> (sys::CUresult, sys::CUmodule) {
    let mut module = null_mut();
    // SAFETY: an image and an out-pointer.
    let code = unsafe { sys::cuModuleLoadData(&mut module, image.as_ptr().cast()) };
    (code, module)
}

fn has(module: sys::CUmodule, name: &std::ffi::CStr) -> bool {
    let mut function = null_mut();
    // SAFETY: a valid module, a string and an out-pointer.
    unsafe { sys::cuModuleGetFunction(&mut function, module, name.as_ptr()) == CUDA_SUCCESS }
}

#[test]
fn the_newest_ptx_that_the_device_runs_is_loaded() {
    let _context = common::context();
    for (name, image) in [("zstd", ZSTD), ("lz4", LZ4), ("plain", PLAIN)] {
        let (code, module) = load(image);
        assert_eq!(code, CUDA_SUCCESS, "{name}");
        assert!(has(module, c"scale"), "{name}");
        assert!(has(module, c"only_on_90"), "{name}: the sm_80 PTX was taken");
        assert!(!has(module, c"only_on_100"), "{name}: the sm_100 PTX was taken");
    }
}

#[test]
fn a_wrapper_leads_to_its_fatbin() {
    let _context = common::context();
    #[repr(C)]
    struct Wrapper(u32, u32, *const u8, usize);
    let wrapper = Wrapper(0x4662_43b1, 1, PLAIN.as_ptr(), 0);
    let mut module = null_mut();
    // SAFETY: the structure that nvcc makes the host code pass.
    let code = unsafe { sys::cuModuleLoadFatBinary(&mut module, (&raw const wrapper).cast()) };
    assert_eq!(code, CUDA_SUCCESS);
    assert!(has(module, c"scale"));
}

#[test]
fn fatbins_without_ptx_for_the_device_are_no_binary_for_it() {
    let _context = common::context();
    assert_eq!(load(CUBIN).0, CUDA_ERROR_NO_BINARY_FOR_GPU);
    assert_eq!(load(NEWER).0, CUDA_ERROR_NO_BINARY_FOR_GPU);
}

#[test]
fn fatbins_load_from_files() {
    let _context = common::context();
    let path =
        std::ffi::CString::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/zstd.fatbin")).unwrap();
    let mut module = null_mut();
    // SAFETY: a string and an out-pointer.
    assert_eq!(unsafe { sys::cuModuleLoad(&mut module, path.as_ptr()) }, CUDA_SUCCESS);
    assert!(has(module, c"only_on_90"));
}
