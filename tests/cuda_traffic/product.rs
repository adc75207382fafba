//! Matrix products.

use cudarc::driver::CudaSlice;
use photon_kernels::cuda::raw::{Shape, blocked_kv, head_shape, head_tiles, shape};
use photon_kernels::cuda::sys::*;
use photon_kernels::sampling::{Draw, Sampling};

use super::bench::{BF16, Bench, Launch, exactly};
use super::{D, DIM, HEADS, HIDDEN, VOCABULARY};

/// Rows, outputs, inputs.
#[derive(Clone, Copy)]
struct Size {
    m: usize,
    n: usize,
    k: usize,
}

/// A product's operands, in f32 or bf16.
struct Operands {
    wide: CudaSlice<f32>,
    half: CudaSlice<u16>,
    weight: CudaSlice<u16>,
    product: photon_product,
}

impl Operands {
    fn new(bench: &Bench, Size { m, n, k }: Size, half: bool) -> Operands {
        let wide = bench.zeros::<f32>(if half { 1 } else { m * k });
        let narrow = bench.zeros::<u16>(if half { m * k } else { 1 });
        let weight = bench.zeros::<u16>(n * k);
        let product = photon_product {
            x: if half { bench.at(&narrow) as *const _ } else { bench.at(&wide) as *const _ },
            weight: bench.at(&weight) as *const _,
            rows: photon_rows::DENSE,
            x_stride: k as i64,
            weight_stride: k as i64,
            m: m as i32,
            n: n as i32,
            k: k as i32,
            eps: 1e-5,
        };
        Operands { wide, half: narrow, weight, product }
    }

    /// Bytes of an element of x.
    fn element(&self) -> usize {
        if self.half.len() > 1 { 2 } else { 4 }
    }

    /// What every product has in common: it reads x, the weights and `besides` from memory, writes `result`, and brings to shared memory what its
    /// tiles say (product_skinny.cuh, product_tiled.cuh): of each its weights and its rows of x. Places of rows that do not exist
    /// are filled with zeros, which costs nothing but is counted.
    fn check(&self, launch: &Launch, size: Size, shape: Shape, besides: usize, result: usize) {
        let Size { m, n, k } = size;
        let what = format!("{} of {m} rows", launch.kernel());
        let (read, written) = launch.memory();
        let x = self.wide.len().max(self.half.len()) * self.element();
        exactly(&format!("{what} reads"), read, 2 * self.weight.len() + x + besides);
        exactly(&format!("{what} writes"), written, result);
        let (across, down) = (n.div_ceil(shape.outputs), m.div_ceil(shape.rows));
        let tile = 2 * k * shape.outputs + self.element() * k * shape.rows;
        exactly(&format!("{what} copies"), launch.copied(), across * down * tile);
        // Of 16 rows, 8 outputs and 8 inputs each: what full tiles need and no more.
        let rows = down * shape.rows.div_ceil(16);
        exactly(&format!("{what}: tensor instructions"), launch.tensor(), rows * (n / 8) * (k / 8));
        launch.no_conflicts(&what);
    }
}

fn residual(bench: &Bench, size: Size) {
    let operands = Operands::new(bench, size, true);
    let out = bench.zeros::<f32>(size.m * size.n);
    let params =
        photon_residual_params { product: operands.product, out: bench.at(&out), out_stride: size.n as i64 };
    // SAFETY: all operands are as large as the parameters say.
    let launch = bench.count(|kernels, stream| unsafe { kernels.proj_residual(stream, BF16, &params) });
    let result = 4 * size.m * size.n;
    operands.check(&launch, size, shape(size.m, size.n), result, result);
    let (loaded, stored) = launch.sectors();
    exactly("the residual stream is read in whole sectors", loaded, result);
    exactly("the residual stream is written in whole sectors", stored, result);
}

pub fn skinny(bench: &Bench) {
    for (m, k) in [(1, D), (4, HIDDEN), (16, HIDDEN), (32, D), (48, D), (64, HIDDEN)] {
        let shape = shape(m, D);
        assert!(shape.skinny && shape.rows >= m, "{m} rows in {shape}: weights would go by more than once");
        residual(bench, Size { m, n: D, k });
    }
}

pub fn tiled(bench: &Bench) {
    for (m, n, named) in [(512, D, "tiled64x128"), (192, D, "tiled64x64"), (64, 3 * D, "tiled64x64")] {
        assert_eq!(shape(m, n).to_string(), named);
        residual(bench, Size { m, n, k: D });
    }
}

