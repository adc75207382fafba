//! Which bytes of which 128-byte lines the lanes of one instruction touch.

use smallvec::SmallVec;

/// Bytes of a line.
pub(crate) const LINE: u64 = 128;

/// Which lane touches a byte of a line. Small, for each record has one: the table, which is rare, lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// Byte `b` belongs to lane `base + (b >> shift)`.
    Linear { base: i16, shift: u8 },
    /// The lane of each 16-byte chunk: rows of `ldmatrix`, 16-byte copies that are swizzled.
    Chunks([u8; 8]),
    /// The lane of each 4-byte word.
    Table(Box<[u8; 32]>),
    /// All of these lanes touch each byte.
    Any(u32),
}

impl Lanes {
    /// The lanes that touch byte `byte`, as a mask; the byte has to be one that is touched.
    #[inline]
    pub(crate) fn at(&self, byte: u32) -> u32 {
        match self {
            Lanes::Linear { base, shift } => 1 << ((i32::from(*base) + (byte >> shift) as i32) & 31),
            Lanes::Chunks(chunks) => 1 << chunks[(byte >> 4 & 7) as usize],
            Lanes::Table(table) => 1 << table[(byte >> 2) as usize],
            Lanes::Any(mask) => *mask,
        }
    }

    /// The lanes that touch any of `bytes`.
    pub(crate) fn of(&self, bytes: u128) -> u32 {
        match self {
            Lanes::Any(mask) => *mask,
            Lanes::Linear { base, shift } if bytes != 0 => {
                let first = i32::from(*base) + (bytes.trailing_zeros() >> shift) as i32;
                let last = i32::from(*base) + ((127 - bytes.leading_zeros()) >> shift) as i32;
                let count = (last - first + 1) as u32;
                let ones = bytes.count_ones();
                if ones == count << shift {
                    return (u32::MAX >> (32 - count)) << first;
                }
                self.collect(bytes)
            }
            _ => self.collect(bytes),
        }
    }

    fn collect(&self, mut bytes: u128) -> u32 {
        let mut mask = 0;
        let unit = match self {
            Lanes::Table(_) => 2,
            Lanes::Chunks(_) => 4,
            Lanes::Linear { shift, .. } => *shift,
            Lanes::Any(_) => 7,
        };
        while bytes != 0 {
            let byte = bytes.trailing_zeros();
            mask |= self.at(byte);
            // The rest of this lane's bytes.
            let next = ((byte >> unit) + 1) << unit;
            bytes = if next >= 128 { 0 } else { bytes & (u128::MAX << next) };
        }
        mask
    }

    /// Whether no byte has more than one lane.
    pub(crate) fn is_single(&self) -> bool {
        match self {
            Lanes::Any(mask) => mask.is_power_of_two(),
            _ => true,
        }
    }
}

/// What one instruction does to one line.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    pub(crate) line: u64,
    pub(crate) bytes: u128,
    pub(crate) lanes: Lanes,
}

/// Room for one a lane; nothing is moved.
pub(crate) type Touches = SmallVec<[Touch; 32]>;

/// `count` bytes from byte `from` of a line.
#[inline]
pub(crate) fn run(from: u32, count: u32) -> u128 {
    debug_assert!(from + count <= 128);
    if count == 0 { 0 } else { (u128::MAX >> (128 - count)) << from }
}

/// Two lanes touch the same byte (its address) though they may not.
#[derive(Debug)]
pub(crate) struct Overlap {
    pub(crate) address: u64,
    pub(crate) lanes: [u32; 2],
}

/// The address of lane 0 when each lane of `mask` is at that address plus its number times `size`.
#[inline]
pub(crate) fn linear_origin(mask: u32, addresses: &[u64; 32], size: u32) -> Option<u64> {
    let first = mask.trailing_zeros() & 31;
    // Unsigned arithmetic that may wrap for lanes that are not there.
    let origin = addresses[first as usize].wrapping_sub(u64::from(first * size));
    let mut bent = 0u64;
    let mut expected = origin;
    if mask == u32::MAX {
        for &address in addresses {
            bent |= address ^ expected;
            expected = expected.wrapping_add(u64::from(size));
        }
    } else {
        for (l, &address) in addresses.iter().enumerate() {
            let there = 0u64.wrapping_sub(u64::from(mask >> l & 1));
            bent |= (address ^ expected) & there;
            expected = expected.wrapping_add(u64::from(size));
        }
    }
    (bent == 0).then_some(origin)
}

