//! Asynchronous copies in flight.
//!
//! A copy may read its source and write its destination at any moment between its issue and what waits for it. The seed
//! chooses: some land at once, most as late as they may, so that who does not wait finds the old bytes.

use gpusim_check::{BulkOp, CopyMark};

use super::cta::ClusterState;
use super::mbarrier::{Change, MbarrierAt};
use super::reduce::Reduction;
use super::rng::Rng;
use super::{Fault, FaultKind};
use crate::tensor_map::Swizzle;

/// Rounds of the scheduler after which a copy lands although nobody waits for it.
const ROUNDS: u32 = 64;
/// Commit groups that are remembered; older ones are landed.
const GROUPS: usize = 256;

/// The thread that started a copy, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issuer {
    pub rank: u32,
    pub warp: u32,
    pub lane: u32,
    pub pc: u32,
}

/// A stretch of host memory that is the part of a copy from byte `at` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub host: *mut u8,
    pub at: u32,
    pub bytes: u32,
}

/// One side of a copy.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    /// Stretches in rising order. What no stretch covers is not read (it holds the fill), and not written.
    Runs(Vec<Run>),
    /// A box in shared memory at a shared address, permuted.
    Box { host: *mut u8, address: u32, swizzle: Swizzle },
    /// A value that the instruction had in registers, already in [`BulkCopy::data`].
    Value,
}

/// What makes a copy known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completes {
    /// The transaction count of an mbarrier.
    On(MbarrierAt),
    /// A bulk group of the issuing thread: the number of the thread's group.
    Group(u32),
}

/// A bulk copy in flight.
pub(crate) struct BulkCopy {
    pub issuer: Issuer,
    pub from: Side,
    pub to: Side,
    /// Rank of the CTA whose shared memory is written.
    pub into: Option<u32>,
    /// Bytes of the whole, with what lies out of bounds.
    pub bytes: u32,
    /// What has been read; before that, what fills the parts that are not read.
    pub data: Vec<u8>,
    /// Whether the source has been read.
    pub read: bool,
    pub reduce: Option<Reduction>,
    pub completes: Completes,
    /// What the race check knows it as.
    pub check: Option<BulkOp>,
}

/// What lands by itself.
enum Flight {
    Bulk(Box<BulkCopy>),
    /// `cp.async.mbarrier.arrive`: the arrival of lanes once their copies up to a serial number have landed.
    Arrival {
        issuer: Issuer,
        lanes: u32,
        upto: u64,
        at: MbarrierAt,
        mark: Option<CopyMark>,
    },
}

struct Pending {
    flight: Flight,
    /// Rounds left.
    due: u32,
}

/// A `cp.async` of the lanes of a warp.
struct CopyAsync {
    lanes: u32,
    group: u32,
    serial: u64,
    /// Lies elsewhere, so that copies in flight are moved cheaply.
    operands: Box<CopyOperands>,
    /// The sources, if they have been read.
    data: Option<Box<[[u8; 16]; 32]>>,
}

/// The `cp.async` operations of a warp that have not landed.
#[derive(Default)]
struct Copies {
    /// Number of the group being filled.
    group: u32,
    serial: u64,
    commits: Vec<(u32, u32)>,
    copies: Vec<CopyAsync>,
    /// Of copies that have landed; in boxes because they move back and forth, and are 545 bytes.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<CopyOperands>>,
}

/// Bulk groups of a warp's lanes.
#[derive(Clone)]
struct Groups {
    /// Groups that each lane has committed.
    committed: [u32; 32],
    /// Groups whose sources, and whose destinations, each lane has waited for.
    read: [u32; 32],
    done: [u32; 32],
    /// The last group that each lane put something into, plus one.
    last: [u32; 32],
}

