//! Running launches: warps, CTAs, clusters, grids.

mod access;
mod asynchronous;
mod barrier;
mod context;
mod cta;
mod fault;
mod found;
mod group;
mod launch;
mod mbarrier;
mod observe;
mod pending;
mod reduce;
mod report;
mod rng;
mod schedule;
mod slot;
mod special;
mod stall;
mod step;
mod totals;
mod warp;

pub(crate) use access::{Access, MemSpace, Strong};
pub(crate) use asynchronous::{SharedAt, checked_at, lanes};
pub(crate) use barrier::{Arrival, Reduction};
pub(crate) use context::Exec;
pub(crate) use fault::{Fault, FaultKind};
pub(crate) use group::Wait;
pub(crate) use launch::run;
pub(crate) use mbarrier::{Change, MbarrierAt, Word};
pub(crate) use observe::{Stored, Told};
pub(crate) use pending::{BulkCopy, Completes, CopyOperands, Run as Stretch, Side};
pub(crate) use reduce::{Operation, Reduction as MemoryReduction};
pub(crate) use slot::Slot;
