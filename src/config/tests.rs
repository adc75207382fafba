//! What reading `config.json` must hold.

use super::*;
use crate::checkpoint::layout;

const PHOTON: &str = r#"{"model_type":"photon","vocab_size":32000,"hidden_size":1664,"intermediate_size":4096,
 "num_attention_heads":32,"num_key_value_heads":32,"rms_norm_eps":1e-5,"rope_theta":10000.0,
 "encoder_embedding_size":416,"condition":"current",
 "levels":[{"chunk_length":4,"chunker":"concat","encoder_layers":4,"decoder_layers":4,"prefix_length":2},
           {"chunk_length":4,"chunker":"linear","encoder_layers":4,"decoder_layers":4,"prefix_length":2}],
 "max_position_embeddings":4096,"bos_token_id":null,"eos_token_id":null}"#;

const VANILLA: &str = r#"{"model_type":"vanilla","vocab_size":100,"hidden_size":16,"intermediate_size":24,
 "num_attention_heads":4,"layers":3}"#;

/// The example with one value replaced, removed (`None`) or added, at a path such as `/levels/0/chunker`.
fn changed(text: &str, path: &str, value: Option<serde_json::Value>) -> String {
    let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let object = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(key.into(), value),
        None => object.remove(key),
    };
    json.to_string()
}

fn refused(text: &str) -> String {
    let message = Config::from_json(text).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn the_example_reads_as_written() {
    let config = Config::from_json(PHOTON).unwrap();
    assert_eq!((config.depth(), config.meta_context(), config.head_dim()), (2, 16, 52));
    assert_eq!((config.chunk_input(1), config.chunk_input(2)), (1664, 6656));
    assert_eq!((config.units(0), config.units(1), config.units(2)), (16, 4, 1));
    assert_eq!(config.condition, Condition::Current);
    assert_eq!((config.bos_token_id, config.eos_token_id, config.layers), (None, None, None));
}

#[test]
fn written_and_read_again_nothing_changes() {
    for text in [PHOTON, VANILLA] {
        let config = Config::from_json(text).unwrap();
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
        assert_eq!(serde_json::from_str::<Config>(&config.to_json()).unwrap(), config);
    }
    let eos = Config { eos_token_id: Some(7), ..Config::from_json(PHOTON).unwrap() };
    assert_eq!(Config::from_json(&eos.to_json()).unwrap(), eos);
}

#[test]
fn what_is_written_has_every_key_of_the_format_and_no_other() {
    let written: serde_json::Value =
        serde_json::from_str(&Config::from_json(PHOTON).unwrap().to_json()).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(PHOTON).unwrap());
    let vanilla = Config::from_json(VANILLA).unwrap().to_json();
    assert!(!vanilla.contains("condition") && !vanilla.contains("encoder_embedding_size"), "{vanilla}");
}

#[test]
fn absent_keys_have_defaults() {
    let mut text = PHOTON.to_string();
    for key in [
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_theta",
        "encoder_embedding_size",
        "condition",
        "max_position_embeddings",
        "bos_token_id",
        "eos_token_id",
    ] {
        text = changed(&text, &format!("/{key}"), None);
    }
    assert_eq!(Config::from_json(&text).unwrap(), Config::from_json(PHOTON).unwrap());
}

#[test]
fn an_unknown_key_is_named() {
    assert!(refused(&changed(PHOTON, "/hiden_size", Some(1.into()))).contains("hiden_size"));
    let message = refused(&changed(PHOTON, "/levels/1/chunk_size", Some(4.into())));
    assert!(message.contains("levels[1]") && message.contains("chunk_size"), "{message}");
}

#[test]
fn a_missing_key_is_named() {
    for key in ["model_type", "vocab_size", "hidden_size", "intermediate_size", "num_attention_heads"] {
        assert!(refused(&changed(PHOTON, &format!("/{key}"), None)).contains(key));
    }
    let message = refused(&changed(PHOTON, "/levels/1/prefix_length", None));
    assert!(message.contains("levels[1]") && message.contains("prefix_length"), "{message}");
    assert!(refused(&changed(VANILLA, "/layers", None)).contains("layers is missing"));
    assert!(refused(&changed(PHOTON, "/levels", None)).contains("levels"));
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    for (path, shown) in [
        ("/vocab_size", "vocab_size"),
        ("/rope_theta", "rope_theta"),
        ("/condition", "condition"),
        ("/levels", "levels"),
        ("/levels/0/chunker", "levels[0].chunker"),
        ("/levels/1/encoder_layers", "levels[1].encoder_layers"),
        ("/eos_token_id", "eos_token_id"),
    ] {
        for value in ["a string".into(), serde_json::json!({"a": 1}), true.into()] {
            let message = refused(&changed(PHOTON, path, Some(value)));
            assert!(message.contains(shown), "{path}: {message}");
        }
    }
    assert!(refused(&changed(PHOTON, "/vocab_size", Some((-3).into()))).contains("vocab_size"));
    assert!(refused(&changed(PHOTON, "/vocab_size", Some(3.5.into()))).contains("vocab_size"));
    assert!(refused(&PHOTON.replace("32000", "99999999999999999999999")).contains("vocab_size"));
    assert!(refused(&PHOTON.replace("10000.0", "1e999")).contains("rope_theta"));
    assert!(refused(&PHOTON.replace("null", "4294967296")).contains("bos_token_id"));
}

