//! Accuracy on multiple-choice questions by the likelihood of each choice.

use photon_kernels::backend::Backend;
use photon_kernels::generate::{Engine, Mode, ScoreRequest};
use photon_kernels::text::Tokenizer;
use photon_kernels::{Config, Error, Result};
use serde::Serialize;

use super::batches;
use super::modes::Named;
use super::requests::{self, Choice};
use super::statistics::{Estimate, wilson};
use super::tasks::Source;
use crate::engine;

/// A task in tokens.
pub struct Task {
    source: Source,
    questions: Vec<Question>,
    dropped: usize,
    /// Choices whose context was cut on the left.
    cut: usize,
}

struct Question {
    choices: Vec<Encoded>,
    label: usize,
}

/// A context and a continuation in tokens.
#[derive(Debug, PartialEq)]
struct Encoded {
    tokens: Vec<u32>,
    /// Tokens of the context.
    context: usize,
    /// Characters of the continuation, without the space that parts it from its context.
    length: usize,
    cut: bool,
}

/// What a task says of all modes.
#[derive(Serialize)]
pub struct Report {
    task: String,
    file: String,
    questions: usize,
    /// Expected accuracy of guessing: the mean of 1 over the number of choices.
    chance: f64,
    dropped_requests: usize,
    cut_contexts: usize,
    modes: Vec<Line>,
}

/// One mode.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    mode: Named,
    /// The choice of the highest log-likelihood per character.
    accuracy_norm: Estimate,
    /// The choice of the highest log-likelihood.
    accuracy: Estimate,
}

impl Task {
    /// Reads a task, the first `limit` questions of it.
    pub fn read(
        source: Source,
        tokenizer: &Tokenizer,
        config: &Config,
        limit: Option<usize>,
    ) -> Result<Self> {
        let requests::Questions { questions, dropped } = requests::read(&source.file)?;
        let fail = |line, e: Error| Error::argument(format!("{}, line {line}: {e}", source.file.display()));
        let questions: Vec<Question> = questions
            .iter()
            .take(limit.unwrap_or(usize::MAX))
            .map(|question| {
                let encode = |choice: &Choice| {
                    Encoded::new(choice, tokenizer, config.max_position_embeddings)
                        .map_err(|e| fail(choice.line, e))
                };
                let choices = question.choices.iter().map(encode).collect::<Result<_>>()?;
                Ok(Question { choices, label: question.label })
            })
            .collect::<Result<_>>()?;
        let cut = questions.iter().flat_map(|q| &q.choices).filter(|choice| choice.cut).count();
        Ok(Task { source, questions, dropped, cut })
    }

    /// Answers the questions in each mode.
    pub fn measure<B: Backend>(self, engine: &Engine<B>, modes: &[Mode], batch: usize) -> Result<Report> {
        let c = engine.config().meta_context();
        let choices: Vec<&Encoded> = self.questions.iter().flat_map(|q| &q.choices).collect();
        let requests: Vec<ScoreRequest<'_>> = choices.iter().map(|choice| choice.request(c)).collect();
        let mut lines = Vec::with_capacity(modes.len());
        for &mode in modes {
            let bar = engine::bar(self.source.bar);
            let scores = batches::score(engine, &requests, mode, batch, &bar)?;
            bar.finish_and_clear();
            let sum = |(choice, scores): (&&Encoded, &Vec<f32>)| {
                scores[choice.context..].iter().copied().map(f64::from).sum()
            };
            let sums: Vec<f64> = choices.iter().zip(&scores).map(sum).collect();
            let right = |value: fn(f64, &Encoded) -> f64| {
                let mut sums = &sums[..];
                let mut right = 0;
                for question in &self.questions {
                    let (own, others) = sums.split_at(question.choices.len());
                    let values = own.iter().zip(&question.choices).map(|(&sum, choice)| value(sum, choice));
                    right += usize::from(highest(values) == question.label);
                    sums = others;
                }
                wilson(right, self.questions.len())
            };
            lines.push(Line {
                mode: mode.into(),
                accuracy_norm: right(|sum, choice| sum / choice.length as f64),
                accuracy: right(|sum, _| sum),
            });
        }
        let guess = |question: &Question| 1.0 / question.choices.len() as f64;
        Ok(Report {
            task: self.source.name,
            file: self.source.file.display().to_string(),
            questions: self.questions.len(),
            chance: self.questions.iter().map(guess).sum::<f64>() / self.questions.len() as f64,
            dropped_requests: self.dropped,
            cut_contexts: self.cut,
            modes: lines,
        })
    }
}

