//! Requests to addresses that people typed: webhooks. One client for all of them, and one guard: a name is
//! resolved, every address that it has must be a public one, and the connection goes to an address that was
//! checked (so a name that changes its mind between check and connection gains nothing). No redirects, no
//! proxy, limits on time; the body of an answer is never read, so nothing of it can leak into an error.
//!
//! The advisories that this is the answer to: SSRF by webhook and import URLs, DNS rebinding, bodies echoed
//! in errors (GHSA-p59w-9gqw-wj8r, GHSA-m238-fmcw-wh58).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};

/// From the first byte to the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest accepted address, in bytes.
const MAX_URL: usize = 2000;

/// Why nothing was sent, or no answer came. The words are for people and name no address that was resolved.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutboundError {
    #[error("the address is not a URL that begins with https:// or http://")]
    NotAUrl,
    #[error("the address holds a user name or password")]
    Credentials,
    #[error("the address leads to this machine or a private network")]
    NotPublic,
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("no connection")]
    NoConnection,
    #[error("the request broke off")]
    BrokeOff,
}

/// A client for addresses that people typed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client,
    allow_private: bool,
}

impl Outbound {
    /// `allow_private`: also to this machine and private networks, for services that live beside this one.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(allow_private: bool) -> Result<Self, reqwest::Error> {
        let client = plain()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(Arc::new(Guarded { allow_private }))
            .build()?;
        Ok(Self { client, allow_private })
    }

    /// Whether this address may be asked for at all: a URL without credentials that does not spell a
    /// private address. What a name resolves to is checked when it is used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, url: &str) -> Result<Url, OutboundError> {
        if url.len() > MAX_URL {
            return Err(OutboundError::NotAUrl);
        }
        // the parser also brings 0x7f.1 and 2130706433 into the form that the check below knows
        let url = Url::parse(url).map_err(|_| OutboundError::NotAUrl)?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
            return Err(OutboundError::NotAUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::Credentials);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if !self.allow_private && host.parse::<IpAddr>().is_ok_and(|ip| !is_public(ip)) {
            return Err(OutboundError::NotPublic);
        }
        Ok(url)
    }

    /// Sends `body` as JSON and answers with the status. Up to ten seconds.
    ///
    /// # Errors
    /// As [`Self::check`], and when no answer comes.
    pub async fn post_json(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<u16, OutboundError> {
        let mut request = self.client.post(self.check(url)?).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.body(body).send().await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(e) if is_refused_address(&e) => Err(OutboundError::NotPublic),
            Err(e) if e.is_timeout() => Err(OutboundError::TimedOut),
            Err(e) if e.is_connect() => Err(OutboundError::NoConnection),
            Err(_) => Err(OutboundError::BrokeOff),
        }
    }
}

/// Without redirects, proxies of the environment, or a second TLS library.
pub fn plain() -> reqwest::ClientBuilder {
    // whoever comes first sets it; the others find it set
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("tamis/", env!("CARGO_PKG_VERSION")))
}

/// Resolves names, and refuses those that have an address inside.
struct Guarded {
    allow_private: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("an address inside")]
struct Inside;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !allow_private && found.iter().any(|a| !is_public(a.ip())) {
                return Err(Box::new(Inside) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn is_refused_address(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.is::<Inside>() {
            return true;
        }
        cause = e.source();
    }
    false
}

/// An address of the public internet: what the IANA registries of special-purpose addresses leave.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        // carrier-grade NAT, protocol assignments, 6to4 relays, benchmarks
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // an IPv4 address in other clothes: mapped, translated (NAT64), 6to4
        [0, 0, 0, 0, 0, 0xffff, h, l] | [0x64, 0xff9b, 0, 0, 0, 0, h, l] => embedded(h, l),
        [0x2002, h, l, ..] => embedded(h, l),
        // Teredo and other protocol assignments, documentation
        [0x2001, b, ..] if b < 0x200 || b == 0xdb8 => false,
        [0x3fff, b, ..] if b < 0x1000 => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for (ip, public) in [
            ("8.8.8.8", true),
            ("223.5.5.5", true),
            ("2606:4700:4700::1111", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("192.0.0.8", false),
            ("198.18.0.1", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("2002:7f00:1::", false),
            ("2001:0:1::1", false),
            ("2001:db8::1", false),
            ("fc00::1", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }

    #[test]
    fn addresses_are_refused_in_any_spelling() {
        let out = Outbound::new(false).unwrap();
        assert!(out.check("https://hooks.example.org/a?b=c").is_ok());
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1:8080/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(out.check(url), Err(OutboundError::NotPublic), "{url}");
            assert!(Outbound::new(true).unwrap().check(url).is_ok(), "{url}");
        }
        for url in
            ["", "hooks.example.org", "ftp://a.example/", "file:///etc/passwd", "javascript:1", "https://"]
        {
            assert_eq!(out.check(url), Err(OutboundError::NotAUrl), "{url}");
        }
        assert_eq!(out.check("https://a:b@c.example/"), Err(OutboundError::Credentials));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_when_it_is_used() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", server.local_addr().unwrap().port());
        let guarded = Outbound::new(false).unwrap();
        assert!(guarded.check(&url).is_ok(), "names are looked up only when they are used");
        assert_eq!(guarded.post_json(&url, &[], b"{}".to_vec()).await, Err(OutboundError::NotPublic));
        let nobody = tokio::time::timeout(Duration::from_millis(100), server.accept()).await;
        assert!(nobody.is_err(), "somebody connected");
    }
}
