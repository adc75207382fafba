//! Programs that other people's compilers made, on the simulated device: every case of `tools/gpusim/programs`, and
//! mmasim's vectors bit for bit.
//!
//! A program runs with several seeds: even ones take the default schedule, odd ones a random one; see [`Variant`] for
//! sentinels. Programs with tensor-core instructions run in both arithmetics. What does not pass stands in [`OPEN`] with the
//! reason, and fails here as soon as it passes.
#![allow(missing_docs)]

mod check;
mod elem;
mod exact;
mod fill;
mod launch;
mod manifest;
mod mmasim;
mod report;
mod wheel;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gpusim::Arithmetic;
use libtest_mimic::{Arguments, Failed, Trial};

use elem::{Array, Elem};
use fill::Wide;
use launch::Variant;
use manifest::{Case, Program};
use report::Record;

/// Programs that do not pass, as `mode/name`, and why.
const OPEN: &[(&str, &str)] = &[];

const SCOPE: &str = "a block-wide atomic on what several blocks use";

/// Programs that break a rule of the memory model in a way that hardware forgives: some launch must be reported, and with
/// checks off the results must be right.
const REPORTED: &[(&str, &str)] = &[
    (
        "column_sum_locked_sm80",
        "Triton lets copies of a lane load what the lane itself stores, and not use it",
    ),
    ("atomics_integers_sm_80", SCOPE),
    ("atomics_integers_sm_90a", SCOPE),
    (
        "matmul_f16_64x32x64_f16acc_sm90",
        "Triton moves accumulators of a `wgmma` before the wait; ptxas injects one (its C7517)",
    ),
];

type Records = Arc<Mutex<Vec<Record>>>;

fn main() {
    let mut arguments = Arguments::from_args();
    let whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    arguments.test_threads.get_or_insert_with(|| std::thread::available_parallelism().map_or(2, |n| n.get()));
    let records = Records::default();
    let mut trials = Vec::new();
    for program in manifest::read().programs {
        trials.extend(program_trials(Arc::new(program), &records));
    }
    trials.extend(mmasim_trials(&records));
    trials.extend(wheel_trials(&records));
    let names: Vec<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(Trial::test("open_programs_exist", move || {
        let missing = OPEN.iter().find(|(name, _)| !names.iter().any(|other| other == name));
        missing.map_or(Ok(()), |(name, _)| Err(format!("no program {name}").into()))
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if whole {
        report::write(&records.lock().expect("no trial panics"), OPEN, REPORTED);
    }
    conclusion.exit();
}

/// Runs `body`, which returns how many launches it made, and notes what came of it.
fn trial(
    record: Record,
    records: &Records,
    body: impl FnOnce() -> Result<usize, String> + Send + 'static,
) -> Trial {
    let records = records.clone();
    let name = format!("{}/{}", record.mode, record.name);
    let open = OPEN.iter().find(|(other, _)| *other == name).map(|(_, reason)| *reason);
    Trial::test(name, move || {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text
                .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
                .unwrap_or("a panic".into()))
        });
        let mut record = Record { milliseconds: start.elapsed().as_millis() as u64, ..record };
        match &result {
            Ok(launches) => (record.outcome, record.launches) = ("passed", *launches),
            Err(error) => (record.outcome, record.error) = ("failed", Some(error.clone())),
        }
        if open.is_some() {
            record.outcome = "open";
        }
        records.lock().expect("no trial panics").push(record);
        match (open, result) {
            (None, Ok(_)) | (Some(_), Err(_)) => Ok(()),
            (None, Err(error)) => Err(Failed::from(error)),
            (Some(reason), Ok(_)) => Err(format!("passes, but is listed as open: {reason}").into()),
        }
    })
}

fn program_trials(program: Arc<Program>, records: &Records) -> Vec<Trial> {
    let text = std::fs::read_to_string(manifest::folder().join(&program.file)).expect("the program's PTX");
    let ptx: Arc<str> = text.into();
    // CUDA files hold many entries; those of the matrix products use tensor cores.
    let tensor = ptx.contains("mma.");
    let modes: &[(&str, Arithmetic, &[u64])] = match tensor {
        true => &[("exact", Arithmetic::Exact, &[0]), ("fast", Arithmetic::Fast, &[3])],
        false => &[("plain", Arithmetic::Fast, &[0, 1, 2, 3])],
    };
    let mut trials = Vec::new();
    for &(mode, arithmetic, seeds) in modes {
        let record = Record::new(&program, mode);
        let (program, ptx) = (program.clone(), ptx.clone());
        trials.push(trial(record, records, move || run_program(&program, &ptx, arithmetic, seeds)));
    }
    let fault: Option<(&str, i32)> = match program.entry.as_str() {
        "stop_on_negative" => Some(("x", -1)),
        "assert_positive" => Some(("x", 0)),
        _ => None,
    };
    if let Some((buffer, value)) = fault {
        let record = Record::new(&program, "fault");
        trials.push(trial(record, records, move || run_fault(&program, &ptx, buffer, value)));
    }
    trials
}

fn variant(seed: u64, arithmetic: Arithmetic) -> Variant {
    Variant { seed, arithmetic, checks: true, sentinels: seed & 2 != 0 }
}

