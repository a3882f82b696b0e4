//! Other samples that help to decide: good examples of both classes, nearest neighbours, near-duplicates.

use super::Facts;
use super::evidence::{side, side_name};
use crate::domain::{Issue, SafeHtml, Taxonomy};
use crate::store::cards::{Evidence, Tile};
use crate::store::guides::Guide;
use crate::web::pages::names::ClassName;
use crate::web::pages::{Reader, address};

/// Of each class.
pub(super) const EXAMPLES: usize = 3;

/// A picture that plays when it is pointed at.
pub(crate) struct TileView {
    pub(crate) href: String,
    pub(crate) title: String,
    pub(crate) poster: Option<String>,
    pub(crate) video: String,
    /// `None`: it has no label, or the list says which.
    pub(crate) class: Option<ClassName>,
    pub(crate) side: &'static str,
    pub(crate) side_name: String,
    /// Cosine similarity; empty where it does not matter.
    pub(crate) similarity: String,
    /// A person has confirmed its label.
    pub(crate) verified: bool,
}

/// One of the two classes between which the label stands.
pub(crate) struct ClassView {
    pub(crate) side: &'static str,
    pub(crate) side_name: String,
    pub(crate) class: ClassName,
    /// Where there is a guide: what belongs to the class, and where it ends.
    pub(crate) definition: Option<SafeHtml>,
    pub(crate) boundary: Option<SafeHtml>,
    pub(crate) guide_href: String,
    pub(crate) examples: Vec<TileView>,
}

/// The near-duplicates that a finding lists, those with another label first.
pub(super) fn duplicates(e: &Evidence) -> Vec<i64> {
    let mut listed = Vec::new();
    for issue in &e.suspect.issues {
        if let Issue::NearDuplicateConflict { samples, .. } | Issue::NearDuplicate { samples, .. } = issue {
            listed.extend(samples.iter().filter(|id| !listed.contains(*id)).copied().collect::<Vec<_>>());
        }
    }
    listed.truncate(Issue::LISTED_SAMPLES);
    listed
}

/// The nearest that are no near-duplicates: those have a place of their own.
pub(super) fn neighbours(e: &Evidence) -> Vec<i64> {
    let same = duplicates(e);
    e.suspect.neighbours.iter().map(|n| n.sample_id).filter(|id| !same.contains(id)).collect()
}

impl TileView {
    fn new(dataset: &str, id: i64, external_id: &str, title: &str, has_media: bool) -> Self {
        let media = |kind: &str| format!("/{kind}/{}/{id}", address::part(dataset));
        Self {
            href: address::sample(dataset, external_id, id),
            title: if title.is_empty() { external_id.to_owned() } else { title.to_owned() },
            poster: has_media.then(|| media("poster")),
            video: media("media"),
            class: None,
            side: "other",
            side_name: String::new(),
            similarity: String::new(),
            verified: false,
        }
    }

    fn of(page: &Reader, dataset: &str, taxonomy: &Taxonomy, t: &Tile, side: &'static str) -> Self {
        Self {
            class: t.class.as_ref().map(|c| ClassName::of(taxonomy, c, page.lang)),
            side,
            side_name: side_name(page, side),
            ..Self::new(dataset, t.sample_id, &t.external_id, &t.title, t.has_media)
        }
    }
}

/// Nearest first, each on the side of the class that it carries.
pub(super) fn neighbour_tiles(page: &Reader, facts: &Facts) -> Vec<TileView> {
    let Some(e) = &facts.evidence else { return Vec::new() };
    let near = neighbours(e);
    let tiles = facts.tiles.iter().filter(|t| near.contains(&t.sample_id));
    tiles
        .map(|t| {
            let side = match t.class.as_deref().map_or("other", |c| side(e, c)) {
                "suggested" if !facts.sight.model => "other",
                side => side,
            };
            let near = e.suspect.neighbours.iter().find(|n| n.sample_id == t.sample_id);
            TileView {
                similarity: near.map(|n| format!("{:.2}", n.similarity)).unwrap_or_default(),
                ..TileView::of(page, &facts.dataset.name, &facts.taxonomy, t, side)
            }
        })
        .collect()
}

/// Those with the given label agree with it, the others do not.
pub(super) fn duplicate_tiles(page: &Reader, facts: &Facts) -> Vec<TileView> {
    let Some(e) = &facts.evidence else { return Vec::new() };
    let same = duplicates(e);
    let tiles = facts.tiles.iter().filter(|t| same.contains(&t.sample_id));
    tiles
        .map(|t| {
            let agrees = t.class.as_deref() == Some(&e.suspect.given_class);
            TileView::of(
                page,
                &facts.dataset.name,
                &facts.taxonomy,
                t,
                if agrees { "given" } else { "other" },
            )
        })
        .collect()
}

/// The given class and, where the model may be heard, the suggested one, each with its examples.
pub(super) fn classes(page: &Reader, facts: &Facts) -> Vec<ClassView> {
    shown_classes(facts)
        .into_iter()
        .map(|(side, class)| (side, facts.guides.iter().find(|g| g.class == class), class))
        .map(|(side, guide, class)| ClassView {
            definition: guide.map(Guide::definition_html).filter(|html| !html.is_empty()),
            boundary: guide.map(Guide::boundary_html).filter(|html| !html.is_empty()),
            guide_href: format!("{}/guide/{}", address::dataset(&facts.dataset.name), address::part(&class)),
            side,
            side_name: side_name(page, side),
            class: ClassName::of(&facts.taxonomy, &class, page.lang),
            examples: facts
                .examples
                .iter()
                .filter(|x| x.class == class)
                .map(|x| TileView {
                    side,
                    verified: x.verified,
                    ..TileView::new(&facts.dataset.name, x.sample_id, &x.external_id, &x.title, x.has_media)
                })
                .collect(),
        })
        .collect()
}

/// (side, class): the given one and, where the model may be heard, the suggested one.
pub(super) fn shown_classes(facts: &Facts) -> Vec<(&'static str, String)> {
    let Some(e) = &facts.evidence else { return Vec::new() };
    let mut shown = vec![("given", e.suspect.given_class.clone())];
    if facts.sight.model {
        shown.push(("suggested", e.suspect.suggested_class.clone()));
    }
    // nobody had given it one
    shown.retain(|(_, class)| !class.is_empty());
    shown
}
