//! Where the multiple-choice tasks are.

use std::path::{Path, PathBuf};

use photon_kernels::{Error, Result};

use crate::args::{EvalArgs, Task};

/// Where `tools/eval/fetch.py` puts the tasks, relative to where the program runs or else to where it was built.
const FETCHED: &str = "target/eval/oe_eval_tasks";

/// A task's file.
pub struct Source {
    /// As reports name it.
    pub name: String,
    /// As the progress bar names it.
    pub bar: &'static str,
    /// The requests.
    pub file: PathBuf,
}

/// The files of `--tasks` and `--task-file`.
///
/// # Errors
/// A task that was not fetched.
pub fn sources(args: &EvalArgs) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for &task in &args.tasks {
        let name = name(task);
        let file = Path::new(name).join("rc_0shot/requests.jsonl.gz");
        sources.push(Source { name: name.into(), bar: name, file: found(args.data_dir.as_deref(), &file)? });
    }
    for file in &args.task_file {
        sources.push(Source { name: file.display().to_string(), bar: "choices", file: file.clone() });
    }
    Ok(sources)
}

/// The name of a task, and of its folder.
fn name(task: Task) -> &'static str {
    match task {
        Task::HellaSwag => "hellaswag",
        Task::SciQ => "sciq",
        Task::ArcEasy => "arc_easy",
    }
}

fn found(folder: Option<&Path>, file: &Path) -> Result<PathBuf> {
    let places = match folder {
        Some(folder) => vec![folder.join(file)],
        None => vec![
            Path::new(FETCHED).join(file),
            Path::new(env!("CARGO_MANIFEST_DIR")).join(FETCHED).join(file),
        ],
    };
    let first = places[0].display().to_string();
    places.into_iter().find(|place| place.is_file()).ok_or_else(|| {
        Error::argument(format!(
            "{first} is not there; run tools/eval/fetch.py, or name the folder that holds the tasks with --data"
        ))
    })
}
