//! Warp-level instructions per second, one operating-system thread: without checks, with checks, and with checks and
//! counters; beside them a memcpy and a scalar loop, which tell how fast the machine was in the same run.
//!
//! Criterion's elements are warp instructions: each kernel is a loop whose instructions are counted here.
//! `tools/gpusim/speed.py` makes the table of README.md from what criterion writes.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpusim::{Device, Function, Launch, Settings};

const LOOPS: u64 = 2000;
const WARPS: u64 = 8;
/// Times that a loop's body is repeated.
const UNROLL: u64 = 8;
/// What the streaming cases read: 512 bytes for each repetition in each warp.
const BYTES: u64 = LOOPS * WARPS * UNROLL * 512 + (1 << 16);

struct Case {
    name: &'static str,
    /// `#` stands for the number of the repetition times 4096.
    body: &'static str,
    /// Warp instructions of the body.
    count: u64,
}

const fn case(name: &'static str, body: &'static str, count: u64) -> Case {
    Case { name, body, count }
}

const CASES: &[Case] = &[
    case(
        "integer",
        "add.u32 %r3, %r3, %r4; xor.b32 %r4, %r3, %r1; shl.b32 %r5, %r4, 3; mad.lo.u32 %r3, %r5, %r4, %r3;",
        4,
    ),
    case("float", "fma.rn.f32 %f1, %f1, %f2, %f3; add.f32 %f3, %f3, %f2; mul.f32 %f4, %f3, %f1;", 3),
    case(
        "divergent",
        "@%p2 add.u32 %r3, %r3, %r4; @!%p2 xor.b32 %r4, %r3, %r1; setp.gt.u32 %p2, %r1, %r3;",
        3,
    ),
    case("shfl.bfly", "shfl.sync.bfly.b32 %r5, %r1, 5, 31, -1;", 1),
    case("shfl.idx, register", "shfl.sync.idx.b32 %r5, %r1, %r4, 31, -1;", 1),
    case("ld.global 4 B", "ld.global.u32 %r5, [%d2+#];", 1),
    case("ld.global 8 B", "ld.global.v2.u32 {%r5, %r6}, [%d4+#];", 1),
    case("ld.global 16 B", "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%d3+#];", 1),
    case("ld.global 16 B, streaming", "ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%d5+#];", 1),
    case("ld.global.nc 16 B, streaming", "ld.global.nc.v4.u32 {%r10, %r11, %r12, %r13}, [%d5+#];", 1),
    case("st.global 4 B", "st.global.u32 [%d2+#], %r1;", 1),
    case("st.global 16 B", "st.global.v4.u32 [%d3+#], {%r10, %r11, %r12, %r13};", 1),
    case("st.global 16 B, streaming", "st.global.v4.u32 [%d5+#], {%r10, %r11, %r12, %r13};", 1),
    case("ld.shared 4 B", "ld.shared.u32 %r5, [%r8+#];", 1),
    case("ld.shared 16 B", "ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r7+#];", 1),
    case("st.shared 4 B", "st.shared.u32 [%r8+#], %r1;", 1),
    case("st.shared 16 B", "st.shared.v4.u32 [%r7+#], {%r10, %r11, %r12, %r13};", 1),
    case(
        "cp.async 16 B, streaming",
        "cp.async.cg.shared.global [%r7+#], [%d5+#], 16; cp.async.commit_group; cp.async.wait_group 4;",
        3,
    ),
    case("ldmatrix.x4", "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r7+#];", 1),
    case(
        "ldmatrix.x4, swizzled rows",
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r15+#];",
        1,
    ),
    case(
        "shared exchange with barriers",
        "st.shared.u32 [%r8], %r2; bar.sync 0; xor.b32 %r6, %r8, 128; ld.shared.u32 %r5, [%r6]; bar.sync 0;",
        5,
    ),
    case(
        "mma.m16n8k16",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r16,%r17,%r18,%r19}, {%r16,%r17},
         {%f1,%f2,%f3,%f4};",
        1,
    ),
    case(
        "main loop of a matrix product",
        "cp.async.cg.shared.global [%r7], [%d5+#], 16; cp.async.commit_group; cp.async.wait_group 0; bar.sync 0;
         ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r16, %r17, %r18, %r19}, [%r15];
         ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r15+2048];
         mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r16,%r17,%r18,%r19}, {%r10,%r11},
         {%f1,%f2,%f3,%f4};
         mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f5,%f6,%f7,%f8}, {%r16,%r17,%r18,%r19}, {%r12,%r13},
         {%f5,%f6,%f7,%f8}; bar.sync 0;",
        9,
    ),
];

