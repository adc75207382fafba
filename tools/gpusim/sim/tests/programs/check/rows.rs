//! Work on rows: softmax, layer norm, reductions, scans, sorting.

use super::compare::{exact, like_naive, within};
use crate::elem::{Array, Elem, F32};
use crate::launch::Outcome;
use crate::manifest::Case;

fn input<'a>(case: &Case, out: &'a Outcome, key: &str) -> &'a Array {
    &out.before[case.text(key).unwrap()]
}

fn output<'a>(case: &Case, out: &'a Outcome, key: &str) -> &'a Array {
    &out.after[case.text(key).unwrap()]
}

pub fn softmax(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (input(case, out, "x"), output(case, out, "y"));
    let cols = x.shape[1];
    let (mut reference, mut naive) = (Vec::new(), Vec::new());
    for row in x.floats().chunks(cols) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        reference.extend(row.iter().map(|x| (x - largest).exp() / total));
        let terms: Vec<f32> = row.iter().map(|x| ((x - largest) as f32).exp()).collect();
        let total: f32 = terms.iter().sum();
        naive.extend(terms.iter().map(|x| y.elem.format().round((x / total) as f64)));
    }
    let format = y.elem.format();
    like_naive("y", &y.floats(), &reference, &naive, |i| {
        format.ulp(reference[i]) + 2f64.powi(-20) * reference[i]
    })
}

pub fn layer_norm(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, w, b) = (input(case, out, "x"), input(case, out, "w").floats(), input(case, out, "b").floats());
    let y = output(case, out, "y");
    let eps = case.args[case.text("eps").unwrap()];
    let cols = x.shape[1];
    let format = y.elem.format();
    let (mut reference, mut naive) = (Vec::new(), Vec::new());
    let (mut means, mut rstds, mut naive_means, mut naive_rstds) = (vec![], vec![], vec![], vec![]);
    for row in x.floats().chunks(cols) {
        let mean = row.iter().sum::<f64>() / cols as f64;
        let rstd = 1.0 / (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / cols as f64 + eps).sqrt();
        reference.extend(row.iter().enumerate().map(|(c, x)| (x - mean) * rstd * w[c] + b[c]));
        means.push(mean);
        rstds.push(rstd);
        let mean = row.iter().fold(0f32, |s, x| s + *x as f32) / cols as f32;
        let rstd = 1.0
            / (row.iter().fold(0f32, |s, x| s + (*x as f32 - mean).powi(2)) / cols as f32 + eps as f32)
                .sqrt();
        naive_means.push(mean as f64);
        naive_rstds.push(rstd as f64);
        let scale = |(c, x): (usize, &f64)| {
            format.round(((*x as f32 - mean) * rstd * w[c] as f32 + b[c] as f32) as f64)
        };
        naive.extend(row.iter().enumerate().map(scale));
    }
    let floor = 2f64.powi(-21);
    like_naive("mean", &output(case, out, "mean").floats(), &means, &naive_means, |_| floor)?;
    like_naive("rstd", &output(case, out, "rstd").floats(), &rstds, &naive_rstds, |i| floor * rstds[i])?;
    like_naive("y", &y.floats(), &reference, &naive, |i| format.ulp(reference[i]) + floor * 4.0)
}

pub fn column_sum(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (input(case, out, "x"), output(case, out, "y").floats());
    let cols = x.shape[1];
    let column = |c: usize| (0..x.shape[0]).map(move |r| x.f(r * cols + c));
    let reference: Vec<f64> = (0..cols).map(|c| column(c).sum()).collect();
    let naive: Vec<f64> = (0..cols).map(|c| column(c).fold(0.0, |sum, x| F32.round(sum + x))).collect();
    like_naive("y", &y, &reference, &naive, |i| 4.0 * F32.ulp(reference[i]) + 2f64.powi(-23))
}

pub fn row_stats(case: &Case, out: &Outcome) -> Result<(), String> {
    let x = input(case, out, "x");
    let cols = x.shape[1];
    let values = x.floats();
    let rows: Vec<&[f64]> = values.chunks(cols).collect();
    let sums: Vec<f64> = rows.iter().map(|row| row.iter().sum()).collect();
    let naive: Vec<f64> = rows.iter().map(|row| row.iter().fold(0.0, |sum, x| F32.round(sum + x))).collect();
    like_naive("total", &output(case, out, "total").floats(), &sums, &naive, |_| 2f64.powi(-20))?;
    let largest = |r: usize| rows[r].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = |r: usize| rows[r].iter().copied().fold(f64::INFINITY, f64::min);
    exact("largest", output(case, out, "largest"), |r| F32.encode(largest(r)))?;
    exact("smallest", output(case, out, "smallest"), |r| F32.encode(smallest(r)))?;
    exact("where", output(case, out, "where"), |r| {
        rows[r].iter().position(|x| *x == largest(r)).unwrap() as u64
    })
}

pub fn atomic_stats(case: &Case, out: &Outcome) -> Result<(), String> {
    let x = input(case, out, "x");
    let values = || (0..x.len()).map(|i| x.i(i));
    exact("total", output(case, out, "total"), |_| values().sum::<i128>() as u64)?;
    exact("largest", output(case, out, "largest"), |_| values().max().unwrap().max(0) as u64)?;
    exact("smallest", output(case, out, "smallest"), |_| values().min().unwrap().min(0) as u64)?;
    exact("bits", output(case, out, "bits"), |b| (b..x.len()).step_by(4).fold(0, |bits, i| bits | x.bits(i)))
}

