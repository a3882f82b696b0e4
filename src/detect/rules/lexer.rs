//! Source to tokens, each with where it begins.

use super::ast::Order;
use super::error::{RuleError, shortened};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A plain word: a keyword or a field.
    Word(String),
    /// A name in backticks: never a keyword.
    Quoted(String),
    Text(String),
    Number(f64),
    Regex(String),
    Order(Order),
    Tilde,
    Open,
    Close,
    Comma,
    Colon,
    End,
}

impl Token {
    /// As an error message calls it.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Word(w) | Self::Quoted(w) => format!("`{}`", shortened(w)),
            Self::Text(t) => format!("the text {:?}", shortened(t)),
            Self::Number(n) => format!("the number {n:?}"),
            Self::Regex(r) => format!("the expression /{}/", shortened(r)),
            Self::Order(o) => format!("`{}`", o.as_str()),
            Self::Tilde => "`~`".into(),
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::Comma => "`,`".into(),
            Self::Colon => "`:`".into(),
            Self::End => "the end".into(),
        }
    }
}

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) fn error(self, expected: impl Into<String>, found: impl Into<String>) -> RuleError {
        let Self { line, column } = self;
        RuleError { line, column, expected: expected.into(), found: found.into(), suggestion: None }
    }
}

pub(super) fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Letters of any script, digits, `_`; a dot only between such.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// All tokens of `source`, the first line being number `line`; the last is [`Token::End`].
pub(super) fn tokens(source: &str, line: usize) -> Result<Vec<(Token, Place)>, RuleError> {
    let mut lexer = Lexer { rest: source, place: Place { line, column: 1 } };
    let mut out = Vec::new();
    loop {
        lexer.skip_blanks();
        let place = lexer.place;
        let token = lexer.token()?;
        let end = token == Token::End;
        out.push((token, place));
        if end {
            return Ok(out);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    place: Place,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.next();
        }
        is
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let mut out = String::new();
        while let Some(c) = self.peek().filter(|c| keep(*c)) {
            out.push(c);
            self.next();
        }
        out
    }

    /// Blanks and comments.
    fn skip_blanks(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if self.peek() != Some('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, RuleError> {
        let start = self.place;
        let Some(c) = self.peek() else { return Ok(Token::End) };
        if is_word_start(c) {
            return Ok(Token::Word(self.word()));
        }
        if c.is_ascii_digit() || c == '-' || c == '.' {
            return self.number(start);
        }
        self.next();
        let order = |token: Order| Ok(Token::Order(token));
        match c {
            '(' => Ok(Token::Open),
            ')' => Ok(Token::Close),
            ',' => Ok(Token::Comma),
            ':' => Ok(Token::Colon),
            '~' => Ok(Token::Tilde),
            '=' => {
                self.next_if('=');
                order(Order::Equal)
            }
            '!' if self.next_if('=') => order(Order::NotEqual),
            '!' => Err(start.error("`!=` or `not`", "`!`")),
            '<' if self.next_if('=') => order(Order::LessEqual),
            '<' => order(Order::Less),
            '>' if self.next_if('=') => order(Order::GreaterEqual),
            '>' => order(Order::Greater),
            '"' | '\'' => self.text(start, c).map(Token::Text),
            '`' => self.quoted(start),
            '/' => self.regex(start),
            c => Err(start.error("a field, a value or an operator", format!("{c:?}"))),
        }
    }

    fn word(&mut self) -> String {
        let mut out = self.take_while(is_word);
        while self.peek() == Some('.') && self.rest[1..].chars().next().is_some_and(is_word) {
            self.next();
            out.push('.');
            out.push_str(&self.take_while(is_word));
        }
        out
    }

    fn number(&mut self, start: Place) -> Result<Token, RuleError> {
        let mut text = String::new();
        if self.next_if('-') {
            text.push('-');
        }
        text.push_str(&self.take_while(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'));
        // an exponent's sign is no letter
        if text.ends_with(['e', 'E'])
            && text.contains(|c: char| c.is_ascii_digit())
            && let Some(sign) = self.peek().filter(|c| matches!(c, '-' | '+'))
        {
            self.next();
            text.push(sign);
            text.push_str(&self.take_while(|c| c.is_ascii_digit()));
        }
        // Rust's own parser also takes "inf" and "nan": digits are asked for
        let plain = text.contains(|c: char| c.is_ascii_digit());
        match text.parse::<f64>() {
            Ok(value) if plain && value.is_finite() => Ok(Token::Number(value)),
            _ => Err(start.error("a number", format!("`{}`", shortened(&text)))),
        }
    }

    fn text(&mut self, start: Place, quote: char) -> Result<String, RuleError> {
        let mut out = String::new();
        loop {
            let place = self.place;
            match self.next() {
                Some(c) if c == quote => return Ok(out),
                Some('\\') => out.push(self.escape(place)?),
                Some(c) if !c.is_control() => out.push(c),
                Some(c) => {
                    return Err(place.error(r"\n, \t or \u{...} for a control character", format!("{c:?}")));
                }
                None => return Err(start.error(format!("a closing {quote}"), "the end")),
            }
        }
    }

    fn escape(&mut self, place: Place) -> Result<char, RuleError> {
        let expected = r#"\n, \t, \r, \\, \", \' or \u{hex}"#;
        match self.next() {
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some(c @ ('\\' | '"' | '\'')) => Ok(c),
            Some('u') if self.next_if('{') => {
                let hex = self.take_while(|c| c.is_ascii_hexdigit());
                let value = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                value.filter(|_| self.next_if('}')).ok_or_else(|| place.error(expected, "a bad \\u"))
            }
            Some(c) => Err(place.error(expected, format!("\\{}", c.escape_debug()))),
            None => Err(place.error(expected, "the end")),
        }
    }

    fn quoted(&mut self, start: Place) -> Result<Token, RuleError> {
        let name = self.take_while(|c| c != '`' && !c.is_control());
        if self.next_if('`') { Ok(Token::Quoted(name)) } else { Err(start.error("a closing `", "the end")) }
    }

    /// Up to the next `/`; `\/` is a slash, all else is the expression's own.
    fn regex(&mut self, start: Place) -> Result<Token, RuleError> {
        let mut out = String::new();
        loop {
            let place = self.place;
            match self.next() {
                Some('/') => return Ok(Token::Regex(out)),
                Some('\\') if self.next_if('/') => out.push('/'),
                Some('\\') if self.peek().is_some_and(|c| !c.is_control()) => {
                    out.push('\\');
                    out.extend(self.next());
                }
                Some(c) if !c.is_control() => out.push(c),
                Some(c) => return Err(place.error("an escape for a control character", format!("{c:?}"))),
                None => return Err(start.error("a closing /", "the end")),
            }
        }
    }
}
