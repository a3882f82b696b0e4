//! What the scan says of the sample: why it is here, between which classes, and which field says what.

use crate::domain::{Candidate, Field, IssueKind, Taxonomy};
use crate::messages;
use crate::store::cards::Evidence;
use crate::web::pages::Reader;
use crate::web::pages::names::{ClassName, Share};
use crate::web::pages::suspects::distinct;

pub(crate) struct WhyView {
    pub(crate) rank: String,
    pub(crate) reason: String,
    /// Beside the label.
    pub(crate) issues: Vec<IssueView>,
    pub(crate) flagged: bool,
    pub(crate) cross_parent: bool,
}

pub(crate) struct IssueView {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A class on offer under a digit key.
pub(crate) struct CandidateView {
    pub(crate) key: usize,
    pub(crate) class: ClassName,
    /// `None` where the scan kept no probabilities.
    pub(crate) p: Option<Share>,
    /// It is the label already.
    pub(crate) kept: bool,
    pub(crate) side: &'static str,
    pub(crate) side_name: String,
}

pub(crate) struct FieldView {
    pub(crate) name: String,
    /// `None`: the sample has no such field.
    pub(crate) vote: Option<VoteView>,
}

pub(crate) struct VoteView {
    pub(crate) class: ClassName,
    pub(crate) p: Share,
    pub(crate) side: &'static str,
    pub(crate) side_name: String,
}

/// `given`, `suggested` or `other`: whose side a class is on.
pub(super) fn side(e: &Evidence, class: &str) -> &'static str {
    match class {
        c if c == e.suspect.given_class => "given",
        c if c == e.suspect.suggested_class => "suggested",
        _ => "other",
    }
}

pub(super) fn side_name(page: &Reader, side: &str) -> String {
    page.lang.text(&format!("side.{side}")).to_owned()
}

impl WhyView {
    pub(super) fn of(page: &Reader, taxonomy: &Taxonomy, e: &Evidence) -> Self {
        let lang = page.lang;
        let s = &e.suspect;
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
            cross_parent: s.reason.cross_parent,
        }
    }
}

/// The ranked classes; a scan from before they were kept gives the two that it compared. `label`: what is
/// shown as the sample's label.
pub(super) fn candidates(
    page: &Reader,
    taxonomy: &Taxonomy,
    e: &Evidence,
    label: Option<&str>,
) -> Vec<CandidateView> {
    let s = &e.suspect;
    let mut ranked: Vec<(&str, Option<f32>)> =
        e.candidates.iter().take(Candidate::KEPT).map(|c| (&*c.class, Some(c.p))).collect();
    if ranked.is_empty() {
        ranked = vec![(&s.suggested_class, None), (&s.given_class, None)];
        ranked.dedup();
    }
    let view = |(i, (class, p)): (usize, (&str, Option<f32>))| {
        let side = side(e, class);
        CandidateView {
            key: i + 1,
            class: ClassName::of(taxonomy, class, page.lang),
            // rounded down to nothing is not none
            p: p.map(|p| Share::of(p.max(f32::MIN_POSITIVE), page.lang)),
            kept: label == Some(class),
            side,
            side_name: side_name(page, side),
        }
    };
    ranked.into_iter().enumerate().map(view).collect()
}

/// All four fields, or nothing where the scan did not ask them one by one.
pub(super) fn fields(page: &Reader, taxonomy: &Taxonomy, e: &Evidence) -> Vec<FieldView> {
    if e.field_votes.is_empty() {
        return Vec::new();
    }
    let vote = |c: &Candidate| {
        let side = side(e, &c.class);
        VoteView {
            class: ClassName::of(taxonomy, &c.class, page.lang),
            p: Share::of(c.p, page.lang),
            side,
            side_name: side_name(page, side),
        }
    };
    Field::ALL
        .into_iter()
        .map(|field| FieldView {
            name: page.lang.text(&format!("field.{}", field.as_str())).to_owned(),
            vote: e.field_votes.get(&field).map(vote),
        })
        .collect()
}
