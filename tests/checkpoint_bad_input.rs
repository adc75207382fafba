//! A damaged checkpoint is an error of one line that names the damage: never a panic, never a huge allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use photon_kernels::checkpoint::{Checkpoint, Dtype, Tensor, layout};
use photon_kernels::config::Config;
use photon_kernels::sampling::philox4x32_10;

/// Watches the largest single allocation of the process.
struct Watch;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watch = Watch;

const CONFIG: &str = r#"{"model_type":"photon","vocab_size":5,"hidden_size":8,"intermediate_size":6,
 "num_attention_heads":2,"num_key_value_heads":1,"rms_norm_eps":1e-5,"rope_theta":10000.0,
 "encoder_embedding_size":4,"condition":"current",
 "levels":[{"chunk_length":2,"chunker":"concat","encoder_layers":1,"decoder_layers":1,"prefix_length":1},
           {"chunk_length":2,"chunker":"linear","encoder_layers":0,"decoder_layers":1,"prefix_length":2}],
 "max_position_embeddings":4096,"bos_token_id":null,"eos_token_id":1}"#;

/// The bytes of a valid `model.safetensors` for [`CONFIG`].
fn valid(dtype: Dtype) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    Checkpoint::random(&config(), 1, dtype).unwrap().save(dir.path()).unwrap();
    std::fs::read(dir.path().join("model.safetensors")).unwrap()
}

fn config() -> Config {
    Config::from_json(CONFIG).unwrap()
}

/// The file with another header; the data stays.
fn with_header(file: &[u8], edit: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let (header, data) = split(file);
    let mut json = serde_json::from_slice(header).unwrap();
    edit(&mut json);
    join(json.to_string().as_bytes(), data)
}

fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    file[8..].split_at(length)
}

