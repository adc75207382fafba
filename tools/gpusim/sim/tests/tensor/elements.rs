//! Encodings of matrix elements, and values that all of them hold exactly.

/// Bits of an element.
pub fn bits(kind: &str) -> usize {
    match kind {
        "f64" => 64,
        "f32" | "s32" | "tf32" => 32,
        "f16" | "bf16" => 16,
        "s8" | "u8" | "e4m3" | "e5m2" => 8,
        "s4" | "u4" => 4,
        "b1" => 1,
        _ => panic!("{kind}"),
    }
}

/// A value that the format holds exactly, from the definition of sign, exponent and fraction. Normal numbers and zero.
fn float(value: f64, exponent_bits: i32, fraction_bits: i32) -> u64 {
    let sign = u64::from(value.is_sign_negative()) << (exponent_bits + fraction_bits);
    if value == 0.0 {
        return sign;
    }
    let bias = (1 << (exponent_bits - 1)) - 1;
    let exponent = value.abs().log2().floor() as i32;
    let fraction = (value.abs() / 2f64.powi(exponent) - 1.0) * 2f64.powi(fraction_bits);
    assert!(
        fraction.fract() == 0.0 && (1..(1 << exponent_bits)).contains(&(exponent + bias)),
        "{value} is not exact"
    );
    sign | ((exponent + bias) as u64) << fraction_bits | fraction as u64
}

pub fn encode(kind: &str, value: f64) -> u64 {
    match kind {
        "f64" => value.to_bits(),
        "f32" | "tf32" => float(value, 8, 23),
        "f16" => float(value, 5, 10),
        "bf16" => float(value, 8, 7),
        "e4m3" => float(value, 4, 3),
        "e5m2" => float(value, 5, 2),
        "s32" => u64::from(value as i64 as u32),
        _ => value as i64 as u64 & ((1 << bits(kind)) - 1),
    }
}

/// A small value of the type for the element with number `n`.
pub fn value(kind: &str, n: usize) -> f64 {
    let n = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let pick = |values: &[f64]| values[n as usize % values.len()];
    match kind {
        "b1" => (n % 2) as f64,
        "u4" => (n % 16) as f64,
        "s4" => (n % 16) as f64 - 8.0,
        "u8" => (n % 256) as f64,
        "s8" => (n % 256) as f64 - 128.0,
        "s32" => (n % 2001) as f64 - 1000.0,
        "e5m2" => pick(&[0.0, 1.0, -1.0, 2.0, 3.0, -2.0, 0.5, -0.0]),
        _ => pick(&[0.0, 1.0, -1.0, 2.0, 3.0, -2.0, 0.5, -3.0, 1.5, -0.0]),
    }
}

/// Values of a matrix.
pub fn matrix(kind: &str, seed: usize, rows: usize, columns: usize) -> Vec<Vec<f64>> {
    (0..rows).map(|r| (0..columns).map(|c| value(kind, seed * 100_003 + r * 521 + c)).collect()).collect()
}

/// `C + A·B`.
pub fn product(a: &[Vec<f64>], b: &[Vec<f64>], c: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let dot = |i: usize, j: usize| c[i][j] + (0..b.len()).map(|k| a[i][k] * b[k][j]).sum::<f64>();
    (0..a.len()).map(|i| (0..b[0].len()).map(|j| dot(i, j)).collect()).collect()
}

/// Element bits into registers of 32 bits (64 for f64): `[register][lane]`.
pub fn pack(
    kind: &str,
    lanes: usize,
    per_lane: usize,
    element: impl Fn(usize, usize) -> u64,
) -> Vec<Vec<u64>> {
    let width = bits(kind);
    let per_register = (32 / width).max(1);
    let mut registers = vec![vec![0; lanes]; per_lane.div_ceil(per_register)];
    for lane in 0..lanes {
        for i in 0..per_lane {
            registers[i / per_register][lane] |= element(lane, i) << (i % per_register * width);
        }
    }
    registers
}

/// Element `i` of a lane.
pub fn unpack(kind: &str, registers: &[Vec<u64>], lane: usize, i: usize) -> u64 {
    let width = bits(kind);
    let per_register = (32 / width).max(1);
    let word = registers[i / per_register][lane] >> (i % per_register * width);
    if width == 64 { word } else { word & ((1 << width) - 1) }
}
