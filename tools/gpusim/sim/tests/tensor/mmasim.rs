//! Bit for bit what MMA-Sim computes: the cases of tools/gpusim/programs/mmasim.json.

use std::collections::HashMap;
use std::path::Path;

use gpusim::{Arithmetic, Settings};

use crate::elements::bits;
use crate::mma::Form;
use crate::wgmma::{Case, k_major};

/// Elements of a matrix as bits, by rows.
fn read(blob: &[u8], at: usize, kind: &str, rows: usize, columns: usize) -> Vec<Vec<u64>> {
    let size = bits(kind) / 8;
    let element =
        |n: usize| blob[at + n * size..][..size].iter().rev().fold(0, |word, b| word << 8 | u64::from(*b));
    (0..rows).map(|r| (0..columns).map(|c| element(r * columns + c)).collect()).collect()
}

/// NaN payloads are the tensor core's own.
fn plain(kind: &str, bits: u64) -> u64 {
    let (nan, infinity) = match kind {
        "f64" => (u64::MAX >> 1, 0x7FF0 << 48),
        "f16" => (0x7FFF, 0x7C00),
        _ => (0x7FFF_FFFF, 0x7F80_0000),
    };
    if bits & nan > infinity { nan } else { bits }
}

#[test]
fn mma_and_wgmma_give_mma_sims_bits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    let blob = std::fs::read(folder.join("mmasim.bin")).unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("mmasim.json")).unwrap()).unwrap();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for case in index["cases"].as_array().unwrap() {
        let instruction = case["instruction"].as_str().unwrap();
        let arch = match case["arch"].as_str().unwrap() {
            "Ampere" => 80,
            "Ada Lovelace" => 89,
            _ => 90,
        };
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let (unit, name) = instruction.split_once(' ').unwrap();
        let names: Vec<&'static str> = name.split('.').skip(1).map(|n| &*n.to_owned().leak()).collect();
        let (m, n, k) = (number("m"), number("n"), number("k"));
        let settings =
            Settings { arithmetic: Arithmetic::Exact, tensor_arch: Some(arch), ..Settings::default() };
        let td = names[0];
        let c = read(&blob, number("c"), td, m, n);
        let a = read(&blob, number("a"), names[1], m, k);
        let columns = read(&blob, number("b"), names[2], n, k);
        let d = if unit == "mma" {
            let b: Vec<Vec<u64>> = (0..k).map(|l| (0..n).map(|j| columns[j][l]).collect()).collect();
            let target = match (arch, names[1]) {
                (90, _) | (_, "f64") => "sm_90",
                (89, _) => "sm_89",
                _ => "sm_80",
            };
            let types = [names[0], names[1], names[2], names[3]];
            Form { shape: [m, n, k], types, inner: "", tail: "", target }.run(settings, [&a, &b, &c])
        } else {
            let layout = k_major(128);
            let case = Case {
                n,
                k,
                types: [names[0], names[1], names[2]],
                inner: "",
                a: None,
                b: layout,
                scales: (true, 1, 1),
            };
            let mut shared = vec![0; 48 << 10];
            shared.extend(raw_image(&columns, bits(names[2]) / 8));
            case.run(settings, &a, &shared, &c).unwrap_or_else(|error| panic!("{error}"))
        };
        let want = read(&blob, number("d"), td, m, n);
        for i in 0..m {
            for j in 0..n {
                let (got, want) = (plain(td, d[i][j]), plain(td, want[i][j]));
                assert_eq!(
                    got, want,
                    "{instruction} sm_{arch} inputs {} row {i} column {j}: {got:#x}, not {want:#x}",
                    case["inputs"]
                );
            }
        }
        *seen.entry(unit.to_owned()).or_default() += 1;
    }
    assert!(seen["mma"] > 100 && seen["wgmma"] > 20, "{seen:?}");
}

/// K-major with the swizzle of 128 bytes: rows of 128 bytes of which k takes 32, pieces exchanged by the row's number.
fn raw_image(rows: &[Vec<u64>], size: usize) -> Vec<u8> {
    let mut image = vec![0; 48 << 10];
    for (r, row) in rows.iter().enumerate() {
        for (k, element) in row.iter().enumerate() {
            let byte = k * size;
            let at = r * 128 + ((byte / 16) ^ (r % 8)) * 16 + byte % 16;
            image[at..at + size].copy_from_slice(&element.to_le_bytes()[..size]);
        }
    }
    image
}
