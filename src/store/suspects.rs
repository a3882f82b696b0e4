//! The findings of a scan as reviewers walk through them: the order of review or that of one kind of issue,
//! filters, keyset paging.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::{Detector, Field, Issue, IssueKind, Neighbour, Reason};

/// Which suspects. Absent fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct SuspectFilter {
    /// Only samples with this kind of issue, the worst of the kind first, whether or not their label is
    /// suspected.
    pub issue: Option<IssueKind>,
    /// Only issues about this field; goes with `issue`.
    pub field: Option<Field>,
    /// Given or suggested class is this one, or lies under this node.
    pub class: Option<String>,
    /// Given class, exactly.
    pub given: Option<String>,
    /// Suggested class, exactly.
    pub suggested: Option<String>,
    /// Of this group of similar samples.
    pub cluster: Option<i32>,
    /// This detector agrees.
    pub detector: Option<Detector>,
    pub status: Option<SuspectStatus>,
    /// Also rows below the cut (default: flagged only). Goes without saying where an issue is asked for.
    pub all: bool,
    /// Given and suggested class under different level-1 nodes (true) or the same (false).
    pub cross_parent: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuspectStatus {
    /// Nobody has decided yet, or the last word was "unsure".
    Open,
    Kept,
    Relabelled,
    Unsure,
    /// Ambiguous, out of taxonomy, bad media or left out.
    Other,
}

/// One line of the suspects page.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Suspect {
    pub sample_id: i64,
    pub external_id: String,
    pub title: String,
    /// By suspicion of the label; 1 = most suspicious.
    pub rank: i32,
    /// Where it stands in the list that was asked for: in the order of review (by rank, with samples drawn at
    /// random in between), or among the issues of a kind.
    pub place: i32,
    pub suspicion: f32,
    /// To be reviewed: the scan doubts its label, or it was drawn at random (which is not told).
    pub flagged: bool,
    /// The label that the scan judged: the current one at the time of its snapshot.
    pub given_class: String,
    pub current_class: Option<String>,
    pub suggested_class: String,
    pub suggested_p: f32,
    pub self_confidence: f32,
    pub normalized_margin: f32,
    pub detectors: Vec<Detector>,
    pub reason: Reason,
    pub neighbours: Vec<Neighbour>,
    pub cluster: i32,
    /// At most one of each kind.
    pub issues: Vec<Issue>,
    /// Decision of the last review.
    pub review: Option<String>,
    pub has_media: bool,
    pub duration_ms: Option<i32>,
}

#[derive(FromRow)]
pub(super) struct Row {
    sample_id: i64,
    external_id: String,
    title: String,
    rank: i32,
    place: i32,
    suspicion: f32,
    flagged: bool,
    given_class: String,
    current_class: Option<String>,
    suggested_class: String,
    suggested_p: f32,
    self_confidence: f32,
    normalized_margin: f32,
    detectors: Vec<String>,
    reason: Json<Reason>,
    neighbours: Json<Vec<Neighbour>>,
    cluster: i32,
    issues: Json<Vec<Issue>>,
    review: Option<String>,
    has_media: bool,
    duration_ms: Option<i32>,
}

impl TryFrom<Row> for Suspect {
    type Error = StoreError;
    fn try_from(r: Row) -> Result<Self> {
        let mut issues = r.issues.0;
        issues.sort_by_key(Issue::kind);
        Ok(Self {
            sample_id: r.sample_id,
            external_id: r.external_id,
            title: r.title,
            rank: r.rank,
            place: r.place,
            suspicion: r.suspicion,
            flagged: r.flagged,
            given_class: r.given_class,
            current_class: r.current_class,
            suggested_class: r.suggested_class,
            suggested_p: r.suggested_p,
            self_confidence: r.self_confidence,
            normalized_margin: r.normalized_margin,
            detectors: r
                .detectors
                .iter()
                .map(|d| keyword("detector", d, Detector::parse))
                .collect::<Result<Vec<_>>>()?,
            reason: r.reason.0,
            neighbours: r.neighbours.0,
            cluster: r.cluster,
            issues,
            review: r.review,
            has_media: r.has_media,
            duration_ms: r.duration_ms,
        })
    }
}

pub(super) const COLUMNS: &str = "select f.sample_id, s.external_id, s.title, f.rank, f.suspicion, \
    (f.flagged or f.audit is not null) as flagged, f.given_class, \
    c.class as current_class, f.suggested_class, f.suggested_p, f.self_confidence, f.normalized_margin, f.detectors, \
    f.reason, f.neighbours, f.cluster, r.decision as review, s.media_state = 'ready' as has_media, s.duration_ms, \
    coalesce((select jsonb_agg(x.facts) from finding_issues x \
      where x.scan_id = f.scan_id and x.sample_id = f.sample_id), '[]') as issues, ";

/// The findings of a scan under `f`, with review status `r`; `place` is in both.
const BY_REVIEW: &str = "f.place from findings f";
const BY_ISSUE: &str = "i.rank as place from finding_issues i \
    join findings f on f.scan_id = i.scan_id and f.sample_id = i.sample_id";
