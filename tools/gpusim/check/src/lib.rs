//! Happens-before race detection, initialised bytes, reports and traffic counters of the simulated CUDA device.
//!
//! A pure library: the interpreter tells it what each warp does, in the order in which the simulator does it, and it says
//! whether an access conflicts with an earlier one that nothing orders. It holds no data of the program.
//!
//! # How the interpreter drives it
//!
//! One [`LaunchCheck`] per launch (shared, `Sync`: holds the shadow of global memory), one [`ClusterCheck`] per running
//! cluster (a CTA alone is a cluster of one), used by one host thread at a time. Calls, all `&mut self`:
//!
//! | instruction | call |
//! |---|---|
//! | `ld` `st` `atom` `red` `ldmatrix` … | [`ClusterCheck::access`] with [`Engine::Thread`]; a vector is one access of its whole size |
//! | `bar.warp.sync`, aligned `.sync` semantics of `__syncwarp` | [`ClusterCheck::warp_sync`] when all lanes of the mask have come; never for shuffles and votes |
//! | `bar.sync` `bar.red` | [`ClusterCheck::barrier_arrive`] on arrival, [`ClusterCheck::barrier_complete`] with the waiting warps when it opens |
//! | `bar.arrive` | [`ClusterCheck::barrier_arrive`] only |
//! | `barrier.cluster` | [`ClusterCheck::cluster_arrive`], [`ClusterCheck::cluster_complete`], [`ClusterCheck::cluster_wait`] |
//! | `fence` `membar` | [`ClusterCheck::fence`]; `fence.proxy` |
//! | `cp.async` | [`ClusterCheck::access`] with [`Engine::CpAsync`], source then destination, at issue |
//! | `cp.async.commit_group` / `wait_group N` / `wait_all` | [`ClusterCheck::cp_async_commit`], [`ClusterCheck::cp_async_wait`] |
//! | `cp.async.mbarrier.arrive` | [`ClusterCheck::cp_async_mark`] at issue, [`ClusterCheck::mbarrier_arrive_mark`] when it lands |
//! | `cp.async.bulk…` | [`ClusterCheck::bulk_begin`], [`ClusterCheck::bulk_access`] per range at issue; `mbarrier_complete_tx` on landing, or commit and wait |
//! | `wgmma` | [`ClusterCheck::wgmma_access`] per range, [`ClusterCheck::wgmma_commit`], [`ClusterCheck::wgmma_wait`] |
//! | `mbarrier.*` | `mbarrier_init`, `mbarrier_arrive`, `mbarrier_phase_complete` (when the phase flips), `mbarrier_wait` (test/try that succeeded) |
//!
//!
//! ```text
//! impl LaunchCheck {
//!     fn new(settings: Settings, geometry: Geometry) -> Arc<LaunchCheck>;
//!     fn cluster(self: &Arc<Self>, index: u32) -> ClusterCheck;
//!     fn finish(&self) -> UniqueBytes;
//! }
//! impl ClusterCheck {
//!     fn access(&mut self, warp: WarpId, engine: Engine, space: Space, mask: u32, addresses: &[u64; 32], size: u32, kind: AccessKind, site: SiteId) -> Result<(), Box<Finding>>;
//!     fn warp_sync(&mut self, warp: WarpId, mask: u32);
//!     fn barrier_arrive(&mut self, warp: WarpId, barrier: u32, mask: u32);
//!     fn barrier_complete(&mut self, rank: u32, barrier: u32, waiting: &[(WarpId, u32)]);
//!     fn cluster_arrive(&mut self, warp: WarpId, mask: u32, release: bool);
//!     fn cluster_complete(&mut self);
//!     fn cluster_wait(&mut self, warp: WarpId, mask: u32, acquire: bool);
//!     fn fence(&mut self, warp: WarpId, mask: u32, sem: Sem, scope: Scope);
//!     fn fence_proxy(&mut self, warp: WarpId, mask: u32, which: ProxyFence);
//!     fn cp_async_commit(&mut self, warp: WarpId, mask: u32);
//!     fn cp_async_wait(&mut self, warp: WarpId, mask: u32, pending: Option<u32>); // None: wait_all
//!     fn cp_async_mark(&mut self, warp: WarpId, mask: u32) -> CopyMark;
//!     fn bulk_begin(&mut self, warp: WarpId, lane: u32, completes_on: Option<(u32 /*rank*/, u64 /*mbarrier*/)>, site: SiteId) -> BulkOp;
//!     fn bulk_access(&mut self, op: &BulkOp, space: Space, address: u64, bytes: u64, kind: AccessKind) -> Result<(), Box<Finding>>;
//!     fn bulk_commit(&mut self, warp: WarpId, mask: u32);
//!     fn bulk_wait(&mut self, warp: WarpId, mask: u32, pending: u32, read_only: bool);
//!     fn wgmma_access(&mut self, warp: WarpId, rank: u32, address: u64, bytes: u64, site: SiteId) -> Result<(), Box<Finding>>;
//!     fn wgmma_commit(&mut self, warp: WarpId);
//!     fn wgmma_wait(&mut self, warp: WarpId, pending: u32);
//!     fn mbarrier_init(&mut self, warp: WarpId, lane: u32, at: (u32, u64), site: SiteId) -> Result<(), Box<Finding>>;
//!     fn mbarrier_arrive(&mut self, warp: WarpId, mask: u32, at: (u32, u64), sem: Sem, scope: Scope, site: SiteId) -> Result<(), Box<Finding>>; // also expect_tx
//!     fn mbarrier_arrive_mark(&mut self, mark: &CopyMark, at: (u32, u64));
//!     fn mbarrier_complete_tx(&mut self, op: &BulkOp);          // the last byte of the copy has landed
//!     fn mbarrier_phase_complete(&mut self, at: (u32, u64));
//!     fn mbarrier_wait(&mut self, warp: WarpId, mask: u32, at: (u32, u64), sem: Sem, scope: Scope, site: SiteId) -> Result<(), Box<Finding>>;
//!     fn exit(&mut self, warp: WarpId, mask: u32) -> Vec<Leak>;
//! }
//! ```
//!
//! An `Err` is a [`Finding`]; with [`Report`] it becomes the text that the user reads.

mod banks;
mod barrier;
mod clock;
mod cluster;
mod copies;
mod counters;
mod footprint;
mod ids;
mod initialised;
mod know;
mod launch;
mod line;
mod mbarrier;
mod message;
mod render;
mod report;
mod sectors;
mod warp;

pub use banks::{Wavefronts, matrix_wavefronts, wavefronts};
pub use cluster::{ClusterCheck, Leak};
pub use copies::{BulkOp, CopyMark, WgmmaOp};
pub use counters::{AsyncBytes, BarrierCounts, Counters, LaunchFacts, OpInfo, SharedTraffic, Traffic};
pub use ids::{AccessKind, Engine, ProxyFence, Scope, Sem, SiteId, Space, StrongOp, WarpId};
pub use initialised::Initialised;
pub use launch::{Geometry, LaunchCheck, Settings, UniqueBytes};
pub use mbarrier::MbarrierAt;
pub use render::{Place, Program, Report};
pub use report::{Check, Finding, Missing, Party, Race};
pub use sectors::sectors;
