//! Logic, shifts, bit fields, bytes, dot products of bytes.

use gpusim_ptx::ast::{self, Operand};

use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Pred, Run, Ty, map1, map2, map3, map4, operand};
use crate::exec::Exec;

pub(super) const TABLE: &[Entry] = &[
    ("and", logic),
    ("or", logic),
    ("xor", logic),
    ("not", not),
    ("cnot", not),
    ("shl", shift),
    ("shr", shift),
    ("shf", shf),
    ("lop3", lop3),
    ("popc", count),
    ("clz", count),
    ("brev", count),
    ("bfind", bfind),
    ("fns", fns),
    ("bfe", bfe),
    ("bfi", bfi),
    ("szext", szext),
    ("bmsk", bmsk),
    ("prmt", prmt),
    ("dp4a", dot),
    ("dp2a", dot),
    ("vabsdiff2", differences),
    ("vabsdiff4", differences),
];

/// Destination of type `to`, two sources of types `a` and `b`.
fn binary(cx: &mut Lower, i: &ast::Instruction, to: Ty, a: Ty, b: Ty, run: Run) -> Result<Inst, LowerError> {
    let d = cx.dst(operand(i, 0)?, to)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, a)?, b: cx.src(operand(i, 2)?, b)?, ..Inst::new(run) })
}

fn logic(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    if ty == Ty::Pred {
        let d = cx.dst_pred(operand(i, 0)?)?.as_reg();
        let (a, b) = (cx.pred(operand(i, 1)?)?.as_reg(), cx.pred(operand(i, 2)?)?.as_reg());
        let run: Run = match &*i.opcode {
            "and" => |x, i| preds(x, i, |a, b| a & b),
            "or" => |x, i| preds(x, i, |a, b| a | b),
            _ => |x, i| preds(x, i, |a, b| a ^ b),
        };
        return Ok(Inst { d, a, b, ..Inst::new(run) });
    }
    let run = match (&*i.opcode, ty) {
        ("and", Ty::B16 | Ty::B32) => map2(|a: u32, b: u32| a & b),
        ("or", Ty::B16 | Ty::B32) => map2(|a: u32, b: u32| a | b),
        ("xor", Ty::B16 | Ty::B32) => map2(|a: u32, b: u32| a ^ b),
        ("and", Ty::B64) => map2(|a: u64, b: u64| a & b),
        ("or", Ty::B64) => map2(|a: u64, b: u64| a | b),
        ("xor", Ty::B64) => map2(|a: u64, b: u64| a ^ b),
        _ => return Err(LowerError::Unsupported),
    };
    binary(cx, i, ty, ty, ty, run)
}

fn preds(x: &mut Exec, i: &Inst, f: impl Fn(u32, u32) -> u32) -> Flow {
    let bits = f(x.pred(i.a.as_pred()), x.pred(i.b.as_pred()));
    x.write_pred(i.d.as_pred(), bits);
    Flow::Next
}

fn not(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let plain = &*i.opcode == "not";
    if ty == Ty::Pred && plain {
        let d = cx.dst_pred(operand(i, 0)?)?.as_reg();
        let a = cx.pred(operand(i, 1)?)?.as_reg();
        let b = Pred::TRUE.as_reg();
        return Ok(Inst { d, a, b, ..Inst::new(|x, i| preds(x, i, |a, _| !a)) });
    }
    let run = match (plain, ty) {
        (true, Ty::B16) => map1(|a: u16| !a),
        (true, Ty::B32) => map1(|a: u32| !a),
        (true, Ty::B64) => map1(|a: u64| !a),
        (false, Ty::B16) => map1(|a: u16| u16::from(a == 0)),
        (false, Ty::B32) => map1(|a: u32| u32::from(a == 0)),
        (false, Ty::B64) => map1(|a: u64| u64::from(a == 0)),
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst(operand(i, 0)?, ty)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, ..Inst::new(run) })
}

