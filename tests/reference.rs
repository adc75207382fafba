//! What the reference must satisfy whatever the weights: which tokens a distribution depends on, and that
//! generating, scoring and encoding agree.

use half::bf16;
use photon_kernels::Config;
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::reference::{Mode, Real, Reference};
use photon_kernels::sampling::Sampling;

const ALONE: Mode = Mode::RecGen { refresh: None };

/// A photon model of width 12 over 17 tokens; a level is (`C_l`, `R_l`), the first chunker concatenates.
fn photon(levels: &[(usize, usize)], kv_heads: usize, condition: &str) -> Config {
    let levels: Vec<String> = levels
        .iter()
        .enumerate()
        .map(|(i, (chunk, prefix))| {
            let chunker = if i == 0 { "concat" } else { "linear" };
            let layers = 1 + i % 2;
            format!(
                r#"{{"chunk_length":{chunk},"chunker":"{chunker}","encoder_layers":{layers},
                "decoder_layers":1,"prefix_length":{prefix}}}"#
            )
        })
        .collect();
    let text = format!(
        r#"{{"model_type":"photon","vocab_size":17,"hidden_size":12,"intermediate_size":20,"num_attention_heads":3,
        "num_key_value_heads":{kv_heads},"condition":"{condition}","levels":[{}]}}"#,
        levels.join(",")
    );
    Config::from_json(&text).unwrap()
}

fn vanilla() -> Config {
    let text = r#"{"model_type":"vanilla","vocab_size":17,"hidden_size":12,"intermediate_size":20,
        "num_attention_heads":3,"num_key_value_heads":1,"layers":2}"#;
    Config::from_json(text).unwrap()
}

/// One to three levels, odd and even chunks, chunks of one, grouped heads, both conditions.
fn hierarchies() -> Vec<Config> {
    let mut all = vec![photon(&[(4, 2)], 3, "current"), photon(&[(3, 1)], 1, "previous")];
    for condition in ["current", "previous"] {
        all.push(photon(&[(2, 2), (3, 1)], 1, condition));
        all.push(photon(&[(1, 1), (2, 3)], 3, condition));
        all.push(photon(&[(2, 1), (1, 2), (3, 2)], 3, condition));
        all.push(photon(&[(3, 2), (2, 1), (2, 2)], 1, condition));
    }
    all
}

fn model<S: Real>(config: &Config) -> Reference<S> {
    Reference::new(&Checkpoint::random(config, 7, Dtype::F32).unwrap()).unwrap()
}

fn text(len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| (i * i * 5 + 3 * i + 11) % 17).collect()
}

/// The modes of a hierarchy, RecGen behind a prompt of one meta-context.
const MODES: [Mode; 4] = [Mode::Exact, Mode::HierGen, ALONE, Mode::RecGen { refresh: Some(2) }];

fn argmax(row: &[f64]) -> u32 {
    let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter().position(|&x| x == best).unwrap() as u32
}

/// For each row of logits, the tokens on which it depends: those that change it.
fn dependencies(model: &Reference<f64>, len: usize, prompt: usize, mode: Mode) -> Vec<Vec<usize>> {
    let tokens = text(len);
    let logits = model.logits(&tokens, prompt, mode).unwrap();
    let mut all = vec![Vec::new(); len];
    for s in 0..len {
        let mut changed = tokens.clone();
        changed[s] = (changed[s] + 1) % 17;
        let other = model.logits(&changed, prompt, mode).unwrap();
        for t in (0..len).filter(|&t| logits[t] != other[t]) {
            all[t].push(s);
        }
    }
    all
}

/// Tokens that the top level knows when `meta` is its turn, for RecGen behind `prompt` tokens.
fn encoded(meta: usize, size: usize, prompt: usize, mode: Mode) -> usize {
    let first = prompt / size;
    match mode {
        Mode::RecGen { refresh: None } => meta.min(first) * size,
        Mode::RecGen { refresh: Some(k) } if meta > first => (first + (meta - first) / k * k) * size,
        _ => meta * size,
    }
}

