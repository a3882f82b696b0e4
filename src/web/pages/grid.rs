//! `/datasets/{name}/grid`: the samples of any set as playing tiles, to be looked over and decided on together.
//! The set is in the address: `of=suspects` and `of=samples` with the filters of those pages, `duplicates` of a
//! sample, a `selection`.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use uuid::Uuid;

use super::clusters::members_href;
use super::error::PageError;
use super::names::{ClassName, Share};
use super::reader::{Moment, clock};
use super::samples::filter as sample_filter;
use super::suspects::{filter as suspect_filter, status_of};
use super::{Reader, address, render};
use crate::domain::{IssueKind, RunState, Taxonomy};
use crate::jobs::Services;
use crate::store::bulk::Bulk;
use crate::store::sets::{GridTile, SampleSet};

const ON_A_PAGE: i64 = 60;
/// Decisions in bulk that are listed.
const DONE_LISTED: i64 = 8;

#[derive(Template)]
#[template(path = "grid.html")]
pub(super) struct GridPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    /// The set in words.
    pub(super) title: String,
    /// The list that shows the same samples one below the other.
    pub(super) list: Option<String>,
    /// The set as the API takes it.
    pub(super) set: String,
    /// Samples in it.
    pub(super) n: i64,
    pub(super) tiles: Vec<TileView>,
    pub(super) first: Option<String>,
    pub(super) next: Option<String>,
    pub(super) done: Vec<DoneView>,
}

pub(super) struct TileView {
    pub(super) id: i64,
    pub(super) href: String,
    pub(super) title: String,
    pub(super) poster: Option<String>,
    pub(super) video: String,
    pub(super) duration: Option<String>,
    pub(super) class: Option<ClassName>,
    /// Where it is not the current label.
    pub(super) suggested: Option<ClassName>,
    pub(super) suspicion: Option<Share>,
    pub(super) status: &'static str,
    pub(super) status_name: String,
}

/// A decision on many samples.
pub(super) struct DoneView {
    pub(super) id: String,
    pub(super) what: String,
    pub(super) n: String,
    pub(super) author: String,
    pub(super) at: Moment,
    /// A state of jobs, for its look.
    pub(super) look: &'static str,
    pub(super) state: String,
    pub(super) open: bool,
    pub(super) undo: bool,
}

impl TileView {
    pub(super) fn of(page: &Reader, dataset: &str, taxonomy: &Taxonomy, t: &GridTile) -> Self {
        let lang = page.lang;
        let media = |kind: &str| format!("/{kind}/{}/{}", address::part(dataset), t.sample_id);
        let status = if t.excluded { "excluded" } else { status_of(t.decision.as_deref()) };
        let class = |id: &String| ClassName::of(taxonomy, id, lang);
        Self {
            id: t.sample_id,
            href: address::sample(dataset, &t.external_id, t.sample_id),
            title: if t.title.is_empty() { t.external_id.clone() } else { t.title.clone() },
            poster: t.has_media.then(|| media("poster")),
            video: media("media"),
            duration: t.duration_ms.map(|ms| clock(i64::from(ms))),
            class: t.class.as_ref().map(class),
            suggested: t
                .suggested_class
                .as_ref()
                .filter(|s| t.flagged && t.class.as_ref() != Some(s))
                .map(class),
            suspicion: t.suspicion.filter(|_| t.flagged).map(|s| Share::of(s, lang)),
            status,
            status_name: lang.text(&format!("status.{status}")).to_owned(),
        }
    }
}

impl DoneView {
    pub(super) fn of(page: &Reader, taxonomy: &Taxonomy, b: &Bulk) -> Self {
        let lang = page.lang;
        let class = b.class.as_ref().map(|c| ClassName::of(taxonomy, c, lang).name).unwrap_or_default();
        Self {
            id: b.id.to_string(),
            what: lang.fill(&format!("bulk_action.{}", b.action.as_str()), &[("class", &class)]),
            n: lang.count("grid.n", b.n_samples),
            author: page.author(&b.author),
            at: b.created_at.into(),
            look: match b.state {
                RunState::Applied => "succeeded",
                RunState::Undone => "cancelled",
                other => other.as_str(),
            },
            state: lang.text(&format!("run_state.{}", b.state.as_str())).to_owned(),
            open: matches!(b.state, RunState::Queued | RunState::Running),
            undo: b.state == RunState::Applied && page.adjudicates(),
        }
    }
}

