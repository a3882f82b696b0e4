//! `/datasets/{name}/rules`: write a rule, see what it would do, apply it, take it back.
//!
//! The draft is in the address (`name`, `rule`; `edit` for a rule that is kept), so that trying it needs no
//! script, a preview can be shared, and nothing typed is lost.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use uuid::Uuid;

use super::error::PageError;
use super::names::{ClassName, bar};
use super::reader::Moment;
use super::samples::SampleRow;
use super::{Reader, address, render};
use crate::domain::{RuleAction, RunState, Taxonomy};
use crate::jobs::Services;
use crate::jobs::rule::fields::FIELDS;
use crate::jobs::rule::{RuleError, RulePreview, RuleRefusal};
use crate::store::StoreError;
use crate::store::rules::{Rule, RuleRun, RunFilter};
use crate::store::samples::Sample;

const RULES_LISTED: i64 = 200;
const RUNS_LISTED: i64 = 50;
/// Classes of a preview that are listed.
const CLASSES_LISTED: usize = 12;
/// Two rules that say something about any dataset: name and text.
const EXAMPLES: [(&str, &str); 2] = [
    ("odd one out", "flag when neighbours_agree < 0.2 and suggested_p > 0.9"),
    (
        "nothing to go by",
        "exclude when missing(title) and missing(asr) and missing(ocr) and media_state != \"ready\"",
    ),
];
/// Operators with the keys of what they do.
const OPERATORS: [(&str, &str); 9] = [
    ("=  !=  <  <=  >  >=", "rules.op.compare"),
    ("~ /re/", "rules.op.matches"),
    ("contains", "rules.op.contains"),
    ("in (a, b)", "rules.op.within"),
    ("under(label, \"node\")", "rules.op.under"),
    ("missing(field)", "rules.op.missing"),
    ("len(field)", "rules.op.len"),
    ("lower(field)", "rules.op.lower"),
    ("and  or  not  ( )", "rules.op.logic"),
];

#[derive(Template)]
#[template(path = "rules.html")]
pub(super) struct RulesPage {
    page: Reader,
    dataset: String,
    dataset_href: String,
    href: String,
    api: String,
    draft: Draft,
    fault: Option<Fault>,
    preview: Option<PreviewView>,
    rules: Vec<RuleRow>,
    runs: Vec<RunRow>,
    /// A rule, shown where none is typed.
    placeholder: &'static str,
    examples: Vec<(String, String)>,
    operators: Vec<(&'static str, String)>,
    fields: Vec<FieldRow>,
}

/// What stands in the editor.
struct Draft {
    name: String,
    text: String,
    /// The kept rule that is edited.
    rule: Option<String>,
    /// Its text as kept; empty for a new rule.
    kept: String,
}

/// Why the draft cannot be read, with the line around the place.
struct Fault {
    place: Option<String>,
    message: String,
    suggestion: Option<String>,
    before: String,
    at: String,
    after: String,
}

struct PreviewView {
    sentence: String,
    hits: String,
    rate: String,
    changes: String,
    kept: Option<String>,
    none: bool,
    apply: String,
    confirm: String,
    scan: bool,
    classes: Vec<ClassLine>,
    more_classes: Option<String>,
    examples: Vec<SampleRow>,
    more_examples: bool,
}

struct ClassLine {
    class: Option<ClassName>,
    hits: String,
    changes: String,
    width: String,
}

struct RuleRow {
    id: String,
    name: String,
    does: String,
    text: String,
    try_href: String,
    last: Option<RunRow>,
}

struct RunRow {
    id: String,
    rule: String,
    does: String,
    href: String,
    at: Moment,
    author: String,
    hits: String,
    rate: String,
    changed: String,
    kept: String,
    /// A state of jobs, for its look.
    look: &'static str,
    state: String,
    open: bool,
    /// What is asked before it is undone, where it can be.
    undo: Option<String>,
}

struct FieldRow {
    name: &'static str,
    kind: String,
    about: String,
    example: &'static str,
}

fn does(page: &Reader, taxonomy: &Taxonomy, action: RuleAction, class: Option<&str>) -> String {
    let class = class.map(|c| taxonomy.path_name(c, page.lang.tag())).unwrap_or_default();
    page.lang.fill(&format!("rule_action.{}", action.as_str()), &[("class", &class)])
}

impl Fault {
    fn of(page: &Reader, e: &RuleError, text: &str) -> Self {
        let line: Vec<char> = text.lines().nth(e.line.saturating_sub(1)).unwrap_or("").chars().collect();
        let at = e.column.saturating_sub(1).min(line.len());
        let (before, rest) = line.split_at(at);
        let place = [("line", e.line.to_string()), ("column", e.column.to_string())];
        Self {
            place: Some(page.lang.fill("rules.place", &place.each_ref().map(|(k, v)| (*k, v.as_str())))),
            message: format!("expected {}, found {}", e.expected, e.found),
            suggestion: e.suggestion.as_ref().map(|s| page.t1("rules.suggestion", "name", s)),
            before: before.iter().collect(),
            // the end of a line has nothing to mark
            at: rest.first().map_or_else(|| "\u{a0}".to_owned(), char::to_string),
            after: rest.iter().skip(1).collect(),
        }
    }