/// What is in flight in a cluster.
#[derive(Default)]
pub(crate) struct InFlight {
    flights: Vec<Pending>,
    copies: Vec<Copies>,
    groups: Vec<Groups>,
    warps_per_cta: u32,
    /// By warp: the generation of the cluster's barrier that each lane has arrived at, and which have not waited yet.
    arrived: Vec<([u32; 32], u32)>,
    /// By warp: what `setmaxnreg` has asked for.
    registers: Vec<Vec<u32>>,
    /// A copy that failed when it landed: whose, and how.
    pub(super) failed: Option<Box<(Issuer, Fault)>>,
    /// Counts what others may wait for, so that the scheduler sees whether anything happens.
    pub(super) events: u64,
}

/// A copy that failed when it landed; [`InFlight::failed`] says how.
#[derive(Debug)]
pub(crate) struct Failed;

/// The operands of a `cp.async`.
#[derive(Clone, Copy)]
pub(crate) struct CopyOperands {
    pub bytes: u8,
    pub to: [u64; 32],
    pub from: [u64; 32],
    /// Bytes read; the rest is zero.
    pub sizes: [u8; 32],
}

impl InFlight {
    pub(super) fn reset(&mut self, ctas: u32, warps: u32) {
        self.flights.clear();
        self.copies.clear();
        self.copies.resize_with((ctas * warps) as usize, Copies::default);
        self.groups.clear();
        let none = [0; 32];
        let groups = Groups { committed: none, read: none, done: none, last: none };
        self.groups.resize((ctas * warps) as usize, groups);
        self.warps_per_cta = warps;
        self.arrived.clear();
        self.arrived.resize((ctas * warps) as usize, ([0; 32], 0));
        self.registers.clear();
        self.registers.resize((ctas * warps) as usize, Vec::new());
        self.failed = None;
    }

    /// A warp's arrivals at the cluster's barrier: the generation, and the lanes that have yet to wait.
    pub(crate) fn arrived(&mut self, rank: u32, warp: u32) -> &mut ([u32; 32], u32) {
        let slot = self.slot(rank, warp);
        &mut self.arrived[slot]
    }

    /// A warp's next `setmaxnreg`. What another warp of its warpgroup asked for in its place, if that differs.
    pub(crate) fn set_registers(&mut self, rank: u32, warp: u32, count: u32) -> Option<u32> {
        let slot = self.slot(rank, warp);
        self.registers[slot].push(count);
        let nth = self.registers[slot].len() - 1;
        let first = slot - warp as usize % 4;
        let last = (first + 4).min(slot + (self.warps_per_cta - warp) as usize);
        self.registers[first..last].iter().filter_map(|of| of.get(nth).copied()).find(|other| *other != count)
    }

    /// Something has happened that others may wait for.
    pub(crate) fn event(&mut self) {
        self.events += 1;
    }

    fn slot(&self, rank: u32, warp: u32) -> usize {
        (rank * self.warps_per_cta + warp) as usize
    }

    /// A `cp.async` is issued. `eager` is for launches without checks: it lands at once.
    pub(crate) fn copy_async(
        &mut self,
        issuer: Issuer,
        lanes: u32,
        copy: &CopyOperands,
        rng: &mut Rng,
        eager: bool,
    ) {
        let slot = self.slot(issuer.rank, issuer.warp);
        let state = &mut self.copies[slot];
        let choice = if eager { 0 } else { rng.below(8) };
        state.serial += 1;
        if choice == 0 {
            return copy.land(lanes, None);
        }
        let operands = match state.spare.pop() {
            Some(mut spare) => {
                *spare = *copy;
                spare
            }
            None => Box::new(*copy),
        };
        let (group, serial) = (state.group, state.serial);
        let mut pending = CopyAsync { lanes, group, serial, operands, data: None };
        if choice < 3 {
            pending.read();
        }
        state.copies.push(pending);
    }

