//! `/datasets/{name}/work`: what waits for whom, who holds what, the policy of second looks and the batches,
//! for leads. Changes go through the API.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::names::bar;
use super::reader::Moment;
use super::suspects::{Group, class_groups};
use super::{Reader, address, render};
use crate::domain::Purpose;
use crate::jobs::Services;
use crate::store::batches::Batch;
use crate::store::policies::PolicyVersion;
use crate::store::queue::{HeldItem, QueueStatus};

/// Batches and members shown; the API has all.
const SHOWN: i64 = 100;

#[derive(Template)]
#[template(path = "work.html")]
pub(super) struct WorkPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    pub(super) scanned: bool,
    pub(super) counts: Vec<Count>,
    pub(super) held: Vec<HeldView>,
    pub(super) policy: PolicyView,
    pub(super) batches: Vec<BatchView>,
    pub(super) classes: Vec<Group>,
    /// Names of the team.
    pub(super) people: Vec<String>,
}

/// A figure of the queue.
pub(super) struct Count {
    /// Key of its name.
    pub(super) key: &'static str,
    pub(super) n: String,
    pub(super) held: i64,
}

pub(super) struct HeldView {
    pub(super) person: String,
    pub(super) sample: String,
    pub(super) href: String,
    /// Key of what for.
    pub(super) purpose: String,
    pub(super) until: Moment,
}

pub(super) struct PolicyView {
    /// The one that is in force.
    pub(super) double_check: String,
    pub(super) choices: [&'static str; 4],
    /// Whole per cents.
    pub(super) keeps: u32,
    pub(super) gold: u32,
    pub(super) gold_share: u32,
    pub(super) blind: bool,
    pub(super) hide_model: bool,
    /// Who set it, and when.
    pub(super) set: Option<(String, Moment)>,
}

pub(super) struct BatchView {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) owner: Option<String>,
    /// Key of its urgency.
    pub(super) urgency: &'static str,
    pub(super) due: Option<String>,
    pub(super) late: bool,
    pub(super) done: String,
    pub(super) size: String,
    pub(super) width: String,
    pub(super) held: i64,
    pub(super) pace: Option<String>,
    pub(super) finish: Option<Moment>,
    /// `open`, `done` or `closed`.
    pub(super) state: &'static str,
    pub(super) api: String,
}

impl BatchView {
    fn of(page: &Reader, dataset: &str, api: &str, b: Batch) -> Self {
        let size = i64::from(b.size);
        let done = (size - b.open).max(0);
        Self {
            href: format!("{dataset}/review?batch={}", b.id),
            name: b.name,
            owner: b.owner,
            urgency: match b.priority {
                ..0 => "work.later",
                0 => "work.normal",
                1.. => "work.urgent",
            },
            due: b.due_on.map(|d| d.to_string()),
            late: b.late,
            done: page.number(&done),
            size: page.number(&size),
            width: bar(done, size),
            held: b.held,
            pace: b.pace.map(|p| page.number(&(p.round() as i64))),
            finish: b.finish.map(Into::into),
            state: match (b.closed_at, b.open) {
                (Some(_), _) => "closed",
                (None, 0) => "done",
                (None, _) => "open",
            },
            api: format!("{api}/batches/{}", b.id),
        }
    }
}

fn counts(page: &Reader, status: &QueueStatus) -> Vec<Count> {
    let of = |purpose: Purpose| status.counts.iter().find(|c| c.purpose == purpose.as_str());
    let open = |key, purpose: Purpose, beside: i64| {
        let (open, held) = of(purpose).map_or((0, 0), |c| (c.open, c.held));
        Count { key, n: page.number(&(open + beside)), held }
    };
    let done: i64 = Purpose::ALL.into_iter().filter_map(of).map(|c| c.done).sum();
    vec![
        open("work.first", Purpose::First, status.left_over),
        open("work.second", Purpose::Second, 0),
        open("work.adjudicate", Purpose::Adjudicate, 0),
        Count { key: "work.done", n: page.number(&done), held: 0 },
    ]
}

impl PolicyView {
    fn of(p: PolicyVersion) -> Self {
        let percent = |share: f64| (share * 100.0).round() as u32;
        Self {
            double_check: p.policy.double_check,
            choices: ["none", "changes", "keeps_share", "all"],
            keeps: percent(p.policy.keeps_share.unwrap_or(0.1)),
            gold: percent(p.policy.gold_rate),
            gold_share: percent(p.policy.gold_share),
            blind: p.policy.blind,
            hide_model: p.policy.hide_model,
            set: p.author.zip(p.since.map(Into::into)),
        }
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy_of(&dataset).await?;
    let status = store.queue_status(dataset.id, true).await?;
    let batches = store.batches(dataset.id, None, SHOWN).await?.items;
    let dataset_href = address::dataset(&dataset.name);
    let api = format!("/api/v1/datasets/{}", address::part(&dataset.name));
    let held = |h: &HeldItem| HeldView {
        person: page.author(&h.person),
        href: format!("{dataset_href}/samples/{}", address::part(&h.sample)),
        sample: h.sample.clone(),
        purpose: page.key("purpose", &h.purpose),
        until: h.expires_at.into(),
    };
    render(&WorkPage {
        scanned: store.latest_scan_head(dataset.id).await?.is_some(),
        counts: counts(&page, &status),
        held: status.held.iter().map(held).collect(),
        policy: PolicyView::of(store.policy(dataset.id).await?),
        batches: batches.into_iter().map(|b| BatchView::of(&page, &dataset_href, &api, b)).collect(),
        classes: class_groups(&page, &taxonomy, None),
        people: store.members(dataset.id, None, SHOWN).await?.items.into_iter().map(|m| m.name).collect(),
        dataset: dataset.name,
        dataset_href,
        api,
        page,
    })
}
