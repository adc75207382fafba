//! Matrix products.

use super::compare::{exact, like_naive};
use crate::elem::{E4M3, E5M2, Elem, F16, F32, F64, TF32};
use crate::launch::Outcome;
use crate::manifest::{Case, Program};

pub fn matmul(program: &Program, case: &Case, out: &Outcome) -> Result<(), String> {
    let (a, b) = (&out.before[case.text("a").unwrap()], &out.before[case.text("b").unwrap()]);
    let c = &out.after[case.text("c").unwrap()];
    let (m, n) = (c.shape[0], c.shape[1]);
    let k = a.shape[1];
    let columns = case.flag("b_columns");
    let at_b = |p: usize, j: usize| if columns { j * k + p } else { p * n + j };

    if let Elem::Int { .. } = a.elem {
        return exact("c", c, |i| {
            (0..k).map(|p| a.i(i / n * k + p) * b.i(at_b(p, i % n))).sum::<i128>() as u64
        });
    }

    let (fa, fb) = (a.floats(), b.floats());
    // What the tensor cores see of an f32 operand: its upper 19 bits (or about them, rounded by the program).
    let is_f32 = a.elem == Elem::Float(F32);
    let tf32 = is_f32 && case.text("precision") == Some("tf32") && case.text("arithmetic") != Some("f32");
    let seen = |x: f64| if tf32 { TF32.decode((x as f32).to_bits() as u64 >> 13) } else { x };
    let (na, nb): (Vec<f64>, Vec<f64>) =
        (fa.iter().map(|&x| seen(x)).collect(), fb.iter().map(|&x| seen(x)).collect());

    let parts = case.number("split").unwrap_or(1.0) as usize;
    let half_sums = program.constexprs.get("ACC").and_then(|acc| acc.as_str()) == Some("fp16")
        || a.elem == Elem::Float(F16) && program.made_by == "nvcc" && c.elem == Elem::Float(F16);
    let accumulate = if a.elem.bytes() == 8 {
        a.elem.format()
    } else if half_sums {
        F16
    } else {
        F32
    };
    // Additions of the tensor core drop what lies below a fixed number of bits under the largest term: some 13 bits for
    // 8-bit operands (and for f16 sums the result's own), 23 and more otherwise.
    let eight_bit = [Elem::Float(E4M3), Elem::Float(E5M2)].contains(&a.elem);
    // For f64 the reference itself rounds.
    let step = match (eight_bit, accumulate == F64) {
        (true, _) => 2f64.powi(-12),
        (_, true) => 4.0 * F64.ulp(1.0),
        _ => accumulate.ulp(1.0),
    };

    let bias = case.text("bias").map(|name| out.before[name].floats());
    let times = case.number("times").unwrap_or(1.0);
    let relu = case.flag("relu");
    let target = c.elem.format();
    let (mut reference, mut naive, mut floor) = (vec![0.0; m * n], vec![0.0; m * n], vec![0.0; m * n]);
    for i in 0..m {
        for j in 0..n {
            let start = bias.as_ref().map_or(0.0, |bias| bias[j]);
            let (mut sum, mut sizes, mut stored) = (start, start.abs(), 0.0);
            for part in 0..parts {
                let mut acc = if part == 0 { start } else { 0.0 };
                for p in (k * part / parts)..(k * (part + 1) / parts) {
                    let (x, y) = (i * k + p, at_b(p, j));
                    sum += fa[x] * fb[y];
                    sizes += (fa[x] * fb[y]).abs();
                    acc = accumulate.round(acc + na[x] * nb[y]);
                }
                stored = target.round(stored + target.round(acc));
            }
            let at = i * n + j;
            reference[at] = if relu { sum.max(0.0) } else { sum } * times;
            naive[at] = if relu { f64::max(stored, 0.0) } else { stored } * times;
            // Rounding of the result, and of the sums.
            floor[at] = target.ulp(reference[at]) + step * sizes * times;
        }
    }
    like_naive("c", &c.floats(), &reference, &naive, |i| floor[i])
}
