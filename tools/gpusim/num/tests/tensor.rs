//! Tensor-core models against MMA-Sim's results, integer products against definitions, the fast mode against f64.
//!
//! `data/tensor.json` holds results of MMA-Sim (MIT licence) for pseudo-random operands, made by `tensor_vectors.py`; the
//! operands are generated here once more, by the same rules.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::Random;
use gpusim_num::format::Format;
use gpusim_num::tensor::{
    self, Accumulator, Architecture, Element, Evidence, Model, ScaleFormat, fast, fragment, integer,
};
use serde_json::Value;

/// SplitMix64 of a counter.
fn mix(counter: u64) -> u64 {
    let z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn format(name: &str) -> Format {
    match name {
        "f32" => Format::F32,
        "f64" => Format::F64,
        _ => element(name).format(),
    }
}

fn element(name: &str) -> Element {
    match name {
        "f16" => Element::F16,
        "bf16" => Element::Bf16,
        "tf32" => Element::Tf32,
        "e4m3" => Element::E4m3,
        "e5m2" => Element::E5m2,
        "e3m2" => Element::E3m2,
        "e2m3" => Element::E2m3,
        "e2m1" => Element::E2m1,
        _ => panic!("no element type {name}"),
    }
}

/// A pattern of the format; see `elements` in tensor_vectors.py.
fn pattern(f: &Format, kind: u64, word: u64, low: Option<i64>) -> u64 {
    let (top, bias) = ((1i64 << f.exp_bits) - 1, i64::from(f.bias()));
    let r = (word >> 32) as i64;
    let sign = (word & 1) << (f.exp_bits + f.man_bits);
    let stored = (word.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) & ((1 << f.man_bits) - 1);
    let near = (bias - 3 + r % 7).clamp(0, top);
    let field = match kind {
        0 | 4 => r % (top + 1),
        1 | 5 | 6 => near,
        2 => (bias - 12 + r % 25).clamp(0, top),
        3 => low
            .map_or(if f.exp_bits < 8 { r % 3 } else { 52 + r % 8 }, |low| (low - 8 + r % 16).clamp(0, top)),
        _ => (top - 1 - r % 4).clamp(0, top),
    };
    let zero = (kind == 3 || kind == 4) && r >> 16 & 3 == 0;
    let special = kind == 6 && r >> 16 & 15 == 0;
    let field = if zero {
        0
    } else if special {
        top
    } else {
        field
    };
    let stored = if zero || special && r >> 20 & 1 == 0 { 0 } else { stored };
    sign | (field as u64) << f.man_bits | stored
}

struct Case {
    a: Vec<u64>,
    b: Vec<u64>,
    c: u64,
    base: u64,
}

fn operands(seed: u64, case: u64, k: u64, a_type: &str, b_type: &str, c_type: &str) -> Case {
    let base = (seed << 40) + case * 256;
    let kind = mix(base) % 8;
    let (fa, fb, fc) = (format(a_type), format(b_type), format(c_type));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for i in 0..k {
        let (a_word, b_word) = (mix(base + 1 + i), mix(base + 65 + i));
        let tail = |word: u64| if a_type == "tf32" { (word >> 9 & 0x1fff, 13) } else { (0, 0) };
        let put = |bits: u64, word| bits << tail(word).1 | tail(word).0;
        if kind == 5 && i % 2 == 1 && i < k - 1 {
            // Neighbours cancel.
            let (x, y) =
                (pattern(&fa, kind, mix(base + i), None), pattern(&fb, kind, mix(base + 64 + i), None));
            a.push(put(x, a_word));
            b.push(put(y ^ 1 << (fb.exp_bits + fb.man_bits), b_word));
        } else {
            a.push(put(pattern(&fa, kind, a_word, None), a_word));
            b.push(put(pattern(&fb, kind, b_word, None), b_word));
        }
    }
    let c_word = mix(base + 129);
    let c_kind = if c_word >> 20 & 3 == 0 { 4 } else { kind };
    let low = (i64::from(fc.bias()) + 2 - i64::from(fa.bias()) - i64::from(fb.bias())).max(0);
    Case { a, b, c: pattern(&fc, c_kind, c_word, Some(low)), base }
}

fn model(entry: &Value) -> Option<Model> {
    let text = |key: &str| entry[key].as_str().unwrap();
    let arch = match text("arch") {
        "Volta" => Architecture::Volta,
        "Turing" => Architecture::Turing,
        "Ampere" => Architecture::Ampere,
        "Ada Lovelace" => Architecture::Ada,
        "Hopper" => Architecture::Hopper,
        "Blackwell" => Architecture::Blackwell,
        _ => Architecture::BlackwellRtx,
    };
    if text("a") == "f64" || text("unit") == "scaled" {
        return None;
    }
    let (a, b) = (element(text("a")), element(text("b")));
    let accumulator = if text("d") == "f16" { Accumulator::F16 } else { Accumulator::F32 };
    match text("unit") {
        "wgmma" => Model::wgmma(a, b, accumulator),
        "tcgen05" => Model::tcgen05(a, b, accumulator),
        _ => Model::mma(arch, a, b, accumulator, entry["volta"].as_bool().unwrap()),
    }
}

fn words(bits: &[u64]) -> Vec<u32> {
    bits.iter().map(|&x| x as u32).collect()
}

fn result(entry: &Value, model: Option<&Model>, case: &Case) -> u64 {
    if let Some(model) = model {
        return model.dot(&words(&case.a), &words(&case.b), case.c as u32).into();
    }
    if entry["a"] == "f64" {
        let d = tensor::dot_f64(&case.a, &case.b, case.c);
        return if f64::from_bits(d).is_nan() { 0x7fff_ffff_ffff_ffff } else { d };
    }
    let sides = case.a.len() as u64 / entry["block"].as_u64().unwrap();
    let ue8m0 = entry["scale"] == "ue8m0";
    let near = if ue8m0 { 120 } else { 48 };
    let scale = |i| {
        let word = mix(case.base + 130 + i);
        (if word & 7 == 0 { word >> 16 & 255 } else { near + (word >> 8) % 16 }) as u8
    };
    let alpha: Vec<u8> = (0..sides).map(scale).collect();
    let beta: Vec<u8> = (sides..2 * sides).map(scale).collect();
    let (a, b) = (words(&case.a), words(&case.b));
    let d = if a.len() == 64 {
        let format = if ue8m0 { ScaleFormat::Ue8m0 } else { ScaleFormat::Ue4m3 };
        let (a, b) = (a.try_into().unwrap(), b.try_into().unwrap());
        tensor::scaled_fp4_dot(&a, &b, format, (&alpha, &beta), case.c as u32)
    } else {
        let kind = |key: &str| element(entry[key].as_str().unwrap());
        tensor::scaled_dot((kind("a"), &a), (kind("b"), &b), (alpha[0], beta[0]), case.c as u32)
    };
    d.into()
}

/// Compares one entry of the file; what differs, in words.
fn findings(name: &str, entry: &Value, block: u64) -> Vec<String> {
    let text = |key: &str| entry[key].as_str().unwrap();
    let number = |key: &str| entry[key].as_u64().unwrap();
    let hex = |value: &Value| u64::from_str_radix(value.as_str().unwrap(), 16).unwrap();
    let model = model(entry);
    assert!(model.is_some() || text("a") == "f64" || text("unit") == "scaled", "{name}: no such model");
    let case = |i| operands(number("seed"), i, number("k"), text("a"), text("b"), text("d"));
    let mut wrong = Vec::new();
    for (i, want) in entry["first"].as_array().unwrap().iter().enumerate() {
        let one = case(i as u64);
        let (got, want) = (result(entry, model.as_ref(), &one), hex(want));
        if got != want {
            let Case { a, b, c, .. } = one;
            wrong.push(format!(
                "{name}, case {i}: {got:#x}, not {want:#x}\n  a {a:x?}\n  b {b:x?}\n  c {c:#x}"
            ));
        }
    }
    for (n, want) in entry["blocks"].as_array().unwrap().iter().enumerate() {
        let cases = n as u64 * block..(n as u64 + 1) * block;
        let checksum = |sum: u64, i| sum.wrapping_add(mix(result(entry, model.as_ref(), &case(i)) ^ i << 32));
        if cases.clone().fold(0, checksum) != hex(want) {
            wrong.push(format!("{name}: cases {cases:?} differ"));
        }
    }
    wrong
}

#[test]
fn every_model_gives_mma_sims_bits() {
    let all: Value = serde_json::from_str(include_str!("data/tensor.json")).unwrap();
    let block = all["block"].as_u64().unwrap();
    let entries: Vec<_> = all.as_object().unwrap().iter().filter(|(_, entry)| entry.is_object()).collect();
    let cases: u64 = entries.iter().map(|(_, entry)| entry["cases"].as_u64().unwrap()).sum();
    assert!(entries.len() > 100 && cases > 5_000_000, "{cases} cases of {} models", entries.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some((name, entry)) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(findings(name, entry, block));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} findings\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn instructions_that_an_architecture_lacks_have_no_model() {
    use Architecture::{Ada, Ampere, Blackwell, Hopper, Turing, Volta};
    let mma = |arch, a, accumulator, volta| Model::mma(arch, a, a, accumulator, volta);
    assert!(mma(Volta, Element::F16, Accumulator::F32, false).is_none());
    assert!(mma(Turing, Element::Bf16, Accumulator::F32, false).is_none());
    assert!(mma(Ampere, Element::E4m3, Accumulator::F32, false).is_none());
    assert!(mma(Ampere, Element::Bf16, Accumulator::F16, false).is_none());
    assert!(mma(Ampere, Element::F16, Accumulator::F32, true).is_none());
    assert!(mma(Blackwell, Element::E4m3, Accumulator::F32, false).is_none());
    assert!(mma(Ada, Element::E2m1, Accumulator::F32, false).is_none());
    assert_eq!(mma(Ada, Element::E4m3, Accumulator::F32, false).unwrap().evidence(), Evidence::Published);
    assert_eq!(mma(Hopper, Element::E4m3, Accumulator::F32, false).unwrap().evidence(), Evidence::Inferred);
    assert_eq!(Architecture::from_sm(86), Some(Ampere));
    assert_eq!(Architecture::from_sm(60), None);
}

#[test]
fn fp8_mma_on_sm_90_is_the_f16_instruction_on_widened_operands() {
    let f16 = Model::mma(Architecture::Hopper, Element::F16, Element::F16, Accumulator::F32, false).unwrap();
    let fp8 =
        Model::mma(Architecture::Hopper, Element::E4m3, Element::E5m2, Accumulator::F32, false).unwrap();
    let mut random = Random(21);
    for _ in 0..2_000 {
        let a: Vec<u32> = (0..32).map(|_| random.next() as u32 & 0x7f).collect();
        let b: Vec<u32> = (0..32).map(|_| random.next() as u32 & 0xfb).collect();
        let c = ((random.next() as u8) as f32).to_bits();
        let wide = |x: &u32, f: Format| {
            Format::F16.encode(f.decode(u64::from(*x)), gpusim_num::Rounding::Rn, false) as u32
        };
        let wide_a: Vec<u32> = a.iter().map(|x| wide(x, Format::E4M3)).collect();
        let wide_b: Vec<u32> = b.iter().map(|x| wide(x, Format::E5M2)).collect();
        let first = f16.dot(&wide_a[..16], &wide_b[..16], c);
        assert_eq!(fp8.dot(&a, &b, c), f16.dot(&wide_a[16..], &wide_b[16..], first));
    }
}

#[test]
fn a_tile_is_its_dot_products() {
    use Architecture::{Ada, Ampere, BlackwellRtx, Hopper, Volta};
    let mut random = Random(22);
    let models = [
        (Volta, Element::F16, Element::F16, 4),
        (Ampere, Element::F16, Element::F16, 16),
        (Ampere, Element::Bf16, Element::Bf16, 16),
        (Hopper, Element::Tf32, Element::Tf32, 8),
        (Hopper, Element::F16, Element::F16, 16),
        (Hopper, Element::E4m3, Element::E5m2, 32),
        (Ada, Element::E5m2, Element::E4m3, 32),
        (BlackwellRtx, Element::E2m1, Element::E5m2, 32),
    ];
    for (arch, x, y, k) in models {
        for accumulator in [Accumulator::F32, Accumulator::F16] {
            let Some(model) = Model::mma(arch, x, y, accumulator, arch == Volta) else { continue };
            // Without special operands, with a few, with many; eight columns and a part of eight.
            for (round, n) in [(0, 8), (1, 13), (2, 8), (3, 16), (0, 5), (0, 24)].repeat(20) {
                let mut bits = |element: Element, count: usize| -> Vec<u32> {
                    let f = element.format();
                    let draw = |_| {
                        let finite = round == 0 || round == 1 && random.below(32) != 0;
                        let mut bits = random.pattern(&f);
                        while finite && !f.decode(bits).is_finite() {
                            bits = random.pattern(&f);
                        }
                        (bits as u32) << if element == Element::Tf32 { 13 } else { 0 }
                    };
                    (0..count).map(draw).collect()
                };
                let (a, b) = (bits(x, 16 * k), bits(y, n * k));
                let c_format = if accumulator == Accumulator::F16 { Format::F16 } else { Format::F32 };
                let c: Vec<u32> = (0..16 * n)
                    .map(|i| c_format.encode(i as f64 - 60.0, gpusim_num::Rounding::Rn, true) as u32)
                    .collect();
                let mut d = vec![0; 16 * n];
                model.tile((16, n, k), &a, &b, &c, &mut d);
                for i in 0..16 {
                    for j in 0..n {
                        let want = model.dot(&a[i * k..][..k], &b[j * k..][..k], c[i * n + j]);
                        assert_eq!(d[i * n + j], want, "{arch:?} {x:?} {y:?} {accumulator:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn integer_products_are_exact_and_wrap_or_clamp() {
    assert_eq!(integer::dot(&[1, -2, 3], &[4, 5, -6], 7, false), 4 - 10 - 18 + 7);
    assert_eq!(integer::dot(&[127; 32], &[127; 32], i32::MAX - 10, true), i32::MAX);
    assert_eq!(integer::dot(&[127; 32], &[127; 32], i32::MAX - 10, false), i32::MIN + 127 * 127 * 32 - 11);
    assert_eq!(integer::dot(&[-128; 32], &[127; 32], i32::MIN + 10, true), i32::MIN);
    assert_eq!(integer::bytes(0x80ff_017f, true), [127, 1, -1, -128]);
    assert_eq!(integer::bytes(0x80ff_017f, false), [127, 1, 255, 128]);
    assert_eq!(integer::nibbles(0xfedc_8701, true), [1, 0, 7, -8, -4, -3, -2, -1]);
    assert_eq!(integer::nibbles(0xfedc_8701, false), [1, 0, 7, 8, 12, 13, 14, 15]);
    assert_eq!(integer::dot_bits(&[0b1100, u32::MAX], &[0b1010, 0], 5, false), 2 + 32 + 5);
    assert_eq!(integer::dot_bits(&[0b1100, u32::MAX], &[0b1010, 0], 5, true), 1 + 5);
    let mut random = Random(23);
    for k in [16, 32, 64] {
        let (mut a, mut b, mut c, mut d) = ([[0; 64]; 16], [[0; 8]; 64], [[0; 8]; 16], [[0; 8]; 16]);
        a.iter_mut().flatten().for_each(|x| *x = random.next() as i8 as i32);
        b.iter_mut().flatten().for_each(|x| *x = random.next() as u8 as i32);
        c.iter_mut().flatten().for_each(|x| *x = random.next() as i32);
        integer::tile_m16n8(k, &a, &b, &c, &mut d);
        for i in 0..16 {
            for j in 0..8 {
                let sum: i64 =
                    (0..k).map(|l| i64::from(a[i][l]) * i64::from(b[l][j])).sum::<i64>() + i64::from(c[i][j]);
                assert_eq!(d[i][j], sum as i32);
            }
        }
    }
}

/// A lane's register of two values.
fn pack(f: &Format, low: f64, high: f64) -> u32 {
    let bits = |x| f.encode(x, gpusim_num::Rounding::Rn, false) as u32;
    bits(high) << 16 | bits(low)
}

#[test]
fn fast_mma_from_registers_multiplies_the_matrices_that_the_fragment_tables_describe() {
    for (bf16, f) in [(false, Format::F16), (true, Format::BF16)] {
        // Small integers: every order of summation gives the exact product.
        let a = |i: usize, k: usize| ((i * 7 + k * 3) % 11) as f64 - 5.0;
        let b = |k: usize, j: usize| ((k * 5 + j * 2) % 13) as f64 - 6.0;
        let c = |i: usize, j: usize| (i * 8 + j) as f64;
        // The formulas of the PTX ISA: row and column of the i-th element in a lane.
        let registers_a: [[u32; 32]; 4] = std::array::from_fn(|r| {
            std::array::from_fn(|lane| {
                let at = |i: usize| {
                    let row = if i < 2 || (4..6).contains(&i) { lane >> 2 } else { (lane >> 2) + 8 };
                    let column = (lane % 4) * 2 + (i & 1) + if i >= 4 { 8 } else { 0 };
                    a(row, column)
                };
                pack(&f, at(2 * r), at(2 * r + 1))
            })
        });
        let registers_b: [[u32; 32]; 2] = std::array::from_fn(|r| {
            std::array::from_fn(|lane| {
                let at = |i: usize| b((lane % 4) * 2 + (i & 1) + if i >= 2 { 8 } else { 0 }, lane >> 2);
                pack(&f, at(2 * r), at(2 * r + 1))
            })
        });
        let place = |i: usize, lane: usize| {
            (if i < 2 { lane >> 2 } else { (lane >> 2) + 8 }, (lane % 4) * 2 + (i & 1))
        };
        let registers_c: [[u32; 32]; 4] = std::array::from_fn(|r| {
            std::array::from_fn(|lane| {
                let (row, column) = place(r, lane);
                (c(row, column) as f32).to_bits()
            })
        });
        let mut d = [[0u32; 32]; 4];
        {
            let [d0, d1, d2, d3] = &mut d;
            let [a0, a1, a2, a3] = &registers_a;
            let [b0, b1] = &registers_b;
            let [c0, c1, c2, c3] = &registers_c;
            let (a, b, c, d) = ([a0, a1, a2, a3], [b0, b1], [c0, c1, c2, c3], [d0, d1, d2, d3]);
            if bf16 {
                fragment::mma_m16n8k16::<true>(a, b, c, d)
            } else {
                fragment::mma_m16n8k16::<false>(a, b, c, d)
            }
        }
        for (r, register) in d.iter().enumerate() {
            for (lane, &bits) in register.iter().enumerate() {
                let (i, j) = place(r, lane);
                let want = (0..16).map(|k| a(i, k) * b(k, j)).sum::<f64>() + c(i, j);
                assert_eq!(f64::from(f32::from_bits(bits)), want, "row {i}, column {j}");
            }
        }
        // m16n8k8: the first two registers of A and the first of B hold its operands in the same places.
        let (mut a8, mut b8) = ([[0.0; 8]; 16], [[0.0; 8]; 8]);
        if bf16 {
            fragment::load_a8::<true>([&registers_a[0], &registers_a[1]], &mut a8);
            fragment::load_b8::<true>(&registers_b[0], &mut b8);
        } else {
            fragment::load_a8::<false>([&registers_a[0], &registers_a[1]], &mut a8);
            fragment::load_b8::<false>(&registers_b[0], &mut b8);
        }
        for i in 0..16 {
            for k in 0..8 {
                assert_eq!(f64::from(a8[i][k]), a(i, k));
                assert_eq!(f64::from(b8[k][i % 8]), b(k, i % 8));
            }
        }
    }
}

#[test]
fn fast_products_are_within_the_error_of_k_roundings_and_keep_nan() {
    let mut random = Random(24);
    for _ in 0..2_000 {
        let value =
            |random: &mut Random| (random.next() as i32 as f32) / 2f32.powi(28 + random.below(4) as i32);
        let mut a = [[0.0; 16]; 16];
        let mut b = [[0.0; 8]; 16];
        let mut c = [[0.0; 8]; 16];
        a.iter_mut().flatten().for_each(|x| *x = value(&mut random));
        b.iter_mut().flatten().for_each(|x| *x = value(&mut random));
        c.iter_mut().flatten().for_each(|x| *x = value(&mut random));
        let mut d = c;
        fast::mma_m16n8k16(&a, &b, &mut d);
        let mut flat: Vec<f32> = c.iter().flatten().copied().collect();
        let (rows, columns): (Vec<f32>, Vec<f32>) =
            (a.iter().flatten().copied().collect(), b.iter().flatten().copied().collect());
        fast::gemm(16, 8, 16, &rows, &columns, &mut flat);
        for i in 0..16 {
            for j in 0..8 {
                let terms = || (0..16).map(|k| f64::from(a[i][k]) * f64::from(b[k][j]));
                let exact = terms().sum::<f64>() + f64::from(c[i][j]);
                let size = terms().map(f64::abs).sum::<f64>() + f64::from(c[i][j]).abs();
                assert!((f64::from(d[i][j]) - exact).abs() <= 16.0 * 2f64.powi(-24) * size);
                assert_eq!(d[i][j].to_bits(), flat[i * 8 + j].to_bits());
            }
        }
    }
    let (mut a, b, mut c) = ([[0.0; 8]; 16], [[1.0; 8]; 8], [[0.0; 8]; 16]);
    a[3][5] = -f32::NAN;
    a[4][1] = f32::INFINITY;
    a[4][2] = f32::NEG_INFINITY;
    fast::mma_m16n8k8(&a, &b, &mut c);
    assert_eq!(c.map(|row| row[0].to_bits())[2..6], [0, 0x7fff_ffff, 0x7fff_ffff, 0]);
}
