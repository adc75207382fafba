//! Approximate functions against the PTX ISA's error bounds, exact and perturbed.

use gpusim::{Approx, Settings};

use crate::harness::{Form, R, assemble, check_with, launch};
use crate::oracle::{BF16, F16, F32, F64, Fmt, Mode, Num, round};
use crate::values::{packed, pairs, singles};

/// How far a result may be from the function's value.
#[derive(Clone, Copy)]
enum Bound {
    Ulp(f64),
    Relative(f64),
    Absolute(f64),
}

/// The distance between neighbours at `x`.
fn ulp(x: f64, f: Fmt) -> f64 {
    let least = 2f64.powi(1 - ((1 << (f.exp - 1)) - 1) - f.man as i32);
    if x == 0.0 { least } else { 2f64.powi(x.abs().log2().floor() as i32 - f.man as i32).max(least) }
}

/// Whether the pattern `got` is within the bound of `want`, subnormal results possibly flushed.
fn near(got: u64, want: f64, bound: Bound, f: Fmt, ftz: bool) -> Result<(), String> {
    let x = f.to_f64(got);
    let fail = |why: &str| Err(format!("{x:e} instead of {want:e}: {why}"));
    if want.is_nan() {
        return if got == f.nan() { Ok(()) } else { fail("the canonical NaN") };
    }
    let largest = f.to_f64(f.max());
    if want.is_infinite() {
        return if x == want { Ok(()) } else { fail("an infinity") };
    }
    let least = 2f64.powi(2 - (1 << (f.exp - 1)));
    if ftz && want.abs() < least {
        let flushed = x == 0.0 && x.is_sign_negative() == want.is_sign_negative();
        // At the edge the error may lift the result.
        return if flushed || x.abs() == least { Ok(()) } else { fail("flushed") };
    }
    // The format's own spacing comes on top where it is coarser than the bound.
    let reach = match bound {
        Bound::Ulp(n) => n * ulp(want, f),
        Bound::Relative(r) => (r * want.abs()).max(ulp(want, f) / 2.0),
        Bound::Absolute(a) => a.max(ulp(want, f) / 2.0),
    };
    if x.is_infinite() {
        let overflow = want.abs() + reach > largest && x.signum() == want.signum();
        return if overflow { Ok(()) } else { fail("finite") };
    }
    if want == 0.0 {
        return if x == 0.0 && x.is_sign_negative() == want.is_sign_negative() {
            Ok(())
        } else {
            fail("a zero")
        };
    }
    if (x - want).abs() <= reach || ftz && x == 0.0 && want.abs() - reach < least {
        Ok(())
    } else {
        fail("too far")
    }
}

fn unary_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for name in ["rcp", "sqrt", "rsqrt", "sin", "cos", "ex2", "lg2", "tanh"] {
        for ftz in [false, true] {
            if ftz && name == "tanh" {
                continue;
            }
            let text = format!("{name}.approx{}.f32", if ftz { ".ftz" } else { "" });
            let mut inputs = singles(F32);
            // Where these functions are used.
            inputs.extend((-400..400).map(|n| vec![u64::from((n as f32 * 0.37).to_bits())]));
            inputs.extend((0..200).map(|n| vec![u64::from((0.4 + n as f32 * 0.01).to_bits())]));
            forms.push(Form::checked(text, R::B32, &[R::B32], inputs, move |s, got| {
                let x = F32.to_f64(if ftz { F32.flush(s[0]) } else { s[0] });
                let pi = std::f64::consts::PI;
                let (want, bound) = match name {
                    "rcp" => (1.0 / x, Bound::Ulp(1.0)),
                    "sqrt" => (x.sqrt(), Bound::Relative(2f64.powi(-23))),
                    "rsqrt" => (1.0 / x.sqrt(), Bound::Relative(2f64.powf(-22.9))),
                    "ex2" => (x.exp2(), Bound::Ulp(2.0)),
                    "lg2" if x > 0.5 && x < 2.0 => (x.log2(), Bound::Absolute(2f64.powi(-22))),
                    "lg2" => (x.log2(), Bound::Relative(2f64.powi(-22))),
                    "tanh" => (x.tanh(), Bound::Relative(2f64.powi(-11))),
                    _ => {
                        let want = if name == "sin" { x.sin() } else { x.cos() };
                        let bound = if x.abs() <= 2.0 * pi { 2f64.powf(-20.5) } else { 2f64.powf(-14.7) };
                        (want, Bound::Absolute(bound))
                    }
                };
                // lg2 of one is plus zero, and an absolute bound holds next to a zero too.
                if let Bound::Absolute(a) = bound
                    && (F32.to_f64(got) - want).abs() <= a
                {
                    return Ok(());
                }
                near(got, want, bound, F32, ftz)
            }));
        }
    }
    for (ty, f, r, packs) in [
        ("f16", F16, R::B16, false),
        ("f16x2", F16, R::B32, true),
        ("bf16", BF16, R::B16, false),
        ("bf16x2", BF16, R::B32, true),
    ] {
        for name in ["ex2", "tanh"] {
            let ftz = name == "ex2" && f == BF16;
            let text = format!("{name}.approx{}.{ty}", if ftz { ".ftz" } else { "" });
            let inputs = if packs { packed(singles(f), 16) } else { singles(f) };
            forms.push(Form::checked(text, r, &[r], inputs, move |s, got| {
                let one = |s: u64, got: u64| {
                    let x = f.to_f64(if ftz { f.flush(s) } else { s });
                    let bound = match (name, f == F16) {
                        ("ex2", true) => Bound::Relative(2f64.powf(-9.9)),
                        ("ex2", false) => Bound::Relative(2f64.powi(-7)),
                        (_, true) => Bound::Absolute(2f64.powf(-10.987)),
                        _ => Bound::Absolute(2f64.powi(-8)),
                    };
                    let want = if name == "ex2" { x.exp2() } else { x.tanh() };
                    near(got, want, bound, f, ftz)
                };
                one(s[0] & 0xffff, got & 0xffff)?;
                if packs { one(s[0] >> 16, got >> 16) } else { Ok(()) }
            }));
        }
    }
    forms
}

