//! The command line as other tools see it: exit codes, one-line errors, fixed forms.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::Config;

const CONFIG: &str = r#"{"model_type":"photon","vocab_size":10,"hidden_size":8,"intermediate_size":6,
 "num_attention_heads":2,
 "levels":[{"chunk_length":2,"chunker":"concat","encoder_layers":1,"decoder_layers":1,"prefix_length":1}]}"#;

fn photon(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_photon")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asserts exit code 2, nothing on standard output and one line on standard error with all `parts`.
fn refused(args: &[&str], parts: &[&str]) {
    let output = photon(args);
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(message.starts_with("error: ") && message.lines().count() == 1, "{args:?}: {message:?}");
    for part in parts {
        assert!(message.contains(part), "{args:?}: {part:?} is not in {message:?}");
    }
    assert_eq!(stdout(&output), "", "{args:?}");
}

fn model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Checkpoint::random(&Config::from_json(CONFIG).unwrap(), 1, Dtype::Bf16)
        .unwrap()
        .save(dir.path())
        .unwrap();
    dir
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn info_of_a_preset_prints_the_papers_numbers() {
    let output = photon(&["info", "--preset", "photon-600m", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["parameters"], 646_399_104);
    assert_eq!(json["start_latent_parameters"], 3328);
    let modules = json["modules"].as_array().unwrap();
    assert_eq!(modules.iter().map(|m| m["parameters"].as_u64().unwrap()).sum::<u64>(), 646_399_104);
    assert!(modules.iter().all(|m| m["name"].is_string() && m.as_object().unwrap().len() == 2));
    assert_eq!(json["cache_bytes_per_token"]["recgen"], 1664.0);
    assert_eq!(json["cache_bytes_per_token"]["exact"], json["cache_bytes_per_token"]["hiergen"]);
    assert_eq!(json.as_object().unwrap().len(), 4);
    assert!(stdout(&photon(&["info", "--preset", "vanilla-1.2b"])).contains("1,184,657,280"));
}

#[test]
fn info_of_a_checkpoint_counts_its_tensors() {
    let dir = model();
    let output = photon(&["info", "--model", path(dir.path()), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let all = json["parameters"].as_u64().unwrap() + json["start_latent_parameters"].as_u64().unwrap();
    assert_eq!(all, Config::from_json(CONFIG).unwrap().parameters());
    assert!(stdout(&photon(&["info", "--model", path(dir.path())])).contains("as bf16"));
}

#[test]
fn bad_arguments_are_one_line_and_exit_code_2() {
    refused(&["generate"], &["--prompt"]);
    refused(&["info", "--preset", "photon-7b"], &["photon-7b", "photon-600m"]);
    refused(&["info", "--presets", "x"], &["--presets"]);
    refused(&["info", "--model", "a", "--preset", "b"], &["--model", "--preset"]);
    refused(&["generate", "--prompt", "a", "--mode", "fast"], &["fast", "--mode", "recgen"]);
    refused(&["generate", "--prompt", "a", "--refresh", "0"], &["--refresh", "1..="]);
    refused(&["bench", "--preset", "photon-600m"], &["--regime"]);
    refused(&["bench", "--regime", "pf"], &["--preset", "--config"]);
    refused(&["bench", "--config", "/nowhere", "--regime", "pf"], &["/nowhere"]);
    refused(&["frobnicate"], &["frobnicate"]);
}

#[test]
fn bench_measures_a_model_of_any_shape() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/models/photon-austen-7m/config.json");
    let lengths = ["--prompt-tokens", "5", "--new-tokens", "16", "--json"];
    let json = |mode: &[&str]| -> serde_json::Value {
        let model = ["bench", "--config", config];
        serde_json::from_str(&stdout(&photon(&[&model, mode, &lengths].concat()))).unwrap()
    };
    let (refreshed, hiergen) = (json(&["--mode", "recgen", "--refresh", "1"]), json(&["--mode", "hiergen"]));
    assert_eq!(refreshed["new_tokens"], 16);
    // What is to be encoded again needs the caches of the encoders below the top.
    assert_eq!(refreshed["cache_bytes_per_sequence"], hiergen["cache_bytes_per_sequence"]);
}

#[test]
fn bad_checkpoints_are_one_line_and_exit_code_2() {
    refused(&["info", "--model", "/nowhere"], &["/nowhere"]);
    let dir = model();
    let weights = dir.path().join("model.safetensors");
    let good = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &good[..good.len() - 2]).unwrap();
    refused(&["info", "--model", path(dir.path())], &["model.safetensors", "truncated"]);
    std::fs::write(&weights, b"").unwrap();
    refused(&["info", "--model", path(dir.path())], &["model.safetensors", "empty"]);
    std::fs::write(dir.path().join("config.json"), CONFIG.replace("vocab_size", "vocabulary")).unwrap();
    refused(&["info", "--model", path(dir.path())], &["config.json", "vocabulary"]);
}

#[test]
fn bad_prompts_are_one_line_and_exit_code_2() {
    let dir = model();
    let model = ["--model", path(dir.path())];
    let with = |args: &[&'static str]| -> Vec<String> {
        args.iter().chain(&model).map(|arg| arg.to_string()).collect()
    };
    let check = |args: &[&'static str], parts: &[&str]| {
        let args = with(args);
        refused(&args.iter().map(String::as_str).collect::<Vec<_>>(), parts);
    };
    check(&["generate", "--tokens", "1,10"], &["token 1", "\"10\"", "0..10"]);
    check(&["generate", "--tokens", "1,x"], &["token 1", "\"x\""]);
    check(&["generate", "--tokens", "@/nowhere/ids"], &["/nowhere/ids"]);
    check(&["generate", "--prompt", "hello"], &["--prompt", "tokenizer.json", "--tokens"]);
    check(&["generate", "--tokens", "1", "--temperature", "-1"], &["temperature is -1"]);
    check(&["generate", "--tokens", "1", "--top-p", "0"], &["top_p is 0"]);
    check(&["generate", "--tokens", "1", "--mode", "exact", "--refresh", "2"], &["--refresh 2", "recgen"]);
    check(&["score", "--text", "/nowhere/text"], &["/nowhere/text"]);
    for (bytes, what) in [(&b""[..], "empty"), (b"a\xff", "UTF-8"), (b"a\0", "not text")] {
        let file = dir.path().join("input.bin");
        std::fs::write(&file, bytes).unwrap();
        refused(&["score", "--text", path(&file), "--model", path(dir.path())], &["input.bin", what]);
        let at = format!("@{}", path(&file));
        refused(&["generate", "--tokens", &at, "--model", path(dir.path())], &["input.bin", what]);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [&["--help"][..], &["--version"], &["generate", "--help"], &["help", "bench"]] {
        let output = photon(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    for args in [&["info", "--preset", "photon-600m"][..], &["--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_photon"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
}