impl Encoded {
    /// Context and continuation are tokenised together, and the tokens behind as many as the context has alone are the
    /// continuation's. White space at the context's end belongs to the continuation, since most tokenizers have it at
    /// the start of a word. The last `most` tokens are kept.
    fn new(choice: &Choice, tokenizer: &Tokenizer, most: usize) -> Result<Self> {
        let context = choice.context.trim_end();
        let tokens = tokenizer.encode(&format!("{}{}", choice.context, choice.continuation))?;
        let known = tokenizer.encode(context)?.len();
        let continuation = tokens.len().saturating_sub(known);
        if continuation == 0 {
            return Err(Error::argument(format!(
                "the continuation {:?} has no token of its own behind its context; begin it with a space",
                choice.continuation
            )));
        }
        if continuation > most {
            return Err(Error::argument(format!(
                "the continuation has {continuation} tokens, but the model's max_position_embeddings is {most}; shorten \
                 it"
            )));
        }
        let cut = tokens.len().saturating_sub(most);
        let text = choice.continuation.strip_prefix(' ').unwrap_or(&choice.continuation);
        Ok(Encoded {
            tokens: tokens[cut..].to_vec(),
            context: known - cut,
            length: text.chars().count(),
            cut: cut > 0,
        })
    }

    /// RecGen knows the meta-context that the context ends in, as it does when it generates; where the continuation ends
    /// inside that one, it differs from HierGen in nothing.
    fn request(&self, c: usize) -> ScoreRequest<'_> {
        let prompt = self.context.next_multiple_of(c).min(self.tokens.len() / c * c);
        ScoreRequest { tokens: &self.tokens, prompt }
    }
}

/// The place of the highest value, the first among equals.
fn highest(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { task, questions, chance, cut_contexts, .. } = self;
        writeln!(f, "{task}: {questions} questions")?;
        if *cut_contexts > 0 {
            writeln!(
                f,
                "{cut_contexts} contexts were cut on the left to the model's max_position_embeddings"
            )?;
        }
        writeln!(f, "{:18} {:24} {:24} chance %", "mode", "normalised accuracy %", "accuracy %")?;
        let percent = |estimate: Estimate| estimate.map(|share| share * 100.0).show(2);
        for Line { mode, accuracy_norm, accuracy } in &self.modes {
            let (normalised, plain, chance) = (percent(*accuracy_norm), percent(*accuracy), chance * 100.0);
            writeln!(f, "{mode:18} {normalised:24} {plain:24} {chance:.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tokenizer() -> Tokenizer {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/photon-austen-7m");
        Tokenizer::from_file(dir.join("tokenizer.json")).unwrap()
    }

    fn encoded(context: &str, continuation: &str, most: usize) -> Result<Encoded> {
        let choice = Choice { context: context.into(), continuation: continuation.into(), line: 1 };
        Encoded::new(&choice, &tokenizer(), most)
    }

    #[test]
    fn white_space_at_a_contexts_end_belongs_to_the_continuation() {
        let t = tokenizer();
        let plain = encoded("She was", " very glad", 99).unwrap();
        assert_eq!(plain.tokens, t.encode("She was very glad").unwrap());
        assert_eq!(plain.context, t.encode("She was").unwrap().len());
        let moved = encoded("She was ", "very glad", 99).unwrap();
        assert_eq!((&moved.tokens, moved.context), (&plain.tokens, plain.context));
        assert_eq!(encoded("", "Emma", 99).unwrap().context, 0);
    }

    #[test]
    fn length_counts_characters_without_the_one_space_that_parts() {
        for (continuation, length) in [(" glad", 4), ("glad", 4), ("  glad", 5), (" naïve", 5)] {
            assert_eq!(encoded("She was", continuation, 99).unwrap().length, length, "{continuation:?}");
        }
    }

    #[test]
    fn long_contexts_are_cut_on_the_left_and_long_continuations_refused() {
        let whole = encoded("It was a very fine day and she was", " very glad", 99).unwrap();
        let most = whole.tokens.len() - whole.context + 3;
        let cut = encoded("It was a very fine day and she was", " very glad", most).unwrap();
        assert!(cut.cut && !whole.cut);
        assert_eq!((cut.context, &cut.tokens[..]), (3, &whole.tokens[whole.tokens.len() - most..]));
        let message = encoded("She was", " very glad indeed", 1).unwrap_err().to_string();
        assert!(message.contains("max_position_embeddings is 1"), "{message}");
    }

    #[test]
    fn a_continuation_that_melts_into_its_context_is_refused() {
        let message = encoded("She w", "as", 99).map(|e| e.context).unwrap_err().to_string();
        assert!(message.contains("\"as\"") && message.contains("space"), "{message}");
    }

    #[test]
    fn recgen_knows_the_meta_context_that_the_context_ends_in() {
        let of = |context, len| {
            Encoded { tokens: vec![0; len], context, length: 1, cut: false }.request(16).prompt
        };
        assert_eq!([of(0, 5), of(16, 40), of(17, 40), of(17, 20), of(30, 31)], [0, 16, 32, 16, 16]);
    }

    #[test]
    fn the_first_of_equal_choices_is_taken() {
        assert_eq!(highest([-2.0, -1.0, -1.0].into_iter()), 1);
        assert_eq!(highest([f64::NEG_INFINITY; 3].into_iter()), 0);
    }
}
