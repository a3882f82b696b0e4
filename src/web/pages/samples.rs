//! `/datasets/{name}/samples`: every sample in the order it came in, by class, split, what it lacks, and what
//! rules did to it.
//! Where the counts of missing fields and bad media lead.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use uuid::Uuid;

use super::error::PageError;
use super::names::ClassName;
use super::reader::clock;
use super::suspects::{Group, Pick, class_groups, picks};
use super::{Reader, address, render};
use crate::domain::{Gap, MediaState, Split, Taxonomy};
use crate::jobs::Services;
use crate::store::samples::{Sample, SampleFilter};

const ON_A_PAGE: i64 = 50;
const RULES_LISTED: i64 = 200;

#[derive(Template)]
#[template(path = "samples.html")]
pub(super) struct SamplesPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) href: String,
    pub(super) rows: Vec<SampleRow>,
    pub(super) classes: Vec<Group>,
    pub(super) splits: Vec<Pick>,
    pub(super) gaps: Vec<Pick>,
    /// Empty where there are no rules.
    pub(super) rules: Vec<Pick>,
    pub(super) exclusions: Vec<Pick>,
    /// What is searched for in the texts.
    pub(super) text: String,
    pub(super) filtered: bool,
    /// The same samples as tiles.
    pub(super) grid: String,
    pub(super) first: Option<String>,
    pub(super) next: Option<String>,
}

pub(super) struct SampleRow {
    pub(super) href: String,
    pub(super) title: String,
    pub(super) external_id: String,
    pub(super) poster: Option<String>,
    pub(super) video: String,
    pub(super) duration: Option<String>,
    pub(super) class: Option<ClassName>,
    pub(super) source: Option<String>,
    pub(super) split: String,
    /// What it lacks, worded.
    pub(super) lacks: Vec<String>,
    /// What rules did to it, worded.
    pub(super) by_rules: Vec<String>,
}

impl SampleRow {
    pub(super) fn of(page: &Reader, dataset: &str, taxonomy: &Taxonomy, s: &Sample) -> Self {
        let lang = page.lang;
        let media = |kind: &str| format!("/{kind}/{}/{}", address::part(dataset), s.id);
        let ready = s.media_state == MediaState::Ready;
        let gaps = [
            (s.text.title.is_empty(), Gap::Title),
            (s.text.asr.is_empty(), Gap::Asr),
            (s.text.ocr.is_empty(), Gap::Ocr),
            (s.media_state == MediaState::None && s.media_blob.is_none(), Gap::Media),
            (s.media_state == MediaState::None && s.media_blob.is_some(), Gap::MediaPending),
        ];
        let mut lacks: Vec<String> = gaps
            .into_iter()
            .filter(|(lacking, _)| *lacking)
            .map(|(_, gap)| lang.text(&format!("gap.{}", gap.as_str())).to_owned())
            .collect();
        if s.media_state == MediaState::Bad {
            let code = s.media_error.as_deref().unwrap_or("");
            let why = lang.find(&format!("media_error.{code}")).unwrap_or(code);
            lacks.push(lang.fill("samples.bad", &[("why", why)]));
        }
        Self {
            by_rules: by_rules(page, s),
            href: address::sample(dataset, &s.external_id, s.id),
            title: s.text.title.clone(),
            external_id: s.external_id.clone(),
            poster: ready.then(|| media("poster")),
            video: media("media"),
            duration: s.duration_ms.filter(|_| ready).map(|ms| clock(i64::from(ms))),
            class: s.current_class.as_ref().map(|c| ClassName::of(taxonomy, c, lang)),
            source: s.label_source.map(|l| lang.text(&format!("label_source.{}", l.as_str())).to_owned()),
            split: lang.text(&format!("split.{}", s.split.as_str())).to_owned(),
            lacks,
        }
    }
}