/// Amounts beyond the width are clamped to it: zeros, or the sign.
fn shift(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let run = match (&*i.opcode, ty) {
        ("shl", Ty::B16 | Ty::U16 | Ty::S16) => map2(|a: u16, b: u32| if b > 15 { 0 } else { a << b }),
        ("shl", Ty::B32 | Ty::U32 | Ty::S32) => map2(|a: u32, b: u32| if b > 31 { 0 } else { a << b }),
        ("shl", Ty::B64 | Ty::U64 | Ty::S64) => map2(|a: u64, b: u32| if b > 63 { 0 } else { a << b }),
        ("shr", Ty::B16 | Ty::U16) => map2(|a: u16, b: u32| if b > 15 { 0 } else { a >> b }),
        ("shr", Ty::B32 | Ty::U32) => map2(|a: u32, b: u32| if b > 31 { 0 } else { a >> b }),
        ("shr", Ty::B64 | Ty::U64) => map2(|a: u64, b: u32| if b > 63 { 0 } else { a >> b }),
        ("shr", Ty::S16) => map2(|a: i16, b: u32| a >> b.min(15)),
        ("shr", Ty::S32) => map2(|a: i32, b: u32| a >> b.min(31)),
        ("shr", Ty::S64) => map2(|a: i64, b: u32| a >> b.min(63)),
        _ => return Err(LowerError::Unsupported),
    };
    binary(cx, i, ty, ty, Ty::U32, run)
}

/// Funnel shifts of `b:a`.
fn shf(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (left, right) = (m.take("l"), m.take("r"));
    let (clamp, wrap) = (m.take("clamp"), m.take("wrap"));
    let ty = m.ty()?;
    m.end()?;
    if ty != Ty::B32 || left == right || clamp == wrap {
        return Err(LowerError::Unsupported);
    }
    let run = match (left, clamp) {
        (true, true) => map3(|a: u32, b: u32, c: u32| (join(a, b) << c.min(32) >> 32) as u32),
        (true, false) => map3(|a: u32, b: u32, c: u32| (join(a, b) << (c & 31) >> 32) as u32),
        (false, true) => map3(|a: u32, b: u32, c: u32| (join(a, b) >> c.min(32)) as u32),
        (false, false) => map3(|a: u32, b: u32, c: u32| (join(a, b) >> (c & 31)) as u32),
    };
    let mut inst = binary(cx, i, ty, ty, ty, run)?;
    inst.c = cx.src(operand(i, 3)?, Ty::U32)?;
    Ok(inst)
}

