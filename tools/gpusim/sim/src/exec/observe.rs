//! What the race check and the counters are told: accesses, barriers, the beginning of clusters.
//!
//! [`ClusterState::check`](super::cta::ClusterState::check) holds the checks of the running cluster, None with
//! `GPUSIM_CHECKS=off`. An instruction tells them something with [`Exec::tell`] (a finding becomes the fault that it
//! returns) or, where nothing can be found, through `x.cluster.check.as_mut()`; it names itself by [`Exec::warp_id`] and
//! [`Exec::site`]. Traffic goes to `x.worker.counters` if `x.launch.counted`. Accesses that go through [`Exec::locate`] need
//! neither.

use std::sync::{Arc, MutexGuard, PoisonError};

use gpusim_check::{
    AccessKind, ClusterCheck, Engine, Finding, Geometry, LaunchCheck, Sem, Space, StrongOp, WarpId,
};

use super::cta::ClusterState;
use super::launch::LaunchState;
use super::{Access, Exec, Fault, FaultKind, MemSpace, Strong, found};
use crate::Settings;
use crate::inst::{Flow, Inst};
use crate::memory::window;

/// The bytes that a lane stores, as many as the access has.
pub(crate) type Stored = fn(&Exec, &Inst, usize) -> [u8; 32];

/// What a plain store is about to write, and where.
#[derive(Clone, Copy)]
pub(crate) struct Store<'a> {
    pub inst: &'a Inst,
    pub stored: Stored,
    /// Host addresses.
    pub hosts: &'a [u64; 32],
}

/// The checks of a launch; None if it is not checked. `shared_end` is the address after its shared memory.
pub(super) fn launch_check(settings: &Settings, threads: u32, shared_end: u32) -> Option<Arc<LaunchCheck>> {
    let which = gpusim_check::Settings {
        shared_races: settings.check_shared_races,
        global_races: settings.check_global_races,
        shared_uninitialised: settings.check_shared_init,
        unique_bytes: settings.report.is_some(),
    };
    let geometry = Geometry { threads, shared_bytes: shared_end };
    settings.checks.then(|| LaunchCheck::new(which, geometry))
}

/// The checks of a cluster that starts.
pub(super) fn cluster_check(launch: &LaunchState, index: u64) -> Option<Box<ClusterCheck>> {
    let check = launch.check.as_ref()?;
    let [x, y, _] = launch.grid;
    let linear = |[i, j, k]: [u32; 3]| (k * y + j) * x + i;
    let ctas: Vec<u32> = launch.cta_ids(index).into_iter().map(linear).collect();
    Some(Box::new(check.cluster(index as u32, &ctas)))
}

/// Whether a finding is of two plain stores.
fn rewrites(finding: &Finding) -> bool {
    match finding {
        Finding::Race(race) => {
            race.earlier.kind == AccessKind::Write
                && race.earlier.engine == Engine::Thread
                && race.now.kind == AccessKind::Write
        }
        _ => false,
    }
}

impl Strong {
    /// As the checks name it.
    pub(crate) fn kind(self, op: StrongOp) -> AccessKind {
        let sem = match (self.acquire, self.release) {
            (false, false) => Sem::Relaxed,
            (true, false) => Sem::Acquire,
            (false, true) => Sem::Release,
            (true, true) => Sem::AcqRel,
        };
        AccessKind::Strong { op, sem, scope: self.scope }
    }
}

impl Access {
    /// As the checks name it.
    fn kind(self) -> AccessKind {
        match (self.strong, self.reads, self.writes) {
            (None, _, true) => AccessKind::Write,
            (None, _, false) => AccessKind::Read,
            (Some(strong), true, true) => strong.kind(StrongOp::Rmw),
            (Some(strong), false, true) => strong.kind(StrongOp::Store),
            (Some(strong), ..) => strong.kind(StrongOp::Load),
        }
    }
}

/// An access by some lanes, as it is told.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    pub mask: u32,
    /// Those of them whose `atom.cas` found another value, and which therefore only read.
    pub failed: u32,
    /// Bytes per lane, and of one element of a vector.
    pub bytes: u32,
    pub element: u32,
    pub kind: AccessKind,
    /// Matrices of `ldmatrix` and `stmatrix`, 0 for other instructions.
    pub matrices: u32,
}

