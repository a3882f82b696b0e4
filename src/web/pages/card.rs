//! The card: one sample with everything that helps to decide, in the order in which it is needed - why it is
//! here, the decision, the ranked classes, what each field says, both classes side by side, neighbours,
//! near-duplicates, history. The sample's own page and the reviewing screen show the same one.
//!
//! What must not be known ([`Sight`]) is left out before anything is rendered.

mod clip;
mod evidence;
mod others;
mod said;

use std::sync::Arc;

use askama::Template;
use uuid::Uuid;

use self::clip::{ClipView, label, status};
use self::evidence::{CandidateView, FieldView, WhyView, candidates, fields};
use self::others::{ClassView, TileView, classes, duplicate_tiles, neighbour_tiles};
use self::said::{HistoryView, by_nobody};
use super::names::ClassName;
use super::{Reader, address};
use crate::domain::Taxonomy;
use crate::store::cards::{Evidence, Example, Tile};
use crate::store::datasets::Dataset;
use crate::store::reviews::HistoryEntry;
use crate::store::samples::Sample;
use crate::store::suspects::Suspect;
use crate::store::{Result, Store};

/// What the person may know of what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Earlier people's decisions, and the label that came of them.
    pub(crate) people: bool,
    /// What the model thinks.
    pub(crate) model: bool,
}

impl Sight {
    pub(crate) const ALL: Self = Self { people: true, model: true };
}

/// How the card came to whoever looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// `None`: somebody opened the sample's own page.
    pub(crate) lease: Option<Uuid>,
    /// Keyword for scripts: `browse`, or what the lease was given for.
    pub(crate) purpose: &'static str,
    /// The person is told that something is hidden.
    pub(crate) blind: bool,
}

impl Asked {
    pub(crate) const BROWSING: Self = Self { lease: None, purpose: "browse", blind: false };
}

/// Everything that a card is made of.
pub(crate) struct Facts {
    pub(crate) dataset: Dataset,
    pub(crate) taxonomy: Arc<Taxonomy>,
    pub(crate) sample: Sample,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) sight: Sight,
    /// Neighbours and near-duplicates.
    pub(crate) tiles: Vec<Tile>,
    pub(crate) examples: Vec<Example>,
    pub(crate) history: Vec<HistoryEntry>,
}

impl Facts {
    /// Four statements, five where the taxonomy is not in memory, besides those for `dataset` and `sample`.
    pub(crate) async fn load(
        store: &Store,
        dataset: Dataset,
        sample: Sample,
        mut sight: Sight,
    ) -> Result<Self> {
        let taxonomy = store.taxonomy_of(&dataset).await?;
        let mut evidence = store.evidence(dataset.id, sample.id).await?;
        if let Some(e) = &mut evidence {
            sight = unspoilt(&mut e.suspect, label(&sample, sight), sight);
        }
        let (mut tiles, mut examples) = (Vec::new(), Vec::new());
        if let Some(e) = &evidence {
            let mut ids = others::neighbours(e);
            ids.extend(others::duplicates(e));
            tiles = store.tiles(dataset.id, &ids).await?;
            ids.push(sample.id);
            let of: Vec<String> = others::shown_classes(Some(e), sight).into_iter().map(|c| c.1).collect();
            examples = store.examples(dataset.id, e.scan_id, &of, &ids, others::EXAMPLES).await?;
        }
        let history = store.history(dataset.id, sample.id).await?;
        Ok(Self { dataset, taxonomy, sample, evidence, sight, tiles, examples, history })
    }
}

/// A scan that judged somebody's decision would tell it: where those must not be known it is not heard, and
/// the label from before stands in its place.
fn unspoilt(s: &mut Suspect, label: Option<&str>, sight: Sight) -> Sight {
    if sight.people || label == Some(&s.given_class) {
        return sight;
    }
    s.given_class = label.unwrap_or_default().to_owned();
    Sight { model: false, ..sight }
}

#[derive(Template)]
#[template(path = "parts/card.html")]
pub(crate) struct Card {
    pub(crate) page: Reader,
    pub(crate) api: String,
    /// The sample's part of addresses.
    pub(crate) key: String,
    pub(crate) sample_id: i64,
    pub(crate) scan_id: String,
    pub(crate) lease: String,
    pub(crate) purpose: &'static str,
    pub(crate) blind: bool,
    pub(crate) clip: ClipView,
    pub(crate) scanned: bool,
    pub(crate) why: Option<WhyView>,
    /// What is shown as the sample's label, and "keep" confirms.
    pub(crate) label: Option<ClassName>,
    /// The label was changed by somebody.
    pub(crate) corrected: bool,
    /// The suggestion, where it is not the label already.
    pub(crate) suggested: Option<ClassName>,
    pub(crate) status: &'static str,
    pub(crate) status_name: String,
    pub(crate) candidates: Vec<CandidateView>,
    pub(crate) fields: Vec<FieldView>,
    pub(crate) classes: Vec<ClassView>,
    pub(crate) neighbours: Vec<TileView>,
    pub(crate) duplicates: Vec<TileView>,
    pub(crate) history: Vec<HistoryView>,
}

impl Card {
    pub(crate) fn of(page: &Reader, facts: &Facts, asked: Asked) -> Self {
        let (taxonomy, sample) = (&facts.taxonomy, &facts.sample);
        let sight = facts.sight;
        let label = label(sample, sight);
        let heard = facts.evidence.as_ref().filter(|_| sight.model);
        let class = |id: &str| ClassName::of(taxonomy, id, page.lang);
        let status = status(sample, sight);
        Self {
            api: format!("/api/v1{}", address::dataset(&facts.dataset.name)),
            key: address::sample_key(&sample.external_id, sample.id),
            sample_id: sample.id,
            scan_id: facts.evidence.as_ref().map(|e| e.scan_id.to_string()).unwrap_or_default(),
            lease: asked.lease.map(|l| l.to_string()).unwrap_or_default(),
            purpose: asked.purpose,
            blind: asked.blind,
            clip: ClipView::of(page, &facts.dataset.name, sample),
            scanned: facts.evidence.is_some(),
            why: heard.map(|e| WhyView::of(page, taxonomy, e)),
            label: label.map(class),
            corrected: sight.people
                && sample.given_class.is_some()
                && sample.current_class != sample.given_class,
            suggested: heard.map(|e| &*e.suspect.suggested_class).filter(|s| label != Some(s)).map(class),
            status,
            status_name: page.lang.text(&format!("status.{status}")).to_owned(),
            candidates: heard.map(|e| candidates(page, taxonomy, e, label)).unwrap_or_default(),
            fields: heard.map(|e| fields(page, taxonomy, e)).unwrap_or_default(),
            classes: classes(page, facts),
            neighbours: neighbour_tiles(page, facts),
            duplicates: duplicate_tiles(page, facts),
            history: facts
                .history
                .iter()
                .filter(|e| sight.people || by_nobody(e))
                .map(|e| HistoryView::of(page, taxonomy, e))
                .collect(),
            page: page.clone(),
        }
    }

    pub(crate) fn title(&self) -> &str {
        if self.clip.title.is_empty() { &self.clip.external_id } else { &self.clip.title }
    }
}
