//! Issues of samples in one line each.

use super::{Lang, reason};
use crate::domain::issue::{Issue, MediaFault, TextFault};
use crate::domain::{Field, LabelCount, Reason, Taxonomy};

/// What is wrong with a sample, with its evidence, in one sentence. `r` is the reason of its finding.
pub fn issue(lang: Lang, issue: &Issue, r: &Reason, taxonomy: &Taxonomy) -> String {
    let tag = lang.tag();
    let named: Vec<&str> = match issue {
        Issue::NearDuplicate { labels, .. } | Issue::NearDuplicateConflict { labels, .. } => {
            labels.iter().map(|l| l.class.as_str()).chain([r.given.as_str()]).collect()
        }
        Issue::OddField { class, .. } => vec![class, &r.given],
        _ => Vec::new(),
    };
    let quoted = |class: &str| {
        // as in a reason: twins of one name go by their paths
        let twin = |o: &&str| **o != *class && taxonomy.name(o, tag) == taxonomy.name(class, tag);
        let name = if named.iter().any(twin) {
            taxonomy.path_name(class, tag)
        } else {
            taxonomy.name(class, tag).to_owned()
        };
        lang.fill("reason.quoted", &[("name", &name)])
    };
    let duplicates = |key: &str, n: u32, labels: &[LabelCount]| {
        let alone = labels.len() == 1 && labels[0].n == n;
        let one = |l: &LabelCount| {
            if alone {
                quoted(&l.class)
            } else {
                format!("{} ({})", quoted(&l.class), lang.number(i64::from(l.n)))
            }
        };
        let labels = labels.iter().map(one).collect::<Vec<_>>().join(lang.text("list.separator"));
        let clips = lang.count("count.clips", i64::from(n));
        lang.fill(key, &[("clips", &clips), ("labels", &labels), ("given", &quoted(&r.given))])
    };
    let sentence = match issue {
        Issue::Label => return reason(lang, r, taxonomy),
        Issue::NearDuplicateConflict { n, labels, .. } => {
            duplicates("why.near_duplicate_conflict", *n, labels)
        }
        Issue::NearDuplicate { n, labels, .. } => duplicates("why.near_duplicate", *n, labels),
        Issue::OddField { field, class, p } => lang.fill(
            "why.odd_field",
            &[
                ("field", field_name(lang, *field)),
                ("class", &quoted(class)),
                ("p", &lang.percent(*p)),
                ("given", &quoted(&r.given)),
            ],
        ),
        Issue::Outlier { nearest } => lang.fill("why.outlier", &[("nearest", &format!("{nearest:.2}"))]),
        Issue::TextQuality { faults } => join(lang, faults.iter().map(|f| text_fault(lang, f))),
        Issue::MissingField { fields } => {
            let names: Vec<&str> = fields.iter().map(|f| field_name(lang, *f)).collect();
            lang.fill("why.missing_field", &[("fields", &names.join(lang.text("list.separator")))])
        }
        Issue::Media { faults } => join(lang, faults.iter().map(|f| media_fault(lang, f))),
    };
    sentence + lang.text("reason.end")
}

fn join(lang: Lang, parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(lang.text("reason.and"))
}

/// A field within a sentence.
fn field_name(lang: Lang, field: Field) -> &'static str {
    lang.find(&format!("field_within.{}", field.as_str())).unwrap_or(field.as_str())
}

fn text_fault(lang: Lang, fault: &TextFault) -> String {
    let field = lang.text(&format!("field.{}", fault.field.as_str())).to_owned();
    let key = format!("why.text_{}", fault.problem.as_str());
    lang.fill(&key, &[("field", &field), ("share", &lang.percent(fault.share))])
}

fn media_fault(lang: Lang, fault: &MediaFault) -> String {
    // whole numbers where they are large: 720, 25, but 0.4 and 23.976
    let number = |v: f32| {
        let text = format!("{v:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let key = format!("why.media_{}", fault.problem.as_str());
    lang.fill(&key, &[("value", &number(fault.value)), ("usual", &number(fault.usual))])
}
