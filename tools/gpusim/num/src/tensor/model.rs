//! Bit-accurate models of the floating-point tensor cores.
//!
//! The models are those of MMA-Sim (P. Xie, Y. Wang, F. Yang, M. Yang, "MMA-Sim: Bit-Accurate Reference Model of Tensor Cores and Matrix
//! Cores", arXiv 2511.10909, MIT licence), written anew in integer arithmetic:
//!
//! - k is cut into steps of a fixed number of bytes; the result of a step is the accumulator of the next.
//! - In a step all products and the accumulator are aligned to the largest exponent among them and truncated toward
//!   zero to `fraction_bits` bits below it. A product's exponent is the sum of its operands' exponents, not normalised. Zeros
//!   take part with an exponent of their own, `zero_exponent`.
//! - The exact sum of these is rounded: toward zero to f32 (overflow still is infinity), toward zero to 13
//!   fraction bits (fp8 on sm_89 and in wgmma), or to nearest even to f16. There is no negative zero.

use std::ops::Range;

use super::{Class, Element, Term};
use crate::Rounding;
use crate::f32::NAN as NAN_F32;
use crate::format::Format;
use crate::half::NAN as NAN_F16;
use crate::lanes::vectorised;
use crate::round::{Exact, round_exact};

/// What the models distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// sm_70, sm_72.
    Volta,
    /// sm_75.
    Turing,
    /// sm_80, sm_86, sm_87.
    Ampere,
    /// sm_89.
    Ada,
    /// sm_90.
    Hopper,
    /// sm_100, sm_103: `mma.sync` and the non-scaled `tcgen05.mma`.
    Blackwell,
    /// sm_120.
    BlackwellRtx,
}

impl Architecture {
    /// The architecture of an `sm_` number.
    pub fn from_sm(sm: u32) -> Option<Architecture> {
        Some(match sm {
            70..=72 => Architecture::Volta,
            75 => Architecture::Turing,
            80..=88 => Architecture::Ampere,
            89 => Architecture::Ada,
            90 => Architecture::Hopper,
            100..=119 => Architecture::Blackwell,
            120..=129 => Architecture::BlackwellRtx,
            _ => return None,
        })
    }
}

/// The type of C and D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accumulator {
    /// f16, in the low 16 bits.
    F16,
    /// f32.
    F32,
}

/// What a model rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Published as bit-accurate against hardware.
    Published,
    /// Derived from how the instruction is known to be translated; not checked on hardware.
    Inferred,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Toward zero to f32.
    F32,
    /// Toward zero to 13 fraction bits of an f32.
    F32Short,
    /// To nearest even to f16.
    F16,
}

/// The arithmetic of one tensor-core instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    a: Element,
    b: Element,
    /// Operands are converted to f16 first; `a` and `b` still name their own types.
    widened: bool,
    fraction_bits: i32,
    step: usize,
    zero_exponent: i32,
    output: Output,
}

impl Model {
    /// `mma.sync` with the given types. `volta_shape` says that the shape is m8n8k4, which sm_75 still
    /// computes like sm_70. None where the architecture has no such instruction (or the model is unknown).
    pub fn mma(
        arch: Architecture,
        a: Element,
        b: Element,
        accumulator: Accumulator,
        volta_shape: bool,
    ) -> Option<Model> {
        use Architecture::{Ada, Ampere, Blackwell, BlackwellRtx, Hopper, Turing, Volta};
        let fp8 = |e| matches!(e, Element::E4m3 | Element::E5m2);
        let narrow = a.bytes() == 1 && b.bytes() == 1;
        let both = |e| a == e && b == e;
        let exists = match arch {
            Volta => both(Element::F16) && volta_shape,
            Turing => both(Element::F16),
            _ if volta_shape => false,
            _ if both(Element::F16) => true,
            _ if both(Element::Bf16) || both(Element::Tf32) => accumulator == Accumulator::F32,
            Ada | Hopper => fp8(a) && fp8(b),
            BlackwellRtx => narrow,
            _ => false,
        };
        if !exists {
            return None;
        }
        let (mut fraction_bits, mut bytes) = match arch {
            Volta => (23, 8),
            Turing if volta_shape => (23, 8),
            Turing | Ampere | Ada => (24, 16),
            Hopper | Blackwell | BlackwellRtx => (25, 32),
        };
        let mut zero_exponent = -(fraction_bits + if accumulator == Accumulator::F16 { -4 } else { 108 });
        if arch == Ada && narrow {
            zero_exponent = if accumulator == Accumulator::F16 { -20 } else { -132 };
            fraction_bits = 13;
        }
        // sm_90 has no fp8 mma.sync: ptxas widens to f16, exactly, and uses the f16 instruction, 16 elements a step.
        let widened = arch == Hopper && narrow;
        if widened {
            bytes = 16;
        }
        let output = match accumulator {
            Accumulator::F16 => Output::F16,
            Accumulator::F32 if fraction_bits == 13 => Output::F32Short,
            Accumulator::F32 => Output::F32,
        };
        Some(Model { a, b, widened, fraction_bits, step: bytes / a.bytes(), zero_exponent, output })
    }

