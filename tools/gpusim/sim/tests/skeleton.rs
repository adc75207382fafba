//! The path from text to result: parse, lower, run.
#![allow(missing_docs)]

mod common;

use common::{device, kernel, params, run, try_run, upload, words};
use gpusim::{Launch, LaunchError};

#[test]
fn every_thread_of_a_grid_adds_its_element() {
    let ptx = format!(
        "{}.visible .entry k(.param .u64 x, .param .u64 y, .param .u32 n) {{
        .reg .b32 %r<10>; .reg .b64 %d<10>;
        ld.param.u64 %d1, [x]; ld.param.u64 %d2, [y]; ld.param.u32 %r9, [n];
        mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
        mad.lo.s32 %r4, %r1, %r2, %r3;
        mul.wide.u32 %d3, %r4, 4; add.s64 %d4, %d1, %d3; add.s64 %d5, %d2, %d3;
        ld.global.u32 %r5, [%d4]; ld.global.u32 %r6, [%d5]; add.s32 %r7, %r5, %r6; add.s32 %r7, %r7, %r9;
        st.global.u32 [%d5], %r7; ret; }}",
        common::HEAD
    );
    let device = device();
    let function = kernel(&device, &ptx);
    assert_eq!(function.param_bytes(), 20);
    let n = 5 * 96;
    let x = upload(&device, &(0..n).map(|i| i * 3).collect::<Vec<_>>());
    let y = upload(&device, &(0..n).map(|i| i ^ 0x55).collect::<Vec<_>>());
    let mut bytes = params(&[x, y]);
    bytes.extend(1000u32.to_le_bytes());
    device
        .launch(&Launch { grid: [5, 1, 1], block: [96, 1, 1], params: bytes, ..Launch::new(function) })
        .unwrap();
    let expected: Vec<u32> = (0..n).map(|i| i * 3 + (i ^ 0x55) + 1000).collect();
    assert_eq!(words(&device, y, n as usize), expected);
}

#[test]
fn an_index_past_the_end_is_reported_with_thread_and_line() {
    let error =
        try_run("ld.global.u32 %r1, [%in]; st.global.u32 [%out], %r1;", 33, &[1; 32], 33).unwrap_err();
    let LaunchError::IllegalAddress(report) = error else { panic!("{error}") };
    assert_eq!((report.kind.as_str(), report.thread), ("out of bounds", Some([32, 0, 0])));
    assert!(report.message.contains("0 bytes past the end"), "{report}");
    assert_eq!(report.instruction, "ld.global.u32");
}

#[test]
fn a_partial_warp_leaves_the_rest_alone() {
    let out = run("st.global.u32 [%out], %t;", 5, &[0; 8], 8);
    assert_eq!(out, [0, 1, 2, 3, 4, 0xDEAD_BEEF, 0xDEAD_BEEF, 0xDEAD_BEEF]);
}
