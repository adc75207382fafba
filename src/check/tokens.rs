//! Checks of what is drawn or scored at the head.

use crate::error::{Error, Result};
use crate::sampling::Draw;

/// Parameters in range, forced tokens in the vocabulary.
pub(crate) fn draws(draws: &[Draw], vocabulary: usize) -> Result<()> {
    for draw in draws {
        draw.sampling.validate()?;
        if let Some(id) = draw.forced
            && id as usize >= vocabulary
        {
            return Err(Error::argument(format!(
                "forced token id {id} is not in the vocabulary of {vocabulary}"
            )));
        }
    }
    Ok(())
}

/// Targets in the vocabulary, or `u32::MAX`: not scored.
pub(crate) fn targets(targets: &[u32], vocabulary: usize) -> Result<()> {
    match targets.iter().find(|&&id| id != u32::MAX && id as usize >= vocabulary) {
        None => Ok(()),
        Some(id) => {
            Err(Error::argument(format!("target token id {id} is not in the vocabulary of {vocabulary}")))
        }
    }
}