    /// `wgmma.mma_async` of sm_90a.
    pub fn wgmma(a: Element, b: Element, accumulator: Accumulator) -> Option<Model> {
        let fp8 = |e| matches!(e, Element::E4m3 | Element::E5m2);
        if !(fp8(a) && fp8(b)) {
            return Model::mma(Architecture::Hopper, a, b, accumulator, false);
        }
        let (zero_exponent, output) = match accumulator {
            Accumulator::F16 => (-21, Output::F16),
            Accumulator::F32 => (-133, Output::F32Short),
        };
        Some(Model { a, b, fraction_bits: 13, step: 32, zero_exponent, output, widened: false })
    }

    /// `tcgen05.mma` of sm_100 without block scaling.
    pub fn tcgen05(a: Element, b: Element, accumulator: Accumulator) -> Option<Model> {
        if a.bytes() == 1 && b.bytes() == 1 {
            return Model::mma(Architecture::BlackwellRtx, a, b, accumulator, false);
        }
        Model::mma(Architecture::Blackwell, a, b, accumulator, false)
    }

    /// What the model rests on.
    pub const fn evidence(&self) -> Evidence {
        if self.widened { Evidence::Inferred } else { Evidence::Published }
    }

    /// The type of C and D.
    pub const fn accumulator(&self) -> Accumulator {
        match self.output {
            Output::F16 => Accumulator::F16,
            _ => Accumulator::F32,
        }
    }

    /// One element of D for a whole instruction: `a` and `b` hold the k elements in the low bits of each word, `c` and
    /// the result the accumulator. `b` has `a`'s length; k is at most 64.
    pub fn dot(&self, a: &[u32], b: &[u32], c: u32) -> u32 {
        let (mut x, mut y) = (Vector::default(), Vector::default());
        self.decode(&mut x, self.a, a.iter().copied());
        self.decode(&mut y, self.b, b.iter().copied());
        self.chain(&x, &y, c)
    }

    /// A whole tile: A is m×k by rows, B k×n by **columns** (`b[n·k + k]`), C and D m×n by rows; one word per element.
    pub fn tile(&self, (m, n, k): (usize, usize, usize), a: &[u32], b: &[u32], c: &[u32], d: &mut [u32]) {
        assert!(
            a.len() >= m * k && b.len() >= n * k && c.len() >= m * n && d.len() >= m * n,
            "the tile is {m}x{n}x{k}"
        );
        let decoded = |element, bits: &[u32]| {
            let vectors = bits.chunks_exact(k).map(|bits| {
                let mut vector = Vector::default();
                self.decode(&mut vector, element, bits.iter().copied());
                vector
            });
            vectors.collect::<Vec<_>>()
        };
        let (rows, columns) = (decoded(self.a, &a[..m * k]), decoded(self.b, &b[..n * k]));
        let (mut x, mut y) = (Spread::default(), Spread::default());
        for (block, columns) in columns.chunks(8).enumerate() {
            y.columns(columns, k);
            for (group, rows) in rows.chunks(4).enumerate() {
                x.rows(rows, k);
                let place = |row, column| (4 * group + row) * n + 8 * block + column;
                let mut sums = [0; 32];
                for row in 0..rows.len() {
                    let width = columns.len();
                    sums[8 * row..][..width].copy_from_slice(&c[place(row, 0)..][..width]);
                }
                self.chain32((rows, columns), (&x, &y), k, &mut sums);
                for row in 0..rows.len() {
                    let width = columns.len();
                    d[place(row, 0)..][..width].copy_from_slice(&sums[8 * row..][..width]);
                }
            }
        }
    }

