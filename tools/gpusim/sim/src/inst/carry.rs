//! Extended-precision arithmetic: `add.cc`, `addc`, `sub.cc`, `subc`, `mad.cc`, `madc`. The carry flag is a predicate of
//! the frame.
//!
//! PTX's text lets subtractions exchange a borrow and additions a carry, and does not say what an `addc` finds after a
//! `sub.cc`. The flag is the adder's: a - b is a + !b + 1, so it is set where nothing was borrowed. ptxas folds constants so,
//! and nvcc's 128-bit division counts on it.

use gpusim_ptx::ast;

use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Run, Ty, operand};
use crate::exec::Exec;
use crate::module::CARRY;

pub(super) const TABLE: &[Entry] =
    &[("add", sum), ("sub", sum), ("addc", sum), ("subc", sum), ("mad", product), ("madc", product)];

/// Reads the carry.
const IN: u32 = 1;
/// Writes it.
const OUT: u32 = 2;
const SUBTRACT: u32 = 4;
const HIGH: u32 = 8;
const SIGNED: u32 = 16;
const WIDE: u32 = 32;
const PRODUCT: u32 = 64;

fn flags(i: &ast::Instruction, m: &mut Mods) -> Result<u32, LowerError> {
    let carry_in = if i.opcode.ends_with('c') { IN } else { 0 };
    let carry_out = if m.take("cc") { OUT } else { 0 };
    if carry_in | carry_out == 0 {
        return Err(LowerError::NotMine);
    }
    Ok(carry_in | carry_out)
}

fn sized(ty: Ty, aux: u32) -> Result<u32, LowerError> {
    match ty {
        Ty::U32 => Ok(aux),
        Ty::S32 => Ok(aux | SIGNED),
        Ty::U64 => Ok(aux | WIDE),
        Ty::S64 => Ok(aux | WIDE | SIGNED),
        _ => Err(LowerError::NotMine),
    }
}

fn run_of(aux: u32) -> Run {
    if aux & WIDE != 0 { run64 } else { run32 }
}

fn sum(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let mut aux = flags(i, &mut m)?;
    if i.opcode.starts_with("sub") {
        aux |= SUBTRACT;
    }
    let ty = m.ty()?;
    aux = sized(ty, aux)?;
    m.end()?;
    let d = cx.dst(operand(i, 0)?, ty)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    Ok(Inst { d, a, b, aux, ..Inst::new(run_of(aux)) })
}

fn product(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let mut aux = flags(i, &mut m)? | PRODUCT;
    if m.take("hi") {
        aux |= HIGH;
    } else if !m.take("lo") {
        return Err(LowerError::NotMine);
    }
    let ty = m.ty()?;
    aux = sized(ty, aux)?;
    m.end()?;
    let d = cx.dst(operand(i, 0)?, ty)?;
    let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
    Ok(Inst { d, a, b, c: cx.src(operand(i, 3)?, ty)?, aux, ..Inst::new(run_of(aux)) })
}

/// Result and carry out of the adder.
fn compute(aux: u32, bits: u32, a: i128, b: i128, c: i128, carry: bool) -> (u64, bool) {
    let ones = (1i128 << bits) - 1;
    let subtract = aux & SUBTRACT != 0;
    let (x, y) = if aux & PRODUCT != 0 {
        let product = a.wrapping_mul(b);
        (if aux & HIGH != 0 { product >> bits & ones } else { product & ones }, c & ones)
    } else {
        (a & ones, if subtract { !b & ones } else { b & ones })
    };
    let carry = if aux & IN != 0 { carry } else { subtract };
    let exact = x + y + i128::from(carry);
    ((exact & ones) as u64, exact > ones)
}

fn run32(x: &mut Exec, i: &Inst) -> Flow {
    let signed = i.aux & SIGNED != 0;
    let value = |v: u32| if signed { i128::from(v as i32) } else { i128::from(v) };
    let (a, b) = (x.read::<u32>(i.a), x.read::<u32>(i.b));
    let c = if i.c == Reg::NONE { [0; 32] } else { x.read::<u32>(i.c) };
    let (carry, mut out, mut d) = (x.pred(CARRY), 0, [0u32; 32]);
    for lane in 0..32 {
        let carry = carry >> lane & 1 != 0;
        let (sum, over) = compute(i.aux, 32, value(a[lane]), value(b[lane]), value(c[lane]), carry);
        d[lane] = sum as u32;
        out |= u32::from(over) << lane;
    }
    x.write(i.d, &d);
    if i.aux & OUT != 0 {
        x.write_pred(CARRY, out);
    }
    Flow::Next
}

fn run64(x: &mut Exec, i: &Inst) -> Flow {
    let signed = i.aux & SIGNED != 0;
    let value = |v: u64| if signed { i128::from(v as i64) } else { i128::from(v) };
    let (a, b) = (x.read::<u64>(i.a), x.read::<u64>(i.b));
    let c = if i.c == Reg::NONE { [0; 32] } else { x.read::<u64>(i.c) };
    let (carry, mut out, mut d) = (x.pred(CARRY), 0, [0u64; 32]);
    for lane in 0..32 {
        let carry = carry >> lane & 1 != 0;
        let (sum, over) = compute(i.aux, 64, value(a[lane]), value(b[lane]), value(c[lane]), carry);
        d[lane] = sum;
        out |= u32::from(over) << lane;
    }
    x.write(i.d, &d);
    if i.aux & OUT != 0 {
        x.write_pred(CARRY, out);
    }
    Flow::Next
}
