//! `/datasets/{name}/suspects`: the flagged samples in the order of review, or those with one kind of issue, the
//! worst first, by filter, page by page. The whole state is in the address, so it can be shared.

mod chips;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

pub(super) use self::chips::{Chip, chips};
use self::chips::{SET, set};
use super::error::PageError;
use super::names::{ClassName, Share};
use super::reader::{Moment, clock};
use super::{Reader, address, render};
use crate::domain::{Detector, Field, Issue, IssueKind, Taxonomy};
use crate::jobs::Services;
use crate::messages;
use crate::store::scans::ScanHead;
use crate::store::suspects::{Suspect, SuspectFilter, SuspectStatus};

const ON_A_PAGE: i64 = 30;

#[derive(Template)]
#[template(path = "suspects.html")]
pub(super) struct SuspectsPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) href: String,
    pub(super) scan: Option<ScanLine>,
    pub(super) chips: Vec<Chip>,
    /// Filters that only links set, to be taken off again.
    pub(super) set: Vec<Chip>,
    /// The same as fields of the form, which keeps them.
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) rows: Vec<SuspectRow>,
    pub(super) classes: Vec<Group>,
    pub(super) detectors: Vec<Pick>,
    pub(super) statuses: Vec<Pick>,
    pub(super) crossings: Vec<Pick>,
    pub(super) all: bool,
    pub(super) filtered: bool,
    /// The same samples as tiles.
    pub(super) grid: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

pub(super) struct ScanLine {
    pub(super) at: Moment,
    pub(super) flagged: String,
    pub(super) samples: String,
}

/// One option of a select.
pub(super) struct Pick {
    pub(super) value: String,
    pub(super) name: String,
    pub(super) chosen: bool,
}

/// A level-1 node with the classes below it.
pub(super) struct Group {
    pub(super) root: Pick,
    pub(super) classes: Vec<Pick>,
}

pub(super) struct SuspectRow {
    pub(super) href: String,
    pub(super) rank: String,
    pub(super) title: String,
    pub(super) external_id: String,
    pub(super) poster: Option<String>,
    pub(super) video: String,
    pub(super) duration: Option<String>,
    pub(super) given: ClassName,
    pub(super) given_p: Share,
    pub(super) suggested: ClassName,
    pub(super) suggested_p: Share,
    pub(super) cross_parent: bool,
    /// What is wrong with it, what was asked for first.
    pub(super) reasons: Vec<String>,
    pub(super) detectors: Vec<Vote>,
    pub(super) status: &'static str,
    pub(super) status_name: String,
    pub(super) current: Option<ClassName>,
    pub(super) flagged: bool,
    /// Its near-duplicates and itself as tiles, where it has any.
    pub(super) group: Option<String>,
}

/// Whether a detector on its own would have flagged the sample.
pub(super) struct Vote {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) agrees: bool,
}

