//! Tensor-core products in f32: k in order, one fused multiply-add each. Not what any hardware does bit for bit, but as accurate.

use crate::f32::canonical;
use crate::lanes::vectorised;

/// A: 16 rows of K.
pub type A<const K: usize> = [[f32; K]; 16];
/// B: K rows of 8.
pub type B<const K: usize> = [[f32; 8]; K];
/// C and D: 16 rows of 8.
pub type C = [[f32; 8]; 16];

#[inline(always)]
fn mma<const K: usize>(a: &A<K>, b: &B<K>, c: &mut C) {
    // Four rows at a time: that many independent sums hide the latency of the additions, and fit the registers.
    for (rows, sums) in a.chunks_exact(4).zip(c.chunks_exact_mut(4)) {
        let mut sum: [[f32; 8]; 4] = std::array::from_fn(|r| sums[r]);
        for k in 0..K {
            for r in 0..4 {
                for j in 0..8 {
                    sum[r][j] = rows[r][k].mul_add(b[k][j], sum[r][j]);
                }
            }
        }
        for r in 0..4 {
            sums[r] = sum[r].map(|x| f32::from_bits(canonical(x.to_bits())));
        }
    }
}

vectorised! {
    /// `C += A·B`, m16n8k16.
    mma_m16n8k16<>(a: &A<16>, b: &B<16>, c: &mut C) -> () { mma(a, b, c) }
}

vectorised! {
    /// `C += A·B`, m16n8k8.
    mma_m16n8k8<>(a: &A<8>, b: &B<8>, c: &mut C) -> () { mma(a, b, c) }
}

vectorised! {
    /// `C += A·B`, m16n8k4.
    mma_m16n8k4<>(a: &A<4>, b: &B<4>, c: &mut C) -> () { mma(a, b, c) }
}

vectorised! {
    /// `C += A·B`, m16n8k32.
    mma_m16n8k32<>(a: &A<32>, b: &B<32>, c: &mut C) -> () { mma(a, b, c) }
}

vectorised! {
    /// `C += A·B` for any shape: A is m×k by rows, B k×n by rows, C m×n by rows. For `wgmma`, n in steps of 8.
    gemm<>(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], c: &mut [f32]) -> () {
        assert!(n > 0 && k > 0 && a.len() >= m * k && b.len() >= k * n && c.len() >= m * n, "the tile is {m}x{n}x{k}");
        for (row, sums) in a.chunks_exact(k).zip(c.chunks_exact_mut(n)).take(m) {
            for (x, b) in row.iter().zip(b.chunks_exact(n)) {
                for (sum, y) in sums.iter_mut().zip(b) {
                    *sum = x.mul_add(*y, *sum);
                }
            }
            for sum in sums {
                *sum = f32::from_bits(canonical(sum.to_bits()));
            }
        }
    }
}
