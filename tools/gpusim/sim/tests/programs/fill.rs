//! Seeded contents of input buffers.

use crate::elem::{Array, Elem, F32, F64, TF32, pow2};
use crate::manifest::Buffer;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * pow2(-53)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// How far `wide` may go, beyond the type itself.
#[derive(Clone, Copy, Default)]
pub struct Wide {
    /// Magnitudes stay at or below this.
    pub limit: Option<f64>,
    /// Infinities and NaN too.
    pub specials: bool,
}

/// None for `unwritten` and `pointers`.
pub fn fill(buffer: &Buffer, random: &mut Random, wide: Wide) -> Option<Array> {
    let elem = Elem::named(&buffer.elem);
    let count: usize = buffer.shape.iter().product();
    let init = buffer.init.as_str();
    if init == "unwritten" || init.starts_with("pointers") {
        return None;
    }
    let bits: Vec<u64> = match init.strip_prefix("packed:") {
        Some(packed) => {
            let packed = Elem::named(packed);
            let kind = if matches!(packed, Elem::Int { .. }) { "small" } else { "normal" };
            let lanes = elem.bytes() / packed.bytes();
            let mut word = || {
                (0..lanes).fold(0, |word, lane| {
                    let mask = u64::MAX >> (64 - 8 * packed.bytes());
                    word | (one(packed, kind, 0, random, wide) & mask) << (8 * packed.bytes() * lane)
                })
            };
            (0..count).map(|_| word()).collect()
        }
        None => (0..count).map(|i| one(elem, init, i, random, wide)).collect(),
    };
    Some(Array::new(elem, &buffer.shape, bits))
}

fn one(elem: Elem, init: &str, i: usize, random: &mut Random, wide: Wide) -> u64 {
    if let Some(limit) = init.strip_prefix("below:") {
        return random.below(limit.parse().expect("a limit"));
    }
    match (init, elem) {
        ("zero", _) => 0,
        ("iota", _) => elem.bits(i as f64),
        ("positive", _) => elem.bits(1.0 + random.below(100) as f64),
        ("small", Elem::Int { signed, .. }) => {
            elem.bits(if signed { random.below(17) as f64 - 8.0 } else { random.below(9) as f64 })
        }
        ("bits", Elem::Int { .. }) => match random.below(8) {
            0 => edge(random),
            _ => random.bits(),
        },
        ("nonzero", Elem::Int { .. }) => loop {
            let bits = random.bits() >> random.below(20);
            let value = elem.integer(bits);
            if value != 0 && value != -1 {
                return bits;
            }
        },
        ("normal", Elem::Int { .. }) => elem.bits((random.normal() * 30.0).round().clamp(-128.0, 127.0)),
        ("normal", Elem::Float(format)) => elem.bits(format.round(random.normal())),
        ("unit", Elem::Float(format)) => elem.bits(format.round(random.unit())),
        ("half", Elem::Float(format)) => {
            // A value of f16, or of the format's own where that is finer.
            let value = match random.below(10) {
                0 => 0.0,
                1 => random.below(1024) as f64 * pow2(-24),
                2 => random.unit() * 65504.0,
                3 => random.below(33) as f64 - 16.0,
                4 => random.below(64) as f64 * 0.5,
                _ => random.normal() * pow2(random.below(12) as i64 - 6),
            };
            let value = if random.below(2) == 0 { value } else { -value };
            elem.bits(format.round(value.clamp(-65504.0, 65504.0)))
        }
        ("wide", Elem::Float(format)) => loop {
            let choice = random.below(16);
            let mut value = match choice {
                0 => 0.0,
                1 => random.below(1 << format.mantissa.min(20)) as f64 * pow2(format.lowest()),
                2 => random.below(200) as f64 * 0.5,
                3 => random.normal(),
                4 => (random.bits() >> random.below(64)) as f64,
                5 if wide.specials && (format == F32 || format == F64) => {
                    if random.below(2) == 0 {
                        f64::INFINITY
                    } else {
                        f64::NAN
                    }
                }
                _ => elem.value(random.bits() & (u64::MAX >> (64 - 8 * elem.bytes()))),
            };
            if random.below(2) == 0 {
                value = -value;
            }
            if !value.is_finite() && !(choice == 5 && wide.specials && (format == F32 || format == F64)) {
                continue;
            }
            let limit = wide.limit.unwrap_or(f64::INFINITY);
            if value.is_finite() {
                value = format.round(value);
                if !value.is_finite() || value.abs() > limit {
                    continue;
                }
            }
            assert!(format != TF32);
            return elem.bits(value);
        },
        _ => panic!("init {init} of {elem:?}"),
    }
}

/// Integers at which things change.
fn edge(random: &mut Random) -> u64 {
    const EDGES: [u64; 9] =
        [0, 1, u64::MAX, 1 << 31, 1 << 63, 0x7FFF_FFFF, i64::MAX as u64, 0x8000_0000_8000_0000, 0xFFFF_FFFF];
    EDGES[random.below(EDGES.len() as u64) as usize]
}
