//! Which warp runs when, and what to say when none can.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cta::Cluster;
use super::launch::{LaunchState, WorkerState, new_cluster};
use super::special::start_cluster;
use super::stall::Stall;
use super::step::Turn;
use super::{Exec, Fault, FaultKind, Wait, report};
use crate::{LaunchError, Schedule};

/// Instructions of a warp's turn.
const BUDGET: u32 = 4096;
/// Instructions of a warp after which a cluster that still runs gets company: it may wait for a CTA that has not started.
/// Each time the number of resident clusters doubles, and above [`CROWD`] of them patience grows with it, so that neither
/// grids whose CTAs wait for each other nor long CTAs that do not are slow.
const PATIENCE: u64 = 2048;
const CROWD: u64 = 8;
/// Times that waits with a time limit return in vain, one after the other, before the launch counts as hanging.
const TIMEOUTS: u32 = 64;

pub(super) struct Resident {
    pub cluster: Cluster,
    /// Instructions that its warps could have executed since company last came.
    steps: u64,
    done: bool,
}

/// Runs clusters until `next` has handed out all of them.
pub(super) fn run_clusters(
    launch: &LaunchState,
    worker: &mut WorkerState,
    next: &AtomicU64,
    number: u64,
) -> Result<(), LaunchError> {
    let mut resident: VecDeque<Resident> = VecDeque::new();
    let mut idle: Vec<Cluster> = Vec::new();
    let clusters = launch.clusters();
    let admit = |resident: &mut VecDeque<Resident>, idle: &mut Vec<Cluster>| {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index < clusters {
            let mut cluster = idle.pop().unwrap_or_else(|| new_cluster(launch));
            start_cluster(launch, &mut cluster, index);
            resident.push_back(Resident { cluster, steps: 0, done: false });
        }
        index < clusters
    };
    if launch.cooperative {
        while admit(&mut resident, &mut idle) {}
    }
    let (mut timeouts, mut busy, mut seen) = (0, 0u32, 0);
    let mut stall = Stall::default();
    loop {
        if resident.is_empty() && !admit(&mut resident, &mut idle) {
            return Ok(());
        }
        let mut progress = false;
        let mut polling = false;
        for at in resident.iter_mut() {
            let round = run_round(launch, worker, &mut at.cluster)?;
            at.steps += u64::from(round.budget);
            progress |= round.progress;
            polling |= round.polling;
            at.done = round.done;
        }
        for _ in 0..resident.len() {
            let Some(mut at) = resident.pop_front() else { break };
            if at.done && at.cluster.state.land_all().is_err() {
                return Err(failed(launch, &mut at.cluster));
            }
            if at.done {
                let barriers = &mut worker.counters.barriers;
                barriers.cluster += u64::from(at.cluster.state.barrier.generation);
                barriers.mbarrier_phase += at.cluster.state.mbarriers.phases;
                idle.push(at.cluster);
            } else {
                resident.push_back(at);
            }
        }
        if launch.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if launch.executed.load(Ordering::Relaxed) > launch.settings().instruction_limit {
            return Err(limit(launch, &resident));
        }
        // A loop round a wait takes a few short turns to come back to it, which is no progress.
        busy = if progress { busy + 1 } else { 0 };
        let events = resident.iter().map(|at| at.cluster.state.flight.events).sum::<u64>();
        if stall.quiet(launch, worker, events, resident.len()) {
            let room =
                if launch.cooperative { 0 } else { launch.resident.saturating_sub(resident.len() as u64) };
            if room > 0 && admit(&mut resident, &mut idle) {
                continue;
            }
            if let Some(what) = stall.in_vain(launch, worker, &mut resident, number) {
                return Err(blame(launch, &resident, Fault::new(FaultKind::Deadlock, "deadlock", what)));
            }
        }
        if busy > TIMEOUTS || events != seen {
            (timeouts, seen) = (0, events);
        }
        worker.time_is_up = false;
        if !progress && land_one(launch, worker, &mut resident)? {
            timeouts = 0;
            continue;
        }
        let count = resident.len() as u64;
        let patience = PATIENCE * (count / CROWD).max(1);
        let patient = resident.iter().all(|at| at.steps < patience);
        if (!patient || !progress) && count > 0 {
            let room = if launch.cooperative { 0 } else { launch.resident.saturating_sub(count).min(count) };
            let came = (0..room).take_while(|_| admit(&mut resident, &mut idle)).count();
            if came > 0 {
                resident.iter_mut().for_each(|at| at.steps = 0);
            } else if !progress && polling && timeouts < TIMEOUTS {
                // `try_wait` may return although nothing has happened: the program may then do something else.
                timeouts += 1;
                worker.time_is_up = true;
            } else if !progress {
                return Err(deadlock(launch, &resident, polling));
            }
        }
    }
}

#[derive(Default)]
struct Round {
    progress: bool,
    polling: bool,
    done: bool,
    /// Instructions of the longest turn.
    budget: u32,
}

