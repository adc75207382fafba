//! setp and set of floats, slct and selp.

use crate::harness::{Form, R, assemble, check};
use crate::oracle::{BF16, F16, F32, F64, Fmt};
use crate::values::{packed, pairs};

const COMPARISONS: [&str; 14] =
    ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"];

fn holds(compare: &str, f: Fmt, a: u64, b: u64, ftz: bool) -> bool {
    let flush = |x| if ftz { f.flush(x) } else { x };
    let (x, y) = (f.to_f64(flush(a)), f.to_f64(flush(b)));
    let unordered = x.is_nan() || y.is_nan();
    match compare {
        "num" => return !unordered,
        "nan" => return unordered,
        _ => {}
    }
    if unordered {
        return compare.ends_with('u');
    }
    match &compare[..2] {
        "eq" => x == y,
        "ne" => x != y,
        "lt" => x < y,
        "le" => x <= y,
        "gt" => x > y,
        _ => x >= y,
    }
}

fn combine(op: &str, bit: bool, with: bool) -> bool {
    match op {
        "" => bit,
        ".and" => bit && with,
        ".or" => bit || with,
        _ => bit != with,
    }
}

/// With a third operand, which every other tuple has set.
fn with_predicate(list: Vec<Vec<u64>>) -> Vec<Vec<u64>> {
    list.into_iter()
        .enumerate()
        .map(|(n, mut s)| {
            s.push((n as u64 / 3) & 1);
            s
        })
        .collect()
}

const TYPES: [(&str, Fmt, R); 4] =
    [("f32", F32, R::B32), ("f64", F64, R::B64), ("f16", F16, R::B16), ("bf16", BF16, R::B16)];

fn setp_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for (ty, f, r) in TYPES {
        for compare in COMPARISONS {
            for ftz in [false, true] {
                if ftz && (f == F64 || f == BF16) {
                    continue;
                }
                for op in ["", ".and", ".or", ".xor"] {
                    let text = format!("setp.{compare}{op}{}.{ty}", if ftz { ".ftz" } else { "" });
                    let full = with_predicate(pairs(f));
                    let sample = |n: usize| full.iter().skip(n).step_by(3).cloned().collect::<Vec<_>>();
                    if op.is_empty() {
                        forms.push(Form::exact(text, R::Pred, &[r, r], pairs(f), move |s| {
                            holds(compare, f, s[0], s[1], ftz).into()
                        }));
                        continue;
                    }
                    forms.push(Form::exact(text.clone(), R::Pred, &[r, r, R::Pred], sample(0), move |s| {
                        combine(op, holds(compare, f, s[0], s[1], ftz), s[2] != 0).into()
                    }));
                    // Single halves have one destination only.
                    if f == F16 || f == BF16 {
                        continue;
                    }
                    // The second destination: the negated comparison, with the negated predicate here.
                    let second = Form::exact(text, R::Pred, &[r, r, R::Pred], sample(1), move |s| {
                        combine(op, !holds(compare, f, s[0], s[1], ftz), s[2] == 0).into()
                    });
                    forms.push(second.operands("%p7|D, A, B, !C"));
                }
            }
        }
    }
    for (ty, f) in [("f16x2", F16), ("bf16x2", BF16)] {
        for compare in COMPARISONS {
            for ftz in [false, true] {
                if ftz && f == BF16 {
                    continue;
                }
                for op in ["", ".and", ".or", ".xor"] {
                    for (n, operands) in [(0, "D|%p7, A, B, C"), (1, "%p7|D, A, B, C")] {
                        let text = format!("setp.{compare}{op}{}.{ty}", if ftz { ".ftz" } else { "" });
                        let inputs = with_predicate(packed(pairs(f), 16)).into_iter().step_by(2).collect();
                        let form = Form::exact(text, R::Pred, &[R::B32, R::B32, R::Pred], inputs, move |s| {
                            let part = |x: u64| x >> (16 * n) & 0xffff;
                            combine(op, holds(compare, f, part(s[0]), part(s[1]), ftz), s[2] != 0).into()
                        });
                        forms.push(form.operands(if op.is_empty() {
                            &operands[..operands.len() - 3]
                        } else {
                            operands
                        }));
                    }
                }
            }
        }
    }
    forms
}

