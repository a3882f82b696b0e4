//! `/datasets/{name}/review`: the reviewing screen. Its scripts draw samples from the queue and fetch the card
//! of each lease, `/datasets/{name}/review/{lease}`, ahead of the person.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::card::{Card, of_lease};
use super::error::PageError;
use super::{Reader, address, render};
use crate::jobs::Services;
use crate::store::StoreError;
use crate::web::access::Who;
use crate::web::error::Problem;

#[derive(Template)]
#[template(path = "review.html")]
pub(super) struct ReviewPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    pub(super) scanned: bool,
}

#[derive(Template)]
#[template(path = "review_card.html")]
struct LeasePage {
    page: Reader,
    card: Card,
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let dataset = services.store.dataset(&name).await?;
    let scanned = services.store.latest_scan_head(dataset.id).await?.is_some();
    let dataset_href = address::dataset(&dataset.name);
    let api = format!("/api/v1{dataset_href}");
    render(&ReviewPage { page, dataset_href, api, dataset: dataset.name, scanned })
}

/// The sample of a lease as its holder may see it, without the page around it, which the script has already; 410 once the lease is somebody else's or over.
pub(super) async fn card(
    State(services): State<Services>,
    page: Reader,
    Who(viewer): Who,
    Path((name, lease)): Path<(String, Uuid)>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let lease = match store.lease(dataset.id, lease).await {
        Ok(lease) if lease.leased_by == viewer.name => lease,
        Ok(_) | Err(StoreError::NotFound { .. }) => return Err(gone().into()),
        Err(e) => return Err(e.into()),
    };
    render(&LeasePage { card: of_lease(store, &page, dataset, &lease).await?, page })
}

fn gone() -> Problem {
    Problem::new(StatusCode::GONE, "lease_gone", "somebody else has the sample now, or it is decided")
}
