//! Models whose weights are set by hand, so that outputs show which unit went where.

use super::model::Body;
use super::{Mode, Real, Reference, Rows};
use crate::checkpoint::{Checkpoint, Dtype};
use crate::config::{Condition, Config};
use crate::sampling::Sampling;

/// Tokens in the vocabulary of the transparent model; ids 0..10 are for texts.
const V: usize = 12;
/// Its width: a level-1 chunk is two one-hot rows of `V`.
const D: usize = 2 * V;

fn zeros(rows: usize) -> Rows<f64> {
    vec![vec![0.0; D]; rows]
}

fn one_hot(index: usize, value: f64) -> Vec<f64> {
    (0..D).map(|i| if i == index { value } else { 0.0 }).collect()
}

/// Two levels of two, stacks of no layers (their final norm only scales), and:
/// the encoder embeds token `v` as one-hot `v`, so a level-1 unit shows its two tokens at `v` and `V + v`;
/// a level-2 unit is that of its last (or first) chunk; converters put zeros into all prefix rows but the last,
/// which is the latent; the decoder embeds `v` as one-hot `v` with a minus sign; `s_1` shows 10, `s_2` shows 11.
fn transparent(condition: &str, unit: usize) -> Reference<f64> {
    let config = format!(
        r#"{{"model_type":"photon","vocab_size":{V},"hidden_size":{D},"intermediate_size":4,"num_attention_heads":2,
        "encoder_embedding_size":{V},"condition":"{condition}","levels":[
        {{"chunk_length":2,"chunker":"concat","encoder_layers":0,"decoder_layers":0,"prefix_length":3}},
        {{"chunk_length":2,"chunker":"linear","encoder_layers":0,"decoder_layers":0,"prefix_length":2}}]}}"#
    );
    let config = Config::from_json(&config).unwrap();
    let mut model = Reference::new(&Checkpoint::random(&config, 1, Dtype::F32).unwrap()).unwrap();
    let Body::Hierarchy(body) = &mut model.body else { unreachable!() };
    body.encoder_table = (0..V).map(|v| one_hot(v, 1.0)[..V].to_vec()).collect();
    body.decoder_table = (0..V).map(|v| one_hot(v, -1.0)).collect();
    for (index, level) in body.levels.iter_mut().enumerate() {
        level.start = one_hot(10 + index, 1.0);
        level.encoder.norm = vec![1.0; D];
        level.decoder.norm = vec![1.0; D];
        let latent = (0..D).map(|i| one_hot(i, 1.0));
        level.converter.0 = zeros((level.shape.prefix_length - 1) * D).into_iter().chain(latent).collect();
        level.converter.1 = vec![0.0; level.shape.prefix_length * D];
    }
    let chunker = body.levels[1].chunker.as_mut().unwrap();
    chunker.gain = vec![1.0; 2 * D];
    chunker.bias = vec![0.0; D];
    chunker.weight =
        (0..D).map(|i| [one_hot(i, (1 - unit) as f64), one_hot(i, unit as f64)].concat()).collect();
    model
}

/// The indexes that a row shows, those with a minus sign as `-1 - index`.
fn shown(row: &[f64]) -> Vec<i32> {
    (0..D as i32)
        .filter(|&i| row[i as usize].abs() > 1e-9)
        .map(|i| if row[i as usize] < 0.0 { -1 - i } else { i })
        .collect()
}

/// What the level-1 unit of chunk `g` of `tokens` shows.
fn unit(tokens: &[u32], g: usize) -> Vec<i32> {
    vec![tokens[2 * g] as i32, V as i32 + tokens[2 * g + 1] as i32]
}

const TOKENS: [u32; 16] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3];

#[test]
fn chunkers_take_units_in_order() {
    for chosen in 0..2 {
        let x = transparent("current", chosen).encode(&TOKENS[..15]).unwrap();
        assert_eq!(x.iter().map(Vec::len).collect::<Vec<_>>(), [15, 7, 3]);
        for (g, row) in x[1].iter().enumerate() {
            assert_eq!(shown(row), unit(&TOKENS, g), "chunk {g}");
        }
        for (m, row) in x[2].iter().enumerate() {
            assert_eq!(shown(row), unit(&TOKENS, 2 * m + chosen), "meta-context {m}");
        }
    }
}

/// Where the latent of a level-1 chunk comes from.
enum From {
    /// The start latent of this level.
    Start(i32),
    /// The encoder's unit of this chunk.
    Chunk(usize),
}
use From::{Chunk, Start};

fn assert_latents(condition: &str, prompt: usize, mode: Mode, expected: &[From]) {
    let rows = transparent(condition, 1).reconstruct(&TOKENS, prompt, mode).unwrap();
    assert_eq!((rows[0].len(), rows[1].len()), (16, 8));
    for (g, from) in expected.iter().enumerate() {
        let latent = match *from {
            Start(level) => vec![9 + level],
            Chunk(chunk) => unit(&TOKENS, chunk),
        };
        let what = format!("{condition} {mode:?} after {prompt}, chunk {g}");
        assert_eq!(shown(&rows[0][2 * g]), latent, "{what}: last prefix row");
        assert_eq!(shown(&rows[0][2 * g + 1]), [-1 - TOKENS[2 * g] as i32], "{what}: content");
    }
}

