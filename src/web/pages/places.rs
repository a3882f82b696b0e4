//! The places of one dataset, as a row of links under the header of all its pages: what everybody works
//! with first, what leads set up last.

use super::Reader;

/// One link of the row.
pub(crate) struct Place {
    pub(crate) href: String,
    /// Key of its name in the catalogues.
    pub(crate) key: &'static str,
    /// The page that is shown lies there.
    pub(crate) here: bool,
}

/// Who is shown a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    All,
    Leads,
}

/// (last part of the address, key of the name, who is shown it).
const PLACES: &[(&str, &str, To)] = &[
    ("", "places.overview", To::All),
    ("review", "places.review", To::All),
    ("suspects", "places.suspects", To::All),
    ("grid", "places.grid", To::All),
    ("map", "places.map", To::All),
    ("health", "places.health", To::All),
    ("clusters", "places.clusters", To::All),
    ("quality", "places.quality", To::All),
    ("guide", "places.guide", To::All),
    ("next", "places.next", To::Leads),
    ("rules", "places.rules", To::Leads),
    ("work", "places.work", To::Leads),
    ("snapshots", "places.snapshots", To::All),
    ("trail", "places.trail", To::Leads),
    ("team", "places.team", To::All),
    ("webhooks", "places.webhooks", To::Leads),
];

impl Reader {
    /// Empty outside of a dataset.
    pub(crate) fn places(&self) -> Vec<Place> {
        let Some(rest) = self.path().strip_prefix("/datasets/") else { return Vec::new() };
        let mut parts = rest.split('/');
        // as it stands in the address: encoded already
        let dataset = parts.next().unwrap_or_default();
        let here = parts.next().unwrap_or_default();
        if dataset.is_empty() {
            return Vec::new();
        }
        PLACES
            .iter()
            .filter(|(part, _, to)| {
                (*to == To::All || self.leads()) && (*part != "team" || self.signed_in().is_some())
            })
            .map(|(part, key, _)| Place {
                href: if part.is_empty() {
                    format!("/datasets/{dataset}")
                } else {
                    format!("/datasets/{dataset}/{part}")
                },
                key,
                here: here == *part,
            })
            .collect()
    }
}
