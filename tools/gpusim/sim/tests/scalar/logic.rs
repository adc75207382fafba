//! Bitwise logic and shifts.

use gpusim::Launch;

use super::common::{HEAD, device, kernel, params, upload, words};
use super::table::{check, noise, s16, s32, s64};

#[test]
fn logic_of_every_width() {
    check(&[
        ("and.b16 %d, %a, %b;", "b16 b16 b16", |a, b, _| a & b),
        ("and.b32 %d, %a, %b;", "b32 b32 b32", |a, b, _| a & b),
        ("and.b64 %d, %a, %b;", "b64 b64 b64", |a, b, _| a & b),
        ("and.pred %d, %a, %b;", "pred pred pred", |a, b, _| a & b),
        ("and.pred %d, !%a, %b;", "pred pred pred", |a, b, _| (1 - a) & b),
        ("or.b16 %d, %a, %b;", "b16 b16 b16", |a, b, _| a | b),
        ("or.b32 %d, %a, %b;", "b32 b32 b32", |a, b, _| a | b),
        ("or.b64 %d, %a, %b;", "b64 b64 b64", |a, b, _| a | b),
        ("or.pred %d, %a, !%b;", "pred pred pred", |a, b, _| a | (1 - b)),
        ("xor.b16 %d, %a, %b;", "b16 b16 b16", |a, b, _| (a | b) - (a & b)),
        ("xor.b32 %d, %a, %b;", "b32 b32 b32", |a, b, _| (a | b) - (a & b)),
        ("xor.b64 %d, %a, %b;", "b64 b64 b64", |a, b, _| (a | b) - (a & b)),
        ("xor.pred %d, %a, %b;", "pred pred pred", |a, b, _| u64::from(a != b)),
        ("not.b16 %d, %a;", "b16 b16", |a, _, _| 0xFFFF - a),
        ("not.b32 %d, %a;", "b32 b32", |a, _, _| 0xFFFF_FFFF - a),
        ("not.b64 %d, %a;", "b64 b64", |a, _, _| u64::MAX - a),
        ("not.pred %d, %a;", "pred pred", |a, _, _| 1 - a),
        ("cnot.b16 %d, %a;", "b16 b16", |a, _, _| u64::from(a == 0)),
        ("cnot.b32 %d, %a;", "b32 b32", |a, _, _| u64::from(a == 0)),
        ("cnot.b64 %d, %a;", "b64 b64", |a, _, _| u64::from(a == 0)),
        ("and.b32 %d, %a, -16;", "b32 b32", |a, _, _| a & 0xFFFF_FFF0),
        ("and.b64 %d, %a, -16;", "b64 b64", |a, _, _| a & 0xFFFF_FFFF_FFFF_FFF0),
    ]);
}

/// Amounts are whole 32-bit numbers; from the width on nothing is left but zeros, or the sign.
#[test]
fn shifts_clamp_their_amounts() {
    check(&[
        ("shl.b16 %d, %a, %b;", "b16 b16 u32", |a, b, _| if b < 16 { a << b } else { 0 }),
        ("shl.b32 %d, %a, %b;", "b32 b32 u32", |a, b, _| if b < 32 { a << b } else { 0 }),
        ("shl.b64 %d, %a, %b;", "b64 b64 u32", |a, b, _| if b < 64 { a << b } else { 0 }),
        ("shr.b16 %d, %a, %b;", "b16 b16 u32", |a, b, _| if b < 16 { a >> b } else { 0 }),
        ("shr.b32 %d, %a, %b;", "b32 b32 u32", |a, b, _| if b < 32 { a >> b } else { 0 }),
        ("shr.b64 %d, %a, %b;", "b64 b64 u32", |a, b, _| if b < 64 { a >> b } else { 0 }),
        ("shr.u16 %d, %a, %b;", "u16 u16 u32", |a, b, _| if b < 16 { a >> b } else { 0 }),
        ("shr.u32 %d, %a, %b;", "u32 u32 u32", |a, b, _| if b < 32 { a >> b } else { 0 }),
        ("shr.u64 %d, %a, %b;", "u64 u64 u32", |a, b, _| if b < 64 { a >> b } else { 0 }),
        ("shr.s16 %d, %a, %b;", "s16 s16 u32", |a, b, _| {
            i128::from(s16(a)).div_euclid(1 << b.min(100)) as u64
        }),
        ("shr.s32 %d, %a, %b;", "s32 s32 u32", |a, b, _| {
            i128::from(s32(a)).div_euclid(1 << b.min(100)) as u64
        }),
        ("shr.s64 %d, %a, %b;", "s64 s64 u32", |a, b, _| s64(a).div_euclid(1 << b.min(100)) as u64),
        ("shr.s32 %d, %a, 40;", "s32 s32", |a, _, _| if s32(a) < 0 { u64::MAX } else { 0 }),
    ]);
}

