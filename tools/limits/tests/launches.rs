//! How many launches a meta-context is, and which of its reads grow with context.

#[path = "../../../tests/common/mod.rs"]
mod models;

use models::{CUDA, Limits, config_within, rng};
use photon_kernels::Config;
use photon_kernels::config::Condition;
use photon_kernels::cuda::raw::HEAD_DIMS;
use photon_kernels::generate::Mode;
use photon_kernels::presets::preset;
use photon_limits::scenario::{DE, Model, Regime};
use photon_limits::{Bytes, Launch};
use rand::RngExt;

const RECGEN: Mode = Mode::RecGen { refresh: None };

/// Rows that a pass through a local decoder may hold, and rows whose best keys are held at once.
const PASS: usize = 4096;
const KEYS: usize = 2048;

/// Launches of one meta-context of `batch` sequences (of one token, for a vanilla model), from the configuration alone.
///
/// With `E_l`, `D_l` layers and `C_l` units a chunk: a stack is `5 E_l` or `5 D_l` and a norm, and something that fills its rows.
/// `U_l` chunks run side by side in `P_l = ceil(U_l / (4096 / R_l))` passes.
///
/// - local decoder: `C_l (5 D_l + 2)` a pass, `+ 2 C_1` for the tokens of level 1;
/// - encoder: `5 E_l + 2`.
fn launches(config: &Config, mode: Mode, batch: usize) -> usize {
    let head = |rows: usize| 2 * rows.div_ceil(KEYS);
    if let Some(layers) = config.layers {
        // Latents, the head, the token, the layers, the norm.
        return 1 + head(batch) + 1 + 5 * layers + 1;
    }
    let depth = config.depth();
    let previous = config.condition == Condition::Previous;
    let encoder = |l: usize| 5 * config.level(l).encoder_layers + 2;
    let local = |l: usize| config.level(l).chunk_length * (5 * config.level(l).decoder_layers + 2);
    // First what a step that fails is taken back to is noted, the latents and both carries of each level below the top; then come the
    // latents that condition level L.
    let first = 1 + if previous { 2 * (depth - 1) } else { 0 } + 1;
    if mode == Mode::Exact {
        let chunk_1 = local(1) + config.level(1).chunk_length * (head(batch) + 1) + encoder(1);
        return first
            + (2..=depth).fold(chunk_1, |below, l| {
                let handed = if previous { 2 } else { 0 };
                local(l) + config.level(l).chunk_length * (handed + below) + encoder(l)
            });
    }
    let mut count = first;
    for l in 1..=depth {
        let most = (PASS / config.level(l).prefix_length).max(1);
        let chunks = batch * config.units(l);
        for chunk in (0..chunks).step_by(most) {
            count += local(l);
            if l == 1 {
                count += config.level(1).chunk_length * head(most.min(chunks - chunk));
            }
        }
    }
    if previous {
        // The latents of each level below the top, shifted by one: the carry in, the rest, the carry out.
        count += (1..depth).map(|l| 2 + usize::from(config.units(l) > 1)).sum::<usize>();
    }
    match mode {
        RECGEN if depth > 1 => count + encoder(depth),
        // Tokens are read again: their embedding, the encoders, the latents.
        _ => count + 1 + (1..=depth).map(encoder).sum::<usize>() + 1,
    }
}

/// Launches of a layer that follow each other.
fn layer_runs(launches: &[Launch]) -> Vec<&[Launch]> {
    launches
        .chunk_by(|a, b| a.layer.is_some() && a.part == b.part && a.layer == b.layer)
        .filter(|run| run[0].layer.is_some())
        .collect()
}

#[test]
fn a_meta_context_of_photon_600m_has_the_launches_that_the_formula_says() {
    for (name, mode, at_batch_1) in [
        ("photon-600m", RECGEN, 213),
        ("photon-600m", Mode::HierGen, 237),
        ("photon-600m", Mode::Exact, 610),
        ("block-600m", Mode::Exact, 224),
        ("vanilla-600m", Mode::Exact, 85),
    ] {
        let model = Model::preset(name).expect("a preset");
        assert_eq!(launches(model.config(), mode, 1), at_batch_1, "{name} {mode}");
        for batch in [1, 3, 16, 256, 512, 513, 700] {
            let step =
                model.middle(mode, batch, Regime { name: "short", prompt: 32, new: 64 }).expect("a step");
            assert_eq!(
                step.launches.len(),
                launches(model.config(), mode, batch),
                "{name} {mode}, batch {batch}"
            );
        }
    }
}

#[test]
fn random_configurations_have_the_launches_that_the_formula_says() {
    // Nothing is computed, so that every head width of the kernels and wider models cost nothing.
    const WIDE: Limits =
        Limits { head_dims: &HEAD_DIMS, kv_heads: 4, embedding: 24, intermediate: 70, ..CUDA };
    let rng = &mut rng(77);
    for _ in 0..60 {
        let config = config_within(rng, &WIDE);
        let model = Model::new(&config).expect("a model");
        let c = config.meta_context();
        let batch = [1, 2, 5, 40, 700][rng.random_range(0..5)];
        for mode in [RECGEN, Mode::HierGen, Mode::Exact] {
            let regime = Regime { name: "random", prompt: c * rng.random_range(0..3), new: 3 * c };
            let step = model.middle(mode, batch, regime).expect("a step");
            assert_eq!(
                step.launches.len(),
                launches(&config, mode, batch),
                "{mode}, batch {batch}: {config:?}"
            );
        }
    }
}