/// The parts of an address that choose suspects, as a filter and as the query that says the same.
pub(super) fn filter(query: impl Fn(&str) -> Option<String>) -> (SuspectFilter, Vec<(&'static str, String)>) {
    let mut filter = SuspectFilter::default();
    let mut kept = Vec::new();
    if let Some(kind) = query("issue").and_then(|i| IssueKind::parse(&i)) {
        kept.push(("issue", kind.as_str().to_owned()));
        filter.issue = Some(kind);
        if let Some(field) = query("field").and_then(|f| Field::parse(&f)) {
            kept.push(("field", field.as_str().to_owned()));
            filter.field = Some(field);
        }
    }
    let named: [(&'static str, &mut Option<String>); 3] =
        [("class", &mut filter.class), ("given", &mut filter.given), ("suggested", &mut filter.suggested)];
    for (name, class) in named {
        if let Some(asked) = query(name) {
            kept.push((name, asked.clone()));
            *class = Some(asked);
        }
    }
    if let Some(cluster) = query("cluster").and_then(|c| c.parse::<i32>().ok()) {
        kept.push(("cluster", cluster.to_string()));
        filter.cluster = Some(cluster);
    }
    if let Some(d) = query("detector").and_then(|d| Detector::parse(&d)) {
        kept.push(("detector", d.as_str().to_owned()));
        filter.detector = Some(d);
    }
    if let Some((name, s)) = query("status").and_then(|s| STATUSES.into_iter().find(|(n, _)| *n == s)) {
        kept.push(("status", name.to_owned()));
        filter.status = Some(s);
    }
    if let Some(crossing) = query("cross_parent").and_then(|c| c.parse().ok()) {
        kept.push(("cross_parent", String::from(if crossing { "true" } else { "false" })));
        filter.cross_parent = Some(crossing);
    }
    if query("all").as_deref() == Some("true") {
        kept.push(("all", "true".into()));
        filter.all = true;
    }
    (filter, kept)
}

const STATUSES: [(&str, SuspectStatus); 5] = [
    ("open", SuspectStatus::Open),
    ("kept", SuspectStatus::Kept),
    ("relabelled", SuspectStatus::Relabelled),
    ("unsure", SuspectStatus::Unsure),
    ("other", SuspectStatus::Other),
];

/// Status of a suspect from the decision of its last review.
pub(super) fn status_of(review: Option<&str>) -> &'static str {
    match review {
        None => "open",
        Some("keep") => "kept",
        Some("relabel") => "relabelled",
        Some("unsure") => "unsure",
        Some(_) => "other",
    }
}

pub(super) fn votes(page: &Reader, agreeing: &[Detector]) -> Vec<Vote> {
    Detector::ALL
        .into_iter()
        .map(|d| Vote {
            name: page.lang.text(&format!("detector.{}", d.as_str())).to_owned(),
            about: page.lang.text(&format!("detector_about.{}", d.as_str())).to_owned(),
            agrees: agreeing.contains(&d),
        })
        .collect()
}

impl SuspectRow {
    /// `asked`: the kind of issue that the list is of.
    pub(super) fn of(
        page: &Reader,
        dataset: &str,
        taxonomy: &Taxonomy,
        queue: &str,
        asked: Option<IssueKind>,
        s: &Suspect,
    ) -> Self {
        let lang = page.lang;
        let media = |kind: &str| format!("/{kind}/{}/{}", address::part(dataset), s.sample_id);
        let status = status_of(s.review.as_deref());
        let mut query = vec![("rank", s.place.to_string())];
        if !queue.is_empty() {
            query.insert(0, ("queue", queue.to_owned()));
        }
        let at = address::sample(dataset, &s.external_id, s.sample_id);
        Self {
            href: format!("{at}?{}", address::query(&query)),
            rank: lang.number(i64::from(s.place)),
            title: s.title.clone(),
            external_id: s.external_id.clone(),
            poster: s.has_media.then(|| media("poster")),
            video: media("media"),
            duration: s.duration_ms.map(|ms| clock(i64::from(ms))),
            given: ClassName::of(taxonomy, &s.given_class, lang),
            given_p: Share::of(s.reason.p_given, lang),
            suggested: ClassName::of(taxonomy, &s.suggested_class, lang),
            suggested_p: Share::of(s.suggested_p, lang),
            cross_parent: s.reason.cross_parent,
            reasons: reasons(page, taxonomy, asked, s),
            detectors: votes(page, &s.detectors),
            status,
            status_name: lang.text(&format!("status.{status}")).to_owned(),
            current: s
                .current_class
                .as_ref()
                .filter(|c| **c != s.given_class)
                .map(|c| ClassName::of(taxonomy, c, lang)),
            flagged: s.flagged,
            group: s.issues.iter().any(|i| i.kind() == IssueKind::NearDuplicate).then(|| {
                let of = address::query(&[("duplicates", s.sample_id.to_string())]);
                format!("{}/grid?{of}", address::dataset(dataset))
            }),
        }
    }
}

/// Its issues in words, the one `asked` for first. A near-duplicate with another label is told once. Without
/// any issue: what speaks for its label.
fn reasons(page: &Reader, taxonomy: &Taxonomy, asked: Option<IssueKind>, s: &Suspect) -> Vec<String> {
    let mut shown: Vec<&Issue> = distinct(&s.issues).collect();
    if shown.is_empty() {
        return vec![messages::reason(page.lang, &s.reason, taxonomy)];
    }
    shown.sort_by_key(|i| Some(i.kind()) != asked); // stable
    shown.into_iter().map(|i| messages::issue(page.lang, i, &s.reason, taxonomy)).collect()
}

/// Without near-duplicates where there is a conflict among them, which says more.
pub(super) fn distinct(issues: &[Issue]) -> impl Iterator<Item = &Issue> {
    let conflict = issues.iter().any(|i| i.kind() == IssueKind::NearDuplicateConflict);
    issues.iter().filter(move |i| !conflict || i.kind() != IssueKind::NearDuplicate)
}

/// The taxonomy as groups of a select.
pub(super) fn class_groups(page: &Reader, taxonomy: &Taxonomy, chosen: Option<&str>) -> Vec<Group> {
    let tag = page.lang.tag();
    let pick = |id: &str, name: String| Pick { value: id.to_owned(), name, chosen: chosen == Some(id) };
    let mut groups: Vec<Group> = taxonomy
        .roots()
        .into_iter()
        .map(|root| Group { root: pick(root, taxonomy.name(root, tag).to_owned()), classes: Vec::new() })
        .collect();
    for (class, root) in taxonomy.class_ids().zip(taxonomy.class_roots()) {
        let path = taxonomy.path(class);
        if path.len() > 1 {
            let below = path[1..].iter().map(|p| taxonomy.name(p, tag)).collect::<Vec<_>>().join(" / ");
            groups[root].classes.push(pick(class, below));
        }
    }
    groups
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy_of(&dataset).await?;
    let scan = store.latest_scan_head(dataset.id).await?;
    let (filter, kept) = filter(|name| page.query(name).map(str::to_owned));
    let place = |name: &str| page.query(name).and_then(|v| v.parse::<i32>().ok());
    let (mut suspects, more_before, more_after) = match &scan {
        None => (Vec::new(), false, false),
        Some(scan) => match place("before") {
            Some(before) => {
                let got = store
                    .suspects_before(dataset.id, scan.id, &filter, page.audience(), before, ON_A_PAGE)
                    .await?;
                (got.items, got.next.is_some(), true)
            }
            None => {
                let after = place("after").unwrap_or(0);
                let got =
                    store.suspects(dataset.id, scan.id, &filter, page.audience(), after, ON_A_PAGE).await?;
                (got.items, after > 0, got.next.is_some())
            }
        },
    };
    suspects.sort_by_key(|s| s.place);
    let counts = match &scan {
        Some(scan) => store.issue_counts(dataset.id, scan.id, &filter, page.audience()).await?,
        None => Vec::new(),
    };
    let href = format!("{}/suspects", address::dataset(&dataset.name));
    let turn = |name: &'static str, rank: Option<i32>| {
        let mut query = kept.clone();
        query.push((name, rank?.to_string()));
        Some(format!("{href}?{}", address::query(&query)))
    };
    let previous = more_before.then(|| turn("before", suspects.first().map(|s| s.place))).flatten();
    let next = more_after.then(|| turn("after", suspects.last().map(|s| s.place))).flatten();
    let queue = address::query(&kept);
    render(&SuspectsPage {
        scan: scan.as_ref().map(|s| ScanLine::of(&page, s)),
        chips: chips(&page, &href, &kept, &filter, &counts),
        set: set(&page, &taxonomy, &href, &kept),
        hidden: kept.iter().filter(|(name, _)| SET.contains(name)).cloned().collect(),
        rows: suspects
            .iter()
            .map(|s| SuspectRow::of(&page, &dataset.name, &taxonomy, &queue, filter.issue, s))
            .collect(),
        classes: class_groups(&page, &taxonomy, filter.class.as_deref()),
        detectors: picks(&page, &Detector::ALL, Detector::as_str, "detector", filter.detector),
        statuses: status_picks(&page, filter.status),
        crossings: crossing_picks(&page, filter.cross_parent),
        all: filter.all,
        filtered: !kept.is_empty(),
        grid: format!(
            "{}/grid?{}",
            address::dataset(&dataset.name),
            address::query(&[&[("of", "suspects".to_owned())], kept.as_slice()].concat())
        ),
        previous,
        next,
        dataset: dataset.name,
        href,
        page,
    })
}

/// Options of a select, one a value, worded under `words.` in the catalogue.
pub(super) fn picks<T: Copy + PartialEq>(
    page: &Reader,
    all: &[T],
    name: fn(T) -> &'static str,
    words: &str,
    chosen: Option<T>,
) -> Vec<Pick> {
    all.iter()
        .map(|&value| Pick {
            value: name(value).to_owned(),
            name: page.lang.text(&format!("{words}.{}", name(value))).to_owned(),
            chosen: chosen == Some(value),
        })
        .collect()
}

pub(super) fn status_picks(page: &Reader, chosen: Option<SuspectStatus>) -> Vec<Pick> {
    STATUSES
        .into_iter()
        .map(|(name, s)| Pick {
            value: name.to_owned(),
            name: page.lang.text(&format!("status.{name}")).to_owned(),
            chosen: chosen == Some(s),
        })
        .collect()
}

pub(super) fn crossing_picks(page: &Reader, chosen: Option<bool>) -> Vec<Pick> {
    [true, false]
        .into_iter()
        .map(|c| Pick {
            value: c.to_string(),
            name: page.lang.text(if c { "suspects.across" } else { "suspects.within" }).to_owned(),
            chosen: chosen == Some(c),
        })
        .collect()
}

impl ScanLine {
    pub(super) fn of(page: &Reader, s: &ScanHead) -> Self {
        Self {
            at: s.created_at.into(),
            flagged: page.lang.number(s.n_flagged),
            samples: page.lang.number(s.n_samples),
        }
    }
}
