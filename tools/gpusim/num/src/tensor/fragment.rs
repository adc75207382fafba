//! Fragments of `mma.sync` m16n8k16 and m16n8k8: which lane's register holds which element (PTX ISA, "Matrix fragments").
//!
//! With `g = lane / 4` and `t = lane % 4`, register 0 of A holds columns `2t`, `2t + 1` of row `g`; register 1 those of row `g + 8`;
//! registers 2 and 3 the same eight columns further on. Register 0 of B holds rows `2t`, `2t + 1` of column `g`. Registers 0 and 1
//! of C hold columns `2t`, `2t + 1` of row `g`, 2 and 3 those of row `g + 8`.

use super::fast::{A, B, C};
use crate::format::{bf16_to_f32, f16_to_f32};
use crate::lanes::{Lanes, vectorised};

#[inline(always)]
fn half<const BF16: bool>(h: u16) -> f32 {
    if BF16 { bf16_to_f32(h) } else { f16_to_f32(h) }
}

/// Lower and upper halves alternating.
#[inline(always)]
fn widen<const BF16: bool>(register: &Lanes) -> [f32; 64] {
    let mut halves = [0u16; 64];
    for (pair, word) in halves.chunks_exact_mut(2).zip(register) {
        pair[0] = *word as u16;
        pair[1] = (*word >> 16) as u16;
    }
    halves.map(half::<BF16>)
}

vectorised! {
    /// A of m16n8k16 from four registers of f16 or bf16 pairs.
    load_a16<const BF16>(registers: [&Lanes; 4], a: &mut A<16>) -> () {
        // Eight values of a row lie in four neighbouring lanes, so that a widened register is eight rows.
        for (r, register) in registers.into_iter().enumerate() {
            let values = widen::<BF16>(register);
            let (row, column) = (8 * (r & 1), 8 * (r >> 1));
            for g in 0..8 {
                a[row + g][column..column + 8].copy_from_slice(&values[8 * g..8 * g + 8]);
            }
        }
    }
}

vectorised! {
    /// A of m16n8k8 from two registers of f16 or bf16 pairs.
    load_a8<const BF16>(registers: [&Lanes; 2], a: &mut A<8>) -> () {
        for (r, register) in registers.into_iter().enumerate() {
            let values = widen::<BF16>(register);
            for g in 0..8 {
                a[8 * r + g].copy_from_slice(&values[8 * g..8 * g + 8]);
            }
        }
    }
}

#[inline(always)]
fn load_b<const BF16: bool>(register: &Lanes, rows: &mut [[f32; 8]]) {
    for (t, pair) in rows.chunks_exact_mut(2).enumerate() {
        // A pair of rows lies in every fourth lane.
        let words: [u32; 8] = std::array::from_fn(|g| register[4 * g + t]);
        pair[0] = words.map(|word| half::<BF16>(word as u16));
        pair[1] = words.map(|word| half::<BF16>((word >> 16) as u16));
    }
}

vectorised! {
    /// B of m16n8k16 from two registers of f16 or bf16 pairs.
    load_b16<const BF16>(registers: [&Lanes; 2], b: &mut B<16>) -> () {
        load_b::<BF16>(registers[0], &mut b[..8]);
        load_b::<BF16>(registers[1], &mut b[8..]);
    }
}

vectorised! {
    /// B of m16n8k8 from one register of f16 or bf16 pairs.
    load_b8<const BF16>(register: &Lanes, b: &mut B<8>) -> () {
        load_b::<BF16>(register, b);
    }
}

vectorised! {
    /// C from four registers of f32.
    load_c<>(registers: [&Lanes; 4], c: &mut C) -> () {
        // By rows, the two registers of a half alternate.
        for (half, out) in c.as_flattened_mut().chunks_exact_mut(64).enumerate() {
            for lane in 0..32 {
                out[2 * lane] = f32::from_bits(registers[2 * half][lane]);
                out[2 * lane + 1] = f32::from_bits(registers[2 * half + 1][lane]);
            }
        }
    }
}

vectorised! {
    /// D to four registers of f32.
    store_d<>(d: &C, registers: [&mut Lanes; 4]) -> () {
        let [r0, r1, r2, r3] = registers;
        for ((even, odd), values) in [(r0, r1), (r2, r3)].into_iter().zip(d.as_flattened().chunks_exact(64)) {
            for lane in 0..32 {
                even[lane] = values[2 * lane].to_bits();
                odd[lane] = values[2 * lane + 1].to_bits();
            }
        }
    }
}

/// `mma.sync.m16n8k16` with f16 or bf16 operands and f32 accumulators in the fast mode, from registers to registers.
pub fn mma_m16n8k16<const BF16: bool>(a: [&Lanes; 4], b: [&Lanes; 2], c: [&Lanes; 4], d: [&mut Lanes; 4]) {
    let (mut x, mut y, mut sum) = ([[0.0; 16]; 16], [[0.0; 8]; 16], [[0.0; 8]; 16]);
    load_a16::<BF16>(a, &mut x);
    load_b16::<BF16>(b, &mut y);
    load_c(c, &mut sum);
    super::fast::mma_m16n8k16(&x, &y, &mut sum);
    store_d(&sum, d);
}
