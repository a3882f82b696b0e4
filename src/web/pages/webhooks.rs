//! `/datasets/{name}/webhooks`: who is told what happens here, and the last deliveries, for leads.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::reader::Moment;
use super::{Reader, address, render};
use crate::jobs::Services;
use crate::store::webhooks::{Delivery, Webhook};
use crate::web::api::webhooks::EVENTS;

/// Deliveries shown of each webhook; the API has all.
const SHOWN: i64 = 10;

#[derive(Template)]
#[template(path = "webhooks.html")]
pub(super) struct WebhooksPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    pub(super) enabled: bool,
    /// Each event, and what it is called.
    pub(super) events: Vec<(&'static str, &'static str)>,
    pub(super) rows: Vec<WebhookView>,
}

pub(super) struct WebhookView {
    pub(super) url: String,
    pub(super) events: String,
    pub(super) author: String,
    pub(super) since: Moment,
    pub(super) api: String,
    pub(super) deliveries: Vec<DeliveryView>,
}

pub(super) struct DeliveryView {
    pub(super) event: String,
    pub(super) at: Moment,
    /// `good`, `waits`, `bad`.
    pub(super) state: &'static str,
    /// What became of it, worded.
    pub(super) outcome: String,
    pub(super) again: Option<Moment>,
    pub(super) api: String,
}

impl DeliveryView {
    fn of(page: &Reader, api: &str, d: Delivery) -> Self {
        let state = match (d.delivered_at, d.next_at) {
            (Some(_), _) => "good",
            (None, Some(_)) => "waits",
            (None, None) => "bad",
        };
        let answer = match (d.status, &d.error) {
            (Some(status), _) => page.t1("webhooks.answered", "status", status),
            (None, Some(error)) => page.t1("webhooks.no_answer", "why", error),
            (None, None) => page.t("webhooks.not_sent_yet").to_owned(),
        };
        Self {
            event: d.event,
            at: d.created_at.into(),
            state,
            outcome: answer,
            again: d.next_at.filter(|_| d.attempts > 0).map(Into::into),
            api: format!("{api}/deliveries/{}/redeliver", d.id),
        }
    }
}

impl WebhookView {
    fn of(page: &Reader, api: &str, w: Webhook, deliveries: Vec<Delivery>) -> Self {
        let api = format!("{api}/{}", w.id);
        let events: Vec<&str> = w.events.iter().map(|e| event_name(page, e)).collect();
        Self {
            events: events.join(page.t("list.separator")),
            author: page.author(&w.author),
            since: w.created_at.into(),
            deliveries: deliveries.into_iter().map(|d| DeliveryView::of(page, &api, d)).collect(),
            url: w.url,
            api,
        }
    }
}

fn event_name<'a>(page: &Reader, event: &'a str) -> &'a str {
    page.lang.find(&format!("webhook_event.{}", event.replace('.', "_"))).unwrap_or(event)
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let api = format!("/api/v1/datasets/{}/webhooks", address::part(&dataset.name));
    let mut rows = Vec::new();
    for webhook in store.webhooks(dataset.id).await? {
        let last = store.deliveries(dataset.id, webhook.id, None, SHOWN).await?.items;
        rows.push(WebhookView::of(&page, &api, webhook, last));
    }
    render(&WebhooksPage {
        enabled: services.config.webhooks.enabled,
        events: EVENTS.map(|e| (e, event_name(&page, e))).to_vec(),
        rows,
        dataset_href: address::dataset(&dataset.name),
        dataset: dataset.name,
        api,
        page,
    })
}
