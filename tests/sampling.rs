//! The sampler of the backends against the one written from the definition.

use photon_kernels::reference::sampler;
use photon_kernels::sampling::{Draw, Sampling, Scratch, pick};

/// Settings and logits of one case, from counter-based random numbers.
struct Case(u64, u32);

impl Case {
    /// In (0, 1).
    fn next(&mut self) -> f64 {
        self.1 += 1;
        sampler::uniform(17, self.1, self.0)
    }

    fn among<T: Copy>(&mut self, values: &[T]) -> T {
        values[(self.next() * values.len() as f64) as usize]
    }

    fn sampling(&mut self) -> Sampling {
        let (top_p, min_p) = (self.next() as f32, 0.3 * self.next() as f32);
        Sampling {
            temperature: self.among(&[0.0, 0.3, 0.7, 1.0, 1.7]),
            top_k: self.among(&[0, 0, 1, 2, 5, 12, 1000]),
            top_p: self.among(&[1.0, top_p]),
            min_p: self.among(&[0.0, min_p]),
            seed: self.0 << 20,
        }
    }

    /// Some vocabularies are full of ties, some have logits that are no numbers.
    fn logits(&mut self) -> Vec<f32> {
        let grain = self.among(&[1.0, 0.25, 1e-6]);
        let spoiled = self.among(&[0.0, 0.0, 0.1]);
        (0..self.among(&[1, 2, 7, 40, 600]))
            .map(|_| {
                let spoiled = self.next() < spoiled;
                let value = ((self.next() - 0.5) * 10.0 / grain).round() * grain;
                if spoiled { self.among(&[f32::NAN, f32::NEG_INFINITY]) } else { value as f32 }
            })
            .collect()
    }
}

#[test]
fn pick_draws_what_the_definition_draws() {
    let mut scratch = Scratch::default();
    for number in 0..20_000 {
        let mut case = Case(number, 0);
        let (sampling, logits) = (case.sampling(), case.logits());
        let draw = Draw { sampling, sequence: number as u32 % 7, position: number << 30, forced: None };
        let got = pick(&logits, &mut scratch, &draw);
        let expected = sampler::sample(&logits, &sampling, draw.sequence, draw.position);
        assert_eq!(got, expected, "case {number}: {sampling:?} of {} logits", logits.len());
    }
}
