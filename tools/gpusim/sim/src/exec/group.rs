//! Groups of lanes that are at the same place, and the choice of the one that runs.

use super::Exec;
use crate::Schedule;

/// Instructions after which another group of a diverged warp gets its turn, so that a lane which spins on a lock lets
/// the lane that holds it go on.
pub(super) const SLICE: u32 = 1024;

/// Lanes of a warp at the same call depth and instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub mask: u32,
    pub pc: u32,
    pub depth: u32,
    pub wait: Wait,
    /// `Warp::executed` when it last ran.
    pub stamp: u64,
}

/// What a group waits for. When the wait is over the instruction runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing.
    Ready,
    /// Other lanes of the warp, at the same instruction.
    Converge,
    /// Other lanes of the warp at a `bar.warp.sync` with this mask.
    WarpSync(u32),
    /// A barrier of the CTA whose generation is still this one. The second run finds `Exec::woken` set.
    Barrier { id: u32, generation: u32 },
    /// A phase of the cluster's barrier. The second run finds `Exec::woken` set.
    ClusterBarrier { generation: u32 },
    /// Something that only the instruction itself can tell: it runs again at each turn of the warp.
    Poll,
}

/// Which group runs next.
pub(super) enum Choice {
    /// The one at this index.
    Group(usize),
    /// None can.
    Blocked,
    /// None until something outside the warp changes, but some want to look.
    Polling,
    /// All lanes have exited.
    Done,
}

impl Exec<'_> {
    /// Joins groups at the same place and says which runs next. `polled` groups have had their look in this turn.
    pub(super) fn choose(&mut self, polled: bool) -> Choice {
        if let [only] = self.warp.groups.as_slice() {
            return match only.wait {
                Wait::Ready => Choice::Group(0),
                Wait::Poll if !polled => Choice::Group(0),
                Wait::Poll => Choice::Polling,
                _ if self.is_over(only.wait) => Choice::Group(0),
                _ => Choice::Blocked,
            };
        }
        self.join();
        let random = self.launch.settings().schedule == Schedule::Random;
        let mut best: Option<(usize, u64)> = None;
        let mut polling = false;
        let favour = self.warp.favour;
        for (at, group) in self.warp.groups.iter().enumerate() {
            let ready = match group.wait {
                Wait::Ready => true,
                Wait::Poll => {
                    polling = true;
                    !polled
                }
                wait => self.is_over(wait),
            };
            if !ready {
                continue;
            }
            // Deepest calls first, then the lowest program counter: this brings lanes together again.
            let mut key = u64::from(u16::MAX - group.depth.min(0xFFFF) as u16) << 33 | u64::from(group.pc);
            if group.wait == Wait::Poll {
                // Who looks for events lets others go first, and those who looked longest ago.
                key = 1 << 61 | group.stamp;
            }
            if favour != 0 && group.mask & favour == 0 {
                key |= 1 << 62;
            }
            if random {
                key = self.worker.rng.next();
            }
            if best.is_none_or(|(_, least)| key < least) {
                best = Some((at, key));
            }
        }
        match best {
            Some((at, _)) => Choice::Group(at),
            None if self.warp.groups.is_empty() => Choice::Done,
            None if polling => Choice::Polling,
            None => Choice::Blocked,
        }
    }

    /// Whether a wait for a barrier is over.
    fn is_over(&self, wait: Wait) -> bool {
        match wait {
            Wait::Ready => true,
            Wait::Barrier { id, generation } => self.cta.barriers[id as usize].generation != generation,
            Wait::ClusterBarrier { generation } => self.cluster.barrier.generation != generation,
            Wait::Converge | Wait::WarpSync(_) | Wait::Poll => false,
        }
    }

    /// Joins groups at the same place. One that waits for others there looks again.
    fn join(&mut self) {
        let groups = &mut self.warp.groups;
        let joinable = |wait| matches!(wait, Wait::Ready | Wait::Converge);
        let mut a = 0;
        while a < groups.len() {
            let mut b = a + 1;
            while b < groups.len() {
                let (x, y) = (groups[a], groups[b]);
                if x.pc == y.pc && x.depth == y.depth && joinable(x.wait) && joinable(y.wait) {
                    groups[a].mask |= y.mask;
                    groups[a].wait = Wait::Ready;
                    groups[a].stamp = x.stamp.min(y.stamp);
                    groups.swap_remove(b);
                } else {
                    b += 1;
                }
            }
            a += 1;
        }
    }

    /// The stretch of code from `pc` on that the running group may execute before it meets another group.
    pub(super) fn stretch(&self, pc: u32, depth: u32) -> u32 {
        let others = self.warp.groups.iter().filter(|g| g.depth == depth && g.pc > pc);
        let joinable = others.filter(|g| matches!(g.wait, Wait::Ready | Wait::Converge));
        joinable.map(|g| g.pc).min().unwrap_or(u32::MAX) - pc
    }

    /// Counts towards a change of turns, and makes it when it is due.
    pub(super) fn take_turns(&mut self, executed: u32) {
        self.warp.streak += executed;
        if self.warp.streak < SLICE {
            return;
        }
        self.warp.streak = 0;
        let ready = self.warp.groups.iter().filter(|g| g.wait == Wait::Ready);
        let oldest = ready.min_by_key(|g| g.stamp).map_or(0, |g| g.mask);
        self.warp.favour = if self.warp.favour == 0 { oldest } else { 0 };
    }

    /// Lanes have exited: what waits for lanes of the warp looks again.
    pub(super) fn look_again(&mut self) {
        for group in &mut self.warp.groups {
            if matches!(group.wait, Wait::Converge | Wait::WarpSync(_)) {
                group.wait = Wait::Ready;
            }
        }
    }
}
