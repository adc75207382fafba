//! What one agent knows of another: up to which epoch the other's accesses are ordered before its own next one.

use std::sync::Arc;

/// A knowledge value. Epochs start at 1, so that 0 means "nothing".
#[derive(Clone, Debug)]
pub(crate) enum Know {
    /// The same for all 32 lanes (or for an agent without lanes).
    All(u32),
    /// One epoch per lane.
    Lanes(Arc<[u32; 32]>),
    /// For agents whose operations complete in any order: which serial numbers are complete.
    Serials(Arc<Serials>),
}

/// A set of serial numbers: all up to `floor`, and some above it (sorted).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Serials {
    floor: u32,
    above: Vec<u32>,
}

impl Serials {
    fn insert(&mut self, serial: u32) {
        if serial <= self.floor {
            return;
        }
        if let Err(at) = self.above.binary_search(&serial) {
            self.above.insert(at, serial);
        }
        self.settle();
    }

    fn settle(&mut self) {
        let floor = self.floor;
        let passed = self.above.iter().take_while(|&&s| s <= floor).count();
        let mut next = passed;
        while self.above.get(next) == Some(&(self.floor + 1)) {
            self.floor += 1;
            next += 1;
        }
        self.above.drain(..next);
    }

    fn contains(&self, serial: u32) -> bool {
        serial <= self.floor || self.above.binary_search(&serial).is_ok()
    }

    fn join(&mut self, other: &Serials) {
        self.floor = self.floor.max(other.floor);
        for &serial in &other.above {
            if let Err(at) = self.above.binary_search(&serial) {
                self.above.insert(at, serial);
            }
        }
        self.settle();
    }

    fn includes(&self, other: &Serials) -> bool {
        // The floors alone do not decide: what lies between them may be in `above`.
        (self.floor + 1..=other.floor).all(|s| self.contains(s))
            && other.above.iter().all(|&s| self.contains(s))
    }
}

impl Default for Know {
    fn default() -> Self {
        Know::All(0)
    }
}

impl Know {
    /// The single serial number `serial`, complete.
    pub(crate) fn serial(serial: u32) -> Know {
        let mut set = Serials::default();
        set.insert(serial);
        Know::Serials(Arc::new(set))
    }

    /// Whether the epoch `clock` of every lane in `lanes` is known.
    #[inline]
    pub(crate) fn covers(&self, lanes: u32, clock: u32) -> bool {
        match self {
            Know::All(v) => *v >= clock,
            Know::Lanes(v) => {
                let mut rest = lanes;
                while rest != 0 {
                    if v[rest.trailing_zeros() as usize] < clock {
                        return false;
                    }
                    rest &= rest - 1;
                }
                true
            }
            Know::Serials(set) => set.contains(clock),
        }
    }

    /// Whether everything in `other` is known already.
    pub(crate) fn includes(&self, other: &Know) -> bool {
        match (self, other) {
            (_, Know::All(0)) => true,
            (Know::All(a), Know::All(b)) => a >= b,
            (Know::All(a), Know::Lanes(b)) => b.iter().all(|v| a >= v),
            (Know::Lanes(a), Know::All(b)) => a.iter().all(|v| v >= b),
            (Know::Lanes(a), Know::Lanes(b)) => {
                Arc::ptr_eq(a, b) || a.iter().zip(b.iter()).all(|(a, b)| a >= b)
            }
            (Know::Serials(a), Know::Serials(b)) => Arc::ptr_eq(a, b) || a.includes(b),
            _ => false,
        }
    }

    /// Adds what `other` knows.
    pub(crate) fn join(&mut self, other: &Know) {
        if self.includes(other) {
            return;
        }
        if other.includes(self) {
            *self = other.clone();
            return;
        }
        match (&mut *self, other) {
            (Know::Serials(a), Know::Serials(b)) => Arc::make_mut(a).join(b),
            (a, b) => {
                let (x, y) = (a.lanes(), b.lanes());
                *a = Know::Lanes(Arc::new(std::array::from_fn(|l| x[l].max(y[l]))));
            }
        }
    }

    /// The epoch of each lane.
    pub(crate) fn lanes(&self) -> [u32; 32] {
        match self {
            Know::All(v) => [*v; 32],
            Know::Lanes(v) => **v,
            Know::Serials(set) => [set.floor; 32],
        }
    }

    /// Raises the lanes in `mask` to at least `clock`.
    pub(crate) fn raise(&mut self, mask: u32, clock: u32) {
        if clock == 0 || self.covers(mask, clock) {
            return;
        }
        if mask == u32::MAX && Know::All(clock).includes(self) {
            *self = Know::All(clock);
            return;
        }
        let mut lanes = self.lanes();
        for (l, v) in lanes.iter_mut().enumerate() {
            if mask >> l & 1 != 0 {
                *v = (*v).max(clock);
            }
        }
        *self = Know::Lanes(Arc::new(lanes));
    }

    /// Raises each lane in `mask` to its own value.
    pub(crate) fn raise_each(&mut self, mask: u32, clocks: &[u32; 32]) {
        let mut lanes = self.lanes();
        let mut changed = false;
        for l in 0..32 {
            if mask >> l & 1 != 0 && clocks[l] > lanes[l] {
                lanes[l] = clocks[l];
                changed = true;
            }
        }
        if changed {
            let first = lanes[0];
            *self = if lanes.iter().all(|&v| v == first) {
                Know::All(first)
            } else {
                Know::Lanes(Arc::new(lanes))
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_complete_in_any_order_and_settle_into_the_floor() {
        let mut set = Know::serial(3);
        assert!(set.covers(1, 3) && !set.covers(1, 1) && !set.covers(1, 2));
        set.join(&Know::serial(1));
        assert!(set.covers(1, 1) && !set.covers(1, 2) && set.covers(1, 3));
        set.join(&Know::serial(2));
        let Know::Serials(s) = &set else { panic!("serials stay serials") };
        assert_eq!((s.floor, s.above.len()), (3, 0));
    }

    #[test]
    fn a_partial_raise_leaves_the_other_lanes() {
        let mut know = Know::All(4);
        know.raise(0b10, 9);
        assert!(know.covers(0b10, 9) && !know.covers(0b01, 5) && know.covers(u32::MAX, 4));
        know.raise(u32::MAX, 9);
        assert!(matches!(know, Know::All(9)));
    }
}
