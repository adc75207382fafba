//! Attention.

use super::compare::like_naive;
use crate::elem::F32;
use crate::launch::Outcome;
use crate::manifest::Case;

pub fn attention(case: &Case, out: &Outcome) -> Result<(), String> {
    let array = |key: &str| &out.before[case.text(key).unwrap()];
    let (q, k, v) = (array("q"), array("k"), array("v"));
    let o = &out.after[case.text("o").unwrap()];
    let d = *q.shape.last().unwrap();
    let heads = case.number("heads").map_or_else(|| q.shape[0], |heads| heads as usize);
    let (l, s) = (q.len() / heads / d, k.len() / heads / d);
    let scale = case.args[case.text("scale").unwrap()];
    let causal = case.flag("causal");
    let format = q.elem.format();
    let (fq, fk, fv) = (q.floats(), k.floats(), v.floats());

    let (mut reference, mut naive) = (vec![0.0; q.len()], vec![0.0; q.len()]);
    let (mut lse, mut naive_lse) = (vec![0.0; heads * l], vec![0.0; heads * l]);
    for head in 0..heads {
        for i in 0..l {
            let columns = if causal { (i + s - l + 1).min(s) } else { s };
            let row = &fq[(head * l + i) * d..][..d];
            let mut scores = vec![0.0; columns];
            let mut rounded = vec![0.0; columns];
            for j in 0..columns {
                let column = &fk[(head * s + j) * d..][..d];
                scores[j] = row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>() * scale;
                let sum = row.iter().zip(column).fold(0f32, |sum, (a, b)| sum + (*a as f32) * (*b as f32));
                rounded[j] = sum as f64 * scale;
            }
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|x| (x - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            lse[head * l + i] = largest + total.ln();
            let top = rounded.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let small: Vec<f32> = rounded.iter().map(|x| ((x - top) as f32).exp()).collect();
            let sum: f32 = small.iter().sum();
            naive_lse[head * l + i] = F32.round(top) + F32.round((sum as f64).ln());
            let (mut exact, mut acc) = (vec![0.0; d], vec![0f32; d]);
            for j in 0..columns {
                let values = &fv[(head * s + j) * d..][..d];
                let weight = format.round(small[j] as f64) as f32;
                for (x, value) in values.iter().enumerate() {
                    exact[x] += weights[j] * value / total;
                    acc[x] += weight * *value as f32;
                }
            }
            for x in 0..d {
                reference[(head * l + i) * d + x] = exact[x];
                naive[(head * l + i) * d + x] = format.round((acc[x] / sum) as f64);
            }
        }
    }
    like_naive("o", &o.floats(), &reference, &naive, |i| format.ulp(reference[i]) + 2f64.powi(-18))?;
    match case.text("lse") {
        Some(name) => {
            let found = out.after[name].floats();
            like_naive("lse", &found, &lse, &naive_lse, |i| 2f64.powi(-20) * lse[i].abs().max(1.0))
        }
        None => Ok(()),
    }
}
