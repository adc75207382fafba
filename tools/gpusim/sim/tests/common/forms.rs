//! Instruction forms, opcode and modifiers: which of them a PTX text has, and the list of those that a test program runs.
// A program takes what it needs: `tests/forms` reads the lists that the others keep.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::ptxas;

/// The forms of all instructions of a module.
pub fn of(ptx: &str) -> Result<BTreeSet<String>, String> {
    let module = gpusim_ptx::parse(ptx).map_err(|error| error.to_string())?;
    let code =
        module.functions.iter().filter_map(|function| function.body.as_ref()).flat_map(|body| &body.code);
    Ok(code.flat_map(|i| form(&i.opcode, i.modifiers.iter().map(|m| &**m))).collect())
}

/// The forms that an instruction stands for: one, but for accesses. Those name their modifiers in any order, and the front end
/// reads two things off them apart from each other: what is done where (`ld.global.v2.u32`), and its order and cache operators
/// (`ld<acquire.gpu>`). Each has to be tested, not each with each.
pub fn form<'m>(opcode: &str, modifiers: impl Iterator<Item = &'m str>) -> Vec<String> {
    let mut modifiers: Vec<&str> = modifiers.collect();
    if !matches!(opcode, "ld" | "st" | "atom" | "red") || modifiers.contains(&"async") {
        modifiers.insert(0, opcode);
        return vec![modifiers.join(".")];
    }
    modifiers.sort_unstable();
    let (order, mut what): (Vec<&str>, Vec<&str>) = modifiers.into_iter().partition(|m| is_order(m));
    what.insert(0, opcode);
    let mut forms = vec![what.join(".")];
    if !order.is_empty() {
        forms.push(format!("{opcode}<{}>", order.join(".")));
    }
    forms
}

fn is_order(modifier: &str) -> bool {
    const ORDERS: [&str; 21] = [
        "weak",
        "volatile",
        "mmio",
        "relaxed",
        "acquire",
        "release",
        "acq_rel",
        "cta",
        "cluster",
        "gpu",
        "sys",
        "ca",
        "cg",
        "cs",
        "lu",
        "cv",
        "wb",
        "wt",
        "nc",
        "unified",
        "L2::cache_hint",
    ];
    ORDERS.contains(&modifier) || modifier.starts_with("L1::") || modifier.starts_with("L2::")
}

/// A pattern's meanings: `{a|b|}` is one of its alternatives.
pub fn expand(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (alternatives, after) = rest.split_once('}').expect("a brace that is closed");
    let ends = expand(after);
    let one = |alternative| ends.iter().map(move |end| format!("{before}{alternative}{end}"));
    alternatives.split('|').flat_map(one).collect()
}

/// Where a test program's list lies.
pub fn list(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/forms/tested/{program}.txt"))
}

/// Fails if the list of a test program is not what its tests run; `GPUSIM_WRITE_TABLES=1` writes it.
pub fn are_listed(program: &str, texts: &[String]) {
    let mut forms = BTreeSet::new();
    for text in texts {
        forms.extend(of(text).unwrap_or_else(|error| panic!("{error}\n{text}")));
    }
    let text: String = forms.iter().map(|form| format!("{form}\n")).collect();
    let path = list(program);
    if std::env::var_os("GPUSIM_WRITE_TABLES").is_some() {
        std::fs::write(&path, &text).expect("the list can be written");
    }
    let had = std::fs::read_to_string(&path).unwrap_or_default();
    let differ = |a: &str, b: &str| -> Vec<String> {
        let b: BTreeSet<&str> = b.lines().collect();
        a.lines().filter(|form| !b.contains(form)).map(str::to_owned).collect()
    };
    assert!(
        had == text,
        "{} is stale, run again with GPUSIM_WRITE_TABLES=1: new {:?}, gone {:?}",
        path.display(),
        differ(&text, &had),
        differ(&had, &text)
    );
}

/// Runs all other tests of this program once more to see whether its list is what they run.
pub fn of_this_program_are_listed(program: &str, this_test: &str) {
    are_listed(program, &ptxas::collected(this_test));
}
