//! `photon generate`.

use std::time::Instant;

use photon_kernels::Result;
use photon_kernels::checkpoint::Checkpoint;
use photon_kernels::generate::{Bottleneck, Engine, Mode, Request};
use photon_kernels::sampling::Sampling;
use photon_kernels::text::Tokenizer;

use crate::args::GenerateArgs;
use crate::instruments::Instruments;
use crate::{engine, input, output};

#[derive(serde::Serialize)]
struct Json {
    sequences: Vec<Sequence>,
    prompt_tokens: usize,
    new_tokens: usize,
    prefill_seconds: f64,
    decode_seconds: f64,
}

#[derive(serde::Serialize)]
struct Sequence {
    tokens: Vec<u32>,
    text: Option<String>,
    cache_bytes: usize,
}

/// Prints text as meta-contexts finish, or one JSON object at the end.
pub fn run(args: &GenerateArgs) -> Result<()> {
    let sampling = args.sampling.sampling()?;
    let mode = engine::mode(args.mode, args.refresh)?;
    let dir = input::model_dir(args.model.as_deref())?;
    let checkpoint = Checkpoint::open(&dir)?;
    let tokenizer = input::tokenizer(&dir, checkpoint.config())?;
    let tokenizer = tokenizer.as_ref();
    let prompt = match (&args.prompt, &args.tokens) {
        (Some(text), _) => input::needed(tokenizer, "--prompt", &dir, "pass --tokens")?.encode(text)?,
        (None, ids) => input::tokens(ids.as_deref().unwrap_or(""), checkpoint.config().vocab_size)?,
    };
    engine::run(checkpoint, args.compute, Job { args, mode, sampling, tokenizer, prompt })
}

struct Job<'a> {
    args: &'a GenerateArgs,
    mode: Mode,
    sampling: Sampling,
    tokenizer: Option<&'a Tokenizer>,
    prompt: Vec<u32>,
}

impl engine::Job for Job<'_> {
    fn run<B: Instruments>(self, engine: &Engine<B>) -> Result<()> {
        let Job { args, mode, sampling, tokenizer, prompt } = self;
        let requests: Vec<Request> = (0..args.batch)
            .map(|i| Request {
                prompt: prompt.clone(),
                max_new_tokens: args.max_new_tokens,
                sampling,
                sequence: i as u32,
            })
            .collect();

        let start = Instant::now();
        let reading = engine::bar("prompt");
        let mut generation =
            engine.generate(&requests, mode, Bottleneck::Reconstruction, &mut |done, total| {
                reading.set_length(total as u64);
                reading.set_position(done as u64);
            })?;
        reading.finish_and_clear();
        let prefill_seconds = start.elapsed().as_secs_f64();

        // A single text is shown as it comes; anything else when it is whole, with a bar meanwhile.
        let streamed = !args.json && args.batch == 1;
        let writing = engine::bar("generate");
        writing.set_length((args.batch * args.max_new_tokens) as u64);
        let mut shown = Shown::new(tokenizer, args.prompt.as_deref());
        if streamed {
            shown.open()?;
        }
        let start = Instant::now();
        while generation.step()? {
            if streamed {
                shown.show(generation.tokens(0))?;
            } else {
                writing.set_position((0..args.batch).map(|i| generation.tokens(i).len() as u64).sum());
            }
        }
        let decode_seconds = start.elapsed().as_secs_f64();
        writing.finish_and_clear();
        if streamed {
            shown.show(generation.tokens(0))?;
            return shown.close();
        }

        let sequences = (0..args.batch)
            .map(|i| {
                let tokens = generation.tokens(i).to_vec();
                let text = tokenizer.map(|t| t.decode(&tokens)).transpose()?;
                Ok(Sequence { tokens, text, cache_bytes: generation.cache_bytes(i) })
            })
            .collect::<Result<Vec<_>>>()?;
        if args.json {
            let new_tokens = sequences.iter().map(|s| s.tokens.len()).sum();
            return output::json(&Json {
                sequences,
                prompt_tokens: prompt.len(),
                new_tokens,
                prefill_seconds,
                decode_seconds,
            });
        }
        for (i, sequence) in sequences.iter().enumerate() {
            output::line(&format!("--- {i}"))?;
            let mut shown = Shown::new(tokenizer, args.prompt.as_deref());
            shown.open()?;
            shown.show(&sequence.tokens)?;
            shown.close()?;
        }
        Ok(())
    }
}

/// One text on its way to standard output: the prompt and what follows it, or bare ids where there is no tokenizer.
struct Shown<'a> {
    prompt: Option<&'a str>,
    text: Option<photon_kernels::text::StreamDecoder<'a>>,
    tokens: usize,
}

impl<'a> Shown<'a> {
    fn new(tokenizer: Option<&'a Tokenizer>, prompt: Option<&'a str>) -> Self {
        Shown { prompt, text: tokenizer.map(Tokenizer::stream), tokens: 0 }
    }

    fn open(&self) -> Result<()> {
        output::write(self.prompt.unwrap_or(""))
    }

    /// Shows what has come since the last call.
    fn show(&mut self, tokens: &[u32]) -> Result<()> {
        let new = &tokens[self.tokens..];
        self.tokens = tokens.len();
        match &mut self.text {
            Some(text) => output::write(&text.push(new)?),
            None => {
                let ids: Vec<String> = new.iter().map(u32::to_string).collect();
                let comma = if self.tokens > new.len() && !new.is_empty() { "," } else { "" };
                output::write(&format!("{comma}{}", ids.join(",")))
            }
        }
    }

    fn close(self) -> Result<()> {
        let rest = self.text.map(|text| text.finish()).transpose()?;
        output::line(&rest.unwrap_or_default())
    }
}
