//! What checkpoints must hold when all is well. Damage is in `tests/checkpoint_bad_input.rs`.

use half::{bf16, f16};

use super::*;

const TINY: &str = r#"{"model_type":"photon","vocab_size":11,"hidden_size":12,"intermediate_size":10,
 "num_attention_heads":6,"num_key_value_heads":2,
 "levels":[{"chunk_length":3,"chunker":"concat","encoder_layers":1,"decoder_layers":2,"prefix_length":2},
           {"chunk_length":2,"chunker":"linear","encoder_layers":1,"decoder_layers":1,"prefix_length":1}]}"#;

fn tiny() -> Config {
    Config::from_json(TINY).unwrap()
}

fn same(a: &Checkpoint, b: &Checkpoint) -> bool {
    a.config() == b.config()
        && a.tensors().len() == b.tensors().len()
        && a.tensors().zip(b.tensors()).all(|(a, b)| {
            a.name() == b.name()
                && a.shape() == b.shape()
                && a.dtype() == b.dtype()
                && a.len() == b.len()
                && a.bytes() == b.bytes()
        })
}

#[test]
fn saved_and_opened_again_nothing_changes() {
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        let dir = tempfile::tempdir().unwrap();
        let made = Checkpoint::random(&tiny(), 3, dtype).unwrap();
        made.save(dir.path()).unwrap();
        let opened = Checkpoint::open(dir.path()).unwrap();
        assert!(same(&made, &opened));
        assert_eq!(opened.dtype(), dtype);
        // Over itself, while mapped.
        opened.save(dir.path()).unwrap();
        assert!(same(&made, &Checkpoint::open(dir.path()).unwrap()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        let json = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
        let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
        assert!(same(&made, &Checkpoint::from_bytes(&json, bytes).unwrap()));
    }
}

#[test]
fn bytes_are_aligned_wherever_the_file_puts_them() {
    let dir = tempfile::tempdir().unwrap();
    let made = Checkpoint::random(&tiny(), 3, Dtype::F32).unwrap();
    made.save(dir.path()).unwrap();
    let file = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(*file.first_chunk().unwrap());
    for extra in 0..4u64 {
        // Spaces after the header move the data.
        let mut moved = (length + extra).to_le_bytes().to_vec();
        moved.extend(&file[8..8 + length as usize]);
        moved.extend(std::iter::repeat_n(b' ', extra as usize));
        moved.extend(&file[8 + length as usize..]);
        let read = Checkpoint::from_bytes(TINY, moved).unwrap();
        assert!(same(&made, &read));
        assert!(read.tensors().all(|t| t.bytes().as_ptr().addr() % 4 == 0));
        assert!(read.tensors().all(|t| t.as_f32().unwrap() == t.to_f32()));
    }
}

#[test]
fn random_weights_depend_on_name_and_seed_alone() {
    let a = Checkpoint::random(&tiny(), 1, Dtype::F32).unwrap();
    assert!(same(&a, &Checkpoint::random(&tiny(), 1, Dtype::F32).unwrap()));
    let b = Checkpoint::random(&tiny(), 2, Dtype::F32).unwrap();
    let deeper = Config { vocab_size: 11, intermediate_size: 14, ..tiny() };
    let c = Checkpoint::random(&deeper, 1, Dtype::F32).unwrap();
    for tensor in a.tensors() {
        assert_ne!(tensor.bytes(), b.get(tensor.name()).unwrap().bytes(), "{}", tensor.name());
        let other = c.get(tensor.name()).unwrap();
        assert_eq!(tensor.bytes() == other.bytes(), tensor.shape() == other.shape(), "{}", tensor.name());
    }
    let narrow = Checkpoint::random(&tiny(), 1, Dtype::Bf16).unwrap();
    assert!(same(&narrow, &a.to_dtype(Dtype::Bf16)));
}

#[test]
fn random_weights_have_a_sane_scale_and_no_parameter_is_neutral() {
    let config = Config {
        vocab_size: 500,
        hidden_size: 120,
        intermediate_size: 300,
        encoder_embedding_size: 40,
        ..tiny()
    };
    let weights = Checkpoint::random(&config, 5, Dtype::F32).unwrap();
    for tensor in weights.tensors() {
        let values = tensor.to_f32();
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt();
        let (m, d) = if tensor.name().ends_with("norm.weight") {
            (1.0, 0.1)
        } else if tensor.name().ends_with("bias") {
            (0.0, 0.1)
        } else if tensor.name().ends_with("start") {
            (0.0, 0.5)
        } else if tensor.name().contains("embed") {
            (0.0, 1.0)
        } else {
            (0.0, 1.0 / (tensor.shape()[1] as f32).sqrt())
        };
        assert!((mean - m).abs() < 5.0 * d / n.sqrt(), "{tensor:?}: mean {mean}");
        assert!((deviation / d - 1.0).abs() < 4.0 / n.sqrt(), "{tensor:?}: deviation {deviation}");
    }
}

#[test]
fn random_weights_beyond_memory_are_an_error() {
    let config = Config {
        vocab_size: 1 << 22,
        hidden_size: 3 << 17,
        encoder_embedding_size: 1 << 17,
        num_attention_heads: 2,
        ..tiny()
    };
    let message = Checkpoint::random(&config, 1, Dtype::F32).unwrap_err().to_string();
    assert!(message.contains("memory"), "{message}");
}

#[test]
fn conversion_rounds_to_nearest_even_and_shares_what_is_equal() {
    let values = [1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -0.0, 1e-40, 65504.0];
    let tensor = Tensor::from_f32("t", &[2, 3], &values).unwrap();
    assert_eq!(tensor.to_dtype(Dtype::F32).bytes().as_ptr(), tensor.bytes().as_ptr());
    let narrow = tensor.to_dtype(Dtype::Bf16);
    assert_eq!((narrow.name(), narrow.shape(), narrow.len()), ("t", &[2, 3][..], 6));
    assert_eq!(narrow.as_bf16().unwrap(), values.map(bf16::from_f32));
    assert_eq!(narrow.to_f32()[..3], [1.0, 1.0, 1.0 + 4.0 / 256.0]);
    assert_eq!(tensor.to_dtype(Dtype::F16).as_f16().unwrap(), values.map(f16::from_f32));
    let round = narrow.to_dtype(Dtype::F16).to_dtype(Dtype::F32);
    assert_eq!(round.to_f32()[..3], narrow.to_f32()[..3]);
    assert_eq!(narrow.to_dtype(Dtype::F32).as_f32().unwrap(), narrow.to_f32());
    assert!(narrow.as_f32().is_none());
}

#[test]
fn rounding_to_bf16_is_that_of_the_half_crate() {
    // Every upper half, with lower halves around the points where rounding turns.
    for upper in 0..=u16::MAX {
        for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
            let x = f32::from_bits(u32::from(upper) << 16 | lower);
            assert_eq!(tensor::round_bf16(x).to_bits(), bf16::from_f32(x).to_bits(), "{:#x}", x.to_bits());
        }
    }
}