    fn plain(message: String) -> Self {
        let none = String::new;
        Self { place: None, message, suggestion: None, before: none(), at: none(), after: none() }
    }
}

impl PreviewView {
    fn of(page: &Reader, taxonomy: &Taxonomy, p: &RulePreview, dataset: &str, hits: &[Sample]) -> Self {
        let lang = page.lang;
        let most = p.classes.iter().map(|c| c.hits).max().unwrap_or(0);
        let rest = p.classes.len().saturating_sub(CLASSES_LISTED);
        let worded = lang.count("rules.n_change", p.changes);
        let action = does(page, taxonomy, p.action, p.class.as_deref());
        Self {
            sentence: page.t2("rules.would", "action", &action, "n", lang.number(p.records)),
            hits: lang.number(p.hits),
            rate: lang.percent(p.rate as f32),
            kept: (p.action == RuleAction::Relabel).then(|| lang.number(p.kept_by_people)),
            none: p.hits == 0,
            apply: page.t1("rules.apply", "changes", &worded),
            confirm: page.t2("rules.confirm_apply", "action", &action, "changes", &worded),
            changes: lang.number(p.changes),
            scan: p.scan_id.is_some(),
            classes: p
                .classes
                .iter()
                .take(CLASSES_LISTED)
                .map(|c| ClassLine {
                    class: c.class.as_ref().map(|id| ClassName::of(taxonomy, id, lang)),
                    hits: lang.number(c.hits),
                    changes: lang.number(c.changes),
                    width: bar(c.hits, most),
                })
                .collect(),
            more_classes: (rest > 0).then(|| page.t1("rules.more_classes", "n", rest)),
            more_examples: p.hits > hits.len() as i64,
            examples: hits.iter().map(|s| SampleRow::of(page, dataset, taxonomy, s)).collect(),
        }
    }
}

impl RunRow {
    fn of(page: &Reader, taxonomy: &Taxonomy, samples: &str, r: &RuleRun) -> Self {
        let lang = page.lang;
        let done = r.applied_at.is_some();
        let figure = |n: i64| if done { lang.number(n) } else { "–".to_owned() };
        let rate = r.n_hits as f64 / r.n_records.max(1) as f64;
        let id = r.id.to_string();
        Self {
            rule: r.rule.clone(),
            does: does(page, taxonomy, r.action, r.class.as_deref()),
            href: if done {
                format!("{samples}?{}", address::query(&[("rule", &id)]))
            } else {
                format!("/jobs/{id}")
            },
            at: r.created_at.into(),
            author: page.author(&r.author),
            hits: figure(r.n_hits),
            rate: if done { lang.percent(rate as f32) } else { "–".to_owned() },
            changed: figure(r.n_changed),
            kept: if r.action == RuleAction::Relabel { figure(r.n_kept) } else { "–".to_owned() },
            look: match r.state {
                RunState::Applied => "succeeded",
                RunState::Undone => "cancelled",
                other => other.as_str(),
            },
            state: lang.text(&format!("run_state.{}", r.state.as_str())).to_owned(),
            open: matches!(r.state, RunState::Queued | RunState::Running),
            undo: (r.state == RunState::Applied)
                .then(|| page.t2("rules.confirm_undo", "rule", &r.rule, "n", lang.number(r.n_changed))),
            id,
        }
    }
}

impl RuleRow {
    fn of(page: &Reader, taxonomy: &Taxonomy, href: &str, samples: &str, r: &Rule) -> Self {
        let id = r.id.to_string();
        let try_query = [("edit", &id), ("name", &r.name), ("rule", &r.text)];
        Self {
            name: r.name.clone(),
            does: does(page, taxonomy, r.action, r.class.as_deref()),
            text: r.text.clone(),
            try_href: format!("{href}?{}#preview", address::query(&try_query)),
            last: r.last_run.as_ref().map(|u| RunRow::of(page, taxonomy, samples, u)),
            id,
        }
    }
}

fn field_rows(page: &Reader) -> Vec<FieldRow> {
    FIELDS
        .iter()
        .map(|f| FieldRow {
            name: f.name,
            kind: page.lang.text(&format!("rule_kind.{}", f.kind)).to_owned(),
            about: page.lang.text(&format!("rule_field.{}", f.name)).to_owned(),
            example: f.example,
        })
        .collect()
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let edited = match page.query("edit").and_then(|id| Uuid::parse_str(id).ok()) {
        Some(id) => Some(store.rule(dataset.id, id).await?),
        None => None,
    };
    // browsers send line ends as CR LF
    let asked = page.query("rule").map(|r| r.replace("\r\n", "\n"));
    let (mut fault, mut preview) = (None, None);
    if let Some(text) = &asked {
        match services.preview_rule(dataset.id, text).await {
            Ok(p) => {
                let hits = store.samples_by_id(dataset.id, &p.examples).await?;
                preview = Some(PreviewView::of(&page, &taxonomy, &p, &dataset.name, &hits));
            }
            Err(RuleRefusal::Text(e)) => fault = Some(Fault::of(&page, &e, text)),
            Err(RuleRefusal::Store(e @ StoreError::NotFound { .. })) => return Err(e.into()),
            Err(e) => fault = Some(Fault::plain(e.to_string())),
        }
    }
    let kept = edited.as_ref().map(|r| r.text.clone()).unwrap_or_default();
    let draft = Draft {
        name: edited.as_ref().map(|r| r.name.as_str()).or(page.query("name")).unwrap_or_default().to_owned(),
        text: asked.unwrap_or_else(|| kept.clone()),
        rule: edited.map(|r| r.id.to_string()),
        kept,
    };
    let dataset_href = address::dataset(&dataset.name);
    let (href, samples) = (format!("{dataset_href}/rules"), format!("{dataset_href}/samples"));
    let rules = store.rules(dataset.id, false, None, RULES_LISTED).await?.items;
    let runs = store.rule_runs(dataset.id, RunFilter::default(), None, RUNS_LISTED).await?.items;
    let example = |(name, text): (&str, &str)| {
        let query = address::query(&[("name", name), ("rule", text)]);
        (text.to_owned(), format!("{href}?{query}#preview"))
    };
    render(&RulesPage {
        draft,
        fault,
        preview,
        rules: rules.iter().map(|r| RuleRow::of(&page, &taxonomy, &href, &samples, r)).collect(),
        runs: runs.iter().map(|r| RunRow::of(&page, &taxonomy, &samples, r)).collect(),
        placeholder: EXAMPLES[0].1,
        examples: EXAMPLES.into_iter().map(example).collect(),
        operators: OPERATORS.map(|(op, key)| (op, page.t(key).to_owned())).into(),
        fields: field_rows(&page),
        api: format!("/api/v1{dataset_href}"),
        dataset: dataset.name,
        dataset_href,
        href,
        page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Lang;

    #[test]
    fn every_field_and_operator_has_words() {
        for lang in Lang::ALL {
            for key in FIELDS
                .iter()
                .flat_map(|f| [format!("rule_field.{}", f.name), format!("rule_kind.{}", f.kind)])
                .chain(OPERATORS.map(|(_, key)| key.to_owned()))
            {
                assert!(lang.find(&key).is_some(), "{key}");
            }
        }
    }

    #[test]
    fn a_fault_is_marked_where_it_is() {
        let e = |line, column| RuleError {
            line,
            column,
            expected: "x".into(),
            found: "y".into(),
            suggestion: None,
        };
        let page = Reader::default();
        let fault = Fault::of(&page, &e(2, 3), "flag when\n标题 ~ /a/");
        assert_eq!((fault.before.as_str(), fault.at.as_str(), fault.after.as_str()), ("标题", " ", "~ /a/"));
        // the place after the end, and one that is not there at all
        let fault = Fault::of(&page, &e(1, 10), "flag when");
        assert_eq!((fault.before.as_str(), fault.at.as_str()), ("flag when", "\u{a0}"));
        assert_eq!(Fault::of(&page, &e(9, 9), "flag").before, "");
    }
}
