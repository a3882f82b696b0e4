//! The findings of a scan as reviewers walk through them: the order of review or that of one kind of issue,
//! filters, keyset paging.

mod narrow;

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

pub(super) use self::narrow::{FEW, push_narrow};
use super::telling::{Audience, Tells, Told, push_decision, push_excluded, push_judged_openly};
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

impl SuspectStatus {
    /// The last words that it stands for; `None`: there may be none at all.
    fn decisions(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Open => None,
            Self::Kept => Some(&["keep"]),
            Self::Relabelled => Some(&["relabel"]),
            Self::Unsure => Some(&["unsure"]),
            Self::Other => Some(&["ambiguous", "out_of_taxonomy", "bad_media", "exclude"]),
        }
    }
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

impl Tells for Suspect {
    fn sample(&self) -> i64 {
        self.sample_id
    }

    fn tell(&mut self, told: &Told) {
        self.current_class.clone_from(&told.class);
        self.review.clone_from(&told.decision);
    }
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

pub(super) const BESIDE: &str = " join samples s on s.id = f.sample_id left join current_labels c on c.sample_id = f.sample_id \
    left join review_status r on r.sample_id = f.sample_id where s.dataset_id = ";

/// Adds that the sample of a finding `f` was not left out since the scan: that is nobody's work.
pub(super) fn push_not_excluded(q: &mut QueryBuilder<Postgres>, audience: Audience<'_>) {
    q.push(" and not ");
    push_excluded(q, "f.sample_id", audience);
}

/// Adds an array of the leaves and nodes that are `class` or lie under it, read once.
fn push_below(q: &mut QueryBuilder<Postgres>, dataset: Uuid, class: &str) {
    q.push("any(array(with recursive below as (select node from taxonomy_nodes where dataset_id = ")
        .push_bind(dataset)
        .push(" and node = ")
        .push_bind(class.to_owned())
        .push(
            " union all select n.node from taxonomy_nodes n join below b on n.parent = b.node where n.dataset_id = ",
        )
        .push_bind(dataset)
        .push(") select node from below))");
}

/// Where the findings `f` of a filter come from, and their issues `i` where it asks for a kind.
pub(super) fn source(filter: &SuspectFilter) -> &'static str {
    match filter.issue {
        Some(_) => "finding_issues i join findings f on f.scan_id = i.scan_id and f.sample_id = i.sample_id",
        None => "findings f",
    }
}

/// The column that orders the list of a filter.
pub(super) fn place(filter: &SuspectFilter) -> &'static str {
    if filter.issue.is_some() { "i.rank" } else { "f.place" }
}

/// Adds what the kind of issue and the cut ask of a finding `f` and its issue `i`.
pub(super) fn push_kind(q: &mut QueryBuilder<Postgres>, scan: Option<Uuid>, filter: &SuspectFilter) {
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
}

/// Adds what a filter asks of a finding `f` and its review status `r`, all but the issue and the cut.
pub(super) fn push_conditions(
    q: &mut QueryBuilder<Postgres>,
    dataset: Uuid,
    filter: &SuspectFilter,
    audience: Audience<'_>,
) {
    push_judged_openly(q, audience);
    if let Some(class) = &filter.class {
        q.push(" and (f.given_class = ");
        push_below(q, dataset, class);
        q.push(" or f.suggested_class = ");
        push_below(q, dataset, class);
        q.push(")");
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
    if let Some(status) = filter.status {
        let decisions = status.decisions();
        q.push(if decisions.is_none() { " and coalesce(" } else { " and (" });
        push_decision(q, audience);
        match decisions {
            None => q.push(", 'unsure') = 'unsure'"),
            Some(decisions) => q.push(") = any(").push_bind(decisions).push(")"),
        };
    }
}

impl Store {
    /// Suspects after `after` (a place; 0: from the top), in the order of review, or of the kind of issue.
    pub async fn suspects(
        &self,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        audience: Audience<'_>,
        after: i32,
        limit: i64,
    ) -> Result<Page<Suspect>> {
        self.suspects_from((dataset, scan), filter, audience, (">", after, ""), limit).await
    }

    /// Suspects before `before` (a place), nearest first: for turning pages back.
    pub async fn suspects_before(
        &self,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        audience: Audience<'_>,
        before: i32,
        limit: i64,
    ) -> Result<Page<Suspect>> {
        self.suspects_from((dataset, scan), filter, audience, ("<", before, " desc"), limit).await
    }

    /// Which they are first, then the wide rows of these few.
    async fn suspects_from(
        &self,
        (dataset, scan): (Uuid, Uuid),
        filter: &SuspectFilter,
        audience: Audience<'_>,
        (side, from, direction): (&'static str, i32, &'static str),
        limit: i64,
    ) -> Result<Page<Suspect>> {
        let place = place(filter);
        let mut q = QueryBuilder::new("with page as materialized (select f.sample_id, ");
        q.push(place).push(" as place");
        self.push_listed(&mut q, dataset, scan, filter, audience).await?;
        q.push(format_args!(" and {place} {side} ")).push_bind(from);
        q.push(format_args!(" order by {place}{direction} limit ")).push_bind(limit + 1).push(") ");
        q.push(COLUMNS)
            .push("p.place from page p join findings f on f.sample_id = p.sample_id and f.scan_id = ");
        q.push_bind(scan).push(BESIDE).push_bind(dataset);
        q.push(format_args!(" order by p.place{direction}"));
        let rows: Vec<Row> = q.build_query_as().fetch_all(&self.pool).await?;
        let mut suspects = rows.into_iter().map(Suspect::try_from).collect::<Result<Vec<_>>>()?;
        self.tell(dataset, audience, &mut suspects).await?;
        Ok(Page::cut(suspects, limit, |s| s.place.to_string()))
    }

    /// Adds `from … where …` for the findings `f` of the scan that the filter lists. Those few that an index finds
    /// are taken one by one; else it is left to whoever reads on along the order.
    pub(super) async fn push_listed(
        &self,
        q: &mut QueryBuilder<Postgres>,
        dataset: Uuid,
        scan: Uuid,
        filter: &SuspectFilter,
        audience: Audience<'_>,
    ) -> Result<()> {
        q.push(" from ");
        let few = match filter.narrow() {
            Some(narrow) => self.is_few(dataset, scan, &narrow).await?.then_some(narrow),
            None => None,
        };
        match few {
            None => {
                q.push(source(filter));
            }
            Some(narrow) => {
                q.push("(");
                push_narrow(q, dataset, scan, &narrow);
                q.push(") d cross join lateral (select * from findings x where x.scan_id = ").push_bind(scan);
                q.push(" and x.sample_id = d.sample_id offset 0) f");
                if filter.issue.is_some() {
                    q.push(" join finding_issues i on i.scan_id = f.scan_id and i.sample_id = f.sample_id");
                }
            }
        }
        q.push(" left join review_status r on r.sample_id = f.sample_id where f.scan_id = ").push_bind(scan);
        push_kind(q, Some(scan), filter);
        push_conditions(q, dataset, filter, audience);
        push_not_excluded(q, audience);
        Ok(())
    }
}
