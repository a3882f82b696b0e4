//! `/datasets/{name}/trail`: who did what in the dataset, newest first, for leads.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::names::{ClassName, short};
use super::reader::Moment;
use super::{Reader, address, render};
use crate::domain::Taxonomy;
use crate::jobs::Services;
use crate::store::trail::{KINDS, Step, TrailCursor, TrailFilter};

const ON_A_PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "trail.html")]
pub(super) struct TrailPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) href: String,
    /// Value, name, chosen.
    pub(super) kinds: Vec<(String, String, bool)>,
    pub(super) people: Vec<(String, String, bool)>,
    pub(super) rows: Vec<StepView>,
    pub(super) first: Option<String>,
    pub(super) next: Option<String>,
}

pub(super) struct StepView {
    pub(super) at: Moment,
    pub(super) author: String,
    pub(super) kind: String,
    /// What was done, in words.
    pub(super) what: String,
    /// The sample, guide or snapshot that it is about.
    pub(super) to: Option<(String, String)>,
    pub(super) note: String,
}

fn step(page: &Reader, dataset: &str, taxonomy: &Taxonomy, s: Step) -> StepView {
    let lang = page.lang;
    let href = address::dataset(dataset);
    let class = s.class.as_deref().filter(|c| !c.is_empty());
    let name = |id: &str| ClassName::of(taxonomy, id, lang).path;
    let word = |prefix: &str| lang.find(&format!("{prefix}.{}", s.what)).unwrap_or(&s.what).to_owned();
    let number = |n: i64| lang.number(n);
    let what = match s.kind.as_str() {
        "review" | "undone" => {
            let before = s.before.as_deref().map(name).unwrap_or_default();
            match class {
                Some(c) => lang.fill(
                    "trail.relabelled",
                    &[("decision", &word("decision")), ("from", &before), ("to", &name(c))],
                ),
                None => lang.fill("trail.decided", &[("decision", &word("decision")), ("class", &before)]),
            }
        }
        "rule" | "bulk" => {
            lang.t2("trail.rule_did", "action", word("trail.did"), "n", number(s.n.unwrap_or(0)))
        }
        "guide" => lang.t1("guide.version", "n", number(s.n.unwrap_or(0))),
        "ruling" => String::new(),
        "snapshot" => lang.t1("trail.changed", "n", number(s.n.unwrap_or(0))),
        _ => word("trail.change"),
    };
    let guide = |c: Option<&str>| {
        let shown = c.map_or_else(|| lang.text("guide.general").to_owned(), name);
        Some((shown, format!("{href}/guide/{}", address::part(c.unwrap_or("#")))))
    };
    let to = match s.kind.as_str() {
        "guide" | "ruling" => guide(class),
        "snapshot" => Some((short(&s.what), format!("{href}/snapshots/{}", s.what))),
        "rule" => Some((s.note.clone(), format!("{href}/rules"))),
        _ => s.sample.zip(s.sample_id).map(|(id, key)| (id.clone(), address::sample(dataset, &id, key))),
    };
    StepView {
        at: s.at.into(),
        author: page.author(&s.author),
        kind: lang.text(&format!("trail.kind.{}", s.kind)).to_owned(),
        what,
        to,
        note: if s.kind == "rule" { String::new() } else { s.note },
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let kind = page.query("kind").filter(|k| KINDS.contains(k)).map(str::to_owned);
    let filter = TrailFilter { author: page.query("who").map(str::to_owned), kind };
    let after = page.query("after").and_then(TrailCursor::parse);
    let (steps, next) = store.trail(dataset.id, &filter, after.as_ref(), ON_A_PAGE).await?;
    let people = store.people_of_trail(dataset.id).await?;
    let dataset_href = address::dataset(&dataset.name);
    let href = format!("{dataset_href}/trail");
    let asked: Vec<(&str, String)> = [("kind", filter.kind.clone()), ("who", filter.author.clone())]
        .into_iter()
        .filter_map(|(k, v)| Some((k, v?)))
        .collect();
    let with = |extra: Option<(&'static str, String)>| {
        format!("{href}?{}", address::query(&asked.iter().cloned().chain(extra).collect::<Vec<_>>()))
    };
    let chosen = |now: &Option<String>, value: &str| now.as_deref() == Some(value);
    render(&TrailPage {
        kinds: KINDS
            .iter()
            .map(|k| {
                (
                    (*k).to_owned(),
                    page.lang.text(&format!("trail.kind.{k}")).to_owned(),
                    chosen(&filter.kind, k),
                )
            })
            .collect(),
        people: people
            .into_iter()
            .map(|p| (p.clone(), page.author(&p), chosen(&filter.author, &p)))
            .collect(),
        rows: steps.into_iter().map(|s| step(&page, &dataset.name, &taxonomy, s)).collect(),
        first: after.map(|_| with(None)),
        next: next.map(|n| with(Some(("after", n.text())))),
        dataset: dataset.name,
        dataset_href,
        href,
        page,
    })
}
