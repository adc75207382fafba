//! Requests and 32-byte sectors of global accesses.
//!
//! The model has no cache: every warp instruction is a request, and asks for each 32-byte sector that an active lane
//! touches once. (An L1 or L2 that serves some of them is not counted away.)

/// Distinct 32-byte sectors that the lanes `mask` touch, `size` bytes each.
pub fn sectors(mask: u32, addresses: &[u64; 32], size: u32) -> u32 {
    if mask == 0 || size == 0 {
        return 0;
    }
    let mut found = [0u64; 96];
    let mut count = 0;
    let mut ascending = true;
    for (l, &address) in addresses.iter().enumerate() {
        if mask >> l & 1 == 0 {
            continue;
        }
        let (first, last) = (address / 32, address.wrapping_add(u64::from(size) - 1) / 32);
        let mut sector = first;
        // An access is at most 32 bytes: two sectors.
        loop {
            if count == 0 || found[count - 1] != sector {
                ascending &= count == 0 || found[count - 1] < sector;
                found[count] = sector;
                count += 1;
            }
            if sector >= last || count + 2 > found.len() {
                break;
            }
            sector += 1;
        }
    }
    if ascending {
        return count as u32;
    }
    let found = &mut found[..count];
    found.sort_unstable();
    1 + found.windows(2).filter(|w| w[0] != w[1]).count() as u32
}

/// [`sectors`] of all 32 lanes at neighbouring addresses from `origin`.
pub(crate) fn coalesced_sectors(origin: u64, size: u32) -> u32 {
    (origin.wrapping_add(u64::from(32 * size) - 1) / 32).wrapping_sub(origin / 32) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_of_neighbours_counts_what_lanes_count() {
        for size in [1, 2, 4, 8, 16, 32] {
            for origin in (0x1000..0x1100).chain([0, u64::MAX - 4095]) {
                assert_eq!(
                    coalesced_sectors(origin, size),
                    of(origin, size.into(), size),
                    "{origin:#x} {size}"
                );
            }
        }
    }

    fn of(base: u64, stride: u64, size: u32) -> u32 {
        sectors(u32::MAX, &std::array::from_fn(|l| base + l as u64 * stride), size)
    }

    #[test]
    fn coalesced_strided_misaligned_and_broadcast_accesses_have_their_closed_forms() {
        assert_eq!(of(0x1000, 4, 4), 4);
        assert_eq!(of(0x1000, 2, 2), 2);
        assert_eq!(of(0x1000, 8, 8), 8);
        assert_eq!(of(0x1000, 16, 16), 16);
        assert_eq!(of(0x1000, 8, 4), 8);
        assert_eq!(of(0x1000, 32, 4), 32);
        assert_eq!(of(0x1000, 4096, 4), 32);
        // 128 bytes that begin in the middle of a sector touch one more.
        assert_eq!(of(0x1004, 4, 4), 5);
        assert_eq!(of(0x101c, 4, 4), 5);
        assert_eq!(of(0x1020, 4, 4), 4);
        assert_eq!(of(0x1000, 0, 4), 1);
        assert_eq!(of(0x1000, 0, 16), 1);
    }

    #[test]
    fn order_and_inactive_lanes_do_not_matter() {
        let reversed: [u64; 32] = std::array::from_fn(|l| 0x1000 + (31 - l as u64) * 4);
        assert_eq!(sectors(u32::MAX, &reversed, 4), 4);
        let swizzled: [u64; 32] = std::array::from_fn(|l| 0x1000 + (l as u64 * 7 % 32) * 16);
        assert_eq!(sectors(u32::MAX, &swizzled, 16), 16);
        assert_eq!(sectors(0xff, &reversed, 4), 1);
        assert_eq!(sectors(0, &reversed, 4), 0);
        let ends = std::array::from_fn(|l| if l == 0 { 0 } else { 0x8000 });
        assert_eq!(sectors(0x8000_0001, &ends, 8), 2);
    }
}