impl<'r> Exec<'r> {
    /// Excludes other host threads while the data of a strong access and what the checks know of it change together.
    /// Nothing to exclude if there is one host thread.
    pub(crate) fn hold(&self) -> Option<MutexGuard<'r, ()>> {
        let launch = self.launch;
        launch.parallel.then(|| launch.strong.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An access of the executing lanes that [`Exec::find`] has found in order.
    #[inline(never)]
    pub(super) fn observe(&mut self, space: MemSpace, at: &[u64; 32], access: Access) -> Result<(), Flow> {
        self.observe_as(space, at, self.told(access), None)
    }

    /// The same for a plain store, which may write what another thread has written there or what is there already.
    #[inline(never)]
    pub(super) fn observe_store(
        &mut self,
        space: MemSpace,
        at: &[u64; 32],
        access: Access,
        store: Store<'_>,
    ) -> Result<(), Flow> {
        self.observe_as(space, at, self.told(access), Some(store))
    }

    fn told(&self, access: Access) -> Told {
        let element = access.strong.map_or(access.bytes, |strong| strong.element);
        Told { mask: self.mask, failed: 0, bytes: access.bytes, element, kind: access.kind(), matrices: 0 }
    }

    /// Tells checks and counters of an access.
    pub(crate) fn observe_as(
        &mut self,
        space: MemSpace,
        at: &[u64; 32],
        told: Told,
        store: Option<Store<'_>>,
    ) -> Result<(), Flow> {
        match space {
            MemSpace::Global => self.observe_in(Space::Global, at, told, store),
            MemSpace::Shared => self.observe_shared(at, told, store),
            MemSpace::Local => {
                self.observe_local(at, told);
                Ok(())
            }
            MemSpace::Param | MemSpace::Const => Ok(()),
            MemSpace::Generic => {
                let mut left = told.mask;
                while left != 0 {
                    let which = |at: u64| match at.wrapping_sub(window::SHARED) >> 40 {
                        n @ 0..3 => n,
                        _ => 3,
                    };
                    let first = which(at[left.trailing_zeros() as usize]);
                    let mask =
                        (0..32).fold(0, |m, lane| m | u32::from(which(at[lane]) == first) << lane) & left;
                    left &= !mask;
                    let told = Told { mask, ..told };
                    match first {
                        0 => {
                            self.observe_shared(&at.map(|at| at.wrapping_sub(window::SHARED)), told, store)?
                        }
                        1 => self.observe_local(&at.map(|at| at.wrapping_sub(window::LOCAL)), told),
                        2 => {}
                        _ => self.observe_in(Space::Global, at, told, store)?,
                    }
                }
                Ok(())
            }
        }
    }

    /// Local memory is interleaved: the lanes' words at one address are neighbours.
    fn observe_local(&mut self, at: &[u64; 32], told: Told) {
        if self.launch.counted {
            let bytes = u64::from(told.bytes);
            let physical = std::array::from_fn(|lane| {
                at[lane] / bytes * bytes * 32 + lane as u64 * bytes + at[lane] % bytes
            });
            self.worker.counters.local(told.mask, &physical, told.bytes);
        }
    }

    /// Takes the rank out of shared addresses.
    fn observe_shared(&mut self, at: &[u64; 32], told: Told, store: Option<Store<'_>>) -> Result<(), Flow> {
        const OFFSET: u64 = (1 << window::CLUSTER_RANK_SHIFT) - 1;
        let own = u64::from(self.cta.rank);
        let rank = |at: u64| match at >> window::CLUSTER_RANK_SHIFT {
            0 => own,
            rank => rank - 1,
        };
        let all =
            (0..32).fold(0, |all, lane| all | at[lane] & 0u64.wrapping_sub(u64::from(told.mask >> lane & 1)));
        if all <= OFFSET {
            return self.observe_in(Space::Shared { rank: self.cta.rank }, at, told, store);
        }
        let offsets = at.map(|at| at & OFFSET);
        let mut left = told.mask;
        while left != 0 {
            let first = rank(at[left.trailing_zeros() as usize]);
            let mask = (0..32).fold(0, |m, lane| m | u32::from(rank(at[lane]) == first) << lane) & left;
            left &= !mask;
            self.observe_in(Space::Shared { rank: first as u32 }, &offsets, Told { mask, ..told }, store)?;
        }
        Ok(())
    }

    fn observe_in(
        &mut self,
        space: Space,
        at: &[u64; 32],
        told: Told,
        store: Option<Store<'_>>,
    ) -> Result<(), Flow> {
        if self.launch.counted {
            let counters = &mut self.worker.counters;
            match space {
                Space::Shared { .. } if told.matrices > 0 => {
                    counters.matrix(told.kind.writes(), at, told.matrices)
                }
                Space::Shared { .. } => counters.shared(told.kind, told.mask, at, told.bytes),
                Space::Global => counters.global(told.kind, told.mask, at, told.bytes),
            }
        }
        let (warp, site) = (self.warp_id(), self.site());
        let Some(check) = self.cluster.check.as_mut() else { return Ok(()) };
        let mut access = |mask, at: &[u64; 32], kind| {
            check.access(warp, Engine::Thread, space, mask, at, told.element, kind, site)
        };
        let mut outcome = access(told.mask & !told.failed, at, told.kind);
        for n in 1..told.bytes / told.element.max(1) {
            let at = at.map(|at| at.wrapping_add(u64::from(n * told.element)));
            outcome = outcome.and_then(|()| access(told.mask, &at, told.kind));
        }
        if let (AccessKind::Strong { sem, scope, .. }, true) = (told.kind, told.failed != 0) {
            let kind = AccessKind::Strong { op: StrongOp::Load, sem, scope };
            outcome = outcome.and_then(|()| access(told.mask & told.failed, at, kind));
        }
        match outcome {
            Ok(()) => Ok(()),
            Err(finding) => self.found(space, at, told, store, &finding),
        }
    }

    /// An access of all lanes at neighbouring addresses, of global memory or the CTA's own shared memory.
    #[inline(never)]
    pub(super) fn observe_coalesced(
        &mut self,
        space: MemSpace,
        at: &[u64; 32],
        access: Access,
        host: u64,
        store: Option<(&Inst, Stored)>,
    ) -> Result<(), Flow> {
        let (origin, size, kind) = (at[0], access.bytes, access.kind());
        // An address that lies in a region is global, whatever the instruction calls it.
        let space = match space {
            MemSpace::Shared => Space::Shared { rank: self.cta.rank },
            _ => Space::Global,
        };
        if self.launch.counted {
            let counters = &mut self.worker.counters;
            match space {
                Space::Global => counters.global_coalesced(kind, origin, size),
                Space::Shared { .. } if size <= 16 => counters.shared_coalesced(kind, size),
                Space::Shared { .. } => counters.shared(kind, u32::MAX, at, size),
            }
        }
        let (warp, site) = (self.warp_id(), self.site());
        let Some(check) = self.cluster.check.as_mut() else { return Ok(()) };
        match check.access_coalesced(warp, Engine::Thread, space, origin, size, kind, site) {
            Ok(()) => Ok(()),
            Err(finding) => {
                let hosts = std::array::from_fn(|lane| host + lane as u64 * u64::from(size));
                let store = store.map(|(inst, stored)| Store { inst, stored, hosts: &hosts });
                self.found(space, at, self.told(access), store, &finding)
            }
        }
    }

    /// A load by `ld.global.nc` of the executing lanes, besides the access that it is.
    #[inline(never)]
    pub(crate) fn observe_read_only(&mut self, at: &[u64; 32], bytes: u32) -> Result<(), Flow> {
        let (warp, site, mask) = (self.warp_id(), self.site(), self.mask);
        self.tell(|check| check.read_only(warp, mask, at, bytes, site)).map(|_| ())
    }

    /// A finding, unless it is of writes that all write the same: lanes of this store to one place, or this store and an
    /// earlier one of what still stands there. Whoever wins, memory is the same, and compilers (Triton) make use of it.
    #[cold]
    fn found(
        &mut self,
        space: Space,
        at: &[u64; 32],
        told: Told,
        store: Option<Store<'_>>,
        finding: &Finding,
    ) -> Result<(), Flow> {
        let Some(Store { inst, stored, hosts }) = store.filter(|_| rewrites(finding)) else {
            let fault = found::fault(self.launch, finding);
            return Err(self.fail(fault));
        };
        let bytes = told.bytes as usize;
        let lanes = |mask: u32| (0..32).filter(move |lane| mask >> lane & 1 != 0);
        let values: Vec<[u8; 32]> = (0..32).map(|lane| stored(self, inst, lane)).collect();
        let value = |lane: usize| &values[lane][..bytes];
        let apart = |a: usize, b: usize| at[a].abs_diff(at[b]) >= bytes as u64;
        let twins = |a: usize, b: usize| at[a] == at[b] && value(a) == value(b);
        let (warp, site) = (self.warp_id(), self.site());
        let mut kept = 0u32;
        for lane in lanes(told.mask) {
            if lanes(kept).any(|other| twins(other, lane)) {
                continue;
            }
            // SAFETY: `find` has checked the executing lanes' addresses for the whole access.
            let there = unsafe { std::slice::from_raw_parts(hosts[lane] as *const u8, bytes) };
            let alone = lanes(told.mask).all(|other| apart(lane, other) || twins(lane, other));
            let Some(check) = self.cluster.check.as_mut().filter(|_| alone && there == value(lane)) else {
                kept |= 1 << lane;
                continue;
            };
            // It changes nothing: a race is let pass, anything else is told as it is.
            match check.access(warp, Engine::Thread, space, 1 << lane, at, told.bytes, told.kind, site) {
                Err(other) if !rewrites(&other) => {
                    let fault = found::fault(self.launch, &other);
                    return Err(self.fail(fault));
                }
                _ => {}
            }
        }
        if kept == 0 {
            return Ok(());
        }
        self.tell(|check| check.access(warp, Engine::Thread, space, kept, at, told.bytes, told.kind, site))
            .map(|_| ())
    }

    /// Lanes of the warp have met at `bar.warp.sync`.
    pub(super) fn warp_synced(&mut self, lanes: u32) {
        let warp = self.warp_id();
        self.worker.counters.barriers.warp += 1;
        if let Some(check) = self.cluster.check.as_mut() {
            check.warp_sync(warp, lanes);
        }
    }

    /// The executing lanes have arrived at a barrier of their CTA.
    pub(super) fn barrier_arrived(&mut self, id: u32) {
        let (warp, lanes) = (self.warp_id(), self.mask);
        if let Some(check) = self.cluster.check.as_mut() {
            check.barrier_arrive(warp, id, lanes);
        }
    }

    /// Opens barriers of the CTA at which all have arrived.
    pub(crate) fn open_barriers(&mut self) {
        let rank = self.cta.rank;
        let (check, counters) = (&mut self.cluster.check, &mut self.worker.counters);
        self.cta.open_barriers(|id, waiting| {
            counters.barriers.cta += 1;
            let Some(check) = check.as_mut() else { return };
            let warps = waiting.iter().enumerate().filter(|(_, lanes)| **lanes != 0);
            let warps: Vec<_> = warps.map(|(warp, lanes)| (WarpId::new(rank, warp as u32), *lanes)).collect();
            check.barrier_complete(rank, id, &warps);
        });
    }

    /// Global memory that nothing has written is read (a fault), or memory is written. For `GPUSIM_CHECK_GLOBAL_INIT`.
    #[cold]
    pub(super) fn initialised(&mut self, at: &[u64; 32], access: Access) -> Result<(), Flow> {
        let bytes = u64::from(access.bytes);
        for lane in (0..32).filter(|lane| self.mask >> lane & 1 != 0) {
            let address = at[lane];
            let Some((base, written)) = self.worker.initialised(address) else { continue };
            let missing = access.reads.then(|| written.first_unwritten(address - base, bytes)).flatten();
            if let Some(missing) = missing {
                let message = format!(
                    "global read of {bytes} bytes at {address:#x}: nothing has written byte {missing} of the allocation \
                     at {base:#x}"
                );
                let fault = Fault::new(FaultKind::Check, "uninitialised read", message);
                return Err(self.fail(fault.at(1 << lane)));
            }
        }
        if access.writes {
            for lane in (0..32).filter(|lane| self.mask >> lane & 1 != 0) {
                if let Some((base, written)) = self.worker.initialised(at[lane]) {
                    written.mark(at[lane] - base, bytes);
                }
            }
        }
        Ok(())
    }
}

impl ClusterState {
    /// Starts the checks of a cluster.
    pub(super) fn start_check(&mut self, launch: &LaunchState) {
        self.check = cluster_check(launch, self.index);
        if let Some(check) = self.check.as_mut().filter(|_| launch.reserved > 0) {
            let start = launch.shared_end() - launch.reserved;
            (0..launch.ctas_per_cluster())
                .for_each(|rank| check.shared_written(rank, start, launch.reserved));
        }
    }
}
