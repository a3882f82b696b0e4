//! Signing in by an OpenID provider: a real one in miniature, over HTTP on this machine, with discovery,
//! keys, codes that are good once, PKCE, and ID tokens signed with RS256.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openidconnect::core::{CoreJwsSigningAlgorithm, CoreRsaPrivateSigningKey};
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use rsa::pkcs1::{EncodeRsaPrivateKey, LineEnding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::people::Session;
use crate::support::{Answer, TestApp};

const CLIENT: &str = "tamis-test";
const SECRET: &str = "a secret / with: signs";

/// One key for all tests: making it takes a while.
async fn signing_key() -> &'static str {
    static KEY: OnceCell<String> = OnceCell::const_new();
    KEY.get_or_init(|| async {
        let key = tokio::task::spawn_blocking(|| rsa::RsaPrivateKey::new(&mut rand::rngs::OsRng, 2048));
        key.await.unwrap().unwrap().to_pkcs1_pem(LineEnding::LF).unwrap().to_string()
    })
    .await
}

/// A sign-in that waits for its code to be redeemed.
#[derive(Clone)]
struct Granted {
    nonce: String,
    challenge: String,
    redirect: String,
}

#[derive(Clone)]
struct Provider {
    issuer: String,
    granted: Arc<Mutex<HashMap<String, Granted>>>,
    /// Claims that take the place of the honest ones.
    claims: Arc<Mutex<Value>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let provider =
            Self { issuer, granted: Arc::default(), claims: Arc::new(Mutex::new(json!({"sub": "u-1"}))) };
        let describe = async |State(p): State<Self>| {
            let at = |path: &str| format!("{}{path}", p.issuer);
            Json(json!({
                "issuer": p.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
                "jwks_uri": at("/keys"), "response_types_supported": ["code"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            }))
        };
        let keys = async || {
            let key = private_key().await;
            Json(json!({"keys": [key.as_verification_key()]}))
        };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        provider
    }

    /// What a person does at the provider: looks at the request, agrees, and is sent back. The address.
    fn agree(&self, asked: &str) -> String {
        let (address, query) = asked.split_once('?').unwrap();
        assert_eq!(address, format!("{}/authorize", self.issuer));
        let query: HashMap<String, String> = serde_urlencoded(query);
        assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", CLIENT));
        assert!(query["scope"].split(' ').any(|s| s == "openid"), "{}", query["scope"]);
        assert_eq!(query["code_challenge_method"], "S256");
        let code = uuid::Uuid::new_v4().to_string();
        let granted = Granted {
            nonce: query["nonce"].clone(),
            challenge: query["code_challenge"].clone(),
            redirect: query["redirect_uri"].clone(),
        };
        let path = granted.redirect.split_once("://").unwrap().1.split_once('/').unwrap().1.to_owned();
        self.granted.lock().unwrap().insert(code.clone(), granted);
        format!("/{path}?code={code}&state={}", query["state"])
    }
}

fn serde_urlencoded(query: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://x/?{query}")).unwrap();
    url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

async fn private_key() -> CoreRsaPrivateSigningKey {
    let id = Some(JsonWebKeyId::new("k1".into()));
    CoreRsaPrivateSigningKey::from_pem(signing_key().await, id).unwrap()
}

/// The token endpoint: checks the client, the code, the PKCE verifier and the redirect address.
async fn token(
    State(p): State<Provider>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    let refuse = || (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"})));
    // RFC 6749, 2.3.1: both parts are form-encoded before they are joined
    let client = format!("{CLIENT}:a+secret+%2F+with%3A+signs");
    let expected = format!("Basic {}", STANDARD.encode(client));
    if headers.get(header::AUTHORIZATION).is_none_or(|v| *v != expected) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"})));
    }
    let Some(granted) = p.granted.lock().unwrap().remove(&form["code"]) else { return refuse() };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    if challenge != granted.challenge || form["redirect_uri"] != granted.redirect {
        return refuse();
    }
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": p.issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": granted.nonce,
    });
    for (name, value) in p.claims.lock().unwrap().as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "RS256", "kid": "k1"})), part(&claims));
    let algorithm = CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256;
    let signature = private_key().await.sign(&algorithm, signed.as_bytes()).unwrap();
    let id_token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let tokens = json!({"access_token": "x", "token_type": "Bearer", "id_token": id_token});
    (StatusCode::OK, Json(tokens))
}

