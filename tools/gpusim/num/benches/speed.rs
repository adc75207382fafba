//! How many operations a core does per second: `cargo bench -p gpusim-num`. One warp-level instruction is 32 lanes.

use std::hint::black_box;
use std::time::Instant;

use gpusim_num::half::Modifiers;
use gpusim_num::lanes::{self, Lanes};
use gpusim_num::tensor::{Accumulator, Element, Model, fast, fragment, integer};
use gpusim_num::{approx, convert, f32 as scalar, format::Format};

/// The best of several runs, in millions per second.
fn measure(name: &str, mut operation: impl FnMut()) {
    let mut best = 0.0f64;
    for _ in 0..7 {
        let mut count = 0u32;
        let start = Instant::now();
        while start.elapsed().as_millis() < 30 {
            (0..100).for_each(|_| operation());
            count += 100;
        }
        best = best.max(f64::from(count) / start.elapsed().as_secs_f64());
    }
    println!("{name:<44} {:>9.2} M/s", best / 1e6);
}

fn lanes_of(f: impl Fn(usize) -> f32) -> Lanes {
    std::array::from_fn(|i| f(i).to_bits())
}

fn main() {
    let a = lanes_of(|i| 1.0 + i as f32 * 0.01);
    let b = lanes_of(|i| 0.5 - i as f32 * 0.02);
    let mut d = [0; 32];
    measure("add.f32, 32 lanes", || {
        lanes::add_f32::<false, false>(black_box(&a), black_box(&b), black_box(&mut d))
    });
    measure("fma.f32, 32 lanes", || {
        lanes::fma_f32::<false, false>(black_box(&a), black_box(&b), black_box(&a), black_box(&mut d))
    });
    measure("fma.ftz.f32, 32 lanes", || {
        lanes::fma_f32::<true, false>(black_box(&a), black_box(&b), black_box(&a), black_box(&mut d))
    });
    measure("max.f32, 32 lanes", || {
        lanes::minmax_f32::<true, false, false>(black_box(&a), black_box(&b), black_box(&mut d))
    });
    measure("cvt.rn.bf16x2.f32, 32 lanes", || {
        lanes::pack_half::<true>(black_box(&a), black_box(&b), black_box(&mut d))
    });
    measure("cvt.rn.f16x2.f32, 32 lanes", || {
        lanes::pack_half::<false>(black_box(&a), black_box(&b), black_box(&mut d))
    });
    let plain = Modifiers::default();
    measure("fma.f16x2, 32 lanes", || {
        lanes::fma_half2::<false>(black_box(&a), black_box(&b), black_box(&a), black_box(&mut d), plain)
    });
    measure("fma.bf16x2, 32 lanes", || {
        lanes::fma_half2::<true>(black_box(&a), black_box(&b), black_box(&a), black_box(&mut d), plain)
    });
    measure("ex2.approx.f32, 32 lanes", || approx::ex2_lanes::<false>(black_box(&a), black_box(&mut d)));
    measure("rcp.approx.f32, 32 lanes", || approx::rcp_lanes::<false>(black_box(&a), black_box(&mut d)));
    measure("rsqrt.approx.f32, 32 lanes", || approx::rsqrt_lanes::<false>(black_box(&a), black_box(&mut d)));
    let exact = approx::Modifiers::default();
    measure("lg2.approx.f32, 32 scalar", || {
        (0..32).for_each(|i| d[i] = approx::lg2(black_box(a[i]), exact));
    });
    measure("sin.approx.f32, 32 scalar", || {
        (0..32).for_each(|i| d[i] = approx::sin(black_box(a[i]), exact));
    });
    measure("tanh.approx.f32, 32 scalar", || {
        (0..32).for_each(|i| d[i] = approx::tanh(black_box(a[i]), exact));
    });
    let rz = scalar::Modifiers::plain(gpusim_num::Rounding::Rz);
    measure("fma.rz.f32, 32 scalar", || {
        (0..32).for_each(|i| d[i] = scalar::fma(black_box(a[i]), b[i], a[i], rz));
    });
    let int = convert::Int { bits: 32, signed: true };
    measure("cvt.rzi.s32.f32, 32 scalar", || {
        (0..32).for_each(|i| {
            d[i] = convert::float_to_int(
                black_box(a[i]).into(),
                &Format::F32,
                int,
                gpusim_num::Rounding::Rz,
                false,
            ) as u32;
        });
    });

    let (x, y, mut sum) = ([[0.5; 16]; 16], [[0.25; 8]; 16], [[0.0; 8]; 16]);
    measure("mma.m16n8k16 fast, matrices", || {
        fast::mma_m16n8k16(black_box(&x), black_box(&y), black_box(&mut sum));
    });
    let registers: [Lanes; 6] =
        std::array::from_fn(|r| std::array::from_fn(|i| 0x3c00_3800 + (r * 32 + i) as u32));
    let c: [Lanes; 4] = [a, b, a, b];
    let mut out = [[0; 32]; 4];
    measure("mma.m16n8k16.f16 fast, registers", || {
        let [r0, r1, r2, r3, r4, r5] = black_box(&registers);
        let [c0, c1, c2, c3] = black_box(&c);
        let [d0, d1, d2, d3] = black_box(&mut out);
        fragment::mma_m16n8k16::<false>([r0, r1, r2, r3], [r4, r5], [c0, c1, c2, c3], [d0, d1, d2, d3]);
    });
    measure("mma.m16n8k16.bf16 fast, registers", || {
        let [r0, r1, r2, r3, r4, r5] = black_box(&registers);
        let [c0, c1, c2, c3] = black_box(&c);
        let [d0, d1, d2, d3] = black_box(&mut out);
        fragment::mma_m16n8k16::<true>([r0, r1, r2, r3], [r4, r5], [c0, c1, c2, c3], [d0, d1, d2, d3]);
    });
    let (bytes, columns, start) = ([[3; 64]; 16], [[-5; 8]; 64], [[7; 8]; 16]);
    let mut result = [[0; 8]; 16];
    measure("mma.m16n8k32.s8, matrices", || {
        integer::tile_m16n8(
            32,
            black_box(&bytes),
            black_box(&columns),
            black_box(&start),
            black_box(&mut result),
        );
    });
    let model = Model::wgmma(Element::F16, Element::F16, Accumulator::F32).expect("sm_90 has it");
    let (p, q): (Vec<u32>, Vec<u32>) =
        ((0..256).map(|i| 0x3800 + i).collect(), (0..128).map(|i| 0xb900 + 5 * i).collect());
    let mut tile = vec![0; 128];
    let zero = vec![0; 128];
    measure("mma.m16n8k16.f16 exact (sm_90), tile", || {
        model.tile((16, 8, 16), black_box(&p), black_box(&q), black_box(&zero), black_box(&mut tile));
    });
    let ampere = Model::mma(
        gpusim_num::tensor::Architecture::Ampere,
        Element::F16,
        Element::F16,
        Accumulator::F32,
        false,
    );
    let ampere = ampere.expect("sm_80 has it");
    measure("mma.m16n8k16.f16 exact (sm_80), tile", || {
        ampere.tile((16, 8, 16), black_box(&p), black_box(&q), black_box(&zero), black_box(&mut tile));
    });
}