/// Gives every warp of a cluster a turn.
fn run_round(
    launch: &LaunchState,
    worker: &mut WorkerState,
    cluster: &mut Cluster,
) -> Result<Round, LaunchError> {
    let mut round = Round { done: true, ..Round::default() };
    if cluster.state.round_of_flights().is_err() {
        return Err(failed(launch, cluster));
    }
    let events = cluster.state.flight.events;
    let mut order: Vec<(u32, u32)> = Vec::new();
    for (rank, cta) in cluster.ctas.iter().enumerate() {
        let alive = cta.warps.iter().filter(|warp| warp.alive != 0);
        order.extend(alive.map(|warp| (rank as u32, warp.index)));
    }
    worker.rng.shuffle(&mut order);
    let random = launch.settings().schedule == Schedule::Random;
    let before = worker.executed;
    for (rank, index) in order {
        let cta = &mut cluster.ctas[rank as usize];
        let budget = if random { 1 + worker.rng.below(64) } else { BUDGET };
        round.budget = round.budget.max(budget);
        let warp = &mut cta.warps[index as usize];
        let mut exec = Exec::new(warp, &mut cta.state, &mut cluster.state, worker, launch);
        let (turn, executed) = exec.turn(budget);
        let polled = turn == Turn::Polling;
        if turn == Turn::Fault && exec.cluster.flight.failed.is_some() {
            return Err(failed(launch, cluster));
        }
        if turn == Turn::Fault {
            let fault = exec.fault.take();
            let pc = exec.pc;
            let fault = fault.map_or_else(|| Fault::new(FaultKind::Trap, "fault", "no reason given"), |f| *f);
            let (fault, pc) = report::left_at_barrier(launch, &cta.warps[index as usize], fault, pc);
            return Err(report::error(launch, &cta.state, &cta.warps[index as usize], pc, fault));
        }
        worker.executed += u64::from(executed);
        round.done &= turn == Turn::Done;
        round.polling |= polled;
        // A poll that failed is no progress, though it was an instruction.
        let idle = polled && (executed <= 1 || worker.time_is_up);
        round.progress |= executed > 0 && !idle || turn == Turn::Done;
    }
    round.progress |= cluster.state.flight.events != events;
    launch.executed.fetch_add(worker.executed - before, Ordering::Relaxed);
    Ok(round)
}

/// Where nothing else can go on: a copy of one of the clusters lands. False if none is in flight.
fn land_one(
    launch: &LaunchState,
    worker: &mut WorkerState,
    resident: &mut VecDeque<Resident>,
) -> Result<bool, LaunchError> {
    for at in resident.iter_mut() {
        match at.cluster.state.land_any(&mut worker.rng) {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            Err(_) => return Err(failed(launch, &mut at.cluster)),
        }
    }
    Ok(false)
}

/// The error of a copy that failed when it landed: its issuer's.
fn failed(launch: &LaunchState, cluster: &mut Cluster) -> LaunchError {
    let Some(failed) = cluster.state.flight.failed.take() else {
        return LaunchError::InvalidConfiguration("a copy failed without a reason".to_owned());
    };
    let (issuer, fault) = *failed;
    let cta = &cluster.ctas[issuer.rank as usize];
    report::error(launch, &cta.state, &cta.warps[issuer.warp as usize], issuer.pc, fault)
}

fn limit(launch: &LaunchState, resident: &VecDeque<Resident>) -> LaunchError {
    let message = format!("{} warp instructions have been executed", launch.settings().instruction_limit);
    let fault = Fault::new(FaultKind::InstructionLimit, "instruction limit", message);
    blame(launch, resident, fault)
}

fn deadlock(launch: &LaunchState, resident: &VecDeque<Resident>, polling: bool) -> LaunchError {
    for cluster in resident.iter().map(|at| &at.cluster) {
        for cta in &cluster.ctas {
            for warp in &cta.warps {
                if let Some((fault, pc)) = report::stuck(launch, warp) {
                    return report::error(launch, &cta.state, warp, pc, fault);
                }
            }
        }
    }
    let what = if polling { "every warp waits, for events that do not come" } else { "every warp waits" };
    let barrier = resident
        .iter()
        .flat_map(|at| &at.cluster.ctas)
        .flat_map(|cta| &cta.warps)
        .any(|warp| warp.groups.iter().any(|group| matches!(group.wait, Wait::Barrier { .. })));
    let (kind, title) = match barrier && !polling {
        true => (FaultKind::Check, "barrier divergence"),
        false => (FaultKind::Deadlock, "deadlock"),
    };
    let mut fault = Fault::new(kind, title, what);
    fault.details = resident.iter().flat_map(|at| at.cluster.state.mbarriers_awaited()).collect();
    blame(launch, resident, fault)
}

/// A fault of the launch as a whole, with a list of where warps are.
fn blame(launch: &LaunchState, resident: &VecDeque<Resident>, mut fault: Fault) -> LaunchError {
    const SHOWN: usize = 8;
    let ctas = || resident.iter().flat_map(|at| &at.cluster.ctas);
    let warps = ctas().flat_map(|cta| cta.warps.iter().map(move |warp| (cta, warp)));
    let groups = warps.flat_map(|(cta, warp)| warp.groups.iter().map(move |group| (cta, warp, group)));
    let mut groups: Vec<_> = groups.collect();
    // Those that run without getting anywhere say more than those that wait for them.
    groups.sort_by_key(|(.., group)| group.wait != Wait::Ready);
    let mut groups = groups.into_iter();
    let mut shown = Vec::new();
    let mut first = None;
    for (cta, warp, group) in groups.by_ref().take(SHOWN) {
        first.get_or_insert((cta, warp, group.pc));
        let site = &launch.program.sites[group.pc as usize];
        let [x, y, z] = cta.state.id;
        shown.push(format!(
            "CTA ({x}, {y}, {z}) warp {} lanes {:#010x} {} PTX line {}: {}",
            warp.index,
            group.mask,
            report::waiting(&cta.state, group.wait),
            site.line,
            site.name
        ));
    }
    let more = groups.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    fault.details.extend(shown);
    match first {
        Some((cta, warp, pc)) => report::error(launch, &cta.state, warp, pc, fault),
        None => LaunchError::InvalidConfiguration("nothing runs".to_owned()),
    }
}
