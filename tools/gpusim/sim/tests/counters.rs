//! Counters of micro-kernels equal what can be counted by hand.
#![allow(missing_docs)]

mod common;

use common::{HEAD, kernel, params, upload, wrap};
use gpusim::{Device, Launch, Settings};
use serde_json::Value;

/// The line that a launch of `ptx` over `ctas` CTAs of `threads` threads leaves.
fn count_module(name: &str, ptx: &str, ctas: u32, threads: u32) -> Value {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("counters-{name}.jsonl"));
    let _ = std::fs::remove_file(&path);
    let device = Device::new(Settings { report: Some(path.clone()), ..Settings::default() });
    let function = kernel(&device, ptx);
    let (out, input) = (upload(&device, &[0; 8192]), upload(&device, &[1; 8192]));
    let launch = Launch {
        grid: [ctas, 1, 1],
        block: [threads, 1, 1],
        params: params(&[out, input]),
        ..Launch::new(function)
    };
    device.launch(&launch).unwrap_or_else(|error| panic!("{error}"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn count(name: &str, body: &str) -> Value {
    count_module(name, &wrap(body), 1, 32)
}

fn global(line: &Value, kind: &str) -> [u64; 3] {
    ["requests", "sectors", "bytes"].map(|field| line[kind][field].as_u64().unwrap())
}

fn shared(line: &Value, kind: &str) -> [u64; 4] {
    ["requests", "wavefronts", "conflicts", "bytes"].map(|field| line[kind][field].as_u64().unwrap())
}

#[test]
fn global_loads_count_the_sectors_that_their_lanes_touch() {
    let cases = [
        ("coalesced", "ld.global.u32 %r1, [%in];", [1, 4, 128]),
        ("shifted", "ld.global.u32 %r1, [%in+4];", [1, 5, 128]),
        ("broadcast", "ld.global.u32 %r1, [%d1];", [1, 1, 128]),
        ("stride-8", "mad.wide.u32 %d2, %t, 8, %d1; ld.global.u32 %r1, [%d2];", [1, 8, 128]),
        ("stride-32", "mad.wide.u32 %d2, %t, 32, %d1; ld.global.u32 %r1, [%d2];", [1, 32, 128]),
        ("stride-128", "mad.wide.u32 %d2, %t, 128, %d1; ld.global.u32 %r1, [%d2];", [1, 32, 128]),
        ("bytes", "cvt.u64.u32 %d2, %t; add.u64 %d2, %d1, %d2; ld.global.u8 %r1, [%d2];", [1, 1, 32]),
        (
            "vectors",
            "mad.wide.u32 %d2, %t, 16, %d1; ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%d2];",
            [1, 16, 512],
        ),
        ("half", "setp.lt.u32 %p1, %t, 16; @%p1 ld.global.u32 %r1, [%in];", [1, 2, 64]),
        ("none", "setp.lt.u32 %p1, %t, 0; @%p1 ld.global.u32 %r1, [%in];", [0, 0, 0]),
        ("generic", "cvta.global.u64 %d2, %in; ld.u32 %r1, [%d2];", [1, 4, 128]),
    ];
    for (name, body, expected) in cases {
        let line = count(name, body);
        assert_eq!(global(&line, "global_load"), expected, "{name}");
        assert_eq!(global(&line, "global_store"), [0; 3], "{name}");
    }
}

#[test]
fn stores_and_atomics_are_counted_apart_and_distinct_bytes_once() {
    let line = count(
        "kinds",
        "st.global.u32 [%out], %t; st.global.u32 [%out], %t; red.global.add.u32 [%d0+4096], %t;
         atom.global.cas.b32 %r1, [%d0+8192], 0, 1; ld.global.u32 %r2, [%in]; ld.global.u32 %r2, [%in];",
    );
    assert_eq!(global(&line, "global_store"), [2, 8, 256]);
    assert_eq!(global(&line, "global_atomic"), [2, 2, 256]);
    assert_eq!(global(&line, "global_load"), [2, 8, 256]);
    let unique = |field: &str| line["global_unique"][field].as_u64().unwrap();
    assert_eq!((unique("read"), unique("written")), (128 + 8, 128 + 8));
    assert_eq!((unique("read_sectors"), unique("written_sectors")), (6, 6));
}

#[test]
fn shared_stores_cost_a_wavefront_for_each_lane_in_a_bank() {
    for (stride, ways) in [(4, 1), (8, 2), (16, 4), (128, 32), (132, 1), (0, 1)] {
        let value = if stride == 0 { "7" } else { "%t" };
        let body = format!(
            ".shared .align 16 .b8 s[8192]; mov.u32 %r1, s; mad.lo.u32 %r1, %t, {stride}, %r1; st.shared.u32 [%r1], {value};"
        );
        let line = count(&format!("store-{stride}"), &body);
        assert_eq!(shared(&line, "shared_store"), [1, ways, ways - 1, 128], "stride {stride}");
    }
}

#[test]
fn shared_loads_of_sixteen_bytes_take_four_wavefronts() {
    let line = count(
        "wide",
        ".shared .align 16 .b8 s[512]; mov.u32 %r1, s; mad.lo.u32 %r1, %t, 16, %r1;
         st.shared.v4.u32 [%r1], {%t, %t, %t, %t}; ld.shared.v4.u32 {%r2, %r3, %r4, %r5}, [%r1];
         bar.warp.sync -1; ld.shared.u32 %r6, [s+64];",
    );
    assert_eq!(shared(&line, "shared_store"), [1, 4, 0, 512]);
    assert_eq!(shared(&line, "shared_load"), [2, 5, 0, 640]);
    assert_eq!(line["barriers"]["warp"], 1);
}

#[test]
fn matrix_loads_count_a_wavefront_for_each_matrix() {
    let line = count(
        "ldmatrix",
        ".shared .align 16 .b8 s[512]; mov.u32 %r1, s; mad.lo.u32 %r1, %t, 16, %r1;
         st.shared.v4.u32 [%r1], {%t, %t, %t, %t}; bar.warp.sync -1;
         ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r2, %r3, %r4, %r5}, [%r1];",
    );
    assert_eq!(shared(&line, "ldmatrix"), [1, 4, 0, 512]);
    assert_eq!(shared(&line, "shared_load"), [0; 4]);
}

#[test]
fn instructions_lanes_and_operations_are_counted() {
    // Seven instructions before the body and `ret` after it.
    let line = count_module(
        "instructions",
        &wrap("cvt.rn.f32.u32 %f1, %t; fma.rn.f32 %f2, %f1, %f1, %f1; add.f32 %f2, %f2, %f1; min.f32 %f3, %f1, %f2;
               setp.lt.u32 %p1, %t, 3; @%p1 mul.f32 %f3, %f3, %f3;"),
        2,
        40,
    );
    // Of four warps two have 8 lanes.
    let (warps, threads) = (4, 80);
    let executed = 7 + 6 + 1;
    assert_eq!(line["warp_instructions"], warps * executed - 2);
    assert_eq!(line["lane_instructions"], threads * (executed - 1) + 2 * 3);
    assert_eq!(line["flops"], threads * 3 + 2 * 3);
    assert_eq!(line["by_opcode"]["fma.rn.f32"], 4);
    assert_eq!(line["by_class"]["float"], 4 * 3 + 2);
    assert_eq!((&line["kernel"], &line["grid"][0], &line["block"][0]), (&"k".into(), &2.into(), &40.into()));
}

#[test]
fn an_instruction_that_waits_counts_once() {
    let body =
        "bar.sync 0; bar.sync 0; setp.lt.u32 %p1, %t, 7; @%p1 bra L; mov.u32 %r1, 1; L: bar.warp.sync -1;
        shfl.sync.idx.b32 %r2, %t, 0, 31, -1;";
    let line = count_module("waits", &wrap(body), 1, 128);
    assert_eq!(line["barriers"]["cta"], 2);
    assert_eq!(line["by_opcode"]["bar.sync"], 8);
    assert_eq!(line["by_opcode"]["shfl.sync.idx.b32"], 4);
}

#[test]
fn tensor_instructions_count_by_shape() {
    let mma =
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, {%r5,%r6},
        {%f1,%f2,%f3,%f4};";
    let zero: String = (1..7).map(|n| format!("mov.u32 %r{n}, 0; mov.f32 %f{n}, 0f00000000;")).collect();
    let line = count_module("mma", &wrap(&format!("{zero}{mma}{mma}{mma}")), 1, 64);
    assert_eq!(line["flops"], 6 * 2 * 16 * 8 * 16);
    assert_eq!(line["by_class"]["tensor"], 6);
    let shapes = line["tensor"].as_object().unwrap();
    let (name, times) = shapes.iter().next().unwrap();
    assert!(name.starts_with("m16n8k16") && name.contains("bf16"), "{name}");
    assert_eq!((shapes.len(), times), (1, &6.into()));
}

#[test]
fn local_memory_is_interleaved() {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 p_out, .param .u64 p_in) {{ .local .align 4 .b8 l[64]; .reg .b32 %r<4>;
         mov.u32 %r1, 5; st.local.u32 [l+8], %r1; ld.local.u32 %r2, [l+8]; ret; }}"
    );
    assert_eq!(global(&count_module("local", &ptx, 1, 32), "local"), [2, 8, 256]);
}
