//! Values of special registers, and the state of a warp before its first instruction.

use super::cta::Cluster;
use super::group::{Group, Wait};
use super::launch::LaunchState;
use super::{Slot, warp::Warp};
use crate::memory::window;
use crate::module::Special;

/// What special registers depend on besides the launch and the lane.
struct Position {
    cta: [u32; 3],
    rank: u32,
    cluster: u64,
    warp: u32,
}

/// Prepares the cluster with a linear index to run from the start.
pub(super) fn start_cluster(launch: &LaunchState, cluster: &mut Cluster, index: u64) {
    let shared = launch.shared_end() - window::SHARED_RESERVED;
    cluster.reset(index, &launch.cta_ids(index), launch.threads(), shared);
    cluster.state.start_check(launch);
    for cta in &mut cluster.ctas {
        for warp in &mut cta.warps {
            let position =
                Position { cta: cta.state.id, rank: cta.state.rank, cluster: index, warp: warp.index };
            start_warp(launch, warp, &position);
        }
    }
}

fn start_warp(launch: &LaunchState, warp: &mut Warp, position: &Position) {
    let first = warp.index * 32;
    let lanes = (launch.threads() - first).min(32);
    let mask = u32::MAX >> (32 - lanes);
    (warp.exists, warp.alive) = (mask, mask);
    warp.frame = [0; 32];
    warp.returns.clear();
    warp.executed = 0;
    (warp.streak, warp.favour) = (0, 0);
    warp.local.fill(0);
    warp.groups.clear();
    warp.wgmma.reset();
    warp.watch = Default::default();
    warp.groups.push(Group { mask, pc: launch.function.start, depth: 0, wait: Wait::Ready, stamp: 0 });
    warp.specials.resize(launch.program.specials.slots(), Slot::ZERO);
    for &(special, wide, slot) in launch.program.specials.entries() {
        let values: [u32; 32] = std::array::from_fn(|lane| value(launch, special, position, lane as u32));
        if wide {
            let slots = Slot::lanes64(&values.map(u64::from));
            warp.specials[slot..slot + 2].copy_from_slice(&slots);
        } else {
            warp.specials[slot] = Slot(values);
        }
    }
}

fn value(launch: &LaunchState, special: Special, at: &Position, lane: u32) -> u32 {
    let ctas = launch.ctas_per_cluster();
    let bytes = launch.static_shared + launch.dynamic_shared;
    match special {
        Special::Tid(i) => launch.tid(at.warp * 32 + lane)[i as usize],
        Special::Ntid(i) => launch.block[i as usize],
        Special::Ctaid(i) => at.cta[i as usize],
        Special::Nctaid(i) => launch.grid[i as usize],
        Special::LaneId => lane,
        Special::WarpId => at.warp,
        Special::NWarpId => 64,
        // Clusters are dealt out in turn; which SM a CTA is on is not determined on hardware either.
        Special::SmId => ((at.cluster * u64::from(ctas) + u64::from(at.rank)) % 132) as u32,
        Special::NSmId => 132,
        Special::GridId => 1,
        Special::ClusterId(i) => launch.cluster_id(at.cluster)[i as usize],
        Special::NClusterId(i) => launch.cluster_grid()[i as usize],
        Special::ClusterCtaid(i) => launch.in_cluster(at.rank)[i as usize],
        Special::ClusterNctaid(i) => launch.cluster[i as usize],
        Special::ClusterCtarank => at.rank,
        Special::ClusterNctarank => ctas,
        Special::IsExplicitCluster => launch.explicit_cluster.into(),
        Special::LaneMaskEq => 1 << lane,
        Special::LaneMaskLe => u32::MAX >> (31 - lane),
        Special::LaneMaskLt => (1 << lane) - 1,
        Special::LaneMaskGe => u32::MAX << lane,
        Special::LaneMaskGt => u32::MAX << lane << 1,
        Special::DynamicSmemSize => launch.dynamic_shared,
        Special::TotalSmemSize => bytes,
        Special::AggrSmemSize => bytes + window::SHARED_RESERVED,
        Special::ReservedSmem(0 | 3 | 4) => launch.shared_end() - launch.reserved,
        Special::ReservedSmem(_) => launch.shared_end(),
        Special::WarpSize => 32,
        Special::EnvReg(1) => (launch.workspace >> 32) as u32,
        Special::EnvReg(2) => launch.workspace as u32,
        Special::EnvReg(_) => 0,
        Special::Zero | Special::FramePointer => 0,
        Special::DynamicShared => launch.dynamic_base,
    }
}