#[test]
fn exact_conditions_on_the_chunk_before() {
    // X̂_1 of a meta-context: its first unit is the top unit before, its second is the content, X_1 of the first chunk.
    let current = [Start(2), Chunk(0), Chunk(1), Chunk(2), Chunk(3), Chunk(4), Chunk(5), Chunk(6)];
    assert_latents("current", 0, Mode::Exact, &current);
    let previous = [Start(1), Start(2), Chunk(0), Chunk(1), Chunk(2), Chunk(3), Chunk(4), Chunk(5)];
    assert_latents("previous", 0, Mode::Exact, &previous);
}

#[test]
fn hiergen_feeds_its_own_outputs() {
    // The second unit repeats the first: the content is the first prediction.
    let current = [Start(2), Start(2), Chunk(1), Chunk(1), Chunk(3), Chunk(3), Chunk(5), Chunk(5)];
    let previous = [Start(1), Start(2), Start(2), Chunk(1), Chunk(1), Chunk(3), Chunk(3), Chunk(5)];
    for mode in [Mode::HierGen, Mode::RecGen { refresh: Some(1) }] {
        assert_latents("current", 0, mode, &current);
        assert_latents("previous", 0, mode, &previous);
    }
    // Past its end the prompt of RecGen is HierGen's, too.
    assert_latents("previous", 16, Mode::RecGen { refresh: None }, &previous);
}

#[test]
fn recgen_stays_with_what_the_prompt_left() {
    let alone = Mode::RecGen { refresh: None };
    let start = || [Start(2), Start(2), Start(2), Start(2), Start(2), Start(2), Start(2), Start(2)];
    assert_latents("current", 0, alone, &start());
    let mut previous = start();
    previous[0] = Start(1);
    assert_latents("previous", 0, alone, &previous);

    let current = [Start(2), Start(2), Chunk(1), Chunk(1), Chunk(1), Chunk(1), Chunk(1), Chunk(1)];
    let previous = [Start(1), Start(2), Start(2), Chunk(1), Chunk(1), Chunk(1), Chunk(1), Chunk(1)];
    assert_latents("current", 4, alone, &current);
    assert_latents("previous", 4, alone, &previous);
}

#[test]
fn refresh_replaces_the_last_reconstructed_units() {
    let two = Mode::RecGen { refresh: Some(2) };
    let current = [Start(2), Start(2), Start(2), Start(2), Chunk(3), Chunk(3), Chunk(3), Chunk(3)];
    let previous = [Start(1), Start(2), Start(2), Start(2), Start(2), Chunk(3), Chunk(3), Chunk(3)];
    assert_latents("current", 0, two, &current);
    assert_latents("previous", 0, two, &previous);
    // Counted from the end of the prompt: behind one meta-context, the third one is the first to be refreshed.
    let current = [Start(2), Start(2), Chunk(1), Chunk(1), Chunk(1), Chunk(1), Chunk(5), Chunk(5)];
    assert_latents("current", 4, two, &current);
}

/// Theorem A.6 on a model where `X̂_{L-1} = X_{L-1}` because the norms before the bottleneck make constants of both.
#[test]
fn recgen_draws_what_hiergen_draws_where_the_bottleneck_is_faithful() {
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 0.95, min_p: 0.01, seed: 5 };
    for condition in ["current", "previous"] {
        let text = |model: &Reference<f64>, mode| model.generate(&[1, 2, 3], 17, mode, &sampling, 9).unwrap();
        let mut model = layered(condition);
        let differ = text(&model, Mode::HierGen) != text(&model, Mode::RecGen { refresh: None });
        assert!(differ, "the unchanged model must tell the modes apart");

        let Body::Hierarchy(body) = &mut model.body else { unreachable!() };
        body.levels[0].encoder.norm.fill(0.0);
        body.levels[1].decoder.norm.fill(0.0);
        let hiergen = text(&model, Mode::HierGen);
        assert_eq!(hiergen, text(&model, Mode::RecGen { refresh: None }));
        assert_eq!(hiergen, text(&model, Mode::RecGen { refresh: Some(2) }));
    }
}

/// Random weights, large enough for the context to matter.
fn layered(condition: &str) -> Reference<f64> {
    let config = format!(
        r#"{{"model_type":"photon","vocab_size":16,"hidden_size":8,"intermediate_size":12,"num_attention_heads":2,
        "num_key_value_heads":1,"condition":"{condition}","levels":[
        {{"chunk_length":2,"chunker":"concat","encoder_layers":1,"decoder_layers":1,"prefix_length":2}},
        {{"chunk_length":2,"chunker":"linear","encoder_layers":1,"decoder_layers":1,"prefix_length":2}}]}}"#
    );
    let config = Config::from_json(&config).unwrap();
    let mut model: Reference<f64> =
        Reference::new(&Checkpoint::random(&config, 3, Dtype::F32).unwrap()).unwrap();
    assert_eq!(model.config().condition == Condition::Previous, condition == "previous");
    for x in model.head.iter_mut().flatten() {
        *x = x.times(3.0);
    }
    model
}
