//! Constants: immediates as registers whose lanes are all equal, so that instructions know one kind of source only.

use std::collections::HashMap;

use crate::exec::Slot;
use crate::inst::Reg;

/// The constants of a module.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: Vec<Slot>,
    index: HashMap<(u128, usize), usize>,
}

impl Pool {
    /// A register of 32 or 64 bits.
    pub(crate) fn reg(&mut self, bits: u64, wide: bool) -> Reg {
        self.intern(u128::from(bits), if wide { 2 } else { 1 })
    }

    /// A register of 128 bits.
    pub(crate) fn wide(&mut self, bits: u128) -> Reg {
        self.intern(bits, 4)
    }

    fn intern(&mut self, bits: u128, size: usize) -> Reg {
        let slots = &mut self.slots;
        let slot = *self.index.entry((bits, size)).or_insert_with(|| {
            let first = slots.len();
            let words = [bits as u64, (bits >> 64) as u64];
            match size {
                1 => slots.push(Slot::splat32(bits as u32)),
                2 => slots.extend(Slot::splat64(words[0])),
                _ => slots.extend(words.into_iter().flat_map(Slot::splat64)),
            }
            first
        });
        Reg::new(Reg::CONSTANT, slot)
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }
}