fn set_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    let results: [(&str, R, u64); 7] = [
        ("u32", R::B32, 0xffff_ffff),
        ("s32", R::B32, 0xffff_ffff),
        ("f32", R::B32, 0x3f80_0000),
        ("u16", R::B16, 0xffff),
        ("s16", R::B16, 0xffff),
        ("f16", R::B16, 0x3c00),
        ("bf16", R::B16, 0x3f80),
    ];
    for (from, f, r) in TYPES {
        for (to, d, one) in results {
            let wide = f == F32 || f == F64;
            // Narrow integers come of narrow floats only, and narrow floats do not become f32.
            if wide && matches!(to, "u16" | "s16") || !wide && to == "f32" {
                continue;
            }
            // Each has f16 of its own kind only.
            if (from, to) == ("f16", "bf16") || (from, to) == ("bf16", "f16") {
                continue;
            }
            for compare in COMPARISONS {
                for ftz in [false, true] {
                    // f32 becomes a half in one of its ways only.
                    if ftz && (f == F64 || f == BF16 || f == F32 && matches!(to, "f16" | "bf16")) {
                        continue;
                    }
                    let dotted = if ftz { ".ftz" } else { "" };
                    let text = format!("set.{compare}{dotted}.{to}.{from}");
                    forms.push(Form::exact(text, d, &[r, r], pairs(f), move |s| {
                        if holds(compare, f, s[0], s[1], ftz) { one } else { 0 }
                    }));
                    for op in [".and", ".or", ".xor"] {
                        // The operator is another step: a few comparisons show it for each pair of types.
                        if !matches!(compare, "eq" | "lt" | "geu") && (ftz || op != ".xor") {
                            continue;
                        }
                        let text = format!("set.{compare}{op}{dotted}.{to}.{from}");
                        let inputs = with_predicate(pairs(f)).into_iter().step_by(2).collect();
                        forms.push(Form::exact(text, d, &[r, r, R::Pred], inputs, move |s| {
                            if combine(op, holds(compare, f, s[0], s[1], ftz), s[2] != 0) { one } else { 0 }
                        }));
                    }
                }
            }
        }
    }
    for (ty, f, one) in [("f16x2", F16, 0x3c00), ("bf16x2", BF16, 0x3f80)] {
        for compare in COMPARISONS {
            for (to, one) in [(ty, one), ("u32", 0xffff), ("s32", 0xffff)] {
                for ftz in [false, true] {
                    if ftz && f == BF16 {
                        continue;
                    }
                    let text = format!("set.{compare}{}.{to}.{ty}", if ftz { ".ftz" } else { "" });
                    forms.push(Form::exact(text, R::B32, &[R::B32; 2], packed(pairs(f), 16), move |s| {
                        let part = |shift: u32| {
                            let holds =
                                holds(compare, f, s[0] >> shift & 0xffff, s[1] >> shift & 0xffff, ftz);
                            if holds { one << shift } else { 0 }
                        };
                        part(0) | part(16)
                    }));
                }
            }
        }
    }
    forms
}

fn select_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    let third = |n: usize| pairs(F32).into_iter().map(|s| vec![s[0], s[1], s[n]]).collect::<Vec<_>>();
    let narrow = ["b16", "u16", "s16"].map(|ty| (ty, R::B16));
    let middle = ["b32", "u32", "s32", "f32"].map(|ty| (ty, R::B32));
    let wide = ["b64", "u64", "s64", "f64"].map(|ty| (ty, R::B64));
    for (ty, r) in narrow.into_iter().chain(middle).chain(wide) {
        let keep = match r {
            R::B16 => 0xffff,
            R::B32 => 0xffff_ffff,
            _ => u64::MAX,
        };
        for ftz in [false, true] {
            let text = format!("slct{}.{ty}.f32", if ftz { ".ftz" } else { "" });
            forms.push(Form::exact(text, r, &[r, r, R::B32], third(0), move |s| {
                let c = F32.to_f64(if ftz { F32.flush(s[2]) } else { s[2] });
                if c >= 0.0 { s[0] & keep } else { s[1] & keep }
            }));
        }
        forms.push(Form::exact(format!("slct.{ty}.s32"), r, &[r, r, R::B32], third(1), move |s| {
            if s[2] as i32 >= 0 { s[0] & keep } else { s[1] & keep }
        }));
        forms.push(Form::exact(
            format!("selp.{ty}"),
            r,
            &[r, r, R::Pred],
            with_predicate(pairs(F32)),
            move |s| {
                if s[2] != 0 { s[0] & keep } else { s[1] & keep }
            },
        ));
    }
    forms
}

#[test]
fn setp_orders_and_combines() {
    check(setp_forms());
}

#[test]
fn set_writes_ones_or_one() {
    check(set_forms());
}

#[test]
fn slct_and_selp_choose() {
    check(select_forms());
}

#[test]
fn ptxas_accepts_these_forms() {
    let mut forms = setp_forms();
    forms.extend(set_forms());
    forms.extend(select_forms());
    assemble(&forms);
}
