//! Counters of a launch: plain sums, written as one JSON line. No cycles, no seconds.
//!
//! Each host thread counts into its own [`Counters`]; they are added up when the launch ends. Instructions are counted by the
//! interpreter's number of their opcode; names, classes and the arithmetic that one of them stands for come in at the end
//! ([`OpInfo`]), so that counting an instruction is two additions.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

use crate::banks::{Wavefronts, coalesced_wavefronts, matrix_wavefronts, wavefronts};
use crate::ids::{AccessKind, StrongOp};
use crate::launch::UniqueBytes;
use crate::sectors::{coalesced_sectors, sectors};

/// Traffic of one kind of global access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Warp instructions with an active lane.
    pub requests: u64,
    /// 32-byte sectors, each counted once per request.
    pub sectors: u64,
    /// Bytes that the lanes asked for.
    pub bytes: u64,
}

/// Traffic of one kind of shared access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SharedTraffic {
    /// Warp instructions with an active lane.
    pub requests: u64,
    /// Wavefronts.
    pub wavefronts: u64,
    /// Wavefronts that bank conflicts added.
    pub conflicts: u64,
    /// Bytes that the lanes asked for.
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, mask: u32, addresses: &[u64; 32], size: u32) {
        self.requests += 1;
        self.sectors += u64::from(sectors(mask, addresses, size));
        self.bytes += u64::from(mask.count_ones() * size);
    }
}

impl SharedTraffic {
    fn add(&mut self, cost: Wavefronts, bytes: u32) {
        self.requests += 1;
        self.wavefronts += u64::from(cost.total);
        self.conflicts += u64::from(cost.conflicts());
        self.bytes += u64::from(bytes);
    }
}

/// Bytes moved by asynchronous copies, by mechanism.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AsyncBytes {
    /// `cp.async`, bytes written to shared memory (zero fill included).
    pub cp_async: u64,
    /// Bulk and tensor copies towards shared memory.
    pub bulk_load: u64,
    /// Bulk and tensor copies from shared memory, reductions included.
    pub bulk_store: u64,
}

/// Barriers that warps met at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BarrierCounts {
    /// Completed CTA barrier phases.
    pub cta: u64,
    /// Completed cluster barrier phases.
    pub cluster: u64,
    /// `bar.warp.sync` executed.
    pub warp: u64,
    /// mbarrier arrivals (instructions).
    pub mbarrier_arrive: u64,
    /// mbarrier phases completed.
    pub mbarrier_phase: u64,
}

/// What an opcode number means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpInfo {
    /// Opcode with the modifiers that matter, for example `fma.rn.f32`.
    pub name: String,
    /// Class, for example `float`, `integer`, `memory`, `tensor`, `control`.
    pub class: String,
    /// Floating-point operations of one active lane (2 for an `fma`).
    pub lane_flops: u64,
    /// Floating-point (or integer multiply-add) operations of the whole instruction: 2·m·n·k for a tensor instruction.
    pub warp_flops: u64,
    /// For tensor instructions, shape and types, for example `m16n8k16.bf16`.
    pub tensor_shape: Option<String>,
}

/// Sums of one launch, or of a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Executed warp instructions and their active lanes, by the interpreter's opcode number.
    pub executed: Vec<(u64, u64)>,
    /// Global loads.
    pub global_load: Traffic,
    /// Global stores.
    pub global_store: Traffic,
    /// Global atomics and reductions.
    pub global_atomic: Traffic,
    /// Local loads and stores.
    pub local: Traffic,
    /// Shared loads.
    pub shared_load: SharedTraffic,
    /// Shared stores.
    pub shared_store: SharedTraffic,
    /// Shared atomics and reductions.
    pub shared_atomic: SharedTraffic,
    /// `ldmatrix`.
    pub ldmatrix: SharedTraffic,
    /// `stmatrix`.
    pub stmatrix: SharedTraffic,
    /// Asynchronous copies.
    pub async_bytes: AsyncBytes,
    /// Barriers.
    pub barriers: BarrierCounts,
}

impl Counters {
    /// One executed warp instruction with `lanes` active.
    #[inline]
    pub fn count(&mut self, opcode: usize, lanes: u32) {
        if opcode >= self.executed.len() {
            self.executed.resize(opcode + 1, (0, 0));
        }
        let entry = &mut self.executed[opcode];
        entry.0 += 1;
        entry.1 += u64::from(lanes.count_ones());
    }