/// The lines that lanes `mask` touch at `addresses`, `size` bytes each. `exclusive`: no two lanes may touch the same byte.
pub(crate) fn touches(
    out: &mut Touches,
    mask: u32,
    addresses: &[u64; 32],
    size: u32,
    exclusive: bool,
) -> Result<(), Overlap> {
    if mask == 0 || size == 0 {
        return Ok(());
    }
    let first = mask.trailing_zeros();
    let start = addresses[first as usize];
    if size == 16 && mask == u32::MAX {
        // Rows of matrices, which are not worth another look for anything more regular.
        let (odd, differ) = addresses.iter().fold((0, 0), |(odd, d), &a| (odd | a & 15, d | a ^ start));
        if odd == 0 && differ != 0 {
            return scattered_chunks(out, mask, addresses, exclusive);
        }
    }
    if size.is_power_of_two() && size <= 32 && start.is_multiple_of(u64::from(size)) {
        if let Some(origin) = linear_origin(mask, addresses, size) {
            linear(out, mask, origin, size);
            return Ok(());
        }
        let differ = addresses
            .iter()
            .enumerate()
            .fold(0, |d, (l, &address)| d | (address ^ start) & 0u64.wrapping_sub(u64::from(mask >> l & 1)));
        if differ == 0 {
            if exclusive {
                let second = (mask & (mask - 1)).trailing_zeros();
                return Err(Overlap { address: start, lanes: [first, second] });
            }
            let bytes = run((start % LINE) as u32, size);
            out.push(Touch { line: start / LINE, bytes, lanes: Lanes::Any(mask) });
            return Ok(());
        }
    }
    let aligned = (0..32).all(|l| mask >> l & 1 == 0 || addresses[l].is_multiple_of(u64::from(size)));
    if size == 16 && aligned {
        scattered_chunks(out, mask, addresses, exclusive)
    } else if (4..=32).contains(&size) && size.is_power_of_two() && aligned {
        scattered_words(out, mask, addresses, size, exclusive)
    } else {
        scattered(out, mask, addresses, size, exclusive)
    }
}

/// The bytes of a set of words.
fn bytes_of(words: u32) -> u128 {
    // Each bit moves to four times its place and is then copied to the three bits above it.
    let spread = |half: u32| -> u64 {
        let mut x = u64::from(half & 0xffff);
        x = (x | x << 24) & 0x0000_00ff_0000_00ff;
        x = (x | x << 12) & 0x000f_000f_000f_000f;
        x = (x | x << 6) & 0x0303_0303_0303_0303;
        x = (x | x << 3) & 0x1111_1111_1111_1111;
        x * 15
    };
    u128::from(spread(words)) | u128::from(spread(words >> 16)) << 64
}

/// Lines of aligned accesses of 16 bytes, which mostly come several to a line but in no order of the lines.
fn scattered_chunks(
    out: &mut Touches,
    mask: u32,
    addresses: &[u64; 32],
    exclusive: bool,
) -> Result<(), Overlap> {
    // The touch that a line had last, plus one, by the line's lowest bits.
    let mut latest = [0u8; 64];
    let mut rest = mask;
    while rest != 0 {
        let lane = rest.trailing_zeros();
        rest &= rest - 1;
        let address = addresses[lane as usize];
        let (line, chunk) = (address / LINE, (address % LINE / 16) as usize);
        let bytes = 0xffff_u128 << (16 * chunk);
        let slot = (line & 63) as usize;
        let mut home = usize::from(latest[slot]);
        let fits = |touch: &Touch| touch.line == line && touch.bytes & bytes == 0;
        if home == 0 {
            // Every line that was met has left something here.
            out.push(Touch { line, bytes: 0, lanes: Lanes::Chunks([0; 8]) });
            home = out.len();
            latest[slot] = home as u8;
        } else if !fits(&out[home - 1]) {
            let here = |touch: &Touch| touch.line == line && touch.bytes & bytes != 0;
            if exclusive && let Some(other) = out.iter().find(|touch| here(touch)) {
                let other = other.lanes.at(16 * chunk as u32).trailing_zeros();
                return Err(Overlap { address, lanes: [other, lane] });
            }
            home = out.iter().position(fits).map_or(0, |at| at + 1);
            if home == 0 {
                out.push(Touch { line, bytes: 0, lanes: Lanes::Chunks([0; 8]) });
                home = out.len();
            }
            latest[slot] = home as u8;
        }
        let touch = &mut out[home - 1];
        touch.bytes |= bytes;
        if let Lanes::Chunks(chunks) = &mut touch.lanes {
            chunks[chunk] = lane as u8;
        }
    }
    Ok(())
}

