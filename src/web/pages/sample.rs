//! `/datasets/{name}/samples/{id}`: one clip with everything that helps to decide, and the decision.
//!
//! The queue that the reviewer walks through is in the address (`queue` = the filter as a query,
//! `rank` = the place in it), so that the next and the previous suspect are plain links.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::names::{ClassName, Share};
use super::reader::{Moment, clock, moment_in};
use super::samples::by_rules;
use super::suspects::{Vote, distinct, filter, status_of, votes};
use super::{Reader, address, render};
use crate::domain::{Issue, IssueKind, MediaState, Taxonomy};
use crate::jobs::Services;
use crate::messages;
use crate::store::reviews::HistoryEntry;
use crate::store::samples::Sample;
use crate::store::suspects::Suspect;

const NEIGHBOURS_SHOWN: usize = 6;
/// Frames in a strip, left to right, each from the middle of its part of the clip.
const STRIP_FRAMES: usize = 8;

#[derive(Template)]
#[template(path = "sample.html")]
pub(super) struct SamplePage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    pub(super) scan_id: String,
    pub(super) sample: SampleView,
    pub(super) finding: Option<FindingView>,
    pub(super) duplicates: Vec<DuplicateView>,
    pub(super) neighbours: Vec<NeighbourView>,
    pub(super) history: Vec<HistoryView>,
    pub(super) queue: QueueView,
}

pub(super) struct SampleView {
    pub(super) external_id: String,
    /// The sample's part of addresses.
    pub(super) key: String,
    pub(super) title: String,
    pub(super) asr: String,
    pub(super) ocr: Vec<OcrView>,
    pub(super) split: String,
    pub(super) video: Option<String>,
    pub(super) poster: String,
    pub(super) strip: String,
    /// Frames a second; empty when unknown.
    pub(super) fps: String,
    pub(super) size: String,
    /// Why there is nothing to play.
    pub(super) no_video: Option<String>,
    pub(super) frames: Vec<FrameView>,
    pub(super) current: Option<ClassName>,
    pub(super) corrected: bool,
    pub(super) status: &'static str,
    pub(super) status_name: String,
    /// What rules did to it, worded.
    pub(super) by_rules: Vec<String>,
}

pub(super) struct OcrView {
    pub(super) seconds: String,
    pub(super) clock: String,
    pub(super) text: String,
}

pub(super) struct FrameView {
    pub(super) seconds: String,
    pub(super) label: String,
}

pub(super) struct FindingView {
    pub(super) rank: String,
    pub(super) reason: String,
    /// Beside the label.
    pub(super) issues: Vec<IssueView>,
    pub(super) flagged: bool,
    pub(super) given: ClassName,
    pub(super) given_p: Share,
    pub(super) suggested: ClassName,
    pub(super) suggested_p: Share,
    /// The suggestion is not the current label.
    pub(super) differs: bool,
    pub(super) cross_parent: bool,
    pub(super) detectors: Vec<Vote>,
}

pub(super) struct IssueView {
    pub(super) name: String,
    pub(super) text: String,
}

/// A clip that is the same or nearly so.
pub(super) struct DuplicateView {
    pub(super) href: String,
    pub(super) title: String,
    pub(super) poster: Option<String>,
    pub(super) video: String,
    pub(super) class: Option<ClassName>,
    pub(super) conflicts: bool,
}

pub(super) struct NeighbourView {
    pub(super) href: String,
    pub(super) title: String,
    pub(super) poster: Option<String>,
    pub(super) video: String,
    pub(super) class: Option<ClassName>,
    /// `given`, `suggested` or `other`: whose side the neighbour is on.
    pub(super) side: &'static str,
    pub(super) side_name: String,
    pub(super) similarity: String,
}

pub(super) struct HistoryView {
    pub(super) at: Moment,
    pub(super) what: String,
    pub(super) author: String,
    pub(super) classes: String,
    pub(super) comment: String,
}

