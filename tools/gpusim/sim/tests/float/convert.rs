//! cvt between single values: floats, integers, tf32.

use crate::harness::{Form, R, assemble, check};
use crate::oracle::{self, BF16, F16, F32, F64, Fmt, Mode, Num, TF32, Val, round, saturate, to_integer};
use crate::values::{Random, singles};

const FLOATS: [(&str, Fmt, R); 4] =
    [("f16", F16, R::B16), ("bf16", BF16, R::B16), ("f32", F32, R::B32), ("f64", F64, R::B64)];
const INTEGERS: [(&str, u32, bool); 8] = [
    ("u8", 8, false),
    ("s8", 8, true),
    ("u16", 16, false),
    ("s16", 16, true),
    ("u32", 32, false),
    ("s32", 32, true),
    ("u64", 64, false),
    ("s64", 64, true),
];

/// The narrowest register that an integer type is kept in here; a byte lies in 16 bits.
fn register(bits: u32) -> R {
    match bits {
        8 | 16 => R::B16,
        32 => R::B32,
        _ => R::B64,
    }
}

fn keep(r: R) -> u64 {
    match r {
        R::B16 => 0xffff,
        R::B32 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

fn value(bits: u64, width: u32, signed: bool) -> i128 {
    let low = i128::from(bits) & ((1 << width) - 1);
    if signed && low >> (width - 1) != 0 { low - (1 << width) } else { low }
}

fn range(width: u32, signed: bool) -> (i128, i128) {
    if signed { (-(1 << (width - 1)), (1 << (width - 1)) - 1) } else { (0, (1 << width) - 1) }
}

fn integers() -> Vec<Vec<u64>> {
    let mut random = Random(11);
    let mut list = vec![0, 1, u64::MAX];
    for bit in [7, 8, 10, 11, 15, 16, 24, 25, 31, 32, 53, 54, 63] {
        let power = 1u64 << bit;
        list.extend([
            power,
            power - 1,
            power + 1,
            !power,
            power.wrapping_neg(),
            power | power >> 11,
            power | power >> 24,
        ]);
    }
    list.extend((0..300).map(|n| random.next() >> (n % 64)));
    list.into_iter().map(|x| vec![x]).collect()
}

/// Values around the edges of the integer types, halves, and all specials.
fn edges(f: Fmt) -> Vec<Vec<u64>> {
    let mut list = singles(f);
    for bit in [0, 1, 3, 7, 8, 15, 16, 31, 32, 63, 64] {
        for eighths in [-8, -4, -1, 0, 1, 4, 8, 12] {
            for neg in [false, true] {
                let sig = (1i128 << (bit + 3)) + eighths;
                let num = Num { neg, sig: (sig.unsigned_abs()).into(), exp: -3 };
                list.push(vec![round(&num, f, Mode::Rn, false)]);
            }
        }
    }
    for halves in -9i128..10 {
        let num = Num { exp: -1, ..Num::int(halves) };
        list.push(vec![round(&num, f, Mode::Rn, false)]);
    }
    list
}

fn float_to_integer() -> Vec<Form> {
    let mut forms = Vec::new();
    for (from, f, r) in FLOATS {
        for (to, width, signed) in INTEGERS {
            if f == BF16 && width == 8 {
                continue;
            }
            for (mode, name) in Mode::ALL {
                for ftz in [false, true] {
                    if ftz && f != F32 {
                        continue;
                    }
                    let d = register(width);
                    let text = format!("cvt.{name}i{}.{to}.{from}", if ftz { ".ftz" } else { "" });
                    forms.push(Form::exact(text, d, &[r], edges(f), move |s| {
                        let (low, high) = range(width, signed);
                        let result = match f.decode(if ftz { f.flush(s[0]) } else { s[0] }) {
                            Val::Nan if f == F64 || width == 64 => 1 << (width - 1),
                            Val::Nan => 0,
                            Val::Inf(neg) => {
                                if neg {
                                    low
                                } else {
                                    high
                                }
                            }
                            Val::Fin(num) => to_integer(&num, mode).clamp(low, high),
                        };
                        // Narrow results are extended to the register, the NaN's too.
                        let result = if width < 64 { value(result as u64, width, signed) } else { result };
                        result as u64 & keep(d)
                    }));
                }
            }
        }
    }
    forms
}

fn integer_to_float() -> Vec<Form> {
    let mut forms = Vec::new();
    for (to, f, d) in FLOATS {
        for (from, width, signed) in INTEGERS {
            // bf16 is not made of bytes.
            if f == BF16 && width == 8 {
                continue;
            }
            for (mode, name) in Mode::ALL {
                for sat in [false, true] {
                    let text = format!("cvt.{name}{}.{to}.{from}", if sat { ".sat" } else { "" });
                    if sat && f == BF16 {
                        continue;
                    }
                    forms.push(Form::exact(text, d, &[register(width)], integers(), move |s| {
                        let bits = round(&Num::int(value(s[0], width, signed)), f, mode, false);
                        if sat { saturate(bits, f) } else { bits }
                    }));
                }
            }
        }
    }
    forms
}

fn integer_to_integer() -> Vec<Form> {
    let mut forms = Vec::new();
    for (to, width, signed) in INTEGERS {
        for (from, from_width, from_signed) in INTEGERS {
            for sat in [false, true] {
                // Nothing to clamp: an error.
                let (to_range, from_range) = (range(width, signed), range(from_width, from_signed));
                if sat && to_range.0 <= from_range.0 && to_range.1 >= from_range.1 {
                    continue;
                }
                // Registers as narrow as may be, and wider than the types.
                for (d, s) in [
                    (register(width), register(from_width)),
                    (R::B64, register(from_width)),
                    (register(width), R::B64),
                    (
                        if width <= 32 { R::B32 } else { R::B64 },
                        if from_width <= 32 { R::B32 } else { R::B64 },
                    ),
                ] {
                    let text = format!("cvt{}.{to}.{from}", if sat { ".sat" } else { "" });
                    forms.push(Form::exact(text, d, &[s], integers(), move |s| {
                        let x = value(s[0], from_width, from_signed);
                        let (low, high) = range(width, signed);
                        let x = if sat { x.clamp(low, high) } else { value(x as u64, width, signed) };
                        x as u64 & keep(d)
                    }));
                }
            }
        }
    }
    forms
}

fn float_to_float() -> Vec<Form> {
    let mut forms = Vec::new();
    for (to, t, d) in FLOATS {
        for (from, f, r) in FLOATS {
            let narrows = t.bits() < f.bits();
            let halves = t != f && t.bits() == f.bits();
            let modes: Vec<(Mode, &str)> = match (narrows || halves, t == f) {
                (true, _) => Mode::ALL.to_vec(),
                _ => vec![(Mode::Rn, "")],
            };
            for (mode, name) in modes {
                let dot = if name.is_empty() { String::new() } else { format!(".{name}") };
                for ftz in [false, true] {
                    for last in ["", ".sat", ".relu", ".satfinite", ".relu.satfinite"] {
                        let narrow32 = f == F32 && t.bits() == 16 && matches!(mode, Mode::Rn | Mode::Rz);
                        let plain = last.is_empty() || last == ".sat";
                        if !plain && (!narrow32 || ftz) || ftz && f != F32 && t != F32 {
                            continue;
                        }
                        // bf16 has neither .ftz nor .sat.
                        if (f == BF16 || t == BF16) && (ftz || last == ".sat") {
                            continue;
                        }
                        let text = format!("cvt{dot}{}{last}.{to}.{from}", if ftz { ".ftz" } else { "" });
                        forms.push(Form::exact(text, d, &[r], edges(f), move |s| {
                            let x = if ftz && f == F32 { f.flush(s[0]) } else { s[0] };
                            if t == f && last.is_empty() && !ftz && f != F32 && f != F64 && f.is_nan(x) {
                                return t.nan();
                            }
                            let satfinite = last.ends_with(".satfinite");
                            let bits = match f.decode(x) {
                                Val::Fin(num) => round(&num, t, mode, satfinite),
                                Val::Inf(neg) if satfinite => t.max() | if neg { t.sign_bit() } else { 0 },
                                other => oracle::finish(&other, t, mode),
                            };
                            let bits = if ftz && t == F32 { t.flush(bits) } else { bits };
                            match last {
                                ".sat" => saturate(bits, t),
                                _ if last.starts_with(".relu") && bits & t.sign_bit() != 0 => 0,
                                _ => bits,
                            }
                        }));
                    }
                }
            }
            if t == f {
                for (mode, name) in Mode::ALL {
                    for last in ["", ".sat", ".ftz", ".ftz.sat"] {
                        let ftz = last.starts_with(".ftz");
                        if ftz && f != F32 || f == BF16 && !last.is_empty() {
                            continue;
                        }
                        let text = format!("cvt.{name}i{last}.{to}.{from}");
                        forms.push(Form::exact(text, d, &[r], edges(f), move |s| {
                            let x = if ftz { f.flush(s[0]) } else { s[0] };
                            let bits = match f.decode(x) {
                                // Numbers without a fraction are themselves.
                                Val::Fin(num) if num.exp < 0 => {
                                    let whole = to_integer(&num, mode);
                                    let sign = x & f.sign_bit();
                                    round(&Num::int(whole), f, Mode::Rn, false) | sign
                                }
                                Val::Nan => f.nan(),
                                _ => x,
                            };
                            if last.ends_with(".sat") { saturate(bits, f) } else { bits }
                        }));
                    }
                }
            }
        }
    }
    for (mode, name) in [(Mode::Rn, "rn"), (Mode::Rz, "rz"), (Mode::Rna, "rna")] {
        for last in ["", ".relu", ".satfinite", ".satfinite.relu"] {
            let relu = last.ends_with(".relu");
            if mode == Mode::Rna && relu {
                continue;
            }
            let form =
                Form::exact(format!("cvt.{name}{last}.tf32.f32"), R::B32, &[R::B32], edges(F32), move |s| {
                    let satfinite = last.contains("satfinite");
                    let bits = match F32.decode(s[0]) {
                        Val::Nan => return 0x7fff_ffff,
                        Val::Inf(neg) if satfinite => TF32.max() | if neg { TF32.sign_bit() } else { 0 },
                        Val::Fin(num) => round(&num, TF32, mode, satfinite),
                        other => oracle::finish(&other, TF32, mode),
                    };
                    if relu && bits & TF32.sign_bit() != 0 { 0 } else { bits << 13 }
                });
            forms.push(if satfinite_needs_blackwell(mode, last) { form.blackwell() } else { form });
        }
    }
    forms
}

/// `.satfinite` of tf32 with `.rn` and `.rz` came with sm_100.
fn satfinite_needs_blackwell(mode: Mode, last: &str) -> bool {
    mode != Mode::Rna && last.contains("satfinite")
}

#[test]
fn floats_become_integers_in_every_mode() {
    check(float_to_integer());
}

#[test]
fn integers_become_floats_in_every_mode() {
    check(integer_to_float());
}

#[test]
fn integers_are_cut_extended_or_clamped_whatever_the_registers() {
    check(integer_to_integer());
}

#[test]
fn floats_become_other_floats_in_every_mode() {
    check(float_to_float());
}

#[test]
fn ptxas_accepts_these_forms() {
    let mut forms = float_to_integer();
    forms.extend(integer_to_float());
    forms.extend(integer_to_integer());
    forms.extend(float_to_float());
    assemble(&forms);
}
