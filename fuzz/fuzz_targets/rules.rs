//! No source may panic the parser of rules, and what it accepts must print to the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_core::detect::rules::{Field, FieldType, Record, Schema, parse_rule, parse_rules};

struct Sample;

impl Record for Sample {
    fn text(&self, field: &Field) -> Option<&str> {
        (field.index == 0).then_some("MakeUp 抽奖 2024")
    }
    fn number(&self, _: &Field) -> Option<f64> {
        Some(3.5)
    }
    fn flag(&self, _: &Field) -> Option<bool> {
        None
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let fields = [
        ("title", FieldType::Text),
        ("asr", FieldType::Text),
        ("n", FieldType::Number),
        ("has", FieldType::Flag),
    ];
    let schema = Schema::new(fields);
    let Ok(rules) = parse_rules(source, &schema) else { return };
    for rule in rules {
        rule.when.matches(&Sample);
        assert_eq!(parse_rule(&rule.to_string(), "", &schema), Ok(rule));
    }
});
