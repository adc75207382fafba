//! add, sub, mul, fma, mad, div, rcp, sqrt of f32, f64 and f32x2, and the sums of f32 with narrower values.

use crate::harness::{Form, R, assemble, check};
use crate::oracle::{self, BF16, F16, F32, F64, Fmt, Mode, Val, add, div, mul, negate, saturate, sqrt};
use crate::values::{Random, packed, pairs, singles, specials, triples};

/// The exact result of an operation.
fn exact(op: &str, v: &[Val], mode: Mode) -> Val {
    match op {
        "add" => add(&v[0], &v[1], mode),
        "sub" => add(&v[0], &negate(&v[1]), mode),
        "mul" => mul(&v[0], &v[1]),
        "fma" | "mad" => add(&mul(&v[0], &v[1]), &v[2], mode),
        "div" => div(&v[0], &v[1]),
        "rcp" => div(&F32.decode(0x3f80_0000), &v[0]),
        _ => sqrt(&v[0]),
    }
}

/// The result of an operation whose operands have `formats`, in the format `to`.
fn result(op: &str, s: &[u64], formats: &[Fmt], to: Fmt, mode: Mode, ftz: bool, sat: bool) -> u64 {
    let flush = |f: Fmt, x| if ftz { f.flush(x) } else { x };
    let values: Vec<Val> = s.iter().zip(formats).map(|(x, f)| f.decode(flush(*f, *x))).collect();
    let bits = flush(to, oracle::finish(&exact(op, &values, mode), to, mode));
    if sat { saturate(bits, to) } else { bits }
}

fn inputs(f: Fmt, sources: usize) -> Vec<Vec<u64>> {
    match sources {
        1 => singles(f),
        2 => pairs(f),
        _ => triples(f),
    }
}

fn f32_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    let ops =
        [("add", 2), ("sub", 2), ("mul", 2), ("fma", 3), ("mad", 3), ("div", 2), ("rcp", 1), ("sqrt", 1)];
    for (op, sources) in ops {
        let sums = matches!(op, "add" | "sub" | "mul");
        let saturates = sums || sources == 3;
        for ftz in [false, true] {
            for sat in [false, true] {
                if sat && !saturates {
                    continue;
                }
                let tail = format!("{}{}.f32", if ftz { ".ftz" } else { "" }, if sat { ".sat" } else { "" });
                let form = move |text, mode| {
                    Form::exact(
                        text,
                        R::B32,
                        &[R::B32, R::B32, R::B32][..sources],
                        inputs(F32, sources),
                        move |s| result(op, s, &[F32; 3], F32, mode, ftz, sat),
                    )
                };
                if sums {
                    forms.push(form(format!("{op}{tail}"), Mode::Rn));
                }
                for (mode, name) in Mode::ALL {
                    forms.push(form(format!("{op}.{name}{tail}"), mode));
                }
            }
        }
    }
    forms
}

fn f64_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    let ops =
        [("add", 2), ("sub", 2), ("mul", 2), ("fma", 3), ("mad", 3), ("div", 2), ("rcp", 1), ("sqrt", 1)];
    for (op, sources) in ops {
        let form = move |text, mode| {
            Form::checked(
                text,
                R::B64,
                &[R::B64, R::B64, R::B64][..sources],
                inputs(F64, sources),
                move |s, got| {
                    let want = result(op, s, &[F64; 3], F64, mode, false, false);
                    // Which NaN comes out of f64 arithmetic PTX leaves open.
                    if got == want || F64.is_nan(got) && F64.is_nan(want) {
                        return Ok(());
                    }
                    Err(format!("{want:#x} expected"))
                },
            )
        };
        if matches!(op, "add" | "sub" | "mul") {
            forms.push(form(format!("{op}.f64"), Mode::Rn));
        }
        forms.extend(Mode::ALL.map(|(mode, name)| form(format!("{op}.{name}.f64"), mode)));
    }
    forms
}

fn f32x2_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for (op, sources) in [("add", 2), ("sub", 2), ("mul", 2), ("fma", 3)] {
        for (mode, name) in Mode::ALL {
            for ftz in [false, true] {
                let text = format!("{op}.{name}{}.f32x2", if ftz { ".ftz" } else { "" });
                let inputs = packed(inputs(F32, sources), 32);
                let form =
                    Form::exact(text, R::B64, &[R::B64, R::B64, R::B64][..sources], inputs, move |s| {
                        let low: Vec<u64> = s.iter().map(|x| x & 0xffff_ffff).collect();
                        let high: Vec<u64> = s.iter().map(|x| x >> 32).collect();
                        let part = |s: &[u64]| result(op, s, &[F32; 3], F32, mode, ftz, false);
                        part(&high) << 32 | part(&low)
                    });
                forms.push(form.blackwell());
            }
        }
    }
    forms
}

/// `add.f32.f16 d, a, c` and its like.
fn mixed_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for (narrow, name) in [(F16, "f16"), (BF16, "bf16")] {
        for (op, formats) in
            [("add", vec![narrow, F32]), ("sub", vec![narrow, F32]), ("fma", vec![narrow, narrow, F32])]
        {
            let mut random = Random(7);
            let mut inputs: Vec<Vec<u64>> =
                (0..600).map(|_| formats.iter().map(|f| random.pattern(*f)).collect()).collect();
            for a in specials(narrow) {
                for c in specials(F32) {
                    inputs.push(if formats.len() == 2 {
                        vec![a, c]
                    } else {
                        vec![a, specials(narrow)[5], c]
                    });
                }
            }
            let sizes: Vec<R> = formats.iter().map(|f| if *f == F32 { R::B32 } else { R::B16 }).collect();
            // A sum may leave out how it rounds.
            let unsaid = (op != "fma").then_some((Mode::Rn, ""));
            for (mode, rounding) in Mode::ALL.into_iter().chain(unsaid) {
                for sat in [false, true] {
                    let dot = if rounding.is_empty() { "" } else { "." };
                    let text = format!("{op}{dot}{rounding}{}.f32.{name}", if sat { ".sat" } else { "" });
                    let formats = formats.clone();
                    let form = Form::exact(text, R::B32, &sizes, inputs.clone(), move |s| {
                        result(op, s, &formats, F32, mode, false, sat)
                    });
                    forms.push(form.blackwell());
                }
            }
        }
    }
    forms
}

#[test]
fn f32_arithmetic_is_exact_in_every_mode() {
    check(f32_forms());
}

#[test]
fn f64_arithmetic_is_exact_in_every_mode() {
    check(f64_forms());
}

#[test]
fn pairs_of_f32_are_two_f32() {
    check(f32x2_forms());
}

#[test]
fn mixed_sums_round_once() {
    check(mixed_forms());
}

#[test]
fn ptxas_accepts_these_forms() {
    let mut forms = f32_forms();
    forms.extend(f64_forms());
    forms.extend(f32x2_forms());
    forms.extend(mixed_forms());
    assemble(&forms);
}