pub(super) const BESIDE: &str = " join samples s on s.id = f.sample_id left join current_labels c on c.sample_id = f.sample_id \
    left join review_status r on r.sample_id = f.sample_id where s.dataset_id = ";

/// Samples that were left out since the scan are nobody's work.
pub(super) const NOT_EXCLUDED: &str =
    " and not exists (select from exclusions x where x.sample_id = f.sample_id and x.lifted_at is null)";

/// Adds what a filter asks of a finding `f` and its review status `r`, all but the issue and the cut.
pub(super) fn push_conditions(q: &mut QueryBuilder<Postgres>, dataset: Uuid, filter: &SuspectFilter) {
    if let Some(class) = &filter.class {
        // the node itself and every leaf below it
        q.push(" and exists (with recursive below as (select node from taxonomy_nodes where dataset_id = ")
            .push_bind(dataset)
            .push(" and node = ")
            .push_bind(class.clone())
            .push(
                " union all select n.node from taxonomy_nodes n join below b on n.parent = b.node where n.dataset_id = ",
            )
            .push_bind(dataset)
            .push(") select 1 from below where node = f.given_class or node = f.suggested_class)");
    }
    if let Some(given) = &filter.given {
        q.push(" and f.given_class = ").push_bind(given.clone());
    }
    if let Some(suggested) = &filter.suggested {
        q.push(" and f.suggested_class = ").push_bind(suggested.clone());
    }
    if let Some(cluster) = filter.cluster {
        q.push(" and f.cluster = ").push_bind(cluster);
    }
    if let Some(detector) = filter.detector {
        q.push(" and ").push_bind(detector.as_str()).push(" = any(f.detectors)");
    }
    if let Some(cross) = filter.cross_parent {
        q.push(" and (f.reason ->> 'cross_parent')::boolean = ").push_bind(cross);
    }
    match filter.status {
        None => {}
        Some(SuspectStatus::Open) => {
            q.push(" and (r.decision is null or r.decision = 'unsure')");
        }
        Some(SuspectStatus::Kept) => {
            q.push(" and r.decision = 'keep'");
        }
        Some(SuspectStatus::Relabelled) => {
            q.push(" and r.decision = 'relabel'");
        }
        Some(SuspectStatus::Unsure) => {
            q.push(" and r.decision = 'unsure'");
        }
        Some(SuspectStatus::Other) => {
            q.push(" and r.decision in ('ambiguous', 'out_of_taxonomy', 'bad_media', 'exclude')");
        }
    }
}

impl Store {
    /// The query and the column that orders it.
    fn suspects_query(
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
    ) -> (QueryBuilder<Postgres>, &'static str) {
        let mut q = QueryBuilder::new(COLUMNS);
        q.push(if filter.issue.is_some() { BY_ISSUE } else { BY_REVIEW }).push(BESIDE);
        q.push_bind(dataset).push(" and f.scan_id = ").push_bind(scan);
        match filter.issue {
            Some(kind) => {
                // said again of the issues: their index begins with the scan
                q.push(" and i.scan_id = ").push_bind(scan).push(" and i.kind = ").push_bind(kind.as_str());
                if let Some(field) = filter.field {
                    q.push(" and ").push_bind(field.as_str()).push(" = any(i.fields)");
                }
            }
            None if !filter.all => {
                q.push(" and (f.flagged or f.audit is not null)");
            }
            None => {}
        }
        push_conditions(&mut q, dataset, filter);
        (q, if filter.issue.is_some() { "i.rank" } else { "f.place" })
    }

    /// Suspects after `after` (a place; 0: from the top), in the order of review, or of the kind of issue.
    pub async fn suspects(
        &self,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        after: i32,
        limit: i64,
    ) -> Result<Page<Suspect>> {
        let (mut q, place) = Self::suspects_query(dataset, scan, filter);
        q.push(NOT_EXCLUDED);
        q.push(format_args!(" and {place} > "))
            .push_bind(after)
            .push(format_args!(" order by {place} limit "))
            .push_bind(limit + 1);
        let rows: Vec<Row> = q.build_query_as().fetch_all(&self.pool).await?;
        let suspects = rows.into_iter().map(Suspect::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(suspects, limit, |s| s.place.to_string()))
    }

    /// Suspects before `before` (a place), nearest first: for turning pages back.
    pub async fn suspects_before(
        &self,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        before: i32,
        limit: i64,
    ) -> Result<Page<Suspect>> {
        let (mut q, place) = Self::suspects_query(dataset, scan, filter);
        q.push(NOT_EXCLUDED);
        q.push(format_args!(" and {place} < "))
            .push_bind(before)
            .push(format_args!(" order by {place} desc limit "))
            .push_bind(limit + 1);
        let rows: Vec<Row> = q.build_query_as().fetch_all(&self.pool).await?;
        let suspects = rows.into_iter().map(Suspect::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(suspects, limit, |s| s.place.to_string()))
    }
}
