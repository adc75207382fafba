//! A launch: its configuration, the grid, and the threads that run it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gpusim_check::{Counters, Initialised, LaunchCheck};

use super::cta::Cluster;
use super::observe;
use super::rng::Rng;
use super::schedule;
use crate::module::{FunctionInfo, Program, Special};
use crate::{Device, Launch, LaunchError, Settings};

/// Shared memory that a block can have: 227 KiB.
const SHARED_LIMIT: u64 = 227 << 10;
/// Shared memory of an SM that blocks divide among themselves, 1 KiB of it per block for the system.
const SHARED_PER_SM: u64 = 228 << 10;
const SMS: u64 = 132;
/// What kernels get of the system's shared memory; cooperative groups use 288 bytes.
const RESERVED_SHARED: u32 = 512;

/// Where frames lie in a warp's register file. Frames of called functions all have the size of the largest, so that
/// lanes in different functions agree about the start of each depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames {
    pub entry: (usize, usize),
    pub callee: (usize, usize),
}

impl Frames {
    pub(crate) fn slots(&self, depth: usize) -> usize {
        if depth == 0 { self.entry.0 } else { self.callee.0 }
    }

    pub(crate) fn preds(&self, depth: usize) -> usize {
        if depth == 0 { self.entry.1 } else { self.callee.1 }
    }

    /// First slot and first predicate of the frame at a depth.
    pub(crate) fn start(&self, depth: usize) -> (usize, usize) {
        match depth {
            0 => (0, 0),
            _ => (self.entry.0 + (depth - 1) * self.callee.0, self.entry.1 + (depth - 1) * self.callee.1),
        }
    }
}

/// What all CTAs of a launch share and none changes.
pub(crate) struct LaunchState<'l> {
    pub device: &'l Device,
    pub program: &'l Program,
    pub function: &'l FunctionInfo,
    pub params: &'l [u8],
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub cluster: [u32; 3],
    pub explicit_cluster: bool,
    pub static_shared: u32,
    pub dynamic_base: u32,
    pub dynamic_shared: u32,
    /// Bytes of the system's shared memory that kernels may ask for by `%reserved_smem_offset_…`, as the groups of several
    /// warps of cooperative groups do; 0 if the module does not. Here it lies after all else, so that small addresses stay wrong.
    pub reserved: u32,
    pub frames: Frames,
    /// Local memory per thread, the stack included.
    pub local_bytes: u32,
    pub cooperative: bool,
    /// Address of the memory that the grid's barrier of cooperative groups lies in; 0 if the launch has none.
    pub workspace: u64,
    /// Clusters that can be resident at once.
    pub resident: u64,
    /// Warp instructions of all workers, as of their last reports.
    pub executed: AtomicU64,
    /// What the workers have done that others could see, as of their last reports.
    pub effects: AtomicU64,
    /// Workers that still have clusters, and those of them that repeat themselves.
    pub stalled: Mutex<super::stall::Stalled>,
    pub stop: AtomicBool,
    /// Races and initialised shared memory; None if they are not checked.
    pub check: Option<Arc<LaunchCheck>>,
    /// Whether accesses are counted: a report was asked for.
    pub counted: bool,
    /// Whether somebody wants to know of accesses.
    pub observed: bool,
    /// Whether reads of global memory that nothing has written are faults.
    pub global_init: bool,
    /// Whether several host threads run CTAs, and what they exclude each other by: see [`super::Exec::hold`].
    pub parallel: bool,
    pub strong: Mutex<()>,
    /// What the workers have counted.
    pub totals: Mutex<Counters>,
}

