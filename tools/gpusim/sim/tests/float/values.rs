//! Operands: specials, ties, neighbours of powers of two, and pseudo-random patterns.

use crate::oracle::Fmt;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A pattern of a format; half of them with an exponent near that of 1.
    pub fn pattern(&mut self, f: Fmt) -> u64 {
        let bits = self.next() & (f.sign_bit() | f.nan());
        if self.next() & 1 == 0 {
            return bits;
        }
        let one = ((1u64 << (f.exp - 1)) - 1) as i64;
        let field = (one + (self.next() % 9) as i64 - 4).max(0) as u64;
        bits & (f.sign_bit() | ((1 << f.man) - 1)) | field << f.man
    }
}

/// Zeros, subnormals, the smallest and largest numbers, one and its neighbours, infinities, NaNs of both kinds and signs.
pub fn specials(f: Fmt) -> Vec<u64> {
    let one = ((1u64 << (f.exp - 1)) - 1) << f.man;
    let least = 1 << f.man;
    let mut list =
        vec![0, 1, least - 1, least, least + 1, one - 1, one, one + 1, one + (1 << (f.man - 1)), f.max()];
    list.extend([f.max() - 1, f.max() >> 1, 2 << f.man, one + (3 << f.man) + 1]);
    if f.specials == crate::oracle::Specials::Ieee {
        list.extend([f.infinity(), f.nan(), f.infinity() + 1, f.infinity() | 1 << (f.man - 1)]);
    }
    let negative: Vec<u64> = list.iter().map(|bits| bits | f.sign_bit()).collect();
    list.extend(negative);
    list
}

pub fn singles(f: Fmt) -> Vec<Vec<u64>> {
    let mut random = Random(f.man.into());
    let mut list: Vec<Vec<u64>> = specials(f).into_iter().map(|x| vec![x]).collect();
    list.extend((0..400).map(|_| vec![random.pattern(f)]));
    list
}

pub fn pairs(f: Fmt) -> Vec<Vec<u64>> {
    let mut random = Random(f.exp.into());
    let all = specials(f);
    let mut list: Vec<Vec<u64>> = all.iter().flat_map(|a| all.iter().map(|b| vec![*a, *b])).collect();
    for _ in 0..200 {
        let (a, b) = (random.pattern(f), random.pattern(f));
        // Neighbours cancel, and differences by a power of two tie.
        list.extend([
            vec![a, b],
            vec![a, a ^ f.sign_bit() ^ 1],
            vec![a, a.wrapping_add(1 << f.man) & f.nan()],
        ]);
    }
    list
}

pub fn triples(f: Fmt) -> Vec<Vec<u64>> {
    let mut random = Random(f.bits().into());
    let all = specials(f);
    let mut list = Vec::new();
    for _ in 0..700 {
        let mut pick = || match random.next() % 3 {
            0 => all[random.next() as usize % all.len()],
            _ => random.pattern(f),
        };
        list.push(vec![pick(), pick(), pick()]);
    }
    // Exact cancellation: x·1 - x, and x·1 plus the smallest number.
    let one = ((1u64 << (f.exp - 1)) - 1) << f.man;
    list.extend(
        all.iter().flat_map(|x| [vec![*x, one, x ^ f.sign_bit()], vec![*x, one, 1], vec![*x, *x, *x]]),
    );
    list
}

/// Two values in each operand: every operand of the list with the one that follows it in the upper half.
pub fn packed(list: Vec<Vec<u64>>, bits: u32) -> Vec<Vec<u64>> {
    let n = list.len();
    (0..n)
        .map(|i| list[i].iter().zip(&list[(i + 1) % n]).map(|(low, high)| low | high << bits).collect())
        .collect()
}
