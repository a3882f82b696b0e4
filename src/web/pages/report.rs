//! `/datasets/{name}/rounds/{number}/report`: one round as a single HTML file that needs nothing else: what was
//! wrong with the data, what was fixed, and what the model gained. To be kept, printed or sent.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;

use super::error::PageError;
use super::ledger::measured;
use super::names::{ClassName, short};
use super::reader::Moment;
use super::summary::{NoiseView, noise};
use super::training::{ClassScore, ScoreView, class_scores, scores, unverified};
use super::{Reader, render};
use crate::domain::Taxonomy;
use crate::jobs::Services;
use crate::store::StoreError;
use crate::store::ledger::{Correction, Entry, Move};
use crate::store::scans::{Round, Scan};
use crate::store::trainings::Training;
use crate::web::error::Problem;

/// Rounds that are looked through for the number.
const MOST_ROUNDS: i64 = 10_000;
const MOVES: i64 = 20;
const FIXED: i64 = 12;

#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Report {
    pub(super) page: Reader,
    pub(super) title: String,
    pub(super) at: Moment,
    pub(super) snapshot: String,
    pub(super) flagged: String,
    pub(super) samples: String,
    pub(super) reviews: String,
    pub(super) corrections: String,
    pub(super) noise: Option<NoiseView>,
    pub(super) moves: Vec<MoveView>,
    pub(super) fixed: Vec<FixedView>,
    pub(super) scores: Vec<ScoreView>,
    /// The gain on the same samples and labels.
    pub(super) measured: Option<String>,
    pub(super) unverified: Option<String>,
    pub(super) classes: Vec<ClassChange>,
}

pub(super) struct MoveView {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) n: String,
}

pub(super) struct FixedView {
    pub(super) title: String,
    pub(super) from: String,
    pub(super) to: String,
    /// A data URL.
    pub(super) picture: Option<String>,
}

/// F1 of a class before and after.
pub(super) struct ClassChange {
    pub(super) name: String,
    pub(super) support: String,
    pub(super) before: String,
    pub(super) after: String,
    pub(super) before_width: String,
    pub(super) after_width: String,
}

/// All that a report tells.
pub(super) struct Told {
    pub(super) round: Round,
    pub(super) scan: Scan,
    pub(super) moves: Vec<Move>,
    pub(super) fixed: Vec<(Correction, Option<String>)>,
    pub(super) training: Option<Training>,
    pub(super) before: Option<Training>,
    pub(super) line: Option<Entry>,
}

pub(super) fn view(page: Reader, dataset: &str, taxonomy: &Taxonomy, t: &Told) -> Report {
    let lang = page.lang;
    let class = |id: &Option<String>| match id {
        Some(id) => ClassName::of(taxonomy, id, lang).path,
        None => lang.text("snapshots.unlabelled").to_owned(),
    };
    let metrics = t.training.as_ref().map(|t| &t.metrics);
    let old = t.before.as_ref().map(|b| &b.metrics);
    let earlier: HashMap<String, ClassScore> = old
        .map(|m| class_scores(&page, taxonomy, m).into_iter().map(|c| (c.class.id.clone(), c)).collect())
        .unwrap_or_default();
    let classes = metrics.map(|m| class_scores(&page, taxonomy, m)).unwrap_or_default();
    Report {
        title: lang.t2("report.title", "dataset", dataset, "number", t.round.number),
        at: t.round.scanned_at.into(),
        snapshot: short(&t.round.snapshot_id),
        flagged: lang.number(t.round.n_flagged),
        samples: lang.t1("noise.flagged_of", "n", lang.number(t.round.n_samples)),
        reviews: lang.number(t.round.reviews),
        corrections: lang.number(t.round.corrections),
        noise: noise(&page, taxonomy, &t.scan.summary),
        moves: t
            .moves
            .iter()
            .map(|m| MoveView { from: class(&m.from), to: class(&m.to), n: lang.number(m.n) })
            .collect(),
        fixed: t
            .fixed
            .iter()
            .map(|(c, picture)| FixedView {
                title: if c.title.is_empty() { c.external_id.clone() } else { c.title.clone() },
                from: class(&c.from),
                to: class(&c.to),
                picture: picture.clone(),
            })
            .collect(),
        scores: metrics.map(|m| scores(&page, m, old)).unwrap_or_default(),
        measured: t.line.as_ref().and_then(|e| e.measured).map(|g| measured(&page, &g)),
        unverified: metrics.and_then(|m| unverified(&page, m)),
        classes: classes
            .into_iter()
            .map(|c| {
                let before = earlier.get(&c.class.id);
                ClassChange {
                    before: before.map_or_else(|| "–".into(), |b| b.f1.clone()),
                    before_width: before.map_or_else(|| "0%".into(), |b| b.width.clone()),
                    name: c.class.path,
                    support: c.support,
                    after: c.f1,
                    after_width: c.width,
                }
            })
            .collect(),
        page,
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path((name, number)): Path<(String, i64)>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let id = dataset.id;
    let taxonomy = store.taxonomy(id).await?;
    let mut rounds = store.rounds(id, MOST_ROUNDS).await?;
    let until = rounds.iter().find(|r| r.number == number + 1).map(|r| r.scanned_at);
    let at = rounds
        .iter()
        .position(|r| r.number == number)
        .ok_or_else(|| StoreError::not_found("round", number.to_string()))?;
    let round = rounds.swap_remove(at);
    let mut fixed = Vec::new();
    for c in store.corrections(id, round.scanned_at, until, FIXED).await? {
        let picture = match &c.poster_blob {
            Some(blob) => {
                Some(services.blobs.get(blob).await.map_err(|e| PageError::Refused(Problem::from(e)))?)
            }
            None => None,
        };
        let url = picture.map(|p| {
            format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(p))
        });
        fixed.push((c, url));
    }
    let training = match round.training_id {
        Some(t) => Some(store.training(id, t).await?),
        None => None,
    };
    let before = match training.as_ref().and_then(|t| t.previous_id) {
        Some(t) => Some(store.training(id, t).await?),
        None => None,
    };
    let line = match &training {
        Some(t) => store.ledger_of(id, t.id).await?,
        None => None,
    };
    let told = Told {
        scan: store.scan(id, round.scan_id).await?,
        moves: store.moves(id, round.scanned_at, until, MOVES).await?,
        fixed,
        training,
        before,
        line,
        round,
    };
    let file = format!("{}-round-{number}-{}.html", dataset.name, page.lang.tag());
    let html = render(&view(page, &dataset.name, &taxonomy, &told))?;
    // saved, not shown: its style is its own, which this service's pages may not have
    let disposition = format!("attachment; filename=\"{file}\"");
    Ok(([(header::CONTENT_DISPOSITION, disposition)], html).into_response())
}
