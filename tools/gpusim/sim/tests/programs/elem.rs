//! Element types of buffers: encoding and decoding, written apart from the crate that the device uses.

/// A binary floating-point format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits of the exponent field.
    pub exponent: u32,
    /// Stored bits of the significand.
    pub mantissa: u32,
    /// Whether the largest exponent holds infinities (all but e4m3, which has one NaN there instead).
    pub infinities: bool,
}

pub const F64: Format = Format { exponent: 11, mantissa: 52, infinities: true };
pub const F32: Format = Format { exponent: 8, mantissa: 23, infinities: true };
pub const F16: Format = Format { exponent: 5, mantissa: 10, infinities: true };
pub const BF16: Format = Format { exponent: 8, mantissa: 7, infinities: true };
pub const TF32: Format = Format { exponent: 8, mantissa: 10, infinities: true };
pub const E4M3: Format = Format { exponent: 4, mantissa: 3, infinities: false };
pub const E5M2: Format = Format { exponent: 5, mantissa: 2, infinities: true };

impl Format {
    pub fn bias(self) -> i64 {
        (1 << (self.exponent - 1)) - 1
    }

    /// Exponent of the lowest bit of denormals.
    pub fn lowest(self) -> i64 {
        1 - self.bias() - self.mantissa as i64
    }

    /// The largest finite value.
    pub fn largest(self) -> f64 {
        let steps = (1u64 << (self.mantissa + 1)) - if self.infinities { 1 } else { 2 };
        let top = (1i64 << self.exponent) - if self.infinities { 2 } else { 1 } - self.bias();
        steps as f64 * pow2(top - self.mantissa as i64)
    }

    pub fn decode(self, bits: u64) -> f64 {
        let fraction = bits & ((1 << self.mantissa) - 1);
        let top = (1u64 << self.exponent) - 1;
        let exponent = bits >> self.mantissa & top;
        let sign = if bits >> (self.mantissa + self.exponent) & 1 == 1 { -1.0 } else { 1.0 };
        if self.infinities && exponent == top {
            return if fraction == 0 { sign * f64::INFINITY } else { f64::NAN };
        }
        if !self.infinities && exponent == top && fraction == (1 << self.mantissa) - 1 {
            return f64::NAN;
        }
        if self.mantissa == 52 {
            return f64::from_bits(bits);
        }
        let (significand, scale) = match exponent {
            0 => (fraction, self.lowest()),
            _ => (fraction | 1 << self.mantissa, exponent as i64 - self.bias() - self.mantissa as i64),
        };
        sign * significand as f64 * pow2(scale)
    }

    /// The bits of a value that the format holds exactly; NaN gets a quiet one.
    pub fn encode(self, value: f64) -> u64 {
        let top = (1u64 << self.exponent) - 1;
        let sign = (value.is_sign_negative() as u64) << (self.mantissa + self.exponent);
        if value.is_nan() {
            return if self.infinities {
                top << self.mantissa | 1 << (self.mantissa - 1)
            } else {
                (1 << (self.mantissa + self.exponent)) - 1
            };
        }
        if value.is_infinite() {
            assert!(self.infinities);
            return sign | top << self.mantissa;
        }
        if value == 0.0 {
            return sign;
        }
        if self.mantissa == 52 {
            return value.to_bits();
        }
        let mut exponent = (value.abs().to_bits() >> 52) as i64 - 1023;
        exponent = exponent.max(1 - self.bias());
        let steps = value.abs() / pow2(exponent - self.mantissa as i64);
        assert_eq!(steps.fract(), 0.0, "{value:e} does not fit {self:?}");
        let steps = steps as u64;
        let field = if steps >> self.mantissa == 0 { 0 } else { (exponent + self.bias()) as u64 };
        assert!(steps >> (self.mantissa + 1) == 0 && field <= top);
        sign | field << self.mantissa | steps & ((1 << self.mantissa) - 1)
    }

    /// Nearest value, ties to even; overflow is infinite, or NaN where there is no infinity.
    pub fn round(self, value: f64) -> f64 {
        if self.mantissa == 52 || !value.is_finite() || value == 0.0 {
            return value;
        }
        let ulp = self.ulp(value);
        let rounded = (value / ulp).round_ties_even() * ulp;
        match (rounded.abs() <= self.largest(), self.infinities) {
            (true, _) => rounded.copysign(value),
            (false, true) => f64::INFINITY.copysign(value),
            (false, false) => f64::NAN,
        }
    }

