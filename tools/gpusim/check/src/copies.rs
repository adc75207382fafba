//! Asynchronous work: `cp.async`, bulk and tensor copies, `wgmma`.

use crate::clock::{TENSORMAP, View, Who};
use crate::cluster::{ClusterCheck, Issue};
use crate::ids::{AccessKind, Engine, SiteId, Space, WarpId};
use crate::mbarrier::MbarrierAt;
use crate::report::Finding;
use crate::warp::Knowing;

/// The `cp.async` operations that a `cp.async.mbarrier.arrive` waits for.
#[derive(Clone, Debug)]
pub struct CopyMark {
    view: View,
}

/// A bulk copy in flight.
#[derive(Clone, Debug)]
pub struct BulkOp {
    warp: WarpId,
    lane: u32,
    site: SiteId,
    completes: Option<Tx>,
    clock: u32,
}

#[derive(Clone, Debug)]
struct Tx {
    at: MbarrierAt,
    agent: Who,
    view: View,
}

/// A `wgmma.mma_async` being issued: it comes after what any lane of the warp did before it.
#[derive(Clone, Debug)]
pub struct WgmmaOp {
    warp: WarpId,
    know: Knowing,
    clock: u32,
    site: SiteId,
}

impl ClusterCheck {
    /// `cp.async.commit_group`.
    pub fn cp_async_commit(&mut self, warp: WarpId, mask: u32) {
        let slot = self.slot(warp);
        self.warps[slot].copies.commit(mask);
    }

    /// `cp.async.wait_group pending`; `None` is `cp.async.wait_all`.
    pub fn cp_async_wait(&mut self, warp: WarpId, mask: u32, pending: Option<u32>) {
        let slot = self.slot(warp);
        self.warps[slot].wait_copies(mask, pending);
    }

    /// `cp.async.mbarrier.arrive` is executed: the lanes' copies so far will complete together with it.
    pub fn cp_async_mark(&mut self, warp: WarpId, mask: u32) -> CopyMark {
        let slot = self.slot(warp);
        let state = &mut self.warps[slot];
        let mut view = state.know.release(mask);
        let done = state.copies.mark(mask);
        view.seen.raise(state.know.engine(Engine::CpAsync), mask, done);
        CopyMark { view }
    }

    /// The arrival of `mark` on the mbarrier takes place.
    pub fn mbarrier_arrive_mark(&mut self, mark: &CopyMark, at: MbarrierAt) {
        self.mbarrier_deliver(at, &mark.view);
    }

    /// A bulk copy is issued by one lane. With `completes_on` it completes on that mbarrier, otherwise in a bulk group of the
    /// thread. A multicast is one operation per destination CTA.
    pub fn bulk_begin(
        &mut self,
        warp: WarpId,
        lane: u32,
        completes_on: Option<MbarrierAt>,
        site: SiteId,
    ) -> Result<BulkOp, Box<Finding>> {
        let slot = self.slot(warp);
        let Some(at) = completes_on else {
            let bulk = &mut self.warps[slot].bulk;
            bulk.issue(1 << lane);
            return Ok(BulkOp { warp, lane, site, completes: None, clock: bulk.clock });
        };
        let view = self.warps[slot].know.release(1 << lane);
        let Some(object) = self.mbarriers.get_mut(&at).filter(|m| m.valid) else {
            let know = &self.warps[slot].know;
            let kind = AccessKind::Write;
            let issue = Issue { warp, who: know.me, clock: know.clock, kind, site, size: 8, proxy: None };
            let (space, by) = (Space::Shared { rank: at.0 }, self.party(&issue, lane));
            return Err(Box::new(Finding::Mbarrier { space, address: at.1, by }));
        };
        object.serial += 1;
        object.outstanding += 1;
        let (agent, clock) = (object.agent, object.serial);
        Ok(BulkOp { warp, lane, site, completes: Some(Tx { at, agent, view }), clock })
    }

    /// The copy reads or writes a range; all its ranges are named at issue, however late the bytes move. The kind of a
    /// reduction is a relaxed strong one at `.gpu` scope; `element` is its element size (any for plain copies).
    pub fn bulk_access(
        &mut self,
        op: &BulkOp,
        space: Space,
        address: u64,
        bytes: u64,
        kind: AccessKind,
        element: u32,
    ) -> Result<(), Box<Finding>> {
        self.bulk_range(op, space, address, bytes, kind, element, Self::async_proxy(space))
    }

