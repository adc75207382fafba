//! Barriers of a CTA and of a cluster.

use super::{Exec, Fault, FaultKind, Wait};
use crate::inst::Flow;

/// What `bar.red` computes over the arriving threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Popc,
    And,
    Or,
}

/// A named barrier.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Barrier {
    /// Threads that have arrived, in the present generation.
    arrived: u32,
    /// Threads expected; None is all threads of the CTA that have not exited.
    expected: Option<u32>,
    /// Generations completed.
    pub generation: u32,
    /// Lanes that have arrived, by warp.
    came: [u32; 32],
    /// Of the threads that have arrived, those that have exited since.
    gone: u32,
    /// Lanes that wait, by warp.
    waiting: [u32; 32],
    /// Lanes that have arrived without their whole warp, by warp.
    partial: [u32; 32],
    popc: u32,
    or: bool,
    nand: bool,
    /// Popc, and, or of the last generations.
    results: [(u32, bool, bool); 4],
}

/// An arrival at a barrier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub id: u32,
    /// Threads expected, if the instruction says so.
    pub count: Option<u32>,
    /// All lanes of the warp come together.
    pub aligned: bool,
    /// Lanes whose predicate holds, for `bar.red`.
    pub predicate: u32,
}

impl Exec<'_> {
    /// The executing lanes arrive; those of `bar.sync` then wait with [`Exec::barrier_wait`].
    ///
    /// `Err` is what the instruction returns instead of going on.
    pub(crate) fn barrier_arrive(&mut self, arrival: Arrival) -> Result<(), Flow> {
        let Arrival { id, count, aligned, predicate } = arrival;
        if id >= 16 {
            return Err(self.fault(
                FaultKind::Trap,
                "barrier",
                format!("there is no barrier {id}, only 0 to 15"),
            ));
        }
        if let Some(count) = count.filter(|count| *count == 0 || count % 32 != 0) {
            let message = format!("{count} threads at barrier {id}: not a multiple of the warp size");
            return Err(self.fault(FaultKind::Trap, "barrier", message));
        }
        if aligned && let Some(flow) = self.converge(u32::MAX) {
            return Err(flow);
        }
        // Exited and never launched threads of a warp count as arrived with it where a number is given, and are not
        // expected where none is.
        let whole = self.cta.warps * 32;
        let count = count.filter(|count| *count != whole);
        let warp = self.warp.index as usize;
        let lanes = self.mask;
        let alive = self.warp.alive;
        let barrier = &mut self.cta.barriers[id as usize];
        if barrier.arrived > 0 && barrier.expected != count {
            let text = |count: Option<u32>| count.map_or("all".to_owned(), |count| count.to_string());
            let message =
                format!("barrier {id} expects {} threads, now {}", text(barrier.expected), text(count));
            return Err(self.fault(FaultKind::Check, "barrier divergence", message));
        }
        barrier.expected = count;
        self.worker.effects += 1;
        let mut threads = lanes.count_ones();
        if aligned {
            threads = if count.is_some() { 32 } else { threads };
        } else if count.is_some() {
            barrier.partial[warp] |= lanes;
            if alive & !barrier.partial[warp] == 0 {
                threads += (!barrier.partial[warp]).count_ones();
                barrier.partial[warp] = 0;
            }
        }
        barrier.arrived += threads;
        barrier.came[warp] |= lanes;
        barrier.popc += (lanes & predicate).count_ones();
        barrier.or |= lanes & predicate != 0;
        barrier.nand |= lanes & !predicate != 0;
        if let Some(expected) = count.filter(|expected| barrier.arrived > *expected) {
            let message =
                format!("{} threads arrived at barrier {id}, which expects {expected}", barrier.arrived);
            return Err(self.fault(FaultKind::Check, "barrier divergence", message));
        }
        self.barrier_arrived(id);
        Ok(())
    }

    /// After [`Exec::barrier_arrive`] of a `bar.sync` or `bar.red`: the flow that waits until the barrier opens.
    pub(crate) fn barrier_wait(&mut self, id: u32) -> Flow {
        let barrier = &mut self.cta.barriers[id as usize];
        let generation = barrier.generation;
        barrier.waiting[self.warp.index as usize] |= self.mask;
        self.open_barriers();
        self.wait = Wait::Barrier { id, generation };
        Flow::Wait
    }

    /// The result of the generation of barrier `id` that has just opened for this group.
    pub(crate) fn barrier_result(&self, id: u32, reduction: Reduction) -> u32 {
        let Wait::Barrier { generation, .. } = self.wait_of_group else { return 0 };
        let (popc, and, or) = self.cta.barriers[id as usize].results[generation as usize % 4];
        match reduction {
            Reduction::Popc => popc,
            Reduction::And => and as u32,
            Reduction::Or => or as u32,
        }
    }

    /// `bar.warp.sync`: the flow that waits for `members`.
    pub(crate) fn warp_sync(&mut self, members: u32) -> Flow {
        let lanes = self.mask;
        if lanes & !members != 0 {
            let message = format!("lanes {lanes:#010x} execute it, its mask is {members:#010x}");
            let fault = Fault::new(FaultKind::Check, "wrong member mask", message).at(lanes & !members);
            return self.fail(fault);
        }
        let waiting = |wait| wait == Wait::WarpSync(members);
        let here = self.warp.groups.iter().filter(|g| waiting(g.wait)).fold(lanes, |m, g| m | g.mask);
        if members & self.warp.alive & !here != 0 {
            self.wait = Wait::WarpSync(members);
            return Flow::Wait;
        }
        for group in self.warp.groups.iter_mut().filter(|g| waiting(g.wait)) {
            group.wait = Wait::Ready;
            group.pc += 1;
        }
        self.warp_synced(here);
        if here == lanes && self.warp.groups.is_empty() {
            return Flow::Next;
        }
        self.add_group(self.active, self.next, self.depth);
        Flow::Regroup
    }
}

impl Barrier {
    /// Opens the barrier if all have come; `absent` threads of the CTA have exited or were never launched. Returns the
    /// lanes that waited, by warp.
    pub(super) fn open(&mut self, threads: u32, absent: u32) -> Option<[u32; 32]> {
        let complete = match self.expected {
            Some(expected) => self.arrived >= expected,
            None => self.arrived > 0 && self.arrived + absent - self.gone >= threads,
        };
        if !complete {
            return None;
        }
        self.results[self.generation as usize % 4] = (self.popc, !self.nand, self.or);
        self.generation = self.generation.wrapping_add(1);
        (self.arrived, self.expected, self.popc, self.or, self.nand) = (0, None, 0, false, false);
        (self.partial, self.came, self.gone) = ([0; 32], [0; 32], 0);
        Some(std::mem::take(&mut self.waiting))
    }

    /// Lanes of a warp have exited.
    pub(super) fn exited(&mut self, warp: u32, lanes: u32) {
        self.gone += (self.came[warp as usize] & lanes).count_ones();
    }

    /// Threads that have arrived, and those expected.
    pub(super) fn progress(&self) -> (u32, Option<u32>) {
        (self.arrived, self.expected)
    }
}

/// The barrier of a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClusterBarrier {
    pub arrived: u32,
    pub generation: u32,
}