#[derive(Default)]
pub(super) struct QueueView {
    pub(super) list: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

impl SampleView {
    pub(super) fn of(page: &Reader, dataset: &str, taxonomy: &Taxonomy, s: &Sample) -> Self {
        let lang = page.lang;
        let media = |kind: &str| format!("/{kind}/{}/{}", address::part(dataset), s.id);
        let class = |id: &Option<String>| id.as_ref().map(|c| ClassName::of(taxonomy, c, lang));
        let ms = s.duration_ms.unwrap_or(0);
        let seconds = |t: f64| format!("{t:.2}");
        let mut ocr: Vec<OcrView> = s
            .text
            .ocr
            .iter()
            .map(|l| OcrView {
                seconds: seconds(l.time),
                clock: moment_in((l.time * 1000.0) as i64, i64::from(ms)),
                text: l.text.clone(),
            })
            .collect();
        ocr.dedup_by(|a, b| a.text == b.text);
        let no_video = match s.media_state {
            MediaState::Ready => None,
            MediaState::None if s.media_blob.is_some() => Some(lang.text("media.pending").to_owned()),
            MediaState::None => Some(lang.text("media.none").to_owned()),
            MediaState::Features => Some(lang.text("media.features").to_owned()),
            MediaState::Bad => {
                let code = s.media_error.as_deref().unwrap_or("");
                let why = lang.find(&format!("media_error.{code}")).unwrap_or(code);
                Some(lang.fill("media.bad", &[("why", why)]))
            }
        };
        let status = status_of(s.review.as_deref());
        Self {
            external_id: s.external_id.clone(),
            key: address::sample_key(&s.external_id, s.id),
            title: s.text.title.clone(),
            asr: s.text.asr.clone(),
            ocr,
            split: lang.text(&format!("split.{}", s.split.as_str())).to_owned(),
            video: (s.media_state == MediaState::Ready).then(|| media("media")),
            poster: media("poster"),
            strip: media("strip"),
            fps: s.fps.map(|f| format!("{f:.3}")).unwrap_or_default(),
            size: match (s.width, s.height) {
                (Some(w), Some(h)) => format!("{w} × {h} · {}", clock(i64::from(ms))),
                _ => clock(i64::from(ms)),
            },
            no_video,
            frames: (0..STRIP_FRAMES)
                .map(|k| {
                    let at = (k as f64 + 0.5) / STRIP_FRAMES as f64 * f64::from(ms) / 1000.0;
                    let shown = moment_in((at * 1000.0) as i64, i64::from(ms));
                    FrameView {
                        seconds: seconds(at),
                        label: lang.fill("player.seek_to", &[("time", &shown)]),
                    }
                })
                .collect(),
            current: class(&s.current_class),
            corrected: s.given_class.is_some() && s.current_class != s.given_class,
            status,
            status_name: lang.text(&format!("status.{status}")).to_owned(),
            by_rules: by_rules(page, s),
        }
    }
}

impl FindingView {
    pub(super) fn of(page: &Reader, taxonomy: &Taxonomy, s: &Suspect) -> Self {
        let lang = page.lang;
        Self {
            rank: lang.number(i64::from(s.place)),
            reason: messages::reason(lang, &s.reason, taxonomy),
            issues: distinct(&s.issues)
                .filter(|i| i.kind() != IssueKind::Label)
                .map(|i| IssueView {
                    name: lang.text(&format!("issue.{}", i.kind().as_str())).to_owned(),
                    text: messages::issue(lang, i, &s.reason, taxonomy),
                })
                .collect(),
            flagged: s.flagged,
            given: ClassName::of(taxonomy, &s.given_class, lang),
            given_p: Share::of(s.self_confidence, lang),
            suggested: ClassName::of(taxonomy, &s.suggested_class, lang),
            suggested_p: Share::of(s.suggested_p, lang),
            differs: s.current_class.as_deref() != Some(&s.suggested_class),
            cross_parent: s.reason.cross_parent,
            detectors: votes(page, &s.detectors),
        }
    }
}

/// The near-duplicates that a finding lists, those with another label first.
fn listed_duplicates(s: &Suspect) -> Vec<i64> {
    let mut listed = Vec::new();
    for issue in &s.issues {
        if let Issue::NearDuplicateConflict { samples, .. } | Issue::NearDuplicate { samples, .. } = issue {
            listed.extend(samples.iter().filter(|id| !listed.contains(*id)).copied().collect::<Vec<_>>());
        }
    }
    listed.truncate(Issue::LISTED_SAMPLES);
    listed
}

impl DuplicateView {
    pub(super) fn of(
        page: &Reader,
        dataset: &str,
        taxonomy: &Taxonomy,
        finding: &Suspect,
        n: &Sample,
    ) -> Self {
        let media = |kind: &str| format!("/{kind}/{}/{}", address::part(dataset), n.id);
        Self {
            href: address::sample(dataset, &n.external_id, n.id),
            title: if n.text.title.is_empty() { n.external_id.clone() } else { n.text.title.clone() },
            poster: (n.media_state == MediaState::Ready).then(|| media("poster")),
            video: media("media"),
            class: n.current_class.as_ref().map(|c| ClassName::of(taxonomy, c, page.lang)),
            conflicts: n.current_class.as_deref() != Some(&finding.given_class),
        }
    }
}

impl NeighbourView {
    /// `finding` is that of the sample whose neighbour this is.
    pub(super) fn of(
        page: &Reader,
        dataset: &str,
        taxonomy: &Taxonomy,
        finding: &Suspect,
        n: &Sample,
    ) -> Self {
        let lang = page.lang;
        let media = |kind: &str| format!("/{kind}/{}/{}", address::part(dataset), n.id);
        let side = match n.current_class.as_deref() {
            Some(c) if c == finding.given_class => "given",
            Some(c) if c == finding.suggested_class => "suggested",
            _ => "other",
        };
        let similarity =
            finding.neighbours.iter().find(|x| x.sample_id == n.id).map_or(0.0, |x| x.similarity);
        Self {
            href: address::sample(dataset, &n.external_id, n.id),
            title: if n.text.title.is_empty() { n.external_id.clone() } else { n.text.title.clone() },
            poster: (n.media_state == MediaState::Ready).then(|| media("poster")),
            video: media("media"),
            class: n.current_class.as_ref().map(|c| ClassName::of(taxonomy, c, lang)),
            side,
            side_name: lang.text(&format!("side.{side}")).to_owned(),
            similarity: format!("{similarity:.2}"),
        }
    }
}

impl HistoryView {
    pub(super) fn of(page: &Reader, taxonomy: &Taxonomy, e: &HistoryEntry) -> Self {
        let lang = page.lang;
        let kind = match e.kind.as_str() {
            "review" => "decision",
            "retraction" => "retraction",
            "rule" => "rule_did",
            "rule_undone" => "rule_undone",
            "bulk" => "bulk_did",
            "bulk_undone" => "bulk_undone",
            _ => "label_source",
        };
        let classes = e.classes.iter().map(|c| taxonomy.path_name(c, lang.tag()));
        let classes =
            classes.zip(&e.classes).map(|(path, id)| if path.is_empty() { id.clone() } else { path });
        Self {
            at: e.at.into(),
            what: lang.text(&format!("{kind}.{}", e.what)).to_owned(),
            author: page.author(&e.author),
            classes: classes.collect::<Vec<_>>().join(lang.text("list.separator")),
            comment: e.comment.clone(),
        }
    }
}

/// Address of a suspect within a queue.
pub(super) fn queued(dataset: &str, queue: &str, s: &Suspect) -> String {
    let at = address::sample(dataset, &s.external_id, s.sample_id);
    format!("{at}?{}", address::query(&[("queue", queue), ("rank", &s.place.to_string())]))
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path((name, key)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let sample = store.sample(dataset.id, &key).await?;
    let scan = store.latest_scan(dataset.id).await?;
    let found = match &scan {
        Some(scan) => store.suspect(dataset.id, scan.id, sample.id).await?,
        None => None,
    };
    let nearest: Vec<i64> =
        found.iter().flat_map(|f| f.neighbours.iter().take(NEIGHBOURS_SHOWN).map(|n| n.sample_id)).collect();
    let neighbours = store.samples_by_id(dataset.id, &nearest).await?;
    let same: Vec<i64> = found.iter().flat_map(listed_duplicates).collect();
    let same = store.samples_by_id(dataset.id, &same).await?;
    let history = store.history(dataset.id, sample.id).await?;

    let asked = page.query("queue").unwrap_or("");
    let pairs = address::parse_query(asked);
    let (filter, kept) =
        filter(|name| pairs.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.clone()));
    let queue = address::query(&kept);
    let rank =
        page.query("rank").and_then(|r| r.parse().ok()).or(found.as_ref().map(|f| f.place)).unwrap_or(0);
    let mut walk = QueueView {
        list: format!(
            "{}/suspects?{}",
            address::dataset(&dataset.name),
            address::query(
                &[kept.as_slice(), &[("after", rank.saturating_sub(1).max(0).to_string())]].concat()
            )
        ),
        ..Default::default()
    };
    if let Some(scan) = &scan {
        let link = |s: &Suspect| queued(&dataset.name, &queue, s);
        let next = store.suspects(dataset.id, scan.id, &filter, rank, 1).await?;
        let before = store.suspects_before(dataset.id, scan.id, &filter, rank, 1).await?;
        walk.next = next.items.first().map(link);
        walk.previous = before.items.first().map(link);
    }
    render(&SamplePage {
        sample: SampleView::of(&page, &dataset.name, &taxonomy, &sample),
        finding: found.as_ref().map(|f| FindingView::of(&page, &taxonomy, f)),
        neighbours: found
            .iter()
            .flat_map(|f| neighbours.iter().map(move |n| (f, n)))
            .map(|(f, n)| NeighbourView::of(&page, &dataset.name, &taxonomy, f, n))
            .collect(),
        duplicates: found
            .iter()
            .flat_map(|f| same.iter().map(move |n| (f, n)))
            .map(|(f, n)| DuplicateView::of(&page, &dataset.name, &taxonomy, f, n))
            .collect(),
        history: history.iter().map(|e| HistoryView::of(&page, &taxonomy, e)).collect(),
        queue: walk,
        scan_id: scan.map(|s| s.id.to_string()).unwrap_or_default(),
        dataset_href: address::dataset(&dataset.name),
        api: format!("/api/v1/datasets/{}", address::part(&dataset.name)),
        dataset: dataset.name,
        page,
    })
}
