//! The OpenAPI document: whole, consistent, and true to the routes.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What clients rely on.
const PROMISED: &[&str] = &[
    "get /api/v1/account",
    "post /api/v1/account/password",
    "get /api/v1/account/settings",
    "put /api/v1/account/settings",
    "get /api/v1/account/tokens",
    "post /api/v1/account/tokens",
    "delete /api/v1/account/tokens/{token}",
    "get /api/v1/accounts",
    "post /api/v1/accounts",
    "patch /api/v1/accounts/{account}",
    "get /api/v1/audit",
    "get /api/v1/datasets/{dataset}/audit",
    "get /api/v1/datasets/{dataset}/members",
    "put /api/v1/datasets/{dataset}/members/{account}",
    "delete /api/v1/datasets/{dataset}/members/{account}",
    "get /api/v1/datasets",
    "get /api/v1/datasets/{dataset}",
    "delete /api/v1/datasets/{dataset}",
    "get /api/v1/datasets/{dataset}/taxonomy",
    "get /api/v1/datasets/{dataset}/classes",
    "get /api/v1/datasets/{dataset}/rounds",
    "get /api/v1/datasets/{dataset}/grid",
    "get /api/v1/datasets/{dataset}/bulk",
    "post /api/v1/datasets/{dataset}/bulk",
    "get /api/v1/datasets/{dataset}/bulk/{bulk}",
    "post /api/v1/datasets/{dataset}/bulk/{bulk}/undo",
    "post /api/v1/datasets/{dataset}/selections",
    "get /api/v1/datasets/{dataset}/selections/{selection}",
    "get /api/v1/datasets/{dataset}/map",
    "post /api/v1/datasets/{dataset}/map",
    "get /api/v1/datasets/{dataset}/maps/{map}/points",
    "get /api/v1/datasets/{dataset}/maps/{map}/marks",
    "post /api/v1/datasets/{dataset}/imports",
    "get /api/v1/datasets/{dataset}/snapshots",
    "post /api/v1/datasets/{dataset}/snapshots",
    "get /api/v1/datasets/{dataset}/snapshots/{snapshot}",
    "get /api/v1/datasets/{dataset}/snapshots/{snapshot}/changes",
    "post /api/v1/datasets/{dataset}/snapshots/{snapshot}/restore",
    "post /api/v1/datasets/{dataset}/snapshots/{snapshot}/predictions",
    "get /api/v1/datasets/{dataset}/predictions",
    "get /api/v1/datasets/{dataset}/predictions/{predictions}",
    "delete /api/v1/datasets/{dataset}/predictions/{predictions}",
    "get /api/v1/datasets/{dataset}/scans",
    "post /api/v1/datasets/{dataset}/scans",
    "get /api/v1/datasets/{dataset}/scans/{scan}",
    "get /api/v1/datasets/{dataset}/scans/{scan}/learning",
    "post /api/v1/datasets/{dataset}/encodes",
    "get /api/v1/datasets/{dataset}/embeddings",
    "get /api/v1/datasets/{dataset}/embeddings/{file}/vectors.parquet",
    "get /api/v1/datasets/{dataset}/trainings",
    "post /api/v1/datasets/{dataset}/trainings",
    "post /api/v1/datasets/{dataset}/distillations",
    "post /api/v1/datasets/{dataset}/ablations",
    "get /api/v1/datasets/{dataset}/trainings/{training}",
    "get /api/v1/datasets/{dataset}/trainings/{training}/model.onnx",
    "get /api/v1/datasets/{dataset}/trainings/{training}/report",
    "post /api/v1/datasets/{dataset}/trainings/{training}/bundle",
    "get /api/v1/datasets/{dataset}/trainings/{training}/bundle.onnx",
    "post /api/v1/datasets/{dataset}/predict",
    "post /api/v1/datasets/{dataset}/predict/clips",
    "get /api/v1/datasets/{dataset}/ledger",
    "post /api/v1/datasets/{dataset}/ledger",
    "get /api/v1/datasets/{dataset}/next",
    "get /api/v1/datasets/{dataset}/exports",
    "post /api/v1/datasets/{dataset}/exports",
    "get /api/v1/datasets/{dataset}/exports/{export}",
    "get /api/v1/datasets/{dataset}/exports/{export}/download",
    "get /api/v1/datasets/{dataset}/samples",
    "get /api/v1/datasets/{dataset}/samples/{sample}",
    "get /api/v1/datasets/{dataset}/samples/{sample}/history",
    "post /api/v1/datasets/{dataset}/samples/{sample}/reviews",
    "get /api/v1/datasets/{dataset}/reviews",
    "post /api/v1/datasets/{dataset}/reviews/{client_id}/undo",
    "get /api/v1/datasets/{dataset}/samples/{sample}/comments",
    "post /api/v1/datasets/{dataset}/samples/{sample}/comments",
    "get /api/v1/datasets/{dataset}/samples/{sample}/consensus",
    "get /api/v1/datasets/{dataset}/queue",
    "post /api/v1/datasets/{dataset}/queue/draw",
    "post /api/v1/datasets/{dataset}/queue/leases/{lease}/extend",
    "post /api/v1/datasets/{dataset}/queue/leases/{lease}/release",
    "post /api/v1/datasets/{dataset}/queue/fill",
    "get /api/v1/datasets/{dataset}/policy",
    "put /api/v1/datasets/{dataset}/policy",
    "get /api/v1/datasets/{dataset}/batches",
    "post /api/v1/datasets/{dataset}/batches",
    "get /api/v1/datasets/{dataset}/batches/{batch}",
    "patch /api/v1/datasets/{dataset}/batches/{batch}",
    "get /api/v1/datasets/{dataset}/suspects",
    "get /api/v1/datasets/{dataset}/suspects/counts",
    "get /api/v1/datasets/{dataset}/health",
    "get /api/v1/datasets/{dataset}/clusters",
    "get /api/v1/datasets/{dataset}/rules",
    "post /api/v1/datasets/{dataset}/rules",
    "get /api/v1/datasets/{dataset}/rules/{rule}",
    "put /api/v1/datasets/{dataset}/rules/{rule}",
    "post /api/v1/datasets/{dataset}/rules/{rule}/archive",
    "get /api/v1/datasets/{dataset}/rules/{rule}/runs",
    "post /api/v1/datasets/{dataset}/rules/{rule}/runs",
    "get /api/v1/datasets/{dataset}/rule-runs/{run}",
    "post /api/v1/datasets/{dataset}/rule-runs/{run}/undo",
    "post /api/v1/datasets/{dataset}/rule-previews",
    "get /api/v1/rule-fields",
    "get /api/v1/datasets/{dataset}/webhooks",
    "post /api/v1/datasets/{dataset}/webhooks",
    "delete /api/v1/datasets/{dataset}/webhooks/{webhook}",
    "post /api/v1/datasets/{dataset}/webhooks/{webhook}/ping",
    "get /api/v1/datasets/{dataset}/webhooks/{webhook}/deliveries",
    "post /api/v1/datasets/{dataset}/webhooks/{webhook}/deliveries/{delivery}/redeliver",
    "get /api/v1/datasets/{dataset}/agreement",
    "get /api/v1/datasets/{dataset}/people-quality",
    "get /api/v1/datasets/{dataset}/yield",
    "get /api/v1/datasets/{dataset}/guides",
    "get /api/v1/datasets/{dataset}/guides/{class}",
    "put /api/v1/datasets/{dataset}/guides/{class}",
    "get /api/v1/datasets/{dataset}/guides/{class}/versions",
    "get /api/v1/datasets/{dataset}/guides/{class}/decisions",
    "post /api/v1/datasets/{dataset}/guides/{class}/decisions",
    "post /api/v1/datasets/{dataset}/guide-previews",
    "get /api/v1/datasets/{dataset}/events",
    "get /api/v1/jobs",
    "get /api/v1/jobs/{job}",
    "post /api/v1/jobs/{job}/cancel",
    "get /api/v1/jobs/{job}/log",
    "get /api/v1/jobs/{job}/curves",
    "get /api/v1/jobs/{job}/events",
    "get /api/v1/jobs/{job}/import-errors",
    "get /api/v1/jobs/{job}/import-errors.jsonl",
    "get /media/{dataset}/{sample}",
    "get /poster/{dataset}/{sample}",
    "get /strip/{dataset}/{sample}",
    "get /healthz",
    "get /readyz",
];