#[inline(always)]
fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Any function of three bits, by its table; `.or` and `.and` combine whether the result has bits with a predicate.
fn lop3(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (or, and) = (m.take("or"), m.take("and"));
    if m.ty()? != Ty::B32 {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    let table = cx.literal(operand(i, 4)?).ok_or(LowerError::Unsupported)?;
    let run = match table as u8 {
        0x96 => map3(|a: u32, b: u32, c: u32| a ^ b ^ c),
        0xEA => map3(|a: u32, b: u32, c: u32| a & b | c),
        0x80 => map3(|a: u32, b: u32, c: u32| a & b & c),
        0xFE => map3(|a: u32, b: u32, c: u32| a | b | c),
        0xCA => map3(|a: u32, b: u32, c: u32| a & b | !a & c),
        _ => map4(|a: u32, b: u32, c: u32, table: u32| {
            let mut d = 0u32;
            for n in 0..8 {
                let term = (if n & 4 != 0 { a } else { !a })
                    & (if n & 2 != 0 { b } else { !b })
                    & (if n & 1 != 0 { c } else { !c });
                d |= term & 0u32.wrapping_sub(table >> n & 1);
            }
            d
        }),
    };
    let (to, p) = match operand(i, 0)? {
        Operand::Pair(d, p) => (&**d, Some(&**p)),
        d => (d, None),
    };
    let (a, b) = (cx.src(operand(i, 1)?, Ty::B32)?, cx.src(operand(i, 2)?, Ty::B32)?);
    let c = cx.src(operand(i, 3)?, Ty::B32)?;
    let e = cx.constant(table as u64 & 0xFF, Ty::B32);
    let bits = Inst { d: cx.dst(to, Ty::B32)?, a, b, c, e, ..Inst::new(run) };
    match p {
        None if !or && !and => Ok(bits),
        Some(p) if or != and => {
            let d = cx.dst_pred(p)?.as_reg();
            let c = cx.pred(operand(i, 5)?)?.as_reg();
            let aux = if and { 1 } else { 2 };
            Ok(Inst { d, c, aux, ..Inst::new(run_lop3_test).with_data(bits) })
        }
        _ => Err(LowerError::Invalid("a predicate and .or or .and belong together".to_owned())),
    }
}

fn run_lop3_test(x: &mut Exec, i: &Inst) -> Flow {
    let bits = i.data::<Inst>();
    // The destination may be discarded, into a register that holds what was discarded there last.
    // SAFETY: lowering made the instruction for this CPU.
    let flow = unsafe { (bits.run)(x, bits) };
    let d = x.read::<u32>(bits.d);
    x.write_test(i, (0..32).fold(0, |bits, lane| bits | u32::from(d[lane] != 0) << lane));
    flow
}

/// `vabsdiff2`, `vabsdiff4`: magnitudes of differences of half-words or bytes; `.add` sums them up.
fn differences(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (d, a, b) = (m.ty()?, m.ty()?, m.ty()?);
    let sums = m.take("add");
    m.end()?;
    if a != b || ![d, a].iter().all(|ty| matches!(ty, Ty::U32 | Ty::S32)) {
        return Err(LowerError::Unsupported);
    }
    let run = match (&*i.opcode, a, sums) {
        ("vabsdiff4", Ty::U32, false) => map3(|a: u32, b: u32, _: u32| apart::<8>(a, b, false).0),
        ("vabsdiff4", Ty::U32, true) => {
            map3(|a: u32, b: u32, c: u32| c.wrapping_add(apart::<8>(a, b, false).1))
        }
        ("vabsdiff4", _, false) => map3(|a: u32, b: u32, _: u32| apart::<8>(a, b, true).0),
        ("vabsdiff4", _, true) => map3(|a: u32, b: u32, c: u32| c.wrapping_add(apart::<8>(a, b, true).1)),
        (_, Ty::U32, false) => map3(|a: u32, b: u32, _: u32| apart::<16>(a, b, false).0),
        (_, Ty::U32, true) => map3(|a: u32, b: u32, c: u32| c.wrapping_add(apart::<16>(a, b, false).1)),
        (_, _, false) => map3(|a: u32, b: u32, _: u32| apart::<16>(a, b, true).0),
        (_, _, true) => map3(|a: u32, b: u32, c: u32| c.wrapping_add(apart::<16>(a, b, true).1)),
    };
    let mut inst = binary(cx, i, Ty::B32, Ty::B32, Ty::B32, run)?;
    inst.c = cx.src(operand(i, 3)?, Ty::B32)?;
    Ok(inst)
}

/// Magnitudes of the differences of the parts of `BITS` bits: packed, and their sum.
#[inline(always)]
fn apart<const BITS: u32>(a: u32, b: u32, signed: bool) -> (u32, u32) {
    let (mut packed, mut sum) = (0, 0);
    for at in (0..32).step_by(BITS as usize) {
        let part = |v: u32| {
            let top = v << (32 - BITS - at);
            if signed { top as i32 >> (32 - BITS) } else { (top >> (32 - BITS)) as i32 }
        };
        let difference = part(a).abs_diff(part(b));
        packed |= difference << at;
        sum += difference;
    }
    (packed, sum)
}

fn count(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let (run, to) = match (&*i.opcode, ty) {
        ("popc", Ty::B32) => (map1(|a: u32| a.count_ones()), Ty::U32),
        ("popc", Ty::B64) => (map1(|a: u64| a.count_ones()), Ty::U32),
        ("clz", Ty::B32) => (map1(|a: u32| a.leading_zeros()), Ty::U32),
        ("clz", Ty::B64) => (map1(|a: u64| a.leading_zeros()), Ty::U32),
        ("brev", Ty::B32) => (map1(|a: u32| a.reverse_bits()), ty),
        ("brev", Ty::B64) => (map1(|a: u64| a.reverse_bits()), ty),
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst(operand(i, 0)?, to)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, ..Inst::new(run) })
}