    /// `cp.async.commit_group`.
    pub(crate) fn copy_commit(&mut self, rank: u32, warp: u32, lanes: u32) {
        let slot = self.slot(rank, warp);
        let state = &mut self.copies[slot];
        state.commits.push((lanes, state.group));
        state.group += 1;
        if state.commits.len() >= 2 * GROUPS {
            let last = state.commits[GROUPS - 1].1;
            state.commits.drain(..GROUPS);
            state.land(u32::MAX, |copy| copy.upto(last));
        }
    }

    /// `cp.async.wait_group pending`; `None` is `wait_all`.
    pub(crate) fn copy_wait(&mut self, rank: u32, warp: u32, lanes: u32, pending: Option<u32>) {
        let slot = self.slot(rank, warp);
        let state = &mut self.copies[slot];
        if state.copies.is_empty() {
            return;
        }
        let Some(pending) = pending else { return state.land(lanes, |_| u32::MAX) };
        // As long as all of the lanes took part in the commits they wait for the same.
        let count = (pending as usize).saturating_add(1);
        let together = state.commits.iter().rev().take_while(|c| c.0 & lanes == lanes).take(count);
        if together.clone().count() == count {
            let last = together.last().map_or(0, |c| c.1);
            return state.land(lanes, |copy| copy.upto(last));
        }
        // The first group that each lane need not have complete: groups below it are.
        let mut below = [0u32; 32];
        let (mut left, mut open) = ([pending; 32], lanes);
        for &(mask, group) in state.commits.iter().rev() {
            for lane in bits(mask & open) {
                if left[lane] == 0 {
                    below[lane] = group + 1;
                    open &= !(1 << lane);
                } else {
                    left[lane] -= 1;
                }
            }
            if open == 0 {
                break;
            }
        }
        state.land(lanes, |copy| bits(lanes).filter(|l| copy.group < below[*l]).fold(0, |m, l| m | 1 << l));
    }

    /// `cp.async.mbarrier.arrive`: the arrivals come when the copies so far have landed.
    pub(crate) fn copy_mark(
        &mut self,
        issuer: Issuer,
        lanes: u32,
        at: MbarrierAt,
        mark: Option<CopyMark>,
        rng: &mut Rng,
    ) {
        let slot = self.slot(issuer.rank, issuer.warp);
        let upto = self.copies[slot].serial;
        let flight = Flight::Arrival { issuer, lanes, upto, at, mark };
        self.flights.push(Pending { flight, due: due(rng) });
    }

    /// A bulk copy is issued; the number of the group it belongs to, for one that completes so.
    pub(crate) fn bulk_group(&mut self, rank: u32, warp: u32, lane: u32) -> u32 {
        let slot = self.slot(rank, warp);
        let groups = &mut self.groups[slot];
        let group = groups.committed[lane as usize];
        groups.last[lane as usize] = group + 1;
        group
    }

    /// `cp.async.bulk.commit_group`.
    pub(crate) fn bulk_commit(&mut self, rank: u32, warp: u32, lanes: u32) {
        let slot = self.slot(rank, warp);
        bits(lanes).for_each(|lane| self.groups[slot].committed[lane] += 1);
    }

    /// Lanes of a warp that have bulk groups whose sources they have not waited for, of those in `lanes`.
    pub(super) fn bulk_unwaited(&self, rank: u32, warp: u32, lanes: u32) -> u32 {
        let groups = &self.groups[self.slot(rank, warp)];
        bits(lanes).filter(|lane| groups.last[*lane] > groups.read[*lane]).fold(0, |m, lane| m | 1 << lane)
    }

    /// Lanes of a warp with `cp.async` operations in flight, of those in `lanes`.
    pub(super) fn copies_left(&self, rank: u32, warp: u32, lanes: u32) -> u32 {
        let slot = self.slot(rank, warp);
        // Those that an arrival on an mbarrier tells of are waited for there, by whoever reads them.
        let told = |serial: u64, lane: u32| {
            self.flights.iter().any(|pending| match &pending.flight {
                Flight::Arrival { issuer, lanes, upto, .. } => {
                    self.slot(issuer.rank, issuer.warp) == slot && lanes & lane != 0 && serial <= *upto
                }
                _ => false,
            })
        };
        let left = self.copies[slot].copies.iter().map(|copy| (copy.serial, copy.lanes & lanes));
        left.filter(|(serial, lanes)| *lanes != 0 && !told(*serial, *lanes))
            .fold(0, |m, (_, lanes)| m | lanes)
    }

