//! Programs that compilers wrote.

use std::path::Path;

use gpusim_ptx::ast::Body;
use gpusim_ptx::parse;

/// Every PTX file beside the simulator's tests.
fn programs() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs/ptx");
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "ptx") {
            programs.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!programs.is_empty());
    programs
}

/// Instructions by a count of lines that end with a semicolon and begin with an opcode: no parser, and only right for
/// texts with one statement a line, as compilers write them outside inline assembly.
fn plain_lines(source: &str) -> usize {
    let statement = |line: &&str| {
        let line = line.trim_start();
        line.starts_with(|c: char| c.is_ascii_lowercase() || c == '@') && line.contains(';')
    };
    source.lines().filter(statement).count()
}

#[test]
fn compiled_programs_parse_with_no_instruction_lost() {
    for (path, source) in programs() {
        let module = parse(&source).unwrap_or_else(|error| panic!("{path}: {error}"));
        let found: usize = module.functions.iter().filter_map(|f| Some(f.body.as_ref()?.code.len())).sum();
        assert!(found >= plain_lines(&source), "{path}: {found} of {}", plain_lines(&source));
    }
}

#[test]
fn names_are_unique_and_labels_exist_in_compiled_programs() {
    for (path, source) in programs() {
        for function in parse(&source).unwrap().functions {
            let Some(body) = function.body else { continue };
            let mut names: Vec<&str> = body.registers.iter().map(|r| r.0.as_str()).collect();
            names.extend(body.variables.iter().map(|v| v.name.as_str()));
            names.extend(body.labels.iter().map(|l| l.0.as_str()));
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{path}");
            for branch in body.code.iter().filter(|i| &*i.opcode == "bra") {
                let target = branch.operands[0].to_string();
                assert!(body.labels.iter().any(|l| l.0 == target), "{path}: {branch}");
            }
        }
    }
}

#[test]
fn printed_programs_parse_to_the_same_instructions() {
    for (path, source) in programs() {
        for function in parse(&source).unwrap().functions {
            let Some(body) = function.body else { continue };
            let mut text = String::from(".version 8.4 .target sm_90 .entry k() {\n");
            for instruction in &body.code {
                text += &format!("{instruction}\n");
            }
            let again: Body = parse(&(text + "}")).unwrap().functions.remove(0).body.unwrap();
            assert_eq!(again.code.len(), body.code.len(), "{path}");
            for (a, b) in body.code.iter().zip(&again.code) {
                assert_eq!(
                    (&a.guard, &a.opcode, &a.modifiers),
                    (&b.guard, &b.opcode, &b.modifiers),
                    "{path}"
                );
                assert_eq!(a.operands, b.operands, "{path}: {a}");
            }
        }
    }
}
