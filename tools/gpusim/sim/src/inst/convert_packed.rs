//! `cvt` into and out of packed formats, and `cvt.pack`.

use gpusim_num::Rounding;
use gpusim_num::convert::{self as num, Int, Modifiers};
use gpusim_num::format::{Format, f32_to_bf16, f32_to_f16, f32_to_ue8m0, ue8m0_to_f64};
use gpusim_ptx::ast::{self, Operand};

use super::convert::{Flags, Round};
use super::lanewise::lanewise;
use super::{Inst, Lower, LowerError, Mods, Ty, map2, operand};

/// What an element of a packed type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Float(&'static Format),
    /// ue8m0, a power of two.
    Scale,
}

/// A packed type: what its elements are, in how many bits each lies, and how many there are.
#[derive(Clone, Copy, Debug)]
struct Packed {
    element: Element,
    bits: u32,
    count: u32,
}

impl Packed {
    fn parse(name: &str) -> Option<Packed> {
        let of = |format, bits, count| Some(Packed { element: Element::Float(format), bits, count });
        match name {
            "f16x2" => of(&Format::F16, 16, 2),
            "bf16x2" => of(&Format::BF16, 16, 2),
            "e4m3x2" => of(&Format::E4M3, 8, 2),
            "e5m2x2" => of(&Format::E5M2, 8, 2),
            // Six bits in a byte, the upper two zero.
            "e2m3x2" => of(&Format::E2M3, 8, 2),
            "e3m2x2" => of(&Format::E3M2, 8, 2),
            "e2m1x2" => of(&Format::E2M1, 4, 2),
            "e4m3x4" => of(&Format::E4M3, 8, 4),
            "e5m2x4" => of(&Format::E5M2, 8, 4),
            "e2m3x4" => of(&Format::E2M3, 8, 4),
            "e3m2x4" => of(&Format::E3M2, 8, 4),
            "e2m1x4" => of(&Format::E2M1, 4, 4),
            "ue8m0x2" => Some(Packed { element: Element::Scale, bits: 8, count: 2 }),
            _ => None,
        }
    }

    /// The register that holds it.
    fn ty(self) -> Ty {
        match self.bits * self.count {
            8 => Ty::B8,
            16 => Ty::B16,
            _ => Ty::B32,
        }
    }

    fn is_wide_float(self) -> bool {
        self.bits == 16
    }
}

pub(super) fn is_packed(name: &str) -> bool {
    Packed::parse(name).is_some()
}

/// One value of format `from` into an element of `to`.
fn element(bits: u64, from: Element, to: Element, how: Modifiers) -> u64 {
    match (from, to) {
        (Element::Float(from), Element::Float(to)) => num::float_to_float(bits, from, to, how),
        (Element::Float(from), Element::Scale) => {
            f32_to_ue8m0(from.decode(bits) as f32, how.mode, how.satfinite).into()
        }
        (Element::Scale, Element::Float(to)) => to.encode(ue8m0_to_f64(bits as u8), how.mode, false),
        (Element::Scale, Element::Scale) => bits,
    }
}

pub(super) fn cvt(
    cx: &mut Lower,
    i: &ast::Instruction,
    flags: Flags,
    to: &str,
    from: &str,
) -> Result<Inst, LowerError> {
    let Some(to) = Packed::parse(to) else { return Err(LowerError::Unsupported) };
    if flags.ftz || flags.sat {
        return Err(LowerError::Unsupported);
    }
    let scale = to.element == Element::Scale;
    match (flags.round, from) {
        (Some(Round::Stochastic), "f32") => stochastic(cx, i, flags, to),
        (Some(Round::Float(mode)), "f32") if to.count == 2 => {
            let directed = matches!(mode, Rounding::Rz) || scale && mode == Rounding::Rp;
            let allowed =
                if scale { directed } else { mode == Rounding::Rn || to.is_wide_float() && directed };
            // The formats without infinity come with `.satfinite` only.
            if !allowed || !(flags.satfinite || to.is_wide_float() || scale) || scale && flags.relu {
                return Err(LowerError::Unsupported);
            }
            from_two(cx, i, flags, mode, to)
        }
        (Some(Round::Float(mode)), _) if to.count == 2 => {
            let Some(from) = Packed::parse(from) else { return Err(LowerError::Unsupported) };
            let narrows = from.is_wide_float() && !to.is_wide_float() && (flags.satfinite || scale);
            let widens = to.is_wide_float() && !from.is_wide_float() && !flags.satfinite;
            let allowed =
                if scale { matches!(mode, Rounding::Rz | Rounding::Rp) } else { mode == Rounding::Rn };
            if !(narrows || widens) || !allowed || from.count != 2 {
                return Err(LowerError::Unsupported);
            }
            let how = flags.with(mode);
            lanewise(cx, (operand(i, 0)?, to.ty()), &[(operand(i, 1)?, from.ty())], move |s| {
                let part = |n: u32| {
                    let bits = s[0] >> (n * from.bits) & ((1 << from.bits) - 1);
                    element(bits, from.element, to.element, how) << (n * to.bits)
                };
                part(0) | part(1)
            })
        }
        _ => Err(LowerError::Unsupported),
    }
}

