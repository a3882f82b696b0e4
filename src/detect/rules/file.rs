//! Rules and files of rules: `[name:] action when condition`, one a line, `#` begins a comment.

use std::collections::{BTreeSet, HashMap};

use super::ast::Expr;
use super::error::RuleError;
use super::lexer::{Place, Token};
use super::parser::{Parser, fits};
use super::schema::Schema;
use super::{MAX_RULE_BYTES, MAX_RULES};

/// What is to be done with the samples that a rule selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put into the queue of suspects.
    Flag,
    /// Give the class of this id.
    Relabel(String),
    /// Leave out of training and export.
    Exclude,
}

/// A named rule. Printing it gives a line that parses to the same rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    pub action: Action,
    pub when: Expr,
}

impl Rule {
    /// Indices of the fields that the rule reads.
    pub fn fields(&self) -> BTreeSet<usize> {
        let mut fields = BTreeSet::new();
        self.when.fields(&mut fields);
        fields
    }
}

/// One rule; without a name of its own it is called `name`.
///
/// # Errors
/// The first fault, as [`super::parse_expr`]'s; a class to relabel to that the taxonomy has not.
pub fn parse_rule(source: &str, name: &str, schema: &Schema) -> Result<Rule, RuleError> {
    rule_at(source, 1, name, schema)
}

/// A file of rules; those without a name are called `rule N` after their line. At most 1000 rules, 4 KiB
/// each.
///
/// # Errors
/// The faults of all lines, at most one each; two rules of one name; too many rules.
pub fn parse_rules(source: &str, schema: &Schema) -> Result<Vec<Rule>, Vec<RuleError>> {
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    let mut named: HashMap<String, usize> = HashMap::new();
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    for (line, text) in source.lines().enumerate().map(|(i, text)| (i + 1, text)) {
        if text.trim().is_empty() || text.trim_start().starts_with('#') {
            continue;
        }
        let place = Place { line, column: 1 };
        if rules.len() + errors.len() == MAX_RULES {
            errors.push(place.error(format!("at most {MAX_RULES} rules"), "more"));
            break;
        }
        match rule_at(text, line, &format!("rule {line}"), schema) {
            Err(error) => errors.push(error),
            Ok(rule) => match named.insert(rule.name.clone(), line) {
                Some(first) => {
                    let found = format!("{:?}, the name of the rule on line {first}", rule.name);
                    errors.push(place.error("a name of its own", found));
                }
                None => rules.push(rule),
            },
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn rule_at(source: &str, line: usize, name: &str, schema: &Schema) -> Result<Rule, RuleError> {
    let mut parser = Parser::new(source, line, schema)?;
    let name = own_name(&mut parser)?.unwrap_or_else(|| name.chars().take(MAX_RULE_BYTES / 8).collect());
    let action = action(&mut parser, schema)?;
    if !parser.next_if_word("when") {
        return Err(parser.unexpected("`when`"));
    }
    let when = parser.expr()?;
    parser.end()?;
    let rule = Rule { name, action, when };
    fits(&rule.to_string(), line)?;
    Ok(rule)
}

/// A word or a text before a colon.
fn own_name(parser: &mut Parser<'_>) -> Result<Option<String>, RuleError> {
    let is_action = ["flag", "relabel", "exclude"].iter().any(|a| parser.is_word(a));
    let name = match parser.peek() {
        Token::Text(name) | Token::Quoted(name) => name.clone(),
        Token::Word(name) if !is_action => name.clone(),
        _ => return Ok(None),
    };
    if name.trim().is_empty() {
        return Err(parser.unexpected("a name that is not empty"));
    }
    parser.next();
    if !parser.next_if(&Token::Colon) {
        return Err(parser.unexpected("`:` after the rule's name, then `flag`, `relabel` or `exclude`"));
    }
    Ok(Some(name))
}

fn action(parser: &mut Parser<'_>, schema: &Schema) -> Result<Action, RuleError> {
    if parser.next_if_word("flag") {
        return Ok(Action::Flag);
    }
    if parser.next_if_word("exclude") {
        return Ok(Action::Exclude);
    }
    if !parser.next_if_word("relabel") {
        return Err(parser.unexpected("`flag`, `relabel \"class\"` or `exclude`"));
    }
    let place = parser.place();
    let class = parser.text_literal("the id of a class, in quotes")?;
    if class.trim().is_empty() {
        return Err(place.error("the id of a class", "an empty text"));
    }
    schema.class(&class).map(Action::Relabel).map_err(|suggestion| RuleError {
        suggestion,
        ..place.error("a class of the taxonomy", Token::Text(class).described())
    })
}
