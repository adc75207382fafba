//! `wgmma` of integers and single bits, saturation, every n of every type, base offsets.

use crate::elements::{encode, matrix, product};
use crate::run::{MODES, assemble, settings};
use crate::wgmma::{Case, Layout, check, k_major};

/// Columns of a matrix by rows.
fn columns<T: Copy>(rows: &[Vec<T>]) -> Vec<Vec<T>> {
    (0..rows[0].len()).map(|j| rows.iter().map(|row| row[j]).collect()).collect()
}

fn integer_n() -> impl Iterator<Item = usize> {
    (8..=256).step_by(8).filter(|n| *n == 8 || *n == 24 || n % 16 == 0)
}

#[test]
fn every_n_of_every_type() {
    let mut types: Vec<(usize, [&'static str; 3])> =
        vec![(16, ["f32", "f16", "f16"]), (16, ["f16", "f16", "f16"]), (8, ["f32", "tf32", "tf32"])];
    for (a, b) in [("e4m3", "e4m3"), ("e4m3", "e5m2"), ("e5m2", "e4m3"), ("e5m2", "e5m2")] {
        types.extend([(32, ["f32", a, b]), (32, ["f16", a, b])]);
    }
    for (k, types) in types {
        for n in (8..=256).step_by(8) {
            let case =
                Case { n, k, types, inner: "", a: Some(k_major(128)), b: k_major(128), scales: (true, 1, 1) };
            check(&case, MODES[0]);
            if n == 256 {
                assemble(&case.ptx());
            }
        }
    }
    for n in integer_n() {
        for (a, b) in [("s8", "s8"), ("s8", "u8"), ("u8", "s8"), ("u8", "u8")] {
            for inner in ["", ".satfinite"] {
                let types = ["s32", a, b];
                let case = Case {
                    n,
                    k: 32,
                    types,
                    inner,
                    a: Some(k_major(128)),
                    b: k_major(128),
                    scales: (true, 1, 1),
                };
                check(&case, MODES[0]);
                if a == "s8" && b == "u8" {
                    assemble(&case.ptx());
                }
            }
        }
    }
}

#[test]
fn integer_sums_wrap_and_with_satfinite_clamp() {
    for (ta, tb) in [("s8", "s8"), ("u8", "u8"), ("s8", "u8")] {
        for (inner, in_registers) in [("", false), (".satfinite", false), (".satfinite", true), ("", true)] {
            let a = Some(k_major(64)).filter(|_| !in_registers);
            let case =
                Case { n: 16, k: 32, types: ["s32", ta, tb], inner, a, b: k_major(32), scales: (true, 1, 1) };
            assemble(&case.ptx());
            let (left, right) = (matrix(ta, 1, 64, 32), matrix(tb, 2, 32, 16));
            // Addends at both ends of the range: some sums leave it, some do not.
            let addend = |i: usize, j: usize| {
                let from_end = ((i * 16 + j) as i64 * 7919) % 60_000;
                if (i + j).is_multiple_of(2) {
                    i64::from(i32::MAX) - from_end
                } else {
                    i64::from(i32::MIN) + from_end
                }
            };
            let c: Vec<Vec<i64>> = (0..64).map(|i| (0..16).map(|j| addend(i, j)).collect()).collect();
            let zeros = vec![vec![0.0; 16]; 64];
            let sums = product(&left, &right, &zeros);
            let code = |t: &str, m: &[Vec<f64>]| -> Vec<Vec<u64>> {
                m.iter().map(|row| row.iter().map(|x| encode(t, *x)).collect()).collect()
            };
            let image = case.a.map_or(vec![0; 48 << 10], |layout| layout.image(ta, &left));
            let shared = [image, case.b.image(tb, &columns(&right))].concat();
            let bits: Vec<Vec<u64>> =
                c.iter().map(|row| row.iter().map(|v| *v as u32 as u64).collect()).collect();
            let d = case.run(settings(MODES[0]), &code(ta, &left), &shared, &bits).expect("a result");
            let (mut clamped, mut inside) = (0, 0);
            for i in 0..64 {
                for j in 0..16 {
                    let exact = c[i][j] + sums[i][j] as i64;
                    let limited = exact.clamp(i32::MIN.into(), i32::MAX.into());
                    if exact == limited {
                        inside += 1
                    } else {
                        clamped += 1
                    }
                    let want = if inner.is_empty() { exact } else { limited } as u32;
                    assert_eq!(d[i][j], u64::from(want), "{} row {i} column {j}", case.name());
                }
            }
            assert!(clamped > 0 && inside > 0, "{}: {clamped} clamped, {inside} not", case.name());
        }
    }
}

/// Bits without a pattern.
fn single_bits(seed: u64, rows: usize) -> Vec<Vec<u64>> {
    let bit =
        |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n << 7).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 63;
    (0..rows as u64).map(|r| (0..256).map(|k| bit(seed + 1 + r * 256 + k)).collect()).collect()
}

/// Each row as 32 bytes.
fn packed(rows: &[Vec<u64>]) -> Vec<Vec<f64>> {
    let byte = |bits: &[u64]| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | bit << i) as f64;
    rows.iter().map(|row| row.chunks(8).map(byte).collect()).collect()
}