/// The parts of an address that choose a set, as a set and as the query that says the same.
fn set_of(page: &Reader) -> (SampleSet, Vec<(&'static str, String)>) {
    let said = |name: &str| page.query(name).map(str::to_owned);
    let of = |of: &str| ("of", of.to_owned());
    if let Some(selection) = page.query("selection").and_then(|s| Uuid::parse_str(s).ok()) {
        return (SampleSet::Selection { selection }, vec![("selection", selection.to_string())]);
    }
    if let Some(sample) = page.query("duplicates").and_then(|s| s.parse().ok()) {
        return (SampleSet::Duplicates { sample }, vec![("duplicates", i64::to_string(&sample))]);
    }
    if page.query("of") == Some("suspects") {
        let (filter, mut kept) = suspect_filter(said);
        kept.insert(0, of("suspects"));
        return (SampleSet::Suspects(filter), kept);
    }
    let (filter, mut kept) = sample_filter(said);
    kept.insert(0, of("samples"));
    (SampleSet::Samples(filter), kept)
}

/// What the set is, in a few words.
fn words(page: &Reader, taxonomy: &Taxonomy, set: &SampleSet) -> String {
    let lang = page.lang;
    let name = |id: &String| ClassName::of(taxonomy, id, lang).name;
    match set {
        SampleSet::Selection { .. } => page.t("grid.selection").to_owned(),
        SampleSet::Duplicates { .. } => lang.text("issue.near_duplicate").to_owned(),
        SampleSet::Listed { .. } => page.t("dataset.samples").to_owned(),
        SampleSet::Suspects(f) => {
            let mut parts = Vec::new();
            parts.extend(f.issue.map(|i: IssueKind| lang.text(&format!("issue.{}", i.as_str())).to_owned()));
            parts.extend(f.cluster.map(|c| page.t1("clusters.cluster", "n", c)));
            match (&f.given, &f.suggested) {
                (Some(g), Some(s)) => {
                    parts.push(page.t2("grid.cell", "given", name(g), "suggested", name(s)))
                }
                (one, other) => parts.extend(one.iter().chain(other).map(name)),
            }
            parts.extend(f.class.as_ref().map(name));
            if parts.is_empty() {
                parts.push(page.t(if f.all { "dataset.samples" } else { "suspects.title" }).to_owned());
            }
            parts.join(" · ")
        }
        SampleSet::Samples(f) => {
            let mut parts = Vec::new();
            parts.extend(f.text.as_ref().map(|t| page.t1("grid.found", "text", t)));
            parts.extend(f.class.as_ref().map(name));
            parts.extend(f.rule.as_ref().filter(|r| Uuid::parse_str(r).is_err()).cloned());
            if parts.is_empty() {
                parts.push(page.t("dataset.samples").to_owned());
            }
            parts.join(" · ")
        }
    }
}

/// The grid of a cluster of the latest scan.
pub(super) fn cluster_href(dataset_href: &str, cluster: i32) -> String {
    members_href(dataset_href, cluster, None).replacen("/suspects?", "/grid?of=suspects&", 1)
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy_of(&dataset).await?;
    let (set, kept) = set_of(&page);
    let after = page.query("after").and_then(|a| a.parse::<i64>().ok()).unwrap_or(0);
    let got = store.set_tiles(dataset.id, &set, page.audience(), after, ON_A_PAGE).await?;
    // what fits on one page needs no counting
    let whole = after == 0 && got.next.is_none();
    let n = if whole {
        got.items.len() as i64
    } else {
        store.set_size(dataset.id, &set, page.audience()).await?
    };
    let done = store.bulks(dataset.id, None, None, DONE_LISTED).await?.items;
    let dataset_href = address::dataset(&dataset.name);
    let at = |more: Option<String>| {
        let mut query = kept.clone();
        query.extend(more.map(|m| ("after", m)));
        format!("{dataset_href}/grid?{}", address::query(&query))
    };
    let list = match &set {
        SampleSet::Suspects(_) => Some("suspects"),
        SampleSet::Samples(_) => Some("samples"),
        _ => None,
    };
    render(&GridPage {
        title: words(&page, &taxonomy, &set),
        list: list.map(|list| format!("{dataset_href}/{list}?{}", address::query(&kept[1..]))),
        set: serde_json::to_string(&set).map_err(crate::web::error::Problem::internal)?,
        n,
        tiles: got.items.iter().map(|t| TileView::of(&page, &dataset.name, &taxonomy, t)).collect(),
        first: (after > 0).then(|| at(None)),
        next: got.next.map(|n| at(Some(n))),
        done: done.iter().map(|b| DoneView::of(&page, &taxonomy, b)).collect(),
        api: format!("/api/v1{dataset_href}"),
        dataset: dataset.name,
        dataset_href,
        page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BulkAction;
    use crate::messages::Lang;

    #[test]
    fn every_action_has_words() {
        for key in BulkAction::ALL.iter().flat_map(|a| {
            ["bulk_action", "bulk_did", "bulk_undone"].map(|words| format!("{words}.{}", a.as_str()))
        }) {
            assert!(Lang::ALL.iter().all(|l| l.find(&key).is_some()), "{key}");
        }
    }

    #[test]
    fn a_cluster_has_a_grid() {
        assert_eq!(cluster_href("/datasets/d", 3), "/datasets/d/grid?of=suspects&cluster=3&all=true");
    }
}