/// Lines of aligned accesses of whole words: at most one new touch for each lane.
fn scattered_words(
    out: &mut Touches,
    mask: u32,
    addresses: &[u64; 32],
    size: u32,
    exclusive: bool,
) -> Result<(), Overlap> {
    let count = (size / 4) as usize;
    let ones = u32::MAX >> (32 - count);
    let mut lines = [0u64; 32];
    let mut words = [0u32; 32];
    let mut lanes = [0u32; 32];
    let mut tables = [[0u8; 32]; 32];
    let mut used = 0;
    // As long as the lines come in order, those of one line are the last in the list.
    let mut sorted = true;
    let mut rest = mask;
    while rest != 0 {
        let lane = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let (line, first) = (addresses[lane] / LINE, (addresses[lane] % LINE / 4) as usize);
        let mine = ones << first;
        sorted &= used == 0 || lines[used - 1] <= line;
        let mut home = used;
        for at in (0..used).rev() {
            if lines[at] != line {
                if sorted {
                    break;
                }
            } else if words[at] & mine == 0 {
                home = at;
                if !exclusive {
                    break;
                }
            } else if exclusive {
                let other = tables[at][(words[at] & mine).trailing_zeros() as usize];
                return Err(Overlap { address: addresses[lane], lanes: [other.into(), lane as u32] });
            }
        }
        used = used.max(home + 1);
        lines[home] = line;
        words[home] |= mine;
        lanes[home] |= 1 << lane;
        for slot in &mut tables[home][first..first + count] {
            *slot = lane as u8;
        }
    }
    for at in 0..used {
        let single = lanes[at].is_power_of_two();
        let lanes = if single { Lanes::Any(lanes[at]) } else { Lanes::Table(Box::new(tables[at])) };
        out.push(Touch { line: lines[at], bytes: bytes_of(words[at]), lanes });
    }
    Ok(())
}

fn linear(out: &mut Touches, mask: u32, origin: u64, size: u32) {
    let shift = size.trailing_zeros() as u8;
    let per_line = 128 >> shift;
    let mut lane = mask.trailing_zeros();
    let last = 31 - mask.leading_zeros();
    while lane <= last {
        let address = origin.wrapping_add(u64::from(lane * size));
        let from = (address % LINE) as u32;
        let count = (per_line - (from >> shift)).min(last + 1 - lane);
        let here = (mask >> lane) & (u32::MAX >> (32 - count));
        let bytes = if here.count_ones() == count {
            run(from, count << shift)
        } else {
            (0..count).filter(|i| here >> i & 1 != 0).fold(0, |b, i| b | run(from + (i << shift), size))
        };
        if bytes != 0 {
            let base = lane as i16 - (from >> shift) as i16;
            out.push(Touch { line: address / LINE, bytes, lanes: Lanes::Linear { base, shift } });
        }
        lane += count;
    }
}

/// Lines of anything else: one touch for each set of lanes with the same bytes.
fn scattered(
    out: &mut Touches,
    mask: u32,
    addresses: &[u64; 32],
    size: u32,
    exclusive: bool,
) -> Result<(), Overlap> {
    for lane in (0..32u32).filter(|l| mask >> l & 1 != 0) {
        let mut address = addresses[lane as usize];
        let mut left = size;
        while left != 0 {
            let from = (address % LINE) as u32;
            let count = left.min(128 - from);
            place(out, address / LINE, run(from, count), lane, exclusive)?;
            address = address.wrapping_add(u64::from(count));
            left -= count;
        }
    }
    Ok(())
}

