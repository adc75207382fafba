//! f16, bf16 and their pairs.

use crate::harness::{Form, R, assemble, check};
use crate::oracle::{self, BF16, F16, Fmt, Mode, add, mul, negate, saturate};
use crate::values::{packed, pairs, singles, triples};

const TYPES: [(&str, Fmt, bool); 4] =
    [("f16", F16, false), ("f16x2", F16, true), ("bf16", BF16, false), ("bf16x2", BF16, true)];

/// A form on single values or pairs, from the function of single ones.
fn form(text: String, packs: bool, inputs: Vec<Vec<u64>>, one: impl Fn(&[u64]) -> u64 + 'static) -> Form {
    let sources = inputs[0].len();
    if !packs {
        return Form::exact(text, R::B16, &[R::B16; 3][..sources], inputs, one);
    }
    Form::exact(text, R::B32, &[R::B32; 3][..sources], packed(inputs, 16), move |s| {
        let low: Vec<u64> = s.iter().map(|x| x & 0xffff).collect();
        let high: Vec<u64> = s.iter().map(|x| x >> 16).collect();
        one(&high) << 16 | one(&low)
    })
}

fn relu(bits: u64, f: Fmt) -> u64 {
    if f.is_nan(bits) {
        f.nan()
    } else if bits & f.sign_bit() != 0 {
        0
    } else {
        bits
    }
}

fn arithmetic() -> Vec<Form> {
    let mut forms = Vec::new();
    for (ty, f, packs) in TYPES {
        for op in ["add", "sub", "mul", "fma"] {
            for rn in ["", ".rn"] {
                for ftz in [false, true] {
                    for last in ["", ".sat", ".relu"] {
                        let fused = op == "fma";
                        if fused && rn.is_empty()
                            || f == BF16 && (ftz || last == ".sat")
                            || !fused && last == ".relu"
                        {
                            continue;
                        }
                        let text = format!("{op}{rn}{}{last}.{ty}", if ftz { ".ftz" } else { "" });
                        let inputs = if fused { triples(f) } else { pairs(f) };
                        forms.push(form(text, packs, inputs, move |s| {
                            let flush = |x| if ftz { f.flush(x) } else { x };
                            let v: Vec<_> = s.iter().map(|x| f.decode(flush(*x))).collect();
                            let value = match op {
                                "add" => add(&v[0], &v[1], Mode::Rn),
                                "sub" => add(&v[0], &negate(&v[1]), Mode::Rn),
                                "mul" => mul(&v[0], &v[1]),
                                _ => add(&mul(&v[0], &v[1]), &v[2], Mode::Rn),
                            };
                            let bits = flush(oracle::finish(&value, f, Mode::Rn));
                            match last {
                                ".sat" => saturate(bits, f),
                                ".relu" => relu(bits, f),
                                _ => bits,
                            }
                        }));
                    }
                }
            }
        }
    }
    forms
}

fn signs() -> Vec<Form> {
    let mut forms = Vec::new();
    for (ty, f, packs) in TYPES {
        for ftz in [false, true] {
            if ftz && f == BF16 {
                continue;
            }
            for op in ["abs", "neg"] {
                let text = format!("{op}{}.{ty}", if ftz { ".ftz" } else { "" });
                forms.push(form(text, packs, singles(f), move |s| {
                    let x = if ftz { f.flush(s[0]) } else { s[0] };
                    if op == "abs" { x & 0x7fff } else { x ^ 0x8000 }
                }));
            }
        }
    }
    forms
}

#[test]
fn half_arithmetic_rounds_once() {
    check(arithmetic());
}

#[test]
fn half_abs_and_neg_change_the_sign_only() {
    check(signs());
}

#[test]
fn ptxas_accepts_these_forms() {
    let mut forms = arithmetic();
    forms.extend(signs());
    assemble(&forms);
}
