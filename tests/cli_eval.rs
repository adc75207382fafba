//! `photon eval` as other tools see it: its figures are those of `photon score`, its JSON keeps its form, and bad input is
//! one line that names the place.
#![cfg(feature = "cli")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::Config;
use serde_json::{Value, json};

/// Tokens of a meta-context of the sample model.
const META: usize = 16;

const MODES: [(&str, Option<usize>); 4] =
    [("exact", None), ("hiergen", None), ("recgen", Some(2)), ("recgen", None)];

/// Contexts, choices and the right one of each question.
const QUESTIONS: [(&str, &[&str], usize); 4] = [
    ("She was very glad to see her", &[" sister", " thermometer", " of of the the of"], 0),
    (
        "They walked together in the garden until it was dark, and then they went",
        &[" purple", " home again"],
        1,
    ),
    (
        "He took up the newspaper, sat down by the fire, and",
        &[" began to read it", " zebra", " ran nine", " the"],
        0,
    ),
    (
        "The rain had ceased, and Mr. Palmer proposed that they should all ",
        &["walk to the village", "wax"],
        1,
    ),
];

fn photon(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_photon")).args(args).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = photon(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asserts exit code 2, nothing on standard output and one line on standard error with all `parts`.
fn refused(args: &[&str], parts: &[&str]) {
    let output = photon(args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(message.starts_with("error: ") && message.lines().count() == 1, "{args:?}: {message:?}");
    for part in parts {
        assert!(message.contains(part), "{args:?}: {part:?} is not in {message:?}");
    }
    assert!(output.stdout.is_empty(), "{args:?}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn write(dir: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn line(doc: usize, idx: usize, label: usize, context: &str, continuation: &str) -> String {
    let request = json!({"context": context, "continuation": continuation});
    json!({"doc_id": doc, "idx": idx, "label": label, "request": request}).to_string() + "\n"
}

/// [`QUESTIONS`] as the packages have them, the unconditional form behind each choice.
fn requests() -> String {
    let mut lines = String::new();
    for (doc, (context, choices, label)) in QUESTIONS.iter().enumerate() {
        for (idx, choice) in choices.iter().enumerate() {
            lines += &line(doc, idx, *label, context, choice);
            lines += &line(1_000_000 + doc, idx, *label, "Answer:", choice);
        }
    }
    lines
}

/// The log-probabilities that `photon score` gives a text in a mode.
fn score(
    dir: &tempfile::TempDir,
    text: &str,
    (mode, refresh): (&str, Option<usize>),
    prompt: usize,
) -> Vec<f64> {
    let file = write(dir, "scored.txt", text);
    let (prompt, refresh) = (prompt.to_string(), refresh.map(|k| k.to_string()));
    let mut args = vec!["score", "--json", "--device", "cpu", "--text", path(&file), "--mode", mode];
    if mode == "recgen" {
        args.extend(["--prompt-tokens", &prompt]);
    }
    if let Some(k) = &refresh {
        args.extend(["--refresh", k]);
    }
    serde_json::from_value(json(&args)["logprobs"].clone()).unwrap()
}

/// The accuracies that follow from the log-likelihoods of `photon score`: normalised, and plain.
fn accuracies(dir: &tempfile::TempDir, mode: (&str, Option<usize>)) -> (f64, f64) {
    let (mut normalised, mut plain) = (0.0, 0.0);
    for (context, choices, label) in QUESTIONS {
        let known = score(dir, context.trim_end(), mode, 0).len();
        let likelihoods: Vec<f64> = choices
            .iter()
            .map(|choice| {
                let text = format!("{context}{choice}");
                let len = score(dir, &text, ("exact", None), 0).len();
                let prompt = known.next_multiple_of(META).min(len / META * META);
                score(dir, &text, mode, prompt)[known..].iter().sum()
            })
            .collect();
        let highest =
            |values: &[f64]| (0..values.len()).max_by(|&i, &j| values[i].total_cmp(&values[j])).unwrap();
        let per_character: Vec<f64> = likelihoods
            .iter()
            .zip(choices)
            .map(|(sum, choice)| sum / choice.trim_start().len() as f64)
            .collect();
        normalised += f64::from(u8::from(highest(&per_character) == label)) / QUESTIONS.len() as f64;
        plain += f64::from(u8::from(highest(&likelihoods) == label)) / QUESTIONS.len() as f64;
    }
    (normalised, plain)
}

#[test]
fn accuracies_are_those_of_the_sums_of_score_packed_or_not_and_in_any_batch() {
    let dir = tempfile::tempdir().unwrap();
    let plain = write(&dir, "own.jsonl", requests());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(requests().as_bytes()).unwrap();
    let packed = write(&dir, "own.jsonl.gz", gzip.finish().unwrap());
    let mut seen = Vec::new();
    for (file, batch) in [(&plain, "64"), (&packed, "3")] {
        let args = [
            "eval",
            "--json",
            "--device",
            "cpu",
            "--refresh",
            "2",
            "--batch",
            batch,
            "--task-file",
            path(file),
        ];
        let report = json(&args);
        assert!(report["text"].is_null());
        let task = &report["tasks"][0];
        assert_eq!(task["task"], path(file));
        assert_eq!((&task["questions"], &task["dropped_requests"]), (&json!(4), &json!(11)));
        assert_eq!(task["cut_contexts"], 0);
        assert!((task["chance"].as_f64().unwrap() - (1.0 / 3.0 + 0.5 + 0.25 + 0.5) / 4.0).abs() < 1e-12);
        seen.push(task["modes"].clone());
    }
    assert_eq!(seen[0], seen[1]);
    let lines = seen[0].as_array().unwrap();
    assert_eq!(lines.len(), MODES.len());
    for (line, mode) in lines.iter().zip(MODES) {
        assert_eq!(line.as_object().unwrap().len(), 4);
        assert_eq!((&line["mode"], &line["refresh"]), (&json!(mode.0), &json!(mode.1)));
        let (normalised, plain) = accuracies(&dir, mode);
        for (name, want) in [("accuracy_norm", normalised), ("accuracy", plain)] {
            assert_eq!(line[name]["value"], want, "{mode:?} {name}");
            let [low, high]: [f64; 2] = serde_json::from_value(line[name]["interval"].clone()).unwrap();
            assert!(low <= want && want <= high && high - low > 0.4, "{mode:?} {name}: {low} {high}");
        }
    }
}

#[test]
fn bits_per_byte_of_a_text_are_those_of_score_whole_and_behind_the_prompt() {
    let dir = tempfile::tempdir().unwrap();
    let text = "It was a pleasant morning, and the whole party set out early for the hills – “so high,” said Emma, \
                “that one sees the sea.” Nobody believed her, but everybody looked, and one of them saw it.";
    let file = write(&dir, "held.txt", text);
    let all = ["eval", "--json", "--device", "cpu", "--refresh", "2", "--text", path(&file)];
    let report = json(&[&all[..], &["--prompt-tokens", "16"]].concat());
    let report = &report["text"];
    let tokens = score(&dir, text, ("exact", None), 0).len();
    assert_eq!((&report["tokens"], &report["bytes"]), (&json!(tokens), &json!(text.len())));
    assert_eq!((&report["windows"], &report["prompt_tokens"]), (&json!(1), &json!(16)));
    let mut first = None;
    for (line, mode) in report["modes"].as_array().unwrap().iter().zip(MODES) {
        assert_eq!((&line["mode"], &line["refresh"]), (&json!(mode.0), &json!(mode.1)));
        let scores = score(&dir, text, mode, 16);
        for (name, from) in [("whole", 0), ("scored", 16)] {
            let nats = -scores[from..].iter().sum::<f64>();
            let figures = &line[name];
            assert_eq!(figures["tokens"], tokens - from);
            let bytes = figures["bytes"].as_f64().unwrap();
            assert!(from > 0 || bytes == text.len() as f64);
            // A token of this text has one to a dozen bytes.
            assert!(bytes < text.len() as f64 - from as f64 + 1.0 && bytes > (tokens - from) as f64);
            let near = |got: &Value, want: f64| {
                let got = got["value"].as_f64().unwrap();
                assert!(
                    (got - want).abs() < 1e-5 * want.abs().max(1.0),
                    "{mode:?} {name}: {got} is not {want}"
                );
            };
            near(&figures["bits_per_byte"], nats / 2f64.ln() / bytes);
            near(&figures["perplexity"], (nats / (tokens - from) as f64).exp());
            assert!(figures["bits_per_byte"]["interval"].is_null(), "one window says nothing about others");
            if name == "scored" {
                let own = nats / 2f64.ln() / bytes;
                near(&line["difference"], own - *first.get_or_insert(own));
                let windows = |value: &Value| {
                    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>()
                };
                assert_eq!(windows(&report["scored_bytes"]), [bytes]);
                let [bits] = windows(&line["scored_bits"])[..] else { panic!("one window") };
                assert!((bits - nats / 2f64.ln()).abs() < 1e-2, "{mode:?}: {bits} bits");
            }
        }
    }
}

#[test]
fn tokens_that_go_on_with_a_character_count_though_they_have_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    // A crab has four tokens, and the bytes are with the first.
    let text = "🦀".repeat(6);
    let file = write(&dir, "crabs.txt", &text);
    let args = ["eval", "--json", "--device", "cpu", "--mode", "exact", "--text", path(&file)];
    let report = json(&[&args[..], &["--window", "3", "--prompt-tokens", "0"]].concat());
    let whole = &report["text"]["modes"][0]["whole"];
    assert_eq!(
        (&report["text"]["tokens"], &whole["tokens"], &whole["bytes"]),
        (&json!(24), &json!(24), &json!(24))
    );
    assert!(whole["bits_per_byte"]["value"].as_f64().unwrap() > 0.0);
    // The 17th token is the end of a crab.
    let file = write(&dir, "end.txt", format!("a{}", "🦀".repeat(4)));
    refused(
        &["eval", "--text", path(&file), "--prompt-tokens", "16"],
        &["end.txt", "no byte", "--prompt-tokens"],
    );
}

#[test]
fn recgen_with_refresh_1_is_hiergen_to_the_bit_and_windows_give_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let text = "She had never been so happy; he had never been so late. ".repeat(20);
    let file = write(&dir, "held.txt", &text);
    let args = ["eval", "--json", "--device", "cpu", "--mode", "hiergen,recgen", "--refresh", "1"];
    let report = json(&[&args[..], &["--window", "64", "--batch", "2", "--text", path(&file)]].concat());
    let report = &report["text"];
    assert_eq!((&report["window"], &report["prompt_tokens"]), (&json!(64), &json!(32)));
    assert_eq!(report["bytes"], text.len());
    let lines = report["modes"].as_array().unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["scored"], lines[1]["scored"]);
    assert_eq!(lines[0]["whole"], lines[1]["whole"]);
    assert_ne!(lines[0]["scored"], lines[2]["scored"]);
    for line in lines {
        for name in ["scored", "whole"] {
            let figure = &line[name]["bits_per_byte"];
            let [low, high]: [f64; 2] = serde_json::from_value(figure["interval"].clone()).unwrap();
            assert!(low < figure["value"].as_f64().unwrap() && figure["value"].as_f64().unwrap() < high);
        }
    }
    let tables =
        photon(&["eval", "--device", "cpu", "--limit", "2", "--window", "64", "--text", path(&file)]);
    let tables = String::from_utf8(tables.stdout).unwrap();
    for part in ["bits per byte", "in 2 windows", "exact", "hiergen", "recgen"] {
        assert!(tables.contains(part), "{part:?} is not in {tables}");
    }
}

