//! Text to tokens.

use crate::error::{ParseError, Result};
use crate::numbers;

/// What a token is. Its text is the slice of the source between [`Token::start`] and [`Token::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `%r1`, `_`, `$L__BB0_1`, `mov`.
    Identifier,
    /// A directive or modifier with its dot: `.reg`, `.m16n8k16`, `.L2::128B`.
    Dotted,
    /// An integer or floating-point literal without a sign.
    Number,
    /// A string with its quotes.
    Text,
    /// Any other single character.
    Mark(u8),
    /// The end of the text.
    End,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) line: u32,
}

/// Marks that the grammar knows.
const MARKS: &[u8] = b"{}()[],;:@!|=<>+-*/%&^~?";

/// All tokens of `source`, with [`Kind::End`] as the last.
pub(crate) fn tokens(source: &str) -> Result<Vec<Token>> {
    if u32::try_from(source.len()).is_err() {
        return Err(ParseError { line: 1, column: 1, message: "the text is longer than 4 GiB".into() });
    }
    let mut lexer = Lexer { bytes: source.as_bytes(), source, at: 0, line: 1 };
    let mut tokens = Vec::with_capacity(source.len() / 4 + 1);
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.kind == Kind::End {
            return Ok(tokens);
        }
    }
}

/// An error at byte `at` of `source`.
pub(crate) fn error(source: &str, at: usize, line: u32, message: impl Into<String>) -> ParseError {
    let before = &source.as_bytes()[..at.min(source.len())];
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    // Continuation bytes of UTF-8 are no columns of their own.
    let column = before[line_start..].iter().filter(|&&b| b & 0xC0 != 0x80).count() as u32 + 1;
    ParseError { line, column, message: message.into() }
}

struct Lexer<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    line: u32,
}

fn starts_identifier(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$' | b'%')
}

