//! `target/programs.json`: what ran, for the table in the README.

use serde::Serialize;

use crate::manifest::{Program, folder};

#[derive(Clone, Serialize)]
pub struct Record {
    pub name: String,
    pub made_by: String,
    pub target: String,
    /// `check.op`.
    pub op: String,
    pub cases: usize,
    /// `plain`, or the tensor cores' arithmetic.
    pub mode: String,
    pub launches: usize,
    pub milliseconds: u64,
    /// `passed`, `failed`, `open` or `skipped`.
    pub outcome: &'static str,
    pub error: Option<String>,
}

impl Record {
    pub fn new(program: &Program, mode: &str) -> Record {
        Record {
            name: program.name.clone(),
            made_by: program.made_by.clone(),
            target: program.target.clone(),
            op: program.cases[0].text("op").unwrap_or("").to_owned(),
            cases: program.cases.len(),
            mode: mode.to_owned(),
            launches: 0,
            milliseconds: 0,
            outcome: "failed",
            error: None,
        }
    }

    pub fn mmasim(mode: &str, instruction: &str, arch: &str) -> Record {
        Record {
            name: format!("{instruction} {arch}").trim().replace(' ', "_"),
            made_by: "mmasim".to_owned(),
            target: arch.to_owned(),
            op: instruction.split(' ').next().unwrap_or("").to_owned(),
            cases: 1,
            mode: mode.to_owned(),
            launches: 0,
            milliseconds: 0,
            outcome: "failed",
            error: None,
        }
    }
}

#[derive(Serialize)]
struct File<'a> {
    results: &'a [Record],
    open: Vec<[&'a str; 2]>,
    reported: Vec<[&'a str; 2]>,
}

pub fn write(
    records: &[Record],
    open: &[(&'static str, &'static str)],
    reported: &[(&'static str, &'static str)],
) {
    let pairs =
        |list: &[(&'static str, &'static str)]| list.iter().map(|(name, reason)| [*name, *reason]).collect();
    let mut results = records.to_vec();
    results.sort_by(|a, b| (&a.mode, &a.name).cmp(&(&b.mode, &b.name)));
    let file = File { results: &results, open: pairs(open), reported: pairs(reported) };
    let target = folder().join("../../../target");
    let written = std::fs::create_dir_all(&target)
        .and_then(|()| std::fs::write(target.join("programs.json"), serde_json::to_string_pretty(&file)?));
    if let Err(error) = written {
        eprintln!("target/programs.json: {error}");
    }
}