#[test]
fn bad_input_is_one_line_with_its_place_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let text = write(&dir, "text.txt", "She was very glad to see her sister in the garden.");
    let text = path(&text);
    refused(&["eval"], &["--text", "--tasks"]);
    refused(&["eval", "--tasks", "sciq", "--window", "128"], &["--text"]);
    refused(&["eval", "--text", text, "--data", path(dir.path())], &["--tasks"]);
    refused(&["eval", "--tasks", "mmlu"], &["mmlu", "hellaswag", "arc_easy"]);
    refused(&["eval", "--tasks", "sciq", "--data", path(dir.path())], &["sciq", "fetch.py", "--data"]);
    refused(&["eval", "--text", "/nowhere/text"], &["/nowhere/text"]);
    refused(&["eval", "--task-file", "/nowhere/own.jsonl"], &["/nowhere/own.jsonl"]);
    refused(&["eval", "--text", text, "--mode", "exact", "--refresh", "2"], &["--refresh 2", "recgen"]);
    refused(&["eval", "--text", text, "--prompt-tokens", "7"], &["--prompt-tokens is 7", "16 tokens"]);
    refused(&["eval", "--text", text, "--prompt-tokens", "1600"], &["--prompt-tokens is 1600", "nothing"]);
    let one = line(0, 0, 0, "She was", " glad");
    for (lines, parts) in [
        (one.clone(), ["line 1", "one choice"]),
        (one.clone() + "{}", ["line 2", "doc_id"]),
        (one.clone() + &line(0, 1, 0, "She w", "as"), ["line 2", "space"]),
        (one.clone() + &line(0, 1, 3, "She was", " sad"), ["line 2", "label is 3"]),
        (line(0, 0, 2, "a", " b") + &line(0, 1, 2, "a", " c"), ["line 1", "label 2"]),
        (one + "\u{0}\u{1}", ["line 2", "expected value"]),
    ] {
        let file = write(&dir, "bad.jsonl", lines);
        refused(&["eval", "--task-file", path(&file)], &[&["bad.jsonl"], &parts[..]].concat());
    }
    let mut damaged = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    damaged.extend([0xff; 40]);
    let file = write(&dir, "bad.jsonl.gz", damaged);
    refused(&["eval", "--task-file", path(&file)], &["bad.jsonl.gz", "line 1", "fetch"]);
}

#[test]
fn a_model_without_a_tokenizer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"{"model_type":"photon","vocab_size":10,"hidden_size":8,"intermediate_size":6,"num_attention_heads":2,
     "levels":[{"chunk_length":2,"chunker":"concat","encoder_layers":1,"decoder_layers":1,"prefix_length":1}]}"#;
    let checkpoint = Checkpoint::random(&Config::from_json(config).unwrap(), 1, Dtype::Bf16).unwrap();
    checkpoint.save(dir.path()).unwrap();
    let text = write(&dir, "text.txt", "some text");
    refused(&["eval", "--text", path(&text), "--model", path(dir.path())], &["tokenizer.json", "eval"]);
}
