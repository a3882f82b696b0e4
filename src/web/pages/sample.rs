//! `/datasets/{name}/samples/{id}`: the card of one sample, and the way to the next.
//!
//! The queue that the reviewer walks through is in the address (`queue` = the filter as a query,
//! `rank` = the place in it), so that the next and the previous suspect are plain links.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use uuid::Uuid;

use super::card::{Asked, Card, Facts, Sight};
use super::error::PageError;
use super::suspects::filter;
use super::{Reader, address, render};
use crate::jobs::Services;
use crate::store::Store;
use crate::store::datasets::Dataset;
use crate::store::suspects::Suspect;

#[derive(Template)]
#[template(path = "sample.html")]
pub(super) struct SamplePage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) card: Card,
    pub(super) queue: QueueView,
}

#[derive(Default)]
pub(super) struct QueueView {
    pub(super) list: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

/// Address of a suspect within a queue.
fn queued(dataset: &str, queue: &str, s: &Suspect) -> String {
    let at = address::sample(dataset, &s.external_id, s.sample_id);
    format!("{at}?{}", address::query(&[("queue", queue), ("rank", &s.place.to_string())]))
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path((name, key)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let sample = store.sample(dataset.id, &key).await?;
    let history = store.history_told(dataset.id, sample.id, page.audience()).await?;
    let facts = Facts::load(store, (dataset, sample, history), page.audience(), Sight::ALL, None).await?;
    let found = facts.evidence.as_ref();
    let scan = match found {
        Some(e) => Some(e.scan_id),
        None => store.latest_scan_head(facts.dataset.id).await?.map(|s| s.id),
    };
    let queue = walk(store, &page, &facts.dataset, scan, found.map(|e| e.suspect.place)).await?;
    render(&SamplePage {
        card: Card::of(&page, &facts, Asked::BROWSING),
        queue,
        dataset_href: address::dataset(&facts.dataset.name),
        dataset: facts.dataset.name,
        page,
    })
}

/// The suspects before and after the place in the queue that the address names, else after `place`.
async fn walk(
    store: &Store,
    page: &Reader,
    dataset: &Dataset,
    scan: Option<Uuid>,
    place: Option<i32>,
) -> Result<QueueView, PageError> {
    let asked = page.query("queue").unwrap_or("");
    let pairs = address::parse_query(asked);
    let (filter, kept) =
        filter(|name| pairs.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.clone()));
    let queue = address::query(&kept);
    let rank = page.query("rank").and_then(|r| r.parse().ok()).or(place).unwrap_or(0);
    let after = ("after", rank.saturating_sub(1).max(0).to_string());
    let list = address::query(&[kept.as_slice(), &[after]].concat());
    let mut walk = QueueView {
        list: format!("{}/suspects?{list}", address::dataset(&dataset.name)),
        ..Default::default()
    };
    if let Some(scan) = scan {
        let link = |s: &Suspect| queued(&dataset.name, &queue, s);
        let next = store.suspects(dataset.id, scan, &filter, page.audience(), rank, 1).await?;
        let before = store.suspects_before(dataset.id, scan, &filter, page.audience(), rank, 1).await?;
        walk.next = next.items.first().map(link);
        walk.previous = before.items.first().map(link);
    }
    Ok(walk)
}