/// Position of the highest bit that is not the sign; all ones if there is none.
fn bfind(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let amount = m.take("shiftamt");
    let ty = m.ty()?;
    m.end()?;
    let run = match (ty, amount) {
        (Ty::U32, false) => map1(|a: u32| 31u32.wrapping_sub(a.leading_zeros())),
        (Ty::S32, false) => map1(|a: i32| 31u32.wrapping_sub((a ^ a >> 31).leading_zeros())),
        (Ty::U64, false) => map1(|a: u64| 63u32.wrapping_sub(a.leading_zeros())),
        (Ty::S64, false) => map1(|a: i64| 63u32.wrapping_sub((a ^ a >> 63).leading_zeros())),
        (Ty::U32, true) => map1(|a: u32| if a == 0 { u32::MAX } else { a.leading_zeros() }),
        (Ty::S32, true) => map1(|a: i32| match a ^ a >> 31 {
            0 => u32::MAX,
            a => a.leading_zeros(),
        }),
        (Ty::U64, true) => map1(|a: u64| if a == 0 { u32::MAX } else { a.leading_zeros() }),
        (Ty::S64, true) => map1(|a: i64| match a ^ a >> 63 {
            0 => u32::MAX,
            a => a.leading_zeros(),
        }),
        _ => return Err(LowerError::Unsupported),
    };
    let d = cx.dst(operand(i, 0)?, Ty::U32)?;
    Ok(Inst { d, a: cx.src(operand(i, 1)?, ty)?, ..Inst::new(run) })
}

/// Find the n-th set bit from a base.
fn fns(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let run = map3(|mask: u32, base: u32, offset: i32| {
        let mut left = offset.unsigned_abs().max(1);
        let mut at = base as i64;
        while (0..32).contains(&at) {
            let counts = mask >> at & 1 != 0;
            if counts {
                left -= 1;
            }
            if left == 0 || (offset == 0) {
                return if counts { at as u32 } else { u32::MAX };
            }
            at += if offset < 0 { -1 } else { 1 };
        }
        u32::MAX
    });
    let mut inst = binary(cx, i, ty, Ty::B32, Ty::B32, run)?;
    inst.c = cx.src(operand(i, 3)?, Ty::S32)?;
    Ok(inst)
}

/// Extract a field of `c & 255` bits from position `b & 255`.
fn bfe(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let run = match ty {
        Ty::U32 => map3(|a: u32, b: u32, c: u32| field(a.into(), b, c, 32, false) as u32),
        Ty::S32 => map3(|a: i32, b: u32, c: u32| field(i64::from(a) as u64, b, c, 32, true) as u32),
        Ty::U64 => map3(|a: u64, b: u32, c: u32| field(a, b, c, 64, false)),
        Ty::S64 => map3(|a: u64, b: u32, c: u32| field(a, b, c, 64, true)),
        _ => return Err(LowerError::Unsupported),
    };
    let mut inst = binary(cx, i, ty, ty, Ty::U32, run)?;
    inst.c = cx.src(operand(i, 3)?, Ty::U32)?;
    Ok(inst)
}

