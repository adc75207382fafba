//! Files of multiple-choice requests, one JSON object a line: a context, one of its continuations, and which of them is
//! right.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Take};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use photon_kernels::{Error, Result};
use serde::Deserialize;

/// What a line must be, as errors say it.
const FORM: &str =
    r#"a line is {"doc_id": 0, "idx": 0, "label": 0, "request": {"context": "…", "continuation": "…"}}"#;

/// Longest file that is read, unpacked: twenty times the largest task's.
const LONGEST: u64 = if cfg!(test) { 1 << 16 } else { 2 << 30 };

/// Documents from this number on are the choices once more behind a bare `Answer:`, for another normalisation.
const UNCONDITIONAL: u64 = 1_000_000;

/// One line. What else it holds is not looked at.
#[derive(Deserialize)]
struct Record {
    doc_id: u64,
    idx: usize,
    label: usize,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    context: String,
    continuation: String,
}

/// A context and one of its continuations.
#[derive(Debug, PartialEq)]
pub struct Choice {
    pub context: String,
    pub continuation: String,
    /// Of the file, from 1.
    pub line: usize,
}

/// The choices of one document, in the order of their numbers.
#[derive(Debug, PartialEq)]
pub struct Question {
    pub choices: Vec<Choice>,
    /// The right one.
    pub label: usize,
}

/// The questions of a file.
#[derive(Debug)]
pub struct Questions {
    pub questions: Vec<Question>,
    /// Lines of the unconditional form, which were left out.
    pub dropped: usize,
}

/// A question whose lines are being collected.
struct Open {
    doc: u64,
    line: usize,
    label: usize,
    choices: Vec<Option<Choice>>,
}

/// Reads the questions of a `.jsonl` file, packed by gzip or not.
///
/// # Errors
/// The file, the line and what is wrong with it.
pub fn read(path: &Path) -> Result<Questions> {
    let file = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
    let mut lines = unpacked(file).map_err(|e| Error::io(path, e))?;
    let (mut open, mut places, mut dropped) = (Vec::<Open>::new(), HashMap::new(), 0);
    let mut text = Vec::new();
    for line in 1.. {
        let fail = |message: String| Error::argument(format!("{}, line {line}: {message}", path.display()));
        text.clear();
        match lines.read_until(b'\n', &mut text) {
            Ok(_) if lines.limit() == 0 => {
                return Err(fail(format!("the file has more than {LONGEST} bytes; cut it into several")));
            }
            Ok(0) => break,
            Ok(_) if text.trim_ascii().is_empty() => continue,
            Ok(_) => (),
            Err(e) => {
                return Err(fail(format!("cannot be read on: {e}; is the file damaged? fetch it again")));
            }
        }
        let record: Record =
            serde_json::from_slice(text.trim_ascii()).map_err(|e| fail(format!("{e}; {FORM}")))?;
        let Record { doc_id: doc, idx, label, request: Request { context, continuation } } = record;
        if doc >= UNCONDITIONAL && context == "Answer:" {
            dropped += 1;
            continue;
        }
        if continuation.trim().is_empty() {
            return Err(fail(format!("the continuation is {continuation:?}; a choice needs a text")));
        }
        if idx >= CHOICES {
            return Err(fail(format!(
                "idx is {idx}; a document has fewer than {CHOICES} choices, from 0 on"
            )));
        }
        let place = *places.entry(doc).or_insert_with(|| {
            open.push(Open { doc, line, label, choices: Vec::new() });
            open.len() - 1
        });
        let Open { line: before, label: other, choices, .. } = &mut open[place];
        if *other != label {
            return Err(fail(format!(
                "label is {label}, but line {before} of the same doc_id {doc} says {other}; they must agree"
            )));
        }
        choices.resize_with(choices.len().max(idx + 1), || None);
        if let Some(Choice { line, .. }) = &choices[idx] {
            return Err(fail(format!(
                "doc_id {doc} has the choice {idx} on line {line} already; number the choices 0, 1, 2, …"
            )));
        }
        choices[idx] = Some(Choice { context, continuation, line });
    }
    if open.is_empty() {
        return Err(Error::argument(format!("{}: there is no question in the file; {FORM}", path.display())));
    }
    let questions = open.into_iter().map(|open| open.close(path)).collect::<Result<_>>()?;
    Ok(Questions { questions, dropped })
}

/// Most choices of a document; also what keeps a wrong idx from asking for memory.
const CHOICES: usize = 1 << 10;

impl Open {
    /// The question, once all lines are read.
    fn close(self, path: &Path) -> Result<Question> {
        let Open { doc, line, label, choices } = self;
        let fail = |message: String| {
            Err(Error::argument(format!("{}, line {line}: doc_id {doc} {message}", path.display())))
        };
        let n = choices.len();
        if let Some(missing) = choices.iter().position(Option::is_none) {
            return fail(format!("has a choice {}, but no choice {missing}; is the file cut short?", n - 1));
        }
        if n < 2 {
            return fail("has one choice; a question needs two at least".into());
        }
        if label >= n {
            return fail(format!("has the label {label}, but its choices are 0 to {}", n - 1));
        }
        Ok(Question { choices: choices.into_iter().flatten().collect(), label })
    }
}

