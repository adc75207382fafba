//! Every instruction form (opcode and modifiers) has a test with an expectation of its own.
//!
//! Which forms the tests of values run is in `tested`, a list for each test program, which keeps its list itself: one of its
//! tests runs the others once more and compares. Forms to be tested are those of the committed programs, of the mutation
//! suite, and of `grammar.txt`, which has PTX's forms as patterns. `untested.txt` says of which forms that does not hold.
#![allow(missing_docs)]

#[path = "../common/forms.rs"]
mod forms;
mod grammar;
#[path = "../mutants/manifest.rs"]
#[allow(dead_code)]
mod manifest;
#[path = "../common/ptxas.rs"]
mod ptxas;
#[path = "../mutants/toolkit.rs"]
#[allow(dead_code)]
mod toolkit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use grammar::Example;

/// The test programs that compare values. Those of reports and counters do not count.
const PROGRAMS: [&str; 6] = ["asynchronous", "execution", "float", "integer", "scalar", "tensor"];

fn tested() -> BTreeSet<String> {
    let read = |program| {
        let path = forms::list(program);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    PROGRAMS.iter().flat_map(|p| read(p).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Forms without a test, and why: `pattern: reason`.
fn untested() -> BTreeMap<String, String> {
    let lines =
        include_str!("untested.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let each = |line: &str| {
        let (pattern, reason) = line.rsplit_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
        forms::expand(pattern).into_iter().map(|form| (form, reason.to_owned())).collect::<Vec<_>>()
    };
    lines.flat_map(each).collect()
}

/// The forms that the device knows of the grammar's, and those it does not.
fn known(examples: &[Example]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (text, numbers) = grammar::text(examples, "sm_90a");
    let module = grammar::load(&text);
    let lines: BTreeSet<usize> = module
        .unsupported()
        .iter()
        .map(|text| {
            let line = text.strip_prefix("PTX line ").and_then(|rest| rest.split(':').next()?.parse().ok());
            line.unwrap_or_else(|| panic!("a line: {text}"))
        })
        .collect();
    let (mut known, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for (example, number) in examples.iter().zip(numbers) {
        let to = if lines.contains(&number) { &mut unknown } else { &mut known };
        to.extend(example.forms.iter().cloned());
    }
    (known, unknown)
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every form of the committed programs and the mutation suite, and a file that has it. Found once: two tests that compile the suite
/// at the same time would write to one folder.
static USED: LazyLock<BTreeMap<String, String>> = LazyLock::new(used);

fn used() -> BTreeMap<String, String> {
    let mut used = BTreeMap::new();
    let mut add = |name: &str, text: &str| {
        let forms = forms::of(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        forms.into_iter().for_each(|form| drop(used.insert(form, name.to_owned())));
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/ptx");
    for entry in std::fs::read_dir(folder).expect("the programs").flatten() {
        add(&entry.file_name().to_string_lossy(), &read(&entry.path()));
    }
    let mutants = toolkit::ptx().unwrap_or_else(|why| panic!("the mutation suite cannot be compiled: {why}"));
    mutants.iter().for_each(|(name, text)| add(&format!("{name}.cu"), text));
    used
}

#[test]
fn every_form_of_the_programs_and_of_the_mutation_suite_has_a_test() {
    let (tested, untested) = (tested(), untested());
    let without: Vec<String> = USED
        .iter()
        .filter(|(form, _)| !tested.contains(*form) && !untested.contains_key(*form))
        .map(|(form, file)| format!("{form} (in {file})"))
        .collect();
    assert!(without.is_empty(), "{} forms have no test:\n{}", without.len(), without.join("\n"));
}

#[test]
fn every_form_that_the_device_knows_has_a_test() {
    let (tested, untested) = (tested(), untested());
    let (known, unknown) = known(&grammar::examples());
    let is = |form: &String| tested.contains(form) || untested.contains_key(form);
    let without: Vec<&str> = known.iter().filter(|form| !is(form)).map(String::as_str).collect();
    let not_known: Vec<&str> =
        unknown.iter().filter(|form| !untested.contains_key(*form)).map(String::as_str).collect();
    assert!(
        without.is_empty() && not_known.is_empty(),
        "{} forms have no test:\n{}\n{} forms are neither known nor listed:\n{}",
        without.len(),
        without.join("\n"),
        not_known.len(),
        not_known.join("\n")
    );
}

#[test]
fn the_list_of_forms_without_a_test_is_up_to_date() {
    let tested = tested();
    let mut all: BTreeSet<String> = USED.keys().cloned().collect();
    all.extend(grammar::examples().into_iter().flat_map(|example| example.forms));
    let wrong: Vec<String> = untested()
        .into_iter()
        .filter_map(|(form, reason)| match (tested.contains(&form), all.contains(&form)) {
            (true, _) => Some(format!("{form} has a test now ({reason})")),
            (_, false) => Some(format!("{form} is not in use, nor in the grammar")),
            _ => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ptxas_accepts_every_form_of_the_grammar() {
    let examples = grammar::examples();
    for target in ["sm_90a", "sm_100a"] {
        let of: Vec<Example> = examples.iter().filter(|example| example.target == target).cloned().collect();
        let (text, _) = grammar::text(&of, target);
        let Err(said) = ptxas::assemble(&text, &["-O0"]) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        let line = |error: &str| error.split("line ").nth(1)?.split(';').next()?.parse::<usize>().ok();
        let explain = |error: &str| {
            format!("{error}\n    {}\n", line(error).and_then(|n| lines.get(n - 1)).unwrap_or(&""))
        };
        panic!("{}", said.lines().map(explain).collect::<String>());
    }
}