    /// A global access of `size` bytes a lane (vectors whole).
    pub fn global(&mut self, kind: AccessKind, mask: u32, addresses: &[u64; 32], size: u32) {
        if mask == 0 {
            return;
        }
        let traffic = match kind {
            AccessKind::Read | AccessKind::Strong { op: StrongOp::Load, .. } => &mut self.global_load,
            AccessKind::Write | AccessKind::Strong { op: StrongOp::Store, .. } => &mut self.global_store,
            AccessKind::Strong { .. } => &mut self.global_atomic,
        };
        traffic.add(mask, addresses, size);
    }

    /// A global access of all 32 lanes at neighbouring addresses, weak.
    pub fn global_coalesced(&mut self, kind: AccessKind, origin: u64, size: u32) {
        let traffic = if kind.writes() { &mut self.global_store } else { &mut self.global_load };
        traffic.requests += 1;
        traffic.sectors += u64::from(coalesced_sectors(origin, size));
        traffic.bytes += u64::from(32 * size);
    }

    /// A shared access of all 32 lanes at neighbouring addresses that are multiples of `size`, at most 16; weak.
    pub fn shared_coalesced(&mut self, kind: AccessKind, size: u32) {
        let traffic = if kind.writes() { &mut self.shared_store } else { &mut self.shared_load };
        traffic.add(coalesced_wavefronts(size), 32 * size);
    }

    /// A local access.
    pub fn local(&mut self, mask: u32, addresses: &[u64; 32], size: u32) {
        if mask != 0 {
            self.local.add(mask, addresses, size);
        }
    }

    /// A shared access of `size` bytes a lane (vectors whole).
    pub fn shared(&mut self, kind: AccessKind, mask: u32, addresses: &[u64; 32], size: u32) {
        if mask == 0 {
            return;
        }
        let traffic = match kind {
            AccessKind::Read | AccessKind::Strong { op: StrongOp::Load, .. } => &mut self.shared_load,
            AccessKind::Write | AccessKind::Strong { op: StrongOp::Store, .. } => &mut self.shared_store,
            AccessKind::Strong { .. } => &mut self.shared_atomic,
        };
        traffic.add(wavefronts(mask, addresses, size), mask.count_ones() * size);
    }

    /// `ldmatrix` or, with `store`, `stmatrix` of 1, 2 or 4 matrices.
    pub fn matrix(&mut self, store: bool, addresses: &[u64; 32], matrices: u32) {
        let traffic = if store { &mut self.stmatrix } else { &mut self.ldmatrix };
        traffic.add(matrix_wavefronts(addresses, matrices), 128 * matrices);
    }

    /// The JSON line of a launch.
    pub fn json_line(&self, launch: &LaunchFacts<'_>, unique: &UniqueBytes, ops: &[OpInfo]) -> String {
        let mut report = LaunchReport {
            launch,
            warp_instructions: 0,
            lane_instructions: 0,
            flops: 0,
            by_class: BTreeMap::new(),
            by_opcode: BTreeMap::new(),
            tensor: BTreeMap::new(),
            global_load: self.global_load,
            global_store: self.global_store,
            global_atomic: self.global_atomic,
            global_unique: *unique,
            local: self.local,
            shared_load: self.shared_load,
            shared_store: self.shared_store,
            shared_atomic: self.shared_atomic,
            ldmatrix: self.ldmatrix,
            stmatrix: self.stmatrix,
            async_bytes: self.async_bytes,
            barriers: self.barriers,
        };
        let unknown = OpInfo { name: "unknown".into(), class: "unknown".into(), ..OpInfo::default() };
        for (opcode, &(warps, lanes)) in self.executed.iter().enumerate().filter(|(_, e)| e.0 != 0) {
            let op = ops.get(opcode).unwrap_or(&unknown);
            report.warp_instructions += warps;
            report.lane_instructions += lanes;
            report.flops += warps * op.warp_flops + lanes * op.lane_flops;
            *report.by_class.entry(&op.class).or_default() += warps;
            *report.by_opcode.entry(&op.name).or_default() += warps;
            if let Some(shape) = &op.tensor_shape {
                *report.tensor.entry(shape).or_default() += warps;
            }
        }
        // Maps with string keys and numbers: nothing here can fail to serialise.
        serde_json::to_string(&report).unwrap_or_default()
    }
}

/// What a launch was, for its JSON line.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LaunchFacts<'a> {
    /// Name of the kernel.
    pub kernel: &'a str,
    /// CTAs in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a CTA in x, y, z.
    pub block: [u32; 3],
    /// CTAs of a cluster in x, y, z.
    pub cluster: [u32; 3],
    /// Shared memory of a CTA, static and dynamic.
    pub shared_bytes: u32,
}

