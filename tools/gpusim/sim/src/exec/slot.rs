//! The unit of register storage: 32 lanes of 32 bits.

/// 128 bytes. A 64-bit register is two neighbouring slots read as `[u64; 32]`, a 128-bit one two 64-bit registers,
/// the low half first.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(128))]
pub(crate) struct Slot(pub(crate) [u32; 32]);

impl Slot {
    pub(crate) const ZERO: Slot = Slot([0; 32]);

    pub(crate) fn splat32(value: u32) -> Slot {
        Slot([value; 32])
    }

    pub(crate) fn splat64(value: u64) -> [Slot; 2] {
        Slot::lanes64(&[value; 32])
    }

    pub(crate) fn lanes64(values: &[u64; 32]) -> [Slot; 2] {
        let mut slots = [Slot::ZERO; 2];
        for (lane, value) in values.iter().enumerate() {
            let words = &mut slots[lane / 16].0;
            words[lane % 16 * 2] = *value as u32;
            words[lane % 16 * 2 + 1] = (*value >> 32) as u32;
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_bit_lanes_lie_in_memory_as_an_array() {
        let values: [u64; 32] = std::array::from_fn(|lane| 0x0123_4567_0000_0000 + lane as u64);
        let slots = Slot::lanes64(&values);
        let bytes: Vec<u8> = slots.iter().flat_map(|s| s.0).flat_map(u32::to_le_bytes).collect();
        let expected: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(bytes, expected);
    }
}
