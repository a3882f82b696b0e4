//! The part of a filter that an index answers. Where it leaves few findings, these are looked at one by one,
//! whatever the size of the scan.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{SuspectFilter, push_below};
use crate::store::{Result, Store};

/// Findings that are looked at one by one at most: some tens of milliseconds.
pub(in crate::store) const FEW: i64 = 5_000;

/// What leaves few findings, as a rule.
#[derive(Clone, Debug)]
pub(in crate::store) enum Narrow<'a> {
    Cluster(i32),
    Labels {
        given: Option<&'a str>,
        suggested: Option<&'a str>,
    },
    /// Given or suggested is this node or lies under it.
    Class(&'a str),
    /// The last word on the sample is one of these.
    Said(&'static [&'static str]),
}

impl SuspectFilter {
    pub(in crate::store) fn narrow(&self) -> Option<Narrow<'_>> {
        let (given, suggested) = (self.given.as_deref(), self.suggested.as_deref());
        if let Some(cluster) = self.cluster {
            return Some(Narrow::Cluster(cluster));
        }
        if given.is_some() || suggested.is_some() {
            return Some(Narrow::Labels { given, suggested });
        }
        if let Some(class) = &self.class {
            return Some(Narrow::Class(class));
        }
        self.status.and_then(|s| s.decisions()).map(Narrow::Said)
    }
}

/// Adds a query for `sample_id`: what passes, [`FEW`] and one more at most; those of [`Narrow::Said`] of the whole
/// dataset.
pub(in crate::store) fn push_narrow(
    q: &mut QueryBuilder<Postgres>,
    dataset: Uuid,
    scan: Uuid,
    narrow: &Narrow<'_>,
) {
    let most = format!(" limit {}", FEW + 1);
    match narrow {
        Narrow::Cluster(cluster) => {
            q.push("select sample_id from findings where scan_id = ").push_bind(scan);
            q.push(" and cluster = ").push_bind(*cluster);
        }
        Narrow::Labels { given, suggested } => {
            q.push("select sample_id from findings where scan_id = ").push_bind(scan);
            for (column, class) in [("given_class", given), ("suggested_class", suggested)] {
                if let Some(class) = class {
                    q.push(format_args!(" and {column} = ")).push_bind((*class).to_owned());
                }
            }
        }
        Narrow::Class(class) => {
            q.push("select sample_id from (");
            for (column, between) in [("given_class", " union "), ("suggested_class", "")] {
                q.push("(select sample_id from findings where scan_id = ").push_bind(scan);
                q.push(format_args!(" and {column} = "));
                push_below(q, dataset, class);
                q.push(&most).push(")").push(between);
            }
            q.push(") u");
        }
        Narrow::Said(decisions) => {
            q.push("select sample_id from review_status where dataset_id = ").push_bind(dataset);
            q.push(" and decision = any(").push_bind(*decisions).push(")");
        }
    }
    q.push(&most);
}

impl Store {
    /// What passes `narrow` can be looked at one by one.
    pub(in crate::store) async fn is_few(
        &self,
        dataset: Uuid,
        scan: Uuid,
        narrow: &Narrow<'_>,
    ) -> Result<bool> {
        let mut q = QueryBuilder::new("select count(*) from (");
        push_narrow(&mut q, dataset, scan, narrow);
        q.push(") d");
        let n: i64 = q.build_query_scalar().fetch_one(&self.pool).await?;
        Ok(n <= FEW)
    }
}
