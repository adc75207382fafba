//! Special registers, and the slots that warps keep them in.

use crate::inst::Reg;

/// A special register that does not change while a warp runs (but for the frame pointer, which calls change).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NWarpId,
    SmId,
    NSmId,
    GridId,
    ClusterId(u8),
    NClusterId(u8),
    ClusterCtaid(u8),
    ClusterNctaid(u8),
    ClusterCtarank,
    ClusterNctarank,
    IsExplicitCluster,
    LaneMaskEq,
    LaneMaskLe,
    LaneMaskLt,
    LaneMaskGe,
    LaneMaskGt,
    DynamicSmemSize,
    TotalSmemSize,
    AggrSmemSize,
    /// `%reserved_smem_offset_…`: 0 to 2 are begin, end and cap, then come the numbered ones.
    ReservedSmem(u8),
    WarpSize,
    /// Driver-defined: 1 and 2 are the upper and lower half of the address of a cooperative grid's workspace.
    EnvReg(u8),
    Zero,
    /// Local address of the frame; not a PTX register.
    FramePointer,
    /// Shared address of dynamic shared memory; not a PTX register.
    DynamicShared,
}

impl Special {
    /// By name, `%` included.
    pub(crate) fn parse(name: &str) -> Option<Special> {
        let vector = |special: fn(u8) -> Special, component: &str| match component {
            "x" => Some(special(0)),
            "y" => Some(special(1)),
            "z" => Some(special(2)),
            "w" => Some(Special::Zero),
            _ => None,
        };
        if let Some((base, component)) = name.split_once('.') {
            return match base {
                "%tid" => vector(Special::Tid, component),
                "%ntid" => vector(Special::Ntid, component),
                "%ctaid" => vector(Special::Ctaid, component),
                "%nctaid" => vector(Special::Nctaid, component),
                "%clusterid" => vector(Special::ClusterId, component),
                "%nclusterid" => vector(Special::NClusterId, component),
                "%cluster_ctaid" => vector(Special::ClusterCtaid, component),
                "%cluster_nctaid" => vector(Special::ClusterNctaid, component),
                _ => None,
            };
        }
        if let Some(number) = name.strip_prefix("%envreg") {
            return number.parse().ok().filter(|number| *number < 32).map(Special::EnvReg);
        }
        Some(match name {
            "%laneid" => Special::LaneId,
            "%warpid" => Special::WarpId,
            "%nwarpid" => Special::NWarpId,
            "%smid" => Special::SmId,
            "%nsmid" => Special::NSmId,
            "%gridid" => Special::GridId,
            "%cluster_ctarank" => Special::ClusterCtarank,
            "%cluster_nctarank" => Special::ClusterNctarank,
            "%is_explicit_cluster" => Special::IsExplicitCluster,
            "%lanemask_eq" => Special::LaneMaskEq,
            "%lanemask_le" => Special::LaneMaskLe,
            "%lanemask_lt" => Special::LaneMaskLt,
            "%lanemask_ge" => Special::LaneMaskGe,
            "%lanemask_gt" => Special::LaneMaskGt,
            "%dynamic_smem_size" => Special::DynamicSmemSize,
            "%total_smem_size" => Special::TotalSmemSize,
            "%aggr_smem_size" => Special::AggrSmemSize,
            "%reserved_smem_offset_begin" => Special::ReservedSmem(0),
            "%reserved_smem_offset_end" => Special::ReservedSmem(1),
            "%reserved_smem_offset_cap" => Special::ReservedSmem(2),
            "%reserved_smem_offset_0" => Special::ReservedSmem(3),
            "%reserved_smem_offset_1" => Special::ReservedSmem(4),
            "WARP_SZ" => Special::WarpSize,
            _ => return None,
        })
    }

    /// Registers that change from one read to the next: `mov` has them.
    pub(crate) fn is_counter(name: &str) -> bool {
        matches!(
            name,
            "%clock"
                | "%clock_hi"
                | "%clock64"
                | "%globaltimer"
                | "%globaltimer_lo"
                | "%globaltimer_hi"
                | "%current_graph_exec"
        )
    }
}

/// The special registers that a module reads, each with a slot, or two if it is read as 64 bits.
#[derive(Debug, Default)]
pub(crate) struct SpecialPool {
    entries: Vec<(Special, bool, usize)>,
    slots: usize,
}

impl SpecialPool {
    /// The register of `special`.
    pub(crate) fn reg(&mut self, special: Special, wide: bool) -> Reg {
        let found = self.entries.iter().find(|entry| (entry.0, entry.1) == (special, wide));
        let slot = match found {
            Some(entry) => entry.2,
            None => {
                let slot = self.slots;
                self.entries.push((special, wide, slot));
                self.slots += if wide { 2 } else { 1 };
                slot
            }
        };
        Reg::new(Reg::SPECIAL, slot)
    }

    /// Special, whether it is 64 bits wide, first slot.
    pub(crate) fn entries(&self) -> &[(Special, bool, usize)] {
        &self.entries
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }
}