/// `a` is sign-extended where `signed`. What lies beyond the width is the sign, or zero.
#[inline(always)]
fn field(a: u64, position: u32, length: u32, width: u32, signed: bool) -> u64 {
    let (position, length) = (position & 255, length & 255);
    if length == 0 {
        return 0;
    }
    let shifted = if signed {
        (a as i64 >> position.min(63)) as u64
    } else if position > 63 {
        0
    } else {
        a >> position
    };
    if length >= 64 {
        return shifted;
    }
    // The sign is the field's highest bit, or the highest bit there is.
    let top = (position + length - 1).min(width - 1);
    let sign = signed && a >> top & 1 != 0;
    let kept = shifted & ((1 << length) - 1);
    if sign { kept | u64::MAX << length } else { kept }
}

/// Insert the low `d & 255` bits of `a` into `b` at `c & 255`.
fn bfi(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let ty = m.ty()?;
    m.end()?;
    let run = match ty {
        Ty::B32 => map4(|a: u32, b: u32, c: u32, d: u32| insert(a.into(), b.into(), c, d) as u32),
        Ty::B64 => map4(|a: u64, b: u64, c: u32, d: u32| insert(a, b, c, d)),
        _ => return Err(LowerError::Unsupported),
    };
    let mut inst = binary(cx, i, ty, ty, ty, run)?;
    inst.c = cx.src(operand(i, 3)?, Ty::U32)?;
    inst.e = cx.src(operand(i, 4)?, Ty::U32)?;
    Ok(inst)
}

#[inline(always)]
fn insert(a: u64, b: u64, position: u32, length: u32) -> u64 {
    let (position, length) = (position & 255, length & 255);
    if position > 63 {
        return b;
    }
    let ones = if length > 63 { u64::MAX } else { (1 << length) - 1 };
    b & !(ones << position) | (a & ones) << position
}

/// Sign- or zero-extend from `b` bits.
fn szext(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let wrap = m.take("wrap");
    if wrap == m.take("clamp") {
        return Err(LowerError::Unsupported);
    }
    let ty = m.ty()?;
    m.end()?;
    let run = match (ty, wrap) {
        (Ty::U32, true) => map2(|a: u32, b: u32| extend(a, b & 31, false)),
        (Ty::U32, false) => map2(|a: u32, b: u32| extend(a, b.min(32), false)),
        (Ty::S32, true) => map2(|a: u32, b: u32| extend(a, b & 31, true)),
        (Ty::S32, false) => map2(|a: u32, b: u32| extend(a, b.min(32), true)),
        _ => return Err(LowerError::Unsupported),
    };
    binary(cx, i, ty, ty, Ty::U32, run)
}

#[inline(always)]
fn extend(a: u32, bits: u32, signed: bool) -> u32 {
    if bits == 0 {
        return 0;
    }
    let unused = 32 - bits;
    if signed { ((a << unused) as i32 >> unused) as u32 } else { a << unused >> unused }
}