fn operations(doc: &Value) -> Vec<(String, String, Value)> {
    let mut out = Vec::new();
    for (path, item) in doc["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(op) = item.get(method) {
                out.push((method.to_owned(), path.clone(), op.clone()));
            }
        }
    }
    out
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, v) in map {
                match (key.as_str(), v) {
                    ("$ref", Value::String(r)) => drop(into.insert(r.clone())),
                    _ => references(v, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_whole_and_consistent() {
    let app = TestApp::new().await;
    let doc = app.get_json("/api/openapi.json").await;
    assert!(doc["openapi"].as_str().unwrap().starts_with("3.1."), "{}", doc["openapi"]);
    assert!(doc["info"]["version"].is_string());
    let mut refs = BTreeSet::new();
    references(&doc, &mut refs);
    assert!(refs.contains("#/components/schemas/Problem"));
    for r in refs {
        let pointer = r.strip_prefix('#').expect("references stay in the document");
        assert!(doc.pointer(pointer).is_some(), "{r} leads nowhere");
    }
    let tags: BTreeSet<&str> =
        doc["tags"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (method, path, op) in operations(&doc) {
        let at = format!("{method} {path}");
        assert!(ids.insert(op["operationId"].as_str().unwrap().to_owned()), "{at}: operationId twice");
        assert!(op["summary"].is_string(), "{at}");
        assert!(tags.contains(op["tags"][0].as_str().unwrap()), "{at}");
        let parameters = op["parameters"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<String> = path.split(['{', '}']).skip(1).step_by(2).map(str::to_owned).collect();
        let declared: BTreeSet<String> = parameters
            .iter()
            .filter(|p| p["in"] == "path")
            .map(|p| p["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(named, declared, "{at}");
        let mut seen = BTreeSet::new();
        for p in &parameters {
            assert!(seen.insert((p["in"].to_string(), p["name"].to_string())), "{at}: {} twice", p["name"]);
            assert!(p["schema"].is_object(), "{at}: {}", p["name"]);
            assert!(p["in"] != "path" || p["required"] == true, "{at}: {}", p["name"]);
        }
        let responses = op["responses"].as_object().unwrap();
        assert!(responses.keys().any(|s| s.starts_with('2')), "{at}");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|d| !d.is_empty()), "{at} {status}");
            if status.starts_with('4') || status == "default" {
                assert!(response["content"]["application/problem+json"].is_object(), "{at} {status}");
            }
        }
        let query: Vec<&str> =
            parameters.iter().filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str()).collect();
        // what a list is turned by
        let paged = responses.iter().any(|(_, r)| r.to_string().contains("Paged"));
        assert!(!paged || query.iter().any(|p| matches!(*p, "cursor" | "before")), "{at}: {query:?}");
        let key = parameters.iter().any(|p| p["name"] == "Idempotency-Key");
        // what answers with a secret is not kept to be said again
        let keeps = !path.starts_with("/api/v1/account") && !path.contains("/webhooks");
        assert_eq!(key, method == "post" && keeps, "{at}");
    }
}

#[tokio::test]
async fn every_promised_route_is_listed_and_there() {
    let app = TestApp::new().await;
    let doc = app.get_json("/api/openapi.json").await;
    let listed: BTreeSet<String> = operations(&doc).iter().map(|(m, p, _)| format!("{m} {p}")).collect();
    let promised: BTreeSet<String> = PROMISED.iter().map(|s| (*s).to_owned()).collect();
    assert_eq!(listed, promised);
    for (method, path, _) in operations(&doc) {
        let filled: String = path
            .split('/')
            .map(|p| if p.starts_with('{') { "00000000-0000-0000-0000-000000000000" } else { p })
            .collect::<Vec<_>>()
            .join("/");
        let request = Request::builder()
            .method(method.to_uppercase().as_str())
            .uri(&filled)
            .body(Body::empty())
            .unwrap();
        let answer = app.send(request).await;
        assert!(!matches!(answer.status.as_u16(), 405 | 500), "{method} {filled}: {}", answer.status);
        if answer.status == 404 {
            answer.problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let app = TestApp::new().await;
    let page = app.get("/api/docs").await;
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.bytes).unwrap();
    // every script, style and picture of the page, followed
    let parts: Vec<&str> = html
        .match_indices("src=\"")
        .chain(html.match_indices("rel=\"stylesheet\" href=\""))
        .map(|(at, start)| html[at + start.len()..].split('"').next().unwrap())
        .collect();
    assert!(parts.iter().any(|p| p.contains("js/docs.js")), "{parts:?}");
    for path in parts {
        assert!(path.starts_with('/'), "{path}");
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let text = String::from_utf8(answer.bytes).unwrap();
        assert!(path.ends_with(".svg") || !text.contains("https://"), "{path}");
    }
}

/// An address of the document with every part of it filled in, where nothing lives.
fn filled(path: &str) -> String {
    let part = |p: &str| if p.starts_with('{') { Uuid::nil().to_string() } else { p.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn a_parameter_that_an_address_does_not_have_is_refused_by_name() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 3).await;
    let doc = app.get_json("/api/openapi.json").await;
    let mut lists = 0;
    for (method, path, op) in operations(&doc).into_iter().filter(|(_, path, _)| path.starts_with("/api/v1"))
    {
        let names: Vec<String> = op["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|p| p["in"] == "query")
            .map(|p| p["name"].as_str().unwrap().to_owned())
            .collect();
        lists += usize::from(names.iter().any(|n| n == "cursor"));
        let ask = async |query: &str| {
            let uri = format!("{}?{query}", filled(&path));
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(uri);
            app.send(request.body(Body::empty()).unwrap()).await
        };
        // those that other addresses have are among them
        let foreign = ["after", "before", "cursor", "offset", "page", "Limit", "limit", "zz%20top"];
        for name in foreign.into_iter().filter(|f| !names.iter().any(|n| n == f)) {
            let problem = ask(&format!("{name}=1")).await.problem(400, "unknown_parameter");
            assert_eq!(problem["errors"].as_array().unwrap().len(), 1);
            assert_eq!(problem["errors"][0]["field"], name.replace("%20", " "), "{method} {path}");
            assert!(
                names.iter().all(|n| problem["detail"].as_str().unwrap().contains(n.as_str())),
                "{problem}"
            );
        }
        let twice = ask("zz=1&yy").await.problem(400, "unknown_parameter");
        assert_eq!([&twice["errors"][0]["field"], &twice["errors"][1]["field"]], ["zz", "yy"]);
        for name in &names {
            let answer = ask(&format!("{name}=1")).await;
            assert!(
                !String::from_utf8_lossy(&answer.bytes).contains("unknown_parameter"),
                "{method} {path}: {name}"
            );
        }
    }
    assert!(lists > 20, "{lists}");
    // the first page is not given for the second
    let refused =
        app.get("/api/v1/datasets/d/samples?limit=1&after=1").await.problem(400, "unknown_parameter");
    assert_eq!(refused["errors"][0]["field"], "after");
    assert_eq!(app.get_json("/api/v1/datasets/d/samples?limit=1").await["items"][0]["external_id"], "s0");
    app.get("/api/v1/datasets/d/suspects?stauts=open").await.problem(400, "unknown_parameter");
    let head = Request::head("/api/v1/datasets/d/samples?after=1").body(Body::empty()).unwrap();
    assert_eq!(app.send(head).await.status, 400);
}

#[tokio::test]
async fn every_operation_names_who_may_ask_and_asks_for_it() {
    // more requests than a person makes
    let app = TestApp::with(|c| c.server.requests_per_minute = 0).await;
    let doc = app.get_json("/api/openapi.json").await;
    let schemes = &doc["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["session"]["in"], &schemes["session"]["name"]),
        (&json!("cookie"), &json!("tamis_session"))
    );
    assert_eq!(
        (&schemes["form_token"]["in"], &schemes["form_token"]["name"]),
        (&json!("header"), &json!("x-form-token"))
    );
    assert_eq!((&schemes["token"]["type"], &schemes["token"]["scheme"]), (&json!("http"), &json!("bearer")));
    let ada = app.first_admin().await;
    let scopes = ["read", "annotate", "import", "export", "jobs", "admin"];
    let mut without = Vec::new();
    for (i, scope) in scopes.into_iter().enumerate() {
        let others: Vec<&str> = scopes.into_iter().filter(|s| *s != scope).collect();
        let body = json!({"name": format!("all but {scope} {i}"), "scopes": others, "days": 1});
        let made = app.as_(&ada, Method::POST, "/api/v1/account/tokens", Some(body)).await;
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.bytes));
        without.push((scope, made.json()["token"].as_str().unwrap().to_owned()));
    }
    let mut seen = BTreeSet::new();
    for (method, path, op) in operations(&doc) {
        let at = format!("{method} {path}");
        let security = op["security"].as_array().unwrap_or_else(|| panic!("{at} says nothing"));
        let verb: Method = method.to_uppercase().parse().unwrap();
        let request = Request::builder().method(verb.clone()).uri(filled(&path)).body(Body::empty()).unwrap();
        let anybody = app.send(request).await;
        if security.is_empty() {
            assert_ne!(anybody.status, 401, "{at}");
            continue;
        }
        // clips are asked for by browsers too: those are shown the door
        assert_eq!(anybody.status, if path.starts_with("/api/v1") { 401 } else { 303 }, "{at}");
        assert!(op["responses"]["401"].is_object() && op["responses"]["403"].is_object(), "{at}");
        let session = &security[0];
        assert!(session["session"].is_array(), "{at}");
        assert_eq!(session["form_token"].is_array(), method != "get", "{at}");
        let Some(token) = security.get(1) else {
            // a person's own: no token will do
            let answer = app.with_token(&without[5].1, verb.clone(), &filled(&path)).await;
            assert!(answer.status.is_client_error(), "{at}: {}", answer.status);
            continue;
        };
        let scope = token["token"][0].as_str().unwrap();
        seen.insert(scope.to_owned());
        for (lacks, token) in &without {
            let answer = app.with_token(token, verb.clone(), &filled(&path)).await;
            let refused = answer.status == 403 && answer.json()["code"] == "scope";
            assert_eq!(refused, *lacks == scope, "{at}: without {lacks}: {}", answer.status);
        }
        if method != "get" {
            let request =
                Request::builder().method(verb.clone()).uri(filled(&path)).header("cookie", &ada.cookie);
            app.send(request.body(Body::empty()).unwrap()).await.problem(403, "form_token");
        }
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["admin", "annotate", "export", "import", "jobs", "read"]
    );
}