#[test]
fn under_current_a_row_depends_on_all_that_its_mode_allows() {
    for config in hierarchies().iter().filter(|c| c.depth() > 1 && c.condition == Default::default()) {
        let (model, size, chunk) = (model(config), config.meta_context(), config.level(1).chunk_length);
        for (mode, prompt) in MODES.into_iter().flat_map(|mode| [(mode, 0), (mode, size)]) {
            for (t, got) in dependencies(&model, 4 * size + 1, prompt, mode).into_iter().enumerate() {
                let own = t - t % chunk;
                let before = if mode == Mode::Exact { own } else { encoded(t / size, size, prompt, mode) };
                let expected: Vec<usize> = (0..before).chain(own..t).collect();
                assert_eq!(got, expected, "row {t}, {mode:?} after {prompt}, {config:?}");
            }
        }
    }
}

#[test]
fn under_previous_a_row_misses_the_chunk_before_or_its_meta_context() {
    let config = photon(&[(2, 2), (3, 1)], 1, "previous");
    let (model, size) = (model(&config), 6);
    for (mode, prompt) in MODES.into_iter().flat_map(|mode| [(mode, 0), (mode, size)]) {
        for (t, got) in dependencies(&model, 4 * size + 1, prompt, mode).into_iter().enumerate() {
            let own = t - t % 2;
            // The latent is X̂_1 of the chunk before, which was predicted from before that chunk (exact), or
            // from the top-level units before that chunk's meta-context.
            let before = match own.checked_sub(2) {
                None => 0,
                Some(start) if mode == Mode::Exact => start,
                Some(start) => encoded(start / size, size, prompt, mode),
            };
            let expected: Vec<usize> = (0..before).chain(own..t).collect();
            assert_eq!(got, expected, "row {t}, {mode:?} after {prompt}");
        }
    }
}

#[test]
fn no_row_depends_on_its_own_or_a_later_token() {
    for config in hierarchies() {
        let (model, size) = (model(&config), config.meta_context());
        for (mode, prompt) in MODES.into_iter().flat_map(|mode| [(mode, 0), (mode, size)]) {
            for (t, got) in dependencies(&model, 2 * size + 1, prompt, mode).iter().enumerate() {
                assert!(got.iter().all(|&s| s < t), "row {t} sees {got:?}, {mode:?} after {prompt}");
            }
        }
    }
    for (t, got) in dependencies(&model(&vanilla()), 9, 0, Mode::Exact).iter().enumerate() {
        assert_eq!(*got, (0..t).collect::<Vec<_>>());
    }
}

#[test]
fn an_encoder_unit_sees_every_token_up_to_its_end() {
    let config = photon(&[(3, 2), (2, 1), (2, 2)], 1, "current");
    let model = model::<f64>(&config);
    let tokens = text(24);
    let before = model.encode(&tokens).unwrap();
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [24, 8, 4, 2]);
    for s in 0..24 {
        let mut changed = tokens.clone();
        changed[s] = (changed[s] + 1) % 17;
        let after = model.encode(&changed).unwrap();
        for (l, span) in [(1, 3), (2, 6), (3, 12)] {
            for unit in 0..24 / span {
                let same = before[l][unit] == after[l][unit];
                assert_eq!(same, (unit + 1) * span <= s, "X_{l}[{unit}], token {s}");
            }
        }
    }
    // Incomplete units are left out.
    let short = model.encode(&tokens[..23]).unwrap();
    assert_eq!(short.iter().map(Vec::len).collect::<Vec<_>>(), [23, 7, 3, 1]);
    assert_eq!(short[2], before[2][..3]);
}

#[test]
fn a_text_of_any_length_is_the_beginning_of_a_longer_one() {
    for config in hierarchies() {
        let (model, size) = (model::<f64>(&config), config.meta_context());
        for mode in MODES {
            let tokens = text(2 * size + 1);
            let whole = model.logits(&tokens, size, mode).unwrap();
            for len in 0..=tokens.len() {
                // The first meta-context is the same as a prompt and as generated: its latent is the start.
                let prompt = if len < size { 0 } else { size };
                let part = model.logits(&tokens[..len], prompt, mode).unwrap();
                assert_eq!(part, whole[..len], "{len} tokens, {mode:?}");
            }
        }
    }
}

