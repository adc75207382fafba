//! The mutation suite: every faulty kernel of `tools/gpusim/mutants` is caught by the check that should catch it, and
//! every correct one runs without alarm to the right result, under each of twenty seeds.
//!
//! The kernels are compiled by nvcc, which `tools/toolchain.sh` finds or installs; without it the test fails. The figures
//! go to `target/mutants.json`, and as a table into the README of gpusim: `GPUSIM_WRITE_TABLES=1` writes it, else a table
//! that differs fails the test. `MUTANTS=a,b` runs only kernels with `a` or `b` in their names and prints what each launch
//! said; `MUTANTS_SEEDS=n` changes the number of seeds, `MUTANTS_THREADS=n` that of host threads of a launch, and
//! `MUTANTS_FOLDER` the folder with sources, `build.sh` and `manifest.json`.
#![allow(missing_docs)]

mod figures;
mod judge;
mod manifest;
mod run;
mod toolkit;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use judge::Verdict;
use manifest::Kernel;

const SEEDS: u64 = 20;

/// All verdicts on one kernel, by seed.
struct Tried<'k> {
    kernel: &'k Kernel,
    verdicts: Vec<Verdict>,
}

#[test]
fn every_fault_is_caught_by_its_check_and_no_correct_kernel_raises_an_alarm() {
    let filter = std::env::var("MUTANTS").ok();
    let seeds =
        std::env::var("MUTANTS_SEEDS").ok().map_or(SEEDS, |n| n.parse().expect("MUTANTS_SEEDS: a number"));
    let kernels = manifest::read();
    let chosen: Vec<&Kernel> = kernels
        .iter()
        .filter(|k| filter.as_ref().is_none_or(|f| f.split(',').any(|part| k.name.contains(part))))
        .collect();
    let sources = toolkit::ptx().unwrap_or_else(|why| panic!("the mutation suite cannot be compiled: {why}"));

    // One device per file and seed runs all kernels of the file, so it also shows that a device goes on after a failure.
    let mut files: Vec<&str> = chosen.iter().map(|k| k.stem()).collect();
    files.sort();
    files.dedup();
    let jobs: Vec<(&str, u64)> =
        (0..seeds).flat_map(|seed| files.iter().map(move |file| (*file, seed))).collect();
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((file, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let of: Vec<&Kernel> = chosen.iter().copied().filter(|k| k.stem() == *file).collect();
            let seen = run::all(&sources[*file], &of, *seed);
            let mut verdicts = verdicts.lock().unwrap();
            for (kernel, ended) in of.iter().zip(seen) {
                let verdict = judge::judge(kernel, &ended);
                if filter.is_some() {
                    println!("-- {} seed {seed}: {verdict:?}\n{ended}\n", kernel.name);
                }
                verdicts.insert((kernel.name.clone(), *seed), verdict);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));

    let verdicts = verdicts.into_inner().unwrap();
    let tried: Vec<Tried<'_>> = chosen
        .iter()
        .map(|kernel| Tried {
            kernel,
            verdicts: (0..seeds).map(|seed| verdicts[&(kernel.name.clone(), seed)].clone()).collect(),
        })
        .collect();
    let wrong: Vec<String> = tried.iter().filter_map(|tried| complaint(tried)).collect();
    let whole = filter.is_none() && seeds == SEEDS && std::env::var_os("MUTANTS_FOLDER").is_none();
    let stale = if whole { figures::publish(&tried) } else { None };
    assert!(wrong.is_empty(), "{} of {} kernels\n{}", wrong.len(), tried.len(), wrong.join("\n"));
    assert_eq!(stale, None);
}

/// What is wrong with a kernel's verdicts, counted by kind, with an example of each.
fn complaint(tried: &Tried<'_>) -> Option<String> {
    let mut kinds: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (seed, verdict) in tried.verdicts.iter().enumerate() {
        if let Verdict::Wrong { kind, detail, .. } = verdict {
            kinds.entry(kind.clone()).or_insert((0, format!("seed {seed}: {detail}"))).0 += 1;
        }
    }
    if kinds.is_empty() {
        return None;
    }
    let kernel = tried.kernel;
    let mut text = format!("{}: expected {}", kernel.name, kernel.expect.names().join(" or "));
    for (kind, (count, example)) in kinds {
        text += &format!(
            "\n  {count} of {}: {kind}\n    {}",
            tried.verdicts.len(),
            example.replace('\n', "\n    ")
        );
    }
    Some(text)
}
