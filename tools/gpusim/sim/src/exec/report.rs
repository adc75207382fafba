//! Faults as the errors that users see.

use super::cta::CtaState;
use super::group::Group;
use super::launch::LaunchState;
use super::warp::Warp;
use super::{Fault, FaultKind, Wait};
use crate::inst::Pred;
use crate::{LaunchError, Report};

/// The error for a fault of an instruction.
pub(super) fn error(launch: &LaunchState, cta: &CtaState, warp: &Warp, pc: u32, fault: Fault) -> LaunchError {
    let program = launch.program;
    let site = &program.sites[pc as usize];
    let function = &program.functions[site.function as usize];
    let file = |file| program.files.iter().find(|(index, _)| *index == file).map(|(_, name)| name.as_str());
    let source = site.location.map(|at| format!("{}:{}", file(at.file).unwrap_or("?"), at.line));
    let thread = (fault.lanes != 0).then(|| launch.tid(warp.index * 32 + fault.lanes.trailing_zeros()));
    let report = Box::new(Report {
        kind: fault.title,
        kernel: launch.function.name.clone(),
        function: (function.name != launch.function.name).then(|| function.name.clone()),
        cta: cta.id,
        thread,
        ptx_line: site.line,
        instruction: site.name.to_string(),
        source,
        message: fault.message,
        details: fault.details,
    });
    match fault.kind {
        FaultKind::IllegalAddress => LaunchError::IllegalAddress(report),
        FaultKind::Misaligned => LaunchError::Misaligned(report),
        FaultKind::Check => LaunchError::CheckFailed(report),
        FaultKind::Trap => LaunchError::Trap(report),
        FaultKind::Assert => LaunchError::Assert(report),
        FaultKind::Deadlock => LaunchError::Deadlock(report),
        FaultKind::InstructionLimit => LaunchError::InstructionLimit(report),
        FaultKind::Unsupported => LaunchError::Unsupported(report),
    }
}

/// What a group waits for, in words.
pub(super) fn waiting(cta: &CtaState, wait: Wait) -> String {
    match wait {
        Wait::Ready => "is at".to_owned(),
        Wait::Converge => "waits for other lanes at".to_owned(),
        Wait::WarpSync(mask) => format!("waits for lanes {mask:#010x} at"),
        Wait::Barrier { id, .. } => {
            let (arrived, expected) = cta.barriers[id as usize].progress();
            let expected = expected.map_or("all".to_owned(), |n| n.to_string());
            format!("waits at barrier {id} ({arrived} of {expected} threads have come),")
        }
        Wait::ClusterBarrier { .. } => "waits for its cluster at".to_owned(),
        Wait::Poll => "waits at".to_owned(),
    }
}

/// The fault of lanes that wait for other lanes of their warp, and where they are.
pub(super) fn stuck(launch: &LaunchState, warp: &Warp) -> Option<(Fault, u32)> {
    let held = |wait| matches!(wait, Wait::Converge | Wait::WarpSync(_));
    let group = warp.groups.iter().find(|group| held(group.wait))?;
    let message = format!(
        "lanes {:#010x} wait for other lanes of their warp, which do not come; {:#010x} are alive",
        group.mask, warp.alive
    );
    let barrier = launch.program.sites[group.pc as usize].name.starts_with("bar");
    let title = if barrier { "barrier divergence" } else { "divergence" };
    let mut fault = Fault::new(FaultKind::Check, title, message).at(group.mask);
    for other in warp.groups.iter().filter(|other| other.pc != group.pc) {
        let site = &launch.program.sites[other.pc as usize];
        fault =
            fault.detail(format!("lanes {:#010x} are at PTX line {}: {}", other.mask, site.line, site.name));
    }
    Some((fault, group.pc))
}

/// A race or unwritten byte that comes of a barrier which the warp's other lanes have missed for good is told as that.
pub(super) fn left_at_barrier(launch: &LaunchState, warp: &Warp, fault: Fault, pc: u32) -> (Fault, u32) {
    let sites = &launch.program.sites;
    let waits = |group: &&Group| {
        let name = &sites[group.pc as usize].name;
        group.wait == Wait::Converge && (name.starts_with("bar.") || name.starts_with("barrier."))
    };
    let left =
        warp.groups.iter().find(waits).filter(|_| matches!(&*fault.title, "race" | "uninitialised read"));
    let Some(left) = left.filter(|left| !may_reach(launch, pc, left.pc)) else { return (fault, pc) };
    let message = format!(
        "lanes {:#010x} wait for the other lanes of their warp, which are past the barrier and cannot come back to it",
        left.mask
    );
    let mut divergence = Fault::new(FaultKind::Check, "barrier divergence", message).at(left.mask);
    let (site, title) = (&sites[pc as usize], fault.title);
    divergence = divergence
        .detail(format!("found by a {title} at PTX line {}: {}: {}", site.line, site.name, fault.message));
    divergence.details.extend(fault.details);
    (divergence, left.pc)
}

/// Whether lanes at `from` may come to `to`; true where that is not plain.
fn may_reach(launch: &LaunchState, from: u32, to: u32) -> bool {
    let (code, sites) = (&launch.program.code, &launch.program.sites);
    let mut seen = std::collections::HashSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if at as usize >= code.len() || !seen.insert(at) {
            continue;
        }
        let (inst, name) = (&code[at as usize], &*sites[at as usize].name);
        let entry = launch.program.functions[sites[at as usize].function as usize].entry;
        let opcode = name.split('.').next().unwrap_or(name);
        let mut falls = true;
        match opcode {
            "bra" => {
                open.push(inst.aux);
                falls = inst.guard != Pred::NONE;
            }
            "exit" | "trap" => falls = inst.guard != Pred::NONE,
            "ret" if entry => falls = inst.guard != Pred::NONE,
            "ret" | "brx" => return true,
            _ => {}
        }
        if falls {
            open.push(at + 1);
        }
    }
    false
}