#[test]
fn funnel_shifts_clamp_or_wrap() {
    check(&[
        ("shf.l.clamp.b32 %d, %a, %b, %c;", "b32 b32 b32 u32", |a, b, c| {
            ((u128::from(b << 32 | a) << c.min(32)) >> 32) as u64
        }),
        ("shf.l.wrap.b32 %d, %a, %b, %c;", "b32 b32 b32 u32", |a, b, c| {
            ((u128::from(b << 32 | a) << (c % 32)) >> 32) as u64
        }),
        ("shf.r.clamp.b32 %d, %a, %b, %c;", "b32 b32 b32 u32", |a, b, c| (b << 32 | a) >> c.min(32)),
        ("shf.r.wrap.b32 %d, %a, %b, %c;", "b32 b32 b32 u32", |a, b, c| (b << 32 | a) >> (c % 32)),
    ]);
}

/// Bit `n` of the table's row `a << 2 | b << 1 | c`.
fn table_of(table: u32, [a, b, c]: [u32; 3]) -> u32 {
    (0..32).map(|n| (table >> ((a >> n & 1) * 4 + (b >> n & 1) * 2 + (c >> n & 1)) & 1) << n).sum()
}

fn words_of_noise(seed: u64, count: usize) -> Vec<u32> {
    noise(seed).take(count).map(|v| (v >> 16) as u32).collect()
}

#[test]
fn lop3_follows_each_of_its_256_tables() {
    let body: String = (0..256)
        .map(|t| format!("lop3.b32 %r4, %r1, %r2, %r3, {t}; st.global.u32 [%d3+{}], %r4;\n", 4 * t))
        .collect();
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 p_out, .param .u64 p_in) {{ .reg .b32 %r<9>; .reg .b64 %d<9>;
        ld.param.u64 %d1, [p_out]; ld.param.u64 %d2, [p_in]; mov.u32 %r1, %tid.x;
        mad.wide.u32 %d3, %r1, 1024, %d1; mad.wide.u32 %d4, %r1, 12, %d2;
        ld.global.u32 %r1, [%d4]; ld.global.u32 %r2, [%d4+4]; ld.global.u32 %r3, [%d4+8];
        {body} ret; }}"
    );
    let device = device();
    let function = kernel(&device, &ptx);
    let mut input = words_of_noise(11, 96);
    // The first lane has every combination of bits.
    input[..3].copy_from_slice(&[0xF0F0_F0F0, 0xCCCC_CCCC, 0xAAAA_AAAA]);
    let (out, at) = (upload(&device, &[0; 32 * 256]), upload(&device, &input));
    device
        .launch(&Launch { block: [32, 1, 1], params: params(&[out, at]), ..Launch::new(function) })
        .unwrap();
    let got = words(&device, out, 32 * 256);
    for (thread, operands) in input.chunks_exact(3).enumerate() {
        for table in 0..256 {
            let want = table_of(table, [operands[0], operands[1], operands[2]]);
            assert_eq!(got[thread * 256 + table as usize], want, "table {table:#x} of {operands:x?}");
        }
    }
}

#[test]
fn lop3_combines_whether_bits_are_left_with_a_predicate() {
    check(&[
        (
            "setp.gt.u32 %p1, %b, 31; lop3.or.b32 %x1|%d, %a, %b, %c, 0x80, %p1;",
            "pred u32 u32 u32",
            |a, b, c| u64::from(a & b & c != 0 || b > 31),
        ),
        (
            "setp.gt.u32 %p1, %b, 31; lop3.and.b32 %x1|%d, %a, %b, %c, 0x96, %p1;",
            "pred u32 u32 u32",
            |a, b, c| u64::from(a ^ b ^ c != 0 && b > 31),
        ),
        (
            "setp.gt.u32 %p1, %b, 31; lop3.or.b32 %d|%p2, %a, %b, %c, 0xC0, %p1;",
            "u32 u32 u32 u32",
            |a, b, _| a & b,
        ),
        (
            "setp.gt.u32 %p1, %b, 31; lop3.or.b32 _|%d, %a, %b, %c, 0x08, !%p1;",
            "pred u32 u32 u32",
            |a, b, c| u64::from(!a & b & c != 0 || b <= 31),
        ),
    ]);
}
