//! The operations, each a few lines of its definition. Rows are `[row][column]`; matrices are `[out][in]`.

use super::{Real, Rows, Wide};

/// Rows `ids` of a table `[V][width]`.
///
/// # Panics
/// If an id is not below `V`.
pub fn embed<S: Real>(table: &[Vec<S>], ids: &[u32]) -> Rows<S> {
    ids.iter().map(|&id| table[id as usize].clone()).collect()
}

/// `Σ a_i · b_i`, accumulated from the first product to the last, rounded once.
pub fn dot<S: Real>(a: &[S], b: &[S]) -> S {
    assert_eq!(a.len(), b.len(), "dot of {} and {} values", a.len(), b.len());
    let zero = S::Wide::from_f64(0.0);
    S::round(a.iter().zip(b).fold(zero, |sum, (&a, &b)| sum + a.widen() * b.widen()))
}

/// `W · x + b` for `W` of `[out][in]`, `x` of `[in]`, `b` of `[out]`.
pub fn linear<S: Real>(weight: &[Vec<S>], bias: Option<&[S]>, x: &[S]) -> Vec<S> {
    let product = weight.iter().map(|row| dot(row, x));
    match bias {
        Some(bias) => product.zip(bias).map(|(y, &b)| y.plus(b)).collect(),
        None => product.collect(),
    }
}

/// `x · rsqrt(mean(x²) + eps)`, rounded, times `gain`.
pub fn rms_norm<S: Real>(x: &[S], gain: &[S], eps: f64) -> Vec<S> {
    assert_eq!(x.len(), gain.len(), "gain of a norm over {} values", x.len());
    let wide = S::Wide::from_f64;
    let squares = x.iter().fold(wide(0.0), |sum, &x| sum + x.widen() * x.widen());
    let scale = wide(1.0) / (squares / wide(x.len() as f64) + wide(eps)).sqrt();
    x.iter().zip(gain).map(|(&x, &gain)| S::round(x.widen() * scale).times(gain)).collect()
}

/// Rotates every head of `x` (heads of `head_dim` one after another) to `position`, in the half-split convention:
/// with `h = head_dim / 2`, elements `i` and `i + h` are a pair and turn by `position · theta^(-2i / head_dim)`.
/// Angles are computed in `f64` whatever `S` is; their sine and cosine are rounded to `S`.
pub fn rope<S: Real>(x: &mut [S], head_dim: usize, position: usize, theta: f64) {
    let half = head_dim / 2;
    for i in 0..half {
        let angle = position as f64 * theta.powf(-2.0 * i as f64 / head_dim as f64);
        let (sin, cos) = (S::from_f64(angle.sin()), S::from_f64(angle.cos()));
        for head in x.chunks_exact_mut(head_dim) {
            let (a, b) = (head[i], head[i + half]);
            head[i] = a.times(cos).minus(b.times(sin));
            head[i + half] = b.times(cos).plus(a.times(sin));
        }
    }
}

/// `e^(x_i - max) / Σ e^(x_j - max)`, rounded once.
pub fn softmax<S: Real>(x: &[S]) -> Vec<S> {
    let max = x.iter().map(|x| x.widen()).reduce(|a, b| if b > a { b } else { a });
    let Some(max) = max else { return Vec::new() };
    let exps: Vec<S::Wide> = x.iter().map(|x| (x.widen() - max).exp()).collect();
    let sum = exps.iter().fold(S::Wide::from_f64(0.0), |sum, &e| sum + e);
    exps.into_iter().map(|e| S::round(e / sum)).collect()
}

