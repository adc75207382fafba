//! Coalesced accesses: a few pieces of neighbouring lanes at neighbouring addresses, which nobody need look at lane by lane.

use crate::footprint::{LINE, Lanes, Touch, linear_origin, run};

/// Lanes that follow each other with addresses that follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) address: u64,
    pub(crate) bytes: u32,
    pub(crate) first: u32,
}

/// As many pieces as a coalesced access has at most; what has more is scattered.
pub(crate) const PIECES: usize = 8;

/// An access in few pieces, each lane's `size` bytes aligned and in one piece; none if it is not so, or if two lanes of an
/// `exclusive` access touch the same byte.
pub(crate) fn pieces(
    mask: u32,
    addresses: &[u64; 32],
    size: u32,
    exclusive: bool,
) -> Option<([Piece; PIECES], usize)> {
    if !size.is_power_of_two() || size > 32 {
        return None;
    }
    let mut all = [Piece::default(); PIECES];
    if mask == u32::MAX
        && let Some(address) = linear_origin(mask, addresses, size)
        && address & u64::from(size - 1) == 0
        && address.checked_add(u64::from(32 * size)).is_some()
    {
        all[0] = Piece { address, bytes: 32 * size, first: 0 };
        return Some((all, 1));
    }
    let (mut count, mut odd) = (0, 0);
    // Of no lane: the first one begins a piece.
    let (mut end, mut after) = (0, u32::MAX);
    let mut rest = mask;
    while rest != 0 {
        let lane = rest.trailing_zeros();
        rest &= rest - 1;
        let address = addresses[lane as usize & 31];
        odd |= address;
        if address != end || lane != after {
            if count == PIECES {
                return None;
            }
            all[count] = Piece { address, bytes: 0, first: lane };
            count += 1;
        }
        all[count - 1].bytes += size;
        (end, after) = (address.wrapping_add(size.into()), lane + 1);
    }
    if odd & u64::from(size - 1) != 0 {
        return None;
    }
    let found = &all[..count];
    // None may go round the end of the address space.
    if found.iter().any(|p| p.address.checked_add(p.bytes.into()).is_none()) {
        return None;
    }
    if exclusive {
        let meet = |a: &Piece, b: &Piece| {
            a.address < b.address + u64::from(b.bytes) && b.address < a.address + u64::from(a.bytes)
        };
        if (1..count).any(|n| found[..n].iter().any(|a| meet(a, &found[n]))) {
            return None;
        }
    }
    Some((all, count))
}

impl Piece {
    /// The piece's part of each stretch of `unit` bytes.
    #[inline]
    pub(crate) fn cut(self, unit: u64, size: u32) -> impl Iterator<Item = Piece> {
        let mut left = self;
        std::iter::from_fn(move || {
            if left.bytes == 0 {
                return None;
            }
            let bytes = left.bytes.min((unit - left.address % unit) as u32);
            let part = Piece { bytes, ..left };
            left.address += u64::from(bytes);
            left.bytes -= bytes;
            left.first += bytes >> size.trailing_zeros();
            Some(part)
        })
    }

    /// The piece's part of each line.
    #[inline]
    pub(crate) fn lines(self, size: u32) -> impl Iterator<Item = Touch> {
        let shift = size.trailing_zeros() as u8;
        let (mut at, mut left, mut lane) = (self.address, self.bytes, self.first);
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let from = (at % LINE) as u32;
            let count = left.min(128 - from);
            let base = lane as i16 - (from >> shift) as i16;
            let touch =
                Touch { line: at / LINE, bytes: run(from, count), lanes: Lanes::Linear { base, shift } };
            at += u64::from(count);
            left -= count;
            lane += count >> shift;
            Some(touch)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::footprint::Touches;
    use crate::footprint::tests::{expand, expected, touches};

    #[test]
    fn pieces_are_the_same_bytes_and_lanes_as_touches() {
        type Pattern = fn(u64, u64) -> u64;
        let patterns: [Pattern; 8] = [
            |l, s| 0x1000 + l * s,
            |l, s| 0x1000 + 3 * s + l * s,
            |l, s| 0x1000 + l / 8 * 4096 + l % 8 * s,
            |l, s| 0x8000 - l / 4 * 192 + l % 4 * s,
            |l, s| 0x1000 + l / 16 * s + l % 16 * s,
            |_, s| 0x1000 + s,
            |l, s| 0x1000 + (l ^ 1) * s,
            |l, s| 0x1000 + 1 + l * s,
        ];
        let mut met = 0;
        for size in [1, 2, 4, 8, 16, 32] {
            for mask in [u32::MAX, 1, 0x8000_0001, 0x00ff_0ff0, 0xffff] {
                for (n, pattern) in patterns.into_iter().enumerate() {
                    let addresses = std::array::from_fn(|l| pattern(l as u64, size));
                    for exclusive in [false, true] {
                        let Some((all, count)) = pieces(mask, &addresses, size as u32, exclusive) else {
                            continue;
                        };
                        met |= 1 << n;
                        let got: Touches = all[..count].iter().flat_map(|p| p.lines(size as u32)).collect();
                        assert_eq!(expand(&got), expected(mask, &addresses, size as u32));
                        let exact = touches(mask, &addresses, size as u32, exclusive);
                        assert!(exact.is_ok(), "pieces of an exclusive access are disjoint: {exact:?}");
                    }
                }
            }
        }
        assert_eq!(met, 0xff, "each pattern comes in pieces under some mask");
    }

    #[test]
    fn lanes_that_write_the_same_chunk_are_in_no_pieces() {
        let halves = std::array::from_fn(|l| 0x4000 + (l as u64 % 16) * 16);
        assert!(pieces(u32::MAX, &halves, 16, true).is_none());
        assert_eq!(pieces(u32::MAX, &halves, 16, false).map(|p| p.1), Some(2));
    }
}