    /// [`Self::chain`] for four rows and eight columns at once; what the lanes beyond the given rows and columns hold does not matter.
    fn chain32(
        &self,
        (rows, columns): (&[Vector], &[Vector]),
        (a, b): (&Spread, &Spread),
        k: usize,
        c: &mut [u32; 32],
    ) {
        let scale = self.fraction_bits - self.man(self.a) - self.man(self.b);
        let mut start = 0;
        while start < k {
            let end = (start + self.step).min(k);
            let special = if self.output == Output::F16 { 0x7c00 } else { 0x7f80_0000 };
            if a.special || b.special || c.iter().any(|c| c & special == special) {
                for (i, row) in rows.iter().enumerate() {
                    for (j, column) in columns.iter().enumerate() {
                        c[8 * i + j] = self.fused(row, column, start..end, c[8 * i + j]);
                    }
                }
            } else {
                let addends = c.map(|c| self.addend(c));
                let exp = addends.map(|x| if x.sig == 0 { self.zero_exponent } else { x.exp });
                let (mut sums, mut largest) = ([0; 32], exp);
                aligned_sums(a, b, start, end, self.zero_exponent, scale, &mut largest, &mut sums);
                for lane in 0..32 {
                    let shift = self.fraction_bits - self.addend_man() + exp[lane] - largest[lane];
                    let sum = sums[lane] + i64::from(align(addends[lane].sig, shift));
                    c[lane] = self.round(sum, largest[lane] - self.fraction_bits);
                }
            }
            start = end;
        }
    }

    /// Fraction bits of a decoded operand.
    fn man(&self, element: Element) -> i32 {
        if self.widened { 10 } else { element.format().man_bits as i32 }
    }

    fn addend_man(&self) -> i32 {
        if self.output == Output::F16 { 10 } else { 23 }
    }

    fn decode(&self, vector: &mut Vector, element: Element, bits: impl ExactSizeIterator<Item = u32>) {
        if self.widened {
            let format = element.format();
            let widen = |x: u32| Format::F16.encode(format.decode(x.into()), Rounding::Rn, false) as u32;
            vector.decode(Element::F16, bits.map(widen));
        } else {
            vector.decode(element, bits);
        }
    }

    fn chain(&self, a: &Vector, b: &Vector, mut c: u32) -> u32 {
        let k = a.len.min(b.len);
        let mut start = 0;
        while start < k {
            let step = self.step.min(k - start);
            c = self.fused(a, b, start..start + step, c);
            start += step;
        }
        c
    }

    fn addend(&self, c: u32) -> Term {
        if self.output == Output::F16 { Term::of(&Format::F16, c) } else { Term::of(&Format::F32, c) }
    }

    /// One step: products and accumulator, added in fixed point.
    fn fused(&self, a: &Vector, b: &Vector, range: Range<usize>, c: u32) -> u32 {
        let addend = self.addend(c);
        if a.special || b.special || addend.class != Class::Finite {
            let products = range.clone().map(|i| (a.term(i), b.term(i)));
            if let Some(result) = self.special(products, addend) {
                return result;
            }
        }
        let addend_exp = if addend.sig == 0 { self.zero_exponent } else { addend.exp };
        let scale = self.fraction_bits - self.man(self.a) - self.man(self.b);
        let (sum, exp) = aligned_sum(a, b, range, self.zero_exponent, addend_exp, scale);
        let sum =
            sum + i64::from(align(addend.sig, self.fraction_bits - self.addend_man() + addend_exp - exp));
        self.round(sum, exp - self.fraction_bits)
    }

    /// The result if an operand is infinite or NaN.
    fn special(&self, products: impl Iterator<Item = (Term, Term)>, addend: Term) -> Option<u32> {
        let nan = if self.output == Output::F16 { NAN_F16.into() } else { NAN_F32 };
        let (mut plus, mut minus) = (false, false);
        match addend.class {
            Class::Nan => return Some(nan),
            Class::Infinite if addend.sig < 0 => minus = true,
            Class::Infinite => plus = true,
            Class::Finite => {}
        }
        for (x, y) in products {
            if x.class == Class::Nan || y.class == Class::Nan {
                return Some(nan);
            }
            if x.class == Class::Infinite || y.class == Class::Infinite {
                if x.sig == 0 || y.sig == 0 {
                    return Some(nan);
                }
                if (x.sig < 0) == (y.sig < 0) { plus = true } else { minus = true }
            }
        }
        let infinity = if self.output == Output::F16 { (0x7c00, 0x8000) } else { (0x7f80_0000, 0x8000_0000) };
        match (plus, minus) {
            (true, true) => Some(nan),
            (true, false) => Some(infinity.0),
            (false, true) => Some(infinity.0 | infinity.1),
            (false, false) => None,
        }
    }

