//! The limits of PHOTON's generation on a GPU: what every launch must move and compute, and the lower bound of its time that follows.
//!
//! [`Ledger`] is a [`Backend`](photon_kernels::backend::Backend) whose buffers are lengths and whose operations write down the
//! [`Launch`] that the CUDA backend would make. The generation loops of the library, written once over that trait, run on it
//! unchanged, so batch 256 of a full-size model takes milliseconds and no memory. [`cost`] has the formulas, and nothing else has them; the
//! test `counted` compares them, launch by launch, with the counters of the simulated device.
//!
//! Nothing here is a time that somebody measured: [`Device::bound`] is what the stated ceilings do not let a launch beat.

#![deny(missing_docs)]

pub mod cost;
mod device;
mod launch;
mod ledger;
mod memory;
pub mod page;
pub mod record;
pub mod scenario;
mod weights;

pub use device::{Device, H100, H200};
pub use launch::{Bytes, Launch};
pub use ledger::Ledger;
pub use memory::{
    LedgerBuffer, LedgerCache, LedgerIds, LedgerLinear, LedgerLocal, LedgerTable, LedgerVector, Place,
};
pub use weights::zeros;
