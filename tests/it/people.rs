//! Accounts, teams, sessions and tokens through the real router: who gets in, who sees what.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, TestApp};

pub(crate) const PASSWORD: &str = "a long password";

/// Somebody signed in, as a browser holds it.
pub(crate) struct Session {
    pub(crate) cookie: String,
    pub(crate) form_token: String,
}

pub(crate) fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let encode = |s: &str| {
        s.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect::<String>()
    };
    let body: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.join("&")))
        .unwrap()
}

impl TestApp {
    /// The set-up page, as whoever started the service would use it.
    pub(crate) async fn first_admin(&self) -> Session {
        let code = tamis::web::setup_code(&self.services).await.unwrap().unwrap();
        let answer =
            self.send(form("/setup", &[("code", &code), ("name", "ada"), ("password", PASSWORD)])).await;
        self.session(&answer).await
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Session {
        let answer = self.send(form("/sign-in", &[("name", name), ("password", PASSWORD)])).await;
        self.session(&answer).await
    }

    pub(crate) async fn session(&self, answer: &Answer) -> Session {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", String::from_utf8_lossy(&answer.bytes));
        let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
        let cookie = set.split(';').next().unwrap().to_owned();
        let page =
            self.send(Request::get("/account").header("cookie", &cookie).body(Body::empty()).unwrap()).await;
        let html = String::from_utf8(page.bytes).unwrap();
        let form_token =
            html.split("name=\"form-token\" content=\"").nth(1).unwrap().split('"').next().unwrap();
        Session { cookie, form_token: form_token.to_owned() }
    }

    pub(crate) async fn as_(&self, who: &Session, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("cookie", &who.cookie)
            .header("x-form-token", &who.form_token);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(body.map_or_else(Body::empty, |b| Body::from(b.to_string()))).unwrap()).await
    }