    /// Rounds `sum · 2^exp`.
    fn round(&self, sum: i64, exp: i32) -> u32 {
        match self.output {
            Output::F32 => truncate(sum, exp, 23),
            Output::F32Short => truncate(sum, exp, 13) << 10,
            Output::F16 => {
                let exact = Exact { neg: sum < 0, sig: u128::from(sum.unsigned_abs()), exp };
                let h = round_exact(exact, &Format::F16, Rounding::Rn, false) as u32;
                if h == 0x8000 { 0 } else { h }
            }
        }
    }
}

/// `sum · 2^exp` toward zero with f32's exponents and `man` fraction bits: sign, exponent and fraction side by side. Overflow is
/// infinity; a negative result that vanishes is +0.
pub(super) fn truncate(sum: i64, exp: i32, man: i32) -> u32 {
    let magnitude = sum.unsigned_abs();
    if magnitude == 0 {
        return 0;
    }
    let e = 63 - magnitude.leading_zeros() as i32 + exp;
    let sign = u32::from(sum < 0) << (8 + man);
    if e > 127 {
        return sign | 255 << man;
    }
    let field = e.max(-126);
    let shift = field - man - exp;
    let quotient = match shift {
        64.. => 0,
        0..=63 => magnitude >> shift,
        _ => magnitude << -shift,
    } as u32;
    let bits = (((field + 126) as u32) << man) + quotient;
    if bits == 0 { 0 } else { sign | bits }
}

/// `sig · 2^shift` toward zero.
#[inline(always)]
fn align(sig: i32, shift: i32) -> i32 {
    let magnitude = sig.unsigned_abs();
    let moved =
        if shift >= 0 { magnitude << (shift as u32 & 31) } else { magnitude >> (-shift).min(31) as u32 }
            as i32;
    if sig < 0 { -moved } else { moved }
}

/// Up to 64 decoded elements of a row of A or a column of B.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    sig: [i32; 64],
    exp: [i32; 64],
    nan: u64,
    infinite: u64,
    special: bool,
    len: usize,
}

impl Default for Vector {
    fn default() -> Self {
        Vector { sig: [0; 64], exp: [0; 64], nan: 0, infinite: 0, special: false, len: 0 }
    }
}

impl Vector {
    fn decode(&mut self, element: Element, bits: impl ExactSizeIterator<Item = u32>) {
        assert!(bits.len() <= 64, "k is at most 64");
        (self.nan, self.infinite, self.len) = (0, 0, bits.len());
        // One loop per type, so that each knows its format's constants.
        match element {
            Element::F16 => self.fill(bits, |bits| Term::of(&Format::F16, bits)),
            Element::Bf16 => self.fill(bits, |bits| Term::of(&Format::BF16, bits)),
            Element::Tf32 => self.fill(bits, |bits| Term::of(&Format::TF32, bits >> 13)),
            Element::E4m3 => self.fill(bits, |bits| Term::of(&Format::E4M3, bits)),
            Element::E5m2 => self.fill(bits, |bits| Term::of(&Format::E5M2, bits)),
            _ => self.fill(bits, |bits| element.term(bits)),
        }
        self.special = self.nan | self.infinite != 0;
    }

    #[inline(always)]
    fn fill(&mut self, bits: impl Iterator<Item = u32>, term: impl Fn(u32) -> Term) {
        for (i, bits) in bits.enumerate() {
            let term = term(bits);
            self.sig[i] = term.sig;
            self.exp[i] = term.exp;
            self.nan |= u64::from(term.class == Class::Nan) << i;
            self.infinite |= u64::from(term.class == Class::Infinite) << i;
        }
    }

    fn term(&self, i: usize) -> Term {
        let class = if self.nan >> i & 1 == 1 {
            Class::Nan
        } else if self.infinite >> i & 1 == 1 {
            Class::Infinite
        } else {
            Class::Finite
        };
        Term { sig: self.sig[i], exp: self.exp[i], class }
    }
}