pub fn scan(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, g) = (input(case, out, "x"), input(case, out, "g"));
    let cols = x.shape[1];
    let mut results = [const { Vec::new() }; 4];
    let mut state = [0.0; 4];
    for i in 0..x.len() {
        if i % cols == 0 {
            state = [0.0; 4];
        }
        let (x, g) = (x.f(i), g.f(i));
        let [prefix, naive, h, naive_h] = state;
        state = [prefix + x, F32.round(naive + x), g * h + x, F32.round(F32.round(g * naive_h) + x)];
        for (result, value) in results.iter_mut().zip(state) {
            result.push(value);
        }
    }
    let [prefix, naive, h, naive_h] = results;
    like_naive("prefix", &output(case, out, "prefix").floats(), &prefix, &naive, |_| 2f64.powi(-19))?;
    like_naive("h", &output(case, out, "h").floats(), &h, &naive_h, |_| 2f64.powi(-20))
}

pub fn sort(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (input(case, out, "x"), output(case, out, "y"));
    let cols = x.shape[1];
    let mut sorted = Vec::new();
    for row in 0..x.shape[0] {
        let mut bits: Vec<u64> = (row * cols..(row + 1) * cols).map(|i| x.bits(i)).collect();
        match x.elem {
            Elem::Float(_) => bits.sort_by(|a, b| x.elem.value(*a).total_cmp(&x.elem.value(*b))),
            Elem::Int { .. } => bits.sort_by_key(|bits| x.elem.integer(*bits)),
        }
        if case.flag("descending") {
            bits.reverse();
        }
        sorted.extend(bits);
    }
    exact("y", y, |i| sorted[i])
}

pub fn histogram(case: &Case, out: &Outcome) -> Result<(), String> {
    let x = input(case, out, "x");
    exact("y", output(case, out, "y"), |bin| (0..x.len()).filter(|&i| x.bits(i) == bin as u64).count() as u64)
}

pub fn transpose(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (input(case, out, "x"), output(case, out, "y"));
    let (rows, cols) = (x.shape[0], x.shape[1]);
    exact("y", y, |i| x.bits(i % rows * cols + i / rows))
}

pub fn gather(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, index) = (input(case, out, "x"), input(case, out, "index"));
    exact("y", output(case, out, "y"), |i| x.bits(index.bits(i) as usize))
}

pub fn swiglu(case: &Case, out: &Outcome) -> Result<(), String> {
    let (gate, up, y) =
        (input(case, out, "gate").floats(), input(case, out, "up").floats(), output(case, out, "y"));
    let expected: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
    let format = y.elem.format();
    within("y", &y.floats(), &expected, |i| {
        format.ulp(expected[i]) / 2.0 + 2f64.powi(-19) * expected[i].abs()
    })
}

pub fn combine(case: &Case, out: &Outcome) -> Result<(), String> {
    let x = input(case, out, "x");
    let y = output(case, out, "y");
    let before = out.before.get(case.text("y").unwrap());
    exact("y", y, |i| match (case.text("how").unwrap(), x.elem, before) {
        ("store", ..) => x.bits(i),
        ("add", Elem::Float(format), Some(before)) => format.encode(format.round(x.f(i) + before.f(i))),
        ("add", Elem::Int { .. }, Some(before)) => (x.i(i) + before.i(i)) as u64,
        ("max", Elem::Int { .. }, Some(before)) => x.i(i).max(before.i(i)) as u64,
        other => panic!("combine {other:?}"),
    })
}

pub fn saxpy(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (&out.before["x"], &out.before["y"]);
    let a = case.args["a"];
    // nvcc contracts to fma; the exact value fits an f64 but for its last bits, which no tie depends on here.
    exact("z", &out.after["z"], |i| ((a as f32).mul_add(x.f(i) as f32, y.f(i) as f32)).to_bits() as u64)
}

pub fn sum(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, total) = (input(case, out, "x"), output(case, out, "total"));
    if let Elem::Int { .. } = x.elem {
        return exact("total", total, |_| (0..x.len()).map(|i| x.i(i)).sum::<i128>() as u64);
    }
    let format = x.elem.format();
    let values = x.floats();
    let (mut high, mut low) = (0.0, 0.0);
    for value in &values {
        // Two-sum, so that f64 sums have a reference too.
        let next: f64 = high + value;
        let part: f64 = next - high;
        low += (high - (next - part)) + (value - part);
        high = next;
    }
    let naive = values.iter().fold(0.0, |sum, x| format.round(sum + x));
    let size: f64 = values.iter().map(|x| x.abs()).sum();
    like_naive("total", &total.floats(), &[high + low], &[naive], |_| format.ulp(size) * 4.0)
}

pub fn normalise(case: &Case, out: &Outcome) -> Result<(), String> {
    let (x, y) = (input(case, out, "x").floats(), output(case, out, "y"));
    let total: f64 = x.iter().sum();
    let expected: Vec<f64> = x.iter().map(|x| x / total).collect();
    within("y", &y.floats(), &expected, |i| 2f64.powi(-20) * expected[i])
}