#[test]
fn single_bits_are_anded_and_counted() {
    for n in integer_n() {
        for in_registers in [false, true] {
            let a = Some(k_major(128)).filter(|_| !in_registers);
            let types = ["s32", "b1", "b1"];
            let case = Case { n, k: 256, types, inner: "", a, b: k_major(64), scales: (n % 32 != 0, 1, 1) };
            if n <= 32 || n == 256 {
                assemble(&case.ptx());
            }
            let (left, right) = (single_bits(1, 64), single_bits(1 << 40, n));
            let c = matrix("s32", 5, 64, n);
            let code: Vec<Vec<u64>> =
                c.iter().map(|row| row.iter().map(|x| encode("s32", *x)).collect()).collect();
            let image = case.a.map_or(vec![0; 48 << 10], |layout| layout.image("u8", &packed(&left)));
            let shared = [image, case.b.image("u8", &packed(&right))].concat();
            let d = case.run(settings(MODES[0]), &left, &shared, &code).expect("a result");
            for (i, row) in left.iter().enumerate() {
                for (j, column) in right.iter().enumerate() {
                    let count: u64 = row.iter().zip(column).map(|(a, b)| a & b).sum();
                    let addend = if case.scales.0 { code[i][j] } else { 0 };
                    let want = u64::from((addend + count) as u32);
                    assert_eq!(d[i][j], want, "{} registers {in_registers} row {i} column {j}", case.name());
                }
            }
        }
    }
}

/// The pattern of a swizzle begins where the matrix does, on any line of 128 bytes: the descriptor's base offset says on which.
#[test]
fn a_base_offset_moves_the_pattern_of_the_swizzle() {
    for width in [128, 64, 32] {
        for (line_a, line_b) in [(0, 1), (1, 0), (3, 6), (7, 5)] {
            let moved = |line: usize, layout: Layout, rows: &[Vec<f64>]| {
                let mut image = vec![0xEE; 128 * line];
                image.extend(layout.image("f16", rows));
                image.truncate(48 << 10);
                image
            };
            let case = Case {
                n: 32,
                k: 16,
                types: ["f32", "f16", "f16"],
                inner: "",
                a: Some(k_major(width)),
                b: k_major(width),
                scales: (false, 1, 1),
            };
            let (a, b) = (matrix("f16", 1, 64, 16), matrix("f16", 2, 16, 32));
            let shared =
                [moved(line_a, k_major(width), &a), moved(line_b, k_major(width), &columns(&b))].concat();
            let at = |start: usize, line: usize| {
                (
                    k_major(width).descriptor(start),
                    k_major(width).descriptor(start + 128 * line) | (line as u64) << 49,
                )
            };
            let mut ptx = case.ptx();
            for (old, new) in [at(1024, line_a), at(1024 + (48 << 10), line_b)] {
                ptx = ptx.replace(&format!(", {old};"), &format!(", {new};"));
            }
            let d = case.run_text(settings(MODES[0]), &ptx, &[], &shared, &[]).expect("a result");
            let expected = product(&a, &b, &vec![vec![0.0; 32]; 64]);
            for (got, want) in d.iter().flatten().zip(expected.iter().flatten()) {
                assert_eq!(
                    f64::from(f32::from_bits(*got as u32)),
                    *want,
                    "width {width}, lines {line_a} and {line_b}"
                );
            }
        }
    }
}