    /// The `cp.async` operations of a warp land, as they do when it exits.
    pub(super) fn land_copies(&mut self, rank: u32, warp: u32, lanes: u32) {
        let slot = self.slot(rank, warp);
        self.copies[slot].land(lanes, |_| u32::MAX);
    }

    /// Who started a copy into the shared memory of a CTA that is still in flight.
    pub(super) fn writer_of_shared(&self, rank: u32) -> Option<Issuer> {
        self.flights.iter().find_map(|pending| match &pending.flight {
            Flight::Bulk(copy) if copy.into == Some(rank) => Some(copy.issuer),
            Flight::Bulk(copy) => match copy.completes {
                Completes::On(at) if at.0 == rank => Some(copy.issuer),
                _ => None,
            },
            Flight::Arrival { issuer, at, .. } if at.0 == rank => Some(*issuer),
            Flight::Arrival { .. } => None,
        })
    }
}

/// Rounds until something lands by itself.
fn due(rng: &mut Rng) -> u32 {
    match rng.below(4) {
        0 => 1 + rng.below(4),
        _ => ROUNDS,
    }
}

fn bits(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

impl Copies {
    /// Lands copies, of each those of `lanes` that `which` names.
    fn land(&mut self, lanes: u32, which: impl Fn(&CopyAsync) -> u32) {
        let landed = self.copies.extract_if(.., |copy| {
            let now = copy.lanes & lanes & which(copy);
            copy.operands.land(now, copy.data.as_deref());
            copy.lanes &= !now;
            copy.lanes == 0
        });
        self.spare.extend(landed.map(|copy| copy.operands));
        self.spare.truncate(GROUPS);
    }
}

impl CopyOperands {
    #[inline(always)]
    fn source(&self, lane: usize, data: Option<&[[u8; 16]; 32]>) -> [u8; 16] {
        if let Some(data) = data {
            return data[lane];
        }
        let (size, from) = (usize::from(self.sizes[lane]), self.from[lane] as *const u8);
        if size == 16 {
            // SAFETY: the addresses were checked at issue; the launch keeps the memory alive.
            return unsafe { (from as *const [u8; 16]).read_unaligned() };
        }
        let mut bytes = [0; 16];
        // SAFETY: as above; the sizes are at most 16.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), size) };
        bytes
    }

    fn land(&self, lanes: u32, data: Option<&[[u8; 16]; 32]>) {
        for lane in bits(lanes) {
            let bytes = self.source(lane, data);
            let to = self.to[lane] as *mut u8;
            if self.bytes == 16 {
                // SAFETY: as in `source`; destinations are shared memory of the cluster, which lives as long as `self`.
                unsafe { (to as *mut [u8; 16]).write_unaligned(bytes) };
            } else {
                // SAFETY: as above.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, usize::from(self.bytes)) };
            }
        }
    }
}

/// All lanes, or none.
fn all_if(holds: bool) -> u32 {
    if holds { u32::MAX } else { 0 }
}

impl CopyAsync {
    /// All lanes, if it is of that group or one before.
    fn upto(&self, group: u32) -> u32 {
        all_if(self.group <= group)
    }

    fn read(&mut self) {
        let mut data = Box::new([[0; 16]; 32]);
        bits(self.lanes).for_each(|lane| data[lane] = self.operands.source(lane, None));
        self.data = Some(data);
    }
}

impl BulkCopy {
    fn read_source(&mut self) {
        if std::mem::replace(&mut self.read, true) {
            return;
        }
        match &self.from {
            Side::Value => {}
            Side::Runs(runs) => {
                for run in runs {
                    let part = &mut self.data[run.at as usize..][..run.bytes as usize];
                    // SAFETY: the run was checked at issue, and the launch keeps its memory alive.
                    unsafe { std::ptr::copy_nonoverlapping(run.host, part.as_mut_ptr(), part.len()) };
                }
            }
            Side::Box { host, address, swizzle } => {
                for (chunk, part) in self.data.chunks_mut(16).enumerate() {
                    let from = place(*host, *address, *swizzle, chunk as u32);
                    // SAFETY: the box was checked at issue; swizzles stay inside it.
                    unsafe { std::ptr::copy_nonoverlapping(from, part.as_mut_ptr(), part.len()) };
                }
            }
        }
    }

    fn write(&mut self) {
        let width = self.reduce.map_or(1, |reduce| reduce.ty.bytes() as usize);
        let put = |to: *mut u8, bytes: &[u8]| match self.reduce {
            // SAFETY: destinations were checked at issue, and live as long as the cluster and the launch.
            None => unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) },
            Some(reduce) => {
                for (n, element) in bytes.chunks_exact(width).enumerate() {
                    let value = element.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
                    // SAFETY: as above; 16-byte alignment was checked at issue.
                    unsafe { reduce.apply(to.wrapping_add(n * width), value) };
                }
            }
        };
        match &self.to {
            Side::Value => {}
            Side::Runs(runs) => {
                for run in runs {
                    put(run.host, &self.data[run.at as usize..][..run.bytes as usize]);
                }
            }
            Side::Box { host, address, swizzle } => {
                for (chunk, part) in self.data.chunks(16).enumerate() {
                    put(place(*host, *address, *swizzle, chunk as u32), part);
                }
            }
        }
    }
}