#[test]
fn a_value_out_of_range_is_named() {
    for (path, value) in [
        ("/vocab_size", 0.into()),
        ("/vocab_size", (1u64 << 40).into()),
        ("/hidden_size", 0.into()),
        ("/hidden_size", u64::MAX.into()),
        ("/intermediate_size", 0.into()),
        ("/num_attention_heads", 0.into()),
        ("/num_attention_heads", 31.into()),
        ("/num_key_value_heads", 0.into()),
        ("/num_key_value_heads", 5.into()),
        ("/num_key_value_heads", 64.into()),
        ("/rms_norm_eps", (-1e-5).into()),
        ("/rope_theta", 0.0.into()),
        ("/encoder_embedding_size", 0.into()),
        ("/max_position_embeddings", 0.into()),
        ("/bos_token_id", 32000.into()),
        ("/eos_token_id", u32::MAX.into()),
        ("/levels/0/chunk_length", 0.into()),
        ("/levels/1/chunk_length", u64::MAX.into()),
        ("/levels/0/prefix_length", 0.into()),
        ("/levels/1/prefix_length", 100_000.into()),
        ("/levels/1/encoder_layers", 1_000_000.into()),
        ("/levels/0/decoder_layers", 1_000_000.into()),
    ] {
        let message = refused(&changed(PHOTON, path, Some(value)));
        assert!(message.contains(path.rsplit('/').next().unwrap()), "{path}: {message}");
    }
    assert!(refused(&changed(PHOTON, "/levels", Some(serde_json::json!([])))).contains("levels"));
    assert!(refused(&changed(VANILLA, "/layers", Some(0.into()))).contains("layers is 0"));
    assert!(
        refused(&changed(VANILLA, "/encoder_embedding_size", Some(4.into())))
            .contains("encoder_embedding_size")
    );
    assert!(refused(&changed(PHOTON, "/layers", Some(4.into()))).contains("layers"));
    assert!(refused(&changed(PHOTON, "/hidden_size", Some(1696.into()))).contains("head_dim 53"));
    assert!(
        refused(&changed(PHOTON, "/encoder_embedding_size", Some(400.into()))).contains("levels[0].chunker")
    );
}

#[test]
fn sizes_whose_product_makes_no_sense_are_refused() {
    let huge =
        PHOTON.replace("\"concat\"", "\"linear\"").replace("32000", "16777216").replace("1664", "16777216");
    assert!(refused(&huge).contains("parameters"));
    let long = changed(PHOTON, "/levels/1/chunk_length", Some(4000.into()))
        .replace("\"concat\"", "\"linear\"")
        .replace("\"chunk_length\":4,", "\"chunk_length\":4000,");
    assert!(refused(&long).contains("meta-context"));
    let level = r#"{"chunk_length":1,"chunker":"linear","encoder_layers":4000,"decoder_layers":4000,"prefix_length":1}"#;
    assert!(
        refused(&changed(PHOTON, "/levels", Some(serde_json::from_str(&format!("[{level}]")).unwrap())))
            .contains("8000 layers")
    );
}

#[test]
fn damaged_text_gives_one_line() {
    for text in [
        "",
        "null",
        "[]",
        "{",
        "{\"a\n\n\":1}",
        "\u{0}",
        "{}{}",
        &format!("{PHOTON} x"),
        &"[".repeat(100_000),
    ] {
        refused(text);
    }
    assert!(refused("{\"no\\nsuch\\u2028key\":1}").contains("no\\nsuch"));
    assert!(refused(&format!("{{\"{}\":1}}", "k".repeat(100_000))).len() < 300);
}

#[test]
fn parameters_are_those_of_the_layout() {
    let gqa = PHOTON.replace("\"num_key_value_heads\":32", "\"num_key_value_heads\":4");
    let linear = PHOTON.replace("\"concat\"", "\"linear\"").replace("416", "100");
    for text in [PHOTON, VANILLA, &gqa, &linear] {
        let config = Config::from_json(text).unwrap();
        let sum: usize = layout(&config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(config.parameters(), sum as u64);
    }
}
