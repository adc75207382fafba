//! Integer tensor-core products: exact, then wrapped or clamped to 32 bits.

use crate::lanes::vectorised;

/// One element of D: the exact sum of products and accumulator, wrapped to 32 bits, or clamped with `.satfinite`.
pub fn dot(a: &[i32], b: &[i32], c: i32, satfinite: bool) -> i32 {
    let sum: i64 = a.iter().zip(b).map(|(&x, &y)| i64::from(x) * i64::from(y)).sum::<i64>() + i64::from(c);
    if satfinite { sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32 } else { sum as i32 }
}

/// `mma` on single bits, packed in words: the population count of `a xor b` or, with `and`, of `a and b`, plus `c`.
pub fn dot_bits(a: &[u32], b: &[u32], c: i32, and: bool) -> i32 {
    let count: u32 = a.iter().zip(b).map(|(&x, &y)| if and { x & y } else { x ^ y }.count_ones()).sum();
    c.wrapping_add(count as i32)
}

/// The four s8 or u8 elements of a register, lowest byte first.
#[inline(always)]
pub fn bytes(register: u32, signed: bool) -> [i32; 4] {
    register.to_le_bytes().map(|x| if signed { i32::from(x as i8) } else { i32::from(x) })
}

/// The eight s4 or u4 elements of a register, lowest nibble first.
#[inline(always)]
pub fn nibbles(register: u32, signed: bool) -> [i32; 8] {
    std::array::from_fn(|i| {
        let up = register << (28 - 4 * i);
        if signed { up as i32 >> 28 } else { (up >> 28) as i32 }
    })
}

vectorised! {
    /// A 16×8 tile of k products: A by rows, B by rows of k, the sum wrapped to 32 bits. For `.satfinite` use [`dot`].
    tile_m16n8<>(k: usize, a: &[[i32; 64]; 16], b: &[[i32; 8]; 64], c: &[[i32; 8]; 16], d: &mut [[i32; 8]; 16]) -> () {
        for (i, row) in a.iter().enumerate() {
            let mut sum = c[i];
            for (x, b) in row.iter().zip(b).take(k) {
                for j in 0..8 {
                    sum[j] = sum[j].wrapping_add(x.wrapping_mul(b[j]));
                }
            }
            d[i] = sum;
        }
    }
}
