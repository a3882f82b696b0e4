//! Tokens to a typed tree, by recursive descent. Depth, length and the number of regular expressions are
//! bounded, so that no source can exhaust stack or memory.

use super::ast::{Expr, Number, Order, Pattern, Text};
use super::error::{RuleError, nearest};
use super::lexer::{Place, Token, tokens};
use super::schema::{Field, FieldType, Schema};
use super::{MAX_NESTING, MAX_PATTERNS, MAX_RULE_BYTES};

const FUNCTIONS: [&str; 4] = ["under", "missing", "len", "lower"];
pub(super) const WORDS: [&str; 7] = ["and", "or", "not", "in", "contains", "true", "false"];

pub(super) fn is_keyword(word: &str) -> bool {
    FUNCTIONS.iter().chain(&WORDS).any(|k| k.eq_ignore_ascii_case(word))
}

/// Parses a condition against the known fields. Keywords may be written in any case. O(length).
///
/// # Errors
/// The first fault: syntax, an unknown field, a wrong type, or a limit.
pub fn parse_expr(source: &str, schema: &Schema) -> Result<Expr, RuleError> {
    let mut parser = Parser::new(source, 1, schema)?;
    let expr = parser.expr()?;
    parser.end()?;
    fits(&expr.to_string(), 1)?;
    Ok(expr)
}

/// Neither a source nor what it is printed as may be too long; else what is printed could not be read.
pub(super) fn fits(source: &str, line: usize) -> Result<(), RuleError> {
    if source.len() <= MAX_RULE_BYTES {
        return Ok(());
    }
    let found = format!("{}", source.len());
    Err(Place { line, column: 1 }.error(format!("at most {MAX_RULE_BYTES} bytes"), found))
}

pub(super) struct Parser<'a> {
    /// Read by [`super::cursor`] only.
    pub(super) tokens: Vec<(Token, Place)>,
    pub(super) at: usize,
    depth: usize,
    patterns: usize,
    schema: &'a Schema,
}

/// What stands left or right of an operator.
enum Operand {
    Text(Text),
    Number(Number),
    Flag(Field),
    Bool(bool),
}

