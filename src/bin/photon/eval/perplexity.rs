//! Perplexity and bits per byte of a held-out text.

use std::ops::Range;
use std::path::Path;

use photon_kernels::backend::Backend;
use photon_kernels::generate::{Engine, Mode, ScoreRequest};
use photon_kernels::text::Tokenizer;
use photon_kernels::{Config, Error, Result};
use serde::Serialize;

use super::batches;
use super::modes::Named;
use super::statistics::{Estimate, ratio};
use super::windows::Cut;
use crate::args::EvalArgs;
use crate::{engine, input};

/// A text, cut into windows.
pub struct HeldOut {
    file: String,
    tokens: Vec<u32>,
    /// Bytes that each token stands for.
    bytes: Vec<usize>,
    cut: Cut,
    windows: Vec<Range<usize>>,
    /// Tokens of a meta-context.
    meta: usize,
}

/// What is known of a text in all modes.
#[derive(Serialize)]
pub struct Report {
    file: String,
    tokens: usize,
    bytes: usize,
    windows: usize,
    window: usize,
    prompt_tokens: usize,
    /// Bytes behind the prompt of each window that goes on behind it.
    scored_bytes: Vec<usize>,
    modes: Vec<Line>,
}

/// One mode.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    mode: Named,
    /// The tokens behind the windows' prompts.
    scored: Figures,
    /// All tokens; RecGen's prompts are scored as HierGen's.
    whole: Figures,
    /// Bits per byte behind the prompts beyond those of the first mode, window by window.
    difference: Estimate,
    /// Bits behind the prompt of each window, in the order of `scored_bytes`: what another model's of the same text can be held
    /// against, window by window. Rounded to 1e-3, a millionth of what a window has.
    scored_bits: Vec<f64>,
}

/// The likelihood of some tokens of every window.
#[derive(Serialize)]
struct Figures {
    tokens: usize,
    bytes: usize,
    bits_per_byte: Estimate,
    /// Per token.
    perplexity: Estimate,
}

/// What some tokens of one window add up to.
#[derive(Clone, Copy)]
struct Sums {
    nats: f64,
    tokens: usize,
    bytes: usize,
}

impl HeldOut {
    /// Reads a text and cuts it.
    pub fn read(file: &Path, tokenizer: &Tokenizer, config: &Config, args: &EvalArgs) -> Result<Self> {
        let (tokens, bytes) = tokenizer.encode_with_bytes(&input::text_file(file)?)?;
        let cut = Cut::new(args.window, args.prompt_tokens, tokens.len(), config)?;
        let windows: Vec<Range<usize>> =
            cut.windows(tokens.len()).take(args.limit.unwrap_or(usize::MAX)).collect();
        if windows.iter().flat_map(|window| &bytes[behind(window, cut.prompt)]).sum::<usize>() == 0 {
            return Err(Error::argument(format!(
                "{}: the tokens behind the {} known ones of each window go on with one character and have no byte of \
                 their own; ask for less with --prompt-tokens",
                file.display(),
                cut.prompt
            )));
        }
        let meta = config.meta_context();
        Ok(HeldOut { file: file.display().to_string(), tokens, bytes, cut, windows, meta })
    }

    /// Scores the text in each mode.
    pub fn measure<B: Backend>(self, engine: &Engine<B>, modes: &[Mode], batch: usize) -> Result<Report> {
        let request = |window: &Range<usize>| ScoreRequest {
            tokens: &self.tokens[window.clone()],
            prompt: self.cut.known(window.len(), self.meta),
        };
        let requests: Vec<ScoreRequest<'_>> = self.windows.iter().map(request).collect();
        let mut lines = Vec::with_capacity(modes.len());
        let mut first = None;
        for &mode in modes {
            let bar = engine::bar("text");
            let scores = batches::score(engine, &requests, mode, batch, &bar)?;
            bar.finish_and_clear();
            let (behind, whole) = (self.sums(&scores, self.cut.prompt), self.sums(&scores, 0));
            let first = first.get_or_insert_with(|| behind.clone());
            let more =
                behind.iter().zip(first).map(|(own, first)| (bits(own.nats - first.nats), own.bytes as f64));
            let difference = ratio(&more.collect::<Vec<_>>());
            let scored_bits = behind.iter().map(|sums| (bits(sums.nats) * 1e3).round() / 1e3).collect();
            let (scored, whole) = (Figures::of(&behind), Figures::of(&whole));
            lines.push(Line { mode: mode.into(), scored, whole, difference, scored_bits });
        }
        Ok(Report {
            file: self.file,
            tokens: self.windows.iter().map(ExactSizeIterator::len).sum(),
            bytes: self.windows.iter().flat_map(|window| &self.bytes[window.clone()]).sum(),
            windows: self.windows.len(),
            window: self.cut.window,
            prompt_tokens: self.cut.prompt,
            scored_bytes: first.iter().flatten().map(|sums| sums.bytes).collect(),
            modes: lines,
        })
    }

    /// The sums over the tokens of each window from `from` on, without windows that end before. The tokens of one may have no byte:
    /// those that go on with a character whose bytes were counted with the first of them.
    fn sums(&self, scores: &[Vec<f32>], from: usize) -> Vec<Sums> {
        let sum = |(window, scores): (&Range<usize>, &Vec<f32>)| {
            let tokens = behind(window, from);
            Sums {
                nats: -scores[from.min(scores.len())..].iter().copied().map(f64::from).sum::<f64>(),
                tokens: tokens.len(),
                bytes: self.bytes[tokens].iter().sum(),
            }
        };
        self.windows.iter().zip(scores).map(sum).filter(|sums| sums.tokens > 0).collect()
    }
}

/// The tokens of a window from its `from`-th on, of which a short last window may have none.
fn behind(window: &Range<usize>, from: usize) -> Range<usize> {
    window.end.min(window.start + from)..window.end
}

impl Figures {
    fn of(windows: &[Sums]) -> Self {
        let per = |what: fn(&Sums) -> usize| {
            ratio(&windows.iter().map(|sums| (sums.nats, what(sums) as f64)).collect::<Vec<_>>())
        };
        Figures {
            tokens: windows.iter().map(|sums| sums.tokens).sum(),
            bytes: windows.iter().map(|sums| sums.bytes).sum(),
            bits_per_byte: per(|sums| sums.bytes).map(bits),
            perplexity: per(|sums| sums.tokens).map(f64::exp),
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { file, tokens, bytes, windows, window, prompt_tokens, modes, .. } = self;
        writeln!(
            f,
            "{file}: {tokens} tokens, {bytes} bytes, in {windows} windows of {window} tokens at most"
        )?;
        if let Some(Line { scored, .. }) = modes.first() {
            writeln!(
                f,
                "scored behind the first {prompt_tokens} of each: {} tokens, {} bytes",
                scored.tokens, scored.bytes
            )?;
        }
        writeln!(
            f,
            "{:18} {:26} {:26} {:28} whole windows",
            "mode", "bits per byte", "against the first", "perplexity per token"
        )?;
        for Line { mode, scored, whole, difference, .. } in modes {
            writeln!(
                f,
                "{mode:18} {:26} {:26} {:28} {}",
                scored.bits_per_byte.show(4),
                difference.show(4),
                scored.perplexity.show(2),
                whole.bits_per_byte.show(4)
            )?;
        }
        Ok(())
    }
}

fn bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}