/// Small cases of tensor-core programs get another seed.
fn is_small(case: &Case) -> bool {
    let elements: usize = case.buffers.values().map(|buffer| buffer.shape.iter().product::<usize>()).sum();
    elements <= 12_000
}

fn wide(program: &Program, case: &Case) -> Wide {
    let target =
        case.text("y").and_then(|name| case.buffers.get(name)).map(|buffer| Elem::named(&buffer.elem));
    match target {
        Some(Elem::Float(format)) if case.text("op") == Some("convert") => {
            let limit = (format.exponent + format.mantissa < 8).then(|| format.largest());
            Wide { limit, specials: limit.is_none() }
        }
        _ => Wide { limit: None, specials: program.entry != "convert" },
    }
}

fn run_program(program: &Program, ptx: &str, arithmetic: Arithmetic, seeds: &[u64]) -> Result<usize, String> {
    let reported = REPORTED.iter().find(|(name, _)| *name == program.name);
    if let Some((_, reason)) = reported {
        let told = |case: &Case| {
            let variant = variant(0, arithmetic);
            launch::run(program, case, variant, ptx, wide(program, case), &|_| {}).is_err()
        };
        if !program.cases.iter().any(told) {
            return Err(format!("no case is reported any more, though it {reason}"));
        }
    }
    let mut launches = 0;
    for (index, case) in program.cases.iter().enumerate() {
        let more = [seeds[0] + 1];
        let extra: &[u64] = if seeds.len() == 1 && is_small(case) { &more } else { &[] };
        for &seed in seeds.iter().chain(extra) {
            let variant = Variant { checks: reported.is_none(), ..variant(seed, arithmetic) };
            let told = |error: String| {
                let args: Vec<String> =
                    case.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("case {index} ({}), seed {seed}: {error}", args.join(" "))
            };
            let out = launch::run(program, case, variant, ptx, wide(program, case), &|_| {}).map_err(told)?;
            check::check(program, case, &out).map_err(told)?;
            launches += 1;
        }
    }
    Ok(launches)
}

/// One bad element must end the launch with the error that the program provokes.
fn run_fault(program: &Program, ptx: &str, buffer: &str, value: i32) -> Result<usize, String> {
    for seed in 0..4 {
        let change = |inputs: &mut BTreeMap<String, Array>| {
            let array = inputs.get_mut(buffer).expect("the program's input");
            array.bytes[4 * 11..4 * 12].copy_from_slice(&value.to_le_bytes());
        };
        let variant = variant(seed, Arithmetic::Fast);
        match launch::run(program, &program.cases[0], variant, ptx, Wide::default(), &change) {
            Ok(_) => return Err(format!("seed {seed}: no error")),
            Err(error) if error.to_lowercase().contains(if value < 0 { "trap" } else { "assert" }) => {}
            Err(error) => return Err(format!("seed {seed}: another error: {error}")),
        }
    }
    Ok(4)
}

fn mmasim_trials(records: &Records) -> Vec<Trial> {
    let blob: Arc<Vec<u8>> =
        Arc::new(std::fs::read(manifest::folder().join("mmasim.bin")).expect("mmasim.bin"));
    let kernels = wheel::kernels();
    let mut trials = Vec::new();
    for ((instruction, arch), cases) in mmasim::groups() {
        let record = Record::mmasim("mmasim", &instruction, &arch);
        let blob_here = blob.clone();
        let cases_here = cases.clone();
        trials.push(trial(record, records, move || mmasim::run_group(&cases_here, &blob_here)));
        // mmasim-kernels are for sm_90a, and give the results of whatever device they run on.
        let Some(kernel) = kernels.as_ref().and_then(|kernels| kernels.get(&instruction)).cloned() else {
            continue;
        };
        let record = Record::mmasim("wheel", &instruction, &arch);
        let blob = blob.clone();
        trials.push(trial(record, records, move || {
            wheel::run_vectors(&cases, &blob, &kernel).map(|()| cases.len())
        }));
    }
    trials
}

/// The wheel's kernels on inputs of which only a digest of the result is kept. Each kernel must be judged by something.
fn wheel_trials(records: &Records) -> Vec<Trial> {
    let Some(kernels) = wheel::kernels() else {
        let reason = "mmasim-kernels are not compiled: tools/gpusim/programs/bitexact.py kernels target/mmasim-kernels";
        let mut record = Record::mmasim("wheel", "mmasim-kernels", "");
        (record.outcome, record.error) = ("skipped", Some(reason.into()));
        records.lock().expect("no trial panics").push(record);
        return vec![Trial::test("wheel/mmasim-kernels (not compiled)", || Ok(())).with_ignored_flag(true)];
    };
    let mut judged: BTreeSet<String> =
        mmasim::groups().into_keys().map(|(instruction, _)| instruction).collect();
    let mut trials = Vec::new();
    for (instruction, cases) in wheel::digests() {
        let Some(kernel) = kernels.get(&instruction).cloned() else { continue };
        judged.insert(instruction.clone());
        let record = Record::mmasim("digest", &instruction, "Hopper");
        trials.push(trial(record, records, move || wheel::run_digests(&instruction, &cases, &kernel)));
    }
    trials.push(Trial::test("every_kernel_of_the_wheel_is_judged", move || {
        match kernels.keys().find(|name| !judged.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(format!("no results of mmasim for {name}").into()),
        }
    }));
    trials
}
