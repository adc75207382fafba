//! `setp` and `set` of floats, and `set` of integers into narrow types.

use gpusim_num::f32::flush;
use gpusim_num::format::{Format, bf16_to_f32, f16_to_f32};
use gpusim_ptx::ast::{self, Operand};

use super::compare::combination;
use super::lanewise::{lanewise, test_lanes};
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Run, Ty, operand, test2};
use crate::exec::Exec;

pub(super) const TABLE: &[Entry] = &[("setp", setp), ("set", set)];

/// A comparison. The unordered ones hold if an operand is NaN, the others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    Num,
    Nan,
}

impl Compare {
    fn parse(name: &str) -> Option<Compare> {
        Some(match name {
            "eq" => Compare::Eq,
            "ne" => Compare::Ne,
            "lt" | "lo" => Compare::Lt,
            "le" | "ls" => Compare::Le,
            "gt" | "hi" => Compare::Gt,
            "ge" | "hs" => Compare::Ge,
            "equ" => Compare::Equ,
            "neu" => Compare::Neu,
            "ltu" => Compare::Ltu,
            "leu" => Compare::Leu,
            "gtu" => Compare::Gtu,
            "geu" => Compare::Geu,
            "num" => Compare::Num,
            "nan" => Compare::Nan,
            _ => return None,
        })
    }

    // Each says what happens to unordered operands, which `!=` and `partial_cmp` would hide.
    #[allow(clippy::double_comparisons, clippy::neg_cmp_op_on_partial_ord)]
    #[inline(always)]
    fn holds<T: PartialOrd + Copy>(self, a: T, b: T) -> bool {
        match self {
            Compare::Eq => a == b,
            Compare::Ne => a < b || a > b,
            Compare::Lt => a < b,
            Compare::Le => a <= b,
            Compare::Gt => a > b,
            Compare::Ge => a >= b,
            Compare::Equ => !(a < b || a > b),
            Compare::Neu => a != b,
            Compare::Ltu => !(a >= b),
            Compare::Leu => !(a > b),
            Compare::Gtu => !(a <= b),
            Compare::Geu => !(a < b),
            Compare::Num => a <= b || a >= b,
            Compare::Nan => !(a <= b || a >= b),
        }
    }
}

/// A loop for each comparison of `$ty` operands, after `$f`.
macro_rules! loops {
    ($compare:expr, $ty:ty, $f:expr) => {
        match $compare {
            Compare::Eq => loops!(@Eq, $ty, $f),
            Compare::Ne => loops!(@Ne, $ty, $f),
            Compare::Lt => loops!(@Lt, $ty, $f),
            Compare::Le => loops!(@Le, $ty, $f),
            Compare::Gt => loops!(@Gt, $ty, $f),
            Compare::Ge => loops!(@Ge, $ty, $f),
            Compare::Equ => loops!(@Equ, $ty, $f),
            Compare::Neu => loops!(@Neu, $ty, $f),
            Compare::Ltu => loops!(@Ltu, $ty, $f),
            Compare::Leu => loops!(@Leu, $ty, $f),
            Compare::Gtu => loops!(@Gtu, $ty, $f),
            Compare::Geu => loops!(@Geu, $ty, $f),
            Compare::Num => loops!(@Num, $ty, $f),
            Compare::Nan => loops!(@Nan, $ty, $f),
        }
    };
    (@$compare:ident, $ty:ty, $f:expr) => {
        test2(|a: $ty, b: $ty| Compare::$compare.holds($f(a), $f(b)))
    };
}

/// A comparison's outcome with the predicate operand.
fn combine(how: u32, bit: bool, with: bool) -> bool {
    match how {
        0 => bit,
        1 => bit & with,
        2 => bit | with,
        _ => bit ^ with,
    }
}