/// The lines of a file, unpacked where it begins as gzip does, and cut behind the byte that is too many.
fn unpacked(mut file: BufReader<File>) -> std::io::Result<Take<Box<dyn BufRead>>> {
    let packed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let lines: Box<dyn BufRead> =
        if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
    Ok(lines.take(LONGEST + 1))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(doc: u64, idx: usize, label: usize, context: &str, continuation: &str) -> String {
        let request = serde_json::json!({"context": context, "continuation": continuation});
        serde_json::json!({"doc_id": doc, "idx": idx, "label": label, "request": request, "more": 1})
            .to_string()
    }

    fn with<T>(bytes: &[u8], then: impl FnOnce(&Path) -> T) -> T {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("requests.jsonl");
        std::fs::write(&path, bytes).unwrap();
        then(&path)
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    fn good() -> String {
        [
            line(7, 1, 0, "a", " c"),
            line(7, 0, 0, "a", " b"),
            String::new(),
            line(3, 0, 1, "Answer:", " x"),
            line(3, 1, 1, "Answer:", " y"),
            line(1_000_007, 0, 0, "Answer:", " b"),
        ]
        .join("\n")
    }

    #[test]
    fn questions_come_in_the_order_of_the_file_and_choices_in_that_of_their_numbers() {
        for bytes in [good().into_bytes(), packed(&good())] {
            let Questions { questions, dropped } = with(&bytes, read).unwrap();
            assert_eq!(dropped, 1);
            let words: Vec<Vec<&str>> = questions
                .iter()
                .map(|q| q.choices.iter().map(|choice| choice.continuation.as_str()).collect())
                .collect();
            assert_eq!(words, [[" b", " c"], [" x", " y"]]);
            assert_eq!(questions.iter().map(|q| q.label).collect::<Vec<_>>(), [0, 1]);
            assert_eq!(questions[0].choices[0].line, 2);
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_refused_and_not_cut() {
        let lines: Vec<String> = (0..300)
            .flat_map(|doc| [0, 1].map(|idx| line(doc, idx, 0, "a", &format!(" {}", "b".repeat(150)))))
            .collect();
        let text = lines.join("\n");
        assert!(text.len() as u64 > LONGEST);
        for bytes in [text.clone().into_bytes(), packed(&text)] {
            let message = with(&bytes, read).err().unwrap().to_string();
            assert!(message.contains("more than 65536 bytes"), "{message}");
        }
        // As long as is allowed, to the byte.
        let mut exact = good();
        exact.push_str(&" ".repeat(LONGEST as usize - exact.len()));
        assert_eq!(with(exact.as_bytes(), read).unwrap().questions.len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_line() {
        let two = |second: String| [line(0, 0, 0, "a", " b"), second].join("\n");
        for (text, parts) in [
            (String::new(), ["no question", "doc_id"]),
            (line(1_000_000, 0, 0, "Answer:", " a"), ["no question", "doc_id"]),
            (two("{".into()), ["line 2", "EOF"]),
            (two(r#"{"doc_id": 0, "idx": 1, "label": 0}"#.into()), ["line 2", "request"]),
            (two(r#"{"doc_id": 0, "idx": -1}"#.into()), ["line 2", "-1"]),
            (two(line(0, 1, 0, "a", " ")), ["line 2", "continuation"]),
            (two(line(0, 0, 0, "a", " c")), ["line 2", "on line 1"]),
            (two(line(0, 2, 0, "a", " c")), ["line 1", "no choice 1"]),
            (two(line(0, 1, 1, "a", " c")), ["line 2", "label is 1"]),
            (two(line(0, usize::MAX, 0, "a", " c")), ["line 2", "idx is"]),
            (line(0, 0, 0, "a", " b"), ["line 1", "one choice"]),
            ([line(0, 0, 5, "a", " b"), line(0, 1, 5, "a", " c")].join("\n"), ["doc_id 0", "label 5"]),
        ] {
            let message = with(text.as_bytes(), read).unwrap_err().to_string();
            for part in ["requests.jsonl"].iter().chain(&parts) {
                assert!(message.contains(part), "{part:?} is not in {message:?}");
            }
        }
    }

    #[test]
    fn damaged_and_missing_files_are_named() {
        let bytes = packed(&good().repeat(20));
        let mut flipped = bytes.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 0xff;
        for bytes in [&bytes[..bytes.len() / 2], &bytes[..12], &flipped] {
            let message = with(bytes, read).unwrap_err().to_string();
            assert!(message.contains("requests.jsonl") && message.contains("line"), "{message}");
        }
        assert!(read(Path::new("/nowhere/requests.jsonl")).unwrap_err().to_string().contains("/nowhere"));
    }
}