    pub(crate) async fn with_token(&self, token: &str, method: Method, path: &str) -> Answer {
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// An account made by `admin`, signed in.
    pub(crate) async fn person(&self, admin: &Session, name: &str) -> (Uuid, Session) {
        let body = json!({"name": name, "password": PASSWORD});
        let made = self.as_(admin, Method::POST, "/api/v1/accounts", Some(body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&made.bytes));
        let id = made.json()["id"].as_str().unwrap().parse().unwrap();
        (id, self.sign_in(name).await)
    }

    pub(crate) async fn join(&self, admin: &Session, dataset: &str, account: Uuid, role: &str) {
        let path = format!("/api/v1/datasets/{dataset}/members/{account}");
        let answer = self.as_(admin, Method::PUT, &path, Some(json!({"role": role}))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", String::from_utf8_lossy(&answer.bytes));
    }
}

#[tokio::test]
async fn open_until_the_first_account_then_closed() {
    let app = TestApp::new().await;
    app.dataset_with_samples("clips", 2).await;
    assert_eq!(app.get("/datasets/clips").await.status, StatusCode::OK);
    assert_eq!(app.get_json("/api/v1/account").await["name"], "local");

    let wrong = app.send(form("/setup", &[("code", "guess"), ("name", "eve"), ("password", PASSWORD)])).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let code = tamis::web::setup_code(&app.services).await.unwrap().unwrap();
    for (name, password) in [("tamis", PASSWORD), ("ada", "short"), (" ada", PASSWORD)] {
        let bad = app.send(form("/setup", &[("code", &code), ("name", name), ("password", password)])).await;
        assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
    }
    let ada = app.first_admin().await;

    assert!(tamis::web::setup_code(&app.services).await.unwrap().is_none());
    let again = app.send(form("/setup", &[("code", &code), ("name", "eve"), ("password", PASSWORD)])).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(app.get("/api/v1/datasets").await.status, StatusCode::UNAUTHORIZED);
    let page = app.get("/datasets/clips?x=1").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.headers[header::LOCATION], "/sign-in?next=%2Fdatasets%2Fclips%3Fx%3D1");
    assert_eq!(app.as_(&ada, Method::GET, "/datasets/clips", None).await.status, StatusCode::OK);
}

/// Every address of the API, read from its own description, and every page.
#[tokio::test]
async fn each_address_knows_strangers_and_roles() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 3).await;
    app.scan(dataset, 1).await;
    let ada = app.first_admin().await;
    let (_, stranger) = app.person(&ada, "stranger").await;
    let (id, annotator) = app.person(&ada, "annotator").await;
    app.join(&ada, "clips", id, "annotator").await;
    let scan = app.as_(&ada, Method::POST, "/api/v1/datasets/clips/scans", Some(json!({}))).await;
    assert_eq!(scan.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&scan.bytes));
    let job = scan.json()["id"].as_str().unwrap().to_owned();

    let api = app.as_(&ada, Method::GET, "/api/openapi.json", None).await.json();
    let mut addresses: Vec<(Method, String)> = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            addresses.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    assert!(addresses.len() > 40);
    for page in [
        "",
        "/samples",
        "/suspects",
        "/samples/s1",
        "/team",
        "/guide",
        "/guide/%23",
        "/quality",
        "/snapshots",
        "/trail",
        "/next",
        "/ledger",
    ] {
        addresses.push((Method::GET, format!("/datasets/{{dataset}}{page}")));
    }
    addresses.push((Method::GET, "/jobs/{job}".to_owned()));

    // what an annotator does besides reading
    let allowed =
        ["/reviews", "/queue/draw", "/extend", "/release", "{client_id}/undo", "/comments", "/selections"];
    // adjudicating and deciding in bulk are for reviewers
    let leads = [
        "/consensus",
        "/trail",
        "/exports",
        "vectors.parquet",
        "model.onnx",
        "/audit",
        "/webhooks",
        "/ledger",
        "/next",
    ];
    let mut of_datasets = 0;
    for (method, path) in addresses {
        let real = path
            .replace("{dataset}", "clips")
            .replace("{job}", &job)
            .replace("{sample}", "s1")
            .split('/')
            .map(|part| if part.starts_with('{') { Uuid::nil().to_string() } else { part.to_owned() })
            .collect::<Vec<_>>()
            .join("/");
        let open = matches!(path.as_str(), "/healthz" | "/readyz");
        let nobody =
            app.send(Request::builder().method(&method).uri(&real).body(Body::empty()).unwrap()).await;
        if open {
            assert_eq!(nobody.status, StatusCode::OK, "{path}");
            continue;
        }
        let expected = if method == Method::GET && !path.starts_with("/api/v1") {
            StatusCode::SEE_OTHER
        } else {
            StatusCode::UNAUTHORIZED
        };
        assert_eq!(nobody.status, expected, "nobody: {method} {path}");

        if !path.contains("{dataset}") && !path.contains("{job}") {
            continue;
        }
        of_datasets += 1;
        let body = (method != Method::GET).then(|| json!({}));
        let strange = app.as_(&stranger, method.clone(), &real, body.clone()).await;
        assert_eq!(strange.status, StatusCode::NOT_FOUND, "stranger: {method} {path}");
        // an open stream has no end to wait for
        if path.ends_with("/events") {
            continue;
        }
        let small = app.as_(&annotator, method.clone(), &real, body).await;
        let forbidden = (method != Method::GET && !allowed.iter().any(|a| path.ends_with(a)))
            || leads.iter().any(|l| path.contains(l));
        assert_eq!(
            small.status == StatusCode::FORBIDDEN,
            forbidden,
            "annotator: {method} {path}: {}",
            small.status
        );
    }
    assert!(of_datasets > 30, "{of_datasets}");
    for path in ["/accounts", "/api/v1/accounts", "/api/v1/audit"] {
        assert_eq!(
            app.as_(&annotator, Method::GET, path, None).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
}

#[tokio::test]
async fn lists_show_the_callers_teams_only() {
    let app = TestApp::new().await;
    app.dataset_with_samples("mine", 1).await;
    app.dataset_with_samples("theirs", 1).await;
    let ada = app.first_admin().await;
    let (id, li) = app.person(&ada, "李雷").await;
    app.join(&ada, "mine", id, "lead").await;
    for dataset in ["mine", "theirs"] {
        app.as_(&ada, Method::POST, &format!("/api/v1/datasets/{dataset}/scans"), Some(json!({}))).await;
    }
    let names = |v: Value| -> Vec<String> {
        v["items"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(app.as_(&li, Method::GET, "/api/v1/datasets", None).await.json()), ["mine"]);
    assert_eq!(names(app.as_(&ada, Method::GET, "/api/v1/datasets", None).await.json()), ["mine", "theirs"]);
    let jobs = |v: Value| v["items"].as_array().unwrap().len();
    assert_eq!(jobs(app.as_(&li, Method::GET, "/api/v1/jobs", None).await.json()), 1);
    assert_eq!(jobs(app.as_(&ada, Method::GET, "/api/v1/jobs", None).await.json()), 2);
    let hidden = app.as_(&li, Method::GET, "/api/v1/jobs?dataset=theirs", None).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    let html = String::from_utf8(app.as_(&li, Method::GET, "/", None).await.bytes).unwrap();
    assert!(html.contains("mine") && !html.contains("theirs"));
}

#[tokio::test]
async fn decisions_carry_the_name_of_who_made_them() {
    let app = TestApp::new().await;
    app.dataset_with_samples("clips", 2).await;
    let ada = app.first_admin().await;
    let (id, li) = app.person(&ada, "李雷").await;
    app.join(&ada, "clips", id, "annotator").await;
    let path = "/api/v1/datasets/clips/samples/s0/reviews";
    let decision = |author: Option<&str>| {
        let mut body = json!({"client_id": Uuid::now_v7(), "decision": "keep"});
        if let Some(author) = author {
            body["author"] = json!(author);
        }
        body
    };
    let forged = app.as_(&li, Method::POST, path, Some(decision(Some("ada")))).await;
    assert_eq!(forged.status, StatusCode::UNPROCESSABLE_ENTITY);
    let own = app.as_(&li, Method::POST, path, Some(decision(None))).await;
    assert_eq!((own.status, own.json()["author"].clone()), (StatusCode::CREATED, json!("李雷")));
}

#[tokio::test]
async fn writes_of_a_session_need_its_form_token() {
    let app = TestApp::new().await;
    let ada = app.first_admin().await;
    let body = json!({"name": "li", "password": PASSWORD});
    let without = Session { cookie: ada.cookie.clone(), form_token: String::new() };
    let other = Session { cookie: ada.cookie.clone(), form_token: "0".repeat(64) };
    for who in [&without, &other] {
        let answer = app.as_(who, Method::POST, "/api/v1/accounts", Some(body.clone())).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::FORBIDDEN, json!("form_token"))
        );
    }
    let signed_out = |token: &str| {
        let mut request = form("/sign-out", &[("form_token", token)]);
        request.headers_mut().insert("cookie", ada.cookie.parse().unwrap());
        request
    };
    assert_eq!(app.send(signed_out("0")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(app.as_(&ada, Method::GET, "/api/v1/account", None).await.status, StatusCode::OK);
    assert_eq!(app.send(signed_out(&ada.form_token)).await.status, StatusCode::SEE_OTHER);
    assert_eq!(app.as_(&ada, Method::GET, "/api/v1/account", None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_tells_nothing() {
    let app = TestApp::new().await;
    app.first_admin().await;
    let try_as = async |name: &str| {
        app.send(form("/sign-in", &[("name", name), ("password", "wrong wrong wrong")])).await
    };
    let (known, unknown) = (try_as("ada").await, try_as("nobody").await);
    assert_eq!(known.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = |a: &Answer| String::from_utf8_lossy(&a.bytes).replace("ada", "X").replace("nobody", "X");
    assert_eq!(text(&known), text(&unknown));
    for _ in 0..4 {
        try_as("ada").await;
    }
    let right = app.send(form("/sign-in", &[("name", "ADA"), ("password", PASSWORD)])).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: i64 = right.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait));
    sqlx::query("update sign_in_failures set last_at = now() - interval '1 hour'")
        .execute(app.services.store.pool())
        .await
        .unwrap();
    app.sign_in("ADA").await;
}

#[tokio::test]
async fn tokens_are_scoped_end_and_can_be_revoked() {
    let app = TestApp::new().await;
    app.dataset_with_samples("clips", 1).await;
    let ada = app.first_admin().await;
    let make = async |scopes: Value, days: i64| {
        let body = json!({"name": "script", "scopes": scopes, "days": days});
        app.as_(&ada, Method::POST, "/api/v1/account/tokens", Some(body)).await
    };
    assert_eq!(make(json!([]), 1).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(make(json!(["read"]), 366).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let made = make(json!(["read"]), 30).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let (token, id) = (made.json()["token"].clone(), made.json()["id"].clone());
    let (token, id) = (token.as_str().unwrap(), id.as_str().unwrap());
    let listed = app.as_(&ada, Method::GET, "/api/v1/account/tokens", None).await;
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(token));

    let path = "/api/v1/datasets/clips";
    assert_eq!(app.with_token(token, Method::GET, path).await.status, StatusCode::OK);
    assert_eq!(app.with_token(token, Method::DELETE, path).await.status, StatusCode::FORBIDDEN);
    for path in ["/api/v1/account/tokens"] {
        assert_eq!(app.with_token(token, Method::GET, path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(app.with_token("tamis_0", Method::GET, path).await.status, StatusCode::UNAUTHORIZED);

    sqlx::query("update api_tokens set expires_at = now() - interval '1 second'")
        .execute(app.services.store.pool())
        .await
        .unwrap();
    assert_eq!(app.with_token(token, Method::GET, path).await.status, StatusCode::UNAUTHORIZED);
    sqlx::query("update api_tokens set expires_at = now() + interval '1 day'")
        .execute(app.services.store.pool())
        .await
        .unwrap();
    assert_eq!(app.with_token(token, Method::GET, path).await.status, StatusCode::OK);
    let revoke = format!("/api/v1/account/tokens/{id}");
    assert_eq!(app.as_(&ada, Method::DELETE, &revoke, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.with_token(token, Method::GET, path).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn nobody_raises_themselves_and_an_admin_is_always_left() {
    let app = TestApp::new().await;
    app.dataset_with_samples("clips", 1).await;
    let ada = app.first_admin().await;
    let own = app.as_(&ada, Method::GET, "/api/v1/account", None).await.json()["id"].clone();
    let own = own.as_str().unwrap();
    let (id, li) = app.person(&ada, "li").await;
    app.join(&ada, "clips", id, "lead").await;

    let raise = json!({"role": "lead"});
    let path = format!("/api/v1/datasets/clips/members/{id}");
    assert_eq!(app.as_(&li, Method::PUT, &path, Some(raise)).await.status, StatusCode::FORBIDDEN);
    let path = format!("/api/v1/accounts/{own}");
    let step_down = app.as_(&ada, Method::PATCH, &path, Some(json!({"admin": false}))).await;
    assert_eq!(step_down.status, StatusCode::FORBIDDEN);

    // li becomes an admin and turns on ada: allowed, since li is left; then nobody can turn on li
    let path = format!("/api/v1/accounts/{id}");
    let raised = app.as_(&ada, Method::PATCH, &path, Some(json!({"admin": true}))).await;
    assert_eq!(raised.status, StatusCode::OK);
    let path = format!("/api/v1/accounts/{own}");
    let out = app.as_(&li, Method::PATCH, &path, Some(json!({"disabled": true}))).await;
    assert_eq!(out.status, StatusCode::OK);
    assert_eq!(app.as_(&ada, Method::GET, "/api/v1/account", None).await.status, StatusCode::UNAUTHORIZED);
    let shut = app.send(form("/sign-in", &[("name", "ada"), ("password", PASSWORD)])).await;
    assert_eq!(shut.status, StatusCode::UNPROCESSABLE_ENTITY);
    let last = app.services.store.set_account(id, Some(false), None).await;
    assert!(last.is_err());
    let trail = app.as_(&li, Method::GET, "/api/v1/audit", None).await.json();
    let actions: Vec<&str> =
        trail["items"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["account_changed", "account_changed", "member_put", "account_made"]);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let app = TestApp::new().await;
    let here = app.first_admin().await;
    let there = app.sign_in("ada").await;
    let change = |old: &str| json!({"old": old, "new": "another long password"});
    let wrong = app.as_(&here, Method::POST, "/api/v1/account/password", Some(change("guess"))).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let right = app.as_(&here, Method::POST, "/api/v1/account/password", Some(change(PASSWORD))).await;
    assert_eq!(right.status, StatusCode::NO_CONTENT);
    assert_eq!(app.as_(&here, Method::GET, "/api/v1/account", None).await.status, StatusCode::OK);
    assert_eq!(app.as_(&there, Method::GET, "/api/v1/account", None).await.status, StatusCode::UNAUTHORIZED);
}
