//! CTA barriers (named, partial) and the cluster barrier.

use crate::clock::{View, Who};
use crate::cluster::ClusterCheck;
use crate::ids::{Scope, WarpId};
use crate::warp::Knowing;

/// Barriers of a CTA.
pub(crate) const BARRIERS: usize = 16;

/// A CTA barrier in its current phase.
#[derive(Default)]
pub(crate) struct Barrier {
    arrived: View,
    /// Warps that came whole and know `arrived` and all of their own up to this epoch.
    whole: Vec<(Who, u32)>,
}

impl Barrier {
    fn arrive(&mut self, know: &mut Knowing, lanes: u32) {
        match know.plain_view(lanes) {
            Some(view) => {
                if !self.arrived.same(view) {
                    self.arrived.join(view);
                }
                self.whole.push((know.me, know.clock));
            }
            None => self.arrived.join(&know.view(lanes)),
        }
        know.clock += 1;
    }

    fn complete(self) -> View {
        let mut view = self.arrived;
        view.seen.raise_warps(&self.whole);
        view
    }
}

/// The barrier of the cluster: what was released in the current phase and in the last complete one.
#[derive(Default)]
pub(crate) struct ClusterBarrier {
    arriving: View,
    complete: View,
}

impl ClusterCheck {
    /// The lanes arrive at CTA barrier `barrier`, 0 to 15 (`bar.sync`, `bar.red`, `bar.arrive`).
    pub fn barrier_arrive(&mut self, warp: WarpId, barrier: u32, mask: u32) {
        let slot = self.slot(warp);
        let know = &mut self.warps[slot].know;
        self.barriers[warp.rank as usize * BARRIERS + barrier as usize % BARRIERS].arrive(know, mask);
    }

    /// The barrier has all its arrivals: `waiting` are the warps and lanes that arrived to wait (not those of `bar.arrive`),
    /// and go on.
    pub fn barrier_complete(&mut self, rank: u32, barrier: u32, waiting: &[(WarpId, u32)]) {
        let phase =
            std::mem::take(&mut self.barriers[rank as usize * BARRIERS + barrier as usize % BARRIERS]);
        let view = phase.complete();
        for &(warp, mask) in waiting {
            let slot = self.slot(warp);
            self.warps[slot].know.set(mask, &view);
        }
    }

    /// `barrier.cluster.arrive`; `release` is false for `.relaxed`, which passes on what a fence before it released.
    pub fn cluster_arrive(&mut self, warp: WarpId, mask: u32, release: bool) {
        let slot = self.slot(warp);
        if release {
            let view = self.warps[slot].know.release(mask);
            self.cluster_barrier.arriving.join(&view);
            return;
        }
        for fence in self.warps[slot].fenced(mask).filter(|fence| fence.scope >= Scope::Cluster) {
            self.cluster_barrier.arriving.join(&fence.at.view(mask & fence.lanes));
        }
    }

    /// All threads of the cluster have arrived.
    pub fn cluster_complete(&mut self) {
        self.cluster_barrier.complete = std::mem::take(&mut self.cluster_barrier.arriving);
    }

    /// `barrier.cluster.wait` returns.
    pub fn cluster_wait(&mut self, warp: WarpId, mask: u32) {
        let slot = self.slot(warp);
        self.warps[slot].know.acquire(mask, &self.cluster_barrier.complete);
    }
}
