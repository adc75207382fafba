//! `photon score`: the log-probability of every token of a text.

use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::{Error, Result};

use crate::args::{self, ScoreArgs};
use crate::input;

/// Reads and checks all input. Scoring is not built in yet.
pub fn run(args: &ScoreArgs) -> Result<()> {
    args::check_refresh(args.mode, args.refresh)?;
    let dir = input::model_dir(args.model.as_deref())?;
    let checkpoint = Checkpoint::open(&dir)?;
    let config = checkpoint.config();
    // The bytes of the text, if it is one: bits per byte need them.
    let (ids, _bytes) = match (&args.tokens, &args.text) {
        (None, Some(path)) => {
            let text = input::text_file(path)?;
            let tokenizer = input::tokenizer(&dir, config)?;
            (input::needed(tokenizer.as_ref(), "--text", &dir)?.encode(&text)?, Some(text.len()))
        }
        (tokens, _) => (input::tokens(tokens.as_deref().unwrap_or(""), config.vocab_size)?, None),
    };
    Err(Error::Backend(format!(
        "scoring {} tokens after {} on {:?} as {:?} (JSON: {}) is not built in yet",
        ids.len(),
        args.prompt_tokens,
        args.device,
        args.dtype,
        args.json
    )))
}
