//! Launches that go on for ever and get nowhere: a flag that nobody sets, a lock that nobody gives back.
//!
//! While nothing happens that another warp could see, a warp depends on nothing but itself. If its registers, its groups and
//! its local memory are then as they were before, it will do the same again and again; if that is so of every warp that does
//! not wait, the launch never ends. A warp that counts its looks does not repeat itself exactly: it polls in vain after a
//! number of instructions that the user can choose.

use std::collections::{BTreeSet, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Wait;
use super::launch::{LaunchState, WorkerState};
use super::schedule::Resident;
use super::warp::Warp;

/// Warp instructions without effect after which warps are watched.
const QUIET: u64 = 1 << 17;
/// Rounds in which warps are watched, the first time and at most. In between they run unwatched, for as many instructions as
/// words were looked at: a kernel that computes for long without an effect is hardly slower for it.
const WATCHED: (u32, u32) = (1 << 8, 1 << 16);

/// What is known of a warp since the last effect.
#[derive(Default)]
pub(crate) struct Watch {
    /// Whether it has looked at something that others may change.
    pub looked: bool,
    /// The effects that the rest belongs to.
    effects: u64,
    saved: Option<Saved>,
    repeats: bool,
}

struct Saved {
    state: u64,
    /// Instructions that the warp had executed.
    at: u64,
    /// The watch that it belongs to.
    watch: u64,
}

/// Workers that still have clusters, and those of them that repeat themselves since `effects`.
#[derive(Default)]
pub(crate) struct Stalled {
    working: BTreeSet<u64>,
    stalled: BTreeSet<u64>,
    effects: u64,
}

impl Stalled {
    pub(super) fn new(workers: u64) -> Stalled {
        Stalled { working: (0..workers).collect(), ..Stalled::default() }
    }
}

/// A worker has no clusters left.
pub(super) fn leave(launch: &LaunchState, number: u64) {
    let mut all = launch.stalled.lock().unwrap_or_else(PoisonError::into_inner);
    all.working.remove(&number);
}

/// A worker's view of the effects.
#[derive(Default)]
pub(super) struct Stall {
    /// The worker's own effects, as it has told the launch of them.
    told: u64,
    /// All effects when the last one was noticed, and what the worker had executed by then.
    effects: u64,
    since: u64,
    watched: Option<Instant>,
    /// Rounds of the present watch, and those of them that are left.
    rounds: u32,
    left: u32,
    /// Words that it has looked at.
    looked: u64,
    /// When the next one begins, in instructions of the worker, and how many there were.
    rest: u64,
    watches: u64,
}

impl Stall {
    /// After a round: whether nothing has had an effect for a while. `events` and `resident` change with some effects.
    pub(super) fn quiet(
        &mut self,
        launch: &LaunchState,
        worker: &WorkerState,
        events: u64,
        resident: usize,
    ) -> bool {
        let own = worker.effects + events + resident as u64;
        if own != self.told {
            self.told = own;
            launch.effects.fetch_add(1, Ordering::Relaxed);
        }
        let effects = launch.effects.load(Ordering::Relaxed);
        if effects != self.effects {
            (self.effects, self.since, self.watched) = (effects, worker.executed, None);
            (self.rounds, self.left, self.rest) = (0, 0, 0);
        }
        worker.executed - self.since >= QUIET
    }

    /// While it is quiet: what is wrong, if the launch will get nowhere.
    pub(super) fn in_vain(
        &mut self,
        launch: &LaunchState,
        worker: &WorkerState,
        resident: &mut VecDeque<Resident>,
        number: u64,
    ) -> Option<String> {
        if self.left == 0 {
            if worker.executed < self.rest {
                return None;
            }
            self.rounds = (2 * self.rounds).clamp(WATCHED.0, WATCHED.1);
            (self.left, self.looked) = (self.rounds, 0);
            self.watches += 1;
        }
        self.left -= 1;
        let watched = *self.watched.get_or_insert_with(Instant::now);
        let settings = launch.settings();
        let executed = worker.executed - self.since;
        let (mut polling, mut repeating) = (executed >= settings.poll_limit, true);
        for warp in resident.iter_mut().flat_map(|at| &mut at.cluster.ctas).flat_map(|cta| &mut cta.warps) {
            let fresh = warp.watch.effects != self.effects;
            if fresh {
                warp.watch = Watch { effects: self.effects, ..Watch::default() };
            }
            let waits = warp.groups.iter().all(|group| group.wait != Wait::Ready);
            polling &= waits || warp.watch.looked;
            repeating &= waits || repeats(warp, self.watches, &mut self.looked);
        }
        self.rest = worker.executed + self.looked;
        let mut all = launch.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        if !polling && !repeating || watched.elapsed().as_secs_f64() < settings.stall_seconds {
            all.stalled.remove(&number);
            return None;
        }
        if all.effects != self.effects {
            (all.effects, all.stalled) = (self.effects, BTreeSet::new());
        }
        all.stalled.insert(number);
        if !all.working.is_subset(&all.stalled) {
            return None;
        }
        let how = if repeating { "every warp waits or repeats itself" } else { "every warp waits or polls" };
        Some(format!("{how}: {executed} warp instructions without any effect"))
    }
}

/// Whether a warp has come back to the state in which it was when the watch began, after each of its groups has run. Adds to
/// `looked` the words that it took to see.
fn repeats(warp: &mut Warp, watch: u64, looked: &mut u64) -> bool {
    if warp.watch.repeats {
        return true;
    }
    let (state, words) = fingerprint(warp);
    *looked += words;
    let ran = |since: u64| warp.groups.iter().all(|group| group.wait != Wait::Ready || group.stamp > since);
    match &warp.watch.saved {
        Some(saved) if saved.watch == watch => warp.watch.repeats = saved.state == state && ran(saved.at),
        _ => warp.watch.saved = Some(Saved { state, at: warp.executed, watch }),
    }
    warp.watch.repeats
}

/// All that a warp's future depends on, besides memory, as one number; and the words that were looked at.
fn fingerprint(warp: &Warp) -> (u64, u64) {
    let (mut hash, mut count) = (0u64, 0);
    let mut mix = |word: u64| {
        count += 1;
        hash = (hash.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 32;
    };
    let mut groups: Vec<_> = warp.groups.iter().map(|g| (g.mask, g.pc, g.depth, g.wait)).collect();
    groups.sort_by_key(|group| group.0);
    for (mask, pc, depth, wait) in groups {
        mix(u64::from(mask) << 32 | u64::from(pc));
        mix(u64::from(depth) << 1 | u64::from(wait == Wait::Ready));
    }
    for slot in &warp.regs {
        for pair in slot.0.as_chunks::<2>().0 {
            mix(u64::from(pair[0]) << 32 | u64::from(pair[1]));
        }
    }
    warp.preds.iter().chain(&warp.frame).for_each(|word| mix((*word).into()));
    warp.returns.iter().flatten().for_each(|word| mix((*word).into()));
    let (words, rest) = warp.local.as_chunks::<8>();
    words.iter().for_each(|word| mix(u64::from_le_bytes(*word)));
    rest.iter().for_each(|byte| mix((*byte).into()));
    (hash, count)
}