/// Where a chunk of 16 bytes of a box lies.
fn place(host: *mut u8, address: u32, swizzle: Swizzle, chunk: u32) -> *mut u8 {
    let linear = u64::from(address) + 16 * u64::from(chunk);
    host.wrapping_add((swizzle.apply(linear) - u64::from(address)) as usize)
}

impl ClusterState {
    /// A bulk copy takes off. Some land at once.
    pub(crate) fn issue_bulk(
        &mut self,
        mut copy: BulkCopy,
        rng: &mut Rng,
        eager: bool,
    ) -> Result<(), Failed> {
        self.flight.events += 1;
        let choice = if eager && matches!(copy.completes, Completes::Group(_)) { 0 } else { rng.below(8) };
        if choice == 0 {
            return self.land_bulk(copy);
        }
        if choice < 3 {
            copy.read_source();
        }
        self.flight.flights.push(Pending { flight: Flight::Bulk(Box::new(copy)), due: due(rng) });
        Ok(())
    }

    fn land_bulk(&mut self, mut copy: BulkCopy) -> Result<(), Failed> {
        self.flight.events += 1;
        copy.read_source();
        copy.write();
        let Completes::On(at) = copy.completes else { return Ok(()) };
        if let (Some(check), Some(op)) = (self.check.as_mut(), &copy.check) {
            check.bulk_landed(op);
        }
        self.complete(copy.issuer, at, Change { complete: copy.bytes, ..Change::default() })
    }

    /// Something completes on an mbarrier.
    fn complete(&mut self, issuer: Issuer, at: MbarrierAt, change: Change) -> Result<(), Failed> {
        match self.mbarrier_change(at, change) {
            Ok((_, flips)) => {
                if flips && let Some(check) = self.check.as_mut() {
                    check.mbarrier_phase_complete((at.0, at.1.into()));
                }
                Ok(())
            }
            Err(what) => {
                let message = format!(
                    "completion of a copy on the mbarrier at shared address {:#x} of CTA rank {}: {what}",
                    at.1, at.0
                );
                let fault = Fault::new(FaultKind::Check, "mbarrier misuse", message).at(1 << issuer.lane);
                self.flight.failed = Some(Box::new((issuer, fault)));
                Err(Failed)
            }
        }
    }

