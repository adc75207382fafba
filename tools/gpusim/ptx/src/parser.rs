//! The cursor over the tokens, and what every part of the grammar needs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::ast::{Body, Module};
use crate::error::{ParseError, Result};
use crate::lexer::{self, Kind, Token};
use crate::scopes::Scopes;

/// The state of parsing one text.
pub(crate) struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    at: usize,
    words: HashMap<&'s str, Arc<str>>,
    /// What has been read of the module.
    pub(crate) module: Module,
    /// Variables and defined functions of the module.
    pub(crate) globals: HashSet<Box<str>>,
    /// What has been read of the function at the cursor.
    pub(crate) body: Body,
    /// Its names.
    pub(crate) scopes: Scopes,
    /// `.unified` after an address of the instruction at the cursor.
    pub(crate) unified: bool,
    /// Names that ranges such as `%r<10>` may still make: a few bytes of text must not fill the memory.
    pub(crate) names_left: u64,
    /// The same for variables from ranges and for zeros that fill short rows.
    pub(crate) padding_left: u64,
}

impl<'s> Parser<'s> {
    pub(crate) fn new(source: &'s str) -> Result<Self> {
        let tokens = lexer::tokens(source)?;
        let scopes = Scopes::new(&tokens, source);
        Ok(Self {
            source,
            tokens,
            at: 0,
            words: HashMap::new(),
            module: Module { address_size: 64, ..Module::default() },
            globals: HashSet::new(),
            body: Body::default(),
            scopes,
            unified: false,
            names_left: 4 << 20,
            padding_left: 1 << 20,
        })
    }

    fn token(&self, ahead: usize) -> Token {
        // The last token is the end, and the cursor never passes it.
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    /// The token at the cursor.
    pub(crate) fn peek(&self) -> Kind {
        self.token(0).kind
    }

    /// A token further on.
    pub(crate) fn peek_at(&self, ahead: usize) -> Kind {
        self.token(ahead).kind
    }

    /// Whether the next token follows without a blank.
    pub(crate) fn touches_next(&self) -> bool {
        self.token(0).end == self.token(1).start
    }

    /// Text of the token at the cursor.
    pub(crate) fn text(&self) -> &'s str {
        let token = self.token(0);
        &self.source[token.start as usize..token.end as usize]
    }

    /// Text of a token further on.
    pub(crate) fn text_at(&self, ahead: usize) -> &'s str {
        let token = self.token(ahead);
        &self.source[token.start as usize..token.end as usize]
    }

    /// Line of the token at the cursor.
    pub(crate) fn line(&self) -> u32 {
        self.token(0).line
    }

    /// Index of the token at the cursor, for [`Self::error_at`].
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    pub(crate) fn error_at(&self, position: usize, message: impl Into<String>) -> ParseError {
        let token = self.tokens[position.min(self.tokens.len() - 1)];
        lexer::error(self.source, token.start as usize, token.line, message)
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> ParseError {
        self.error_at(self.at, message)
    }

    /// An error that says what should stand at the cursor, and what does.
    pub(crate) fn expected(&self, what: &str) -> ParseError {
        let found = match self.peek() {
            Kind::End => "the end of the text".to_string(),
            _ => {
                let text: String = self.text().chars().take(40).collect();
                format!("`{text}`")
            }
        };
        self.error(format!("expected {what}, found {found}"))
    }

    pub(crate) fn is_mark(&self, mark: u8) -> bool {
        self.peek() == Kind::Mark(mark)
    }

    pub(crate) fn take_mark(&mut self, mark: u8) -> bool {
        let found = self.is_mark(mark);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn expect_mark(&mut self, mark: u8) -> Result<()> {
        if self.take_mark(mark) { Ok(()) } else { Err(self.expected(&format!("`{}`", char::from(mark)))) }
    }

    pub(crate) fn is_dotted(&self, text: &str) -> bool {
        self.peek() == Kind::Dotted && self.text() == text
    }

    pub(crate) fn take_dotted(&mut self, text: &str) -> bool {
        let found = self.is_dotted(text);
        if found {
            self.advance();
        }
        found
    }

    /// An identifier.
    pub(crate) fn identifier(&mut self, what: &str) -> Result<&'s str> {
        if self.peek() != Kind::Identifier {
            return Err(self.expected(what));
        }
        let text = self.text();
        self.advance();
        Ok(text)
    }

    /// What a string holds. There are no escapes.
    pub(crate) fn string(&mut self) -> Result<String> {
        if self.peek() != Kind::Text {
            return Err(self.expected("a string"));
        }
        let quoted = self.text();
        self.advance();
        let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        Ok(inner.to_owned())
    }

    /// An unsigned integer literal, where the grammar has no expression.
    pub(crate) fn literal(&mut self) -> Result<u64> {
        let value = match (self.peek(), crate::numbers::value(self.text())) {
            (Kind::Number, Some(crate::numbers::Number::Signed(v))) => v as u64,
            (Kind::Number, Some(crate::numbers::Number::Unsigned(v))) => v,
            _ => return Err(self.expected("an integer")),
        };
        self.advance();
        Ok(value)
    }

    /// The shared copy of a word: modifiers and opcodes are few, instructions many.
    pub(crate) fn word(&mut self, text: &'s str) -> Arc<str> {
        self.words.entry(text).or_insert_with(|| text.into()).clone()
    }

    /// Skips from the brace at the cursor to behind the one that closes it.
    pub(crate) fn skip_braces(&mut self) -> Result<()> {
        let start = self.at;
        self.expect_mark(b'{')?;
        let mut depth = 1u32;
        while depth > 0 {
            match self.peek() {
                Kind::Mark(b'{') => depth += 1,
                Kind::Mark(b'}') => depth -= 1,
                Kind::End => return Err(self.error_at(start, "this brace is not closed")),
                _ => {}
            }
            self.advance();
        }
        Ok(())
    }
}
