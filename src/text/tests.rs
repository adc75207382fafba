//! What the tokenizer layer must hold, on a byte-level tokenizer small enough to be written here.

use super::*;

/// The printable stand-ins of byte-level BPE, in order of the bytes they stand for.
fn byte_alphabet() -> Vec<char> {
    let plain = |b: u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut next = 256;
    (0..256u32)
        .map(|b| {
            let code = if plain(b) {
                b
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap()
        })
        .collect()
}

/// 256 byte tokens, `he` and `llo` as merges, and one special token.
fn file(dir: &Path) -> std::path::PathBuf {
    let mut vocab: serde_json::Map<String, serde_json::Value> =
        byte_alphabet().into_iter().enumerate().map(|(i, c)| (c.to_string(), i.into())).collect();
    for (i, word) in ["he", "ll", "llo"].iter().enumerate() {
        vocab.insert(word.to_string(), (256 + i).into());
    }
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [{"id": 259, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
                          "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab,
                  "merges": [["h", "e"], ["l", "l"], ["ll", "o"]]},
    });
    let path = dir.join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    path
}

fn tokenizer() -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    Tokenizer::from_file(file(dir.path())).unwrap()
}

const MIXED: &str = "hello, naïve café – 日本語 🦀🇫🇷 \u{fffd} e\u{301}\n\ttail";

#[test]
fn the_bytes_of_the_tokens_add_up_to_the_text() {
    let t = tokenizer();
    assert_eq!(t.encode_with_bytes("hello").unwrap(), (vec![256, 258], vec![2, 3]));
    // Three tokens for one character: its bytes count once.
    assert_eq!(t.encode_with_bytes("a日b").unwrap().1, [1, 3, 0, 0, 1]);
    for text in ["", " ", "hello", "a<|end|>b", "two  spaces ", MIXED] {
        let (tokens, bytes) = t.encode_with_bytes(text).unwrap();
        assert_eq!(tokens, t.encode(text).unwrap());
        assert_eq!(bytes.len(), tokens.len());
        assert_eq!(bytes.iter().sum::<usize>(), text.len(), "{text:?}");
    }
}

#[test]
fn text_survives_the_round_trip() {
    let t = tokenizer();
    assert_eq!(t.encode("hello").unwrap(), [256, 258]);
    for text in ["", " ", "hello", MIXED] {
        assert_eq!(t.decode(&t.encode(text).unwrap()).unwrap(), text);
    }
}

#[test]
fn special_tokens_are_neither_added_nor_shown() {
    let t = tokenizer();
    assert!(t.encode("").unwrap().is_empty());
    assert_eq!(t.decode(&[256, 259, 258]).unwrap(), "hello");
    assert_eq!(t.decode(&[256, 4000]).unwrap(), "he");
}

#[test]
fn streamed_pieces_are_whole_characters_and_make_up_the_text() {
    let t = tokenizer();
    let text = MIXED.repeat(20);
    let ids = t.encode(&text).unwrap();
    for step in [1, 2, 3, 7, 16, 1000] {
        let mut stream = t.stream();
        let mut all = String::new();
        for ids in ids.chunks(step) {
            let piece = stream.push(ids).unwrap();
            assert!(text[all.len()..].starts_with(&piece), "step {step}: {piece:?}");
            all += &piece;
        }
        assert_eq!(all + &stream.finish().unwrap(), text, "step {step}");
    }
}

#[test]
fn a_character_comes_with_its_last_byte() {
    let t = tokenizer();
    let ids = t.encode("a🦀").unwrap();
    assert_eq!(ids.len(), 5);
    let mut stream = t.stream();
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(&[id]).unwrap()).collect();
    assert_eq!(pieces, ["a", "", "", "", "🦀"]);
    assert_eq!(stream.finish().unwrap(), "");
}

#[test]
fn bytes_that_never_become_a_character_are_not_lost() {
    let t = tokenizer();
    let ids: Vec<u32> = (0..300).map(|i| if i % 50 == 49 { 104 } else { 128 + i % 128 }).collect();
    let whole = t.decode(&ids).unwrap();
    let mut stream = t.stream();
    let mut all = String::new();
    for &id in &ids {
        all += &stream.push(&[id]).unwrap();
    }
    assert_eq!(all + &stream.finish().unwrap(), whole);
    let mut cut = t.stream();
    assert_eq!(cut.push(&[0xf0, 0x9f]).unwrap(), "");
    assert_eq!(cut.finish().unwrap(), "\u{fffd}");
}

#[test]
fn a_vocabulary_larger_than_the_models_is_refused() {
    let config = |vocab: usize| {
        Config::from_json(&format!(
            "{{\"model_type\":\"vanilla\",\"vocab_size\":{vocab},\"hidden_size\":4,\"intermediate_size\":4,\
             \"num_attention_heads\":1,\"layers\":1}}"
        ))
        .unwrap()
    };
    let t = tokenizer();
    assert_eq!(t.vocab_size(), 260);
    t.check(&config(260)).unwrap();
    t.check(&config(512)).unwrap();
    let message = t.check(&config(259)).unwrap_err().to_string();
    assert!(message.contains("260") && message.contains("vocab_size is 259"), "{message}");
}

#[test]
fn a_damaged_file_is_named_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in
        ["", "{", "[]", "{}", &good[..good.len() / 2], &good.replace("\"BPE\"", "\"no\\nsuch\""), "\u{0}"]
    {
        std::fs::write(&path, bad).unwrap();
        let message = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(message.contains("tokenizer.json") && !message.contains('\n'), "{message}");
    }
    assert!(
        Tokenizer::from_file(dir.path().join("none.json")).unwrap_err().to_string().contains("none.json")
    );
}