fn division_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for name in ["approx", "full"] {
        for ftz in [false, true] {
            let text = format!("div.{name}{}.f32", if ftz { ".ftz" } else { "" });
            forms.push(Form::checked(text, R::B32, &[R::B32; 2], pairs(F32), move |s, got| {
                let of = |x| F32.to_f64(if ftz { F32.flush(x) } else { x });
                let (x, y) = (of(s[0]), of(s[1]));
                // Divisors beyond 2^126 give a zero, or NaN for an infinite dividend; below 2^-126 PTX says nothing.
                if name == "approx" && y.abs() > 2f64.powi(126) && y.is_finite() {
                    let want = if x.is_finite() { 0f64.copysign(x * y.signum()) } else { f64::NAN };
                    return near(got, want, Bound::Ulp(0.0), F32, ftz);
                }
                if name == "approx" && y.abs() < 2f64.powi(-126) && y != 0.0 {
                    return Ok(());
                }
                near(got, x / y, Bound::Ulp(2.0), F32, ftz)
            }));
        }
    }
    for (text, root) in
        [("rcp.approx.ftz.f64", false), ("rsqrt.approx.ftz.f64", true), ("rsqrt.approx.f64", true)]
    {
        let short = text.contains("ftz");
        let mut inputs = singles(F64);
        inputs.extend((1..200).map(|n| vec![round(&Num::int(n), F64, Mode::Rn, false)]));
        forms.push(Form::checked(text, R::B64, &[R::B64], inputs, move |s, got| {
            let x = F64.to_f64(if short { F64.flush(s[0] & 0xffff_ffff_0000_0000) } else { s[0] });
            let x = if F64.is_nan(s[0]) { f64::NAN } else { x };
            let want = if root { 1.0 / x.sqrt() } else { 1.0 / x };
            let y = F64.to_f64(got);
            if want.is_nan() {
                return if y.is_nan() { Ok(()) } else { Err("NaN expected".to_owned()) };
            }
            if short && got & 0xffff_ffff != 0 && !y.is_nan() {
                return Err("the lower word is not zero".to_owned());
            }
            // Twenty bits of an upper word, or what f64 roots give.
            let reach = if short { 2f64.powi(-20) } else { 2f64.powi(-50) };
            let flushed = short && want.abs() < f64::MIN_POSITIVE && y == 0.0;
            if y == want || flushed || (y - want).abs() <= reach * want.abs() {
                Ok(())
            } else {
                Err(format!("{y:e} instead of {want:e}"))
            }
        }));
    }
    forms
}

fn perturbed(seed: u64) -> Settings {
    Settings { approx: Approx::Perturbed, seed, ..Settings::default() }
}

#[test]
fn functions_keep_their_bounds() {
    check_with(unary_forms(), &Settings::default());
    check_with(division_forms(), &Settings::default());
}

#[test]
fn perturbed_functions_keep_their_bounds() {
    check_with(unary_forms(), &perturbed(1));
    check_with(division_forms(), &perturbed(2));
}

#[test]
fn perturbation_moves_results_and_the_seed_decides_how() {
    let text = ".version 8.3\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 pin, .param .u64 pout) {
        .reg .b64 %d<9>; .reg .b32 %r<9>;
        ld.param.u64 %d1, [pin]; ld.param.u64 %d2, [pout]; mov.u32 %r1, %tid.x;
        mad.wide.u32 %d1, %r1, 8, %d1; mad.wide.u32 %d2, %r1, 8, %d2;
        ld.global.b32 %r2, [%d1]; ex2.approx.ftz.f32 %r3, %r2; mov.b64 %d3, {%r3, 0}; st.global.b64 [%d2], %d3; ret; }";
    let inputs: Vec<Vec<u64>> = (0..32).map(|n| vec![u64::from((0.1 + n as f32 * 0.07).to_bits())]).collect();
    let exact = launch(Settings::default(), text, &inputs);
    let first = launch(perturbed(1), text, &inputs);
    assert_ne!(exact, first);
    assert_eq!(first, launch(perturbed(1), text, &inputs));
    assert_ne!(first, launch(perturbed(2), text, &inputs));
}

#[test]
fn ptxas_accepts_these_forms() {
    let mut forms = unary_forms();
    forms.extend(division_forms());
    assemble(&forms);
}
