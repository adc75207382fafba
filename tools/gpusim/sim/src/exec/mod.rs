//! Running launches: warps, CTAs, clusters, grids.

mod access;
mod barrier;
mod context;
mod cta;
mod fault;
mod group;
mod launch;
mod report;
mod rng;
mod schedule;
mod slot;
mod special;
mod step;
mod warp;

pub(crate) use access::{Access, MemSpace, Scope, Strong};
pub(crate) use barrier::{Arrival, Reduction};
pub(crate) use context::Exec;
pub(crate) use fault::{Fault, FaultKind};
pub(crate) use group::{Group, Wait};
pub(crate) use launch::run;
pub(crate) use slot::Slot;
