//! Warp-level instructions per second, one operating-system thread, with checks and without.
//!
//! Criterion's elements are warp instructions: each kernel is a loop whose instructions are counted here.
#![allow(missing_docs)]

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpusim::{Device, Function, Launch, Settings};

const LOOPS: u64 = 2000;
const WARPS: u64 = 8;
const BYTES: u64 = 1 << 20;

/// A kernel of 8 warps that runs `body`, unrolled 8 times, in a loop; and the warp instructions of the loop.
fn kernel(device: &Device, body: &str, instructions: u64) -> (Arc<Function>, u64) {
    let ptx = format!(
        ".version 8.3\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 p) {{
        .reg .b32 %r<20>; .reg .b64 %d<20>; .reg .f32 %f<20>; .reg .pred %p<4>; .shared .align 16 .b8 s[16384];
        ld.param.u64 %d1, [p]; mov.u32 %r1, %tid.x; mad.wide.u32 %d2, %r1, 4, %d1; mul.lo.u32 %r8, %r1, 4;
        mov.u32 %r9, s; add.u32 %r8, %r8, %r9; mov.u32 %r2, 0; mov.u32 %r3, 1; mov.u32 %r4, 7;
        mov.b32 %f1, 0f3F800000; mov.b32 %f2, 0f3F000000; mov.b32 %f3, 0f3F000000; st.shared.u32 [%r8], %r1;
        L: {} add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, {LOOPS}; @%p1 bra L;
        st.global.u32 [%d2], %r3; ret; }}",
        body.repeat(8)
    );
    let module = device.load(&ptx).expect("valid PTX");
    assert!(module.unsupported().is_empty(), "{:?}", module.unsupported());
    (module.function("k").expect("the kernel"), (8 * instructions + 3) * LOOPS * WARPS)
}

fn instructions(c: &mut Criterion) {
    for (name, checks) in [("checks on", true), ("checks off", false)] {
        group(c, name, &Device::new(Settings { checks, ..Settings::default() }));
    }
}

fn group(c: &mut Criterion, name: &str, device: &Device) {
    let buffer = device.alloc(BYTES, 256).expect("memory");
    let kernels = [
        (
            "integer",
            "add.u32 %r3, %r3, %r4; xor.b32 %r4, %r3, %r1; shl.b32 %r5, %r4, 3; mad.lo.u32 %r3, %r5, %r4, %r3;",
            4,
        ),
        (
            "divergent",
            "@%p2 add.u32 %r3, %r3, %r4; @!%p2 xor.b32 %r4, %r3, %r1; setp.gt.u32 %p2, %r1, %r3;",
            3,
        ),
        ("global loads and stores", "ld.global.u32 %r5, [%d2]; st.global.u32 [%d2+4096], %r5;", 2),
        ("shared loads and stores", "ld.shared.u32 %r5, [%r8]; st.shared.u32 [%r8+4096], %r5;", 2),
        (
            "shared exchange with barriers",
            "st.shared.u32 [%r8], %r2; bar.sync 0; xor.b32 %r6, %r8, 128; ld.shared.u32 %r5, [%r6]; bar.sync 0;",
            5,
        ),
        (
            "mma.m16n8k16",
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r10,%r11,%r12,%r13}, {%r14,%r15},
             {%f1,%f2,%f3,%f4};",
            1,
        ),
        ("shuffles", "shfl.sync.bfly.b32 %r5, %r1, 5, 31, -1;", 1),
    ];
    let mut group = c.benchmark_group(format!("warp instructions, {name}"));
    group.sample_size(10);
    for (name, body, count) in kernels {
        let (function, elements) = kernel(device, body, count);
        let launch =
            Launch { block: [256, 1, 1], params: buffer.to_le_bytes().to_vec(), ..Launch::new(function) };
        group.throughput(Throughput::Elements(elements));
        group.bench_function(name, |b| b.iter(|| device.launch(&launch).expect("a run without faults")));
    }
    group.finish();
}

criterion_group!(benches, instructions);
criterion_main!(benches);
