//! Shared-memory wavefronts.
//!
//! The model: 32 banks, 4 bytes wide. An access of up to 4 bytes a lane is one phase of 32 lanes; of 8 bytes two phases (lanes
//! 0–15 and 16–31); of 16 bytes four phases of 8 lanes; `ldmatrix` and `stmatrix` one phase per 8×8 matrix, of its 8 row
//! addresses of 16 bytes. A phase takes as many wavefronts as the most loaded bank has distinct words; lanes that name the
//! same word share it (broadcast). A phase without active lanes takes none. Not modelled: merging of phases that
//! together touch few words, replays of atomics to one address.

/// What an access to shared memory costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wavefronts {
    /// Wavefronts in all.
    pub total: u32,
    /// Wavefronts without any conflict: phases with active lanes.
    pub ideal: u32,
}

impl Wavefronts {
    /// Wavefronts that conflicts add.
    pub fn conflicts(self) -> u32 {
        self.total - self.ideal
    }
}

const BANKS: usize = 32;

/// Wavefronts of a load or store of `size` bytes a lane at shared offsets `addresses`.
pub fn wavefronts(mask: u32, addresses: &[u64; 32], size: u32) -> Wavefronts {
    let lanes = match size {
        0..=4 => 32,
        5..=8 => 16,
        _ => 8,
    };
    let mut sum = Wavefronts::default();
    for from in (0..32).step_by(lanes) {
        let here = mask >> from & (u32::MAX >> (32 - lanes));
        if here != 0 {
            sum.ideal += 1;
            sum.total += phase(here, &addresses[from..from + lanes], size);
        }
    }
    sum
}

/// Wavefronts of `ldmatrix` or `stmatrix` with `matrices` (1, 2 or 4) matrices, whose row addresses are those of lanes 0…7,
/// 8…15 and so on.
pub fn matrix_wavefronts(addresses: &[u64; 32], matrices: u32) -> Wavefronts {
    let mut sum = Wavefronts::default();
    for rows in addresses.chunks_exact(8).take(matrices as usize) {
        sum.ideal += 1;
        sum.total += phase(0xff, rows, 16);
    }
    sum
}

fn phase(mask: u32, addresses: &[u64], size: u32) -> u32 {
    let words = size.div_ceil(4).max(1) as usize;
    // Conflict-free or broadcast is the common case: one word per bank, remembered.
    let mut held = [u64::MAX; BANKS];
    let mut clean = true;
    'lanes: for (l, &address) in addresses.iter().enumerate().filter(|(l, _)| mask >> l & 1 != 0) {
        debug_assert!(l < 32);
        for w in 0..words {
            let word = address / 4 + w as u64;
            let slot = &mut held[word as usize % BANKS];
            if *slot != word && *slot != u64::MAX {
                clean = false;
                break 'lanes;
            }
            *slot = word;
        }
    }
    if clean {
        return 1;
    }
    let mut all = [0u64; 32 * 8];
    let mut count = 0;
    for (_, &address) in addresses.iter().enumerate().filter(|(l, _)| mask >> l & 1 != 0) {
        for w in 0..words.min(8) {
            all[count] = address / 4 + w as u64;
            count += 1;
        }
    }
    let all = &mut all[..count];
    all.sort_unstable();
    let mut load = [0u32; BANKS];
    for (i, &word) in all.iter().enumerate() {
        if i == 0 || all[i - 1] != word {
            load[word as usize % BANKS] += 1;
        }
    }
    load.into_iter().max().unwrap_or(0)
}

/// [`wavefronts`] of all 32 lanes at neighbouring addresses, multiples of `size`: no phase has two words in a bank.
pub(crate) fn coalesced_wavefronts(size: u32) -> Wavefronts {
    let phases = size.div_ceil(4).clamp(1, 4);
    Wavefronts { total: phases, ideal: phases }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_of_neighbours_costs_what_lanes_cost() {
        for size in [1, 2, 4, 8, 16] {
            for at in 0..64 {
                let addresses = std::array::from_fn(|l| (at + l as u64) * u64::from(size));
                assert_eq!(coalesced_wavefronts(size), wavefronts(u32::MAX, &addresses, size));
            }
        }
    }

    fn strided(stride: u64, size: u32) -> Wavefronts {
        wavefronts(u32::MAX, &std::array::from_fn(|l| l as u64 * stride), size)
    }

    #[test]
    fn a_stride_of_2_4_8_16_32_words_conflicts_that_many_ways() {
        for ways in [1u32, 2, 4, 8, 16, 32] {
            assert_eq!(strided(4 * u64::from(ways), 4), Wavefronts { total: ways, ideal: 1 });
        }
    }

    #[test]
    fn odd_strides_and_broadcasts_do_not_conflict() {
        for stride in [0, 4, 12, 20, 132] {
            assert_eq!(strided(stride, 4).conflicts(), 0);
        }
        // Two lanes per half-word pair: the same words.
        assert_eq!(strided(2, 2), Wavefronts { total: 1, ideal: 1 });
        assert_eq!(strided(1, 1), Wavefronts { total: 1, ideal: 1 });
    }

    #[test]
    fn wide_accesses_take_two_and_four_phases() {
        assert_eq!(strided(8, 8), Wavefronts { total: 2, ideal: 2 });
        assert_eq!(strided(16, 16), Wavefronts { total: 4, ideal: 4 });
        // 32-byte stride: of 8 lanes × 16 bytes, lanes l and l+4 meet in the same four banks.
        assert_eq!(strided(32, 16), Wavefronts { total: 8, ideal: 4 });
        // 128-byte stride: all eight lanes of a phase meet.
        assert_eq!(strided(128, 16), Wavefronts { total: 32, ideal: 4 });
        assert_eq!(strided(256, 8), Wavefronts { total: 32, ideal: 2 });
        // Half of the lanes active: half of the phases.
        let addresses = std::array::from_fn(|l| l as u64 * 16);
        assert_eq!(wavefronts(0xffff, &addresses, 16), Wavefronts { total: 2, ideal: 2 });
        assert_eq!(wavefronts(0, &addresses, 16), Wavefronts::default());
    }

    #[test]
    fn matrices_conflict_by_their_row_pitch() {
        let rows = |pitch: u64| std::array::from_fn(|l| l as u64 * pitch);
        assert_eq!(matrix_wavefronts(&rows(16), 4), Wavefronts { total: 4, ideal: 4 });
        assert_eq!(matrix_wavefronts(&rows(128), 4), Wavefronts { total: 32, ideal: 4 });
        assert_eq!(matrix_wavefronts(&rows(144), 2), Wavefronts { total: 2, ideal: 2 });
        assert_eq!(matrix_wavefronts(&rows(64), 1), Wavefronts { total: 4, ideal: 1 });
    }
}