#[test]
fn greedy_tokens_are_the_argmax_of_score_behind_a_prompt_of_any_length() {
    for config in hierarchies() {
        let (model, size) = (model::<f64>(&config), config.meta_context());
        for (mode, len) in MODES.into_iter().flat_map(|mode| (0..2 * size + 2).map(move |len| (mode, len))) {
            let mut tokens = text(len);
            let new = model.generate(&tokens, size + 2, mode, &Sampling::GREEDY, 0).unwrap();
            assert_eq!(new.len(), size + 2);
            tokens.extend(&new);
            // The tail of the prompt is completed in exact mode; then the mode has all of it as its prompt.
            let whole = len.next_multiple_of(size);
            let exact = model.logits(&tokens, 0, Mode::Exact).unwrap();
            let rest = model.logits(&tokens, whole, mode).unwrap();
            for t in len..tokens.len() {
                let row = if t < whole { &exact[t] } else { &rest[t] };
                assert_eq!(tokens[t], argmax(row), "token {t} behind {len}, {mode:?}, {config:?}");
            }
        }
    }
}

#[test]
fn refresh_every_meta_context_is_hiergen_and_never_is_recgen() {
    for config in hierarchies() {
        let (model, size) = (model::<f64>(&config), config.meta_context());
        let tokens = text(4 * size);
        let logits = |mode| model.logits(&tokens, size, mode).unwrap();
        let refreshed = |k| logits(Mode::RecGen { refresh: Some(k) });
        assert_eq!(refreshed(1), logits(Mode::HierGen));
        assert_eq!(refreshed(3), logits(ALONE), "three meta-contexts are too few for a refresh");
        if config.depth() > 1 {
            assert_ne!(refreshed(2), logits(ALONE));
            assert_ne!(refreshed(2), logits(Mode::HierGen));
        }
    }
}

#[test]
fn one_level_has_one_mode() {
    for config in [photon(&[(4, 2)], 3, "current"), photon(&[(4, 2)], 3, "previous")] {
        let model = model::<f64>(&config);
        let exact = model.logits(&text(13), 0, Mode::Exact).unwrap();
        for mode in MODES {
            assert_eq!(model.logits(&text(13), 4, mode).unwrap(), exact, "{mode:?}");
        }
    }
}

#[test]
fn recgen_latents_do_not_depend_on_the_tokens_drawn() {
    for config in hierarchies().iter().filter(|config| config.depth() > 1) {
        let (model, size) = (model::<f64>(config), config.meta_context());
        let one = text(4 * size);
        let two: Vec<u32> =
            one.iter().enumerate().map(|(t, &id)| if t < size { id } else { (id * 3 + 1) % 17 }).collect();
        let latents = |tokens, mode| model.reconstruct(tokens, size, mode).unwrap().split_off(1);
        assert_eq!(latents(&one, ALONE), latents(&two, ALONE));
        assert_ne!(latents(&one, Mode::HierGen), latents(&two, Mode::HierGen));
    }
}

