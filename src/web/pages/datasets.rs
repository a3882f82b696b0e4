//! `/`: the datasets with their counts, or how to begin.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::error::PageError;
use super::names::bar;
use super::reader::Moment;
use super::{Reader, address, render};
use crate::jobs::Services;
use crate::store::Page;
use crate::store::datasets::{Dataset, DatasetCounts};
use crate::store::scans::Scan;
use crate::store::trainings::Training;
use crate::web::access::Who;

const ON_A_PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "datasets.html")]
pub(super) struct DatasetsPage {
    pub(super) page: Reader,
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<String>,
}

pub(super) struct Row {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) created: Moment,
    pub(super) samples: String,
    pub(super) labelled: String,
    pub(super) labelled_width: String,
    pub(super) reviewed: String,
    pub(super) corrected: String,
    pub(super) flagged: Option<String>,
    pub(super) mean_f1: Option<String>,
}

impl Row {
    pub(super) fn of(
        page: &Reader,
        d: &Dataset,
        c: &DatasetCounts,
        scan: Option<&Scan>,
        training: Option<&Training>,
    ) -> Self {
        let number = |n| page.lang.number(n);
        Self {
            name: d.name.clone(),
            href: address::dataset(&d.name),
            created: d.created_at.into(),
            samples: number(c.samples),
            labelled: number(c.labelled),
            labelled_width: bar(c.labelled, c.samples),
            reviewed: number(c.reviewed),
            corrected: number(c.corrected),
            flagged: scan.map(|s| number(s.n_flagged)),
            mean_f1: training.and_then(|t| t.metrics.get("mean_f1")?.as_f64()).map(super::names::score),
        }
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    Who(viewer): Who,
    page: Reader,
) -> Result<Response, PageError> {
    let store = &services.store;
    let Page { items, next } = store.datasets(viewer.limited_to(), page.query("after"), ON_A_PAGE).await?;
    let mut rows = Vec::with_capacity(items.len());
    for d in &items {
        let counts = store.dataset_counts(d.id).await?;
        let scan = store.latest_scan(d.id).await?;
        let training = store.trainings(d.id, None, 1).await?.items.pop();
        rows.push(Row::of(&page, d, &counts, scan.as_ref(), training.as_ref()));
    }
    let next = next.map(|after| format!("/?{}", address::query(&[("after", after)])));
    render(&DatasetsPage { page, rows, next })
}
