//! docs/results/limits.json and the tables of docs/limits.md, which stand between `<!-- table NAME -->` and `<!-- end -->`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::record::{BATCHES, Group, MODELS, Record, Sum};

/// The text of docs/results/limits.json: one object a line.
pub fn json(records: &[Record]) -> String {
    records.iter().fold(String::new(), |mut text, record| {
        // A tree of numbers and strings: there is nothing in it that could not be written.
        text += &serde_json::to_string(record).unwrap_or_default();
        text.push('\n');
        text
    })
}

/// The page with its tables made again.
///
/// # Errors
/// The name of a table that there is no such records for, or that does not end.
pub fn fill(page: &str, records: &[Record]) -> Result<String, String> {
    const BEGIN: &str = "<!-- table ";
    const END: &str = "<!-- end -->";
    let mut out = String::new();
    let mut rest = page;
    while let Some(at) = rest.find(BEGIN) {
        let (name, body) =
            rest[at + BEGIN.len()..].split_once(" -->\n").ok_or("a table's mark does not end")?;
        let end = body.find(END).ok_or_else(|| format!("table {name} does not end"))?;
        write!(out, "{}{BEGIN}{name} -->\n{}", &rest[..at], table(name, records)?)
            .map_err(|e| e.to_string())?;
        rest = &body[end..];
    }
    out += rest;
    Ok(out)
}

fn table(name: &str, records: &[Record]) -> Result<String, String> {
    let words: Vec<&str> = name.split(' ').collect();
    match words[..] {
        ["whole", regime] => Ok(whole(records, regime)),
        ["parts"] => Ok(parts(records)),
        ["kernels", model, mode] => Ok(kernels(records, model, mode)),
        _ => Err(format!("there is no table {name}")),
    }
}

fn markdown(head: &[&str], left: usize, rows: Vec<Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let rule = (0..head.len()).map(|i| if i < left { "---" } else { "---:" }.to_string()).collect();
    let mut out = line(head.iter().map(|cell| cell.to_string()).collect()) + &line(rule);
    out.extend(rows.into_iter().map(line));
    out
}

/// Whole meta-contexts in the middle of a generation.
fn whole(records: &[Record], regime: &str) -> String {
    let head = [
        "model, mode",
        "batch",
        "launches",
        "MB",
        "of weights",
        "of growing keys, values",
        "GFLOP",
        "H100: µs at least",
        "of weights, growing keys, values alone",
        "tokens/s at most",
        "H200: µs at least",
        "of weights, growing keys, values alone",
        "tokens/s at most",
        "cache bytes a sequence",
    ];
    let records: Vec<&Record> = records.iter().filter(|record| record.regime == regime).collect();
    let rows = records.iter().map(|record| {
        let sum = &record.total;
        let rate = |us: f64| number((record.batch * record.tokens) as f64 / us * 1e6, 0);
        vec![
            format!("{}, {}", record.model, record.mode),
            record.batch.to_string(),
            number(sum.launches as f64, 0),
            mega(sum.bytes()),
            mega(sum.read.weights),
            mega(sum.read.grown + sum.written.grown),
            giga(sum.flops),
            number(sum.h100_us, 1),
            number(sum.h100_lasting_us, 1),
            rate(sum.h100_lasting_us),
            number(sum.h200_us, 1),
            number(sum.h200_lasting_us, 1),
            rate(sum.h200_lasting_us),
            number(record.cache_bytes as f64, 0),
        ]
    });
    let mut out = markdown(&head, 1, rows.collect());
    if let Some(record) = records.first() {
        let [prompt, new] = record.generation;
        out += &format!(
            "\n{prompt} + {new} tokens a sequence, of which {} are there before the step.\n",
            record.context
        );
    }
    out
}

/// Sums by a key.
fn sums<K: Ord + Clone>(record: &Record, key: impl Fn(&Group) -> K) -> Vec<(K, Sum)> {
    let mut found: BTreeMap<K, Sum> = BTreeMap::new();
    for group in &record.groups {
        found.entry(key(group)).or_default().add_all(&group.sum);
    }
    found.into_iter().collect()
}