impl LaunchState<'_> {
    pub(crate) fn settings(&self) -> &Settings {
        self.device.settings()
    }

    pub(crate) fn threads(&self) -> u32 {
        self.block.iter().product()
    }

    /// The shared address after the last byte of shared memory.
    pub(crate) fn shared_end(&self) -> u32 {
        let end = self.dynamic_base + self.dynamic_shared;
        if self.reserved > 0 { end.next_multiple_of(16) + self.reserved } else { end }
    }

    pub(crate) fn ctas_per_cluster(&self) -> u32 {
        self.cluster.iter().product()
    }

    pub(crate) fn clusters(&self) -> u64 {
        product(self.grid) / u64::from(self.ctas_per_cluster())
    }

    /// `%clusterid` of a linear index.
    pub(crate) fn cluster_id(&self, index: u64) -> [u32; 3] {
        let [x, y, _] = self.cluster_grid().map(u64::from);
        [(index % x) as u32, (index / x % y) as u32, (index / x / y) as u32]
    }

    /// `%nclusterid`.
    pub(crate) fn cluster_grid(&self) -> [u32; 3] {
        std::array::from_fn(|i| self.grid[i] / self.cluster[i])
    }

    /// Position in the cluster of a rank.
    pub(crate) fn in_cluster(&self, rank: u32) -> [u32; 3] {
        let [x, y, _] = self.cluster;
        [rank % x, rank / x % y, rank / x / y]
    }

    /// `%ctaid` of the CTAs of a cluster, by rank.
    pub(crate) fn cta_ids(&self, index: u64) -> Vec<[u32; 3]> {
        let id = self.cluster_id(index);
        let cta = |rank| {
            let within = self.in_cluster(rank);
            std::array::from_fn(|i| id[i] * self.cluster[i] + within[i])
        };
        (0..self.ctas_per_cluster()).map(cta).collect()
    }

    /// `%tid` of a thread.
    pub(crate) fn tid(&self, thread: u32) -> [u32; 3] {
        let [x, y, _] = self.block;
        [thread % x, thread / x % y, thread / x / y]
    }
}

/// A stretch of device memory: addresses from `base` to `end`; the host address is the address plus `delta`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostRegion {
    pub base: u64,
    pub end: u64,
    pub delta: u64,
}

/// What belongs to one thread of the operating system.
pub(crate) struct WorkerState {
    pub rng: Rng,
    /// Times that each instruction of the module was executed by a warp.
    pub counts: Vec<u64>,
    /// Per instruction, the region it met last.
    pub hints: Vec<u32>,
    /// Device memory in rising order, after an empty region.
    pub regions: Vec<HostRegion>,
    /// Keeps the regions' memory from being freed while the launch runs.
    kept: Vec<crate::memory::Region>,
    generation: u64,
    /// What was freed while the launch ran: copies in flight may still read it.
    freed: Vec<crate::memory::Region>,
    /// Waits that may end without success do so: nothing else happens.
    pub time_is_up: bool,
    /// Stores, atomics that changed something, arrivals, exits: what another warp could see.
    pub effects: u64,
    /// Warp instructions executed, counted at the end of turns.
    pub executed: u64,
    /// The same, counted at each instruction.
    pub counted: u64,
    /// Per instruction, lanes that did not take part, if the launch is counted.
    idle: Vec<u64>,
    /// Traffic and barriers.
    pub counters: Counters,
}

impl WorkerState {
    fn new(launch: &LaunchState, seed: u64) -> WorkerState {
        let code = launch.program.code.len();
        let mut worker = WorkerState {
            rng: Rng::new(seed),
            counts: vec![0; code],
            hints: vec![0; code],
            regions: Vec::new(),
            kept: Vec::new(),
            generation: u64::MAX,
            freed: Vec::new(),
            time_is_up: false,
            effects: 0,
            executed: 0,
            counted: 0,
            idle: vec![0; code],
            counters: Counters::default(),
        };
        worker.refresh(launch);
        worker
    }

    #[inline(always)]
    pub(crate) fn count(&mut self, pc: u32, lanes: u32) {
        self.counted += 1;
        // SAFETY: one count per instruction of the program, and `pc` is the index of one.
        unsafe { *self.counts.get_unchecked_mut(pc as usize) += 1 }
        if lanes != u32::MAX {
            // SAFETY: as above.
            unsafe { *self.idle.get_unchecked_mut(pc as usize) += u64::from(lanes.count_zeros()) }
        }
    }

    /// Takes back the count of an instruction that will run again.
    pub(crate) fn uncount(&mut self, pc: u32, lanes: u32) {
        self.counts[pc as usize] -= 1;
        self.idle[pc as usize] -= u64::from(lanes.count_zeros());
    }

    /// All that was counted, with instructions by their index in the program.
    fn into_counters(mut self) -> Counters {
        let each = self.counts.iter().zip(&self.idle);
        self.counters.executed = each.map(|(warps, idle)| (*warps, warps * 32 - idle)).collect();
        self.counters
    }

