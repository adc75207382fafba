//! The state of a warp.

use super::{Slot, group::Group};

/// 32 lanes and their registers.
pub(crate) struct Warp {
    /// Index in the CTA.
    pub index: u32,
    /// Lanes that were launched.
    pub exists: u32,
    /// Lanes that have not exited.
    pub alive: u32,
    /// Registers of all frames.
    pub regs: Vec<Slot>,
    /// Predicates of all frames; the first of each is true.
    pub preds: Vec<u32>,
    /// Special registers that the module reads.
    pub specials: Vec<Slot>,
    /// Groups of lanes that are not running at the moment.
    pub groups: Vec<Group>,
    /// Per call depth (less one) and lane: where to return to.
    pub returns: Vec<[u32; 32]>,
    /// Start of each lane's frame in its local memory.
    pub frame: [u32; 32],
    /// Local memory, one stretch per lane; empty until a lane uses it.
    pub local: Vec<u8>,
    /// Instructions executed, which is what `%clock` counts.
    pub executed: u64,
    /// Instructions since the groups last took turns.
    pub streak: u32,
    /// Lanes whose groups go first; 0 if the schedule decides.
    pub favour: u32,
    /// Tensor instructions of the warpgroup in flight.
    pub wgmma: crate::inst::wgmma::State,
    /// Whether the warp repeats itself.
    pub watch: super::stall::Watch,
}

impl Warp {
    pub(crate) fn new(index: u32) -> Warp {
        Warp {
            index,
            exists: 0,
            alive: 0,
            regs: Vec::new(),
            preds: Vec::new(),
            specials: Vec::new(),
            groups: Vec::new(),
            returns: Vec::new(),
            frame: [0; 32],
            local: Vec::new(),
            executed: 0,
            streak: 0,
            favour: 0,
            wgmma: Default::default(),
            watch: Default::default(),
        }
    }
}
