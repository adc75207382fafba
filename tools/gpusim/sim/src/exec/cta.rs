//! CTAs and clusters.

use super::barrier::{Barrier, ClusterBarrier};
use super::mbarrier::Mbarriers;
use super::pending::InFlight;
use super::warp::Warp;
use crate::memory::window;

/// What the warps of a CTA share.
pub(crate) struct CtaState {
    /// `%ctaid`.
    pub id: [u32; 3],
    /// Rank in the cluster.
    pub rank: u32,
    /// Warps launched.
    pub warps: u32,
    /// Threads that were never launched (of the last warp) or have exited.
    absent: u32,
    pub barriers: [Barrier; 16],
    /// Shared memory from [`window::SHARED_RESERVED`] on.
    pub shared: Vec<u8>,
}

/// What the CTAs of a cluster share.
pub(crate) struct ClusterState {
    /// `%clusterid` in the grid, linear.
    pub index: u64,
    /// Threads of the cluster that have not exited.
    alive: u32,
    /// The same by CTA.
    left: Vec<u32>,
    pub barrier: ClusterBarrier,
    /// Shared memory of each CTA, by rank: start and bytes.
    pub shared: Vec<(*mut u8, u32)>,
    pub mbarriers: Mbarriers,
    /// Asynchronous copies.
    pub flight: InFlight,
    /// Races, initialised bytes; None if the launch is not checked.
    pub check: Option<Box<gpusim_check::ClusterCheck>>,
}

/// A CTA with its warps.
pub(crate) struct Cta {
    pub state: CtaState,
    pub warps: Vec<Warp>,
}

/// A cluster that is resident; a CTA alone is a cluster of one.
pub(crate) struct Cluster {
    pub state: ClusterState,
    pub ctas: Vec<Cta>,
}

impl CtaState {
    fn new(rank: u32) -> CtaState {
        CtaState { id: [0; 3], rank, warps: 0, absent: 0, barriers: Default::default(), shared: Vec::new() }
    }

    /// Threads have exited.
    pub(super) fn exited(&mut self, warp: u32, lanes: u32) {
        self.absent += lanes.count_ones();
        self.barriers.iter_mut().for_each(|barrier| barrier.exited(warp, lanes));
    }

    /// Opens barriers at which all have arrived, and tells which, with the lanes that waited there by warp.
    pub(super) fn open_barriers(&mut self, mut opened: impl FnMut(u32, &[u32; 32])) {
        let (threads, absent) = (self.warps * 32, self.absent);
        for (id, barrier) in (0..).zip(&mut self.barriers) {
            if let Some(waiting) = barrier.open(threads, absent) {
                opened(id, &waiting);
            }
        }
    }
}

impl ClusterState {
    /// Threads have exited.
    pub(super) fn exited(&mut self, rank: u32, threads: u32) {
        self.alive -= threads;
        self.left[rank as usize] -= threads;
        self.flight.events += 1;
        if self.left[rank as usize] == 0 {
            self.forget_mbarriers(rank);
        }
        self.open_barrier();
    }

    /// Whether there was a CTA of that rank, all of whose threads have exited.
    pub(crate) fn has_left(&self, rank: u32) -> bool {
        self.left.get(rank as usize) == Some(&0)
    }

    /// Threads of a CTA that have not exited.
    pub(crate) fn left(&self, rank: u32) -> u32 {
        self.left[rank as usize]
    }

    /// `barrier.cluster.arrive` of so many threads; returns the generation to wait for.
    pub(crate) fn arrive(&mut self, threads: u32) -> u32 {
        let generation = self.barrier.generation;
        self.barrier.arrived += threads;
        self.open_barrier();
        generation
    }

    fn open_barrier(&mut self) {
        if self.barrier.arrived > 0 && self.barrier.arrived >= self.alive {
            self.flight.events += 1;
            if let Some(check) = self.check.as_mut() {
                check.cluster_complete();
            }
            self.barrier.arrived = 0;
            self.barrier.generation = self.barrier.generation.wrapping_add(1);
        }
    }

    /// Host address of `bytes` bytes at a shared address of the CTA with `rank`.
    pub(crate) fn shared_at(&self, rank: u32, offset: u32, bytes: u32) -> Option<*mut u8> {
        let &(start, size) = self.shared.get(rank as usize)?;
        let at = offset.checked_sub(window::SHARED_RESERVED)?;
        (u64::from(at) + u64::from(bytes) <= u64::from(size)).then(|| start.wrapping_add(at as usize))
    }
}

impl Cluster {
    pub(super) fn new(ctas: u32) -> Cluster {
        let cta = |rank| Cta { state: CtaState::new(rank), warps: Vec::new() };
        let barrier = ClusterBarrier::default();
        let state = ClusterState {
            index: 0,
            alive: 0,
            left: Vec::new(),
            barrier,
            shared: Vec::new(),
            mbarriers: Mbarriers::default(),
            flight: InFlight::default(),
            check: None,
        };
        Cluster { state, ctas: (0..ctas).map(cta).collect() }
    }

    /// Prepares the cluster to run from the start: `threads` per CTA, `shared` bytes of zeroed shared memory.
    pub(super) fn reset(&mut self, index: u64, ids: &[[u32; 3]], threads: u32, shared: u32) {
        self.state.index = index;
        self.state.alive = threads * self.ctas.len() as u32;
        self.state.left = vec![threads; self.ctas.len()];
        self.state.barrier = ClusterBarrier::default();
        self.state.shared.clear();
        self.state.mbarriers = Mbarriers::default();
        self.state.flight.reset(self.ctas.len() as u32, threads.div_ceil(32));
        for (cta, id) in self.ctas.iter_mut().zip(ids) {
            let warps = threads.div_ceil(32);
            let state = &mut cta.state;
            state.id = *id;
            state.warps = warps;
            state.absent = warps * 32 - threads;
            state.barriers = Default::default();
            state.shared.clear();
            state.shared.resize(shared as usize + 16, 0);
            // Vectors are accessed as wholes: shared address and host address agree in alignment.
            let skip = state.shared.as_ptr().align_offset(16);
            self.state.shared.push((state.shared[skip..].as_mut_ptr(), shared));
            cta.warps.truncate(warps as usize);
            while cta.warps.len() < warps as usize {
                cta.warps.push(Warp::new(cta.warps.len() as u32));
            }
        }
    }
}