fn project(bench: &Bench, size: Size, norm: bool, out_stride: usize) {
    let Size { m, n, .. } = size;
    let operands = Operands::new(bench, size, false);
    let (bias, out) = (bench.zeros::<f32>(n), bench.zeros::<f32>(m * out_stride));
    let params = photon_project_params {
        product: operands.product,
        bias: bench.at(&bias),
        out: bench.at(&out),
        to: photon_rows::DENSE,
        out_stride: out_stride as i64,
    };
    // SAFETY: all operands are as large as the parameters say.
    let launch = bench.count(|kernels, stream| unsafe { kernels.project(stream, BF16, norm, &params) });
    operands.check(&launch, size, shape(m, n), 4 * n, 4 * m * n);
    let (_, stored) = launch.sectors();
    exactly("results are written in whole sectors", stored, 4 * m * n);
}

pub fn chunker_and_converter(bench: &Bench) {
    for m in [1, 4, 16] {
        // Four rows of a chunk are one row of x; two prefix rows lie in each five of the local decoder.
        project(bench, Size { m, n: D, k: 4 * D }, true, D);
        project(bench, Size { m, n: 2 * D, k: D }, false, 5 * D);
    }
}

pub fn gate_up(bench: &Bench) {
    for m in [1, 4, 16, 64] {
        let size = Size { m, n: 2 * HIDDEN, k: D };
        let operands = Operands::new(bench, size, false);
        let out = bench.zeros::<u16>(m * HIDDEN);
        let params = photon_swiglu_params {
            product: operands.product,
            out: bench.at(&out) as *mut _,
            out_stride: HIDDEN as i64,
        };
        // SAFETY: all operands are as large as the parameters say.
        let launch = bench.count(|kernels, stream| unsafe { kernels.gate_up_swiglu(stream, BF16, &params) });
        operands.check(&launch, size, shape(m, 2 * HIDDEN), 0, 2 * m * HIDDEN);
    }
}

pub fn head(bench: &Bench) {
    let (m, tiles) = (4, head_tiles(VOCABULARY));
    let size = Size { m, n: VOCABULARY, k: D };
    let operands = Operands::new(bench, size, false);
    let keys = bench.zeros::<u64>(m * tiles);
    let params = photon_lm_head_params {
        product: operands.product,
        bias: std::ptr::null(),
        best: bench.at(&keys),
        best_stride: tiles as i64,
    };
    // SAFETY: all operands are as large as the parameters say.
    let launch = bench.count(|kernels, stream| unsafe { kernels.lm_head_best(stream, BF16, false, &params) });
    // A 16th of the logits.
    operands.check(&launch, size, head_shape(m, VOCABULARY), 0, 4 * m * VOCABULARY / 16);

    let greedy = Draw { sampling: Sampling::GREEDY, sequence: 0, position: 0, forced: None };
    let draws = bench.upload(&vec![photon_draw::from(&greedy); m]);
    let ids = bench.zeros::<u32>(m);
    let params = photon_lm_head_pick_params {
        best: bench.at(&keys),
        draws: bench.at(&draws),
        ids: bench.at(&ids),
        to: photon_rows::DENSE,
        best_stride: tiles as i64,
        m: m as i32,
        tiles: tiles as i32,
    };
    // SAFETY: all operands are as large as the parameters say.
    let launch = bench.count(|kernels, stream| unsafe { kernels.lm_head_pick(stream, &params) });
    let (read, written) = launch.memory();
    exactly("the best of a row is found among", read, m * (8 * tiles + 4));
    exactly("tokens are", written, 4 * m);
    launch.no_conflicts("lm_head_pick");
}

pub fn append(bench: &Bench) {
    for m in [1, 4, 16] {
        let n = 3 * HEADS * DIM;
        let size = Size { m, n, k: D };
        let operands = Operands::new(bench, size, false);
        let block = 2 * HEADS * PHOTON_KV_BLOCK as usize * DIM;
        let (cache, query) = (bench.zeros::<u16>(m * block), bench.zeros::<u16>(m * HEADS * DIM));
        let angles = bench.zeros::<f32>(32 * DIM);
        let params = photon_qkv_params {
            product: operands.product,
            query: bench.at(&query) as *mut _,
            query_stride: (HEADS * DIM) as i64,
            kv: photon_kv {
                base: bench.at(&cache) as *mut _,
                slot_stride: block as i64,
                ..blocked_kv(1, HEADS, DIM, 0)
            },
            units: photon_units { slot: std::ptr::null(), unit: std::ptr::null(), rows: 1, first: 7 },
            angles: bench.at(&angles),
            heads: HEADS as i32,
            kv_heads: HEADS as i32,
            head_dim: DIM as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        let launch = bench.count(|kernels, stream| unsafe { kernels.qkv_rope_append(stream, BF16, &params) });
        // Nothing is read but the operands and the angles of one unit, nothing written but q, k and v.
        operands.check(&launch, size, shape(m, n), 4 * DIM, 2 * m * n);
    }
}