/// A kernel of 8 warps that runs the body, repeated, in a loop; and the warp instructions of the loop.
fn kernel(device: &Device, case: &Case) -> (Arc<Function>, u64) {
    let body: String = (0..UNROLL).map(|n| case.body.replace('#', &(4096 * n).to_string())).collect();
    let ptx = format!(
        ".version 8.3\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 p) {{
        .reg .b32 %r<24>; .reg .b64 %d<20>; .reg .f32 %f<20>; .reg .pred %p<4>; .shared .align 128 .b8 s[36864];
        ld.param.u64 %d1, [p]; mov.u32 %r1, %tid.x; mad.wide.u32 %d2, %r1, 4, %d1; mad.wide.u32 %d4, %r1, 8, %d1;
        mad.wide.u32 %d3, %r1, 16, %d1; mov.u64 %d5, %d3;
        mov.u32 %r9, s; shl.b32 %r8, %r1, 2; add.u32 %r8, %r8, %r9; shl.b32 %r7, %r1, 4; add.u32 %r7, %r7, %r9;
        and.b32 %r14, %r1, 15; shl.b32 %r14, %r14, 7; add.u32 %r14, %r14, %r9;
        and.b32 %r15, %r1, 7; shr.u32 %r3, %r1, 4; and.b32 %r3, %r3, 1; xor.b32 %r15, %r15, %r3; shl.b32 %r15, %r15, 4;
        add.u32 %r15, %r15, %r14; mov.u32 %r2, 0; mov.u32 %r3, 1; mov.u32 %r4, 7; setp.eq.u32 %p2, %r1, 3;
        mov.b32 %f1, 0f3F800000; mov.b32 %f2, 0f3F000000; mov.b32 %f3, 0f3F000000; mov.b32 %f4, %f1;
        mov.b32 %f5, %f1; mov.b32 %f6, %f1; mov.b32 %f7, %f1; mov.b32 %f8, %f1;
        mov.b32 %r10, 0; mov.b32 %r11, 0; mov.b32 %r12, 0; mov.b32 %r13, 0;
        mov.b32 %r16, 0; mov.b32 %r17, 0; mov.b32 %r18, 0; mov.b32 %r19, 0;
        {} bar.sync 0;
        L: {body} add.u64 %d5, %d5, {}; add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, {LOOPS}; @%p1 bra L;
        cp.async.wait_all; ret; }}",
        (0..9).map(|n| format!("st.shared.v4.u32 [%r7+{}], {{%r1, %r1, %r1, %r1}};", 4096 * n)).collect::<String>(),
        4096 * UNROLL
    );
    let module = device.load(&ptx).expect("valid PTX");
    assert!(module.unsupported().is_empty(), "{:?}", module.unsupported());
    (module.function("k").expect("the kernel"), (UNROLL * case.count + 4) * LOOPS * WARPS)
}

/// Time that the process had a processor: others on the machine slow that down far less than the clock on the wall.
struct CpuTime;

impl CpuTime {
    /// Nanoseconds; without Linux's accounting those of the wall clock.
    fn now() -> f64 {
        let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
        match text.split(' ').next().and_then(|first| first.parse().ok()) {
            Some(nanoseconds) => nanoseconds,
            None => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos() as f64,
        }
    }
}

impl Measurement for CpuTime {
    type Intermediate = f64;
    type Value = f64;

    fn start(&self) -> f64 {
        CpuTime::now()
    }
    fn end(&self, start: f64) -> f64 {
        CpuTime::now() - start
    }
    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }
    fn zero(&self) -> f64 {
        0.0
    }
    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        &CpuTime
    }
}

impl ValueFormatter for CpuTime {
    fn scale_values(&self, _: f64, values: &mut [f64]) -> &'static str {
        values.iter_mut().for_each(|ns| *ns *= 1e-6);
        "ms of the processor"
    }
    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (amount, unit) = match *throughput {
            Throughput::Bytes(bytes) => (bytes, "MB/s"),
            Throughput::Elements(elements) => (elements, "M/s"),
            _ => (0, "?"),
        };
        values.iter_mut().for_each(|ns| *ns = amount as f64 / *ns * 1e3);
        unit
    }
    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

fn instructions(c: &mut Criterion<CpuTime>) {
    machine(c);
    let counted = Settings { checks: true, report: Some("/dev/null".into()), ..Settings::default() };
    group(c, "checks off", &Device::new(Settings { checks: false, ..Settings::default() }));
    group(c, "checks on", &Device::new(Settings { checks: true, ..Settings::default() }));
    group(c, "checks and counters", &Device::new(counted));
}

/// What the machine does without a simulator: its share of noise.
fn machine(c: &mut Criterion<CpuTime>) {
    // Long enough for the clock of processor time.
    const COPIED: u64 = 8 << 20;
    const STEPS: u64 = 1 << 20;
    let mut group = c.benchmark_group("machine");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    let from = vec![1u8; COPIED as usize];
    let mut to = vec![0u8; COPIED as usize];
    group.throughput(Throughput::Bytes(COPIED));
    group.bench_function("memcpy", |b| b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from))));
    group.throughput(Throughput::Elements(STEPS));
    group.bench_function("scalar", |b| {
        b.iter(|| (0..STEPS).fold(black_box(1u64), |x, n| x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n))
    });
    group.finish();
}

fn group(c: &mut Criterion<CpuTime>, name: &str, device: &Device) {
    let buffer = device.alloc(BYTES, 256).expect("memory");
    let mut group = c.benchmark_group(name);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(500));
    for case in CASES {
        let (function, elements) = kernel(device, case);
        let launch = Launch {
            block: [32 * WARPS as u32, 1, 1],
            params: buffer.to_le_bytes().to_vec(),
            ..Launch::new(function)
        };
        group.throughput(Throughput::Elements(elements));
        group.bench_function(case.name, |b| b.iter(|| device.launch(&launch).expect("a run without faults")));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = instructions
}
criterion_main!(benches);
