//! How many samples have which kind of issue. The numbers of a whole scan stand beside it; what a filter leaves of
//! them is counted where that is cheap, and else estimated from samples drawn evenly out of each kind.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::IssueKind;
use crate::store::suspects::{
    FEW, SuspectFilter, SuspectStatus, push_conditions, push_narrow, push_not_excluded,
};
use crate::store::telling::{Audience, push_decision, push_openly_excluded};
use crate::store::{Result, Store, keyword};

/// Samples of each kind that an estimate rests on: with 95 % chance it is within 3 points of the true share.
const DRAWN: i64 = 1_000;

/// Samples with a kind of issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountedIssue {
    pub kind: IssueKind,
    pub n: u64,
    /// An estimate, to two digits; absent where every sample was counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub about: bool,
}

/// Issues of a scan that is being written, counted as its filters see them.
#[derive(Debug, Default)]
pub(in crate::store) struct Tally(BTreeMap<(&'static str, String, bool), i64>);

impl Tally {
    /// `detectors`: joined by commas.
    pub(in crate::store) fn add(&mut self, kind: IssueKind, detectors: &str, cross_parent: bool) {
        *self.0.entry((kind.as_str(), detectors.to_owned(), cross_parent)).or_default() += 1;
    }

    pub(in crate::store) async fn store(self, tx: &mut PgConnection, scan: Uuid) -> Result<()> {
        let mut columns = (vec![], vec![], vec![], vec![]);
        for ((kind, detectors, cross_parent), n) in self.0 {
            columns.0.push(kind.to_owned());
            columns.1.push(detectors);
            columns.2.push(cross_parent);
            columns.3.push(n);
        }
        sqlx::query!(
            "insert into issue_counts (scan_id, kind, detectors, cross_parent, n)
             select $1, c.kind, string_to_array(c.detectors, ','), c.cross_parent, c.n
             from unnest($2::text[], $3::text[], $4::boolean[], $5::bigint[]) as c(kind, detectors, cross_parent, n)",
            scan,
            &columns.0,
            &columns.1,
            &columns.2,
            &columns.3
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// By kind.
type Numbers = HashMap<String, i64>;

/// Adds the samples of the dataset that the numbers beside the scan count and a list without a narrow filter does
/// not show: those left out, and where only open ones are asked for, those decided.
fn push_taken(q: &mut QueryBuilder<Postgres>, dataset: Uuid, open: bool, audience: Audience<'_>) {
    let most = format!(" limit {}", FEW + 1);
    q.push("select sample_id from (");
    if open {
        q.push("(select sample_id from review_status r where dataset_id = ").push_bind(dataset);
        q.push(" and r.decision <> 'unsure' and ");
        push_decision(q, audience);
        q.push(" <> 'unsure'").push(&most).push(") union ");
    }
    q.push("(select distinct sample_id from exclusions x where dataset_id = ").push_bind(dataset);
    q.push(" and lifted_at is null");
    push_openly_excluded(q, audience);
    q.push(&most).push(")) u").push(&most);
}

impl Store {
    /// Samples with each kind of issue, every kind, among those that the filter lets through; its `issue`,
    /// `field` and `all` play no part. Reads at most [`FEW`] findings, or [`DRAWN`] of each kind, at any size.
    pub async fn issue_counts(
        &self,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        audience: Audience<'_>,
    ) -> Result<Vec<CountedIssue>> {
        let stored = sqlx::query!(
            r#"select c.kind, sum(c.n)::bigint as "whole!",
                 coalesce(sum(c.n) filter (where ($3::text is null or $3 = any(c.detectors))
                   and ($4::boolean is null or c.cross_parent = $4)), 0)::bigint as "n!"
               from issue_counts c join scans s on s.id = c.scan_id
               where c.scan_id = $1 and s.dataset_id = $2 group by c.kind"#,
            scan,
            dataset,
            filter.detector.map(|d| d.as_str()),
            filter.cross_parent
        )
        .fetch_all(&self.pool)
        .await?;
        let mut counts: Vec<CountedIssue> =
            IssueKind::ALL.map(|kind| CountedIssue { kind, n: 0, about: false }).into();
        let one_by_one =
            if stored.is_empty() { None } else { self.count_few(dataset, scan, filter, audience).await? };
        let drawn = match &one_by_one {
            None if !stored.is_empty() => self.count_drawn(dataset, scan, filter, audience).await?,
            _ => HashMap::new(),
        };
        for row in stored {
            let kind = keyword("issue", &row.kind, IssueKind::parse)?;
            let (n, about) = match &one_by_one {
                Some(found) => {
                    let found = found.get(&row.kind).copied().unwrap_or(0);
                    (if filter.narrow().is_some() { found } else { row.n - found }, false)
                }
                None => {
                    let (of, hits) = drawn.get(&row.kind).copied().unwrap_or_default();
                    (scaled(row.whole, of, hits), row.whole > of)
                }
            };
            for count in counts.iter_mut().filter(|c| c.kind == kind) {
                (count.n, count.about) = (u64::try_from(n).unwrap_or(0), about && n > 0);
            }
        }
        Ok(counts)
    }

    /// What the filter shows by kind, or, where it is not narrow, what of the numbers beside the scan it does not
    /// show. `None`: these are not few.
    async fn count_few(
        &self,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        audience: Audience<'_>,
    ) -> Result<Option<Numbers>> {
        let narrow = filter.narrow();
        let mut q = QueryBuilder::new("with few as materialized (");
        match &narrow {
            Some(narrow) => push_narrow(&mut q, dataset, scan, narrow),
            None => push_taken(&mut q, dataset, filter.status == Some(SuspectStatus::Open), audience),
        }
        q.push("), found as materialized (select f.sample_id from few d cross join lateral (select * from findings x where x.scan_id = ");
        q.push_bind(scan).push(" and x.sample_id = d.sample_id offset 0) f");
        q.push(
            " left join review_status r on r.sample_id = f.sample_id where (select count(*) from few) <= ",
        );
        q.push_bind(FEW);
        if narrow.is_some() {
            push_conditions(&mut q, dataset, filter, audience);
            push_not_excluded(&mut q, audience);
        } else {
            push_conditions(&mut q, dataset, &SuspectFilter { status: None, ..filter.clone() }, audience);
        }
        q.push(
            ") select null as kind, count(*) as n from few union all \
             select i.kind, count(*) from found f cross join lateral (select x.kind from finding_issues x \
             where x.scan_id = ",
        );
        q.push_bind(scan).push(" and x.sample_id = f.sample_id offset 0) i group by i.kind");
        let rows: Vec<(Option<String>, i64)> = q.build_query_as().fetch_all(&self.pool).await?;
        let looked_at: i64 = rows.iter().filter(|(kind, _)| kind.is_none()).map(|(_, n)| n).sum();
        Ok((looked_at <= FEW).then(|| rows.into_iter().filter_map(|(kind, n)| Some((kind?, n))).collect()))
    }

    /// Of samples drawn from the order of each kind, one at a chance place of each of [`DRAWN`] stretches of it: how
    /// many there are, and how many of them the filter lets through. The same ones each time.
    async fn count_drawn(
        &self,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        audience: Audience<'_>,
    ) -> Result<HashMap<String, (i64, i64)>> {
        let mut q = QueryBuilder::new(
            "with kinds as (select kind, sum(n)::bigint as n from issue_counts where scan_id = ",
        );
        q.push_bind(scan).push(" group by kind), drawn as materialized (select k.kind, i.sample_id from (select kind, n, least(n, ");
        q.push_bind(DRAWN).push(
            ") as m from kinds) k cross join lateral generate_series(1, k.m) g cross join lateral \
             (select x.sample_id from finding_issues x where x.scan_id = ",
        );
        q.push_bind(scan).push(
            " and x.kind = k.kind and x.rank = (1 + floor((g - 1 + (hashint8(g) & 1023) / 1024.0) * k.n / k.m))::int offset 0) i) \
             select d.kind, count(*) as of, count(*) filter (where true",
        );
        push_conditions(&mut q, dataset, filter, audience);
        push_not_excluded(&mut q, audience);
        q.push(
            ") as hits from drawn d cross join lateral (select * from findings x where x.sample_id = d.sample_id \
             and x.scan_id = ",
        );
        q.push_bind(scan)
            .push(" offset 0) f left join review_status r on r.sample_id = f.sample_id group by d.kind");
        let rows: Vec<(String, i64, i64)> = q.build_query_as().fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(kind, of, hits)| (kind, (of, hits))).collect())
    }
}

/// `whole` x `hits` / `of`; to two digits where not all of the whole was looked at.
fn scaled(whole: i64, of: i64, hits: i64) -> i64 {
    if of == 0 || whole <= of {
        return hits;
    }
    let n = whole as f64 * hits as f64 / of as f64;
    let unit = 10f64.powf((n.max(1.0).log10().floor() - 1.0).max(0.0));
    ((n / unit).round() * unit) as i64
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn an_estimate_has_two_digits_and_a_count_all() {
        assert_eq!(scaled(1234, 1234, 567), 567);
        assert_eq!(scaled(300_000, 2_000, 1_999), 300_000);
        assert_eq!(scaled(300_000, 2_000, 37), 5_600); // 5,550
        assert_eq!(scaled(2_500, 2_000, 3), 4); // 3.75
        assert_eq!(scaled(2_500, 2_000, 0), 0);
        assert_eq!(scaled(10, 0, 0), 0);
    }
}
