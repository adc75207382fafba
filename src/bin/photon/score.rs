//! `photon score`.

use photon_kernels::Result;
use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::generate::{Engine, Mode};

use crate::args::ScoreArgs;
use crate::instruments::Instruments;
use crate::{engine, input, output};

#[derive(serde::Serialize)]
struct Json {
    logprobs: Vec<f32>,
    nll_per_token: f64,
    bits_per_byte: Option<f64>,
}

/// Prints the likelihood of a text.
pub fn run(args: &ScoreArgs) -> Result<()> {
    let mode = engine::mode(args.mode, args.refresh)?;
    let dir = input::model_dir(args.model.as_deref())?;
    let checkpoint = Checkpoint::open(&dir)?;
    let (tokens, bytes) = match (&args.text, &args.tokens) {
        (Some(file), _) => {
            let text = input::text_file(file)?;
            let tokenizer = input::tokenizer(&dir, checkpoint.config())?;
            (
                input::needed(tokenizer.as_ref(), "--text", &dir, "pass --tokens")?.encode(&text)?,
                Some(text.len()),
            )
        }
        (None, ids) => (input::tokens(ids.as_deref().unwrap_or(""), checkpoint.config().vocab_size)?, None),
    };
    engine::run(checkpoint, args.compute, Job { args, mode, tokens, bytes })
}

struct Job<'a> {
    args: &'a ScoreArgs,
    mode: Mode,
    tokens: Vec<u32>,
    bytes: Option<usize>,
}

impl engine::Job for Job<'_> {
    fn run<B: Instruments>(self, engine: &Engine<B>) -> Result<()> {
        let Job { args, mode, tokens, bytes } = self;
        let bar = engine::bar("score");
        let logprobs = engine.score(&tokens, mode, args.prompt_tokens, &mut |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        })?;
        bar.finish_and_clear();
        let nll: f64 = -logprobs.iter().copied().map(f64::from).sum::<f64>();
        let nll_per_token = if tokens.is_empty() { 0.0 } else { nll / tokens.len() as f64 };
        let bits_per_byte = bytes.map(|bytes| nll / std::f64::consts::LN_2 / bytes as f64);
        if args.json {
            return output::json(&Json { logprobs, nll_per_token, bits_per_byte });
        }
        output::line(&format!("{} tokens, mode {mode}", tokens.len()))?;
        output::line(&format!("{nll_per_token:.4} nats per token"))?;
        match bits_per_byte {
            Some(bits) => output::line(&format!("{bits:.4} bits per byte")),
            None => Ok(()),
        }
    }
}