    fn land(&mut self, index: usize) -> Result<(), Failed> {
        match self.flight.flights.remove(index).flight {
            Flight::Bulk(copy) => self.land_bulk(*copy),
            Flight::Arrival { issuer, lanes, upto, at, mark } => {
                self.flight.events += 1;
                let slot = self.flight.slot(issuer.rank, issuer.warp);
                self.flight.copies[slot].land(lanes, |copy| all_if(copy.serial <= upto));
                if let (Some(check), Some(mark)) = (self.check.as_mut(), &mark) {
                    check.mbarrier_arrive_mark(mark, (at.0, at.1.into()));
                }
                self.complete(issuer, at, Change { arrive: lanes.count_ones(), ..Change::default() })
            }
        }
    }

    /// A round of the scheduler has passed.
    pub(super) fn round_of_flights(&mut self) -> Result<(), Failed> {
        let mut at = 0;
        while at < self.flight.flights.len() {
            let due = &mut self.flight.flights[at].due;
            *due -= 1;
            if *due == 0 {
                self.land(at)?;
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// Nothing else can go on: one of the copies lands. False if there is none.
    pub(super) fn land_any(&mut self, rng: &mut Rng) -> Result<bool, Failed> {
        let count = self.flight.flights.len();
        if count == 0 {
            return Ok(false);
        }
        self.land(rng.below(count as u32) as usize)?;
        Ok(true)
    }

    /// Somebody waits on an mbarrier in vain: perhaps one of the copies that complete on it lands.
    pub(crate) fn awaited(&mut self, at: MbarrierAt, rng: &mut Rng) -> Result<(), Failed> {
        let on = |pending: &Pending| match &pending.flight {
            Flight::Bulk(copy) => copy.completes == Completes::On(at),
            Flight::Arrival { at: to, .. } => *to == at,
        };
        let count = self.flight.flights.iter().filter(|pending| on(pending)).count();
        if count == 0 || rng.below(2) == 0 {
            return Ok(());
        }
        let nth = rng.below(count as u32) as usize;
        let index = self.flight.flights.iter().enumerate().filter(|(_, pending)| on(pending)).nth(nth);
        match index.map(|(index, _)| index) {
            Some(index) => self.land(index),
            None => Ok(()),
        }
    }

    /// `cp.async.bulk.wait_group`: all but the last `pending` groups of the lanes are complete, or with `.read` their
    /// sources read.
    pub(crate) fn bulk_wait(
        &mut self,
        rank: u32,
        warp: u32,
        lanes: u32,
        pending: u32,
        read: bool,
    ) -> Result<(), Failed> {
        let slot = self.flight.slot(rank, warp);
        let groups = &mut self.flight.groups[slot];
        for lane in bits(lanes) {
            let below = groups.committed[lane].saturating_sub(pending);
            groups.read[lane] = groups.read[lane].max(below);
            if !read {
                groups.done[lane] = groups.done[lane].max(below);
            }
        }
        let groups = groups.clone();
        let mut at = 0;
        while at < self.flight.flights.len() {
            let mut lands = false;
            if let Flight::Bulk(copy) = &mut self.flight.flights[at].flight
                && (copy.issuer.rank, copy.issuer.warp) == (rank, warp)
                && let Completes::Group(group) = copy.completes
            {
                let lane = copy.issuer.lane as usize;
                lands = group < groups.done[lane];
                if group < groups.read[lane] {
                    copy.read_source();
                }
            }
            if lands {
                self.land(at)?;
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// All of a cluster's threads have exited: what they left in flight lands.
    pub(super) fn land_all(&mut self) -> Result<(), Failed> {
        while !self.flight.flights.is_empty() {
            self.land(0)?;
        }
        Ok(())
    }
}
