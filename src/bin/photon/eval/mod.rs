//! `photon eval`: how good a model is, in numbers. docs/model.md defines each.

mod batches;
mod choice;
mod modes;
mod perplexity;
mod requests;
mod statistics;
mod tasks;
mod windows;

use photon_kernels::Result;
use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::generate::{Engine, Mode};

use crate::args::EvalArgs;
use crate::instruments::Instruments;
use crate::{engine, input, output};

#[derive(serde::Serialize)]
struct Json {
    model: String,
    device: String,
    /// What the weights were kept as.
    dtype: String,
    /// The instructions of the CPU's kernels.
    isa: Option<&'static str>,
    text: Option<perplexity::Report>,
    tasks: Vec<choice::Report>,
}

/// Measures a model on a text, on tasks, or on both. All input is read and checked before anything is computed.
pub fn run(args: &EvalArgs) -> Result<()> {
    let sources = tasks::sources(args)?;
    let dir = input::model_dir(args.model.as_deref())?;
    let checkpoint = Checkpoint::open(&dir)?;
    let config = checkpoint.config();
    let modes = modes::list(&args.mode, &args.refresh, config)?;
    let tokenizer = input::tokenizer(&dir, config)?;
    let tokenizer = input::needed(tokenizer.as_ref(), "eval", &dir, "put the model's tokenizer there")?;
    let text = args
        .text
        .as_deref()
        .map(|file| perplexity::HeldOut::read(file, tokenizer, config, args))
        .transpose()?;
    let tasks = sources
        .into_iter()
        .map(|source| choice::Task::read(source, tokenizer, config, args.limit))
        .collect::<Result<_>>()?;
    let model = dir.display().to_string();
    engine::run(checkpoint, args.compute, Job { args, model, modes, text, tasks })
}

struct Job<'a> {
    args: &'a EvalArgs,
    model: String,
    modes: Vec<Mode>,
    text: Option<perplexity::HeldOut>,
    tasks: Vec<choice::Task>,
}

impl engine::Job for Job<'_> {
    fn run<B: Instruments>(self, engine: &Engine<B>) -> Result<()> {
        let Job { args, model, modes, text, tasks } = self;
        let show = |report: &dyn std::fmt::Display| match args.json {
            true => Ok(()),
            false => output::line(&report.to_string()),
        };
        let text = text.map(|text| text.measure(engine, &modes, args.batch)).transpose()?;
        if let Some(report) = &text {
            show(report)?;
        }
        let mut reports = Vec::with_capacity(tasks.len());
        for task in tasks {
            let report = task.measure(engine, &modes, args.batch)?;
            show(&report)?;
            reports.push(report);
        }
        let backend = engine.backend();
        let (dtype, isa) = backend.numerics();
        let json = Json { model, device: backend.device()?, dtype, isa, text, tasks: reports };
        if args.json { output::json(&json) } else { Ok(()) }
    }
}
