//! Integer operations, bit for bit.

use super::compare::exact;
use crate::launch::Outcome;
use crate::manifest::Case;

pub fn integers_32(case: &Case, out: &Outcome) -> Result<(), String> {
    let (a, b, c, y) = (&out.before["a"], &out.before["b"], &out.before["c"], &out.after["y"]);
    let (names, n) = (case.names("rows"), y.shape[1]);
    for (row, name) in names.iter().enumerate() {
        for i in 0..n {
            let (p, q, r) = (a.bits(i) as u32, b.bits(i) as u32, c.bits(i) as u32);
            let (found, expected) = (y.bits(row * n + i) as u32, of_32(name, p, q, r));
            if found != expected {
                return Err(format!("{name}({p:#x}, {q:#x}, {r:#x}) is {found:#x}, expected {expected:#x}"));
            }
        }
    }
    Ok(())
}

/// Applies `f` to the four bytes (or two halves) of both.
fn lanes(bits: u32, p: u32, q: u32, f: impl Fn(i64, i64, i64, i64) -> i64) -> u32 {
    let mask = (1u64 << bits) as u32 - 1;
    (0..32 / bits).fold(0, |word, lane| {
        let (x, y) = (p >> (lane * bits) & mask, q >> (lane * bits) & mask);
        let signed = |x: u32| (x << (32 - bits)) as i32 as i64 >> (32 - bits);
        word | (f(x as i64, y as i64, signed(x), signed(y)) as u32 & mask) << (lane * bits)
    })
}

fn permute(p: u32, q: u32, selector: u32) -> u32 {
    let bytes = (q as u64) << 32 | p as u64;
    (0..4).fold(0, |word, k| {
        let pick = selector >> (4 * k);
        let byte = (bytes >> (8 * (pick & 7))) as u8;
        let byte = if pick & 8 != 0 { (byte as i8 >> 7) as u8 } else { byte };
        word | (byte as u32) << (8 * k)
    })
}

/// -2^31 / -1 overflows; what wraps is what the hardware's sequence gives.
fn of_32(name: &str, p: u32, q: u32, r: u32) -> u32 {
    let (s, t) = (p as i32, q as i32);
    let wide = (q as u64) << 32 | p as u64;
    let byte = |x: u32, k: u32| (x >> (8 * k)) as u8;
    match name {
        "add" => p.wrapping_add(q),
        "sub" => p.wrapping_sub(q),
        "mul" => p.wrapping_mul(q),
        "div_or1" => p / (q | 1),
        "rem_or1" => p % (q | 1),
        "sdiv_or1" => s.wrapping_div(t | 1) as u32,
        "srem_or1" => s.wrapping_rem(t | 1) as u32,
        "shl31" => p << (q & 31),
        "shr31" => p >> (q & 31),
        "sar31" => (s >> (q & 31)) as u32,
        "and" => p & q,
        "or" => p | q,
        "xor" => p ^ q,
        "not" => !p,
        "mux" => (p & q) | (!p & r),
        "xor3" => p ^ q ^ r,
        "popc" => p.count_ones(),
        "clz" => p.leading_zeros(),
        "ffs" => {
            if p == 0 {
                0
            } else {
                p.trailing_zeros() + 1
            }
        }
        "brev" => p.reverse_bits(),
        "prmt_0246" => permute(p, q, 0x0246),
        // __byte_perm takes three bits of each selector.
        "prmt_c" => permute(p, q, r & 0x7777),
        "fshl" => ((wide << (r & 31)) >> 32) as u32,
        "fshr" => (wide >> (r & 31)) as u32,
        "fshlc" => ((wide << r.min(32)) >> 32) as u32,
        "fshrc" => (wide >> r.min(32)) as u32,
        "umulhi" => ((p as u64 * q as u64) >> 32) as u32,
        "mulhi" => ((s as i64 * t as i64) >> 32) as u32,
        "umul24" => (p & 0xFF_FFFF).wrapping_mul(q & 0xFF_FFFF),
        "mul24" => ((s << 8 >> 8) as i64 * (t << 8 >> 8) as i64) as u32,
        "mad" => p.wrapping_mul(q).wrapping_add(r),
        "sad" => s.abs_diff(t).wrapping_add(r),
        "usad" => p.abs_diff(q).wrapping_add(r),
        "umin" => p.min(q),
        "umax" => p.max(q),
        "min" => s.min(t) as u32,
        "max" => s.max(t) as u32,
        "abs" => s.wrapping_abs() as u32,
        "uhadd" => ((p as u64 + q as u64) >> 1) as u32,
        "hadd" => ((s as i64 + t as i64) >> 1) as u32,
        "urhadd" => ((p as u64 + q as u64 + 1) >> 1) as u32,
        "dp4a_s" => (0..4)
            .fold(r, |sum, k| sum.wrapping_add((byte(p, k) as i8 as i32 * byte(q, k) as i8 as i32) as u32)),
        "dp4a_u" => (0..4).fold(r, |sum, k| sum.wrapping_add(byte(p, k) as u32 * byte(q, k) as u32)),
        "dp2a_lo_s" => {
            let term = |k: u32| (p >> (16 * k)) as i16 as i32 * byte(q, k) as i8 as i32;
            r.wrapping_add(term(0) as u32).wrapping_add(term(1) as u32)
        }
        "dp2a_hi_u" => {
            let term = |k: u32| (p >> (16 * k)) as u16 as u32 * byte(q, 2 + k) as u32;
            r.wrapping_add(term(0)).wrapping_add(term(1))
        }
        "vadd4" => lanes(8, p, q, |x, y, _, _| x + y),
        "vsub2" => lanes(16, p, q, |x, y, _, _| x - y),
        "vabsdiffu4" => lanes(8, p, q, |x, y, _, _| (x - y).abs()),
        "vmaxs4" => lanes(8, p, q, |_, _, x, y| x.max(y)),
        "vcmpgtu4" => lanes(8, p, q, |x, y, _, _| if x > y { 0xFF } else { 0 }),
        "vavgu4" => lanes(8, p, q, |x, y, _, _| (x + y + 1) >> 1),
        "lt" => (p < q) as u32,
        "slt" => (s < t) as u32,
        "eq" => (p == q) as u32,
        "select" => {
            if p > q {
                r
            } else {
                q
            }
        }
        "s16" => p as i16 as u32,
        "s8" => p as i8 as u32,
        "bfe_5_11" => p >> 5 & 0x7FF,
        "sar17_shl9" => (s << 9 >> 17) as u32,
        _ => panic!("operation {name}"),
    }
}