    /// The start of the allocation that holds an address, and which of its bytes were written, if that is known.
    pub(crate) fn initialised(&self, at: u64) -> Option<(u64, &Initialised)> {
        let region = self.kept.get(self.region(at).checked_sub(1)?)?;
        Some((region.base, region.written.as_deref()?))
    }

    /// Takes over changes of the device's allocations; false if there were none.
    pub(crate) fn refresh(&mut self, launch: &LaunchState) -> bool {
        let memory = launch.device.memory();
        if memory.generation() == self.generation {
            return false;
        }
        self.generation = memory.generation();
        let old = std::mem::replace(&mut self.kept, memory.regions().cloned().collect());
        let live: std::collections::BTreeSet<u64> = self.kept.iter().map(|region| region.base).collect();
        self.freed.extend(old.into_iter().filter(|region| !live.contains(&region.base)));
        self.regions = vec![HostRegion { base: 1, end: 0, delta: 0 }];
        self.regions.extend(self.kept.iter().map(|region| HostRegion {
            base: region.base,
            end: region.base + region.bytes,
            delta: (region.buffer.ptr() as u64).wrapping_sub(region.base),
        }));
        self.hints.fill(0);
        true
    }

    /// Index of the region that starts at or below an address; the empty one if none does.
    pub(crate) fn region(&self, at: u64) -> usize {
        1 + self.regions[1..].partition_point(|region| region.base <= at) - 1
    }
}

fn product(n: [u32; 3]) -> u64 {
    n.iter().map(|n| u64::from(*n)).product()
}

/// Runs a launch to its end.
pub(crate) fn run(device: &Device, launch: &Launch) -> Result<(), LaunchError> {
    let mut state = prepare(device, launch)?;
    let reads_workspace = |(special, ..): &(Special, bool, usize)| matches!(special, Special::EnvReg(_));
    if state.cooperative && state.program.specials.entries().iter().any(reads_workspace) {
        state.workspace = device.alloc(WORKSPACE_BYTES, 256)?;
        // Size first, then the barrier, as the driver leaves it: all zero.
        device.fill(state.workspace, &(WORKSPACE_BYTES as u32).to_le_bytes(), 1)?;
        device.fill(state.workspace + 4, &[0], WORKSPACE_BYTES - 4)?;
    }
    let workspace = state.workspace;
    let result = run_prepared(device, state);
    if workspace != 0 {
        device.free(workspace)?;
    }
    result
}

/// Bytes of a cooperative grid's workspace.
const WORKSPACE_BYTES: u64 = 256;

fn run_prepared(device: &Device, mut state: LaunchState) -> Result<(), LaunchError> {
    let threads = if state.cooperative { 1 } else { device.settings().threads.max(1) };
    let threads = (threads as u64).min(state.clusters()) as usize;
    state.parallel = threads > 1;
    state.stalled = Mutex::new(super::stall::Stalled::new(threads as u64));
    if let (false, Some(check)) = (state.parallel, state.check.as_mut().and_then(Arc::get_mut)) {
        // SAFETY: this thread runs all clusters, below.
        unsafe { check.single_threaded() };
    }
    let state = state;
    let next = AtomicU64::new(0);
    let failed: Mutex<Option<LaunchError>> = Mutex::new(None);
    let work = |number: u64| {
        let seed = device.settings().seed.wrapping_add(number << 32);
        let mut worker = WorkerState::new(&state, seed);
        let done = schedule::run_clusters(&state, &mut worker, &next, number);
        super::stall::leave(&state, number);
        if let Err(error) = done {
            state.stop.store(true, Ordering::Relaxed);
            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            failed.get_or_insert(error);
        }
        if state.counted {
            let mut totals = state.totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *totals += &worker.into_counters();
        }
    };
    if threads <= 1 {
        work(0);
    } else {
        std::thread::scope(|scope| {
            for number in 0..threads as u64 {
                let work = &work;
                scope.spawn(move || work(number));
            }
        });
    }
    // Nobody reads standard output's errors on a device either.
    let _ = device.output().flush();
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => {
            super::totals::report(&state);
            Ok(())
        }
    }
}

