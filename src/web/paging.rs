//! Cursor paging as every list of the API does it: `?cursor=…&limit=…` in, `{items, next}` out.
//!
//! A cursor names the last item of the page before, so a page costs the same however deep it lies
//! and nothing is skipped or shown twice when rows are added meanwhile. Clients pass it on unread.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Problem;
use super::extract::Query;
use crate::store;

const DEFAULT_LIMIT: i64 = 30;
const MAX_LIMIT: i64 = 200;

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Paged<T> {
    pub(crate) items: Vec<T>,
    /// Pass it as `cursor` for the page after this one; null on the last page.
    pub(crate) next: Option<String>,
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// `next` of the page before; left out for the first page.
    pub(crate) cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 200, default = 30)]
    pub(crate) limit: Option<i64>,
}

/// Checked paging parameters. `kind` in the methods names the list, so that a cursor of another
/// list is refused instead of misread.
#[derive(Clone, Debug)]
pub(crate) struct Paging {
    pub(crate) limit: i64,
    cursor: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(PageParams { cursor, limit }) = Query::from_request_parts(parts, state).await?;
        Ok(Self { limit: check_limit(limit)?, cursor: cursor.filter(|c| !c.is_empty()) })
    }
}

/// 1..=200, 30 when absent.
pub(crate) fn check_limit(limit: Option<i64>) -> Result<i64, Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::invalid("limit", "limit_range", format!("limit must be 1 to {MAX_LIMIT}, is {limit}")))
    }
}

impl Paging {
    /// What the cursor says, in the list's own terms; `None` for the first page.
    pub(crate) fn after<T: FromStr>(&self, kind: &str) -> Result<Option<T>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let value = hex::decode(cursor).ok().and_then(|b| String::from_utf8(b).ok());
        value
            .as_deref()
            .and_then(|v| v.strip_prefix(kind)?.strip_prefix(':')?.parse().ok())
            .map(Some)
            .ok_or_else(|| {
                Problem::invalid("cursor", "bad_cursor", "this cursor belongs to no page of this list")
            })
    }

    /// Pages through a list that is short enough to be read whole.
    pub(crate) fn cut<T>(&self, kind: &str, items: Vec<T>) -> Result<Paged<T>, Problem> {
        let from: usize = self.after(kind)?.unwrap_or(0);
        let limit = usize::try_from(self.limit).unwrap_or(0);
        let next = (items.len() > from.saturating_add(limit)).then(|| encode(kind, from + limit));
        Ok(Paged { items: items.into_iter().skip(from).take(limit).collect(), next })
    }
}

impl<T> Paged<T> {
    pub(crate) fn of(kind: &str, page: store::Page<T>) -> Self {
        Self { items: page.items, next: page.next.map(|n| encode(kind, n)) }
    }
}

fn encode(kind: &str, value: impl std::fmt::Display) -> String {
    hex::encode(format!("{kind}:{value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(cursor: Option<String>, limit: i64) -> Paging {
        Paging { limit, cursor }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = encode("samples", 7);
        assert_eq!(paging(Some(cursor.clone()), 5).after::<i64>("samples").unwrap(), Some(7));
        assert!(paging(Some(cursor), 5).after::<i64>("jobs").is_err());
        assert!(paging(Some("zz".into()), 5).after::<i64>("samples").is_err());
        assert_eq!(paging(None, 5).after::<i64>("samples").unwrap(), None);
    }

    #[test]
    fn cutting_shows_everything_once() {
        let all: Vec<u32> = (0..7).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = paging(cursor, 3).cut("n", all.clone()).unwrap();
            seen.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert_eq!(paging(None, 7).cut("n", all).unwrap().next, None);
    }

    #[test]
    fn limits_have_bounds() {
        assert_eq!(check_limit(None).unwrap(), 30);
        assert!(check_limit(Some(0)).is_err());
        assert!(check_limit(Some(201)).is_err());
    }
}