    /// As [`ClusterCheck::bulk_access`] for `st.async` and `red.async`, which stay in the generic proxy.
    pub fn async_store(
        &mut self,
        op: &BulkOp,
        space: Space,
        address: u64,
        bytes: u64,
        kind: AccessKind,
        element: u32,
    ) -> Result<(), Box<Finding>> {
        self.bulk_range(op, space, address, bytes, kind, element, None)
    }

    /// The copy reads its 128-byte tensor map in global memory.
    pub fn bulk_tensormap(&mut self, op: &BulkOp, address: u64) -> Result<(), Box<Finding>> {
        self.bulk_range(op, Space::Global, address, 128, AccessKind::Read, 128, Some(TENSORMAP))
    }

    fn bulk_range(
        &mut self,
        op: &BulkOp,
        space: Space,
        address: u64,
        bytes: u64,
        kind: AccessKind,
        size: u32,
        proxy: Option<usize>,
    ) -> Result<(), Box<Finding>> {
        let know = &self.warps[self.slot(op.warp)].know;
        let who = match &op.completes {
            Some(tx) => tx.agent,
            None if kind == AccessKind::Read => know.engine(Engine::BulkRead),
            None => know.engine(Engine::BulkWrite),
        };
        let issue = Issue { warp: op.warp, who, clock: op.clock, kind, site: op.site, size, proxy };
        self.range(&issue, space, address, bytes, 1 << op.lane, None)
    }

    /// The last byte of a copy has landed: its part of the mbarrier's phase is done (before the phase flips).
    pub fn bulk_landed(&mut self, op: &BulkOp) {
        let Some(tx) = &op.completes else { return };
        let mut view = tx.view.clone();
        view.seen.add(tx.agent, &crate::know::Know::serial(op.clock));
        if let Some(m) = self.mbarriers.get_mut(&tx.at) {
            m.outstanding = m.outstanding.saturating_sub(1);
        }
        self.mbarrier_deliver(tx.at, &view);
    }

    /// `cp.async.bulk.commit_group`.
    pub fn bulk_commit(&mut self, warp: WarpId, mask: u32) {
        let slot = self.slot(warp);
        self.warps[slot].bulk.commit(mask);
    }

    /// `cp.async.bulk.wait_group pending`, with `.read` only the sources are free.
    pub fn bulk_wait(&mut self, warp: WarpId, mask: u32, pending: u32, read_only: bool) {
        let slot = self.slot(warp);
        self.warps[slot].wait_bulk(mask, pending, read_only);
    }

    /// A `wgmma.mma_async` is issued by a warp of the warpgroup.
    pub fn wgmma_begin(&mut self, warp: WarpId, site: SiteId) -> WgmmaOp {
        let slot = self.slot(warp);
        let state = &mut self.warps[slot];
        state.wgmma.issue(1);
        WgmmaOp { warp, know: state.know.collective(), clock: state.wgmma.clock, site }
    }

    /// It reads a range of shared memory, until its group is waited for.
    pub fn wgmma_access(
        &mut self,
        op: &WgmmaOp,
        rank: u32,
        address: u64,
        bytes: u64,
    ) -> Result<(), Box<Finding>> {
        let who = op.know.engine(Engine::Wgmma);
        let space = Space::Shared { rank };
        let proxy = Self::async_proxy(space);
        let kind = AccessKind::Read;
        let issue = Issue { warp: op.warp, who, clock: op.clock, kind, site: op.site, size: 16, proxy };
        self.range(&issue, space, address, bytes, op.know.live, Some(&op.know))
    }

    /// `wgmma.commit_group`.
    pub fn wgmma_commit(&mut self, warp: WarpId) {
        let slot = self.slot(warp);
        self.warps[slot].wgmma.commit(1);
    }

    /// `wgmma.wait_group pending`.
    pub fn wgmma_wait(&mut self, warp: WarpId, pending: u32) {
        let slot = self.slot(warp);
        self.warps[slot].wait_wgmma(pending);
    }
}