/// `b` ones from position `a`.
fn bmsk(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let wrap = m.take("wrap");
    if wrap == m.take("clamp") || m.ty()? != Ty::B32 {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    let run = if wrap {
        map2(|a: u32, b: u32| ((1u32 << (b & 31)) - 1) << (a & 31))
    } else {
        map2(|a: u32, b: u32| (((1u64 << b.min(32)) - 1) << a.min(32)) as u32)
    };
    binary(cx, i, Ty::B32, Ty::U32, Ty::U32, run)
}

/// Bytes of `b:a` chosen by `c`.
fn prmt(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.ty()? != Ty::B32 {
        return Err(LowerError::Unsupported);
    }
    let mode = m
        .find(|name| matches!(name, "f4e" | "b4e" | "rc8" | "ecl" | "ecr" | "rc16").then(|| name.to_owned()));
    m.end()?;
    let run = match mode.as_deref() {
        None => map3(|a: u32, b: u32, c: u32| {
            let mut d = 0;
            for n in 0..4 {
                let selector = c >> (4 * n);
                let byte = (join(a, b) >> (8 * (selector & 7))) as u8;
                let byte = if selector & 8 != 0 { (byte as i8 >> 7) as u8 } else { byte };
                d |= u32::from(byte) << (8 * n);
            }
            d
        }),
        Some("f4e") => map3(|a: u32, b: u32, c: u32| choose(a, b, |n| (c & 3) + n)),
        Some("b4e") => map3(|a: u32, b: u32, c: u32| choose(a, b, |n| (c & 3).wrapping_sub(n) & 7)),
        Some("rc8") => map3(|a: u32, b: u32, c: u32| choose(a, b, |_| c & 3)),
        Some("ecl") => map3(|a: u32, b: u32, c: u32| choose(a, b, |n| n.max(c & 3))),
        Some("ecr") => map3(|a: u32, b: u32, c: u32| choose(a, b, |n| n.min(c & 3))),
        _ => map3(|a: u32, b: u32, c: u32| choose(a, b, |n| (c & 1) * 2 + (n & 1))),
    };
    let mut inst = binary(cx, i, Ty::B32, Ty::B32, Ty::B32, run)?;
    inst.c = cx.src(operand(i, 3)?, Ty::B32)?;
    Ok(inst)
}

#[inline(always)]
fn choose(a: u32, b: u32, from: impl Fn(u32) -> u32) -> u32 {
    let byte = |n| ((join(a, b) >> (8 * from(n))) as u32 & 0xFF) << (8 * n);
    byte(0) | byte(1) | byte(2) | byte(3)
}

/// `dp4a`: four bytes by four bytes; `dp2a`: two half-words by the low or high two bytes.
fn dot(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let four = &*i.opcode == "dp4a";
    let high = !four && m.take("hi");
    if !four && !high && !m.take("lo") {
        return Err(LowerError::Unsupported);
    }
    let (at, bt) = (m.ty()?, m.ty()?);
    m.end()?;
    let run = match (four, at, bt) {
        (true, Ty::U32, Ty::U32) => map3(|a: u32, b: u32, c: u32| dot4(a, b, c, false, false)),
        (true, Ty::U32, Ty::S32) => map3(|a: u32, b: u32, c: u32| dot4(a, b, c, false, true)),
        (true, Ty::S32, Ty::U32) => map3(|a: u32, b: u32, c: u32| dot4(a, b, c, true, false)),
        (true, Ty::S32, Ty::S32) => map3(|a: u32, b: u32, c: u32| dot4(a, b, c, true, true)),
        (false, Ty::U32, Ty::U32) => map4(|a: u32, b: u32, c: u32, e: u32| dot2(a, b >> e, c, false, false)),
        (false, Ty::U32, Ty::S32) => map4(|a: u32, b: u32, c: u32, e: u32| dot2(a, b >> e, c, false, true)),
        (false, Ty::S32, Ty::U32) => map4(|a: u32, b: u32, c: u32, e: u32| dot2(a, b >> e, c, true, false)),
        (false, Ty::S32, Ty::S32) => map4(|a: u32, b: u32, c: u32, e: u32| dot2(a, b >> e, c, true, true)),
        _ => return Err(LowerError::Unsupported),
    };
    let mut inst = binary(cx, i, Ty::B32, Ty::B32, Ty::B32, run)?;
    inst.c = cx.src(operand(i, 3)?, Ty::B32)?;
    inst.e = cx.constant(if high { 16 } else { 0 }, Ty::B32);
    Ok(inst)
}

#[inline(always)]
fn byte(a: u32, n: u32, signed: bool) -> u32 {
    let byte = (a >> (8 * n)) as u8;
    if signed { byte as i8 as u32 } else { byte.into() }
}

#[inline(always)]
fn dot4(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
    (0..4).fold(c, |sum, n| sum.wrapping_add(byte(a, n, a_signed).wrapping_mul(byte(b, n, b_signed))))
}

#[inline(always)]
fn dot2(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
    let half = |n: u32| {
        let half = (a >> (16 * n)) as u16;
        if a_signed { half as i16 as u32 } else { half.into() }
    };
    (0..2).fold(c, |sum, n| sum.wrapping_add(half(n).wrapping_mul(byte(b, n, b_signed))))
}
