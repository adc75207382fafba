//! A long text cut into windows that are scored each on its own.

use std::ops::Range;

use photon_kernels::{Config, Error, Result};

/// How a text is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Tokens to a window; the last one may have fewer.
    pub window: usize,
    /// Known tokens at the start of each window, whole meta-contexts.
    pub prompt: usize,
}

impl Cut {
    /// The cut of a text of `tokens` tokens that `--window` and `--prompt-tokens` ask for. By default a window is as long
    /// as the model's positions or the text, and half of it is known.
    ///
    /// # Errors
    /// A prompt that is no multiple of the meta-context, or that leaves nothing to score.
    pub fn new(window: Option<usize>, prompt: Option<usize>, tokens: usize, config: &Config) -> Result<Self> {
        let c = config.meta_context();
        let window = window.unwrap_or(config.max_position_embeddings);
        let most = window.min(tokens);
        let prompt = prompt.unwrap_or(most / 2 / c * c);
        if !prompt.is_multiple_of(c) {
            return Err(Error::argument(format!(
                "--prompt-tokens is {prompt}; it must be a multiple of the meta-context, {c} tokens"
            )));
        }
        if prompt >= most {
            return Err(Error::argument(format!(
                "--prompt-tokens is {prompt}, but the longest window has {most} of the text's {tokens} tokens: nothing \
                 is left to score; ask for less"
            )));
        }
        Ok(Cut { window, prompt })
    }

    /// The windows of a text of `tokens` tokens, one after another.
    pub fn windows(self, tokens: usize) -> impl Iterator<Item = Range<usize>> {
        (0..tokens).step_by(self.window).map(move |at| at..(at + self.window).min(tokens))
    }

    /// The known tokens of a window of `len` tokens: a short last one may end before its prompt does.
    pub fn known(self, len: usize, c: usize) -> usize {
        self.prompt.min(len / c * c)
    }
}

#[cfg(test)]
mod tests {
    use photon_kernels::presets::preset;

    use super::*;

    #[test]
    fn windows_hold_every_token_once_in_order() {
        for (window, tokens) in [(1, 5), (4, 12), (5, 12), (12, 12), (13, 12), (3, 0)] {
            let cut = Cut { window, prompt: 0 };
            let all: Vec<usize> = cut.windows(tokens).flatten().collect();
            assert_eq!(all, (0..tokens).collect::<Vec<_>>());
            assert!(cut.windows(tokens).all(|w| w.len() <= window && !w.is_empty()));
        }
    }

    #[test]
    fn by_default_half_of_a_window_as_long_as_the_models_positions_is_known() {
        let config = preset("photon-600m").unwrap();
        let cut = |window, prompt, tokens| Cut::new(window, prompt, tokens, &config);
        assert_eq!(cut(None, None, 100_000).unwrap(), Cut { window: 4096, prompt: 2048 });
        assert_eq!(cut(None, None, 100).unwrap(), Cut { window: 4096, prompt: 48 });
        assert_eq!(cut(Some(33), None, 100).unwrap(), Cut { window: 33, prompt: 16 });
        assert_eq!(cut(Some(512), Some(0), 100).unwrap(), Cut { window: 512, prompt: 0 });
    }

    #[test]
    fn a_prompt_that_leaves_nothing_or_ends_inside_a_meta_context_is_refused() {
        let config = preset("photon-600m").unwrap();
        for (window, prompt, tokens, parts) in [
            (Some(512), 40, 1000, ["--prompt-tokens is 40", "16 tokens"]),
            (Some(32), 32, 1000, ["--prompt-tokens is 32", "has 32"]),
            (None, 64, 50, ["--prompt-tokens is 64", "50 tokens"]),
        ] {
            let message = Cut::new(window, Some(prompt), tokens, &config).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{part:?} is not in {message:?}");
            }
        }
    }

    #[test]
    fn a_short_last_window_knows_its_whole_meta_contexts_at_most() {
        let cut = Cut { window: 512, prompt: 256 };
        assert_eq!(
            (cut.known(512, 16), cut.known(257, 16), cut.known(250, 16), cut.known(5, 16)),
            (256, 256, 240, 0)
        );
    }
}
