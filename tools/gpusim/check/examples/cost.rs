//! What the checks cost: nanoseconds per call on this machine, for the patterns that kernels are made of.
//! `cargo run --release -p gpusim-check --example cost`

use std::hint::black_box;
use std::time::Instant;

use gpusim_check::*;

fn measure(name: &str, mut f: impl FnMut(u64)) {
    let n = 200_000u64;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for i in 0..n {
            f(i);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{name:<60} {best:8.1} ns");
}

fn main() {
    let settings = Settings::default();
    let launch = LaunchCheck::new(settings, Geometry { threads: 256, shared_bytes: 48 << 10 });
    let mut check = launch.cluster(0, &[0]);
    let all = u32::MAX;
    let shared = Space::Shared { rank: 0 };
    let ok = |r: Result<(), Box<Finding>>| r.expect("ordered");
    let row = |base: u64, stride: u64| -> [u64; 32] { std::array::from_fn(|l| base + l as u64 * stride) };
    let warp = |w: u32| WarpId::new(0, w);
    let site = SiteId(1);

    measure("shared store, 32 x 4 bytes coalesced, same warp again", |i| {
        let a = row((i % 64) * 128, 4);
        ok(check.access(warp(0), Engine::Thread, shared, all, &a, 4, AccessKind::Write, site));
    });
    measure("shared load, 32 x 4 bytes coalesced, same warp", |i| {
        let a = row((i % 64) * 128, 4);
        ok(check.access(warp(0), Engine::Thread, shared, all, &a, 4, AccessKind::Read, site));
    });
    measure("__syncwarp", |_| check.warp_sync(warp(0), all));
    let everyone: Vec<(WarpId, u32)> = (0..8).map(|w| (warp(w), all)).collect();
    measure("__syncthreads of 8 warps, all calls", |_| {
        for &(w, m) in &everyone {
            check.barrier_arrive(w, 0, m);
        }
        check.barrier_complete(0, 0, &everyone);
    });
    measure("shared load of another warp's data, 32 x 4 bytes", |i| {
        let a = row((i % 64) * 128, 4);
        ok(check.access(warp(1), Engine::Thread, shared, all, &a, 4, AccessKind::Read, site));
    });
    measure("shared load, 32 x 16 bytes coalesced", |i| {
        let a = row((i % 16) * 512, 16);
        ok(check.access(warp(1), Engine::Thread, shared, all, &a, 16, AccessKind::Read, site));
    });
    measure("shared load, 32 x 16 bytes, xor-swizzled rows of 128 bytes", |i| {
        let base = (i % 8) * 512;
        let a = std::array::from_fn(|l| base + (l as u64 / 8) * 128 + ((l as u64 % 8) ^ (l as u64 / 8)) * 16);
        ok(check.access(warp(1), Engine::Thread, shared, all, &a, 16, AccessKind::Read, site));
    });
    measure("shared load, broadcast", |i| {
        let a = [(i % 64) * 128; 32];
        ok(check.access(warp(1), Engine::Thread, shared, all, &a, 4, AccessKind::Read, site));
    });
    measure("shared load, 4 lanes share each word", |i| {
        let a = std::array::from_fn(|l| (i % 64) * 128 + l as u64 / 4 * 4);
        ok(check.access(warp(1), Engine::Thread, shared, all, &a, 4, AccessKind::Read, site));
    });
    measure("shared load, rows of 132 bytes (32 lines)", |i| {
        let a = row((i % 4) * 4, 132);
        ok(check.access(warp(1), Engine::Thread, shared, all, &a, 4, AccessKind::Read, site));
    });
    let g = 0x1000_0000_0000u64;
    measure("global load, 32 x 4 bytes coalesced, resident shadow", |i| {
        let a = row(g + (i % 4096) * 128, 4);
        ok(check.access(warp(2), Engine::Thread, Space::Global, all, &a, 4, AccessKind::Read, site));
    });
    measure("global load, 32 x 16 bytes coalesced, resident shadow", |i| {
        let a = row(g + (i % 1024) * 512, 16);
        ok(check.access(warp(2), Engine::Thread, Space::Global, all, &a, 16, AccessKind::Read, site));
    });
    let mut fresh = 0;
    measure("global load, 32 x 16 bytes coalesced, memory never seen", |_| {
        fresh += 512;
        let a = row(g + (1 << 32) + fresh, 16);
        ok(check.access(warp(2), Engine::Thread, Space::Global, all, &a, 16, AccessKind::Read, site));
    });
    let kind = AccessKind::Strong { op: StrongOp::Red, sem: Sem::Relaxed, scope: Scope::Gpu };
    measure("global red, 32 different words", |i| {
        let a = row(g + (1 << 30) + (i % 64) * 128, 4);
        ok(check.access(warp(2), Engine::Thread, Space::Global, all, &a, 4, kind, site));
    });
    let mut counters = Counters::default();
    measure("counters: instruction", |i| counters.count(black_box(i as usize % 100), all));
    measure("counters: coalesced global load", |i| {
        counters.global(AccessKind::Read, all, &row(g + i * 128, 4), 4)
    });
    measure("counters: conflict-free shared load", |i| {
        counters.shared(AccessKind::Read, all, &row((i % 64) * 128, 4), 4);
    });
    measure("counters: 4-way conflicted shared load", |i| {
        counters.shared(AccessKind::Read, all, &row((i % 64) * 128, 16), 4);
    });
    black_box(counters);
}
