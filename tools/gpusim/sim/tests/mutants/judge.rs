//! Whether a launch ended as the manifest says.

use gpusim::{LaunchError, Report};
use gpusim_check::Missing;

use crate::manifest::{Expect, Kernel, Result};
use crate::run::Ended;

#[derive(Clone, Debug)]
pub enum Verdict {
    /// As expected: by which check, if one spoke.
    Right(Option<String>),
    Wrong {
        /// What went wrong, the same text for launches that failed alike.
        kind: String,
        detail: String,
        /// Whether some check spoke at all.
        spoke: bool,
    },
}

/// The manifest's names of what a race report can say is missing.
const EDGES: [(&str, Missing); 14] = [
    ("warp-sync", Missing::WarpSync),
    ("same-instruction", Missing::SameInstruction),
    ("cta-barrier", Missing::CtaBarrier),
    ("cluster-barrier", Missing::ClusterBarrier),
    ("grid-sync", Missing::GridSync),
    ("wider-scope", Missing::WiderScope),
    ("atomic-against-plain", Missing::AtomicAgainstPlain),
    ("cp-async-wait", Missing::CpAsyncWait),
    ("bulk-read-wait", Missing::BulkReadWait),
    ("bulk-wait", Missing::BulkWait),
    ("mbarrier-wait", Missing::MbarrierWait),
    ("wgmma-wait", Missing::WgmmaWait),
    ("fence-proxy-async", Missing::FenceProxyAsync),
    ("fence-proxy-tensormap", Missing::FenceProxyTensormap),
];

fn wrong(kind: impl Into<String>, detail: impl ToString, spoke: bool) -> Verdict {
    Verdict::Wrong { kind: kind.into(), detail: detail.to_string(), spoke }
}

pub fn judge(kernel: &Kernel, ended: &Ended) -> Verdict {
    match (&kernel.expect, ended) {
        (_, Ended::Broken(why)) => wrong("not run", why, false),
        (_, Ended::Failed(error @ LaunchError::Unsupported(_))) => {
            wrong("not run: unsupported", error, false)
        }
        (Expect::Clean(_), Ended::Failed(error)) => {
            wrong(format!("false alarm: {}", name(error)), error, true)
        }
        (Expect::Clean(_), Ended::Done(results)) => match difference(kernel, results) {
            None => Verdict::Right(None),
            Some(difference) => wrong("wrong result", difference, false),
        },
        (Expect::Checks(checks), Ended::Done(results)) => {
            if !checks.iter().any(|check| check == "wrong-result") {
                return wrong("missed", "no finding", false);
            }
            match difference(kernel, results) {
                None => wrong("the result is right", "no finding, and the result of a correct kernel", false),
                Some(_) => Verdict::Right(None),
            }
        }
        (Expect::Checks(checks), Ended::Failed(error)) => {
            let name = name(error);
            if !checks.contains(&name) {
                return wrong(format!("caught by {name}"), error, true);
            }
            let Some(report) = error.report() else { return wrong("no report", error, true) };
            match incomplete(kernel, &name, report) {
                None => Verdict::Right(Some(name)),
                Some(what) => wrong(what, error, true),
            }
        }
    }
}

/// The stable name of the check that stopped a launch.
fn name(error: &LaunchError) -> String {
    let Some(report) = error.report() else { return "no check".to_owned() };
    match report.kind.as_str() {
        "misaligned address" => "misaligned".to_owned(),
        // What a report calls by a narrower name.
        "wrong member mask" | "shuffle from an inactive lane" | "divergence" => {
            "convergence-required".to_owned()
        }
        kind => kind.replace(' ', "-"),
    }
}

/// What a report that names the right check should say and does not.
fn incomplete(kernel: &Kernel, check: &str, report: &Report) -> Option<String> {
    if report.kernel != kernel.entry {
        return Some("the report names another kernel".to_owned());
    }
    if report.ptx_line == 0 || report.source.is_none() {
        return Some("the report has no PTX line or no source line".to_owned());
    }
    let nobody = matches!(check, "deadlock" | "instruction-limit" | "barrier-divergence");
    if report.thread.is_none() && !nobody {
        return Some("the report names no thread".to_owned());
    }
    if check != "race" {
        return None;
    }
    let earlier = report.details.iter().find(|line| line.starts_with("against an earlier "));
    let Some(earlier) = earlier else { return Some("the report of the race has one access only".to_owned()) };
    let said = |words: &str| earlier.contains(words);
    let source = earlier
        .rsplit_once(", at PTX line ")
        .is_some_and(|(_, place)| place.contains(" (") && place.contains("): "));
    if !(said(" by CTA (") && said(", thread (") && source) {
        return Some("the report does not say who made the earlier access, and where".to_owned());
    }
    let hint = |edge: &Missing| report.details.iter().any(|line| line == edge.hint());
    let Some((named, _)) = EDGES.iter().find(|(_, edge)| hint(edge)) else {
        return Some("the report of the race does not say what is missing".to_owned());
    };
    let known = |name: &String| EDGES.iter().any(|(edge, _)| edge == name);
    assert!(kernel.missing.iter().all(known), "manifest: missing {:?}", kernel.missing);
    let expected = kernel.missing.is_empty() || kernel.missing.iter().any(|name| name == named);
    (!expected).then(|| format!("the race is said to lack {named}, not {}", kernel.missing.join(" or ")))
}

/// The first element that differs from the expected results.
fn difference(kernel: &Kernel, results: &std::collections::BTreeMap<String, Vec<f64>>) -> Option<String> {
    assert!(!kernel.result.is_empty(), "manifest: {} has no result", kernel.name);
    kernel.result.iter().find_map(|(name, expected)| {
        let mut got = results[name].clone();
        let expected: Vec<f64> = match expected {
            Result::All(value) => vec![*value; got.len()],
            Result::Affine([a, b]) => (0..got.len()).map(|i| a * i as f64 + b).collect(),
            Result::Values(values) => values.clone(),
            Result::Mix(mix) => (0..got.len()).map(|i| mix.element(i)).collect(),
            Result::Sorted(values) => {
                got.sort_by(f64::total_cmp);
                values.clone()
            }
        };
        let at = (0..expected.len()).find(|i| got.get(*i) != Some(&expected[*i]))?;
        Some(format!("{name}[{at}] is {:?}, not {}", got.get(at), expected[at]))
    })
}