fn continues_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        error(self.source, at, self.line, message)
    }

    fn skip_while(&mut self, test: impl Fn(u8) -> bool) {
        while self.at < self.bytes.len() && test(self.bytes[self.at]) {
            self.at += 1;
        }
    }

    /// Skips white space, comments and preprocessor lines.
    fn skip_blank(&mut self) -> Result<()> {
        let mut line_is_blank = self.at == 0;
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                    line_is_blank = true;
                }
                b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c' => self.at += 1,
                b'/' if self.peek(1) == b'/' => self.skip_while(|b| b != b'\n'),
                b'/' if self.peek(1) == b'*' => self.skip_block_comment()?,
                // `# 12 "file"` of a preprocessor.
                b'#' if line_is_blank && self.peek(1) == b' ' => self.skip_while(|b| b != b'\n'),
                // Drivers are given C strings: what follows the text's end is not looked at.
                0 => self.at = self.bytes.len(),
                _ => break,
            }
        }
        Ok(())
    }

    fn skip_block_comment(&mut self) -> Result<()> {
        let (start, line) = (self.at, self.line);
        self.at += 2;
        while self.at < self.bytes.len() {
            if self.peek(0) == b'*' && self.peek(1) == b'/' {
                self.at += 2;
                return Ok(());
            }
            self.line += u32::from(self.peek(0) == b'\n');
            self.at += 1;
        }
        Err(error(self.source, start, line, "this comment has no end"))
    }

    fn next(&mut self) -> Result<Token> {
        self.skip_blank()?;
        let start = self.at;
        let line = self.line;
        let kind = if start == self.bytes.len() { Kind::End } else { self.scan()? };
        Ok(Token { kind, start: start as u32, end: self.at as u32, line })
    }

    fn scan(&mut self) -> Result<Kind> {
        let start = self.at;
        let byte = self.bytes[start];
        if byte == b'%' && !continues_identifier(self.peek(1)) {
            self.at += 1;
            return Ok(Kind::Mark(b'%'));
        }
        if starts_identifier(byte) {
            self.at += 1;
            self.skip_while(continues_identifier);
            return Ok(Kind::Identifier);
        }
        match byte {
            b'0'..=b'9' => {
                self.at += numbers::length(&self.bytes[start..]);
                if continues_identifier(self.peek(0)) {
                    return Err(self.error(start, "malformed number"));
                }
                Ok(Kind::Number)
            }
            // `.2d` is a modifier, `.5` and `.5e3` are numbers.
            b'.' => {
                let length = numbers::length(&self.bytes[start..]);
                if length > 0 && !continues_identifier(self.peek(length)) {
                    self.at += length;
                    return Ok(Kind::Number);
                }
                self.scan_dotted()
            }
            b'"' => self.scan_text(),
            _ if MARKS.contains(&byte) => {
                self.at += 1;
                Ok(Kind::Mark(byte))
            }
            _ => {
                let found = self.source[start..].chars().next().unwrap_or('\u{fffd}');
                Err(self.error(start, format!("unexpected character {found:?}")))
            }
        }
    }

    fn scan_dotted(&mut self) -> Result<Kind> {
        let start = self.at;
        self.at += 1;
        self.skip_while(continues_identifier);
        if self.at == start + 1 {
            return Err(self.error(start, "a dot without a name"));
        }
        while self.peek(0) == b':' && self.peek(1) == b':' && continues_identifier(self.peek(2)) {
            self.at += 2;
            self.skip_while(continues_identifier);
        }
        Ok(Kind::Dotted)
    }

    fn scan_text(&mut self) -> Result<Kind> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                None | Some(b'\n') => return Err(self.error(start, "this string has no end")),
                Some(b'"') => break,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(Kind::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<(Kind, &str)> {
        let all = tokens(source).unwrap();
        all.iter().map(|t| (t.kind, &source[t.start as usize..t.end as usize])).collect()
    }

    #[test]
    fn modifiers_keep_their_colons_and_digits() {
        let expected = ["ld", ".shared::cta", ".L2::128B", ".tile::gather4", ".m16n8k16", ".x4", ".2d"];
        let source = expected.join("");
        let found: Vec<&str> = texts(&source).into_iter().map(|t| t.1).collect();
        assert_eq!(found[..7], expected);
    }

    #[test]
    fn a_percent_sign_alone_is_an_operator() {
        let kinds: Vec<Kind> = texts("7 % 4 %r").into_iter().map(|t| t.0).collect();
        assert_eq!(kinds, [Kind::Number, Kind::Mark(b'%'), Kind::Number, Kind::Identifier, Kind::End]);
    }

    #[test]
    fn comments_and_preprocessor_lines_are_blank_and_counted() {
        let source = "# 1 \"a.ptx\"\n/* one\n two */ a // b\n  # 9 \"b\"\nc";
        let all = tokens(source).unwrap();
        let found: Vec<(&str, u32)> =
            all.iter().map(|t| (&source[t.start as usize..t.end as usize], t.line)).collect();
        assert_eq!(found, [("a", 3), ("c", 5), ("", 5)]);
    }

    #[test]
    fn strings_know_no_escapes_and_may_hold_characters_beyond_ascii() {
        assert_eq!(texts(r#""C:\é\";"#)[0], (Kind::Text, r#""C:\é\""#));
    }

    #[test]
    fn errors_name_line_and_column_in_characters() {
        let found = tokens("mov\n  \"é\" ?§").unwrap_err();
        assert_eq!((found.line, found.column), (2, 8));
        assert!(found.message.contains('§'));
    }

    #[test]
    fn unfinished_comments_and_strings_are_errors_where_they_begin() {
        let found = tokens("a\n /* b\n c").unwrap_err();
        assert_eq!((found.line, found.column), (2, 2));
        assert!(tokens("\"abc\n\"").is_err());
        assert!(tokens("\"abc\\").is_err());
    }

    #[test]
    fn a_number_that_runs_into_a_name_is_an_error() {
        for source in ["0x", "12ab", "0f3F80000", "0d3FF0", "0b2", "1.5x"] {
            assert!(tokens(source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_zero_byte_ends_the_text() {
        assert_eq!(texts("ret;\0§").len(), 3);
    }
}
