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

use self::clip::ClipView;
use self::evidence::{CandidateView, FieldView, WhyView, candidates, fields};
use self::others::{ClassView, TileView, classes, duplicate_tiles, neighbour_tiles};
use self::said::{HistoryView, LookView};
use super::names::ClassName;
use super::suspects::status_of;
use super::{Reader, address};
use crate::domain::{Purpose, Taxonomy};
use crate::store::cards::{Evidence, Example, Tile};
use crate::store::datasets::Dataset;
use crate::store::guides::Guide;
use crate::store::looks::EarlierLook;
use crate::store::queue::Lease;
use crate::store::reviews::HistoryEntry;
use crate::store::samples::Sample;
use crate::store::telling::Audience;
use crate::store::{Result, Store, StoreError};

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
    /// The class that is shown as the sample's label, and that "keep" confirms.
    pub(crate) label: Option<String>,
    /// Neighbours and near-duplicates.
    pub(crate) tiles: Vec<Tile>,
    pub(crate) examples: Vec<Example>,
    /// Of the classes between which the label stands.
    pub(crate) guides: Vec<Guide>,
    pub(crate) history: Vec<HistoryEntry>,
    /// For whoever settles them.
    pub(crate) looks: Vec<EarlierLook>,
}

impl Facts {
    /// Four statements, one more where the taxonomy is not in memory and one for annotators, besides those for what
    /// it is `of`. `label`: what is to be shown as the sample's label; `None`: its current one.
    pub(crate) async fn load(
        store: &Store,
        (dataset, sample, history): (Dataset, Sample, Vec<HistoryEntry>),
        audience: Audience<'_>,
        sight: Sight,
        label: Option<String>,
    ) -> Result<Self> {
        let mut facts = Self {
            taxonomy: store.taxonomy_of(&dataset).await?,
            evidence: store.evidence(dataset.id, sample.id).await?,
            history,
            dataset,
            sample,
            sight,
            label: None,
            tiles: Vec::new(),
            examples: Vec::new(),
            guides: Vec::new(),
            looks: Vec::new(),
        };
        let mut beside: Vec<i64> = Vec::new();
        if let Some(e) = &facts.evidence {
            beside = others::neighbours(e);
            beside.extend(others::duplicates(e));
        }
        let ids = [beside.as_slice(), &[facts.sample.id]].concat();
        let told = store.told(facts.dataset.id, audience, &ids).await?;
        let own = told.get(&facts.sample.id).zip(audience.annotator());
        if let Some((own, person)) = own {
            own.tell(&mut facts.sample);
            facts.history.retain(|e| e.told_to(person, false));
        }
        facts.hide(sight, label);
        if let Some((own, _)) = own {
            facts.hide_judgement(|judged| own.knows(judged));
        }
        if let Some(e) = &facts.evidence {
            facts.tiles = store.tiles_by_id(facts.dataset.id, &beside).await?;
            for tile in &mut facts.tiles {
                if let Some(told) = told.get(&tile.sample_id) {
                    tile.class.clone_from(&told.class);
                }
            }
            let of: Vec<String> = others::shown_classes(&facts).into_iter().map(|c| c.1).collect();
            facts.examples = store.examples(facts.dataset.id, e.scan_id, &of, &ids, others::EXAMPLES).await?;
            facts.guides = store.guides_of(facts.dataset.id, &of).await?;
        }
        Ok(facts)
    }

    /// A scan that judged somebody's hidden decision is not heard.
    fn hide_judgement(&mut self, open: impl Fn(&str) -> bool) {
        if let Some(e) = &mut self.evidence
            && !e.suspect.given_class.is_empty()
            && !open(&e.suspect.given_class)
        {
            self.sight.model = false;
            e.suspect.given_class = self.label.clone().unwrap_or_default();
        }
    }

    /// Leaves out what must not be known. A scan that judged somebody's decision would tell it: then the model
    /// is not heard either, and the label from before stands in the decision's place.
    pub(crate) fn hide(&mut self, sight: Sight, label: Option<String>) {
        self.sight = sight;
        self.label = label.or_else(|| clip::label(&self.sample, sight).map(str::to_owned));
        if sight.people {
            return;
        }
        self.history.retain(HistoryEntry::by_nobody);
        self.sample.review = None;
        let label = self.label.clone();
        self.hide_judgement(|judged| label.as_deref() == Some(judged));
    }
}

/// The card as whoever holds `lease` may see it.
pub(crate) async fn of_lease(store: &Store, page: &Reader, dataset: Dataset, lease: &Lease) -> Result<Card> {
    let sample = store.samples_by_id(dataset.id, &[lease.sample_id]).await?.pop();
    let sample = sample.ok_or_else(|| StoreError::not_found("sample", lease.sample_id.to_string()))?;
    let sight = Sight { people: !lease.blind, model: !lease.hide_model };
    let history = store.history(dataset.id, sample.id).await?;
    let of = (dataset, sample, history);
    let mut facts = Facts::load(store, of, page.audience(), sight, lease.label.clone()).await?;
    if lease.purpose == Purpose::Adjudicate {
        facts.looks = store.looks(facts.dataset.id, lease.sample_id).await?;
        // where their authors are not told, the history would
        if facts.looks.iter().any(|l| l.author.is_none()) {
            facts.history.retain(HistoryEntry::by_nobody);
        }
    }
    let asked = Asked { lease: Some(lease.id), purpose: lease.purpose.told(), blind: lease.told_blind() };
    Ok(Card::of(page, &facts, asked))
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
    pub(crate) looks: Vec<LookView>,
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
        let (sight, label) = (facts.sight, facts.label.as_deref());
        let heard = facts.evidence.as_ref().filter(|_| sight.model);
        let class = |id: &str| ClassName::of(taxonomy, id, page.lang);
        let status = status_of(sample.review.as_deref());
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
            looks: (facts.looks.iter().zip(1..))
                .map(|(look, n)| LookView::of(page, taxonomy, n, look, label))
                .collect(),
            candidates: heard.map(|e| candidates(page, taxonomy, e, label)).unwrap_or_default(),
            fields: heard.map(|e| fields(page, taxonomy, e)).unwrap_or_default(),
            classes: classes(page, facts),
            neighbours: neighbour_tiles(page, facts),
            duplicates: duplicate_tiles(page, facts),
            history: facts.history.iter().map(|e| HistoryView::of(page, taxonomy, e)).collect(),
            page: page.clone(),
        }
    }

    pub(crate) fn title(&self) -> &str {
        if self.clip.title.is_empty() { &self.clip.external_id } else { &self.clip.title }
    }
}