/// `cvt.….x2.f32 d, a, b`: `a` becomes the upper element.
fn from_two(
    cx: &mut Lower,
    i: &ast::Instruction,
    flags: Flags,
    mode: Rounding,
    to: Packed,
) -> Result<Inst, LowerError> {
    let plain = mode == Rounding::Rn && !flags.relu && !flags.satfinite;
    if let (true, Element::Float(format), true) = (plain, to.element, to.is_wide_float()) {
        #[inline(always)]
        fn join(high: u16, low: u16) -> u32 {
            u32::from(high) << 16 | u32::from(low)
        }
        let run = if *format == Format::F16 {
            map2(|a: f32, b: f32| join(f32_to_f16(a), f32_to_f16(b)))
        } else {
            map2(|a: f32, b: f32| join(f32_to_bf16(a), f32_to_bf16(b)))
        };
        let d = cx.dst(operand(i, 0)?, Ty::B32)?;
        let (a, b) = (cx.src(operand(i, 1)?, Ty::F32)?, cx.src(operand(i, 2)?, Ty::F32)?);
        return Ok(Inst { d, a, b, ..Inst::new(run) });
    }
    let how = flags.with(mode);
    let sources = [(operand(i, 1)?, Ty::F32), (operand(i, 2)?, Ty::F32)];
    lanewise(cx, (operand(i, 0)?, to.ty()), &sources, move |s| {
        let part = |bits| element(bits, Element::Float(&Format::F32), to.element, how);
        part(s[0]) << to.bits | part(s[1])
    })
}

/// The random bits of the element of source `n` (0 is the first one written, the highest of the result), the highest
/// weight first: two elements have a half of the operand each, f16 13 bits of it; of four, neighbours share 16 bits,
/// the first of them in reversed order. PTX leaves the sharing open; this is what sm_100a has been measured to do.
fn random(rbits: u32, to: Packed, n: usize) -> Rounding {
    if to.count == 2 {
        let half = if n == 0 { rbits >> 16 } else { rbits & 0xffff };
        return match to.element {
            Element::Float(format) if *format == Format::F16 => {
                Rounding::Rs { bits: half & 0x1fff, count: 13 }
            }
            _ => Rounding::Rs { bits: half, count: 16 },
        };
    }
    let shared = if to.bits == 4 {
        // Every other byte.
        let bytes = if n < 2 { rbits >> 8 } else { rbits };
        bytes & 0xff | bytes >> 8 & 0xff00
    } else if n < 2 {
        rbits >> 16
    } else {
        rbits & 0xffff
    };
    let bits = if n & 1 == 0 { u32::from((shared as u16).reverse_bits()) } else { shared };
    Rounding::Rs { bits, count: 16 }
}

fn stochastic(cx: &mut Lower, i: &ast::Instruction, flags: Flags, to: Packed) -> Result<Inst, LowerError> {
    // Pairs are of f16 and bf16, fours of the narrower formats, with `.satfinite` always.
    if to.is_wide_float() != (to.count == 2) || !(flags.satfinite || to.is_wide_float()) {
        return Err(LowerError::Unsupported);
    }
    let list: Vec<&Operand> = if to.count == 2 {
        vec![operand(i, 1)?, operand(i, 2)?]
    } else {
        cx.elements(operand(i, 1)?).iter().collect()
    };
    if list.len() != to.count as usize {
        return Err(LowerError::Invalid(format!("{} sources for {}", list.len(), super::name(i))));
    }
    let last = if to.count == 2 { 3 } else { 2 };
    let mut sources: Vec<(&Operand, Ty)> = list.into_iter().map(|operand| (operand, Ty::F32)).collect();
    sources.push((operand(i, last)?, Ty::B32));
    let count = to.count as usize;
    lanewise(cx, (operand(i, 0)?, to.ty()), &sources, move |s| {
        (0..count).fold(0, |packed, n| {
            let how = flags.with(random(s[count] as u32, to, n));
            packed << to.bits | element(s[n], Element::Float(&Format::F32), to.element, how)
        })
    })
}

/// `cvt.pack.sat`: two saturated integers, and what was packed before above them.
pub(super) fn pack(cx: &mut Lower, i: &ast::Instruction, mut m: Mods) -> Result<Inst, LowerError> {
    if !m.take("sat") {
        return Err(LowerError::Invalid("cvt.pack needs .sat".to_owned()));
    }
    let to = m.find(|name| {
        let signed = name.starts_with('s');
        let bits = name.strip_prefix(['s', 'u'])?.parse().ok()?;
        matches!(bits, 2 | 4 | 8 | 16).then_some(Int { bits, signed })
    });
    let to = to.ok_or(LowerError::Unsupported)?;
    if !m.take("s32") {
        return Err(LowerError::Unsupported);
    }
    let three = m.take("b32");
    m.end()?;
    if three != (to.bits < 16) {
        return Err(LowerError::Invalid("cvt.pack takes .b32 below 16 bits".to_owned()));
    }
    let mut sources = vec![(operand(i, 1)?, Ty::S32), (operand(i, 2)?, Ty::S32)];
    if three {
        sources.push((operand(i, 3)?, Ty::B32));
    }
    lanewise(cx, (operand(i, 0)?, Ty::B32), &sources, move |s| {
        let each =
            |bits| num::int_to_int(bits, Int { bits: 32, signed: true }, to, true) & ((1 << to.bits) - 1);
        s[2] << (2 * to.bits) | each(s[0]) << to.bits | each(s[1])
    })
}
