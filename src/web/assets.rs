//! Scripts, styles and the icon, compiled in. Each address carries the hash of all of them, so that
//! browsers may keep a file for ever and relative imports between scripts stay within one version.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

struct Asset {
    path: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal),* $(,)?) => {
        &[$(Asset { path: $path, bytes: include_bytes!(concat!("../../static/", $path)) }),*]
    };
}

static ASSETS: &[Asset] = assets![
    "css/base.css",
    "css/card.css",
    "css/data.css",
    "css/desk.css",
    "css/docs.css",
    "css/grid.css",
    "css/guide.css",
    "css/health.css",
    "css/quality.css",
    "css/review.css",
    "css/rules.css",
    "js/announce.js",
    "js/api.js",
    "js/bindings.js",
    "js/classes.js",
    "js/dataset.js",
    "js/deck.js",
    "js/desk.js",
    "js/docs.js",
    "js/frame.js",
    "js/grid.js",
    "js/guide.js",
    "js/holder.js",
    "js/import.js",
    "js/job.js",
    "js/kept.js",
    "js/keys.js",
    "js/leases.js",
    "js/main.js",
    "js/map.js",
    "js/map_canvas.js",
    "js/map_points.js",
    "js/messages.js",
    "js/outbox.js",
    "js/people.js",
    "js/picker.js",
    "js/pinyin-table.js",
    "js/pinyin.js",
    "js/player.js",
    "js/progress.js",
    "js/queue.js",
    "js/rules.js",
    "js/session.js",
    "js/sheet.js",
    "js/swipe.js",
    "js/tables.js",
    "js/thresholds.js",
    "js/tiles.js",
    "js/trail.js",
    "js/undoing.js",
    "js/waiting.js",
    "js/walk.js",
    "js/work.js",
    "sieve.svg",
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ASSETS {
        hash.update(asset.path);
        hash.update([0]);
        hash.update(asset.bytes);
    }
    hex::encode(&hash.finalize()[..6])
});

/// Address of a compiled-in file, for templates: `css/base.css` -> `/static/<hash>/css/base.css`.
pub(crate) fn url(path: &str) -> String {
    debug_assert!(find(path).is_some(), "{path} is not among the static files");
    format!("/static/{}/{path}", *VERSION)
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|a| a.path == path)
}

pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/static/{version}/{*path}", get(serve)).route("/favicon.ico", get(favicon))
}

async fn favicon(headers: HeaderMap) -> Response {
    respond(find("sieve.svg"), false, &headers)
}

async fn serve(Path((version, path)): Path<(String, String)>, headers: HeaderMap) -> Response {
    respond(find(&path), version == *VERSION, &headers)
}

/// A file under another version's address is served too (a page may be older than this server), but
/// must be asked for again.
fn respond(asset: Option<&Asset>, immutable: bool, headers: &HeaderMap) -> Response {
    let Some(asset) = asset else { return StatusCode::NOT_FOUND.into_response() };
    let etag = format!("\"{}\"", hex::encode(&Sha256::digest(asset.bytes)[..12]));
    let cache = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.split(',').any(|t| t.trim().trim_start_matches("W/") == etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = match asset.path.rsplit('.').next() {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        };
        ([(header::CONTENT_TYPE, kind)], asset.bytes).into_response()
    };
    let out = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, etag);
    }
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    #[test]
    fn every_static_file_is_compiled_in() {
        fn walk(dir: &std::path::Path, root: &std::path::Path, into: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, into);
                } else {
                    into.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
        let mut files = Vec::new();
        walk(&root, &root, &mut files);
        files.retain(|f| !f.starts_with("api/"));
        files.sort();
        assert_eq!(files, ASSETS.iter().map(|a| a.path).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        let app: Router = router();
        let get = |uri: String, etag: Option<HeaderValue>| {
            let mut request = Request::get(uri);
            if let Some(etag) = etag {
                request = request.header("if-none-match", etag);
            }
            app.clone().oneshot(request.body(Body::empty()).unwrap())
        };
        let first = get(url("css/base.css"), None).await.unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        assert!(first.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let etag = first.headers()[header::ETAG].clone();
        let second = get(url("css/base.css"), Some(etag)).await.unwrap();
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        let old = get("/static/other/css/base.css".into(), None).await.unwrap();
        assert_eq!(old.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(
            get("/static/x/../Cargo.toml".into(), None).await.unwrap().status(),
            StatusCode::NOT_FOUND
        );
    }
}