fn prepare<'l>(device: &'l Device, launch: &'l Launch) -> Result<LaunchState<'l>, LaunchError> {
    let invalid = |text: String| Err(LaunchError::InvalidConfiguration(text));
    let function = &*launch.function;
    let (grid, block) = (launch.grid, launch.block);
    if grid.contains(&0) || grid[0] > i32::MAX as u32 || grid[1] > 65535 || grid[2] > 65535 {
        return invalid(format!("grid {grid:?}"));
    }
    let threads = product(block);
    if block.contains(&0) || threads > 1024 || block[2] > 64 {
        return invalid(format!("block {block:?}"));
    }
    if let Some(required) = function.required_block().filter(|required| *required != block) {
        return invalid(format!("block {block:?}, the kernel requires {required:?}"));
    }
    if threads > u64::from(function.max_threads()) {
        let text = format!("{threads} threads per block, the kernel is made for {}", function.max_threads());
        return Err(LaunchError::OutOfResources(text));
    }
    let declared = function.cluster().filter(|cluster| !cluster.contains(&0));
    let cluster = match (launch.cluster, declared) {
        (Some(asked), Some(declared)) if asked != declared => {
            return invalid(format!("clusters {asked:?}, the kernel requires {declared:?}"));
        }
        (asked, declared) => asked.or(declared),
    };
    let explicit_cluster = cluster.is_some();
    let cluster = cluster.unwrap_or([1; 3]);
    let divides = (0..3).all(|i| cluster[i] != 0 && grid[i].is_multiple_of(cluster[i]));
    if !divides || product(cluster) > 16 {
        return invalid(format!("clusters {cluster:?} in a grid of {grid:?}"));
    }
    if launch.params.len() != function.param_bytes() as usize {
        let (given, wanted) = (launch.params.len(), function.param_bytes());
        return invalid(format!("{given} bytes of parameters, the kernel has {wanted}"));
    }
    let (dynamic_base, static_shared) = (function.dynamic_base(), function.static_shared());
    let shared =
        u64::from(dynamic_base - crate::memory::window::SHARED_RESERVED) + u64::from(launch.shared_bytes);
    if shared > SHARED_LIMIT {
        return Err(LaunchError::TooMuchShared { requested: shared, available: SHARED_LIMIT });
    }
    let warps = threads.div_ceil(32);
    let per_sm = (64 / warps).min(32).min(SHARED_PER_SM / (shared + 1024)).max(1);
    let (ctas, resident) = (product(grid), per_sm * SMS);
    if launch.cooperative && ctas > resident {
        return Err(LaunchError::CooperativeTooLarge { ctas, resident });
    }
    let program = function.program();
    let info = &program.functions[function.index()];
    let settings = device.settings();
    let frames = Frames { entry: (info.slots, info.preds), callee: program.callee_frame };
    let stack = if info.recursive { device.limits().stack_bytes } else { 0 };
    let asks = |(special, ..): &(Special, bool, usize)| matches!(special, Special::ReservedSmem(_));
    let reserved = if program.specials.entries().iter().any(asks) { RESERVED_SHARED } else { 0 };
    let local_bytes = (u64::from(info.stack_bytes) + stack).next_multiple_of(16).min(1 << 24) as u32;
    let mut state = LaunchState {
        device,
        program,
        function: info,
        params: &launch.params,
        grid,
        block,
        cluster,
        explicit_cluster,
        static_shared,
        dynamic_base,
        dynamic_shared: launch.shared_bytes,
        reserved,
        frames,
        local_bytes,
        cooperative: launch.cooperative,
        workspace: 0,
        resident: (resident / product(cluster)).max(1),
        executed: AtomicU64::new(0),
        effects: AtomicU64::new(0),
        stalled: Mutex::default(),
        stop: AtomicBool::new(false),
        check: None,
        counted: settings.report.is_some(),
        observed: settings.checks || settings.report.is_some(),
        global_init: settings.checks && settings.check_global_init,
        parallel: false,
        strong: Mutex::new(()),
        totals: Mutex::default(),
    };
    state.check = observe::launch_check(settings, threads as u32, state.shared_end());
    Ok(state)
}

/// A cluster of the right size for a launch.
pub(super) fn new_cluster(launch: &LaunchState) -> Cluster {
    Cluster::new(launch.ctas_per_cluster())
}