#[test]
fn reconstructions_cover_every_unit_that_holds_a_token() {
    let model = model::<f64>(&photon(&[(3, 2), (2, 1), (2, 2)], 1, "previous"));
    for (len, expected) in
        [(0, [0, 0, 0]), (1, [1, 1, 1]), (12, [12, 4, 2]), (13, [13, 5, 3]), (17, [17, 6, 3])]
    {
        let rows = model.reconstruct(&text(len), 0, Mode::HierGen).unwrap();
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn score_is_the_log_softmax_of_logits() {
    let model = model::<f64>(&photon(&[(2, 2), (3, 1)], 1, "current"));
    let tokens = text(9);
    let logits = model.logits(&tokens, 0, Mode::HierGen).unwrap();
    let scores = model.score(&tokens, 0, Mode::HierGen).unwrap();
    for ((row, &token), score) in logits.iter().zip(&tokens).zip(scores) {
        let total: f64 = row.iter().map(|x| x.exp()).sum();
        approx::assert_relative_eq!(score, (row[token as usize].exp() / total).ln(), max_relative = 1e-12);
    }
}

#[test]
fn sampling_follows_position_and_sequence() {
    let sampling = Sampling { temperature: 1.0, top_k: 12, top_p: 0.99, min_p: 1e-4, seed: 1 << 40 | 3 };
    let model = model::<f64>(&photon(&[(2, 2), (3, 1)], 1, "current"));
    let prompt = text(5);
    let generate = |prompt: &[u32], new, sampling: &Sampling, sequence| {
        model.generate(prompt, new, Mode::Exact, sampling, sequence).unwrap()
    };
    let all = generate(&prompt, 14, &sampling, 2);
    // Exact mode goes on where it stopped: a draw depends on its position, not on the call.
    let more = [&prompt[..], &all[..6]].concat();
    assert_eq!(generate(&more, 8, &sampling, 2), all[6..]);
    assert_ne!(generate(&prompt, 14, &sampling, 3), all);
    assert_ne!(generate(&prompt, 14, &Sampling { seed: 3, ..sampling }, 2), all);
}

#[test]
fn nothing_follows_the_end_token() {
    let mut config = photon(&[(2, 2), (3, 1)], 1, "current");
    for mode in MODES {
        config.eos_token_id = None;
        let free = model::<f64>(&config).generate(&text(4), 15, mode, &Sampling::GREEDY, 0).unwrap();
        for &end in &free {
            config.eos_token_id = Some(end);
            let got = model::<f64>(&config).generate(&text(4), 15, mode, &Sampling::GREEDY, 0).unwrap();
            let first = free.iter().position(|&id| id == end).unwrap();
            assert_eq!(got, free[..=first], "{mode:?} ending with {end}");
        }
    }
}

#[test]
fn the_flat_baseline_starts_uniform() {
    let model = model::<f64>(&vanilla());
    let scores = model.score(&text(6), 0, Mode::Exact).unwrap();
    approx::assert_relative_eq!(scores[0], -(17f64.ln()), max_relative = 1e-14);
    assert!(model.logits(&[], 0, Mode::Exact).unwrap().is_empty());
    for len in 0..4 {
        let mut tokens = text(len);
        tokens.extend(model.generate(&tokens, 5, Mode::Exact, &Sampling::GREEDY, 0).unwrap());
        let logits = model.logits(&tokens, 0, Mode::Exact).unwrap();
        assert!((len..len + 5).all(|t| tokens[t] == argmax(&logits[t])));
    }
}

#[test]
fn single_precision_and_bf16_lie_where_rounding_puts_them() {
    /// Largest difference to the `f64` logits, relative to their largest.
    fn error<S: Real>(config: &Config, mode: Mode) -> f64 {
        let tokens = text(3 * config.meta_context());
        let checkpoint = Checkpoint::random(config, 7, Dtype::Bf16).unwrap();
        let judge = Reference::<f64>::new(&checkpoint).unwrap().logits(&tokens, 0, mode).unwrap().concat();
        let logits = Reference::<S>::new(&checkpoint).unwrap().logits(&tokens, 0, mode).unwrap().concat();
        let largest = judge.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        let worst = judge.iter().zip(logits).fold(0.0, |max: f64, (x, y)| max.max((x - y.to_f64()).abs()));
        worst / largest
    }
    for config in hierarchies() {
        for mode in MODES {
            let (single, naive) = (error::<f32>(&config, mode), error::<bf16>(&config, mode));
            assert!(single < 1e-5, "f32 is off by {single}, {mode:?}");
            assert!((1e-3..0.2).contains(&naive), "bf16 is off by {naive}, {mode:?}");
        }
    }
}

#[test]
fn errors_name_argument_and_value() {
    fn says<T>(result: photon_kernels::Result<T>, words: &[&str]) {
        let message = result.err().expect("an error").to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let hierarchy = model::<f32>(&photon(&[(2, 2), (3, 1)], 1, "current"));
    let greedy = Sampling::GREEDY;
    says(hierarchy.logits(&[1, 2, 17], 0, Mode::Exact), &["tokens[2]", "17"]);
    says(hierarchy.encode(&[u32::MAX]), &["tokens[0]", "4294967295", "17"]);
    says(hierarchy.generate(&[99], 0, Mode::Exact, &greedy, 0), &["tokens[0]", "99"]);
    says(hierarchy.score(&text(12), 4, ALONE), &["prompt", "4", "6"]);
    says(hierarchy.score(&text(12), 18, ALONE), &["prompt", "18", "12"]);
    says(hierarchy.score(&[], 0, Mode::RecGen { refresh: Some(0) }), &["refresh", "0"]);
    says(hierarchy.generate(&[], 1, Mode::RecGen { refresh: Some(0) }, &greedy, 0), &["refresh", "0"]);
    let hot = Sampling { temperature: -1.0, ..greedy };
    says(hierarchy.generate(&[], 1, Mode::Exact, &hot, 0), &["temperature", "-1"]);
    says(model::<f32>(&vanilla()).score(&[1], 0, Mode::HierGen), &["mode", "HierGen"]);
    // Only RecGen asks where the prompt ends.
    assert!(hierarchy.score(&text(12), 4, Mode::HierGen).is_ok());
}
