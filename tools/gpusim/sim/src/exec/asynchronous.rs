//! What asynchronous instructions share: who issues, shared addresses with their rank, misuse, the end of threads.

use gpusim_check::{ClusterCheck, Engine, Finding, SiteId, Space, WarpId};

use super::mbarrier::{MbarrierAt, Misuse};
use super::pending::{Failed, Issuer};
use super::{Access, Exec, Fault, FaultKind, MemSpace, found};
use crate::inst::Flow;
use crate::memory::window;

/// Lanes of a mask, in order.
pub(crate) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

/// A place in the shared memory of a CTA of the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedAt {
    pub rank: u32,
    /// Shared address without rank bits.
    pub offset: u32,
    pub host: *mut u8,
}

impl SharedAt {
    pub(crate) fn space(&self) -> Space {
        Space::Shared { rank: self.rank }
    }

    pub(crate) fn mbarrier(&self) -> MbarrierAt {
        (self.rank, self.offset)
    }
}

/// An mbarrier as the checks name it.
pub(crate) fn checked_at(at: MbarrierAt) -> gpusim_check::MbarrierAt {
    (at.0, at.1.into())
}

impl Exec<'_> {
    /// A lane as the issuer of a copy.
    pub(crate) fn issuer(&self, lane: usize) -> Issuer {
        Issuer { rank: self.cta.rank, warp: self.warp.index, lane: lane as u32, pc: self.pc }
    }

    /// The running warp as the checks name it.
    pub(crate) fn warp_id(&self) -> WarpId {
        WarpId::new(self.cta.rank, self.warp.index)
    }

    /// The running instruction as the checks name it.
    pub(crate) fn site(&self) -> SiteId {
        SiteId(self.pc)
    }

    /// Tells the checks something, if there are any. A finding is a fault.
    pub(crate) fn tell<R>(
        &mut self,
        f: impl FnOnce(&mut ClusterCheck) -> Result<R, Box<Finding>>,
    ) -> Result<Option<R>, Flow> {
        match self.cluster.check.as_mut().map(|check| f(check)) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(finding)) => {
                let fault = found::fault(self.launch, &finding);
                Err(self.fail(fault))
            }
        }
    }

    /// The flow for a copy that failed when it landed.
    pub(crate) fn landed<T>(&mut self, result: Result<T, Failed>) -> Result<T, Flow> {
        result.map_err(|Failed| Flow::Fault)
    }

    /// Where a shared address lies: `.shared` space, or generic inside the shared window.
    pub(crate) fn shared_place(
        &mut self,
        lane: usize,
        address: u64,
        generic: bool,
        bytes: u32,
        align: u32,
        writes: bool,
    ) -> Result<SharedAt, Flow> {
        let mut at = address;
        if generic {
            at = at.wrapping_sub(window::SHARED);
            if at >= window::SIZE {
                let message = format!("{address:#x} is not an address of shared memory");
                let fault = Fault::new(FaultKind::IllegalAddress, "out of bounds", message).at(1 << lane);
                return Err(self.fail(fault));
            }
        }
        if !at.is_multiple_of(u64::from(align)) {
            let message = format!("shared address {at:#x}, which is not a multiple of {align}");
            return Err(
                self.fail(Fault::new(FaultKind::Misaligned, "misaligned address", message).at(1 << lane))
            );
        }
        let access = Access { bytes, align: 1, reads: !writes, writes, strong: None };
        let mask = std::mem::replace(&mut self.mask, 1 << lane);
        let host = self.host(MemSpace::Shared, at, bytes.max(1), access.writes);
        self.mask = mask;
        let host = host?;
        let rank = match at >> window::CLUSTER_RANK_SHIFT {
            0 => self.cta.rank,
            rank => rank as u32 - 1,
        };
        let offset = (at & ((1 << window::CLUSTER_RANK_SHIFT) - 1)) as u32;
        Ok(SharedAt { rank, offset, host })
    }

    /// Where bytes of global memory lie; the address may be generic.
    pub(crate) fn global_place(
        &mut self,
        lane: usize,
        address: u64,
        bytes: u32,
        align: u32,
        writes: bool,
    ) -> Result<*mut u8, Flow> {
        if !address.is_multiple_of(u64::from(align)) {
            let message = format!("global address {address:#x}, which is not a multiple of {align}");
            return Err(
                self.fail(Fault::new(FaultKind::Misaligned, "misaligned address", message).at(1 << lane))
            );
        }
        if bytes == 0 {
            return Ok(std::ptr::null_mut());
        }
        let mask = std::mem::replace(&mut self.mask, 1 << lane);
        let host = self.host(MemSpace::Global, address, bytes, writes);
        self.mask = mask;
        host
    }

    /// An operation that an mbarrier does not allow.
    #[cold]
    pub(crate) fn misuse(&mut self, lane: usize, at: MbarrierAt, what: Misuse) -> Flow {
        let of = if at.0 == self.cta.rank { String::new() } else { format!(" of CTA rank {}", at.0) };
        let message = format!("the mbarrier at shared address {:#x}{of}: {what}", at.1);
        self.fail(Fault::new(FaultKind::Check, "mbarrier misuse", message).at(1 << lane))
    }

    /// An operand that the hardware does not accept.
    #[cold]
    pub(crate) fn invalid(&mut self, lane: usize, title: &str, message: String) -> Flow {
        self.fail(Fault::new(FaultKind::Trap, title, message).at(1 << lane))
    }

    /// The executing lanes end: what they have not waited for, and what is still on its way into the shared memory of
    /// their CTA if they are its last.
    pub(super) fn check_exit(&mut self) -> Result<(), Flow> {
        let (lanes, warp) = (self.mask, self.warp_id());
        if !self.launch.settings().checks {
            self.cluster.flight.land_copies(warp.rank, warp.index, lanes);
            return Ok(());
        }
        let leaks = self.cluster.check.as_mut().map_or_else(Vec::new, |check| check.exit(warp, lanes));
        let mut leaked = leaks.first().map(|leak| (leak.engine, leak.lanes));
        if leaked.is_none() {
            let bulk = self.cluster.flight.bulk_unwaited(warp.rank, warp.index, lanes);
            leaked = (bulk != 0).then_some((Engine::BulkRead, bulk));
        }
        if leaked.is_none() {
            let left = self.cluster.flight.copies_left(warp.rank, warp.index, lanes);
            leaked = (left != 0).then_some((Engine::CpAsync, left));
        }
        if let Some((engine, lanes)) = leaked {
            let what = match engine {
                Engine::CpAsync => {
                    "cp.async operations that no cp.async.wait_group or wait_all has waited for"
                }
                Engine::Wgmma => "wgmma operations that no wgmma.wait_group has waited for",
                _ => "bulk copies that no cp.async.bulk.wait_group has waited for",
            };
            let message = format!("lanes {lanes:#010x} exit with {what}");
            return Err(self.fail(Fault::new(FaultKind::Check, "leaked async group", message).at(lanes)));
        }
        if self.cluster.left(warp.rank) > lanes.count_ones() {
            return Ok(());
        }
        let title = "leaked async group";
        if let Some(at) = self.cluster.mbarrier_unwaited(warp.rank) {
            let message = format!("the CTA ends without having waited for a copy that completes on the {at}");
            return Err(self.fail(Fault::new(FaultKind::Check, title, message).at(lanes)));
        }
        if let Some(issuer) = self.cluster.flight.writer_of_shared(warp.rank) {
            let site = &self.launch.program.sites[issuer.pc as usize];
            let message = format!(
                "the CTA ends while {} of PTX line {}, issued by thread {} of CTA rank {}, is on its way into its shared \
                 memory",
                site.name,
                site.line,
                issuer.warp * 32 + issuer.lane,
                issuer.rank
            );
            return Err(self.fail(Fault::new(FaultKind::Check, title, message).at(lanes)));
        }
        // Other CTAs must have finished with the shared memory that ends here.
        let site = self.site();
        self.tell(|check| check.cta_exit(warp.rank, site))?;
        Ok(())
    }
}
