//! Products of a layer and around it.

use photon_kernels::cuda::raw::{KV_BLOCK, Storage, blocked_kv, kv_block, shape};
use photon_kernels::cuda::sys::*;

use super::device::{Case, Device, Sizes, bits, near, some, values, widen};

/// What becomes of a product.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Project,
    ProjectNorm,
    Residual,
    Swiglu,
    Qkv,
}

pub fn cases<'d>(device: &'d Device, sizes: Sizes) -> impl Iterator<Item = Case<'d>> {
    let Sizes { width: d, hidden, vocabulary, rows, .. } = sizes;
    let list = [
        ("qkv_rope_append", Kind::Qkv, 3 * d, d),
        ("proj_residual", Kind::Residual, d, d),
        ("gate_up_swiglu", Kind::Swiglu, 2 * hidden, d),
        ("proj_residual (down)", Kind::Residual, d, hidden),
        ("project_norm (chunker)", Kind::ProjectNorm, d, 4 * d),
        ("project (converter)", Kind::Project, 2 * d, d),
        ("project (head)", Kind::Project, vocabulary, d),
    ];
    rows.into_iter().flat_map(move |m| {
        list.into_iter().map(move |(name, kind, n, k)| case(device, sizes, name, kind, [m, n, k]))
    })
}

fn case<'d>(device: &'d Device, sizes: Sizes, name: &str, kind: Kind, [m, n, k]: [usize; 3]) -> Case<'d> {
    let scale = 1.0 / (k as f32).sqrt();
    let x = values(1, m * k);
    let weight: Vec<f32> = widen(&bits(&values(2, n * k).iter().map(|w| w * scale).collect::<Vec<_>>()));
    let half = kind == Kind::Residual;
    // Bytes of the result, in f32 or in the storage type.
    let result = match kind {
        Kind::Project | Kind::ProjectNorm => 4 * m * n,
        Kind::Residual => 8 * m * n,
        Kind::Swiglu => m * n,
        Kind::Qkv => 2 * m * n,
    };
    let bytes = 2 * n * k + if half { 2 } else { 4 } * m * k + result;
    let sets = device.sets(bytes);
    let weights = device.copies(&bits(&weight), sets);
    let xs32 = device.copies(if half { &[] } else { &x[..] }, if half { 0 } else { sets });
    let xs16 = device.copies(&bits(if half { &x } else { &[] }), if half { sets } else { 0 });
    let outs = device.copies(&vec![0.0f32; m * n], sets);
    let caches = if kind == Kind::Qkv { sets } else { 0 };
    let blocks = m.div_ceil(KV_BLOCK) * kv_block(1, sizes.heads, sizes.head_dim);
    let caches = device.copies(&vec![0u16; blocks], caches);
    // Angles of nothing: what is turned stays where it is, and is as easy to check as everything else.
    let angles = device.upload(&[1.0f32, 0.0].repeat(m * sizes.head_dim / 2));
    let results = outs.clone();
    let launch = move |set: usize| {
        let x = if half { device.address(&xs16[set]) } else { device.address(&xs32[set]) };
        let out = device.address(&outs[set]);
        let product = photon_product {
            x: x as *const _,
            weight: device.address(&weights[set]) as *const _,
            rows: photon_rows::DENSE,
            x_stride: k as i64,
            weight_stride: k as i64,
            m: m as i32,
            n: n as i32,
            k: k as i32,
            eps: 1e-5,
        };
        let (kernels, stream, storage) = (&device.kernels, device.stream(), Storage::Bf16);
        // SAFETY: all operands are as large as the parameters say.
        unsafe {
            match kind {
                Kind::Project | Kind::ProjectNorm => {
                    let params = photon_project_params {
                        product,
                        bias: std::ptr::null(),
                        out: out as *mut f32,
                        to: photon_rows::DENSE,
                        out_stride: n as i64,
                    };
                    kernels.project(stream, storage, kind == Kind::ProjectNorm, &params)
                }
                Kind::Residual => {
                    let params =
                        photon_residual_params { product, out: out as *mut f32, out_stride: n as i64 };
                    kernels.proj_residual(stream, storage, &params)
                }
                Kind::Swiglu => {
                    let out_stride = (n / 2) as i64;
                    let params = photon_swiglu_params { product, out: out as *mut _, out_stride };
                    kernels.gate_up_swiglu(stream, storage, &params)
                }
                Kind::Qkv => {
                    let params = photon_qkv_params {
                        product,
                        query: out as *mut _,
                        query_stride: (n / 3) as i64,
                        kv: photon_kv {
                            base: device.address(&caches[set]) as *mut _,
                            ..blocked_kv(1, sizes.heads, sizes.head_dim, 0)
                        },
                        units: photon_units {
                            slot: std::ptr::null(),
                            unit: std::ptr::null(),
                            rows: m as u32,
                            first: 0,
                        },
                        angles: device.address(&angles) as *const f32,
                        heads: sizes.heads as i32,
                        kv_heads: sizes.heads as i32,
                        head_dim: sizes.head_dim as i32,
                    };
                    kernels.qkv_rope_append(stream, storage, &params)
                }
            }
        }
        .expect("a launch");
    };
    let name = format!("{name} {m}x{n}x{k} ({})", shape(m, n));
    let what = name.clone();
    let check = move || {
        let out = device.download(&results[0]);
        let halves: Vec<f32> = widen(bytemuck::cast_slice(&out));
        for i in some(m) {
            let row = &x[i * k..(i + 1) * k];
            let squares: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
            let rms = if matches!(kind, Kind::Project | Kind::Residual) {
                1.0
            } else {
                (squares / k as f64 + 1e-5).sqrt()
            };
            let product = |j: usize| -> f64 {
                let weight = &weight[j * k..(j + 1) * k];
                row.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>() / rms
            };
            // Sums are f32 of exact products; what is stored as bfloat16 is rounded once: 2^-8 of it at most.
            for j in some(if kind == Kind::Swiglu {
                n / 2
            } else if kind == Kind::Qkv {
                n / 3
            } else {
                n
            }) {
                match kind {
                    Kind::Swiglu => {
                        let (gate, up) = (product(2 * j), product(2 * j + 1));
                        let want = gate / (1.0 + (-gate).exp()) * up;
                        near(&what, halves[i * n / 2 + j], want, 1e-3 + want.abs() / 250.0);
                    }
                    Kind::Qkv => {
                        let want = product(j);
                        near(&what, halves[i * n / 3 + j], want, 1e-3 + want.abs() / 250.0);
                    }
                    _ => near(&what, out[i * n + j], product(j), 1e-3),
                }
            }
        }
    };
    Case { name, bytes, sets, launch: Box::new(launch), check: Box::new(check) }
}
