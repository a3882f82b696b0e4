//! Rules by hand, messages of faults, and what must hold for any source.

use std::collections::BTreeMap;

use super::*;
use crate::domain::taxonomy::{Node, Taxonomy};
use proptest::prelude::*;

const FIELDS: [(&str, FieldType); 9] = [
    ("label", FieldType::Text),
    ("title", FieldType::Text),
    ("asr", FieldType::Text),
    ("neighbours_agree", FieldType::Number),
    ("duration_ms", FieldType::Number),
    ("cluster", FieldType::Number),
    ("score.log_margin", FieldType::Number),
    ("has_cover", FieldType::Flag),
    ("来源 of", FieldType::Text),
];

fn schema() -> Schema {
    let node = |id: &str, parent: Option<&str>| Node {
        id: id.into(),
        names: BTreeMap::new(),
        parent: parent.map(Into::into),
    };
    let nodes = vec![
        node("street", None),
        node("fight", Some("street")),
        node("normal", Some("street")),
        node("sport", None),
        node("beauty", None),
    ];
    Schema::new(FIELDS).with_taxonomy(Taxonomy::new(nodes).unwrap())
}

#[derive(Default)]
struct Sample {
    texts: BTreeMap<&'static str, &'static str>,
    numbers: BTreeMap<&'static str, f64>,
    cover: Option<bool>,
}

impl Record for Sample {
    fn text(&self, field: &Field) -> Option<&str> {
        self.texts.get(field.name.as_str()).copied()
    }
    fn number(&self, field: &Field) -> Option<f64> {
        self.numbers.get(field.name.as_str()).copied()
    }
    fn flag(&self, field: &Field) -> Option<bool> {
        assert_eq!(FIELDS[field.index].0, field.name);
        self.cover
    }
}

fn sample() -> Sample {
    Sample {
        texts: [("label", "fight"), ("title", "MakeUp 抽奖"), ("asr", "  ")].into(),
        numbers: [("neighbours_agree", 0.1), ("cluster", 3.0), ("score.log_margin", f64::NAN)].into(),
        cover: Some(false),
    }
}