/// The sum of the products of a range, each cut to a multiple of `2^(largest exponent - fraction bits)`, and that
/// exponent. `scale` is the fraction bits less those of a product.
fn aligned_sum(
    a: &Vector,
    b: &Vector,
    range: Range<usize>,
    zero: i32,
    addend_exp: i32,
    scale: i32,
) -> (i64, i32) {
    let exponent = |i: usize| if a.sig[i] == 0 || b.sig[i] == 0 { zero } else { a.exp[i] + b.exp[i] };
    let largest = range.clone().map(exponent).fold(addend_exp, i32::max);
    let sum = range.map(|i| i64::from(align(a.sig[i] * b.sig[i], scale + exponent(i) - largest))).sum();
    (sum, largest)
}

/// Rows of A or columns of B, repeated so that 32 lanes hold the operands of four rows by eight columns.
pub(crate) struct Spread {
    sig: [[i32; 32]; 64],
    exp: [[i32; 32]; 64],
    special: bool,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { sig: [[0; 32]; 64], exp: [[0; 32]; 64], special: false }
    }
}

impl Spread {
    /// Up to four rows, each in eight neighbouring lanes; lanes without an operand repeat the last one.
    fn rows(&mut self, vectors: &[Vector], k: usize) {
        for r in 0..4 {
            let vector = &vectors[r.min(vectors.len() - 1)];
            for i in 0..k {
                self.sig[i][8 * r..8 * r + 8].fill(vector.sig[i]);
                self.exp[i][8 * r..8 * r + 8].fill(vector.exp[i]);
            }
        }
        self.special = vectors.iter().any(|vector| vector.special);
    }

    /// Up to eight columns, four times over.
    fn columns(&mut self, vectors: &[Vector], k: usize) {
        let column: [&Vector; 8] = std::array::from_fn(|j| &vectors[j.min(vectors.len() - 1)]);
        for i in 0..k {
            let (sig, exp) = (column.map(|vector| vector.sig[i]), column.map(|vector| vector.exp[i]));
            for r in 0..4 {
                self.sig[i][8 * r..8 * r + 8].copy_from_slice(&sig);
                self.exp[i][8 * r..8 * r + 8].copy_from_slice(&exp);
            }
        }
        self.special = vectors.iter().any(|vector| vector.special);
    }
}

vectorised! {
    /// [`aligned_sum`] for 32 lanes. `largest` starts as the exponents of the accumulators.
    aligned_sums<>(a: &Spread, b: &Spread, start: usize, end: usize, zero: i32, scale: i32, largest: &mut [i32; 32], sums: &mut [i64; 32]) -> () {
        let (a_sig, a_exp) = (&a.sig[start..end], &a.exp[start..end]);
        let (b_sig, b_exp) = (&b.sig[start..end], &b.exp[start..end]);
        for k in 0..end - start {
            for j in 0..32 {
                let exp = if a_sig[k][j] * b_sig[k][j] == 0 { zero } else { a_exp[k][j] + b_exp[k][j] };
                largest[j] = exp.max(largest[j]);
            }
        }
        for first in (0..end - start).step_by(8) {
            // Aligned products are below 2^27, so that eight of them fit an i32.
            let mut sum = [0i32; 32];
            for k in first..(first + 8).min(end - start) {
                for j in 0..32 {
                    let product = a_sig[k][j] * b_sig[k][j];
                    // The exponent of a zero product may exceed the largest, to no effect. Every type's products have fewer
                    // bits than the sum: `scale` is not negative.
                    let down = (largest[j] - a_exp[k][j] - b_exp[k][j]).clamp(0, 31) as u32;
                    let cut = (product.unsigned_abs() << (scale as u32 & 31) >> down) as i32;
                    sum[j] += if product < 0 { -cut } else { cut };
                }
            }
            for j in 0..32 {
                sums[j] += i64::from(sum[j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_keeps_subnormals_and_overflows_to_infinity() {
        assert_eq!(truncate(1, -149, 23), 1);
        assert_eq!(truncate(-3, -150, 23), 0x8000_0001);
        assert_eq!(truncate(-1, -150, 23), 0);
        assert_eq!(truncate((1 << 25) - 1, 103, 23), 0x7f7f_ffff);
        assert_eq!(truncate(1 << 25, 103, 23), 0x7f80_0000);
        assert_eq!(truncate(0x1ff_ffff, -24, 13) << 10, 0x3fff_fc00);
    }

    #[test]
    fn alignment_goes_toward_zero() {
        assert_eq!(align(-7, -1), -3);
        assert_eq!(align(7, -40), 0);
        assert_eq!(align(-7, 3), -56);
    }
}
