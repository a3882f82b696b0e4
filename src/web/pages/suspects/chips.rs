//! Links that ask for other suspects: the kinds of issue with their numbers, and filters to take off again.

use crate::domain::{IssueKind, Taxonomy};
use crate::store::issues::CountedIssue;
use crate::store::suspects::SuspectFilter;
use crate::web::pages::{Reader, address};

/// A link that asks for other suspects.
pub(in crate::web::pages) struct Chip {
    pub(in crate::web::pages) href: String,
    pub(in crate::web::pages) name: String,
    pub(in crate::web::pages) count: String,
    pub(in crate::web::pages) chosen: bool,
}

/// Parameters that have no select of their own.
pub(super) const SET: [&str; 5] = ["issue", "field", "given", "suggested", "cluster"];

fn without(href: &str, kept: &[(&'static str, String)], names: &[&str], with: Option<&str>) -> String {
    let mut query: Vec<_> = kept.iter().filter(|(name, _)| !names.contains(name)).cloned().collect();
    if let Some(kind) = with {
        query.insert(0, ("issue", kind.to_owned()));
    }
    if query.is_empty() { href.to_owned() } else { format!("{href}?{}", address::query(&query)) }
}

/// The kinds of issue among the samples that the other filters let through, with their numbers. Wrong labels
/// are what the list shows when nothing is asked for.
pub(in crate::web::pages) fn chips(
    page: &Reader,
    href: &str,
    kept: &[(&'static str, String)],
    filter: &SuspectFilter,
    counts: &[CountedIssue],
) -> Vec<Chip> {
    let shown = filter.issue.unwrap_or(IssueKind::Label);
    let counts = counts.iter().filter(|c| c.n > 0 || c.kind == shown || c.kind == IssueKind::Label);
    counts
        .map(|c| Chip {
            href: without(
                href,
                kept,
                &["issue", "field", "all"],
                (c.kind != IssueKind::Label).then(|| c.kind.as_str()),
            ),
            name: page.lang.text(&format!("issue.{}", c.kind.as_str())).to_owned(),
            count: {
                let n = page.lang.number(i64::try_from(c.n).unwrap_or(i64::MAX));
                if c.about { page.lang.fill("chips.about", &[("n", &n)]) } else { n }
            },
            chosen: c.kind == shown && (filter.issue.is_some() || !filter.all),
        })
        .collect()
}

pub(super) fn set(
    page: &Reader,
    taxonomy: &Taxonomy,
    href: &str,
    kept: &[(&'static str, String)],
) -> Vec<Chip> {
    let lang = page.lang;
    let worded = |name: &str, value: &str| match name {
        "given" => lang.fill("chips.given", &[("name", taxonomy.name(value, lang.tag()))]),
        "suggested" => lang.fill("chips.suggested", &[("name", taxonomy.name(value, lang.tag()))]),
        "field" => lang.fill("chips.field", &[("name", lang.text(&format!("field.{value}")))]),
        _ => lang.fill("chips.cluster", &[("n", value)]),
    };
    kept.iter()
        .filter(|(name, _)| *name != "issue" && SET.contains(name))
        .map(|(name, value)| Chip {
            href: without(href, kept, &[name], None),
            name: worded(name, value),
            count: String::new(),
            chosen: true,
        })
        .collect()
}