/// Causal attention of `n` rows: `q` of `[n][H · head_dim]`, `k` and `v` of `[n][H_kv · head_dim]`, result as `q`.
/// Row `i` sees rows `0..=i`; query head `h` reads KV head `h / (H / H_kv)`; the scale is `1 / sqrt(head_dim)`.
pub fn causal_attention<S: Real>(q: &[Vec<S>], k: &[Vec<S>], v: &[Vec<S>], head_dim: usize) -> Rows<S> {
    let scale = S::Wide::from_f64(1.0 / (head_dim as f64).sqrt());
    let head = |h: usize| h * head_dim..(h + 1) * head_dim;
    let mut out = Vec::with_capacity(q.len());
    for (i, q) in q.iter().enumerate() {
        let heads = q.len() / head_dim;
        let group = heads / (k[i].len() / head_dim);
        let mut row = Vec::with_capacity(q.len());
        for h in 0..heads {
            let kv = head(h / group);
            let scores: Vec<S> =
                k[..=i].iter().map(|k| S::round(dot(&q[head(h)], &k[kv.clone()]).widen() * scale)).collect();
            let weights = softmax(&scores);
            for column in kv {
                let values: Vec<S> = v[..=i].iter().map(|v| v[column]).collect();
                row.push(dot(&weights, &values));
            }
        }
        out.push(row);
    }
    out
}

/// `silu(gate) · up` with `silu(x) = x / (1 + e^-x)`.
pub fn swiglu<S: Real>(gate: &[S], up: &[S]) -> Vec<S> {
    let wide = S::Wide::from_f64;
    let silu = |x: S| S::round(x.widen() / (wide(1.0) + (wide(0.0) - x.widen()).exp()));
    gate.iter().zip(up).map(|(&gate, &up)| silu(gate).times(up)).collect()
}

/// `a + b`, element by element.
pub fn add<S: Real>(a: &[S], b: &[S]) -> Vec<S> {
    assert_eq!(a.len(), b.len(), "sum of {} and {} values", a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| a.plus(b)).collect()
}

