//! Shared-memory operands of `wgmma`: matrix descriptors and the layouts that they describe.
//!
//! An operand is read in pieces of 16 bytes, 32 bytes along k. In a K-major operand a row (a column of B) has two pieces; eight
//! rows of `width` bytes, where `width` is that of the swizzle (16 without one), make a brick. Bricks follow each other at the
//! stride offset along m or n; without a swizzle the two pieces of a row lie the leading offset apart, with one they are
//! neighbours. In an MN-major operand a piece is eight halves along m or n; eight lines along k make a brick of `width` bytes
//! along m or n. With a swizzle bricks follow at the leading offset along m or n and at the stride offset along k; without
//! one it is the other way round.
//!
//! The swizzle exchanges pieces: bits 4 and up of the address are xored with as many bits from bit 7 on.

use std::ops::Range;

use super::tile::Row;
use crate::memory::window;

/// A decoded matrix descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    start: u32,
    leading: u32,
    stride: u32,
    /// What is subtracted from the bits that the swizzle takes from the address.
    base_offset: u32,
    /// Bytes along the contiguous dimension of a brick: 16 without a swizzle.
    width: u32,
}

/// Shared memory of the CTA.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    pub start: *const u8,
    pub size: u32,
}

impl Shared {
    /// Whether a piece lies inside.
    fn holds(&self, at: u32) -> bool {
        at.checked_sub(window::SHARED_RESERVED).is_some_and(|at| u64::from(at) + 16 <= u64::from(self.size))
    }

    #[inline(always)]
    fn piece(&self, at: u32) -> [u8; 16] {
        if !self.holds(at) {
            return [0; 16];
        }
        // SAFETY: inside the memory, as was just looked at.
        unsafe { self.start.add((at - window::SHARED_RESERVED) as usize).cast::<[u8; 16]>().read_unaligned() }
    }
}

impl Descriptor {
    pub(super) fn new(bits: u64) -> Descriptor {
        let field = |at: u32| (bits >> at) as u32 & 0x3FFF;
        Descriptor {
            start: field(0) << 4,
            leading: field(16) << 4,
            stride: field(32) << 4,
            base_offset: (bits >> 49) as u32 & 7,
            width: [16, 128, 64, 32][(bits >> 62) as usize],
        }
    }

    /// The address of an offset into the layout.
    #[inline(always)]
    fn swizzled(&self, offset: u32) -> u32 {
        let at = self.start.wrapping_add(offset);
        at ^ ((at >> 7).wrapping_sub(self.base_offset) & (self.width / 16 - 1)) << 4
    }

    /// Piece `c` of a row of a K-major operand.
    #[inline(always)]
    fn k_major(&self, row: u32, c: u32) -> u32 {
        let apart = if self.width == 16 { self.leading } else { 16 };
        self.swizzled(row % 8 * self.width + (row / 8).wrapping_mul(self.stride) + c * apart)
    }

    /// The piece of rows `8j..8j + 8` of line `k` of an MN-major operand.
    #[inline(always)]
    fn mn_major(&self, j: u32, k: u32) -> u32 {
        let (along_mn, along_k) =
            if self.width == 16 { (self.stride, self.leading) } else { (self.leading, self.stride) };
        let pieces = self.width / 16;
        let brick = (j / pieces).wrapping_mul(along_mn).wrapping_add((k / 8).wrapping_mul(along_k));
        self.swizzled((j % pieces * 16 + k % 8 * self.width).wrapping_add(brick))
    }

    /// Calls `f` with the address of every piece of the rows, a multiple of eight of them.
    fn each(&self, rows: Range<usize>, transposed: bool, mut f: impl FnMut(u32)) {
        if transposed {
            for j in rows.start / 8..rows.end / 8 {
                (0..16).for_each(|k| f(self.mn_major(j as u32, k)));
            }
        } else {
            for row in rows {
                (0..2).for_each(|c| f(self.k_major(row as u32, c)));
            }
        }
    }

    /// The rows, out of memory.
    #[inline(always)]
    pub(super) fn load(&self, shared: &Shared, rows: Range<usize>, transposed: bool, out: &mut [Row]) {
        if transposed {
            for (block, out) in (rows.start / 8..rows.end / 8).zip(out.chunks_exact_mut(8)) {
                for k in 0..16 {
                    let piece = shared.piece(self.mn_major(block as u32, k as u32));
                    for (out, half) in out.iter_mut().zip(piece.chunks_exact(2)) {
                        out[2 * k..2 * k + 2].copy_from_slice(half);
                    }
                }
            }
        } else {
            for (row, out) in rows.zip(out) {
                out[..16].copy_from_slice(&shared.piece(self.k_major(row as u32, 0)));
                out[16..].copy_from_slice(&shared.piece(self.k_major(row as u32, 1)));
            }
        }
    }

    /// The stretches of shared memory that hold the rows, or the first address outside the memory.
    pub(super) fn stretches(
        &self,
        shared: &Shared,
        rows: Range<usize>,
        transposed: bool,
    ) -> Result<Vec<(u32, u32)>, u32> {
        // One bit for each piece of a line of 128 bytes.
        let mut lines = vec![0u8; (window::SHARED_RESERVED + shared.size).div_ceil(128) as usize];
        let mut outside = None;
        let mut span = (usize::MAX, 0);
        self.each(rows, transposed, |at| {
            if shared.holds(at) {
                let line = (at / 128) as usize;
                lines[line] |= 1 << (at / 16 % 8);
                span = (span.0.min(line), span.1.max(line));
            } else {
                outside = outside.or(Some(at));
            }
        });
        if let Some(at) = outside {
            return Err(at);
        }
        let mut found: Vec<(u32, u32)> = Vec::new();
        for (line, pieces) in lines.iter().enumerate().take(span.1 + 1).skip(span.0) {
            let mut left = *pieces;
            while left != 0 {
                let first = left.trailing_zeros();
                let count = (left >> first).trailing_ones();
                found.push((line as u32 * 128 + first * 16, count * 16));
                left &= !((((1u16 << count) - 1) << first) as u8);
            }
        }
        Ok(found)
    }
}

/// How a descriptor reads, for reports.
impl std::fmt::Display for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Descriptor { start, leading, stride, base_offset, width } = self;
        write!(f, "start {start:#x}, leading offset {leading}, stride offset {stride}")?;
        if *width == 16 { write!(f, ", no swizzle") } else { write!(f, ", swizzle of {width} bytes") }?;
        if *base_offset != 0 { write!(f, ", base offset {base_offset}") } else { Ok(()) }
    }
}