fn join(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// The one-line message with which the weights are refused.
fn refused(file: Vec<u8>) -> String {
    one_line(Checkpoint::from_bytes(CONFIG, file).expect_err("damage must be refused"))
}

fn one_line(error: photon_kernels::Error) -> String {
    let message = error.to_string();
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(message.len() < 2000, "{message}");
    message
}

fn assert_names(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

/// All tensors as F32, with one replaced or removed by `edit`.
fn tensors(edit: impl Fn(&Tensor) -> Option<Tensor>) -> Vec<Tensor> {
    Checkpoint::random(&config(), 1, Dtype::F32).unwrap().tensors().filter_map(edit).collect()
}

fn directory(config: Option<&str>, weights: Option<&[u8]>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    if let Some(config) = config {
        std::fs::write(dir.path().join("config.json"), config).unwrap();
    }
    if let Some(weights) = weights {
        std::fs::write(dir.path().join("model.safetensors"), weights).unwrap();
    }
    dir
}

fn open_fails(dir: &Path) -> String {
    one_line(Checkpoint::open(dir).expect_err("damage must be refused"))
}

#[test]
fn a_missing_directory_or_file_is_named() {
    let dir = directory(None, None);
    assert_names(&open_fails(&dir.path().join("nowhere")), &["nowhere", "No such file"]);
    assert_names(&open_fails(dir.path()), &["config.json", "No such file"]);
    let dir = directory(Some(CONFIG), None);
    assert_names(&open_fails(dir.path()), &["model.safetensors", "No such file"]);
    assert_names(&open_fails(&dir.path().join("config.json")), &["config.json is not a directory"]);
    std::fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    assert_names(&open_fails(dir.path()), &["model.safetensors", "regular file"]);
}

#[test]
fn an_empty_file_is_named() {
    assert_names(&open_fails(directory(Some(CONFIG), Some(b"")).path()), &["model.safetensors", "empty"]);
    assert_names(&open_fails(directory(Some(""), Some(b"")).path()), &["config.json", "empty"]);
    assert_names(&refused(vec![]), &["empty"]);
}

#[test]
fn a_damaged_configuration_is_named_with_its_file() {
    let file = valid(Dtype::F32);
    let unknown = CONFIG.replace("\"rope_theta\"", "\"rope_thta\"");
    assert_names(&open_fails(directory(Some(&unknown), Some(&file)).path()), &["config.json", "rope_thta"]);
    assert_names(&open_fails(directory(Some("{"), Some(&file)).path()), &["config.json"]);
    let dir = directory(None, Some(&file));
    std::fs::write(dir.path().join("config.json"), [0xff, 0xfe, 0, 1]).unwrap();
    assert_names(&open_fails(dir.path()), &["config.json", "UTF-8"]);
    std::fs::write(dir.path().join("config.json"), vec![b' '; 2 << 20]).unwrap();
    assert_names(&open_fails(dir.path()), &["config.json", "1048576 bytes"]);
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let file = valid(Dtype::Bf16);
    let header = 8 + split(&file).0.len();
    for length in
        (0..file.len()).filter(|n| *n < 32 || n % 7 == 0 || n.abs_diff(header) < 8 || n + 8 > file.len())
    {
        let message = refused(file[..length].to_vec());
        let expected = match length {
            0 => "empty",
            1..8 => "a safetensors header alone takes more",
            _ if length < header => "the header claims",
            _ => "truncated",
        };
        assert_names(&message, &[expected]);
    }
    let dir = directory(Some(CONFIG), Some(&file[..file.len() - 3]));
    assert_names(&open_fails(dir.path()), &["model.safetensors", "tensor ", "truncated"]);
}

#[test]
fn an_oversized_header_is_refused_before_anything_is_allocated() {
    let file = valid(Dtype::F32);
    for length in [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 40, 99_999_999, file.len() as u64 - 7] {
        let mut damaged = file.clone();
        damaged[..8].copy_from_slice(&length.to_le_bytes());
        assert_names(&refused(damaged), &["header claims", &length.to_string()]);
    }
    let spaces = join(&vec![b' '; 17 << 20], &[]);
    assert_names(&refused(spaces), &["header claims", "16777216"]);
}

#[test]
fn a_header_that_is_no_json_is_refused() {
    for header in [
        "",
        "{",
        "null",
        "[]",
        "{\"a\":",
        "{\"a\":3}",
        "{\"a\":{}}",
        "{}{}",
        "{\"a\":{\"dtype\":\"F32\"}}",
        "\u{0}\n",
    ] {
        assert_names(&refused(join(header.as_bytes(), &[0; 16])), &["header is not valid"]);
    }
    assert_names(&refused(join(&[0xff; 40], &[0; 16])), &["not UTF-8"]);
    assert_names(&refused(join("[".repeat(100_000).as_bytes(), &[])), &["header is not valid"]);
    assert_names(&refused(join(b"{\"__metadata__\":{\"a\":1}}", &[])), &["header"]);
    assert_names(&refused(join(b"{}", &[])), &["is missing"]);
}

#[test]
fn a_header_value_of_the_wrong_type_is_named() {
    let file = valid(Dtype::F32);
    for (key, value) in [
        ("shape", serde_json::json!([-1, 8])),
        ("shape", serde_json::json!("5x8")),
        ("shape", serde_json::json!([1e30])),
        ("dtype", serde_json::json!(3)),
        ("data_offsets", serde_json::json!([0])),
        ("data_offsets", serde_json::json!([0, -4])),
    ] {
        let damaged = with_header(&file, |json| json["lm_head.weight"][key] = value);
        assert_names(&refused(damaged), &["lm_head.weight", key]);
    }
}

#[test]
fn a_tensor_in_the_header_twice_is_named() {
    let file = valid(Dtype::F32);
    let (header, data) = split(&file);
    let json: serde_json::Value = serde_json::from_slice(header).unwrap();
    let again = format!("{{\"lm_head.weight\":{},{}", json["lm_head.weight"], &json.to_string()[1..]);
    assert_names(&refused(join(again.as_bytes(), data)), &["lm_head.weight", "twice"]);
}

#[test]
fn overlapping_tensors_holes_and_trailing_bytes_are_named() {
    let file = valid(Dtype::F32);
    let overlap = with_header(&file, |json| {
        json["decoder.levels.2.start"]["data_offsets"] =
            json["decoder.levels.1.start"]["data_offsets"].clone();
    });
    assert_names(&refused(overlap), &["decoder.levels.1.start", "decoder.levels.2.start", "overlap"]);
    let hole =
        with_header(&file, |json| drop(json.as_object_mut().unwrap().remove("decoder.levels.1.start")));
    assert_names(&refused(hole), &["before tensor", "belong to no tensor"]);
    assert_names(&refused([&file[..], &[0; 12]].concat()), &["12 bytes follow the last tensor"]);
}

#[test]
fn offsets_and_shapes_that_overflow_are_named() {
    let file = valid(Dtype::F32);
    let max = u64::MAX;
    for (shape, offsets) in [
        (serde_json::json!([max, max]), serde_json::json!([0, 0])),
        (serde_json::json!([max]), serde_json::json!([0, 4])),
        (serde_json::json!([1u64 << 62, 4]), serde_json::json!([0, 0])),
        (serde_json::json!([5, 8]), serde_json::json!([max - 3, max])),
        (serde_json::json!([5, 8]), serde_json::json!([max, 0])),
        (serde_json::json!([5, 8]), serde_json::json!([8, 4])),
        (serde_json::json!([5, 9]), serde_json::json!([0, 160])),
    ] {
        let damaged = with_header(&file, |json| {
            json["lm_head.weight"]["shape"] = shape;
            json["lm_head.weight"]["data_offsets"] = offsets;
        });
        assert_names(&refused(damaged), &["lm_head.weight"]);
    }
}

#[test]
fn a_dtype_that_is_not_read_is_named() {
    for dtype in ["F64", "I32", "BOOL", "F8_E4M3", "nonsense\n"] {
        let damaged = with_header(&valid(Dtype::F32), |json| json["lm_head.weight"]["dtype"] = dtype.into());
        assert_names(&refused(damaged), &["lm_head.weight", dtype.trim_end(), "F32, BF16 and F16"]);
    }
}

#[test]
fn missing_unknown_and_misshapen_tensors_are_named() {
    let fails = |tensors| one_line(Checkpoint::from_tensors(config(), tensors).unwrap_err());
    let missing = fails(tensors(|t| (t.name() != "lm_head.weight").then(|| t.clone())));
    assert_names(&missing, &["lm_head.weight is missing"]);
    let several = fails(tensors(|t| (!t.name().contains("layers")).then(|| t.clone())));
    assert_names(&several, &["decoder.levels.1.layers.0.", "is missing (and 26 more)"]);

    let extra = Tensor::from_f32("model.rotary.inv_freq", &[2], &[1.0, 2.0]).unwrap();
    let mut more = tensors(|t| Some(t.clone()));
    more.push(extra.clone());
    assert_names(&fails(more), &["model.rotary.inv_freq", "does not belong"]);
    let mut renamed = tensors(|t| (t.name() != "lm_head.weight").then(|| t.clone()));
    renamed.push(Tensor::from_f32("lm_haed.weight", &[5, 8], &[0.0; 40]).unwrap());
    assert_names(&fails(renamed), &["lm_head.weight is missing", "lm_haed.weight"]);
    let mut odd = tensors(|t| Some(t.clone()));
    odd.push(Tensor::from_f32("line\nfeed\u{1b}[31m", &[1], &[0.0]).unwrap());
    assert_names(&fails(odd), &["line\\nfeed"]);
    let mut twice = tensors(|t| Some(t.clone()));
    twice.push(twice[3].clone());
    assert_names(&fails(twice.clone()), &[twice[3].name(), "twice"]);

    let misshapen = fails(tensors(|t| match t.name() {
        "lm_head.weight" => Some(Tensor::from_f32(t.name(), &[8, 5], &t.to_f32()).unwrap()),
        _ => Some(t.clone()),
    }));
    assert_names(&misshapen, &["lm_head.weight", "[8, 5]", "[5, 8]"]);
}

#[test]
fn a_value_that_is_not_finite_is_named_with_its_place() {
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let damaged = tensors(|t| {
                let mut values = t.to_f32();
                if t.name() == "decoder.levels.2.converter.bias" {
                    values[13] = bad;
                }
                Some(Tensor::from_f32(t.name(), t.shape(), &values).unwrap().to_dtype(dtype))
            });
            let message = one_line(Checkpoint::from_tensors(config(), damaged).unwrap_err());
            assert_names(&message, &["decoder.levels.2.converter.bias", "NaN", "element 13"]);
        }
    }
}

