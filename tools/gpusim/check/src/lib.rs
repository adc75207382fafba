//! Happens-before race detection, initialised bytes, reports and traffic counters of the simulated CUDA device.
//!
//! A pure library: the interpreter tells it what each warp does, in the order in which the simulator does it, and it says
//! whether an access conflicts with an earlier one that nothing orders. It holds no data of the program.
//!
//! # How the interpreter drives it
//!
//! One [`LaunchCheck`] per launch (shared, `Sync`: it holds the shadow of global memory), one [`ClusterCheck`] per running
//! cluster (a CTA alone is a cluster of one), used by one host thread at a time. Its methods, by instruction:
//!
//! | instruction | call |
//! |---|---|
//! | `ld` `st` `atom` `red` `ldmatrix` … | [`access`](ClusterCheck::access) with [`Engine::Thread`]; a plain vector is one access of its whole size, a strong one an access per element (all lanes in a row: [`access_coalesced`](ClusterCheck::access_coalesced)); lanes whose `atom.cas` failed are a [`StrongOp::Load`] |
//! | `ld.global.nc` | also [`read_only`](ClusterCheck::read_only) |
//! | `bar.warp.sync` | [`warp_sync`](ClusterCheck::warp_sync) when all lanes of the mask have come; never for shuffles and votes |
//! | `bar.sync` `bar.red` | [`barrier_arrive`](ClusterCheck::barrier_arrive) on arrival, [`barrier_complete`](ClusterCheck::barrier_complete) with the waiting warps when it opens |
//! | `bar.arrive` | `barrier_arrive` only |
//! | `barrier.cluster` | [`cluster_arrive`](ClusterCheck::cluster_arrive), [`cluster_complete`](ClusterCheck::cluster_complete), [`cluster_wait`](ClusterCheck::cluster_wait) |
//! | `fence` `membar` | [`fence`](ClusterCheck::fence), `fence.proxy.*`: [`fence_proxy`](ClusterCheck::fence_proxy) |
//! | `cp.async` | `access` with [`Engine::CpAsync`] at issue: the source, then the destination |
//! | `cp.async.commit_group` `wait_group` `wait_all` | [`cp_async_commit`](ClusterCheck::cp_async_commit), [`cp_async_wait`](ClusterCheck::cp_async_wait) |
//! | `cp.async.mbarrier.arrive` | [`cp_async_mark`](ClusterCheck::cp_async_mark) at issue, [`mbarrier_arrive_mark`](ClusterCheck::mbarrier_arrive_mark) when the copies have landed |
//! | `cp.async.bulk…` | [`bulk_begin`](ClusterCheck::bulk_begin), then [`bulk_access`](ClusterCheck::bulk_access) for every range at issue; [`bulk_landed`](ClusterCheck::bulk_landed) before the phase that it completes flips, or [`bulk_commit`](ClusterCheck::bulk_commit) and [`bulk_wait`](ClusterCheck::bulk_wait) |
//! | `wgmma` | per warp: [`wgmma_begin`](ClusterCheck::wgmma_begin), [`wgmma_access`](ClusterCheck::wgmma_access) for every range of its operands, [`wgmma_commit`](ClusterCheck::wgmma_commit), [`wgmma_wait`](ClusterCheck::wgmma_wait) |
//! | `mbarrier.init` `inval` | [`mbarrier_init`](ClusterCheck::mbarrier_init), [`mbarrier_inval`](ClusterCheck::mbarrier_inval) |
//! | `mbarrier.arrive…` `expect_tx` | [`mbarrier_arrive`](ClusterCheck::mbarrier_arrive), then [`mbarrier_phase_complete`](ClusterCheck::mbarrier_phase_complete) if the phase flips |
//! | `mbarrier.test_wait` `try_wait` | [`mbarrier_wait`](ClusterCheck::mbarrier_wait) when it returns true |
//! | end of a thread | [`exit`](ClusterCheck::exit); end of a CTA: [`outstanding_copies`](ClusterCheck::outstanding_copies), [`cta_exit`](ClusterCheck::cta_exit) |
//!
//! An `Err` is a [`Finding`]; [`Report::of`] makes the text that the user reads of it. After an `Err` the state is unspecified
//! (but sound to use): the launch is expected to end. With the CTAs of a launch on several host threads, a strong access and
//! its data have to be under one lock of the location; plain accesses need none.
//!
//! # The order that is modelled
//!
//! Agents are threads and the engines that work for them. An access is ordered before another if a chain of these leads
//! from one to the other; two accesses to a common byte of which one writes, and which no chain orders, are a race, whatever
//! the values and however the simulator happened to schedule them:
//!
//! - program order of one thread, but not of two lanes of one warp, however convergent, without `bar.warp.sync`;
//! - `bar.warp.sync`, `bar.sync`/`arrive`/`red` (arrivals before who waits), `barrier.cluster` (release arrivals before waits);
//! - a release pattern (release operation, or fence before a strong write, through the release sequence of later atomics) and
//!   the acquire pattern that reads from it (acquire operation, or strong read before a fence), if the scopes of all that take
//!   part include the other thread. `volatile` is relaxed at `.sys`;
//! - mbarrier arrivals (release, with their scope) before waits that observe their phase or a later one;
//! - `cp.async`: issue before the copy; the copy before what follows the issuing thread's wait, or before the waits of the
//!   phase in which `cp.async.mbarrier.arrive` arrives;
//! - bulk copies: issue before the copy; the copy before waits of the phase on which it lands, or before what follows the
//!   thread's `wait_group` (with `.read` only its reads);
//! - `wgmma`: what every lane of the warp did before it, before its reads; its reads before what follows the warp's wait. (Not
//!   through it: it does not order one lane before another.)
//!
//! A generic write (of a thread or `cp.async`) before an access of the async proxy needs a `fence.proxy.async` of the right
//! space somewhere on the chain; likewise the tensor-map proxy. A generic *read* before an async write needs order and no
//! fence, as the usual empty barriers of a ring have none.
//!
//! Pairs of strong accesses (atomics, relaxed, volatile, acquire, release) of the same extent whose scopes include each
//! other's thread do not race. Operations on an mbarrier object do not race with each other, but do with its initialisation.
//!
//! # What is not modelled
//!
//! - The order of values: the simulator runs one interleaving, and reads see the newest write. Stale values that weaker
//!   orders allow do not occur; the missing edge is what is reported.
//! - `fence.sc` orders what `fence.acq_rel` orders. `red` and `mbarrier.test_wait` that returned false acquire nothing.
//! - Between mbarrier initialisation and the async proxy's use of the object no fence is asked for.
//! - Concurrency between launches: a new [`LaunchCheck`] is ordered after everything earlier.
//! - Values: lanes that write the same value to the same byte in one instruction are reported like any race (an interpreter
//!   that wants to allow them passes one of those lanes only).
//! - Registers of `wgmma`, barrier divergence, deadlock, freed memory: the interpreter finds these; [`Check`] has their names.
//! - Local, parameter and constant memory: private or read-only.

mod access;
mod banks;
mod barrier;
mod clock;
mod cluster;
mod copies;
mod counters;
mod exit;
mod footprint;
mod ids;
mod initialised;
mod know;
mod launch;
mod line;
mod mbarrier;
mod message;
mod page;
mod piece;
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