#[test]
fn a_layer_is_five_launches() {
    for (name, mode, layers) in [
        // Two local decoders of 4 layers, 4 steps each, and 4 layers of encoder.
        ("photon-600m", RECGEN, 4 * 4 + 4 * 4 + 4),
        ("photon-600m", Mode::HierGen, 4 * 4 + 4 * 4 + 4 + 4),
        ("photon-600m", Mode::Exact, 4 * 4 + 4 * (4 * 4 + 4) + 4),
        ("block-600m", Mode::Exact, 4 * 8 + 8),
        ("vanilla-600m", Mode::Exact, 16),
    ] {
        let model = Model::preset(name).expect("a preset");
        let step = model.middle(mode, 2, DE).expect("a step");
        let runs = layer_runs(&step.launches);
        assert_eq!(runs.len(), layers, "{name} {mode}");
        for run in runs {
            let kernels: Vec<&str> = run.iter().map(|launch| launch.operation().0).collect();
            assert_eq!(kernels[0], "qkv_rope_append");
            assert!(
                kernels[1].ends_with("attention") || kernels[1].starts_with("stream_attention"),
                "{kernels:?}"
            );
            assert_eq!(kernels[2..], ["proj_residual", "gate_up_swiglu", "proj_residual"]);
        }
    }
}

/// GiB of a sequence's cache on CUDA, 128 + 2048 tokens.
#[test]
fn sequences_of_photon_600m_cache_no_more_than_their_units_and_what_rounds_them_up_to_blocks() {
    let model = Model::preset("photon-600m").expect("a preset");
    // 2176 tokens are 136 units of the top level and 544 below, in blocks of 32: 160 and 544. A unit is the key and the value of 32 heads of
    // 52 in bf16, in four layers.
    let unit = 4 * 2 * 32 * 52 * 2;
    for (mode, units, most) in [(RECGEN, 160, 0.0045), (Mode::HierGen, 160 + 544, 0.018)] {
        let generation = model.start(mode, 1, DE).expect("a generation");
        let bytes = generation.cache_bytes(0);
        assert_eq!(bytes, units * unit, "{mode:?}");
        assert!(bytes as f64 / (1u64 << 30) as f64 <= most, "{mode:?}: {bytes} bytes");
    }
}

/// What changes from one meta-context to the next, over a whole generation: only reads of keys and values by stream attention in `parts`,
/// by the bytes of their new units.
fn grows(mode: Mode, parts: &[(&str, u64)], batch: usize, regime: Regime) {
    let model = Model::preset("photon-600m").expect("a preset");
    // The key and the value of a unit are 32 heads of 52 each, in bf16.
    let unit = 2 * 32 * 52 * 2;
    let mut generation = model.start(mode, batch, regime).expect("a generation");
    let mut before = model.step(&mut generation).expect("a step");
    // The last meta-context has nothing behind it to be encoded for.
    for _ in 2..regime.new / 16 {
        let after = model.step(&mut generation).expect("a step");
        assert_eq!(before.len(), after.len());
        let mut grown = 0;
        for (old, new) in before.iter().zip(&after) {
            let Some((_, units)) = parts.iter().find(|(part, _)| *part == &*new.part && reads_stream(new))
            else {
                assert_eq!(old, new);
                continue;
            };
            let more = Bytes { grown: old.read.grown + batch as u64 * units * unit, ..old.read };
            assert_eq!(more, new.read, "{new:?}");
            assert_eq!(old.written, new.written);
            grown += 1;
        }
        // Four layers of each stack.
        assert_eq!(grown, 4 * parts.len());
        before = after;
    }
}

fn reads_stream(launch: &Launch) -> bool {
    launch.operation().0.starts_with("stream_attention")
}

#[test]
fn the_only_growing_reads_of_recgen_are_the_top_levels_keys_and_values() {
    grows(RECGEN, &[("encoder 2", 1)], 1, DE);
    grows(RECGEN, &[("encoder 2", 1)], 16, Regime { name: "short", prompt: 128, new: 256 });
}

#[test]
fn hiergen_reads_more_of_level_1_too_and_of_nothing_else() {
    grows(Mode::HierGen, &[("encoder 1", 4), ("encoder 2", 1)], 1, DE);
}

#[test]
fn local_decoders_read_as_much_at_any_context() {
    let model = Model::preset("photon-600m").expect("a preset");
    for mode in [RECGEN, Mode::HierGen, Mode::Exact] {
        let local = |regime| {
            let step = model.middle(mode, 2, regime).expect("a step");
            let local = step.launches.into_iter().filter(|launch| launch.part.starts_with("decoder"));
            local.collect::<Vec<_>>()
        };
        let early = local(Regime { name: "early", prompt: 0, new: 64 });
        assert!(early.iter().any(|launch| launch.read.local > 0));
        assert!(early.iter().all(|launch| launch.read.grown == 0));
        assert_eq!(early, local(DE), "{mode}");
    }
}

#[test]
fn the_same_weights_make_the_same_table_in_f16() {
    let config = preset("photon-600m").expect("a preset");
    let checkpoint = photon_limits::zeros(&config).expect("weights");
    let of = |dtype| {
        let model = Model::of(&checkpoint, dtype).expect("a model");
        let step = model.middle(RECGEN, 2, DE).expect("a step");
        step.launches.into_iter().map(|launch| (launch.bytes(), launch.flops)).collect::<Vec<_>>()
    };
    assert_eq!(of(photon_kernels::checkpoint::Dtype::Bf16), of(photon_kernels::checkpoint::Dtype::F16));
}
