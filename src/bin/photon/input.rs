//! What the arguments point at: the model directory, prompts, token lists and texts.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use photon_kernels::text::Tokenizer;
use photon_kernels::{Config, Error, Result};

/// The sample model, relative to where the program runs or else to where it was built.
const SAMPLE: &str = "models/photon-austen-7m";
/// Longest text or token file that is read.
const LONGEST: u64 = 256 << 20;

/// The checkpoint directory that `--model` names, or the sample model.
pub fn model_dir(argument: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = argument {
        return Ok(dir.to_path_buf());
    }
    let places = [PathBuf::from(SAMPLE), Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)];
    places.into_iter().find(|dir| dir.is_dir()).ok_or_else(|| {
        Error::argument(format!(
            "the sample model {SAMPLE} is not here; name a checkpoint directory with --model"
        ))
    })
}

/// The tokenizer of a model, checked against its vocabulary; nothing where the model has none.
pub fn tokenizer(dir: &Path, config: &Config) -> Result<Option<Tokenizer>> {
    let path = dir.join("tokenizer.json");
    if !path.exists() {
        return Ok(None);
    }
    let tokenizer = Tokenizer::from_file(&path)?;
    tokenizer.check(config).map_err(|e| match e {
        Error::Tokenizer(message) => Error::Tokenizer(format!("{}: {message}", path.display())),
        other => other,
    })?;
    Ok(Some(tokenizer))
}

/// The tokenizer that `argument` needs, or an error that says so, and what to do.
pub fn needed<'a>(
    tokenizer: Option<&'a Tokenizer>,
    argument: &str,
    dir: &Path,
    remedy: &str,
) -> Result<&'a Tokenizer> {
    tokenizer.ok_or_else(|| {
        Error::argument(format!(
            "{argument} needs {}, which is not there; {remedy}",
            dir.join("tokenizer.json").display()
        ))
    })
}

/// The ids of `--tokens`: a list, `@FILE`, or nothing at all for the empty prompt. Each is checked against the
/// vocabulary.
pub fn tokens(argument: &str, vocab_size: usize) -> Result<Vec<u32>> {
    let Some(path) = argument.strip_prefix('@') else {
        return ids(argument, "--tokens", vocab_size);
    };
    if path.is_empty() {
        return Err(Error::argument("--tokens @ names no file"));
    }
    let text = text_file(Path::new(path))?;
    ids(&text, path, vocab_size)
}

/// A UTF-8 text file that is not empty.
pub fn text_file(path: &Path) -> Result<String> {
    let fail = |message: &str| Err(Error::argument(format!("{}: {message}", path.display())));
    let mut bytes = vec![];
    // Not the size in the directory: pipes have none.
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > LONGEST {
        return fail(&format!("longer than {LONGEST} bytes"));
    }
    if bytes.is_empty() {
        return fail("the file is empty");
    }
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return fail(&format!("not text: byte {at} is 0"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(e) => fail(&format!("not UTF-8 text: {}", e.utf8_error())),
    }
}

/// Token ids separated by commas or white space. A comma may end the list, but not stand where an id is missing.
fn ids(text: &str, source: &str, vocab_size: usize) -> Result<Vec<u32>> {
    let listed = text.trim_end().strip_suffix(',').unwrap_or(text);
    if text.contains(',')
        && let Some(i) = listed.split(',').position(|part| part.trim().is_empty())
    {
        return Err(Error::argument(format!("{source}: an id is missing before comma {}", i + 1)));
    }
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words
        .enumerate()
        .map(|(i, word)| match word.parse::<u32>() {
            Ok(id) if (id as usize) < vocab_size => Ok(id),
            _ => Err(Error::argument(format!(
                "{source}: token {i} is {:?}; ids of this model are integers in 0..{vocab_size}",
                word.chars().take(40).collect::<String>()
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input.txt");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    fn refused<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
        let message = result.unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn token_lists_are_read_from_the_argument_and_from_files() {
        assert!(tokens("", 9).unwrap().is_empty());
        assert_eq!(tokens("1,2,3", 9).unwrap(), [1, 2, 3]);
        assert_eq!(tokens(" 1, 2\t8 ", 9).unwrap(), [1, 2, 8]);
        let (_dir, path) = file(b"1,2\n3 4,\n");
        assert_eq!(tokens(&format!("@{}", path.display()), 9).unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_token_out_of_range_is_named_with_its_place() {
        refused(tokens("1,9", 9), &["--tokens", "token 1", "\"9\"", "0..9"]);
        refused(tokens("-1", 9), &["token 0", "\"-1\""]);
        refused(tokens("1,two", 9), &["\"two\""]);
        refused(tokens("1,,2", 9), &["--tokens", "missing before comma 2"]);
        refused(tokens(",1", 9), &["missing before comma 1"]);
        refused(tokens("1, ,", 9), &["missing before comma 2"]);
        refused(tokens(",", 9), &["missing before comma 1"]);
        refused(tokens("99999999999999999999", 9), &["token 0"]);
        let (_dir, path) = file(b"1 2 77");
        refused(tokens(&format!("@{}", path.display()), 9), &["input.txt", "token 2", "\"77\""]);
    }

    #[test]
    fn empty_binary_and_missing_files_are_named() {
        for (bytes, what) in [(&b""[..], "empty"), (b"a\0b", "byte 1 is 0"), (b"ab\xff\xfe", "UTF-8")] {
            let (_dir, path) = file(bytes);
            refused(text_file(&path), &["input.txt", what]);
            refused(tokens(&format!("@{}", path.display()), 9), &["input.txt", what]);
        }
        refused(text_file(Path::new("/nowhere/input.txt")), &["/nowhere/input.txt"]);
        refused(text_file(tempfile::tempdir().unwrap().path()), &["directory"]);
        refused(tokens("@", 9), &[""]);
    }

    #[test]
    fn a_model_without_tokenizer_asks_for_tokens() {
        refused(
            needed(None, "--prompt", Path::new("some/model"), "pass --tokens"),
            &["--prompt", "some/model", "--tokens"],
        );
    }
}
