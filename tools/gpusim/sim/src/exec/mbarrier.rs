//! mbarrier objects: 64 bits in shared memory, and what the simulator remembers about each to notice misuse.
//!
//! The word's layout is the simulator's own (programs must treat it as opaque):
//!
//! | bits | content |
//! |---|---|
//! | 0..20 | arrivals still pending in the current phase |
//! | 20..40 | arrivals that a phase expects |
//! | 40..61 | bytes of transactions expected and not complete, signed |
//! | 61..64 | number of the phase, modulo 8 |

use std::collections::BTreeMap;

use super::cta::ClusterState;

/// Rank of the CTA, and shared address there without rank bits.
pub(crate) type MbarrierAt = (u32, u32);

/// The largest count of arrivals, and of bytes in either direction.
pub(crate) const MOST: u32 = (1 << 20) - 1;

/// The state of an object, as it lies in memory and in the tokens that `mbarrier.arrive` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub u64);

impl Word {
    fn new(pending: u32, expected: u32, bytes: i32, phase: u64) -> Word {
        let bytes = (bytes as u32 & 0x1F_FFFF) as u64;
        Word(u64::from(pending) | u64::from(expected) << 20 | bytes << 40 | (phase & 7) << 61)
    }

    pub(crate) fn pending(self) -> u32 {
        self.0 as u32 & MOST
    }

    fn expected(self) -> u32 {
        (self.0 >> 20) as u32 & MOST
    }

    fn bytes(self) -> i32 {
        ((self.0 >> 40) as u32 as i32) << 11 >> 11
    }

    fn phase(self) -> u64 {
        self.0 >> 61
    }
}

/// What an object in memory does not say.
#[derive(Clone, Copy, Debug)]
struct Object {
    /// What its last operation left in memory.
    word: Word,
    /// Phases completed since its initialisation.
    phase: u64,
    /// Phases that somebody has seen complete.
    observed: u64,
    /// Phases up to and including the last in which an asynchronous copy completed.
    transacted: u64,
    /// The last test found its phase incomplete.
    awaited: bool,
}

/// The objects of a cluster.
#[derive(Default)]
pub(crate) struct Mbarriers {
    objects: BTreeMap<MbarrierAt, Object>,
    /// Phases completed.
    pub(super) phases: u64,
}

/// An operation that the object does not allow: what is wrong.
pub(crate) type Misuse = String;

/// What arrivals do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Arrivals.
    pub arrive: u32,
    /// Also expected no longer in later phases.
    pub drop: bool,
    /// Bytes added to the transaction count before the arrivals.
    pub expect: u32,
    /// Bytes taken from it.
    pub complete: u32,
    /// Pending arrivals added first (`cp.async.mbarrier.arrive` without `.noinc`).
    pub add: u32,
}

/// The bytes in shared memory that hold an object.
fn cell(cluster: &ClusterState, at: MbarrierAt) -> Result<*mut u64, Misuse> {
    match cluster.shared_at(at.0, at.1, 8) {
        Some(host) => Ok(host.cast()),
        None => Err(format!("there is no shared memory at {:#x} of CTA rank {}", at.1, at.0)),
    }
}

impl ClusterState {
    /// `mbarrier.init`.
    pub(crate) fn mbarrier_init(&mut self, at: MbarrierAt, count: u32) -> Result<(), Misuse> {
        if count == 0 || count > MOST {
            return Err(format!("initialised with a count of {count}, which must be 1 to {MOST}"));
        }
        let cell = cell(self, at)?;
        let word = Word::new(count, count, 0, 0);
        // SAFETY: `cell` gives 8 bytes of live shared memory.
        unsafe { cell.write_unaligned(word.0) };
        let object = Object { word, phase: 0, observed: 0, transacted: 0, awaited: false };
        self.mbarriers.objects.insert(at, object);
        Ok(())
    }

    /// `mbarrier.inval`.
    pub(crate) fn mbarrier_inval(&mut self, at: MbarrierAt) -> Result<(), Misuse> {
        let object = self.mbarrier(at)?;
        if object.word.bytes() != 0 {
            return Err(format!("invalidated while {} bytes are outstanding", object.word.bytes()));
        }
        self.mbarriers.objects.remove(&at);
        Ok(())
    }

    /// The object at an address, if memory still holds what its last operation left there.
    fn mbarrier(&mut self, at: MbarrierAt) -> Result<&mut Object, Misuse> {
        let cell = cell(self, at)?;
        // SAFETY: `cell` gives 8 bytes of live shared memory.
        let word = Word(unsafe { cell.read_unaligned() });
        match self.mbarriers.objects.get_mut(&at) {
            None => Err("used without having been initialised".to_owned()),
            Some(object) if object.word != word => Err(format!(
                "its memory was overwritten: it holds {:#018x}, its last operation left {:#018x}",
                word.0, object.word.0
            )),
            Some(object) => Ok(object),
        }
    }

