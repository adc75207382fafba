//! Names of the things a check talks about: warps, state spaces, scopes, engines, kinds of access, program sites.

/// A warp of the cluster under check: the CTA's rank in its cluster (0 without clusters) and the warp's index in that CTA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WarpId {
    /// Rank of the CTA in its cluster.
    pub rank: u32,
    /// Index of the warp in its CTA.
    pub index: u32,
}

impl WarpId {
    /// The warp `index` of the CTA with rank `rank`.
    pub fn new(rank: u32, index: u32) -> Self {
        WarpId { rank, index }
    }
}

/// The memory that an address is an offset of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Device memory; addresses are the simulator's virtual addresses.
    Global,
    /// The shared memory of the CTA with this rank in the cluster; addresses are offsets from 0, without rank bits.
    Shared {
        /// Rank of the owning CTA.
        rank: u32,
    },
}

/// Scope of a strong operation or a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// `.cta`
    Cta,
    /// `.cluster`
    Cluster,
    /// `.gpu`
    Gpu,
    /// `.sys` (the simulator has one device: within a launch it orders what `.gpu` orders)
    Sys,
}

/// Memory semantics of a strong operation. `.sc` exists on fences only and orders like `AcqRel` there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sem {
    /// `.relaxed`, `.volatile`
    Relaxed,
    /// `.acquire`
    Acquire,
    /// `.release`
    Release,
    /// `.acq_rel`, `.sc`
    AcqRel,
}

impl Sem {
    /// Whether what the operation reads orders what follows it.
    pub fn acquires(self) -> bool {
        matches!(self, Sem::Acquire | Sem::AcqRel)
    }
    /// Whether what precedes the operation is ordered before who reads its value.
    pub fn releases(self) -> bool {
        matches!(self, Sem::Release | Sem::AcqRel)
    }
}

/// What a strong operation does to its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StrongOp {
    /// `ld.relaxed`, `ld.acquire`, `ld.volatile`; also the lanes whose `atom.cas` found another value.
    Load,
    /// `st.relaxed`, `st.release`, `st.volatile`
    Store,
    /// `atom`
    Rmw,
    /// `red`: writes like `Rmw` and never acquires, for it returns nothing.
    Red,
}

/// Kind of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// A weak load (`ld`, `ld.weak`, `ld.global.nc`, `ldmatrix`, the source of a copy).
    Read,
    /// A weak store (`st`, `stmatrix`, the destination of a copy).
    Write,
    /// A strong operation. A vector of strong elements is one call per element.
    Strong {
        /// Load, store, read-modify-write or reduction.
        op: StrongOp,
        /// Memory semantics.
        sem: Sem,
        /// Scope.
        scope: Scope,
    },
}

impl AccessKind {
    /// Whether the access changes memory.
    pub fn writes(self) -> bool {
        match self {
            AccessKind::Read => false,
            AccessKind::Write => true,
            AccessKind::Strong { op, .. } => op != StrongOp::Load,
        }
    }
    /// Whether the access looks at memory.
    pub fn reads(self) -> bool {
        match self {
            AccessKind::Read => true,
            AccessKind::Write => false,
            AccessKind::Strong { op, .. } => op != StrongOp::Store,
        }
    }
}

/// Who carries out an access on behalf of the lanes that executed the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Engine {
    /// The thread itself, generic proxy.
    Thread,
    /// `cp.async` of the thread (generic proxy), complete after `cp.async.wait_group/wait_all` or through
    /// `cp.async.mbarrier.arrive`.
    CpAsync,
    /// Source reads of a bulk copy of the thread that completes by `bulk_group` (async proxy).
    BulkRead,
    /// Destination writes of a bulk copy of the thread that completes by `bulk_group` (async proxy).
    BulkWrite,
    /// `wgmma.mma_async` of the warp (async proxy).
    Wgmma,
    /// A bulk copy that completes on an mbarrier (async proxy).
    Tx,
}

impl Engine {
    /// Whether the engine's accesses go through the async proxy.
    pub fn is_async_proxy(self) -> bool {
        !matches!(self, Engine::Thread | Engine::CpAsync)
    }
}

/// Spaces a `fence.proxy` makes generic writes visible for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyFence {
    /// `fence.proxy.async`
    Async,
    /// `fence.proxy.async.global`
    AsyncGlobal,
    /// `fence.proxy.async.shared::{cta,cluster}`
    AsyncShared,
    /// `fence.proxy.tensormap::generic`
    Tensormap,
}

/// A place in the program: whatever the interpreter numbers its instructions by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);