async fn app(provider: &Provider, create_accounts: bool) -> TestApp {
    let client_secret: tamis::config::Secret = serde_json::from_value(json!(SECRET)).unwrap();
    let issuer = provider.issuer.clone();
    TestApp::with(move |c| {
        c.oidc.issuer = issuer;
        c.oidc.client_id = CLIENT.into();
        c.oidc.client_secret = client_secret;
        c.oidc.label = "Work login".into();
        c.oidc.create_accounts = create_accounts;
    })
    .await
}

/// The cookie that an answer sets, as the browser sends it back.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let set = answer.headers.get_all(header::SET_COOKIE).iter().map(|v| v.to_str().unwrap());
    let start = format!("{name}=");
    set.filter(|s| s.starts_with(&start)).map(|s| s.split(';').next().unwrap().to_owned()).next()
}

async fn get_with(app: &TestApp, path: &str, cookies: &[&str]) -> Answer {
    let request = axum::http::Request::get(path).header("cookie", cookies.join("; "));
    app.send(request.body(axum::body::Body::empty()).unwrap()).await
}

/// To the provider: its address, and the browser's cookie.
async fn depart(app: &TestApp, path: &str, cookies: &[&str]) -> (String, String) {
    let sent = get_with(app, path, cookies).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", String::from_utf8_lossy(&sent.bytes));
    (sent.header("location").to_owned(), cookie(&sent, "tamis_sign_in").unwrap())
}

/// A whole sign-in; the answer to the browser that comes back.
async fn sign_in(app: &TestApp, provider: &Provider) -> Answer {
    let (away, own) = depart(app, "/sign-in/oidc?next=/jobs", &[]).await;
    get_with(app, &provider.agree(&away), &[&own]).await
}

async fn name_of(app: &TestApp, answer: &Answer) -> Value {
    let session = cookie(answer, "tamis_session").expect("no session");
    get_with(app, "/api/v1/account", &[&session]).await.json()["name"].clone()
}