#[test]
fn a_shape_that_its_values_do_not_fill_is_an_error() {
    assert!(Tensor::from_f32("t", &[2, 3], &[0.0; 5]).unwrap_err().to_string().contains("values of t"));
    assert!(Tensor::from_f32("t", &[usize::MAX, usize::MAX], &[0.0; 1]).is_err());
    assert!(Tensor::from_f32("t", &[0], &[]).unwrap().is_empty());
}

#[test]
fn the_first_non_finite_value_is_found_in_every_dtype() {
    for (at, bad) in [(0, f32::NAN), (70_000, f32::INFINITY), (199_999, f32::NEG_INFINITY)] {
        let mut values = vec![1.0; 200_000];
        values[at] = bad;
        values[199_999] = if at == 0 { f32::NAN } else { values[199_999] };
        let tensor = Tensor::from_f32("t", &[200_000], &values).unwrap();
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
            assert_eq!(tensor.to_dtype(dtype).first_non_finite(), Some(at));
        }
    }
    assert_eq!(Tensor::from_f32("t", &[3], &[f32::MAX, f32::MIN, 0.0]).unwrap().first_non_finite(), None);
}

#[test]
fn the_layout_is_that_of_the_format() {
    let all = layout(&tiny());
    let shape = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, shape)| shape.as_slice());
    assert_eq!(all.len(), 3 + 3 + 2 * 3 + 4 + 9 * 5);
    for (name, expected) in [
        ("encoder.embed_tokens.weight", &[11, 4][..]),
        ("encoder.levels.2.chunker.norm.weight", &[24]),
        ("encoder.levels.2.chunker.proj.weight", &[12, 24]),
        ("encoder.levels.2.chunker.proj.bias", &[12]),
        ("decoder.levels.1.start", &[12]),
        ("decoder.levels.1.converter.weight", &[24, 12]),
        ("decoder.levels.2.converter.bias", &[12]),
        ("decoder.embed_tokens.weight", &[11, 12]),
        ("lm_head.weight", &[11, 12]),
        ("decoder.levels.2.norm.weight", &[12]),
        ("decoder.levels.1.layers.1.self_attn.k_proj.weight", &[4, 12]),
        ("encoder.levels.1.layers.0.self_attn.o_proj.weight", &[12, 12]),
        ("encoder.levels.1.layers.0.mlp.down_proj.weight", &[12, 10]),
        ("encoder.levels.1.layers.0.post_attention_layernorm.weight", &[12]),
    ] {
        assert_eq!(shape(name), Some(expected), "{name}");
    }
    assert_eq!(shape("encoder.levels.1.chunker.proj.weight"), None);
    let flat = Config::from_json(
        r#"{"model_type":"vanilla","vocab_size":9,"hidden_size":4,"intermediate_size":6,"num_attention_heads":1,"layers":2}"#,
    )
    .unwrap();
    let names: Vec<String> = layout(&flat).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 3 + 2 * 9);
    for name in ["embed_tokens.weight", "layers.1.mlp.up_proj.weight", "norm.weight", "lm_head.weight"] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
}

#[test]
fn dtype_names_read_as_written() {
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        assert_eq!(dtype.to_string().parse::<Dtype>().unwrap(), dtype);
    }
    assert!("f64".parse::<Dtype>().unwrap_err().to_string().contains("f64"));
}
