//! Who reads the page and how: language and theme from the address, then the cookie, then the
//! browser's wishes. Templates see it as `page`; every word and number on a page passes through it.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};

use super::address;
use super::error::Failure;
use crate::domain::{Role, Viewer};
use crate::messages::Lang;
use crate::store::telling::Audience;
use crate::web::access::{As, Who, secrets, session_of};
use crate::web::assets;

/// Light, dark or high contrast, or whatever the system says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
    Contrast,
}

impl Theme {
    pub(crate) const ALL: [Theme; 4] = [Self::Auto, Self::Light, Self::Dark, Self::Contrast];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Contrast => "contrast",
        }
    }

    fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == s)
    }
}

/// One choice of a switch in the header.
pub(crate) struct Choice {
    pub(crate) value: &'static str,
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) chosen: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    pub(crate) lang: Lang,
    pub(crate) theme: Theme,
    /// Who is signed in; `None` on pages that are open to all.
    who: Option<Viewer>,
    role: Option<Role>,
    form_token: String,
    path: String,
    query: Vec<(String, String)>,
}

impl Reader {
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let query = address::parse_query(uri.query().unwrap_or(""));
        let asked = |name: &str| query.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        let cookies: Vec<(&str, &str)> = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(';'))
            .filter_map(|c| c.trim().split_once('='))
            .collect();
        let cookie = |name: &str| cookies.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
        let lang = asked("lang")
            .and_then(|l| Lang::parse(&l))
            .or_else(|| cookie("lang").and_then(|l| Lang::parse(&l)))
            .unwrap_or_else(|| {
                let accept = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
                Lang::negotiate(accept.unwrap_or(""))
            });
        let theme =
            asked("theme").or_else(|| cookie("theme")).and_then(|t| Theme::parse(&t)).unwrap_or_default();
        let form_token = session_of(headers).map(secrets::form_token).unwrap_or_default();
        Self { lang, theme, who: None, role: None, form_token, path: uri.path().to_owned(), query }
    }

    /// Name of whoever is signed in with an account.
    pub(crate) fn signed_in(&self) -> Option<&str> {
        self.who.as_ref().filter(|w| w.account.is_some()).map(|w| w.name.as_str())
    }

    pub(crate) fn account_id(&self) -> Option<uuid::Uuid> {
        self.who.as_ref().and_then(|w| w.account)
    }

    /// What only leads may do is worth showing.
    pub(crate) fn leads(&self) -> bool {
        self.who.as_ref().is_none_or(|w| w.admin || self.role == Some(Role::Lead))
    }

    /// What reviewers and leads may do (settle disagreements, decide in bulk) is worth showing.
    pub(crate) fn adjudicates(&self) -> bool {
        self.who.as_ref().is_none_or(|w| w.admin || self.role >= Some(Role::Reviewer))
    }

    /// What this person may be told of others' decisions.
    pub(crate) fn audience(&self) -> Audience<'_> {
        match &self.who {
            Some(who) if !self.adjudicates() => Audience::Annotator(&who.name),
            _ => Audience::Knowing,
        }
    }

    pub(crate) fn admin(&self) -> bool {
        self.who.as_ref().is_some_and(|w| w.admin)
    }

    /// What forms of this session send along; empty without one.
    pub(crate) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Key of a message that depends on a keyword.
    pub(crate) fn key(&self, prefix: &str, keyword: &str) -> String {
        format!("{prefix}.{keyword}")
    }

    /// The value of a query parameter; an empty one counts as absent, because forms send those.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The same, but an empty one counts as given.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// This address with one parameter changed.
    fn with(&self, name: &str, value: &str) -> String {
        let mut query: Vec<(&str, &str)> = self
            .query
            .iter()
            .filter(|(k, _)| k != name && k != "lang" && k != "theme")
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        query.push((name, value));
        format!("{}?{}", self.path, address::query(&query))
    }

    pub(crate) fn langs(&self) -> Vec<Choice> {
        Lang::ALL
            .into_iter()
            .map(|l| Choice {
                value: l.tag(),
                name: l.text("language.own_name").to_owned(),
                href: self.with("lang", l.tag()),
                chosen: l == self.lang,
            })
            .collect()
    }

    pub(crate) fn themes(&self) -> Vec<Choice> {
        Theme::ALL
            .into_iter()
            .map(|t| Choice {
                value: t.as_str(),
                name: self.lang.text(&format!("theme.{}", t.as_str())).to_owned(),
                href: self.with("theme", t.as_str()),
                chosen: t == self.theme,
            })
            .collect()
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The section of the main navigation that this page belongs to.
    pub(crate) fn section(&self) -> &'static str {
        match self.path.as_str() {
            p if p.starts_with("/jobs") => "jobs",
            p if p.starts_with("/api") => "api",
            p if p.starts_with("/account") => "people",
            _ => "datasets",
        }
    }

    pub(crate) fn t<'a>(&self, key: &'a str) -> &'a str {
        self.lang.text(key)
    }

    /// Who said something; authors that are not people are worded.
    pub(crate) fn author(&self, author: &str) -> String {
        if let Some(name) = author.strip_prefix("rule:") {
            return self.t1("author.by_rule", "name", name);
        }
        self.lang.find(&format!("author.{author}")).unwrap_or(author).to_owned()
    }

    /// A message with one parameter.
    pub(crate) fn t1(&self, key: &str, name: &str, value: impl std::fmt::Display) -> String {
        self.lang.t1(key, name, value)
    }

    /// A message with two parameters.
    pub(crate) fn t2(
        &self,
        key: &str,
        a: &str,
        first: impl std::fmt::Display,
        b: &str,
        second: impl std::fmt::Display,
    ) -> String {
        self.lang.t2(key, a, first, b, second)
    }

    pub(crate) fn number(&self, n: &i64) -> String {
        self.lang.number(*n)
    }

    pub(crate) fn asset(&self, path: &str) -> String {
        assets::url(path)
    }

    pub(crate) fn script_messages(&self) -> &'static str {
        self.lang.for_scripts()
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let who = parts.extensions.get::<Who>().map(|Who(viewer)| viewer.clone());
        let role = parts.extensions.get::<As>().and_then(|As(role)| *role);
        Ok(Self { who, role, ..Self::of(&parts.uri, &parts.headers) })
    }
}