#[test]
fn weights_of_another_configuration_are_refused() {
    let file = valid(Dtype::F32);
    let other = |from: &str, to: &str| {
        one_line(Checkpoint::from_bytes(&CONFIG.replace(from, to), file.clone()).unwrap_err())
    };
    assert_names(&other("\"vocab_size\":5", "\"vocab_size\":6"), &["weight has shape [5, ", "[6, "]);
    assert_names(
        &other("\"encoder_layers\":0", "\"encoder_layers\":4000"),
        &["encoder.levels.2.layers", "missing"],
    );
    let huge = other("\"vocab_size\":5", "\"vocab_size\":16777216");
    assert_names(&huge, &["weight has shape [5, ", "[16777216, "]);
    let huge = CONFIG
        .replace("\"vocab_size\":5", "\"vocab_size\":16777216")
        .replace("\"hidden_size\":8", "\"hidden_size\":16777216")
        .replace("concat", "linear");
    assert_names(&one_line(Checkpoint::from_bytes(&huge, file.clone()).unwrap_err()), &["hidden_size"]);
}

/// Seeded numbers.
struct Numbers {
    seed: u32,
    at: u32,
}

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.at += 1;
        let word = philox4x32_10([self.at, 0, 0, 0], [self.seed, 0x6d75_7461])[0];
        ((u64::from(word) * n.max(1) as u64) >> 32) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Replaces one run of digits with a number that is likely to hurt.