#[test]
fn conditions_by_hand() {
    let cases = [
        (r#"label = "fight" and neighbours_agree < 0.2 and title ~ /(?i)makeup/"#, true),
        (r#"title ~ /makeup/"#, false),
        ("duration_ms > 60000 or missing(asr)", true),
        ("missing(duration_ms) and missing(score.log_margin) and not missing(label)", true),
        (r#"under(label, "street")"#, true),
        (r#"under(label, "street/normal")"#, false),
        ("cluster in (3, 7)", true),
        ("cluster not in (3, 7)", false),
        (r#"label in ("sport", 'fight')"#, true),
        ("len(title) = 9", true),
        ("len(title) < 4", false),
        ("score.log_margin > 2 or score.log_margin <= 2 or score.log_margin != 2", false),
        ("not score.log_margin > 2", true),
        (r#"title contains "抽奖""#, true),
        (r#"lower(title) contains "makeup" and not title contains "makeup""#, true),
        ("duration_ms != 5", false),
        ("NOT duration_ms = 5", true),
        ("has_cover", false),
        ("has_cover = false and has_cover != true and not has_cover", true),
        ("missing(has_cover)", false),
        (r#"`来源 of` = "x" or missing(`来源 of`)"#, true),
        (r#"label != title # a comment"#, true),
        ("-1.5e-3 < .5 and cluster == 3", true),
        ("true and not false", true),
        ("false or cluster = 3 and cluster = 4", false),
        (r#"title ~ /^MakeUp\s\S{2}$/ and not title ~ /\//"#, true),
    ];
    for (source, expected) in cases {
        let expr = parse_expr(source, &schema()).unwrap_or_else(|e| panic!("{source}: {e}"));
        assert_eq!(expr.matches(&sample()), expected, "{source}");
        assert_eq!(parse_expr(&expr.to_string(), &schema()).as_ref(), Ok(&expr), "{expr}");
    }
}

#[test]
fn printed_one_way() {
    for (source, printed) in [
        ("(cluster=3)and(cluster<4 and has_cover)", "cluster = 3 and cluster < 4 and has_cover"),
        ("(cluster=3 or has_cover)and not(has_cover)", "(cluster = 3 or has_cover) and not has_cover"),
        ("not (cluster=3 or has_cover==false)", "not (cluster = 3 or has_cover = false)"),
        ("cluster not in (1,2.50,1e30)", "not cluster in (1, 2.5, 1e30)"),
        (r#"title='a"\u{7}' "#, r#"title = "a\"\u{7}""#),
    ] {
        assert_eq!(parse_expr(source, &schema()).unwrap().to_string(), printed);
    }
}

#[test]
fn faults_say_where_what_and_what_else() {
    for (source, message) in [
        ("titel = \"x\"", "line 1, column 1: expected a known field, found `titel`; did you mean `title`?"),
        ("cluster = \"x\"", "line 1, column 11: expected a number, found a text"),
        ("cluster in (\"x\")", "line 1, column 13: expected a number, found the text \"x\""),
        ("title > 3", "line 1, column 9: expected two numbers about `>`, found a number"),
        ("title", "line 1, column 6: expected =, !=, ~, `contains` or `in`, found the end"),
        ("len(cluster) < 3", "line 1, column 5: expected a text, found `cluster`, which is a number"),
        (
            "under(label, \"stret\")",
            "line 1, column 14: expected a node of the taxonomy, found the text \"stret\"; did you mean \"street\"?",
        ),
        (
            "has_cover\n adn has_cover",
            "line 2, column 2: expected `and`, `or` or the end, found `adn`; did you mean `and`?",
        ),
        (
            "title ~ /(/",
            "line 1, column 9: expected a regular expression that can be used, found unclosed group",
        ),
        (
            "title ~ /a{9999}{9999}/",
            "line 1, column 9: expected a regular expression that can be used, found one that is too big",
        ),
        ("title = \"x", "line 1, column 9: expected a closing \", found the end"),
        ("cluster = 1e999", "line 1, column 11: expected a number, found `1e999`"),
        ("cluster & 3", "line 1, column 9: expected a field, a value or an operator, found '&'"),
        ("", "line 1, column 1: expected a field or a value, found the end"),
        (
            "mising(asr)",
            "line 1, column 1: expected a known field, found `mising`; did you mean missing(...)?",
        ),
    ] {
        assert_eq!(parse_expr(source, &schema()).unwrap_err().to_string(), message, "{source}");
    }
    let bare = Schema::new(FIELDS);
    assert!(parse_expr("under(label, \"street\")", &bare).is_err());
}

#[test]
fn limits_hold() {
    let nested = |n: usize| format!("{}has_cover{}", "(".repeat(n), ")".repeat(n));
    assert!(parse_expr(&nested(MAX_NESTING), &schema()).is_ok());
    assert!(parse_expr(&nested(MAX_NESTING + 1), &schema()).is_err());
    assert!(parse_expr(&"not ".repeat(1000), &schema()).is_err());
    let chain = vec!["has_cover"; 300].join(" or ");
    assert!(parse_expr(&chain, &schema()).is_ok());
    assert!(parse_expr(&vec!["has_cover"; 500].join(" or "), &schema()).is_err());
    assert!(parse_expr(&vec!["title~/a/"; MAX_PATTERNS + 1].join(" or "), &schema()).is_err());
    // what would print longer than may be read is refused too
    assert!(parse_expr(&vec!["cluster=1"; 250].join(" or "), &schema()).is_ok());
    assert!(parse_expr(&vec!["cluster=1"; 300].join(" or "), &schema()).is_err());
}

#[test]
fn a_file_of_rules() {
    let source = "\u{feff}# ours\n\
        short: flag when len(title) < 4 or missing(asr)\n\n\
        \"make up\": relabel \"street/fight\" when label = \"sport\" # twice\n\
        exclude when cluster in (3)\n";
    let rules = parse_rules(source, &schema()).unwrap();
    let names: Vec<_> = rules.iter().map(|r| (r.name.as_str(), &r.action)).collect();
    let fight = Action::Relabel("fight".into());
    assert_eq!(names, [("short", &Action::Flag), ("make up", &fight), ("rule 5", &Action::Exclude)]);
    let printed: String = rules.iter().map(|r| format!("{r}\n")).collect();
    assert_eq!(parse_rules(&printed, &schema()).unwrap(), rules);

    let errors = parse_rules(
        "a: flag when has_cover\nflag has_cover\nrelabel \"figth\" when has_cover\na: flag when has_cover\nb flag when x",
        &schema(),
    )
    .unwrap_err();
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "line 2, column 6: expected `when`, found `has_cover`",
            "line 3, column 9: expected a class of the taxonomy, found the text \"figth\"; did you mean \"fight\"?",
            "line 4, column 1: expected a name of its own, found \"a\", the name of the rule on line 1",
            "line 5, column 3: expected `:` after the rule's name, then `flag`, `relabel` or `exclude`, found `flag`",
        ]
    );
    assert_eq!(parse_rules(&"flag when true\n".repeat(MAX_RULES + 1), &schema()).unwrap_err().len(), 1);
}

#[test]
fn a_preview_counts() {
    let with = |label: &'static str| Sample { texts: [("label", label)].into(), ..Sample::default() };
    let records = [with("sport"), with("fight"), Sample::default(), with("normal")];
    let rule = parse_rule("relabel \"fight\" when not label = \"normal\"", "r", &schema()).unwrap();
    let label = schema().field("label").unwrap().0;
    let p = preview(&rule, &records, Some(&label), 2);
    assert_eq!(p, Preview { records: 4, hits: 3, rate: 0.75, examples: vec![0, 1], changes: 2 });
    assert_eq!(preview::<Sample>(&rule, [], None, 2), Preview::default());
}

#[test]
fn a_rule_names_the_fields_it_reads() {
    let rule = "flag when lower(title) contains lower(asr) or (cluster < len(`来源 of`) and not has_cover)";
    let schema = schema();
    let index = |name: &str| schema.field(name).unwrap().0.index;
    let expected = ["title", "asr", "cluster", "来源 of", "has_cover"].map(index);
    assert_eq!(parse_rule(rule, "r", &schema).unwrap().fields(), expected.into_iter().collect());
    let none = parse_rule("flag when true or \"a\" = \"b\" or 1 < 2", "r", &schema).unwrap();
    assert!(none.fields().is_empty());
    let each = "flag when missing(asr) and title in (\"a\") and cluster in (1) and under(label, \"street\") \
                and title ~ /a/";
    let expected = ["asr", "title", "cluster", "label"].map(index);
    assert_eq!(parse_rule(each, "r", &schema).unwrap().fields(), expected.into_iter().collect());
}

/// Sources of conditions, mostly right.
fn source() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| format!("{v:e}")),
        any::<i32>().prop_map(|v| v.to_string()),
        (0u32..1000).prop_map(|v| format!("{}", f64::from(v) / 8.0)),
    ];
    let text = "[^\\x00-\\x1f\\x7f-\\x9f\"\\\\]{0,12}".prop_map(|t| format!("\"{t}\""));
    let escaped = prop::sample::select(vec![r#""\n\t\r\\\"""#, r"'\u{0}\u{1F600}'", "'\"'", "\"'\""]);
    let text = prop_oneof![3 => text, 1 => escaped.prop_map(String::from)];
    let order = prop::sample::select(vec!["=", "!=", "<", "<=", ">", ">=", "=="]);
    let numeric = prop_oneof![
        prop::sample::select(vec!["cluster", "score.log_margin", "len(title)", "LEN(`来源 of`)"])
            .prop_map(String::from),
        number.clone()
    ];
    let textual = prop_oneof![
        prop::sample::select(vec!["label", "title", "lower(asr)", "`来源 of`"]).prop_map(String::from),
        text.clone()
    ];
    let pattern =
        prop::sample::select(vec!["/a+/", r"/\//", r"/[\/\\]\\\//", "/抽奖|(?i)x/", "//", r"/\d{2,3}\x41/"]);
    let leaf = prop_oneof![
        (numeric.clone(), order, numeric.clone()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        (textual.clone(), prop::bool::ANY, textual.clone())
            .prop_map(|(a, e, b)| format!("{a}{}{b}", if e { "=" } else { "!=" })),
        (textual.clone(), pattern).prop_map(|(a, p)| format!("{a}~{p}")),
        (textual.clone(), textual.clone()).prop_map(|(a, b)| format!("{a} not contains {b}")),
        (textual, prop::collection::vec(text, 1..4)).prop_map(|(a, l)| format!("{a} in ({})", l.join(","))),
        (numeric, prop::collection::vec(number, 1..4))
            .prop_map(|(a, l)| format!("{a} not in({})", l.join(" , "))),
        prop::sample::select(vec![
            "missing(asr)",
            "missing(cluster)",
            "missing(has_cover)",
            "has_cover",
            "has_cover != false",
            "true",
            "under(label, 'street')",
            "has_cover=false",
        ])
        .prop_map(String::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("not {a}")),
            inner.clone().prop_map(|a| format!("not({a})")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|l| l.join(" and ")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|l| l.join(" or ")),
            prop::collection::vec(inner, 2..4).prop_map(|l| format!("({})", l.join(") AND ("))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same(source in source()) {
        match parse_expr(&source, &schema()) {
            Ok(expr) => {
                let printed = expr.to_string();
                let again = parse_expr(&printed, &schema());
                prop_assert_eq!(again.as_ref(), Ok(&expr), "{}", printed);
                prop_assert_eq!(again.unwrap().to_string(), printed);
                expr.matches(&sample());
            }
            // only limits may refuse what the grammar made
            Err(e) => prop_assert!(e.expected.starts_with("at most"), "{} {}", source, e),
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let source = String::from_utf8_lossy(&bytes);
        let _ = parse_rules(&source, &schema());
        let _ = parse_expr(&source, &schema());
    }

    #[test]
    fn words_never_panic(words in prop::collection::vec(prop::sample::select(vec![
        "title", "cluster", "has_cover", "and", "or", "not", "in", "contains", "under", "missing", "len", "lower",
        "(", ")", ",", "~", "/a/", "/", "\"x\"", "'", "\\", "=", "<", "!", "!=", "-", "1", "1e", ".", "`", "label", "#", "\n",
        "flag", "when", "relabel", "exclude", ":", "true", "抽", "\u{0}", "\u{2028}",
    ]), 0..40), blanks in prop::bool::ANY) {
        let source = words.join(if blanks { " " } else { "" });
        if let Ok(expr) = parse_expr(&source, &schema()) {
            let again = parse_expr(&expr.to_string(), &schema());
            prop_assert_eq!(again, Ok(expr));
        }
        if let Ok(rules) = parse_rules(&source, &schema()) {
            for rule in rules {
                prop_assert_eq!(parse_rule(&rule.to_string(), "", &schema()), Ok(rule));
            }
        }
    }
}