fn setp(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let Some(ty) = m.rest().iter().find_map(|name| Ty::parse(name)).filter(|ty| ty.is_float()) else {
        return Err(LowerError::NotMine);
    };
    m.ty()?;
    let compare = m.find(Compare::parse).ok_or(LowerError::Unsupported)?;
    let aux = combination(&mut m);
    let ftz = matches!(ty, Ty::F32 | Ty::F16 | Ty::F16x2) && m.take("ftz");
    m.end()?;
    let (first, second) = match operand(i, 0)? {
        Operand::Pair(first, second) => (&**first, Some(&**second)),
        single => (single, None),
    };
    if second.is_some() && matches!(ty, Ty::F16 | Ty::Bf16) {
        return Err(LowerError::Invalid(format!("{} has one destination", super::name(i))));
    }
    let d = cx.dst_pred(first)?.as_reg();
    let e = match second {
        Some(second) => cx.dst_pred(second)?.as_reg(),
        None => Reg::NONE,
    };
    let c = if aux != 0 { cx.pred(operand(i, 3)?)?.as_reg() } else { Reg::NONE };
    let fast: Option<Run> = match (ty, ftz) {
        (Ty::F32, false) => Some(loops!(compare, f32, |v: f32| v)),
        (Ty::F32, true) => Some(loops!(compare, u32, |v: u32| f32::from_bits(flush(v)))),
        (Ty::F64, _) => Some(loops!(compare, f64, |v: f64| v)),
        (Ty::F16, false) => Some(loops!(compare, u16, f16_to_f32)),
        (Ty::Bf16, _) => Some(loops!(compare, u16, bf16_to_f32)),
        _ => None,
    };
    if let Some(run) = fast {
        let (a, b) = (cx.src(operand(i, 1)?, ty)?, cx.src(operand(i, 2)?, ty)?);
        return Ok(Inst { d, a, b, c, e, aux, ..Inst::new(run) });
    }
    let (a, b) = ((operand(i, 1)?, ty), (operand(i, 2)?, ty));
    if ty == Ty::F16 {
        let inst =
            test_lanes(cx, &[a, b], move |s| compare.holds(value(s[0], ty, ftz), value(s[1], ty, ftz)))?;
        return Ok(Inst { d, c, e, aux, ..inst });
    }
    // Pairs: the first predicate tells of the low halves, the second of the high ones.
    let (a, b) = (cx.src(a.0, ty)?, cx.src(b.0, ty)?);
    Ok(Inst { d, a, b, c, e, aux, ..Inst::new(setp_pair) }.with_data(Pair { compare, ty, ftz }))
}

struct Pair {
    compare: Compare,
    ty: Ty,
    ftz: bool,
}

fn setp_pair(x: &mut Exec, i: &Inst) -> Flow {
    let Pair { compare, ty, ftz } = *i.data::<Pair>();
    let (a, b) = (x.read::<u32>(i.a), x.read::<u32>(i.b));
    let half = if ty == Ty::F16x2 { Ty::F16 } else { Ty::Bf16 };
    let with = if i.aux != 0 { x.pred(i.c.as_pred()) } else { 0 };
    let (mut low, mut high) = (0, 0);
    for lane in 0..32 {
        let test = |shift: u32| {
            let of = |v: u32| value(u64::from(v >> shift & 0xffff), half, ftz);
            let bit = compare.holds(of(a[lane]), of(b[lane]));
            u32::from(combine(i.aux, bit, with >> lane & 1 != 0)) << lane
        };
        low |= test(0);
        high |= test(16);
    }
    x.write_pred(i.d.as_pred(), low);
    if i.e != Reg::NONE {
        x.write_pred(i.e.as_pred(), high);
    }
    Flow::Next
}

/// The value of a float's bits.
fn value(bits: u64, ty: Ty, ftz: bool) -> f64 {
    let format = match ty {
        Ty::F16 => &Format::F16,
        Ty::Bf16 => &Format::BF16,
        Ty::F32 => &Format::F32,
        _ => &Format::F64,
    };
    let field = bits & format.magnitude() & !((1 << format.man_bits) - 1);
    let subnormal = field == 0;
    format.decode(if ftz && subnormal { bits & !format.magnitude() } else { bits })
}

/// Whether the comparison holds for operands of type `ty`, which is not packed.
fn compare_bits(compare: Compare, a: u64, b: u64, ty: Ty, ftz: bool) -> bool {
    if ty.is_float() {
        return compare.holds(value(a, ty, ftz), value(b, ty, ftz));
    }
    let unused = 64 - ty.bits();
    if ty.is_signed() {
        compare.holds((a << unused) as i64 >> unused, (b << unused) as i64 >> unused)
    } else {
        compare.holds(a, b)
    }
}

