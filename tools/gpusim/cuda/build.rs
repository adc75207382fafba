//! Generates what no source file defines: stubs of the driver's other symbols, the per-thread-default-stream variants,
//! and the table behind `cuGetProcAddress`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// A function that a source file defines.
struct Definition {
    module: String,
    arguments: String,
}

/// The `extern "C"` functions in a module's text, by name.
fn definitions(module: &str, text: &str, into: &mut BTreeMap<String, Definition>) {
    const HEAD: &str = "pub extern \"C\" fn ";
    let mut rest = text;
    while let Some(at) = rest.find(HEAD) {
        rest = &rest[at + HEAD.len()..];
        let open = rest.find('(').expect("an argument list");
        let close = rest.find(") ->").expect("a return type");
        let arguments = rest[open + 1..close].trim().trim_end_matches(',').to_string();
        into.insert(rest[..open].to_string(), Definition { module: module.to_string(), arguments });
    }
}

fn sources(into: &mut BTreeMap<String, Definition>) {
    for entry in fs::read_dir("src").expect("the source folder") {
        let path = entry.expect("an entry").path();
        let module = path.file_stem().and_then(|stem| stem.to_str()).expect("a file name").to_string();
        definitions(&module, &fs::read_to_string(&path).expect("a source file"), into);
    }
}

/// Argument names, in order.
fn names(arguments: &str) -> String {
    // Types hold commas only in function pointers; those are named types here.
    let names = arguments.split(',').filter_map(|part| part.split_once(':').map(|(name, _)| name.trim()));
    names.collect::<Vec<_>>().join(", ")
}

fn main() {
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=symbols.txt");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so.1");
    let mut defined = BTreeMap::new();
    sources(&mut defined);

    let (mut stubs, mut variants, mut table) = (String::new(), String::new(), String::new());
    let mut listed = BTreeSet::new();
    for line in fs::read_to_string("symbols.txt").expect("symbols.txt").lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [symbol, name, version, variant, _] = fields[..] else { continue };
        if symbol.starts_with('#') {
            continue;
        }
        listed.insert(symbol.to_string());
        if !defined.contains_key(symbol) {
            writeln!(
                stubs,
                "#[unsafe(no_mangle)]\npub extern \"C\" fn {symbol}() -> i32 {{ missing(\"{symbol}\") }}"
            )
            .expect("a string");
        }
        let path =
            defined.get(symbol).map_or(symbol.to_string(), |d| format!("crate::{}::{symbol}", d.module));
        let mut other = String::from("None");
        if variant != "-" {
            let (list, call) = match defined.get(symbol) {
                Some(definition) => (definition.arguments.as_str(), names(&definition.arguments)),
                None => ("", String::new()),
            };
            writeln!(
                variants,
                "#[unsafe(no_mangle)]\npub extern \"C\" fn {symbol}_{variant}({list}) -> i32 {{\n    \
                 per_thread(|| {path}({call}))\n}}"
            )
            .expect("a string");
            other = format!("Some({symbol}_{variant} as *const ())");
        }
        writeln!(
            table,
            "    Entry {{ name: \"{name}\", version: {version}, function: {path} as *const (), per_thread: {other} }},"
        )
        .expect("a string");
    }
    for symbol in defined.keys() {
        assert!(listed.contains(symbol), "{symbol} is not in symbols.txt");
    }
    let text =
        format!("{stubs}\n{variants}\nfn entries() -> &'static [Entry] {{\n    &[\n{table}    ]\n}}\n");
    let out = Path::new(&env::var("OUT_DIR").expect("OUT_DIR")).join("symbols.rs");
    fs::write(out, text).expect("symbols.rs");
}
