//! Faults as the errors that users see.

use super::cta::CtaState;
use super::launch::LaunchState;
use super::warp::Warp;
use super::{Fault, FaultKind, Wait};
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
