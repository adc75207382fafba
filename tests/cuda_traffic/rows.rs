//! Kernels that have a row to a CTA.

use photon_kernels::cuda::sys::*;

use super::bench::{BF16, Bench, Launch, exactly, within};
use super::{D, DIM};

/// `None` where nothing counts.
pub fn copy(bench: &Bench, m: usize, width: usize) -> Option<Launch> {
    let (x, out) = (bench.zeros::<f32>(m * width), bench.zeros::<f32>(m * width));
    let params = photon_copy_params {
        x: bench.at(&x),
        from: photon_rows::DENSE,
        out: bench.at(&out),
        to: photon_rows::DENSE,
        x_stride: width as i64,
        out_stride: width as i64,
        m: m as i32,
        width: width as i32,
    };
    // SAFETY: all operands are as large as the parameters say.
    bench.try_count(|kernels, stream| unsafe { kernels.copy_rows(stream, &params) })
}

pub fn copy_and_norm(bench: &Bench) {
    let m = 64;
    let launch = copy(bench, m, D).expect("counters");
    let (read, written) = launch.memory();
    exactly("a copy reads", read, 4 * m * D);
    exactly("a copy writes", written, 4 * m * D);
    let (loaded, stored) = launch.sectors();
    exactly("a copy asks for", loaded, 4 * m * D);
    exactly("a copy stores", stored, 4 * m * D);

    let (x, gain, out) = (bench.zeros::<f32>(m * D), bench.zeros::<f32>(D), bench.zeros::<f32>(m * D));
    let params = photon_norm_params {
        x: bench.at(&x),
        from: photon_rows::DENSE,
        gain: bench.at(&gain),
        out: bench.at(&out),
        to: photon_rows::DENSE,
        x_stride: D as i64,
        out_stride: D as i64,
        m: m as i32,
        width: D as i32,
        eps: 1e-5,
    };
    // SAFETY: all operands are as large as the parameters say.
    let launch = bench.count(|kernels, stream| unsafe { kernels.rms_norm(stream, &params) });
    let (read, written) = launch.memory();
    exactly("the norm reads", read, 4 * m * D + 4 * D);
    exactly("the norm writes", written, 4 * m * D);
    // A row twice, the second time from cache, and the gain.
    let (loaded, stored) = launch.sectors();
    exactly("the norm asks for", loaded, 3 * 4 * m * D);
    exactly("the norm stores", stored, 4 * m * D);
    launch.no_conflicts("the norm");
}

pub fn embed(bench: &Bench) {
    // The decoder's table and the encoder's, whose rows are a quarter as wide; ids all different.
    for width in [D, 8 * DIM] {
        let m = 64;
        let table = bench.zeros::<u16>(1000 * width);
        let ids = bench.upload(&(0..m as u32).map(|i| 7 * i).collect::<Vec<_>>());
        let out = bench.zeros::<f32>(m * width);
        let params = photon_embed_params {
            table: bench.at(&table) as *const _,
            ids: bench.at(&ids),
            from: photon_rows::DENSE,
            out: bench.at(&out),
            to: photon_rows::DENSE,
            out_stride: width as i64,
            m: m as i32,
            width: width as i32,
            vocabulary: 1000,
        };
        // SAFETY: all operands are as large as the parameters say.
        let launch = bench.count(|kernels, stream| unsafe { kernels.embed_chunk(stream, BF16, &params) });
        let (read, written) = launch.memory();
        exactly("embedding reads", read, m * (4 + 2 * width));
        exactly("embedding writes", written, 4 * m * width);
        // The id of a row is one sector for each of four warps.
        let (loaded, stored) = launch.sectors();
        within("embedding asks for", loaded, m * (4 * 32 + 2 * width), 1.0);
        exactly("embedding stores", stored, 4 * m * width);
    }
}
