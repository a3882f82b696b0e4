//! `/datasets/{name}/snapshots`: who took which and why. `/datasets/{name}/snapshots/{snapshot}`: what
//! changed in it, and the way back. Changes go through the API.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::dataset::SnapshotView;
use super::error::PageError;
use super::names::{ClassName, short};
use super::{Reader, address, render};
use crate::domain::Taxonomy;
use crate::jobs::Services;
use crate::jobs::revert::{self, ChangeFilter, Diff};
use crate::store::snapshots::Snapshot;

const ON_A_PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "snapshots.html")]
pub(super) struct SnapshotsPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) href: String,
    pub(super) rows: Vec<SnapshotView>,
    pub(super) older: Option<String>,
}

#[derive(Template)]
#[template(path = "snapshot.html")]
pub(super) struct SnapshotPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) href: String,
    pub(super) api: String,
    pub(super) snapshot: SnapshotView,
    /// Short id and page of what it is compared with; `None`: with nothing.
    pub(super) against: Option<(String, String)>,
    pub(super) changed: String,
    pub(super) counts: Vec<CountView>,
    /// One pair of classes is looked at.
    pub(super) filtered: bool,
    pub(super) changes: Vec<ChangeView>,
    pub(super) next: Option<String>,
}

pub(super) struct CountView {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) n: String,
    pub(super) href: String,
}

pub(super) struct ChangeView {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) from: String,
    pub(super) to: String,
}

/// The difference with what was asked for, as one page shows it.
pub(super) struct Shown<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) against: Option<&'a Snapshot>,
    pub(super) diff: Diff,
}

pub(super) fn view(page: Reader, dataset: String, taxonomy: &Taxonomy, shown: Shown<'_>) -> SnapshotPage {
    let lang = page.lang;
    let dataset_href = address::dataset(&dataset);
    let href = format!("{dataset_href}/snapshots/{}", shown.snapshot.id);
    let class = |id: &Option<String>| match id {
        Some(id) => ClassName::of(taxonomy, id, lang).path,
        None => lang.text("snapshots.unlabelled").to_owned(),
    };
    let compared = page.query("against").map(|a| ("against", a.to_owned()));
    let with = |extra: Vec<(&str, String)>| {
        let pairs: Vec<(&str, String)> = compared.clone().into_iter().chain(extra).collect();
        format!("{href}?{}", address::query(&pairs))
    };
    let asked = |key: &'static str| page.param(key).map(|v| (key, v.to_owned()));
    let filter: Vec<(&str, String)> = [asked("from"), asked("to")].into_iter().flatten().collect();
    SnapshotPage {
        against: shown.against.map(|s| (short(&s.id), format!("{dataset_href}/snapshots/{}", s.id))),
        changed: lang.number(i64::try_from(shown.diff.changed).unwrap_or(i64::MAX)),
        counts: shown
            .diff
            .counts
            .iter()
            .map(|c| CountView {
                from: class(&c.from),
                to: class(&c.to),
                n: lang.number(i64::try_from(c.n).unwrap_or(i64::MAX)),
                href: with(vec![
                    ("from", c.from.clone().unwrap_or_default()),
                    ("to", c.to.clone().unwrap_or_default()),
                ]),
            })
            .collect(),
        changes: shown
            .diff
            .page
            .items
            .iter()
            .map(|c| ChangeView {
                href: address::sample(&dataset, &c.id, c.sample_id),
                id: c.id.clone(),
                from: class(&c.from),
                to: class(&c.to),
            })
            .collect(),
        next: shown
            .diff
            .page
            .next
            .map(|after| with(filter.iter().cloned().chain([("after", after)]).collect())),
        filtered: !filter.is_empty(),
        snapshot: SnapshotView::of(&page, shown.snapshot),
        api: format!("/api/v1{dataset_href}/snapshots/{}", shown.snapshot.id),
        href,
        dataset,
        dataset_href,
        page,
    }
}

pub(super) async fn show_all(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let dataset = services.store.dataset(&name).await?;
    let found = services.store.snapshots(dataset.id, page.query("before"), ON_A_PAGE).await?;
    let dataset_href = address::dataset(&dataset.name);
    let href = format!("{dataset_href}/snapshots");
    render(&SnapshotsPage {
        rows: found.items.iter().map(|s| SnapshotView::of(&page, s)).collect(),
        older: found.next.map(|b| format!("{href}?{}", address::query(&[("before", b)]))),
        dataset: dataset.name,
        dataset_href,
        href,
        page,
    })
}

pub(super) async fn show_one(
    State(services): State<Services>,
    page: Reader,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let snapshot = store.snapshot(dataset.id, &id).await?;
    let against = match page.query("against").or(snapshot.parent.as_deref()) {
        Some(id) => Some(store.snapshot(dataset.id, id).await?),
        None => None,
    };
    let class = |key: &str| page.param(key).map(|c| Some(c.to_owned()).filter(|c| !c.is_empty()));
    let filter = ChangeFilter { from: class("from"), to: class("to") };
    let after = page.query("after").map(str::to_owned);
    let mut diff = revert::diff(&services, against.as_ref(), &snapshot, filter, after, ON_A_PAGE)
        .await
        .map_err(|e| PageError::Refused(e.into()))?;
    let told = diff.tell(&services, dataset.id, page.audience()).await;
    told.map_err(|e| PageError::Refused(e.into()))?;
    let shown = Shown { snapshot: &snapshot, against: against.as_ref(), diff };
    render(&view(page, dataset.name, &taxonomy, shown))
}
