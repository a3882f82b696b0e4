//! The web room: the JSON API, the media, and the pages, behind the same guards. It knows the store,
//! the jobs and the domain, and does no numerics: handlers extract, call, and render.
//!
//! [`router`] is all of it as a tower service (tests call it directly), [`serve`] puts it on a socket.

mod access;
mod api;
mod assets;
mod blob;
mod error;
mod extract;
mod guard;
mod health;
mod idempotency;
mod media;
mod pages;
mod paging;

pub use access::setup_code;

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderMap, Request, header};
use axum::{Extension, Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::{DefaultOnResponse, TraceLayer};

use crate::jobs::Services;

/// Connections that are still busy this long after the signal to stop are cut.
const GRACE: Duration = Duration::from_secs(5);

/// Tells streams without end that the server wants to stop.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(pub(crate) watch::Receiver<bool>);

/// Everything that is served, as one service.
pub fn router(services: Services) -> Router {
    let routes = api::router(&services)
        .merge(pages::router())
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method);
    routes
        .layer(middleware::from_fn_with_state(access::Gate::new(services.clone()), access::gate))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(compressible)))
        .layer(middleware::from_fn(guard::csrf))
        .layer(middleware::from_fn_with_state(services.clone(), guard::host))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn(error::as_page))
        .layer(middleware::from_fn(guard::headers))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_response(DefaultOnResponse::new().level(tracing::Level::DEBUG)),
        )
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .with_state(services)
}

/// Serves until `shutdown` turns true, then lets requests in progress end.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    services: Services,
    listener: TcpListener,
    shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let app = router(services).layer(Extension(Shutdown(shutdown.clone())));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let (mut stop, mut cut) = (shutdown.clone(), shutdown);
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stop.wait_for(|down| *down).await;
    });
    tokio::select! {
        ended = async { server.await } => ended,
        () = async {
            let _ = cut.wait_for(|down| *down).await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    }
}

/// Downloads keep their bytes: their validators and lengths are those of the file. Live events are
/// left alone by the default already.
fn compressible(
    _: axum::http::StatusCode,
    _: axum::http::Version,
    headers: &HeaderMap,
    _: &axum::http::Extensions,
) -> bool {
    !headers.contains_key(header::ACCEPT_RANGES) && !headers.contains_key(header::CONTENT_DISPOSITION)
}

/// One span a request; the query is left out, since it may hold what people typed.
fn span<B>(request: &Request<B>) -> tracing::Span {
    let id = request.headers().get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}