/// Natural log-probability of `token` under the softmax of `logits`, in `f64`.
///
/// # Panics
/// If `token` is not below the number of logits.
pub fn log_probability<S: Real>(logits: &[S], token: u32) -> f64 {
    let max = logits.iter().map(|x| x.to_f64()).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x.to_f64() - max).exp()).sum();
    logits[token as usize].to_f64() - max - sum.ln()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq as close;
    use half::bf16;

    use super::*;

    fn assert_row(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (&got, &expected) in got.iter().zip(expected) {
            close!(got, expected, epsilon = 1e-14, max_relative = 1e-14);
        }
    }

    #[test]
    fn linear_is_out_by_in_with_bias() {
        let weight = vec![vec![1.0, 2.0, 3.0], vec![-1.0, 0.5, 0.0]];
        assert_row(&linear(&weight, None, &[1.0, 10.0, 100.0]), &[321.0, 4.0]);
        assert_row(&linear(&weight, Some(&[0.25, -4.0]), &[1.0, 10.0, 100.0]), &[321.25, 0.0]);
    }

    #[test]
    fn embed_takes_rows() {
        let table = vec![vec![0.0, 1.0], vec![2.0, 3.0], vec![4.0, 5.0]];
        assert_eq!(embed(&table, &[2, 0, 2]), vec![vec![4.0, 5.0], vec![0.0, 1.0], vec![4.0, 5.0]]);
    }

    #[test]
    fn rms_norm_divides_by_the_root_of_mean_square_plus_eps() {
        // mean(9, 16) = 12.5; with eps = 3.5 the root is 4.
        assert_row(&rms_norm(&[3.0, -4.0], &[1.0, 2.0], 3.5), &[0.75, -2.0]);
        assert_row(&rms_norm(&[0.0, 0.0], &[1.0, 2.0], 1e-5), &[0.0, 0.0]);
    }

    #[test]
    fn rope_turns_pairs_half_a_head_apart() {
        // theta 100 over head_dim 4: frequencies 1 and 100^(-1/2) = 0.1; the second head turns like the first.
        let mut x = vec![1.0, 0.0, 0.0, 1.0, 0.0, 2.0, 3.0, 0.0];
        rope(&mut x, 4, 2, 100.0);
        let ((s0, c0), (s1, c1)) = (2f64.sin_cos(), 0.2f64.sin_cos());
        assert_row(&x, &[c0, -s1, s0, c1, -3.0 * s0, 2.0 * c1, 3.0 * c0, 2.0 * s1]);
    }

    #[test]
    fn rope_makes_scores_relative() {
        let (q, k) = ([0.3, -1.2, 0.7, 0.1, 2.0, 0.4], [1.1, 0.2, -0.5, 0.9, -0.3, 0.8]);
        let score = |m, n| -> f64 {
            let (mut q, mut k) = (q, k);
            rope(&mut q, 6, m, 1e4);
            rope(&mut k, 6, n, 1e4);
            dot(&q, &k)
        };
        close!(score(7, 3), score(104, 100), max_relative = 1e-12);
        assert!((score(7, 3) - score(3, 7)).abs() > 1e-3);
    }

    #[test]
    fn attention_is_causal_scaled_and_grouped() {
        // Four query heads of width 4 over two KV heads. Key 1 meets heads 0 and 3 alone, with a score of
        // 2·ln 3 / sqrt(4) = ln 3: its weight there is 3/4, elsewhere 1/2.
        let head = |x: f64| vec![x, 0.0, 0.0, 0.0];
        let q = [2.0, 0.0, 0.0, 2.0].map(head).concat();
        let k = |x: f64| [x, x].map(head).concat();
        let v = |a: f64, b: f64| [vec![a; 4], vec![b; 4]].concat();
        let out =
            causal_attention(&[q.clone(), q], &[k(0.0), k(3f64.ln())], &[v(0.0, 100.0), v(4.0, 104.0)], 4);
        let wide = |x: [f64; 4]| x.map(|x| vec![x; 4]).concat();
        assert_row(&out[0], &wide([0.0, 0.0, 100.0, 100.0]));
        assert_row(&out[1], &wide([3.0, 2.0, 102.0, 103.0]));
    }

    #[test]
    fn attention_scale_is_of_the_true_head_dim() {
        let rows = |x: f64| vec![vec![x, 0.0, 0.0, 0.0, 0.0, 0.0]];
        let (q, k) = ([rows(0.0), rows(1.5)].concat(), [rows(0.0), rows(2.0)].concat());
        let out = causal_attention(&q, &k, &[rows(0.0), rows(1.0)].concat(), 6);
        close!(out[1][0], 1.0 / (1.0 + (-3.0 / 6f64.sqrt()).exp()), max_relative = 1e-14);
    }

    #[test]
    fn softmax_and_swiglu_by_hand() {
        assert_row(&softmax(&[0.0, 3f64.ln()]), &[0.25, 0.75]);
        assert_row(&softmax(&[1e3, 1e3, -1e3]), &[0.5, 0.5, 0.0]);
        assert_row(&softmax::<f64>(&[]), &[]);
        assert_row(&swiglu(&[0.0, 3f64.ln(), -800.0], &[5.0, 2.0, 1.0]), &[0.0, 1.5 * 3f64.ln(), 0.0]);
    }

    #[test]
    fn log_probability_is_normalised() {
        close!(log_probability(&[0.0, 3f64.ln(), 800.0 - 800.0], 1), (0.6f64).ln(), max_relative = 1e-14);
        close!(log_probability(&[1e4, 0.0], 1), -1e4, max_relative = 1e-14);
        close!(log_probability(&[0.0f32; 8], 3), -(8f64.ln()), max_relative = 1e-14);
    }

    #[test]
    fn bf16_accumulates_a_dot_in_f32_and_rounds_once() {
        // 256 + 1 is a tie in bf16 (to 256): rounding after each product would leave 256.
        let ones: Vec<bf16> = [256.0, 1.0, 1.0].map(bf16::from_f64).to_vec();
        let dot = dot(&ones, &[bf16::ONE; 3]);
        assert_eq!(dot.to_f64(), 258.0);
    }

    #[test]
    fn bf16_rounds_norm_before_gain() {
        let x = [1.0, 2.0].map(bf16::from_f64);
        let gain = [1.0, 1.0 + 2f64.powi(-7)].map(bf16::from_f64);
        let normed = |x: f32| bf16::from_f32(x / 2.5f32.sqrt());
        let expected = [normed(1.0), bf16::from_f32(normed(2.0).to_f32() * gain[1].to_f32())];
        assert_eq!(rms_norm(&x, &gain, 0.0), expected);
    }
}
