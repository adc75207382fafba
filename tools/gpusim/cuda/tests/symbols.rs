//! The library has every symbol that cudarc names, and the rest of cuda.h.

mod common;

/// Symbol, name, version, variant and who names it.
fn table() -> Vec<[&'static str; 5]> {
    let lines = include_str!("../symbols.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(' ').collect::<Vec<_>>().try_into().unwrap()).collect()
}

#[test]
fn every_symbol_that_cudarc_names_exists() {
    let library = common::library();
    let named: Vec<_> = table().into_iter().filter(|row| row[4] == "cudarc").collect();
    assert_eq!(named.len(), 515, "cudarc 0.19.10 names 515 functions");
    for row in named {
        // SAFETY: the symbol is only looked up.
        let symbol = unsafe { library.get::<unsafe extern "C" fn()>(row[0].as_bytes()) };
        assert!(symbol.is_ok(), "{} is missing", row[0]);
    }
}

#[test]
fn every_symbol_of_the_header_exists_with_its_stream_variant() {
    let library = common::library();
    for [symbol, _, _, variant, _] in table() {
        let mut names = vec![symbol.to_string()];
        if variant != "-" {
            names.push(format!("{symbol}_{variant}"));
        }
        for name in names {
            assert!(
                // SAFETY: the symbol is only looked up, never called.
                unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_ok(),
                "{name} is missing"
            );
        }
    }
}

#[test]
fn get_proc_address_gives_the_variant_of_the_version() {
    use cudarc::driver::sys;
    common::start();
    let library = common::library();
    // SAFETY: out-pointers to locals; symbols are only looked up.
    unsafe {
        let address = |name: &str| *library.get::<*const ()>(name.as_bytes()).unwrap() as usize;
        let ask = |name: &std::ffi::CStr, version: i32, flags: u64| {
            let (mut out, mut status) = (std::ptr::null_mut(), std::mem::zeroed());
            let code = sys::cuGetProcAddress_v2(name.as_ptr(), &mut out, version, flags, &mut status);
            assert_eq!(code, sys::CUresult::CUDA_SUCCESS);
            (out as usize, status as u32)
        };
        assert_eq!(ask(c"cuMemAlloc", 12000, 0), (address("cuMemAlloc_v2"), 0));
        assert_eq!(ask(c"cuCtxCreate", 12000, 0), (address("cuCtxCreate_v3"), 0));
        assert_eq!(ask(c"cuCtxCreate", 13000, 0), (address("cuCtxCreate_v4"), 0));
        assert_eq!(ask(c"cuLaunchKernel", 12000, 2), (address("cuLaunchKernel_ptsz"), 0));
        assert_eq!(ask(c"cuNoSuchFunction", 12000, 0), (0, 1));
        assert_eq!(ask(c"cuGraphAddNode", 12000, 0), (0, 2));
    }
}

#[test]
fn what_is_not_there_says_so() {
    use cudarc::driver::sys;
    common::start();
    // SAFETY: null out-pointers are never written.
    let code = unsafe { sys::cuArrayCreate_v2(std::ptr::null_mut(), std::ptr::null()) };
    assert_eq!(code, sys::CUresult::CUDA_ERROR_NOT_SUPPORTED);
}