pub fn integers_64(case: &Case, out: &Outcome) -> Result<(), String> {
    let (a, b, y) = (&out.before["a"], &out.before["b"], &out.after["y"]);
    let (names, n) = (case.names("rows"), y.shape[1]);
    exact("y", y, |i| {
        let (p, q) = (a.bits(i % n), b.bits(i % n));
        let (s, t) = (p as i64, q as i64);
        let wide = (p as u128 * q as u128).wrapping_add(p as u128);
        match names[i / n] {
            "add" => p.wrapping_add(q),
            "sub" => p.wrapping_sub(q),
            "mul" => p.wrapping_mul(q),
            "div_or1" => p / (q | 1),
            "rem_or1" => p % (q | 1),
            "sdiv_or1" => s.wrapping_div(t | 1) as u64,
            "srem_or1" => s.wrapping_rem(t | 1) as u64,
            "shl63" => p << (q & 63),
            "shr63" => p >> (q & 63),
            "sar63" => (s >> (q & 63)) as u64,
            "umulhi" => ((p as u128 * q as u128) >> 64) as u64,
            "mulhi" => ((s as i128 * t as i128) >> 64) as u64,
            "popc" => p.count_ones() as u64,
            "clz" => p.leading_zeros() as u64,
            "ffs" => {
                if p == 0 {
                    0
                } else {
                    p.trailing_zeros() as u64 + 1
                }
            }
            "brev" => p.reverse_bits(),
            // CUDA's umin takes 32 bits.
            "umin" => (p as u32).min(q as u32) as u64,
            "max" => s.max(t) as u64,
            "abs" => s.wrapping_abs() as u64,
            "and" => p & q,
            "xor" => p ^ q,
            "widening_u" => p as u32 as u64 * q as u32 as u64,
            "widening_s" => (p as i32 as i64 * q as i32 as i64) as u64,
            "lt" => (p < q) as u64,
            "slt" => (s < t) as u64,
            "mad128_high" => (wide >> 64) as u64,
            "mad128_div_or1" => (wide / (q | 1) as u128) as u64,
            name => panic!("operation {name}"),
        }
    })
}

pub fn bytes_and_shorts(out: &Outcome) -> Result<(), String> {
    let (a, b, y) = (&out.before["a"], &out.before["b"], &out.after["y"]);
    let n = y.shape[1];
    exact("y", y, |index| {
        let i = index % n;
        let (p, q) = (a.bits(i) as i8 as i32, b.bits(i) as u16 as i32);
        let near = |k: usize| a.bits(i / 4 * 4 + k) as i8 as i32;
        let value = match index / n {
            0 => p * 3 + q,
            1 => p >> 2,
            2 => q >> 3,
            3 => q / (p | 1) as u16 as i32,
            4 => (q as i16).min(p as i16) as i32,
            5 => q.wrapping_mul(q),
            _ => near(0) + near(1) * near(2) - near(3),
        };
        value as u64
    })
}

/// Triton's integers: quotients truncate, as in C.
pub fn triton(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, z, y) = (&out.before["x"], &out.before["z"], &out.after["y"]);
    let (names, n) = (case.names("rows"), y.shape[1]);
    exact("y", y, |index| {
        let i = index % n;
        let (a, b) = (x.bits(i) as i32, z.bits(i) as i32);
        let (p, q) = (a as u32, b as u32);
        let value = match names[index / n] {
            "quotient" => a.wrapping_div(b) as u32,
            "remainder" => a.wrapping_rem(b) as u32,
            "umulhi" => ((p as u64 * q as u64) >> 32) as u32,
            "shl_31" => p << (q & 31),
            "sar_31" => (a >> (q & 31)) as u32,
            "popc" => p.count_ones(),
            "clz" => p.leading_zeros(),
            "brev" => p.reverse_bits(),
            "xor_or_and" => p ^ (q | (p & 255)),
            "min" => a.min(b) as u32,
            "product_sar_16" => ((a as i64 * b as i64) >> 16) as u32,
            "prmt_3175" => permute(p, q, 0x3175),
            name => panic!("operation {name}"),
        };
        value as u64
    })
}

pub fn philox(case: &Case, out: &Outcome) -> Result<(), String> {
    let y = &out.after["y"];
    let n = y.shape[1];
    let seed = case.args["seed"] as u64;
    exact("y", y, |index| {
        let mut counter = [(index % n) as u32, 0, 0, 0];
        let mut key = [seed as u32, (seed >> 32) as u32];
        for _ in 0..10 {
            let high = 0xCD9E_8D57u64 * counter[2] as u64;
            let low = 0xD251_1F53u64 * counter[0] as u64;
            counter = [
                (high >> 32) as u32 ^ counter[1] ^ key[0],
                high as u32,
                (low >> 32) as u32 ^ counter[3] ^ key[1],
                low as u32,
            ];
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        counter[index / n] as u64
    })
}
