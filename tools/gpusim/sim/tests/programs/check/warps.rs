//! Warp intrinsics and atomics.

use super::compare::exact;
use crate::elem::F16;
use crate::launch::Outcome;
use crate::manifest::Case;

pub fn intrinsics(case: &Case, out: &Outcome) -> Result<(), String> {
    let names = case.names("rows");
    let v: Vec<u32> = (0..32).map(|i| out.before["x"].bits(i) as u32).collect();
    let ballot =
        |f: &dyn Fn(u32) -> bool| v.iter().enumerate().fold(0u32, |m, (l, v)| m | (f(*v) as u32) << l);
    exact("y", &out.after["y"], |i| {
        let l = i % 32;
        let sum = v.iter().fold(0u32, |a, b| a.wrapping_add(*b));
        let signed = || v.iter().map(|v| *v as i32);
        let value = match names[i / 32] {
            "idx_5" => v[5],
            "idx_7lane_w8" => v[l / 8 * 8 + l * 7 % 8],
            "up_3" => v[if l >= 3 { l - 3 } else { l }],
            "up_2_w16" => v[if l % 16 >= 2 { l - 2 } else { l }],
            "down_9" => v[if l + 9 < 32 { l + 9 } else { l }],
            "down_1_w4" => v[if l % 4 + 1 < 4 { l + 1 } else { l }],
            "xor_21" => v[l ^ 21],
            "xor_3_w8" => v[l ^ 3],
            "ballot_odd" => ballot(&|v| v & 1 == 1),
            "any_eq_x7" => 1,
            "all_odd" => v.iter().all(|v| v & 1 == 1) as u32,
            "match_any_and3" => ballot(&|other| other & 3 == v[l] & 3),
            "match_all" => {
                if v.iter().all(|other| other & 0x10000 == v[0] & 0x10000) {
                    u32::MAX
                } else {
                    0
                }
            }
            "match_all_flag" => v.iter().all(|other| other & 0x10000 == v[0] & 0x10000) as u32,
            "add" => sum,
            "umin" => *v.iter().min().unwrap(),
            "umax" => *v.iter().max().unwrap(),
            "smin" => signed().min().unwrap() as u32,
            "smax" => signed().max().unwrap() as u32,
            "and_ff" => v.iter().fold(u32::MAX, |a, b| a & (b | 0xFF)),
            "or_f0f0" => v.iter().fold(0, |a, b| a | (b & 0xF0F0)),
            "xor" => v.iter().fold(0, |a, b| a ^ b),
            "activemask_third" => {
                if l % 3 == 0 {
                    0x4924_9249
                } else {
                    0
                }
            }
            "add_halves" => {
                if l < 11 {
                    (0..11).sum()
                } else {
                    (11..32).map(|l| 2 * l).sum()
                }
            }
            "first_of_half" => v[if l < 11 { 0 } else { 11 }],
            "rank_bit1" => (0..l).filter(|&k| v[k] & 2 != 0).count() as u32,
            "f64_xor_1_high" => v[l ^ 1],
            // A half as a float as an integer.
            "half_down_4" => F16.decode(F16.encode(if l + 4 < 32 { l + 4 } else { l } as f64)) as u32,
            name => panic!("row {name}"),
        };
        value as u64
    })
}

pub fn atomics_integers(case: &Case, out: &Outcome) -> Result<(), String> {
    let n = case.args["n"] as u64;
    let all = || (0..n).map(|i| (i as u32).wrapping_mul(2_654_435_761));
    let wide = || all().map(|v| v as u64);
    let centred = || wide().map(|v| v as i64 - 0x8000_0000);
    let w: [u32; 16] = [
        all().fold(0, u32::wrapping_add),
        all().fold(0, u32::wrapping_sub),
        all().fold(0, u32::min),
        all().fold(0, u32::max),
        all().fold(0, |a, v| a.min(v as i32)) as u32,
        all().fold(0, |a, v| a.max(v as i32)) as u32,
        0,
        all().fold(0, |a, v| a | (v & 0x00FF_FF00)),
        all().fold(0, |a, v| a ^ v),
        (0..n).fold(0, |a, _| if a >= 999 { 0 } else { a + 1 }),
        (0..n).fold(0, |a, _| if a == 0 || a > 999 { 999 } else { a - 1 }),
        n as u32,
        2 * n as u32,
        n as u32,
        3 * n as u32,
        42,
    ];
    let l: [u64; 10] = [
        wide().fold(0, |a, v| a.wrapping_add(v << 20)),
        0,
        wide().fold(0, |a, v| a.max(v << 9)),
        centred().fold(0, i64::min) as u64,
        centred().fold(0, i64::max) as u64,
        0,
        (0..n).fold(0, |a, i| a | i << 29),
        wide().fold(0, |a, v| a ^ v.wrapping_mul(v)),
        5 * n,
        4242,
    ];
    exact("w", &out.after["w"], |i| w[i] as u64)?;
    exact("l", &out.after["l"], |i| l[i])?;
    exact("old", &out.after["old"], |_| 1)
}

pub fn atomics_shared(out: &Outcome) -> Result<(), String> {
    let x = &out.before["x"];
    let values = || (0..x.len()).map(|i| x.bits(i));
    exact("counts", &out.after["counts"], |bin| values().filter(|v| v % 64 == bin as u64).count() as u64)?;
    exact("big", &out.after["big"], |_| values().max().unwrap())?;
    exact("sum", &out.after["sum"], |_| (x.len() as f32).to_bits() as u64)
}