#[tokio::test]
async fn whom_the_provider_vouches_for_gets_an_account_of_their_own() {
    let provider = Provider::start().await;
    let app = app(&provider, true).await;
    assert_eq!(app.get("/sign-in/oidc").await.header("location"), "/setup");
    app.first_admin().await;
    let form = app.get("/sign-in").await;
    assert!(String::from_utf8_lossy(&form.bytes).contains("Work login"));

    *provider.claims.lock().unwrap() = json!({"sub": "u-1", "preferred_username": "li"});
    let first = sign_in(&app, &provider).await;
    assert_eq!((first.status, first.header("location")), (StatusCode::SEE_OTHER, "/jobs"));
    assert_eq!(name_of(&app, &first).await, "li");
    // the name at the provider may change; the account is the same
    *provider.claims.lock().unwrap() = json!({"sub": "u-1", "preferred_username": "ada"});
    assert_eq!(name_of(&app, &sign_in(&app, &provider).await).await, "li");
    // somebody else who is called like the admin does not become the admin
    *provider.claims.lock().unwrap() = json!({"sub": "u-2", "preferred_username": "Ada", "email": "ADA"});
    let other = sign_in(&app, &provider).await;
    assert_eq!(name_of(&app, &other).await, "Ada 2");
    let session = cookie(&other, "tamis_session").unwrap();
    assert_eq!(get_with(&app, "/accounts", &[&session]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_not_signed_for_this_sign_in_is_not_believed() {
    let provider = Provider::start().await;
    let app = app(&provider, true).await;
    app.first_admin().await;
    let now = chrono::Utc::now().timestamp();
    for claims in [
        json!({"sub": "u-1", "nonce": "another"}),
        json!({"sub": "u-1", "aud": "another-client"}),
        json!({"sub": "u-1", "iss": "http://evil.example"}),
        json!({"sub": "u-1", "exp": now - 600}),
    ] {
        *provider.claims.lock().unwrap() = claims.clone();
        let refused = sign_in(&app, &provider).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{claims}");
        assert!(cookie(&refused, "tamis_session").is_none(), "{claims}");
    }
    *provider.claims.lock().unwrap() = json!({"sub": "u-1"});
    // in another browser, twice, without a code, with a made-up state
    let (away, own) = depart(&app, "/sign-in/oidc", &[]).await;
    let (_, others) = depart(&app, "/sign-in/oidc", &[]).await;
    let back = provider.agree(&away);
    for cookies in [vec![], vec![others.as_str()]] {
        assert_eq!(get_with(&app, &back, &cookies).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(get_with(&app, &back, &[&own]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(get_with(&app, &back, &[&own]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let made_up = "/sign-in/oidc/callback?code=x&state=y";
    assert_eq!(get_with(&app, made_up, &[&own]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let (away, own) = depart(&app, "/sign-in/oidc", &[]).await;
    let denied = provider.agree(&away).replace("code=", "error=access_denied&x=");
    assert_eq!(get_with(&app, &denied, &[&own]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn where_admins_make_accounts_their_owners_connect_them() {
    let provider = Provider::start().await;
    let app = app(&provider, false).await;
    let ada = app.first_admin().await;
    let unknown = sign_in(&app, &provider).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);

    let (account, li) = app.person(&ada, "li").await;
    let connect = async |who: &Session| {
        let (away, own) = depart(&app, "/sign-in/oidc?connect=yes", &[&who.cookie]).await;
        get_with(&app, &provider.agree(&away), &[&own, &who.cookie]).await
    };
    let connected = connect(&li).await;
    assert_eq!((connected.status, connected.header("location")), (StatusCode::SEE_OTHER, "/account"));
    assert_eq!(name_of(&app, &sign_in(&app, &provider).await).await, "li");
    // one identity, one account
    let taken = connect(&ada).await;
    assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(String::from_utf8_lossy(&taken.bytes).contains("belongs to another account"));
    // who began is not who came back
    let (away, own) = depart(&app, "/sign-in/oidc?connect=yes", &[&ada.cookie]).await;
    let swapped = get_with(&app, &provider.agree(&away), &[&own, &li.cookie]).await;
    assert_eq!(swapped.status, StatusCode::UNPROCESSABLE_ENTITY);

    let path = format!("/api/v1/accounts/{account}");
    assert!(app.as_(&ada, Method::PATCH, &path, Some(json!({"disabled": true}))).await.status.is_success());
    let disabled = sign_in(&app, &provider).await;
    assert_eq!(disabled.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(cookie(&disabled, "tamis_session").is_none());
}

#[tokio::test]
async fn a_provider_that_is_away_stops_nobody_with_a_password() {
    let gone =
        Provider { issuer: "http://127.0.0.1:9".into(), granted: Arc::default(), claims: Arc::default() };
    let app = app(&gone, true).await;
    app.first_admin().await;
    let answer = app.get("/sign-in/oidc").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let html = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(html.contains("Work login does not answer") && html.contains("type=\"password\""), "{html}");
    // without a provider there is no such page
    let plain = TestApp::new().await;
    assert_eq!(plain.get("/sign-in/oidc").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn too_many_requests_of_one_account_wait() {
    let app = TestApp::with(|c| c.server.requests_per_minute = 50).await;
    let ada = app.first_admin().await;
    let statuses: Vec<Answer> = {
        let mut all = Vec::new();
        for _ in 0..30 {
            all.push(app.as_(&ada, Method::GET, "/api/v1/account", None).await);
        }
        all
    };
    assert_eq!(statuses[0].status, StatusCode::OK);
    let refused = statuses.iter().find(|a| a.status == StatusCode::TOO_MANY_REQUESTS).expect("never refused");
    refused.problem(429, "too_many_requests");
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|s| (1..=60).contains(&s)));
    assert_eq!(app.get("/healthz").await.status, StatusCode::OK);
}