fn change_number(text: &str, numbers: &mut Numbers) -> String {
    let digits: Vec<usize> = text
        .char_indices()
        .filter(|(i, c)| c.is_ascii_digit() && !text[..*i].ends_with(|c: char| c.is_ascii_digit()))
        .map(|(i, _)| i)
        .collect();
    if digits.is_empty() {
        return text.into();
    }
    let start = digits[numbers.below(digits.len())];
    let end = start + text[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - start);
    let small = numbers.below(5000).to_string();
    let number = numbers.pick(&[
        "0",
        "1",
        "2",
        "3",
        "4096",
        "16777216",
        "2147483648",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "1e999",
        "0.5",
        "null",
        "\"\"",
        "[]",
        &small,
    ]);
    format!("{}{number}{}", &text[..start], &text[end..])
}

/// One random change of a file.
fn mutate(file: &mut Vec<u8>, numbers: &mut Numbers) {
    let header = u64::from_le_bytes(*file.first_chunk().unwrap_or(&[0; 8])) as usize;
    let header = (header.saturating_add(8)).min(file.len());
    // Most damage goes where the structure is.
    let place = if numbers.below(4) > 0 { numbers.below(header) } else { numbers.below(file.len()) };
    let span = |numbers: &mut Numbers| (place, (place + 1 + numbers.below(64)));
    match numbers.below(8) {
        _ if file.is_empty() => file.extend([8, 0, 0, 0, 0, 0, 0, 0]),
        0 => file[place] ^= 1 << numbers.below(8),
        1 => file[place] = numbers.below(256) as u8,
        2 => file.truncate(place),
        3 => {
            let (start, end) = span(numbers);
            drop(file.drain(start..end.min(file.len())));
        }
        4 => {
            let (start, end) = span(numbers);
            let piece = file[start..end.min(file.len())].to_vec();
            let at = numbers.below(header);
            drop(file.splice(at..at, piece));
        }
        5 if file.len() > 8 => {
            let length = [0, 1, header as u64, u64::MAX, numbers.below(1 << 20) as u64][numbers.below(5)];
            file[..8].copy_from_slice(&length.to_le_bytes());
        }
        _ if header > 8 => {
            if let Ok(text) = std::str::from_utf8(&file[8..header]) {
                let text = change_number(text, numbers);
                *file = join(text.as_bytes(), &file[header..]);
            }
        }
        _ => file.push(numbers.below(256) as u8),
    }
}

#[test]
fn thousands_of_mutations_give_an_error_or_a_valid_checkpoint() {
    let originals = [valid(Dtype::F32), valid(Dtype::Bf16)];
    let (mut accepted, mut rejected) = (0, 0);
    LARGEST.store(0, Ordering::Relaxed);
    for seed in 0..12_000u32 {
        let mut numbers = Numbers { seed, at: 0 };
        let mut file = originals[numbers.below(2)].clone();
        let mut text = CONFIG.to_string();
        if numbers.below(5) == 0 {
            text = change_number(&text, &mut numbers);
        } else {
            for _ in 0..=numbers.below(3) {
                mutate(&mut file, &mut numbers);
            }
        }
        match Checkpoint::from_bytes(&text, file) {
            Err(error) => {
                one_line(error);
                rejected += 1;
            }
            Ok(checkpoint) => {
                let expected = layout(checkpoint.config());
                assert_eq!(expected.len(), checkpoint.tensors().len(), "seed {seed}");
                for (name, shape) in expected {
                    let tensor = checkpoint.get(&name).unwrap();
                    assert_eq!(tensor.shape(), shape, "seed {seed}");
                    assert!(tensor.to_f32().iter().all(|x| x.is_finite()), "seed {seed}: {name}");
                }
                accepted += 1;
            }
        }
    }
    // Both outcomes must be common for the test to mean anything.
    assert!(accepted > 300 && rejected > 6000, "{accepted} accepted, {rejected} rejected");
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= 32 << 20, "an allocation of {largest} bytes");
}