    /// Whether there is an object at an address, as a copy that will complete on it needs.
    pub(crate) fn mbarrier_usable(&mut self, at: MbarrierAt) -> Result<(), Misuse> {
        self.mbarrier(at).map(drop)
    }

    /// Arrivals and transactions. Returns the state before, and whether the phase is complete now.
    pub(crate) fn mbarrier_change(&mut self, at: MbarrierAt, change: Change) -> Result<(Word, bool), Misuse> {
        let object = self.mbarrier(at)?;
        let old = object.word;
        let mut expected = old.expected();
        let pending = old.pending() + change.add;
        if change.add > 0 && pending > MOST {
            return Err(format!("{pending} pending arrivals: more than {MOST}"));
        }
        if change.arrive > pending {
            return Err(format!(
                "{} arrivals in a phase that waits for {pending} more (of {expected})",
                change.arrive
            ));
        }
        let mut pending = pending - change.arrive;
        if change.drop {
            if change.arrive > expected {
                return Err(format!("{} arrivals dropped of {expected} expected", change.arrive));
            }
            expected -= change.arrive;
        }
        let bytes = i64::from(old.bytes()) + i64::from(change.expect) - i64::from(change.complete);
        if bytes.unsigned_abs() > u64::from(MOST) {
            return Err(format!("the transaction count becomes {bytes}, beyond {MOST} bytes"));
        }
        let bytes = bytes as i32;
        if change.complete > 0 {
            object.transacted = object.phase + 1;
        }
        if pending == 0 && bytes < 0 {
            return Err(format!(
                "{} more bytes have come than the phase expects, and no arrival that could expect them is pending",
                -bytes
            ));
        }
        let complete = pending == 0 && bytes == 0;
        if complete {
            object.phase += 1;
            pending = expected;
        }
        object.word = Word::new(pending, expected, bytes, object.phase);
        let word = object.word;
        self.mbarriers.phases += u64::from(complete);
        let cell = cell(self, at)?;
        // SAFETY: `cell` gives 8 bytes of live shared memory.
        unsafe { cell.write_unaligned(word.0) };
        Ok((old, complete))
    }

    /// `test_wait.parity`: whether the phase with this parity is complete, which is the one before the current one.
    pub(crate) fn mbarrier_parity(&mut self, at: MbarrierAt, parity: u32) -> Result<bool, Misuse> {
        let object = self.mbarrier(at)?;
        let done = object.phase & 1 != u64::from(parity & 1);
        object.saw(done);
        Ok(done)
    }

    /// `test_wait` with a token.
    pub(crate) fn mbarrier_test(&mut self, at: MbarrierAt, token: Word) -> Result<bool, Misuse> {
        let object = self.mbarrier(at)?;
        let done = match object.phase.wrapping_sub(token.phase()) & 7 {
            0 => false,
            1 => true,
            _ => {
                return Err(format!(
                    "the state {:#x} is of neither the current phase nor the one before it",
                    token.0
                ));
            }
        };
        object.saw(done);
        Ok(done)
    }

    /// Objects on which a wait has found no complete phase, in words.
    pub(super) fn mbarriers_awaited(&self) -> Vec<String> {
        let awaited = self.mbarriers.objects.iter().filter(|(_, object)| object.awaited);
        awaited.map(|(at, object)| object.describe(*at)).collect()
    }

    /// An object of an exiting CTA whose last copy nobody waited for.
    pub(super) fn mbarrier_unwaited(&self, rank: u32) -> Option<String> {
        let of = self.mbarriers.objects.range((rank, 0)..(rank + 1, 0));
        let mut left = of.filter(|(_, object)| object.transacted > object.observed);
        left.next().map(|(at, object)| object.describe(*at))
    }

    /// The objects of a CTA are gone with its shared memory.
    pub(super) fn forget_mbarriers(&mut self, rank: u32) {
        self.mbarriers.objects.retain(|at, _| at.0 != rank);
    }
}

impl Object {
    fn saw(&mut self, done: bool) {
        self.awaited = !done;
        if done {
            self.observed = self.phase;
        }
    }

    fn describe(&self, at: MbarrierAt) -> String {
        format!(
            "mbarrier at shared address {:#x} of CTA rank {}: phase {} (parity {}) still expects {} of {} arrivals and \
             {} bytes",
            at.1,
            at.0,
            self.phase,
            self.phase & 1,
            self.word.pending(),
            self.word.expected(),
            self.word.bytes()
        )
    }
}