fn place(out: &mut Touches, line: u64, bytes: u128, lane: u32, exclusive: bool) -> Result<(), Overlap> {
    for touch in out.iter_mut().filter(|t| t.line == line) {
        let common = touch.bytes & bytes;
        if common != 0 && exclusive {
            let byte = common.trailing_zeros();
            let other = touch.lanes.at(byte).trailing_zeros();
            return Err(Overlap { address: line * LINE + u64::from(byte), lanes: [other, lane] });
        }
        if touch.bytes == bytes
            && let Lanes::Any(mask) = &mut touch.lanes
        {
            *mask |= 1 << lane;
            return Ok(());
        }
    }
    out.push(Touch { line, bytes, lanes: Lanes::Any(1 << lane) });
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn touches(
        mask: u32,
        addresses: &[u64; 32],
        size: u32,
        exclusive: bool,
    ) -> Result<Touches, Overlap> {
        let mut out = Touches::new();
        super::touches(&mut out, mask, addresses, size, exclusive).map(|()| out)
    }

    pub(crate) fn expand(touches: &Touches) -> Vec<(u64, u32)> {
        let mut all = Vec::new();
        for t in touches {
            for b in (0..128).filter(|b| t.bytes >> b & 1 != 0) {
                let lanes = t.lanes.at(b);
                all.extend((0..32).filter(|l| lanes >> l & 1 != 0).map(|l| (t.line * 128 + u64::from(b), l)));
            }
            let by_byte = (0..128).filter(|b| t.bytes >> b & 1 != 0).fold(0, |m, b| m | t.lanes.at(b));
            assert_eq!(t.lanes.of(t.bytes), by_byte);
        }
        all.sort();
        all
    }

    pub(crate) fn expected(mask: u32, addresses: &[u64; 32], size: u32) -> Vec<(u64, u32)> {
        let mut all = Vec::new();
        for l in (0..32).filter(|l| mask >> l & 1 != 0) {
            all.extend((0..u64::from(size)).map(|b| (addresses[l as usize] + b, l)));
        }
        all.sort();
        all
    }

    #[test]
    fn every_byte_keeps_its_lanes_for_regular_and_irregular_patterns() {
        type Pattern = fn(u64, u64) -> u64;
        let patterns: [Pattern; 10] = [
            |l, s| 0x1000 + l % 16 * 128 + ((l / 16) ^ (l % 8)) * s,
            |l, s| 0x1000 + l % 4 * 128 * 64 + l / 4 * s,
            |l, s| 0x1000 + l * l % 11 * s,
            |l, s| 0x1000 + l * s,
            |l, s| 0x1000 + 96 + l * s,
            |_, s| 0x1000 + 3 * s,
            |l, s| 0x1000 + (l / 4) * s,
            |l, s| 0x1000 + (l ^ 5) * s,
            |l, s| 0x1000 + l * 37 * s,
            |l, s| 0x1000 + (31 - l) % 7 * s,
        ];
        for size in [1, 2, 4, 8, 16] {
            for mask in [u32::MAX, 1, 0x8000_0001, 0x00ff_0ff0, 0x5555_5555] {
                for pattern in patterns {
                    let addresses = std::array::from_fn(|l| pattern(l as u64, size));
                    let got = touches(mask, &addresses, size as u32, false).expect("reads may overlap");
                    assert_eq!(expand(&got), expected(mask, &addresses, size as u32));
                }
            }
        }
    }

    #[test]
    fn lanes_that_write_the_same_chunk_are_named() {
        let addresses = std::array::from_fn(|l| 0x4000 + (l as u64 % 20) * 144);
        let overlap = touches(u32::MAX, &addresses, 16, true).expect_err("lanes 0 and 20 share a chunk");
        assert_eq!((overlap.address, overlap.lanes), (0x4000, [0, 20]));
        assert!(touches(0xf_ffff, &addresses, 16, true).is_ok());
    }

    #[test]
    fn words_spread_to_their_bytes() {
        for words in [0, 1, 0x8000_0000, 0x8001_0001, 0xdead_beef, u32::MAX] {
            let expected = (0..32).filter(|w| words >> w & 1 != 0).fold(0, |b, w| b | 0xf_u128 << (4 * w));
            assert_eq!(bytes_of(words), expected);
        }
    }

    #[test]
    fn lanes_that_write_the_same_byte_are_named() {
        let addresses = std::array::from_fn(|l| 0x200 + (l as u64 / 2) * 4);
        let overlap = touches(0b1100_0001, &addresses, 4, true).expect_err("lanes 6 and 7 share a word");
        assert_eq!((overlap.address, overlap.lanes), (0x20c, [6, 7]));
        let same = [0x40; 32];
        assert_eq!(touches(0b1010, &same, 4, true).expect_err("all the same").lanes, [1, 3]);
        assert!(touches(0b1000, &same, 4, true).is_ok());
    }

    #[test]
    fn a_coalesced_access_is_one_touch_per_line() {
        let addresses = std::array::from_fn(|l| 0x1000 + l as u64 * 4);
        assert_eq!(touches(u32::MAX, &addresses, 4, true).expect("distinct").len(), 1);
        let addresses = std::array::from_fn(|l| 0x1000 + l as u64 * 16);
        assert_eq!(touches(u32::MAX, &addresses, 16, true).expect("distinct").len(), 4);
        let swizzled =
            std::array::from_fn(|l| 0x1000 + (l as u64 % 16) * 128 + ((l as u64 / 16) ^ (l as u64 % 8)) * 16);
        assert_eq!(touches(u32::MAX, &swizzled, 16, true).expect("distinct").len(), 16);
    }
}
