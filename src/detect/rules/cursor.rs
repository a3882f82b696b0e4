//! Moving through the tokens of a rule.

use super::error::{RuleError, nearest};
use super::lexer::{Place, Token};
use super::parser::{Parser, WORDS};

impl Parser<'_> {
    /// The tokens end with `End`, which is never passed.
    pub(super) fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |t| &t.0)
    }

    pub(super) fn place(&self) -> Place {
        self.tokens.get(self.at).map_or(Place { line: 1, column: 1 }, |t| t.1)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += usize::from(token != Token::End);
        token
    }

    pub(super) fn next_if(&mut self, token: &Token) -> bool {
        let is = self.peek() == token;
        if is {
            self.next();
        }
        is
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w.eq_ignore_ascii_case(word))
    }

    pub(super) fn next_if_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        if is {
            self.next();
        }
        is
    }

    pub(super) fn unexpected(&self, expected: impl Into<String>) -> RuleError {
        let mut error = self.place().error(expected, self.peek().described());
        if let Token::Word(w) = self.peek() {
            error.suggestion = nearest(w, WORDS).map(|n| format!("`{n}`"));
        }
        error
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<(), RuleError> {
        if self.next_if(token) { Ok(()) } else { Err(self.unexpected(token.described())) }
    }

    pub(super) fn end(&self) -> Result<(), RuleError> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected("`and`, `or` or the end")),
        }
    }

    pub(super) fn text_literal(&mut self, expected: &str) -> Result<String, RuleError> {
        let Token::Text(text) = self.peek() else { return Err(self.unexpected(expected)) };
        let text = text.clone();
        self.next();
        Ok(text)
    }
}
