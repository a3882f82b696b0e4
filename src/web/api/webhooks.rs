//! Webhooks of a dataset, for its leads. What they are sent and how it is signed: `jobs/webhooks.rs`.

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::jobs::{Services, webhooks};
use crate::store::webhooks::{Delivery, Webhook};
use crate::web::access::{Who, secrets};
use crate::web::error::Problem;
use crate::web::extract::{Json, Path};
use crate::web::paging::{PageParams, Paged, Paging};

/// What a webhook can listen to.
pub(crate) const EVENTS: [&str; 3] = ["job.ended", "snapshot.created", "review.recorded"];

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(remove))
        .routes(routes!(ping))
        .routes(routes!(deliveries))
        .routes(routes!(redeliver))
}

fn check_enabled(services: &Services) -> Result<(), Problem> {
    if services.config.webhooks.enabled {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "webhooks_off",
        "this Tamis sends no webhooks: its operator has to set webhooks.enabled",
    ))
}

/// Webhooks of a dataset
///
/// Oldest first.
#[utoipa::path(get, path = "/datasets/{dataset}/webhooks", tag = "webhooks",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Webhook>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Webhook>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(paging.cut("webhooks", services.store.webhooks(dataset.id).await?)?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"url": "https://hooks.example.org/tamis", "events": ["job.ended"]}))]
struct WebhookRequest {
    /// Begins with https:// or http://, and does not lead to a private network.
    url: String,
    /// `job.ended`, `snapshot.created`, `review.recorded`; one or more.
    events: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct NewWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// Signs what is sent (Standard Webhooks, HMAC-SHA256). Shown this once.
    secret: String,
}

/// Make a webhook
///
/// Every request it is sent is signed: header `webhook-signature` is `v1,` and the base64 of the
/// HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`, keyed with the base64 behind `whsec_` of the
/// secret. Answers other than 2xx within 10 s are tried again for about a day.
#[utoipa::path(post, path = "/datasets/{dataset}/webhooks", tag = "webhooks",
    params(("dataset" = String, Path, description = "Id or name")), request_body = WebhookRequest,
    responses((status = 201, description = "Made", body = NewWebhook)))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(request): Json<WebhookRequest>,
) -> Result<(StatusCode, axum::Json<NewWebhook>), Problem> {
    check_enabled(&services)?;
    let url = services
        .outbound
        .check(request.url.trim())
        .map_err(|e| Problem::invalid("url", "url", e.to_string()))?;
    let mut events = request.events;
    events.sort();
    events.dedup();
    if events.is_empty() || !events.iter().all(|e| EVENTS.contains(&e.as_str())) {
        let known = EVENTS.join(", ");
        return Err(Problem::invalid("events", "events", format!("one or more of {known}")));
    }
    let dataset = services.store.dataset(&dataset).await?;
    let key = hex::decode(secrets::random()).map_err(Problem::internal)?;
    let secret = format!("{}{}", webhooks::SECRET_PREFIX, STANDARD.encode(key));
    let webhook =
        services.store.create_webhook(dataset.id, url.as_str(), &secret, &events, &viewer.name).await?;
    let facts = serde_json::json!({"webhook_id": webhook.id, "host": url.host_str(), "events": events});
    services.store.audit(&viewer.name, "webhook_created", Some(dataset.id), &facts).await?;
    Ok((StatusCode::CREATED, axum::Json(NewWebhook { webhook, secret })))
}

/// Remove a webhook
///
/// What waits is not sent any more; the log of what was stays readable.
#[utoipa::path(delete, path = "/datasets/{dataset}/webhooks/{webhook}", tag = "webhooks",
    params(("dataset" = String, Path, description = "Id or name"), ("webhook" = Uuid, Path)),
    responses((status = 204, description = "Removed")))]
async fn remove(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, webhook)): Path<(String, Uuid)>,
) -> Result<StatusCode, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    services.store.remove_webhook(dataset.id, webhook).await?;
    let facts = serde_json::json!({"webhook_id": webhook});
    services.store.audit(&viewer.name, "webhook_removed", Some(dataset.id), &facts).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Try a webhook
///
/// Sends it the event `ping`.
#[utoipa::path(post, path = "/datasets/{dataset}/webhooks/{webhook}/ping", tag = "webhooks",
    params(("dataset" = String, Path, description = "Id or name"), ("webhook" = Uuid, Path)),
    responses((status = 202, description = "Will be sent")))]
async fn ping(
    State(services): State<Services>,
    Path((dataset, webhook)): Path<(String, Uuid)>,
) -> Result<StatusCode, Problem> {
    check_enabled(&services)?;
    let dataset = services.store.dataset(&dataset).await?;
    services.store.ping_webhook(dataset.id, webhook).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What a webhook was sent
///
/// Newest first; kept for 30 days.
#[utoipa::path(get, path = "/datasets/{dataset}/webhooks/{webhook}/deliveries", tag = "webhooks",
    params(("dataset" = String, Path, description = "Id or name"), ("webhook" = Uuid, Path), PageParams),
    responses((status = 200, description = "A page", body = Paged<Delivery>)))]
async fn deliveries(
    State(services): State<Services>,
    Path((dataset, webhook)): Path<(String, Uuid)>,
    paging: Paging,
) -> Result<axum::Json<Paged<Delivery>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<i64> = paging.after("deliveries")?;
    let page = services.store.deliveries(dataset.id, webhook, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("deliveries", page)))
}

/// Send a delivery again
#[utoipa::path(post, path = "/datasets/{dataset}/webhooks/{webhook}/deliveries/{delivery}/redeliver", tag = "webhooks",
    params(("dataset" = String, Path, description = "Id or name"), ("webhook" = Uuid, Path), ("delivery" = i64, Path)),
    responses((status = 202, description = "Will be sent")))]
async fn redeliver(
    State(services): State<Services>,
    Path((dataset, webhook, delivery)): Path<(String, Uuid, i64)>,
) -> Result<StatusCode, Problem> {
    check_enabled(&services)?;
    let dataset = services.store.dataset(&dataset).await?;
    services.store.redeliver(dataset.id, webhook, delivery).await?;
    Ok(StatusCode::ACCEPTED)
}