/// Where a meta-context's bytes go: parts of the model, at each batch.
fn parts(records: &[Record]) -> String {
    let mut head = vec!["model, mode".to_string(), "part".to_string()];
    for what in ["launches", "MB", "H100: µs at least"] {
        head.extend(BATCHES.iter().map(|batch| format!("{what}, batch {batch}")));
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut rows = Vec::new();
    for (model, mode) in MODELS {
        let batches: Vec<_> = BATCHES
            .iter()
            .filter_map(|&batch| find(records, model, &mode.to_string(), batch))
            .map(|record| sums(record, |group| group.part.clone()))
            .collect();
        let Some(first) = batches.first() else { continue };
        for (i, (part, _)) in first.iter().enumerate() {
            let mut row = vec![format!("{model}, {mode}"), part.clone()];
            row.extend(batches.iter().map(|batch| number(batch[i].1.launches as f64, 0)));
            row.extend(batches.iter().map(|batch| mega(batch[i].1.bytes())));
            row.extend(batches.iter().map(|batch| number(batch[i].1.h100_us, 1)));
            rows.push(row);
        }
    }
    markdown(&head, 2, rows)
}

/// The kernels of a meta-context in the long generation.
fn kernels(records: &[Record], model: &str, mode: &str) -> String {
    let head = [
        "kernel",
        "size",
        "batch",
        "launches",
        "rows a launch",
        "MB",
        "fetched through L2, MB",
        "GFLOP",
        "FLOPs a byte",
        "H100: µs at least",
        "H200: µs at least",
    ];
    let mut rows: BTreeMap<(String, String, usize), (Sum, u64, u64)> = BTreeMap::new();
    let mut last = Vec::new();
    for batch in BATCHES {
        let Some(record) = find(records, model, mode, batch) else { continue };
        for group in &record.groups {
            let key = (group.operation.clone(), group.size.clone(), batch);
            let (sum, least, most) = rows.entry(key).or_insert((Sum::default(), u64::MAX, 0));
            sum.add_all(&group.sum);
            (*least, *most) = ((*least).min(group.rows), (*most).max(group.rows));
        }
        last.push((batch, record.total.clone()));
    }
    let cells = |kernel: String, size: String, batch: usize, rows: String, sum: &Sum| {
        vec![
            kernel,
            size,
            batch.to_string(),
            number(sum.launches as f64, 0),
            rows,
            mega(sum.bytes()),
            mega(sum.fetched),
            giga(sum.flops),
            number(sum.flops as f64 / sum.bytes().max(1) as f64, 1),
            number(sum.h100_us, 1),
            number(sum.h200_us, 1),
        ]
    };
    let mut lines: Vec<Vec<String>> = rows
        .into_iter()
        .map(|((kernel, size, batch), (sum, least, most))| {
            let count = if least == most { most.to_string() } else { format!("{least}–{most}") };
            cells(format!("`{kernel}`"), size, batch, count, &sum)
        })
        .collect();
    lines.extend(
        last.iter().map(|(batch, sum)| cells("**all**".into(), String::new(), *batch, String::new(), sum)),
    );
    markdown(&head, 2, lines)
}

/// The record of a batch in the long generation.
fn find<'a>(records: &'a [Record], model: &str, mode: &str, batch: usize) -> Option<&'a Record> {
    records.iter().find(|record| {
        record.model == model && record.mode == mode && record.batch == batch && record.regime == "DE"
    })
}

fn mega(bytes: u64) -> String {
    number(bytes as f64 / 1e6, if bytes < 100_000_000 { 2 } else { 0 })
}

fn giga(flops: u64) -> String {
    number(flops as f64 / 1e9, if flops < 100_000_000_000 { 2 } else { 0 })
}

/// A number with its thousands apart.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!(number(1234567.891, 1), "1,234,567.9");
        assert_eq!(number(999.0, 0), "999");
        assert_eq!(number(0.05, 2), "0.05");
    }

    #[test]
    fn a_page_without_tables_stays_and_an_unknown_table_is_an_error() {
        assert_eq!(fill("text\n", &[]), Ok("text\n".into()));
        assert!(fill("<!-- table nonsense -->\n<!-- end -->", &[]).is_err());
        assert!(fill("<!-- table parts -->\n", &[]).is_err());
    }
}
