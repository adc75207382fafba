//! min, max, abs, neg, copysign, testp of f32 and f64, min and max of halves.

use crate::harness::{Form, R, assemble, check};
use crate::oracle::{BF16, F16, F32, F64, Fmt};
use crate::values::{packed, pairs, singles, triples};

/// `min` or `max` of two: by value, with -0 below +0.
fn pick(max: bool, f: Fmt, a: u64, b: u64, nan: bool) -> u64 {
    match (f.is_nan(a), f.is_nan(b)) {
        (true, true) => return f.nan(),
        (true, false) | (false, true) if nan => return f.nan(),
        (true, false) => return b,
        (false, true) => return a,
        _ => {}
    }
    let (x, y) = (f.to_f64(a), f.to_f64(b));
    let less = x < y || x == y && x.is_sign_negative() && !y.is_sign_negative();
    if less != max { a } else { b }
}

fn min_max(op: &str, f: Fmt, s: &[u64], ftz: bool, nan: bool, xorsign: bool, abs: bool) -> u64 {
    let max = op == "max";
    let s: Vec<u64> = s.iter().map(|x| if ftz { f.flush(*x) } else { *x }).collect();
    let clear = |x: u64| if xorsign || abs { x & f.nan() } else { x };
    let mut picked = clear(s[0]);
    for x in &s[1..] {
        picked = pick(max, f, picked, clear(*x), nan);
    }
    let sign = s.iter().fold(0, |sign, x| sign ^ x & f.sign_bit());
    if xorsign && !f.is_nan(picked) { picked & f.nan() | sign } else { picked }
}

fn flags() -> Vec<(bool, bool, bool)> {
    (0..8).map(|n| (n & 1 != 0, n & 2 != 0, n & 4 != 0)).collect()
}

fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for op in ["min", "max"] {
        for (ftz, nan, third) in flags() {
            let dotted = |on, name| if on { name } else { "" };
            let head = format!("{op}{}{}", dotted(ftz, ".ftz"), dotted(nan, ".NaN"));
            let text = format!("{head}{}.f32", dotted(third, ".xorsign.abs"));
            forms.push(Form::exact(text, R::B32, &[R::B32; 2], pairs(F32), move |s| {
                min_max(op, F32, s, ftz, nan, third, false)
            }));
            let text = format!("{head}{}.f32", dotted(third, ".abs"));
            let three = Form::exact(text, R::B32, &[R::B32; 3], triples(F32), move |s| {
                min_max(op, F32, s, ftz, nan, false, third)
            });
            forms.push(three.blackwell());
            for (ty, f) in [("f16", F16), ("bf16", BF16)] {
                if ftz && f == BF16 {
                    continue;
                }
                let text = format!("{head}{}.{ty}", dotted(third, ".xorsign.abs"));
                forms.push(Form::exact(text.clone(), R::B16, &[R::B16; 2], pairs(f), move |s| {
                    min_max(op, f, s, ftz, nan, third, false)
                }));
                forms.push(Form::exact(text + "x2", R::B32, &[R::B32; 2], packed(pairs(f), 16), move |s| {
                    let part = |shift: u32| {
                        let s: Vec<u64> = s.iter().map(|x| x >> shift & 0xffff).collect();
                        min_max(op, f, &s, ftz, nan, third, false) << shift
                    };
                    part(0) | part(16)
                }));
            }
        }
        forms.push(Form::exact(format!("{op}.f64"), R::B64, &[R::B64; 2], pairs(F64), move |s| {
            min_max(op, F64, s, false, false, false, false)
        }));
    }
    for (ty, f, r) in [("f32", F32, R::B32), ("f64", F64, R::B64)] {
        for ftz in [false, true] {
            if ftz && f == F64 {
                continue;
            }
            let dotted = if ftz { ".ftz" } else { "" };
            let flush = move |x| if ftz { f.flush(x) } else { x };
            forms.push(Form::exact(format!("abs{dotted}.{ty}"), r, &[r], singles(f), move |s| {
                flush(s[0]) & f.nan()
            }));
            forms.push(Form::exact(format!("neg{dotted}.{ty}"), r, &[r], singles(f), move |s| {
                flush(s[0]) ^ f.sign_bit()
            }));
        }
        forms.push(Form::exact(format!("copysign.{ty}"), r, &[r, r], pairs(f), move |s| {
            s[0] & f.sign_bit() | s[1] & f.nan()
        }));
        for property in ["finite", "infinite", "number", "notanumber", "normal", "subnormal"] {
            forms.push(Form::exact(format!("testp.{property}.{ty}"), R::Pred, &[r], singles(f), move |s| {
                let x = f.to_f64(s[0]);
                let holds = match property {
                    "finite" => x.is_finite(),
                    "infinite" => x.is_infinite(),
                    "number" => !x.is_nan(),
                    "notanumber" => x.is_nan(),
                    // Zeros are normal to PTX.
                    "normal" => x.is_finite() && !f.is_subnormal(s[0]),
                    _ => f.is_subnormal(s[0]),
                };
                holds.into()
            }));
        }
    }
    forms
}

#[test]
fn min_max_signs_and_classes() {
    check(forms());
}

#[test]
fn ptxas_accepts_these_forms() {
    assemble(&forms());
}
