//! The line of counters that a launch leaves in the file of `GPUSIM_REPORT`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::PoisonError;

use gpusim_check::{LaunchFacts, OpInfo};

use super::launch::LaunchState;
use crate::memory::window;

/// Appends the line of a launch that has ended. Whoever asked for the file is told on standard error if it cannot be
/// written: the launch itself is in order.
pub(super) fn report(launch: &LaunchState) {
    let Some(path) = launch.settings().report.as_deref().filter(|_| launch.counted) else { return };
    let line = line(launch);
    if let Err(error) = append(path, line) {
        eprintln!("gpusim: {}: {error}", path.display());
    }
}

fn line(launch: &LaunchState) -> String {
    let facts = LaunchFacts {
        kernel: &launch.function.name,
        grid: launch.grid,
        block: launch.block,
        cluster: launch.cluster,
        shared_bytes: launch.dynamic_base - window::SHARED_RESERVED + launch.dynamic_shared,
    };
    let unique = launch.check.as_ref().map(|check| check.unique_bytes()).unwrap_or_default();
    let ops: Vec<OpInfo> = launch.program.sites.iter().map(|site| site.work.info(&site.name)).collect();
    let mut totals = launch.totals.lock().unwrap_or_else(PoisonError::into_inner);
    for (site, (warps, _)) in launch.program.sites.iter().zip(totals.executed.clone()) {
        if site.name.contains("mbarrier.arrive") {
            totals.barriers.mbarrier_arrive += warps;
        }
    }
    let mut line = totals.json_line(&facts, &unique, &ops);
    line.push('\n');
    line
}

/// In one write, so that lines of several processes do not mix.
fn append(path: &Path, line: String) -> io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}
