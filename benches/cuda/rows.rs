//! Kernels that have a row to a CTA.

use photon_kernels::cuda::raw::Storage;
use photon_kernels::cuda::sys::*;

use super::device::{Case, Device, Sizes, bits, near, some, values};

pub fn cases<'d>(device: &'d Device, sizes: Sizes) -> impl Iterator<Item = Case<'d>> {
    let [_, batch, prefill] = sizes.rows;
    let makers: [fn(&Device, Sizes, usize) -> Case<'_>; 4] = [embed, copy, norm, sample];
    makers.into_iter().zip([prefill, prefill, prefill, batch]).map(move |(make, m)| make(device, sizes, m))
}

fn embed(device: &Device, sizes: Sizes, m: usize) -> Case<'_> {
    let (width, vocabulary) = (sizes.width, sizes.vocabulary);
    let table = values(7, vocabulary * width);
    let ids: Vec<u32> = (0..m).map(|i| (i * 977 % vocabulary) as u32).collect();
    let bytes = m * (4 + 6 * width);
    let sets = device.sets(bytes).min(64);
    let (tables, device_ids) = (device.copies(&bits(&table), sets), device.upload(&ids));
    let outs = device.copies(&vec![0.0f32; m * width], sets);
    let results = outs.clone();
    let launch = move |set: usize| {
        let params = photon_embed_params {
            table: device.address(&tables[set]) as *const _,
            ids: device.address(&device_ids) as *const u32,
            from: photon_rows::DENSE,
            out: device.address(&outs[set]) as *mut f32,
            to: photon_rows::DENSE,
            out_stride: width as i64,
            m: m as i32,
            width: width as i32,
            vocabulary: vocabulary as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.embed_chunk(device.stream(), Storage::Bf16, &params) }.expect("a launch");
    };
    let check = move || {
        let out = device.download(&results[0]);
        for i in some(m) {
            assert_eq!(out[i * width..(i + 1) * width], table[ids[i] as usize * width..][..width]);
        }
    };
    let name = format!("embed_chunk {m}x{width}");
    Case { name, bytes, sets, launch: Box::new(launch), check: Box::new(check) }
}

fn copy(device: &Device, sizes: Sizes, m: usize) -> Case<'_> {
    let width = sizes.width;
    let x = values(8, m * width);
    let bytes = 8 * m * width;
    let sets = device.sets(bytes);
    let (xs, outs) = (device.copies(&x, sets), device.copies(&vec![0.0f32; m * width], sets));
    let results = outs.clone();
    let launch = move |set: usize| {
        let params = photon_copy_params {
            x: device.address(&xs[set]) as *const f32,
            from: photon_rows::DENSE,
            out: device.address(&outs[set]) as *mut f32,
            to: photon_rows::DENSE,
            x_stride: width as i64,
            out_stride: width as i64,
            m: m as i32,
            width: width as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.copy_rows(device.stream(), &params) }.expect("a launch");
    };
    let check = move || assert!(device.download(&results[0]) == x, "copy_rows");
    let name = format!("copy_rows {m}x{width}");
    Case { name, bytes, sets, launch: Box::new(launch), check: Box::new(check) }
}

fn norm(device: &Device, sizes: Sizes, m: usize) -> Case<'_> {
    let width = sizes.width;
    let (x, gain) = (values(9, m * width), values(10, width));
    let bytes = 8 * m * width;
    let sets = device.sets(bytes);
    let (xs, outs) = (device.copies(&x, sets), device.copies(&vec![0.0f32; m * width], sets));
    let device_gain = device.upload(&gain);
    let results = outs.clone();
    let launch = move |set: usize| {
        let params = photon_norm_params {
            x: device.address(&xs[set]) as *const f32,
            from: photon_rows::DENSE,
            gain: device.address(&device_gain) as *const f32,
            out: device.address(&outs[set]) as *mut f32,
            to: photon_rows::DENSE,
            x_stride: width as i64,
            out_stride: width as i64,
            m: m as i32,
            width: width as i32,
            eps: 1e-5,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.rms_norm(device.stream(), &params) }.expect("a launch");
    };
    let check = move || {
        let out = device.download(&results[0]);
        for i in some(m) {
            let row = &x[i * width..(i + 1) * width];
            let squares: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
            let rms = (squares / width as f64 + 1e-5).sqrt();
            for j in some(width) {
                let want = f64::from(row[j]) / rms * f64::from(gain[j]);
                near("rms_norm", out[i * width + j], want, 1e-5);
            }
        }
    };
    let name = format!("rms_norm {m}x{width}");
    Case { name, bytes, sets, launch: Box::new(launch), check: Box::new(check) }
}

fn sample(device: &Device, sizes: Sizes, m: usize) -> Case<'_> {
    let vocabulary = sizes.vocabulary;
    let mut logits = values(11, m * vocabulary);
    // The greedy token of row i is known.
    let token = move |i: usize| (i * 31 + 5) % vocabulary;
    (0..m).for_each(|i| logits[i * vocabulary + token(i)] = 2.0);
    let bytes = 4 * m * vocabulary;
    let sets = device.sets(bytes);
    let draw = photon_draw {
        seed: 0,
        position: 0,
        sequence: 0,
        forced: u32::MAX,
        temperature: 0.0,
        top_p: 1.0,
        min_p: 0.0,
        top_k: 0,
    };
    let (all, draws) = (device.copies(&logits, sets), device.upload(&vec![draw; m]));
    let outs = device.copies(&vec![0u32; m], 1);
    let results = outs.clone();
    let launch = move |set: usize| {
        let params = photon_sample_params {
            logits: device.address(&all[set]) as *const f32,
            draws: device.address(&draws) as *const photon_draw,
            ids: device.address(&outs[0]) as *mut u32,
            to: photon_rows::DENSE,
            logits_stride: vocabulary as i64,
            m: m as i32,
            vocabulary: vocabulary as i32,
        };
        // SAFETY: all operands are as large as the parameters say.
        unsafe { device.kernels.sample(device.stream(), &params) }.expect("a launch");
    };
    let check = move || {
        let got = device.download(&results[0]);
        assert!(got.iter().enumerate().all(|(i, &id)| id as usize == token(i)), "sample: {got:?}");
    };
    let name = format!("sample, greedy {m}x{vocabulary}");
    Case { name, bytes, sets, launch: Box::new(launch), check: Box::new(check) }
}
