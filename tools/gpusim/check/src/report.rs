//! What a failed check says: stable names, the parties of a race, the text that a user reads.

use std::fmt;

use crate::ids::{AccessKind, Engine, SiteId, Space};

/// The checks, by the names that reports and tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Check {
    /// An address outside every allocation, or past the end of one.
    OutOfBounds,
    /// An address in memory that was freed.
    UseAfterFree,
    /// An address that is no multiple of the access size.
    Misaligned,
    /// A read of bytes that nobody wrote.
    UninitialisedRead,
    /// Two conflicting accesses without order between them.
    Race,
    /// Threads of one CTA (or warp) waiting at barriers that cannot meet, or a wrong participant count.
    BarrierDivergence,
    /// Nothing can run, and something has not ended.
    Deadlock,
    /// A thread ended with an asynchronous operation that nobody waited for.
    LeakedAsyncGroup,
    /// An instruction that needs a converged warp, or the same operands in it, was executed otherwise.
    ConvergenceRequired,
    /// An mbarrier used before its initialisation, after invalidation, or with a count out of range.
    MbarrierMisuse,
    /// A register of an asynchronous `wgmma` was touched before its wait or fence.
    WgmmaRegisterHazard,
    /// A write to memory that the instruction may only read (`.const`, `.param`, `ld.global.nc` data changed).
    ReadOnlyWrite,
    /// A descriptor, tensor map or shape that the hardware does not accept.
    InvalidDescriptor,
    /// A `trap` instruction.
    Trap,
    /// A failed device-side assertion.
    Assert,
}

impl Check {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Check::OutOfBounds => "out-of-bounds",
            Check::UseAfterFree => "use-after-free",
            Check::Misaligned => "misaligned",
            Check::UninitialisedRead => "uninitialised-read",
            Check::Race => "race",
            Check::BarrierDivergence => "barrier-divergence",
            Check::Deadlock => "deadlock",
            Check::LeakedAsyncGroup => "leaked-async-group",
            Check::ConvergenceRequired => "convergence-required",
            Check::MbarrierMisuse => "mbarrier-misuse",
            Check::WgmmaRegisterHazard => "wgmma-register-hazard",
            Check::ReadOnlyWrite => "read-only-write",
            Check::InvalidDescriptor => "invalid-descriptor",
            Check::Trap => "trap",
            Check::Assert => "assert",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One of the two accesses of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Linear index of the CTA in the grid.
    pub cta: u32,
    /// Linear index in its CTA of the thread that made or issued the access.
    pub thread: u32,
    /// Who carried it out.
    pub engine: Engine,
    /// What it did.
    pub kind: AccessKind,
    /// The instruction.
    pub site: SiteId,
}

/// What would have ordered the two accesses of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missing {
    /// Lanes of one warp without `bar.warp.sync` (`__syncwarp`) between them.
    WarpSync,
    /// Two lanes of one instruction write the same bytes.
    SameInstruction,
    /// Warps of one CTA without a barrier between them.
    CtaBarrier,
    /// CTAs of one cluster without a cluster barrier or remote mbarrier between them.
    ClusterBarrier,
    /// CTAs of the grid without release and acquire at `.gpu` scope between them.
    GridSync,
    /// A strong operation or fence whose scope does not reach the other thread.
    WiderScope,
    /// Strong accesses of different extent (or atomic against plain access) to the same bytes.
    AtomicAgainstPlain,
    /// A `cp.async` that was not waited for, or whose wait was not followed by a barrier.
    CpAsyncWait,
    /// A bulk copy whose source is still being read.
    BulkReadWait,
    /// A bulk copy whose writes were not waited for.
    BulkWait,
    /// A bulk copy whose mbarrier phase was not waited for.
    MbarrierWait,
    /// A `wgmma` that was not waited for.
    WgmmaWait,
    /// A generic write before an access of the async proxy.
    FenceProxyAsync,
    /// A generic write before a use of a tensor map.
    FenceProxyTensormap,
}

impl Missing {
    /// One line for the report.
    pub fn hint(self) -> &'static str {
        match self {
            Missing::WarpSync => "lanes of one warp: no bar.warp.sync (__syncwarp) between the two accesses",
            Missing::SameInstruction => "several lanes of one instruction write the same bytes",
            Missing::CtaBarrier => "no barrier (bar.sync, mbarrier, release/acquire) between the two warps",
            Missing::ClusterBarrier => {
                "no barrier.cluster arrive.release/wait.acquire or cluster mbarrier between the two CTAs"
            }
            Missing::GridSync => "different CTAs: no release/acquire at .gpu scope between the two accesses",
            Missing::WiderScope => "both are strong, but a scope does not include the other thread",
            Missing::AtomicAgainstPlain => {
                "an atomic or strong access against a plain one (or one of another size), not ordered"
            }
            Missing::CpAsyncWait => {
                "cp.async in flight: needs cp.async.wait_group, then a barrier for other threads"
            }
            Missing::BulkReadWait => {
                "bulk copy still reads its source: needs cp.async.bulk.wait_group.read, then a barrier"
            }
            Missing::BulkWait => "bulk copy in flight: needs cp.async.bulk.wait_group (without .read)",
            Missing::MbarrierWait => "bulk copy in flight: no wait on the mbarrier phase that completes it",
            Missing::WgmmaWait => "wgmma still reads its operands: needs wgmma.wait_group, then a barrier",
            Missing::FenceProxyAsync => {
                "needs fence.proxy.async between the generic write and the async-proxy access"
            }
            Missing::FenceProxyTensormap => {
                "needs fence.proxy.tensormap::generic between the write of the map and its use"
            }
        }
    }
}

/// Two conflicting accesses without order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// Which memory.
    pub space: Space,
    /// First byte that both touch.
    pub address: u64,
    /// The access being made.
    pub now: Party,
    /// The access made earlier in this execution.
    pub earlier: Party,
    /// What would order them.
    pub missing: Missing,
}

/// A finding of the library, to be turned into a [`Report`](crate::Report) by who knows the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A race.
    Race(Race),
    /// A read of bytes that nobody wrote.
    Uninitialised {
        /// Which memory.
        space: Space,
        /// First such byte.
        address: u64,
        /// Who read.
        by: Party,
    },
    /// A bad address.
    Address {
        /// `OutOfBounds` or `Misaligned`.
        check: Check,
        /// Which memory.
        space: Space,
        /// The address.
        address: u64,
        /// Bytes of the access.
        size: u32,
        /// Who.
        by: Party,
    },
    /// Memory that the launch both writes and reads by `ld.global.nc`.
    ReadOnly {
        /// Which memory.
        space: Space,
        /// First such byte.
        address: u64,
        /// Who came second.
        by: Party,
    },
    /// An mbarrier that was not initialised.
    Mbarrier {
        /// Which memory.
        space: Space,
        /// The address.
        address: u64,
        /// Who.
        by: Party,
    },
}

impl Finding {
    /// Which check failed.
    pub fn check(&self) -> Check {
        match self {
            Finding::Race(_) => Check::Race,
            Finding::Uninitialised { .. } => Check::UninitialisedRead,
            Finding::Address { check, .. } => *check,
            Finding::ReadOnly { .. } => Check::ReadOnlyWrite,
            Finding::Mbarrier { .. } => Check::MbarrierMisuse,
        }
    }

    /// Who made the access that failed.
    pub fn by(&self) -> &Party {
        match self {
            Finding::Race(race) => &race.now,
            Finding::Uninitialised { by, .. }
            | Finding::Address { by, .. }
            | Finding::ReadOnly { by, .. }
            | Finding::Mbarrier { by, .. } => by,
        }
    }
}