/// Which rules flag and exclude a sample, a sentence each.
pub(super) fn by_rules(page: &Reader, s: &Sample) -> Vec<String> {
    let worded = |key: &str, rules: &[String]| {
        let rules = rules.join(page.lang.text("list.separator"));
        (!rules.is_empty()).then(|| page.lang.fill(key, &[("rules", &rules)]))
    };
    [worded("samples.excluded_by", &s.excluded_by), worded("samples.flagged_by", &s.flagged_by)]
        .into_iter()
        .flatten()
        .collect()
}

/// The rules of the dataset to choose from; a run or an archived rule that was asked for is one of them.
async fn rule_picks(services: &Services, dataset: Uuid, asked: Option<&str>) -> Result<Vec<Pick>, PageError> {
    let rules = services.store.rules(dataset, false, None, RULES_LISTED).await?.items;
    let mut names: Vec<String> = rules.into_iter().map(|r| r.name).collect();
    names.extend(
        asked.filter(|a| !names.iter().any(|n| n == a)).map(str::to_owned).into_iter().collect::<Vec<_>>(),
    );
    let pick = |name: String| Pick { chosen: asked == Some(&name), value: name.clone(), name };
    Ok(names.into_iter().map(pick).collect())
}

/// The parts of an address that choose samples, as a filter and as the query that says the same.
pub(super) fn filter(query: impl Fn(&str) -> Option<String>) -> (SampleFilter, Vec<(&'static str, String)>) {
    let filter = SampleFilter {
        class: query("class"),
        split: query("split").and_then(|s| Split::parse(&s)),
        missing: query("missing").and_then(|m| Gap::parse(&m)),
        rule: query("rule"),
        excluded: query("excluded").and_then(|e| e.parse().ok()),
        text: query("text"),
    };
    let mut kept = Vec::new();
    kept.extend(filter.text.clone().map(|t| ("text", t)));
    kept.extend(filter.class.clone().map(|c| ("class", c)));
    kept.extend(filter.split.map(|s| ("split", s.as_str().to_owned())));
    kept.extend(filter.missing.map(|m| ("missing", m.as_str().to_owned())));
    kept.extend(filter.rule.clone().map(|r| ("rule", r)));
    kept.extend(filter.excluded.map(|e| ("excluded", e.to_string())));
    (filter, kept)
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let (filter, kept) = filter(|name| page.query(name).map(str::to_owned));
    let after = page.query("after").and_then(|a| a.parse::<i64>().ok()).unwrap_or(0);
    let got = store.samples(dataset.id, &filter, page.audience(), after, ON_A_PAGE).await?;
    let dataset_href = address::dataset(&dataset.name);
    let href = format!("{dataset_href}/samples");
    let at = |more: Option<String>| {
        let mut query = kept.clone();
        query.extend(more.map(|m| ("after", m)));
        if query.is_empty() { href.clone() } else { format!("{href}?{}", address::query(&query)) }
    };
    render(&SamplesPage {
        rows: got.items.iter().map(|s| SampleRow::of(&page, &dataset.name, &taxonomy, s)).collect(),
        classes: class_groups(&page, &taxonomy, filter.class.as_deref()),
        splits: picks(&page, &Split::ALL, Split::as_str, "split", filter.split),
        gaps: picks(&page, &Gap::ALL, Gap::as_str, "gap", filter.missing),
        rules: rule_picks(&services, dataset.id, filter.rule.as_deref()).await?,
        exclusions: [(false, "samples.in_use"), (true, "samples.left_out")]
            .map(|(excluded, key)| Pick {
                value: excluded.to_string(),
                name: page.t(key).to_owned(),
                chosen: filter.excluded == Some(excluded),
            })
            .into(),
        text: filter.text.clone().unwrap_or_default(),
        filtered: !kept.is_empty(),
        grid: at(None).replacen("/samples", "/grid", 1),
        first: (after > 0).then(|| at(None)),
        next: got.next.map(|n| at(Some(n))),
        dataset: dataset.name,
        dataset_href,
        href,
        page,
    })
}
