//! mbarrier objects: initialisation, arrivals with their scopes, phases, and the copies that complete on them.

use crate::clock::{View, Who};
use crate::cluster::{ClusterCheck, Issue};
use crate::ids::{AccessKind, Engine, Scope, Sem, SiteId, Space, StrongOp, WarpId};
use crate::message::{Message, Seat};
use crate::report::{Check, Finding};

/// An mbarrier object.
pub(crate) struct Mbarrier {
    /// As an agent: the copies that complete on it, by serial number.
    pub(crate) agent: Who,
    pub(crate) serial: u32,
    pub(crate) outstanding: u32,
    pub(crate) valid: bool,
    /// Released into the current phase.
    arriving: Message,
    /// Released into complete phases.
    complete: Message,
}

/// An mbarrier: rank of the CTA in whose shared memory it lies, and its address there.
pub type MbarrierAt = (u32, u64);

const BYTES: u64 = 8;

impl ClusterCheck {
    fn mbarrier_access(
        &mut self,
        warp: WarpId,
        lanes: u32,
        at: MbarrierAt,
        kind: AccessKind,
        site: SiteId,
    ) -> Result<Issue, Box<Finding>> {
        let know = &self.warps[self.slot(warp)].know;
        let (who, clock) = (know.me, know.clock);
        let issue = Issue { warp, who, clock, kind, site, size: BYTES as u32, proxy: None };
        let space = Space::Shared { rank: at.0 };
        if !at.1.is_multiple_of(BYTES) {
            let by = self.party(&issue, lanes.trailing_zeros());
            let check = Check::Misaligned;
            return Err(Box::new(Finding::Address { check, space, address: at.1, size: BYTES as u32, by }));
        }
        self.range(&issue, space, at.1, BYTES, lanes, None)?;
        Ok(issue)
    }

    fn mbarrier(&mut self, issue: &Issue, lane: u32, at: MbarrierAt) -> Result<&mut Mbarrier, Box<Finding>> {
        let by = self.party(issue, lane);
        let (space, address) = (Space::Shared { rank: at.0 }, at.1);
        match self.mbarriers.get_mut(&at) {
            Some(m) if m.valid => Ok(m),
            _ => Err(Box::new(Finding::Mbarrier { space, address, by })),
        }
    }

    /// `mbarrier.init`: a plain write of the object, which others have to be ordered after.
    pub fn mbarrier_init(
        &mut self,
        warp: WarpId,
        lane: u32,
        at: MbarrierAt,
        site: SiteId,
    ) -> Result<(), Box<Finding>> {
        self.mbarrier_access(warp, 1 << lane, at, AccessKind::Write, site)?;
        let count = &mut self.mbarrier_count[at.0 as usize];
        let agent = Who { cta: self.ctas[at.0 as usize], index: *count, engine: Engine::Tx };
        let object = self.mbarriers.entry(at).or_insert_with(|| {
            *count += 1;
            Mbarrier {
                agent,
                serial: 0,
                outstanding: 0,
                valid: true,
                arriving: Message::default(),
                complete: Message::default(),
            }
        });
        object.valid = true;
        object.arriving = Message::default();
        object.complete = Message::default();
        Ok(())
    }

    /// `mbarrier.inval`: the bytes may be used for something else, by who is ordered after this. Like other operations on the
    /// object it does not race with them: one that comes later is misuse.
    pub fn mbarrier_inval(
        &mut self,
        warp: WarpId,
        lane: u32,
        at: MbarrierAt,
        site: SiteId,
    ) -> Result<(), Box<Finding>> {
        let kind = object_access(StrongOp::Store, Sem::Relaxed);
        let issue = self.mbarrier_access(warp, 1 << lane, at, kind, site)?;
        self.mbarrier(&issue, lane, at)?.valid = false;
        Ok(())
    }

    /// `mbarrier.arrive`, `arrive_drop`, `arrive.expect_tx` (release unless `.relaxed`) and `mbarrier.expect_tx` (relaxed).
    /// When the phase flips between the arrivals of one instruction's lanes, call once before the flip and once after it.
    pub fn mbarrier_arrive(
        &mut self,
        warp: WarpId,
        mask: u32,
        at: MbarrierAt,
        sem: Sem,
        scope: Scope,
        site: SiteId,
    ) -> Result<(), Box<Finding>> {
        if mask == 0 {
            return Ok(());
        }
        let kind = object_access(StrongOp::Rmw, sem);
        let issue = self.mbarrier_access(warp, mask, at, kind, site)?;
        self.mbarrier(&issue, mask.trailing_zeros(), at)?;
        let (slot, seat) = (self.slot(warp), self.seat(warp.rank));
        let mut message = Message::default();
        if sem.releases() {
            message.add(seat, scope, &self.warps[slot].know.release(mask));
        } else {
            for fence in self.warps[slot].fenced(mask) {
                message.add(seat, scope.min(fence.scope), &fence.at.view(mask & fence.lanes));
            }
        }
        self.mbarrier(&issue, mask.trailing_zeros(), at)?.arriving.join(&message);
        Ok(())
    }

    /// All arrivals and bytes of the current phase are there: call before any wait that observes it.
    pub fn mbarrier_phase_complete(&mut self, at: MbarrierAt) {
        if let Some(m) = self.mbarriers.get_mut(&at) {
            let arrived = std::mem::take(&mut m.arriving);
            m.complete.join(&arrived);
        }
    }

    /// A `test_wait` or `try_wait` that returned true (acquire unless `.relaxed`).
    pub fn mbarrier_wait(
        &mut self,
        warp: WarpId,
        mask: u32,
        at: MbarrierAt,
        sem: Sem,
        scope: Scope,
        site: SiteId,
    ) -> Result<(), Box<Finding>> {
        if mask == 0 {
            return Ok(());
        }
        let issue = self.mbarrier_access(warp, mask, at, object_access(StrongOp::Load, sem), site)?;
        let complete = self.mbarrier(&issue, mask.trailing_zeros(), at)?.complete.clone();
        let (slot, seat) = (self.slot(warp), self.seat(warp.rank));
        if !sem.acquires() {
            // A fence after it may acquire.
            self.warps[slot].remember(mask, scope, &complete);
        } else if let Some(view) = complete.visible(seat, scope) {
            self.warps[slot].know.acquire(mask, &view);
        }
        Ok(())
    }

    /// Adds `view` to the current phase as the hardware does for what completes by itself: at the object's own CTA.
    pub(crate) fn mbarrier_deliver(&mut self, at: MbarrierAt, view: &View) {
        let home = self.ctas.get(at.0 as usize).map(|&cta| Seat { cta, cluster: self.cluster });
        if let Some(home) = home
            && let Some(m) = self.mbarriers.get_mut(&at)
        {
            m.arriving.add(home, Scope::Gpu, view);
        }
    }

    /// mbarriers of CTA `rank` with copies that have not completed.
    pub fn outstanding_copies(&self, rank: u32) -> Vec<(MbarrierAt, u32)> {
        let of = self.mbarriers.iter().filter(|(at, m)| at.0 == rank && m.outstanding != 0);
        let mut out: Vec<_> = of.map(|(at, m)| (*at, m.outstanding)).collect();
        out.sort_unstable();
        out
    }
}

/// Operations on an mbarrier never race with each other, whatever their stated scope.
fn object_access(op: StrongOp, sem: Sem) -> AccessKind {
    AccessKind::Strong { op, sem, scope: Scope::Sys }
}