/// What `set` writes for true: all ones in integers, one in floats.
fn truth(ty: Ty) -> Option<u64> {
    Some(match ty {
        Ty::U32 | Ty::S32 => 0xffff_ffff,
        Ty::U16 | Ty::S16 => 0xffff,
        Ty::F32 => 0x3f80_0000,
        Ty::F16 | Ty::F16x2 => 0x3c00,
        Ty::Bf16 | Ty::Bf16x2 => 0x3f80,
        _ => return None,
    })
}

fn is_pair(ty: Ty) -> bool {
    matches!(ty, Ty::F16x2 | Ty::Bf16x2)
}

fn set(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let compare = m.find(Compare::parse).ok_or(LowerError::Unsupported)?;
    let how = combination(&mut m);
    let ftz = m.take("ftz");
    let (to, from) = (m.ty()?, m.ty()?);
    m.end()?;
    let one = truth(to).ok_or(LowerError::Unsupported)?;
    let (pairs, to_pairs) = (is_pair(from), is_pair(to));
    if to_pairs && from != to || pairs && !to_pairs && to.bits() != 32 || pairs && to == Ty::F32 {
        return Err(LowerError::Unsupported);
    }
    if how != 0 {
        return set_combined(cx, i, (to, from), compare, how, ftz, one);
    }
    let sources = [(operand(i, 1)?, from), (operand(i, 2)?, from)];
    lanewise(cx, (operand(i, 0)?, to), &sources, move |s| {
        set_value(compare, s[0], s[1], from, ftz, one, |b| b)
    })
}

/// The result of `set`; `adjust` combines a comparison's outcome with the predicate operand.
fn set_value(
    compare: Compare,
    a: u64,
    b: u64,
    from: Ty,
    ftz: bool,
    one: u64,
    adjust: impl Fn(bool) -> bool,
) -> u64 {
    let half = match from {
        Ty::F16x2 => Ty::F16,
        Ty::Bf16x2 => Ty::Bf16,
        _ => return if adjust(compare_bits(compare, a, b, from, ftz)) { one } else { 0 },
    };
    let one = one & 0xffff;
    let each = |shift: u32| {
        let bit = adjust(compare_bits(compare, a >> shift & 0xffff, b >> shift & 0xffff, half, ftz));
        if bit { one << shift } else { 0 }
    };
    each(0) | each(16)
}

struct Combined {
    from: Ty,
    to: Ty,
    compare: Compare,
    ftz: bool,
    one: u64,
}

fn set_combined(
    cx: &mut Lower,
    i: &ast::Instruction,
    (to, from): (Ty, Ty),
    compare: Compare,
    how: u32,
    ftz: bool,
    one: u64,
) -> Result<Inst, LowerError> {
    let d = cx.dst(operand(i, 0)?, to)?;
    let (a, b) = (cx.src(operand(i, 1)?, from)?, cx.src(operand(i, 2)?, from)?);
    let c = cx.pred(operand(i, 3)?)?.as_reg();
    let data = Combined { from, to, compare, ftz, one };
    Ok(Inst { d, a, b, c, aux: how, ..Inst::new(run_combined) }.with_data(data))
}

fn run_combined(x: &mut Exec, i: &Inst) -> Flow {
    let data = i.data::<Combined>();
    let with = x.pred(i.c.as_pred());
    let read = |reg: Reg| -> [u64; 32] {
        if data.from.bits() > 32 {
            return x.read::<u64>(reg);
        }
        let keep = u32::MAX >> (32 - data.from.bits());
        x.read::<u32>(reg).map(|v| u64::from(v & keep))
    };
    let (a, b) = (read(i.a), read(i.b));
    let mut d = [0u32; 32];
    for lane in 0..32 {
        let adjust = |bit| combine(i.aux, bit, with >> lane & 1 != 0);
        d[lane] = set_value(data.compare, a[lane], b[lane], data.from, data.ftz, data.one, adjust) as u32;
    }
    debug_assert!(data.to.bits() <= 32);
    x.write(i.d, &d);
    Flow::Next
}
