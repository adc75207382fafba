//! `photon generate`: continues a prompt.

use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::{Error, Result};

use crate::args::{self, GenerateArgs};
use crate::input;

/// Reads and checks all input. Generating is not built in yet.
pub fn run(args: &GenerateArgs) -> Result<()> {
    let _sampling = args.sampling.sampling()?;
    args::check_refresh(args.mode, args.refresh)?;
    let dir = input::model_dir(args.model.as_deref())?;
    let checkpoint = Checkpoint::open(&dir)?;
    let config = checkpoint.config();
    let tokenizer = input::tokenizer(&dir, config)?;
    let _prompt = match (&args.tokens, &args.prompt) {
        (Some(tokens), _) => input::tokens(tokens, config.vocab_size)?,
        (None, prompt) => {
            input::needed(tokenizer.as_ref(), "--prompt", &dir)?.encode(prompt.as_deref().unwrap_or(""))?
        }
    };
    Err(Error::Backend(format!(
        "generating on {:?} as {:?} ({} sequences of {} tokens, JSON: {}) is not built in yet",
        args.device, args.dtype, args.batch, args.max_new_tokens, args.json
    )))
}
