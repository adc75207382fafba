//! Module images that are damaged, or declare what no device has.

mod common;

use std::ptr::null_mut;

use cudarc::driver::sys::{self, CUresult, CUresult::*};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn load(image: &[u8]) -> (CUresult, sys::CUmodule) {
    let mut module = null_mut();
    // SAFETY: an image that ends with a NUL or names its size, and an out-pointer.
    let code = unsafe { sys::cuModuleLoadData(&mut module, image.as_ptr().cast()) };
    (code, module)
}

fn free_bytes() -> usize {
    let (mut free, mut total) = (0, 0);
    // SAFETY: out-pointers to locals.
    assert_eq!(unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) }, CUDA_SUCCESS);
    free
}

/// Loads a module of this text, and unloads it.
fn text(body: &str) -> CUresult {
    let ptx = format!(".version 8.1\n.target sm_90\n.address_size 64\n{body}\n\0");
    let (code, module) = load(ptx.as_bytes());
    if code == CUDA_SUCCESS {
        // SAFETY: just loaded.
        assert_eq!(unsafe { sys::cuModuleUnload(module) }, CUDA_SUCCESS);
    }
    code
}

#[test]
fn variables_that_are_too_large_are_refused_and_leave_nothing_behind() {
    let _context = common::context();
    let before = free_bytes();
    // 2^63 and 2^65 bytes.
    assert_eq!(text(".global .b8 a[64]; .global .b64 x[1152921504606846976];"), CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(text(".global .b8 a[64]; .global .b64 x[4611686018427387904];"), CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(text(".global .b8 x[4294967296][4294967296];"), CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(text(".const .b8 c[65536];"), CUDA_SUCCESS);
    assert_eq!(text(".const .b8 c[65536]; .const .b8 d[1];"), CUDA_ERROR_INVALID_PTX);
    assert_eq!(free_bytes(), before);
}

#[test]
fn kernels_that_declare_too_much_are_refused() {
    let _context = common::context();
    let kernel = |head: &str, body: &str| text(&format!(".visible .entry k{head} {{ {body} ret; }}"));
    assert_eq!(kernel("(.param .b8 p[32764])", ""), CUDA_SUCCESS);
    assert_eq!(kernel("(.param .b8 p[32765])", ""), CUDA_ERROR_INVALID_PTX);
    assert_eq!(kernel("(.param .b8 p[1099511627776])", ""), CUDA_ERROR_INVALID_PTX);
    assert_eq!(kernel("()", ".shared .b8 s[49152]; st.shared.u8 [s], 0;"), CUDA_SUCCESS);
    assert_eq!(kernel("()", ".shared .b8 s[49153]; st.shared.u8 [s], 0;"), CUDA_ERROR_INVALID_PTX);
    // 2^40 is 0 in 32 bits.
    assert_eq!(kernel("()", ".shared .b8 s[1099511627776]; st.shared.u8 [s], 0;"), CUDA_ERROR_INVALID_PTX);
    assert_eq!(kernel("()", ".local .b8 s[1099511627776]; st.local.u8 [s], 0;"), CUDA_ERROR_INVALID_PTX);
    assert_eq!(kernel("() .maxntid 0", ""), CUDA_ERROR_INVALID_PTX);
    assert_eq!(kernel("() .reqntid 32, 0", ""), CUDA_ERROR_INVALID_PTX);
    assert_eq!(kernel("() .maxntid 4294967295, 4294967295, 4294967295", ""), CUDA_SUCCESS);
}

/// Changes a few bytes, or cuts the end off.
fn damage(random: &mut StdRng, image: &[u8]) -> Vec<u8> {
    let mut bytes = image.to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..4) {
            0 => bytes[at] = random.random(),
            1 => bytes[at % 80] = [0, 1, 0x80, 0xff][random.random_range(0..4)],
            2 => bytes.truncate(at.max(81)),
            _ => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
        }
    }
    // Sizes within a page of what they were stay inside the vector.
    bytes.resize(bytes.len() + 4096, 0);
    bytes
}

#[test]
fn damaged_images_give_codes() {
    let _context = common::context();
    let images: [&[u8]; 6] = [
        include_bytes!("data/zstd.fatbin"),
        include_bytes!("data/lz4.fatbin"),
        include_bytes!("data/plain.fatbin"),
        include_bytes!("data/cubin.fatbin"),
        include_bytes!("data/newer.fatbin"),
        common::ADD.as_bytes(),
    ];
    let mut random = StdRng::seed_from_u64(1);
    let before = free_bytes();
    for round in 0..3000 {
        let image = damage(&mut random, images[round % images.len()]);
        let (code, module) = load(&image);
        match code {
            // SAFETY: just loaded.
            CUDA_SUCCESS => assert_eq!(unsafe { sys::cuModuleUnload(module) }, CUDA_SUCCESS),
            CUDA_ERROR_INVALID_IMAGE
            | CUDA_ERROR_INVALID_PTX
            | CUDA_ERROR_NO_BINARY_FOR_GPU
            | CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | CUDA_ERROR_NOT_SUPPORTED
            | CUDA_ERROR_OUT_OF_MEMORY
            | CUDA_ERROR_INVALID_VALUE => {}
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert_eq!(free_bytes(), before);
}
