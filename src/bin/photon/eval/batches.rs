//! Many texts through the engine, a batch at a time.

use indicatif::ProgressBar;
use photon_kernels::Result;
use photon_kernels::backend::Backend;
use photon_kernels::generate::{Engine, Mode, ScoreRequest};

/// Tokens of a batch at most, unless a single text has more: keys and values of the batch are kept. A vanilla model of
/// 600M parameters needs 3.5 GB for so many, a PHOTON of that size 0.3 GB.
const TOKENS: usize = 1 << 15;

/// The log-probabilities of each text's tokens in one mode, `batch` texts side by side at most.
pub fn score<B: Backend>(
    engine: &Engine<B>,
    requests: &[ScoreRequest<'_>],
    mode: Mode,
    batch: usize,
    bar: &ProgressBar,
) -> Result<Vec<Vec<f32>>> {
    let length = |&i: &usize| requests[i].tokens.len();
    // Texts of like lengths share a batch, the longest first: none waits for another to end, and memory grows once.
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(length(i)));
    bar.reset();
    bar.set_length(order.iter().map(length).sum::<usize>() as u64);
    let mut scores = vec![Vec::new(); requests.len()];
    let mut before = 0;
    let mut rest = &order[..];
    while let Some(longest) = rest.first() {
        let side_by_side = batch.min(TOKENS / length(longest).max(1)).clamp(1, rest.len());
        let (taken, others) = rest.split_at(side_by_side);
        let together: Vec<ScoreRequest<'_>> = taken.iter().map(|&i| requests[i]).collect();
        let scored =
            engine.score_batch(&together, mode, &mut |done, _| bar.set_position((before + done) as u64))?;
        for (&i, scored) in taken.iter().zip(scored) {
            before += scored.len();
            scores[i] = scored;
        }
        rest = others;
    }
    Ok(scores)
}