impl Operand {
    fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Flag(_) => "a yes-no field",
            Self::Bool(_) => "true or false",
        }
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: &str, line: usize, schema: &'a Schema) -> Result<Self, RuleError> {
        fits(source, line)?;
        Ok(Self { tokens: tokens(source, line)?, at: 0, depth: 0, patterns: 0, schema })
    }

    pub(super) fn expr(&mut self) -> Result<Expr, RuleError> {
        let mut parts = vec![];
        loop {
            match self.all()? {
                Expr::Or(inner) => parts.extend(inner),
                one => parts.push(one),
            }
            if !self.next_if_word("or") {
                return Ok(if parts.len() > 1 { Expr::Or(parts) } else { parts.swap_remove(0) });
            }
        }
    }

    fn all(&mut self) -> Result<Expr, RuleError> {
        let mut parts = vec![];
        loop {
            match self.unary()? {
                Expr::And(inner) => parts.extend(inner),
                one => parts.push(one),
            }
            if !self.next_if_word("and") {
                return Ok(if parts.len() > 1 { Expr::And(parts) } else { parts.swap_remove(0) });
            }
        }
    }

    fn unary(&mut self) -> Result<Expr, RuleError> {
        let place = self.place();
        let (not, open) = (self.is_word("not"), *self.peek() == Token::Open);
        if !not && !open {
            return self.condition();
        }
        self.deeper(place)?;
        self.next();
        let inner = if not {
            Expr::Not(Box::new(self.unary()?))
        } else {
            let inner = self.expr()?;
            self.expect(&Token::Close)?;
            inner
        };
        self.depth -= 1;
        Ok(inner)
    }

    fn deeper(&mut self, place: Place) -> Result<(), RuleError> {
        if self.depth == MAX_NESTING {
            return Err(
                place.error(format!("at most {MAX_NESTING} brackets and `not` within each other"), "more")
            );
        }
        self.depth += 1;
        Ok(())
    }

    fn condition(&mut self) -> Result<Expr, RuleError> {
        if self.next_if_word("missing") {
            self.expect(&Token::Open)?;
            let (field, of) = self.field()?;
            self.expect(&Token::Close)?;
            return Ok(Expr::Missing { field, of });
        }
        if self.next_if_word("under") {
            return self.under();
        }
        let place = self.place();
        let left = self.operand()?;
        if self.is_word("not") {
            self.next();
            if !self.is_word("in") && !self.is_word("contains") {
                return Err(self.unexpected("`in` or `contains`"));
            }
            // printed with `not` in front, so it counts as one
            self.deeper(place)?;
            let inner = self.relation(left, place)?;
            self.depth -= 1;
            return Ok(Expr::Not(Box::new(inner)));
        }
        self.relation(left, place)
    }

    fn under(&mut self) -> Result<Expr, RuleError> {
        self.expect(&Token::Open)?;
        let field = self.field_of(FieldType::Text)?;
        self.expect(&Token::Comma)?;
        let place = self.place();
        let node = self.text_literal("the id of a node of the taxonomy")?;
        let ids = self.schema.below(&node).map_err(|suggestion| {
            let expected = if self.schema.has_taxonomy() {
                "a node of the taxonomy"
            } else {
                "no `under`: there is no taxonomy"
            };
            RuleError { suggestion, ..place.error(expected, Token::Text(node.clone()).described()) }
        })?;
        self.expect(&Token::Close)?;
        Ok(Expr::Under { field, node, ids })
    }

    /// What follows a first operand.
    fn relation(&mut self, left: Operand, place: Place) -> Result<Expr, RuleError> {
        if let Token::Order(order) = *self.peek() {
            self.next();
            return self.comparison(left, order);
        }
        if *self.peek() == Token::Tilde {
            let text = text_of(left, place, "~")?;
            self.next();
            return Ok(Expr::Matches { text, pattern: self.pattern()? });
        }
        if self.next_if_word("contains") {
            let text = text_of(left, place, "contains")?;
            let place = self.place();
            let part = self.operand()?;
            return Ok(Expr::Contains { text, part: text_of(part, place, "contains")? });
        }
        if self.next_if_word("in") {
            return self.list(left, place);
        }
        match left {
            Operand::Flag(field) => Ok(Expr::Flag { field, is: true }),
            Operand::Bool(value) => Ok(Expr::Always(value)),
            Operand::Text(_) => Err(self.unexpected("=, !=, ~, `contains` or `in`")),
            Operand::Number(_) => Err(self.unexpected("=, !=, <, <=, >, >= or `in`")),
        }
    }

    fn comparison(&mut self, left: Operand, order: Order) -> Result<Expr, RuleError> {
        let place = self.place();
        let equal = order == Order::Equal;
        let right = self.operand()?;
        let wrong = |expected: &str| Err(place.error(expected, right.noun()));
        match (left, &right) {
            (Operand::Number(left), Operand::Number(right)) => {
                Ok(Expr::Compare { left, order, right: right.clone() })
            }
            (_, _) if !matches!(order, Order::Equal | Order::NotEqual) => {
                wrong(&format!("two numbers about `{}`", order.as_str()))
            }
            (Operand::Text(left), Operand::Text(right)) => {
                Ok(Expr::SameText { left, equal, right: right.clone() })
            }
            (Operand::Flag(field), Operand::Bool(value)) => Ok(Expr::Flag { field, is: *value == equal }),
            (left, _) => wrong(match left {
                Operand::Flag(_) => "true or false",
                left => left.noun(),
            }),
        }
    }

    fn pattern(&mut self) -> Result<Pattern, RuleError> {
        let place = self.place();
        let Token::Regex(source) = self.peek() else {
            return Err(self.unexpected("a regular expression between slashes"));
        };
        let pattern =
            Pattern::new(source).map_err(|why| place.error("a regular expression that can be used", why))?;
        self.next();
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(place.error(format!("at most {MAX_PATTERNS} regular expressions in a rule"), "more"));
        }
        Ok(pattern)
    }

    fn list(&mut self, left: Operand, place: Place) -> Result<Expr, RuleError> {
        self.expect(&Token::Open)?;
        let (mut texts, mut numbers) = (vec![], vec![]);
        loop {
            match (&left, self.peek()) {
                (Operand::Text(_), Token::Text(text)) => texts.push(text.clone()),
                (Operand::Number(_), Token::Number(number)) => numbers.push(*number),
                (Operand::Text(_), _) => return Err(self.unexpected("a text in quotes")),
                (Operand::Number(_), _) => return Err(self.unexpected("a number")),
                _ => return Err(place.error("a text or a number before `in`", left.noun())),
            }
            self.next();
            if self.next_if(&Token::Close) {
                break;
            }
            if !self.next_if(&Token::Comma) {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
        Ok(match left {
            Operand::Number(number) => Expr::NumberIn { number, list: numbers },
            Operand::Text(text) => Expr::TextIn { text, list: texts },
            Operand::Flag(_) | Operand::Bool(_) => Expr::Always(false),
        })
    }

    fn operand(&mut self) -> Result<Operand, RuleError> {
        for value in [true, false] {
            if self.next_if_word(if value { "true" } else { "false" }) {
                return Ok(Operand::Bool(value));
            }
        }
        for (name, is_len) in [("len", true), ("lower", false)] {
            if self.next_if_word(name) {
                self.expect(&Token::Open)?;
                let field = self.field_of(FieldType::Text)?;
                self.expect(&Token::Close)?;
                return Ok(if is_len {
                    Operand::Number(Number::Len(field))
                } else {
                    Operand::Text(Text::Lower(field))
                });
            }
        }
        let literal = match self.peek() {
            Token::Text(text) => Operand::Text(Text::Literal(text.clone())),
            Token::Number(number) => Operand::Number(Number::Literal(*number)),
            _ => {
                return Ok(match self.field()? {
                    (field, FieldType::Text) => Operand::Text(Text::Field(field)),
                    (field, FieldType::Number) => Operand::Number(Number::Field(field)),
                    (field, FieldType::Flag) => Operand::Flag(field),
                });
            }
        };
        self.next();
        Ok(literal)
    }

    fn field(&mut self) -> Result<(Field, FieldType), RuleError> {
        let name = match self.peek() {
            Token::Quoted(name) => name,
            Token::Word(name) if !is_keyword(name) => name,
            _ => return Err(self.unexpected("a field or a value")),
        };
        let Some(found) = self.schema.field(name) else {
            let near = self.schema.nearest_field(name);
            let suggestion = near.or_else(|| nearest(name, FUNCTIONS).map(|f| format!("{f}(...)")));
            return Err(RuleError {
                suggestion,
                ..self.place().error("a known field", self.peek().described())
            });
        };
        self.next();
        Ok(found)
    }

    fn field_of(&mut self, wanted: FieldType) -> Result<Field, RuleError> {
        let place = self.place();
        let (field, found) = self.field()?;
        if found == wanted {
            return Ok(field);
        }
        Err(place.error(wanted.noun(), format!("`{}`, which is {}", field.name, found.noun())))
    }
}

fn text_of(operand: Operand, place: Place, operator: &str) -> Result<Text, RuleError> {
    match operand {
        Operand::Text(text) => Ok(text),
        other => Err(place.error(format!("a text beside `{operator}`"), other.noun())),
    }
}