    /// Distance from |value| to the next value further from zero.
    pub fn ulp(self, value: f64) -> f64 {
        let value = value.abs().min(self.largest());
        let exponent = if value < f64::MIN_POSITIVE { -1023 } else { (value.to_bits() >> 52) as i64 - 1023 };
        pow2((exponent - self.mantissa as i64).max(self.lowest()))
    }
}

/// 2^e, exactly, also denormal.
pub fn pow2(e: i64) -> f64 {
    match e {
        1024.. => f64::INFINITY,
        -1022.. => f64::from_bits(((e + 1023) as u64) << 52),
        -1074.. => f64::from_bits(1 << (e + 1074)),
        _ => 0.0,
    }
}

/// Element type by the manifest's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    Float(Format),
    Int { bytes: usize, signed: bool },
}

impl Elem {
    pub fn named(name: &str) -> Elem {
        let int = |bytes, signed| Elem::Int { bytes, signed };
        match name {
            "fp64" | "f64" => Elem::Float(F64),
            "fp32" | "f32" => Elem::Float(F32),
            "tf32" => Elem::Float(TF32),
            "fp16" | "f16" => Elem::Float(F16),
            "bf16" => Elem::Float(BF16),
            "fp8e4nv" | "e4m3" => Elem::Float(E4M3),
            "fp8e5" | "e5m2" => Elem::Float(E5M2),
            "i8" => int(1, true),
            "u8" => int(1, false),
            "i16" => int(2, true),
            "u16" => int(2, false),
            "i32" => int(4, true),
            "u32" => int(4, false),
            "i64" => int(8, true),
            "u64" => int(8, false),
            _ => panic!("element type {name}"),
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            Elem::Float(TF32) => 4,
            Elem::Float(format) => (1 + format.exponent + format.mantissa) as usize / 8,
            Elem::Int { bytes, .. } => bytes,
        }
    }

    pub fn format(self) -> Format {
        match self {
            Elem::Float(format) => format,
            Elem::Int { .. } => panic!("an integer type where a float is meant"),
        }
    }

    /// Bits as stored: TF32 lies in the upper bits of a word.
    pub fn value(self, bits: u64) -> f64 {
        match self {
            Elem::Float(TF32) => TF32.decode(bits >> 13),
            Elem::Float(format) => format.decode(bits),
            Elem::Int { .. } => self.integer(bits) as f64,
        }
    }

    pub fn integer(self, bits: u64) -> i128 {
        let Elem::Int { bytes, signed } = self else { panic!("a float type where an integer is meant") };
        let shift = 64 - 8 * bytes as u32;
        if signed { ((bits << shift) as i64 >> shift) as i128 } else { (bits << shift >> shift) as i128 }
    }

    /// The stored bits of a value that the type holds exactly.
    pub fn bits(self, value: f64) -> u64 {
        match self {
            Elem::Float(TF32) => TF32.encode(value) << 13,
            Elem::Float(format) => format.encode(value),
            Elem::Int { .. } => value as i64 as u64,
        }
    }
}

/// A buffer's contents.
#[derive(Clone, Debug)]
pub struct Array {
    pub elem: Elem,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Array {
    pub fn new(elem: Elem, shape: &[usize], bits: impl IntoIterator<Item = u64>) -> Array {
        let count: usize = shape.iter().product();
        let mut bytes = Vec::with_capacity(count * elem.bytes());
        bits.into_iter().take(count).for_each(|word| bytes.extend(&word.to_le_bytes()[..elem.bytes()]));
        assert_eq!(bytes.len(), count * elem.bytes());
        Array { elem, shape: shape.to_vec(), bytes }
    }

    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn bits(&self, i: usize) -> u64 {
        let size = self.elem.bytes();
        let mut word = [0; 8];
        word[..size].copy_from_slice(&self.bytes[i * size..(i + 1) * size]);
        u64::from_le_bytes(word)
    }

    pub fn f(&self, i: usize) -> f64 {
        self.elem.value(self.bits(i))
    }

    pub fn i(&self, i: usize) -> i128 {
        self.elem.integer(self.bits(i))
    }

    pub fn floats(&self) -> Vec<f64> {
        (0..self.len()).map(|i| self.f(i)).collect()
    }
}
