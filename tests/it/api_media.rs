//! Clips with byte ranges, validators, and a cage for what is no video.

use axum::body::Body;
use axum::http::{Method, Request};
use tamis::store::samples::Inspected;

use crate::support::{Answer, TestApp};

const CLIP: &[u8] = b"0123456789abcdefghij";

/// An app with one sample whose clip is [`CLIP`]; returns its address.
async fn with_clip(media_type: Option<&str>) -> (TestApp, String) {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 1).await;
    let id = app.sample_ids(d).await[0];
    let file = app.state.path().join("clip");
    std::fs::write(&file, CLIP).unwrap();
    let (blob, _) = app.services.blobs.put_content(&file).await.unwrap();
    app.services.blobs.put("poster/x.jpg", b"poster".to_vec()).await.unwrap();
    app.services.blobs.put("strip/x.jpg", b"strip".to_vec()).await.unwrap();
    let import = uuid::Uuid::now_v7();
    app.services.store.take_media(import, id).await.unwrap();
    app.services.store.set_media_blob(import, id, &blob).await.unwrap();
    let inspected = Inspected {
        media_type: media_type.map(str::to_owned),
        poster_blob: "poster/x.jpg".into(),
        strip_blob: "strip/x.jpg".into(),
        duration_ms: 1000,
        width: 1,
        height: 1,
        fps: 1.0,
    };
    app.services.store.set_media_ready(import, id, &inspected).await.unwrap();
    (app, format!("d/{id}"))
}

async fn ask(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn ranges() {
    let (app, at) = with_clip(Some("video/mp4")).await;
    let path = format!("/media/{at}");
    let whole = app.get(&path).await;
    assert_eq!((whole.status.as_u16(), &whole.bytes[..]), (200, CLIP));
    assert_eq!(whole.header("content-type"), "video/mp4");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-length"), "20");
    let etag = whole.header("etag").to_owned();
    // sha256 of CLIP, from coreutils
    assert_eq!(etag, "\"6bc14bdc4517a7a682c6910de2e2946eb8e1ecd04090728fef6d092a7ceb62c5\"");
    let other = "\"other\"";
    for (headers, status, bytes, range) in [
        (vec![("range", "bytes=0-0")], 206, &CLIP[..1], "bytes 0-0/20"),
        (vec![("range", "bytes=5-9")], 206, &CLIP[5..10], "bytes 5-9/20"),
        (vec![("range", "bytes=15-")], 206, &CLIP[15..], "bytes 15-19/20"),
        (vec![("range", "bytes=15-999")], 206, &CLIP[15..], "bytes 15-19/20"),
        (vec![("range", "bytes=-4")], 206, &CLIP[16..], "bytes 16-19/20"),
        (vec![("range", "bytes=-99")], 206, CLIP, "bytes 0-19/20"),
        (vec![("range", "bytes=0-1,3-4")], 200, CLIP, ""),
        (vec![("range", "bytes=9-5")], 200, CLIP, ""),
        (vec![("range", "lines=1-2")], 200, CLIP, ""),
        (vec![("range", "bytes=1-2"), ("if-range", &etag)], 206, &CLIP[1..3], "bytes 1-2/20"),
        (vec![("range", "bytes=1-2"), ("if-range", other)], 200, CLIP, ""),
        (vec![("range", "bytes=1-2"), ("if-range", "Mon, 23 Nov 2026 05:00:00 GMT")], 200, CLIP, ""),
        (vec![("if-none-match", &etag)], 304, b"", ""),
        (vec![("if-none-match", "\"x\", W/\"y\", *")], 304, b"", ""),
        (vec![("if-none-match", other)], 200, CLIP, ""),
        (vec![("if-none-match", &etag), ("range", "bytes=1-2")], 304, b"", ""),
    ] {
        let answer = ask(&app, Method::GET, &path, &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        assert_eq!(answer.bytes, bytes, "{headers:?}");
        assert_eq!(answer.header("content-range"), range, "{headers:?}");
        assert_eq!(answer.header("etag"), etag, "{headers:?}");
    }
    for range in ["bytes=20-", "bytes=20-30", "bytes=-0"] {
        let answer = ask(&app, Method::GET, &path, &[("range", range)]).await;
        answer.problem(416, "range");
        assert_eq!(answer.header("content-range"), "bytes */20");
    }
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let (app, at) = with_clip(Some("video/mp4")).await;
    let head = ask(&app, Method::HEAD, &format!("/media/{at}"), &[("range", "bytes=0-1")]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length"), head.bytes.len()), (200, "20", 0));
}

#[tokio::test]
async fn what_is_no_video_is_caged() {
    for media_type in [None, Some("text/html"), Some("image/svg+xml"), Some("video/mp4; charset=\"<\"")] {
        let (app, at) = with_clip(media_type).await;
        let answer = app.get(&format!("/media/{at}")).await;
        assert_eq!(answer.header("content-type"), "application/octet-stream", "{media_type:?}");
        assert!(answer.header("content-disposition").starts_with("attachment"));
        assert_eq!(answer.header("content-security-policy"), "sandbox; default-src 'none'");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn posters_and_strips_are_kept_by_their_version() {
    let (app, at) = with_clip(Some("video/mp4")).await;
    for (kind, content) in [("poster", &b"poster"[..]), ("strip", b"strip")] {
        let plain = app.get(&format!("/{kind}/{at}")).await;
        assert_eq!((plain.header("content-type"), &plain.bytes[..]), ("image/jpeg", content));
        assert_eq!(plain.header("cache-control"), "private, no-cache");
        let version = &plain.header("etag").trim_matches('"')[..12];
        let kept = app.get(&format!("/{kind}/{at}?v={version}")).await;
        assert!(kept.header("cache-control").contains("immutable"));
        let stale = app.get(&format!("/{kind}/{at}?v=000000000000")).await;
        assert_eq!(stale.header("cache-control"), "private, no-cache");
    }
    app.get("/poster/d/999999").await.problem(404, "not_found");
    app.get("/media/d/..%2f..%2fetc%2fpasswd").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_lost_blob_is_told_and_breaks_nothing() {
    let (app, at) = with_clip(Some("video/mp4")).await;
    std::fs::remove_dir_all(app.state.path().join("blobs/media")).unwrap();
    app.get(&format!("/media/{at}")).await.problem(404, "blob_missing");
    assert_eq!(app.get(&format!("/poster/{at}")).await.status, 200);
}
