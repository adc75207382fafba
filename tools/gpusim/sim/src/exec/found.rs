//! Findings of the checks as faults.

use gpusim_check::{Check, Finding, Place, Program, Report, SiteId};

use super::launch::LaunchState;
use super::{Fault, FaultKind};

/// The program and launch as the checks' reports ask for them.
struct Known<'l>(&'l LaunchState<'l>);

impl Program for Known<'_> {
    fn kernel(&self) -> &str {
        &self.0.function.name
    }

    fn grid(&self) -> [u32; 3] {
        self.0.grid
    }

    fn block(&self) -> [u32; 3] {
        self.0.block
    }

    fn place(&self, site: SiteId) -> Place {
        let program = self.0.program;
        let Some(site) = program.sites.get(site.0 as usize) else { return Place::default() };
        let file =
            |file| program.files.iter().find(|(index, _)| *index == file).map(|(_, name)| name.clone());
        Place {
            ptx_line: site.line,
            instruction: site.name.to_string(),
            source: site.location.map(|at| (file(at.file).unwrap_or_else(|| "?".to_owned()), at.line)),
        }
    }
}

/// The fault that a finding is.
#[cold]
pub(super) fn fault(launch: &LaunchState, finding: &Finding) -> Fault {
    let report = Report::of(finding, &Known(launch));
    let kind = match finding.check() {
        Check::OutOfBounds | Check::UseAfterFree => FaultKind::IllegalAddress,
        Check::Misaligned => FaultKind::Misaligned,
        _ => FaultKind::Check,
    };
    let title = finding.check().name().replace('-', " ");
    let mut fault = Fault::new(kind, &title, report.message).at(1 << (finding.by().thread % 32));
    if let Some((cta, thread, what, place)) = report.earlier {
        let triple = |t: [u32; 3]| format!("({}, {}, {})", t[0], t[1], t[2]);
        fault = fault.detail(format!(
            "against an earlier {what} by CTA {}, thread {}, at {place}",
            triple(cta),
            triple(thread)
        ));
    }
    match report.hint {
        Some(hint) => fault.detail(hint),
        None => fault,
    }
}
