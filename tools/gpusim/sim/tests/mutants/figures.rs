//! Detection and false-alarm figures.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Tried;
use crate::judge::Verdict;
use crate::manifest::Expect;
use crate::toolkit::root;

/// Kernels of one class: faulty ones by the check that should fire, correct ones by source file.
#[derive(Default, Serialize)]
struct Class {
    kernels: usize,
    launches: usize,
    /// Kernels whose every launch ended as expected.
    right_kernels: usize,
    /// Launches that did.
    right: usize,
    /// Others in which a check spoke: of a faulty kernel another check, or with an incomplete report; of a correct
    /// kernel a false alarm.
    alarms: usize,
    /// The rest: faults that nothing reported, or wrong results of correct kernels.
    silent: usize,
}

#[derive(Serialize)]
struct Figures {
    seeds: usize,
    faulty: BTreeMap<String, Class>,
    correct: BTreeMap<String, Class>,
    /// By faulty kernel, in how many launches each check found it.
    found_by: BTreeMap<String, BTreeMap<String, usize>>,
    /// Kernels that did not do as expected under every seed.
    failed: Vec<String>,
}

impl Class {
    fn add(&mut self, tried: &Tried<'_>) {
        self.kernels += 1;
        self.launches += tried.verdicts.len();
        self.right_kernels += usize::from(tried.verdicts.iter().all(|v| matches!(v, Verdict::Right(_))));
        for verdict in &tried.verdicts {
            match verdict {
                Verdict::Right(_) => self.right += 1,
                Verdict::Wrong { spoke: true, .. } => self.alarms += 1,
                Verdict::Wrong { .. } => self.silent += 1,
            }
        }
    }

    fn row(&self, name: &str) -> String {
        let Class { kernels, launches, right_kernels, right, alarms, silent } = self;
        format!("| {name} | {kernels} | {right_kernels} | {launches} | {right} | {alarms} | {silent} |\n")
    }
}

/// Writes `target/mutants.json` and the README's table; says if the table is stale and may not be written.
pub fn publish(tried: &[Tried<'_>]) -> Option<String> {
    let mut figures = Figures {
        seeds: tried.first().map_or(0, |t| t.verdicts.len()),
        faulty: BTreeMap::new(),
        correct: BTreeMap::new(),
        found_by: BTreeMap::new(),
        failed: Vec::new(),
    };
    for tried in tried {
        let kernel = tried.kernel;
        let class = match &kernel.expect {
            Expect::Clean(_) => figures.correct.entry(kernel.stem().to_owned()),
            Expect::Checks(checks) => figures.faulty.entry(checks[0].clone()),
        };
        class.or_default().add(tried);
        for verdict in &tried.verdicts {
            if let Verdict::Right(Some(check)) = verdict {
                let found = figures.found_by.entry(kernel.name.clone()).or_default();
                *found.entry(check.clone()).or_default() += 1;
            }
        }
        if !tried.verdicts.iter().all(|v| matches!(v, Verdict::Right(_))) {
            figures.failed.push(kernel.name.clone());
        }
    }
    let json = serde_json::to_string_pretty(&figures).expect("figures are plain data");
    std::fs::write(root().join("target/mutants.json"), json + "\n").expect("target/ can be written");

    let path = root().join("tools/gpusim/README.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let (start, end) = ("<!-- table mutants -->\n", "<!-- end -->");
    let Some((before, rest)) = page.split_once(start) else {
        return Some(format!("{} has no line {start}", path.display()));
    };
    let (_, after) = rest.split_once(end)?;
    let new = format!("{before}{start}{}{end}{after}", table(&figures));
    if new == page {
        return None;
    }
    if std::env::var_os("GPUSIM_WRITE_TABLES").is_none() {
        return Some("the README's table is stale: run again with GPUSIM_WRITE_TABLES=1".to_owned());
    }
    std::fs::write(&path, new).expect("the README can be written");
    None
}

fn table(figures: &Figures) -> String {
    let sum = |classes: &BTreeMap<String, Class>| {
        classes.values().fold(Class::default(), |mut sum, class| {
            sum.kernels += class.kernels;
            sum.launches += class.launches;
            sum.right_kernels += class.right_kernels;
            sum.right += class.right;
            sum.alarms += class.alarms;
            sum.silent += class.silent;
            sum
        })
    };
    let columns = "| ---: | ---: | ---: | ---: | ---: | ---: |\n";
    let mut text = format!(
        "| faulty kernels, by check | kernels | caught under all {} seeds | launches | caught as expected | caught otherwise | \
         missed |\n| --- {columns}",
        figures.seeds
    );
    figures.faulty.iter().for_each(|(name, class)| text += &class.row(&format!("`{name}`")));
    text += &sum(&figures.faulty).row("all");
    text += &format!(
        "\n| correct kernels, by source | kernels | right under all {} seeds | launches | right | false alarms | wrong results \
         |\n| --- {columns}",
        figures.seeds
    );
    figures.correct.iter().for_each(|(name, class)| text += &class.row(&format!("`{name}.cu`")));
    text + &sum(&figures.correct).row("all")
}
