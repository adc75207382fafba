//! Generation as CUDA graphs: the same bits as launch by launch, one call a meta-context, and no graph where something has changed.

mod common;

use common::{CUDA, Limits, MODES, config_that, rng, text};
use photon_kernels::checkpoint::{Checkpoint, Dtype};
use photon_kernels::config::{Condition, Config, ModelType};
use photon_kernels::cuda::{CudaBackend, CudaOptions, Launches};
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::presets::preset;
use photon_kernels::sampling::Sampling;
use rand::RngExt;

const RECGEN: Mode = Mode::RecGen { refresh: None };

fn engine(checkpoint: &Checkpoint, graphs: bool) -> Engine<CudaBackend> {
    let options = CudaOptions { graphs, ..CudaOptions::default() };
    let backend = CudaBackend::new(options).expect("a GPU, real or simulated");
    Engine::new(backend, checkpoint).expect("an engine")
}

/// A sequence's tokens and the bits of its last latent.
type Sequence = (Vec<u32>, Vec<u32>);

/// What became of each sequence, and what was launched up to each step.
fn generate(
    engine: &Engine<CudaBackend>,
    requests: &[Request],
    mode: Mode,
) -> (Vec<Sequence>, Vec<Launches>) {
    let mut generation =
        engine.generate(requests, mode, Bottleneck::Reconstruction, &mut |_, _| ()).expect("a generation");
    let mut launches = vec![engine.backend().launches()];
    loop {
        let more = generation.step().expect("a step");
        launches.push(engine.backend().launches());
        if !more {
            break;
        }
    }
    let sequence = |i: usize| {
        let latent = generation.latent(i).expect("a latent");
        (generation.tokens(i).to_vec(), latent.iter().map(|x| x.to_bits()).collect())
    };
    ((0..requests.len()).map(sequence).collect(), launches)
}

/// photon-600m but small: two levels of 4, concat and linear chunkers, two prefix rows.
fn small() -> Config {
    let mut config = preset("photon-600m").expect("a preset");
    config.hidden_size = 2 * 52;
    config.num_attention_heads = 2;
    config.num_key_value_heads = 2;
    config.intermediate_size = 128;
    config.encoder_embedding_size = 26;
    config.vocab_size = 97;
    config.validate().expect("a valid configuration");
    config
}

#[test]
fn replayed_graphs_give_the_bits_of_single_launches() {
    for seed in 0..4 {
        let rng = &mut rng(7000 + seed);
        let limits = Limits { width: 160, ..CUDA };
        // Deep models are where the modes differ.
        let mut config = config_that(rng, &limits, |config| {
            config.depth() > 1 && (2..=12).contains(&config.meta_context())
        });
        config.condition = if seed % 2 == 0 { Condition::Previous } else { Condition::Current };
        let checkpoint = Checkpoint::random(&config, seed, Dtype::Bf16).expect("random weights");
        let c = config.meta_context();
        let requests: Vec<Request> = (0..3)
            .map(|i| Request {
                prompt: {
                    let len = rng.random_range(0..=2 * c);
                    text(rng, &config, len)
                },
                max_new_tokens: (5 + i) * c - i % c,
                sampling: Sampling { temperature: i as f32, seed: 3, ..Sampling::GREEDY },
                sequence: i as u32,
            })
            .collect();
        let (eager, graphs) = (engine(&checkpoint, false), engine(&checkpoint, true));
        for mode in MODES {
            let (want, _) = generate(&eager, &requests, mode);
            let (got, launches) = generate(&graphs, &requests, mode);
            assert!(got == want, "seed {seed} {mode:?}: the bits differ\n{config:?}");
            let (before, after) = (launches[0], launches[launches.len() - 1]);
            assert!(after.replays > before.replays, "seed {seed} {mode:?}: no graph was replayed");
        }
        assert_eq!(eager.backend().launches().graphs, 0);
    }
}

#[test]
fn a_steady_meta_context_is_one_graph_call_in_every_mode() {
    let config = small();
    let checkpoint = Checkpoint::random(&config, 1, Dtype::Bf16).expect("random weights");
    let engine = engine(&checkpoint, true);
    let requests: Vec<Request> = (0..2)
        .map(|i| Request {
            prompt: vec![i + 1; 16 * (1 + i as usize)],
            max_new_tokens: 12 * 16,
            sampling: Sampling { temperature: 1.0, ..Sampling::GREEDY },
            sequence: i,
        })
        .collect();
    for mode in [Mode::Exact, Mode::HierGen, RECGEN] {
        let (_, launches) = generate(&engine, &requests, mode);
        // The first meta-context has no unit to append, the second and third see the list for the first and second time.
        for steady in launches[3..launches.len() - 1].windows(2) {
            assert_eq!(steady[1].replays - steady[0].replays, 1, "{mode:?}: {launches:?}");
            assert_eq!(steady[1].graphs, steady[0].graphs, "{mode:?}: {launches:?}");
        }
    }
}

#[test]
fn vanilla_replays_a_graph_for_every_token_and_makes_another_when_a_sequence_has_ended() {
    let config = Config {
        model_type: ModelType::Vanilla,
        layers: Some(2),
        levels: Vec::new(),
        encoder_embedding_size: 0,
        ..small()
    };
    config.validate().expect("a valid configuration");
    let checkpoint = Checkpoint::random(&config, 2, Dtype::Bf16).expect("random weights");
    let requests: Vec<Request> = [9, 17]
        .into_iter()
        .map(|max_new_tokens| Request {
            prompt: vec![3; 5],
            max_new_tokens,
            sampling: Sampling::GREEDY,
            sequence: 0,
        })
        .collect();
    let (eager, graphs) = (engine(&checkpoint, false), engine(&checkpoint, true));
    let (want, _) = generate(&eager, &requests, Mode::Exact);
    let (got, launches) = generate(&graphs, &requests, Mode::Exact);
    assert_eq!(got, want);
    let last = launches[launches.len() - 1];
    // Two sizes of batch, and two steps before each has its graph.
    assert_eq!(last.graphs, 2, "{launches:?}");
    assert!(last.replays >= 17 - 2 * 3, "{launches:?}");
}

#[test]
fn a_context_that_outgrows_its_tables_goes_on_with_the_same_bits() {
    // One token a unit, so that positions pass 256, where the table of angles is made anew.
    let mut config = small();
    for level in &mut config.levels {
        level.chunk_length = 1;
        level.encoder_layers = 1;
        level.decoder_layers = 1;
    }
    config.encoder_embedding_size = config.hidden_size;
    config.validate().expect("a valid configuration");
    let checkpoint = Checkpoint::random(&config, 3, Dtype::Bf16).expect("random weights");
    let rng = &mut rng(1);
    let request = Request {
        prompt: text(rng, &config, 248),
        max_new_tokens: 16,
        sampling: Sampling::GREEDY,
        sequence: 0,
    };
    let (want, _) = generate(&engine(&checkpoint, false), std::slice::from_ref(&request), RECGEN);
    let graphs = engine(&checkpoint, true);
    let (got, launches) = generate(&graphs, &[request], RECGEN);
    assert_eq!(got, want);
    assert!(launches[launches.len() - 1].graphs >= 2, "{launches:?}");
}