#[derive(Serialize)]
struct LaunchReport<'a> {
    #[serde(flatten)]
    launch: &'a LaunchFacts<'a>,
    warp_instructions: u64,
    lane_instructions: u64,
    flops: u64,
    by_class: BTreeMap<&'a str, u64>,
    by_opcode: BTreeMap<&'a str, u64>,
    tensor: BTreeMap<&'a str, u64>,
    global_load: Traffic,
    global_store: Traffic,
    global_atomic: Traffic,
    global_unique: UniqueBytes,
    local: Traffic,
    shared_load: SharedTraffic,
    shared_store: SharedTraffic,
    shared_atomic: SharedTraffic,
    ldmatrix: SharedTraffic,
    stmatrix: SharedTraffic,
    async_bytes: AsyncBytes,
    barriers: BarrierCounts,
}

impl AddAssign<&Counters> for Counters {
    fn add_assign(&mut self, other: &Counters) {
        if self.executed.len() < other.executed.len() {
            self.executed.resize(other.executed.len(), (0, 0));
        }
        for (mine, theirs) in self.executed.iter_mut().zip(&other.executed) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
        for (mine, theirs) in [
            (&mut self.global_load, &other.global_load),
            (&mut self.global_store, &other.global_store),
            (&mut self.global_atomic, &other.global_atomic),
            (&mut self.local, &other.local),
        ] {
            mine.requests += theirs.requests;
            mine.sectors += theirs.sectors;
            mine.bytes += theirs.bytes;
        }
        for (mine, theirs) in [
            (&mut self.shared_load, &other.shared_load),
            (&mut self.shared_store, &other.shared_store),
            (&mut self.shared_atomic, &other.shared_atomic),
            (&mut self.ldmatrix, &other.ldmatrix),
            (&mut self.stmatrix, &other.stmatrix),
        ] {
            mine.requests += theirs.requests;
            mine.wavefronts += theirs.wavefronts;
            mine.conflicts += theirs.conflicts;
            mine.bytes += theirs.bytes;
        }
        self.async_bytes.cp_async += other.async_bytes.cp_async;
        self.async_bytes.bulk_load += other.async_bytes.bulk_load;
        self.async_bytes.bulk_store += other.async_bytes.bulk_store;
        self.barriers.cta += other.barriers.cta;
        self.barriers.cluster += other.barriers.cluster;
        self.barriers.warp += other.barriers.warp;
        self.barriers.mbarrier_arrive += other.barriers.mbarrier_arrive;
        self.barriers.mbarrier_phase += other.barriers.mbarrier_phase;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_line_names_the_launch_and_sums_by_class_opcode_and_shape() {
        let mut a = Counters::default();
        a.count(1, u32::MAX);
        a.count(1, 0b1);
        a.count(2, u32::MAX);
        let addresses = std::array::from_fn(|l| 0x1000 + 4 * l as u64);
        a.global(AccessKind::Read, u32::MAX, &addresses, 4);
        a.shared(AccessKind::Write, 0xff, &addresses, 4);
        let mut b = Counters::default();
        b.count(2, u32::MAX);
        b.matrix(false, &std::array::from_fn(|l| 16 * l as u64), 4);
        b += &a;
        let fma =
            OpInfo { name: "fma.rn.f32".into(), class: "float".into(), lane_flops: 2, ..OpInfo::default() };
        let mma = OpInfo {
            name: "mma.sync".into(),
            class: "tensor".into(),
            warp_flops: 2 * 16 * 8 * 16,
            tensor_shape: Some("m16n8k16.bf16".into()),
            ..OpInfo::default()
        };
        let facts = LaunchFacts {
            kernel: "k",
            grid: [2, 1, 1],
            block: [32, 1, 1],
            cluster: [1, 1, 1],
            shared_bytes: 512,
        };
        let line = b.json_line(&facts, &UniqueBytes::default(), &[OpInfo::default(), fma, mma]);
        assert!(!line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(json["kernel"], "k");
        assert_eq!(json["grid"][0], 2);
        assert_eq!(json["warp_instructions"], 4);
        assert_eq!(json["by_class"]["tensor"], 2);
        assert_eq!(json["by_opcode"]["fma.rn.f32"], 2);
        assert_eq!(json["tensor"]["m16n8k16.bf16"], 2);
        assert_eq!(json["flops"], 33 * 2 + 2 * 4096);
        assert_eq!(json["global_load"]["sectors"], 4);
        assert_eq!(json["shared_store"]["bytes"], 32);
        assert_eq!(json["ldmatrix"]["wavefronts"], 4);
    }
}
