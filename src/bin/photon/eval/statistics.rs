//! Estimates with their 95 % confidence intervals.

use serde::Serialize;

/// 97.5 % quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
const STUDENT: [f64; 30] = [
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604,
    2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555,
    2.0518, 2.0484, 2.0452, 2.0423,
];

/// A figure and what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// What was found.
    pub value: f64,
    /// The 95 % confidence interval; `None` where one sample says nothing about others.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// The estimate of a rising function of the figure.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Estimate { value: f(self.value), interval: self.interval.map(|ends| ends.map(f)) }
    }

    /// `1.234 [1.200, 1.268]` with so many decimals.
    pub fn show(&self, decimals: usize) -> String {
        match self.interval {
            None => format!("{:.decimals$}", self.value),
            Some([low, high]) => format!("{:.decimals$} [{low:.decimals$}, {high:.decimals$}]", self.value),
        }
    }
}

/// `Σ above / Σ below` over independent samples `(above, below)`.
///
/// The interval is the linearised ratio estimator's: the residuals `above - ratio · below` have mean 0, and their
/// standard error over the samples is divided by the mean of `below`; Student's t with one degree of freedom less than
/// there are samples.
pub fn ratio(samples: &[(f64, f64)]) -> Estimate {
    let n = samples.len() as f64;
    let below: f64 = samples.iter().map(|(_, below)| below).sum();
    let value = samples.iter().map(|(above, _)| above).sum::<f64>() / below;
    if samples.len() < 2 {
        return Estimate { value, interval: None };
    }
    let squares: f64 = samples.iter().map(|(above, below)| (above - value * below).powi(2)).sum();
    let error = (squares * n / (n - 1.0)).sqrt() / below;
    let half = student(samples.len() - 1) * error;
    Estimate { value, interval: Some([value - half, value + half]) }
}

/// `successes / n` with Wilson's score interval, which holds near 0 and 1 too. `n` is at least 1.
pub fn wilson(successes: usize, n: usize) -> Estimate {
    let (p, n) = (successes as f64 / n as f64, n as f64);
    let square = NORMAL * NORMAL;
    let middle = (p + square / (2.0 * n)) / (1.0 + square / n);
    let half = NORMAL / (1.0 + square / n) * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt();
    Estimate { value: p, interval: Some([(middle - half).max(0.0), (middle + half).min(1.0)]) }
}

/// 97.5 % quantile of Student's t; beyond the table by Cornish and Fisher's expansion, right to 1e-5 there.
fn student(freedom: usize) -> f64 {
    match STUDENT.get(freedom - 1) {
        Some(&quantile) => quantile,
        None => {
            let (z, f) = (NORMAL, freedom as f64);
            let first = z.powi(3) + z;
            let second = 5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z;
            let third = 3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z;
            z + first / (4.0 * f) + second / (96.0 * f.powi(2)) + third / (384.0 * f.powi(3))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64) {
        assert!((got - want).abs() < 5e-5, "{got} is not {want}");
    }

    #[test]
    fn wilson_intervals_are_those_of_the_books() {
        // Newcombe (1998), table I, method 3.
        for (successes, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let Estimate { value, interval: Some([from, to]) } = wilson(successes, n) else { panic!() };
            assert_eq!(value, successes as f64 / n as f64);
            near(from, low);
            near(to, high);
        }
        assert_eq!(wilson(20, 20).interval.unwrap()[1], 1.0);
    }

    #[test]
    fn a_ratio_of_equal_denominators_is_a_mean_with_students_interval() {
        let estimate = ratio(&[(1.0, 2.0), (2.0, 2.0), (6.0, 2.0)]);
        near(estimate.value, 1.5);
        // Mean of 0.5, 1, 3 with standard deviation 1.3229, over sqrt 3, times t of 2 degrees.
        let [low, high] = estimate.interval.unwrap();
        near(high - estimate.value, 4.3027 * 1.322_876 / 3f64.sqrt());
        near(high + low, 3.0);
    }

    #[test]
    fn long_samples_count_for_more_and_one_sample_has_no_interval() {
        near(ratio(&[(1.0, 1.0), (6.0, 2.0)]).value, 7.0 / 3.0);
        assert_eq!(ratio(&[(3.0, 2.0)]), Estimate { value: 1.5, interval: None });
        assert_eq!(ratio(&[(3.0, 2.0); 5]).interval, Some([1.5, 1.5]));
    }

    #[test]
    fn students_quantile_goes_on_smoothly_beyond_the_table() {
        near(student(1), 12.7062);
        near(student(31), 2.0395);
        near(student(40), 2.0211);
        near(student(60), 2.0003);
        near(student(219), 1.9709);
        assert!((student(1_000_000) - NORMAL).abs() < 1e-5);
    }
}
