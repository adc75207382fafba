//! Text to tokens and back: a thin layer over the `tokenizers` crate.

use std::path::Path;

use crate::config::Config;
use crate::error::{Error, Result, one_line};

/// A `tokenizer.json`.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

/// Longest `tokenizer.json` that is read; large vocabularies take some 30 MB.
const LONGEST_FILE: u64 = 256 << 20;

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fail = |message: &str| Error::Tokenizer(format!("{}: {}", path.display(), one_line(message)));
        let about = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if !about.is_file() || about.len() > LONGEST_FILE {
            return Err(fail(&format!("not a regular file of at most {LONGEST_FILE} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        if bytes.is_empty() {
            return Err(fail("the file is empty"));
        }
        let inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| fail(&e.to_string()))?;
        Ok(Tokenizer { inner })
    }

    /// Tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Checks that every token of the tokenizer is one of the model.
    ///
    /// # Errors
    /// If the tokenizer has more tokens than the model. (It may have fewer: vocabularies are often padded.)
    pub fn check(&self, config: &Config) -> Result<()> {
        // Added tokens may leave gaps, so the highest id counts and not their number alone.
        let highest = self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let size = self.vocab_size().max(highest);
        if size > config.vocab_size {
            return Err(Error::Tokenizer(format!(
                "it has {size} tokens, but the model's vocab_size is {}; they do not belong together",
                config.vocab_size
            )));
        }
        Ok(())
    }

    /// The tokens of a text; no special tokens are added.
    ///
    /// # Errors
    /// If the tokenizer refuses the text, or has no token for any of it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encoding(text)?.get_ids().to_vec())
    }

    /// The tokens of a text as [`Tokenizer::encode`] gives them, and how many bytes of the text each stands for.
    ///
    /// A token stands for the bytes from where the one before it ends to its own end, the last one for all that follow.
    /// So the bytes add up to the text, also where a tokenizer drops white space. Where a character is spread over
    /// several tokens, all of its bytes count for the first.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn encode_with_bytes(&self, text: &str) -> Result<(Vec<u32>, Vec<usize>)> {
        let encoding = self.encoding(text)?;
        let mut end = 0;
        let mut bytes: Vec<usize> = encoding
            .get_offsets()
            .iter()
            .map(|&(_, to)| {
                let more = to.saturating_sub(end);
                end += more;
                more
            })
            .collect();
        if let Some(last) = bytes.last_mut() {
            *last += text.len().saturating_sub(end);
        }
        Ok((encoding.get_ids().to_vec(), bytes))
    }

    fn encoding(&self, text: &str) -> Result<tokenizers::Encoding> {
        let encoding =
            self.inner.encode(text, false).map_err(|e| Error::Tokenizer(one_line(&e.to_string())))?;
        if encoding.is_empty() && !text.is_empty() {
            return Err(Error::Tokenizer(
                "it has no token for any of the text; tokenizer.json is incomplete".into(),
            ));
        }
        Ok(encoding)
    }

    /// The text of tokens. Special tokens, and ids that the tokenizer does not know, have none; bytes that are not
    /// UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// If the tokenizer refuses the tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| Error::Tokenizer(one_line(&e.to_string())))
    }

    /// Decoding of tokens that arrive little by little.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder { tokenizer: self, window: vec![], emitted: 0 }
    }
}

/// Tokens that the window keeps as context when it is cut: what a decoder may look back on.
const CONTEXT: usize = 8;
/// Length at which the window is cut.
const WINDOW: usize = 64;
/// Replacement characters at the end that may still become something else: some tokenizers write one for each byte.
const PENDING: usize = 16;

/// Turns tokens into text as they come, and never gives out half a UTF-8 character.
///
/// The pieces, [`StreamDecoder::finish`] included, are together the text of all tokens.
#[derive(Clone, Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The last tokens.
    window: Vec<u32>,
    /// Bytes of the window's text that have been given out.
    emitted: usize,
}

impl StreamDecoder<'_> {
    /// Takes more tokens and returns the text that is now certain.
    ///
    /// # Errors
    /// If the tokenizer refuses the tokens.
    pub fn push(&mut self, ids: &[u32]) -> Result<String> {
        self.window.extend(ids);
        let text = self.tokenizer.decode(&self.window)?;
        let mut certain = text.len();
        for _ in 0..PENDING {
            if text[..certain].ends_with(char::REPLACEMENT_CHARACTER) {
                certain -= char::REPLACEMENT_CHARACTER.len_utf8();
            }
        }
        let piece = self.advance(&text, certain);
        if self.window.len() > WINDOW && certain == text.len() {
            self.window.drain(..self.window.len() - CONTEXT);
            self.emitted = self.tokenizer.decode(&self.window)?.len();
        }
        Ok(piece)
    }

    /// Ends the text: returns what was held back, as replacement characters where it never became a character.
    ///
    /// # Errors
    /// If the tokenizer refuses the tokens.
    pub fn finish(mut self) -> Result<String> {
        let text = self.tokenizer.decode(&self.window)?;
        Ok(self.advance(&text, text.len()))
    }

    fn advance(&mut self, text: &str, to: usize) -> String {
        let piece = text.get(self.emitted..to).unwrap_or("").to_string();
        self.emitted = self.emitted.max(to);
        piece
    }
}

#[cfg(test)]
mod tests;
