//! What stands between the network and the handlers while there is no sign-in: only requests that
//! name this machine (a DNS-rebinding page names its own), and no writes from other sites' pages.
//! Also the security headers of every answer.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use crate::jobs::Services;

const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; media-src 'self'; \
     style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; \
     form-action 'self'";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses requests for other names than this machine's, unless remote use was allowed.
pub(crate) async fn host(State(services): State<Services>, request: Request, next: Next) -> Response {
    let server = &services.config.server;
    if server.allow_remote || host_allowed(&request, server.bind) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "host_not_allowed",
        "this service answers only to the names of its own machine; --allow-remote changes that",
    )
    .into_response()
}

/// The Host header, and the address line where it names a host, must both be ours.
fn host_allowed(request: &Request, bind: SocketAddr) -> bool {
    let header = request.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    let mut named = false;
    for name in [header, request.uri().authority().map(Authority::as_str)].into_iter().flatten() {
        named = true;
        if !is_local(name, bind) {
            return false;
        }
    }
    named
}

/// `localhost`, a name under it, a loopback address, or the address the service is bound to.
fn is_local(host: &str, bind: SocketAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == bind.ip(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Refuses writes that another site's page sent.
pub(crate) async fn csrf(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if safe || same_origin(request.headers()) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::FORBIDDEN,
        "cross_site",
        "writes are taken from this service's own pages and from programs, not from other sites' pages",
    )
    .into_response()
}

/// Browsers say where a request comes from; programs say nothing.
fn same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, rest)| rest);
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    matches!((origin, host), (Some(o), Some(h)) if o.eq_ignore_ascii_case(h))
}

/// Sets what a handler has not set itself.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let out = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        out.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_names_pass() {
        let bind: SocketAddr = "192.168.7.5:8080".parse().unwrap();
        for (host, ok) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("a.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("127.8.8.8", true),
            ("[::1]:8080", true),
            ("192.168.7.5:8080", true),
            ("192.168.7.6", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("notlocalhost", false),
            ("localhost@evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_local(host, bind), ok, "{host}");
        }
    }

    #[test]
    fn writes_from_other_sites_are_told_apart() {
        let with = |pairs: &[(&'static str, &'static str)]| {
            let mut h = HeaderMap::new();
            for (k, v) in pairs {
                h.insert(*k, HeaderValue::from_static(v));
            }
            same_origin(&h)
        };
        assert!(with(&[("host", "localhost:8080")]));
        assert!(with(&[("sec-fetch-site", "same-origin")]));
        assert!(with(&[("sec-fetch-site", "none")]));
        assert!(!with(&[("sec-fetch-site", "same-site")]));
        assert!(!with(&[("sec-fetch-site", "cross-site"), ("origin", "http://l"), ("host", "l")]));
        assert!(with(&[("origin", "http://localhost:8080"), ("host", "localhost:8080")]));
        assert!(!with(&[("origin", "http://localhost:9090"), ("host", "localhost:8080")]));
        assert!(!with(&[("origin", "null"), ("host", "localhost:8080")]));
    }
}