/// Remembers a language or theme that was asked for in the address, and marks pages as depending on
/// the cookie.
pub(crate) async fn remember(request: Request, next: Next) -> Response {
    let reader = Reader::of(request.uri(), request.headers());
    let cookies: Vec<String> = [("lang", reader.lang.tag()), ("theme", reader.theme.as_str())]
        .into_iter()
        .filter(|(name, _)| reader.query(name).is_some())
        .map(|(name, value)| format!("{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax"))
        .collect();
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = failure.page(reader.clone());
    }
    let headers = response.headers_mut();
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, value);
        }
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.append(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(reader.lang.tag()));
    response
}

/// A moment, in UTC until a script puts it into the reader's own zone.
pub(crate) struct Moment {
    pub(crate) iso: String,
    pub(crate) text: String,
}

impl From<DateTime<Utc>> for Moment {
    fn from(at: DateTime<Utc>) -> Self {
        Self {
            iso: at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            text: at.format("%Y-%m-%d %H:%M UTC").to_string(),
        }
    }
}

/// `0:05`, `12:40`, `1:02:03`
pub(crate) fn clock(ms: i64) -> String {
    let s = (ms.max(0) + 500) / 1000;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// A moment in a clip: short clips need the tenth of a second, `0:01.5`, to tell their frames apart.
pub(crate) fn moment_in(ms: i64, of_ms: i64) -> String {
    if of_ms >= 60_000 {
        return clock(ms);
    }
    let tenths = (ms.max(0) + 50) / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(uri: &str, headers: &[(&'static str, &'static str)]) -> Reader {
        let mut map = HeaderMap::new();
        for (k, v) in headers {
            map.append(*k, HeaderValue::from_static(v));
        }
        Reader::of(&uri.parse().unwrap(), &map)
    }

    #[test]
    fn address_beats_cookie_beats_browser() {
        let accept = ("accept-language", "fr, zh-CN;q=0.9, en;q=0.8");
        assert_eq!(reader("/", &[accept]).lang, Lang::ZhCn);
        assert_eq!(reader("/", &[accept, ("cookie", "a=b; lang=en; theme=dark")]).lang, Lang::En);
        let r = reader("/?lang=zh-CN&theme=light", &[("cookie", "lang=en; theme=dark")]);
        assert_eq!((r.lang, r.theme), (Lang::ZhCn, Theme::Light));
        assert_eq!(reader("/?lang=xx", &[]).lang, Lang::En);
    }

    #[test]
    fn switches_keep_the_rest_of_the_address() {
        let r = reader("/datasets/d/suspects?class=a%26b&lang=en&after=30", &[]);
        let zh = r.langs().into_iter().find(|c| c.value == "zh-CN").unwrap();
        assert_eq!(zh.href, "/datasets/d/suspects?class=a%26b&after=30&lang=zh-CN");
        assert!(!zh.chosen);
    }

    #[test]
    fn clocks() {
        assert_eq!(clock(4_600), "0:05");
        assert_eq!(clock(3_723_000), "1:02:03");
        assert_eq!(moment_in(1_460, 2_000), "0:01.5");
        assert_eq!(moment_in(59_980, 59_990), "1:00.0");
        assert_eq!(moment_in(4_600, 90_000), "0:05");
    }
}
