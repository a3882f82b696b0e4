//! `/datasets/{name}/rounds/{number}/report`: one round as a single HTML file that needs nothing else: what the
//! model gained, why (what was wrong with the data and what was fixed), and how it learnt. To be kept, printed or
//! sent.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;

use super::curves::{self, CurveView};
use super::error::PageError;
use super::ledger::{change, measured, trend};
use super::names::{ClassName, delta, score, short};
use super::reader::Moment;
use super::summary::{NoiseView, noise};
use super::training::{ClassScore, ScoreView, class_scores, scores, unverified};
use super::{Reader, render};
use crate::domain::{Step, Taxonomy};
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
    pub(super) gain: GainView,
    pub(super) flagged: String,
    pub(super) samples: String,
    pub(super) reviews: String,
    pub(super) corrections: String,
    pub(super) noise: Option<NoiseView>,
    pub(super) moves: Vec<MoveView>,
    pub(super) fixed: Vec<FixedView>,
    pub(super) scores: Vec<ScoreView>,
    pub(super) unverified: Option<String>,
    pub(super) classes: Vec<ClassChange>,
    /// Epochs of the training's networks.
    pub(super) curves: Vec<CurveView>,
}

/// What the round brought, or why that is not known.
pub(super) struct GainView {
    /// `+0.021`
    pub(super) figure: Option<String>,
    /// `up`, `down` or `same`: what the interval lets say.
    pub(super) trend: &'static str,
    /// From where to where, on what, how surely.
    pub(super) sentence: String,
    /// What was new in the training.
    pub(super) news: Option<String>,
    /// `setting: from → to`.
    pub(super) changes: Vec<String>,
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
    pub(super) curves: Vec<CurveView>,
}

fn gain(page: &Reader, t: &Told) -> GainView {
    let lang = page.lang;
    let line = t.line.as_ref();
    let found = line.and_then(|e| e.measured);
    let sentence = match (&found, line.map(|e| e.step)) {
        (Some(g), _) => match g.before {
            Some(before) => lang.fill(
                "report.gained",
                &[
                    ("before", &score(before)),
                    ("after", &score(before + g.gain)),
                    ("n", &lang.number(g.n)),
                    ("low", &delta(g.low)),
                    ("high", &delta(g.high)),
                ],
            ),
            // a line of an older version does not say from where
            None => measured(page, g),
        },
        (None, _) if t.training.is_none() => lang.text("report.no_training").to_owned(),
        (None, Some(Step::First)) => lang.text("report.first").to_owned(),
        (None, _) => lang.text("report.not_measured").to_owned(),
    };
    let news = line.filter(|e| e.step != Step::First).map(|e| {
        lang.fill(
            "report.news",
            &[
                ("what", lang.text(&format!("ledger_step.{}", e.step.as_str()))),
                ("reviews", &lang.number(e.reviews)),
                ("corrections", &lang.number(e.corrections)),
            ],
        )
    });
    GainView {
        figure: found.map(|g| delta(g.gain)),
        trend: found.map_or("same", |g| trend(&g)),
        sentence,
        news,
        changes: line.map_or_else(Vec::new, |e| e.changes.iter().map(change).collect()),
    }
}

pub(super) fn view(page: Reader, dataset: &str, taxonomy: &Taxonomy, t: Told) -> Report {
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
        gain: gain(&page, &t),
        curves: t.curves,
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
    let curves = match training.as_ref().and_then(|t| t.job_id) {
        Some(job) => curves::of_job(&services, &page, job).await?,
        None => Vec::new(),
    };
    let told = Told {
        scan: store.scan(id, round.scan_id).await?,
        moves: store.moves(id, round.scanned_at, until, MOVES).await?,
        fixed,
        training,
        before,
        line,
        curves,
        round,
    };
    let file = format!("{}-round-{number}-{}.html", dataset.name, page.lang.tag());
    let html = render(&view(page, &dataset.name, &taxonomy, told))?;
    // saved, not shown: its style is its own, which this service's pages may not have
    let disposition = format!("attachment; filename=\"{file}\"");
    Ok(([(header::CONTENT_DISPOSITION, disposition)], html).into_response())
}
