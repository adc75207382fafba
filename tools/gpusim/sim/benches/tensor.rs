//! How many tensor-core instructions a core interprets per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpusim::{Arithmetic, Device, Launch, Settings};

const LOOPS: u64 = 4096;
/// Instructions in the loop's body.
const UNROLL: u64 = 8;

/// A kernel that executes `instruction` on registers `%d0`…, `%a0`…, `%b0`….
fn kernel(target: &str, instruction: &str) -> String {
    let body = format!("{instruction}\n").repeat(UNROLL as usize);
    format!(
        ".version 8.4\n.target {target}\n.address_size 64\n.visible .entry k() {{\n\
         .reg .b32 %a<4>, %b<2>, %i; .reg .b32 %d<4>; .reg .pred %p;\n\
         mov.b32 %a0, 0x3C003C00; mov.b32 %a1, %a0; mov.b32 %a2, %a0; mov.b32 %a3, %a0;\n\
         mov.b32 %b0, %a0; mov.b32 %b1, 0;\n\
         mov.b32 %d0, 0; mov.b32 %d1, 0; mov.b32 %d2, 0; mov.b32 %d3, 0; mov.b32 %i, 0;\n\
         L:\n{body}\nadd.u32 %i, %i, 1; setp.lt.u32 %p, %i, {LOOPS}; @%p bra L;\nret;\n}}\n"
    )
}

fn mma(c: &mut Criterion) {
    let full = "{%d0, %d1, %d2, %d3}, {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%d0, %d1, %d2, %d3};";
    let half = "{%d0, %d1}, {%a0, %a1, %a2, %a3}, {%b0, %b1}, {%d0, %d1};";
    let forms = [
        ("fast m16n8k16.f32.f16", "sm_80", "m16n8k16.row.col.f32.f16.f16.f32", full, Arithmetic::Fast),
        ("fast m16n8k16.f32.bf16", "sm_80", "m16n8k16.row.col.f32.bf16.bf16.f32", full, Arithmetic::Fast),
        ("fast m16n8k16.f16.f16", "sm_80", "m16n8k16.row.col.f16.f16.f16.f16", half, Arithmetic::Fast),
        ("fast m16n8k8.f32.tf32", "sm_80", "m16n8k8.row.col.f32.tf32.tf32.f32", full, Arithmetic::Fast),
        ("fast m16n8k32.f32.e4m3", "sm_89", "m16n8k32.row.col.f32.e4m3.e4m3.f32", full, Arithmetic::Fast),
        ("m16n8k32.s32.s8", "sm_80", "m16n8k32.row.col.s32.s8.s8.s32", full, Arithmetic::Fast),
        ("exact m16n8k16.f32.f16", "sm_80", "m16n8k16.row.col.f32.f16.f16.f32", full, Arithmetic::Exact),
    ];
    let mut group = c.benchmark_group("mma");
    group.sample_size(20);
    for (name, target, form, operands, arithmetic) in forms {
        let device = Device::new(Settings { arithmetic, ..Settings::default() });
        let module =
            device.load(&kernel(target, &format!("mma.sync.aligned.{form} {operands}"))).expect("PTX");
        let function = module.function("k").expect("kernel k");
        let launch = Launch { block: [32, 1, 1], ..Launch::new(function) };
        group.throughput(Throughput::Elements(LOOPS * UNROLL));
        group.bench_function(name, |b| b.iter(|| device.launch(&launch).expect("it runs")));
    }
}

criterion_group!(benches, mma);
criterion_main!(benches);
