//! `/datasets/{name}/quality`: what reviewing brings and whether to go on, how far people agree, how well
//! each decides. Leads see everybody, others themselves.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::names::{ClassName, Share, score};
use super::reader::Moment;
use super::{Reader, address, render};
use crate::domain::Taxonomy;
use crate::jobs::measures::{
    self, Advice, AgreementReport, For, Measured, PeopleReport, PersonQuality, Rate, YieldLine, YieldReport,
};
use crate::jobs::{JobError, Services};
use crate::web::access::{As, Who};
use crate::web::api::measures::seen_by;

/// Classes in the table of the least agreed.
const CLASSES: usize = 20;

#[derive(Template)]
#[template(path = "quality.html")]
pub(super) struct QualityPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) href: String,
    /// Everybody is shown.
    pub(super) lead: bool,
    pub(super) advice: Option<AdviceView>,
    pub(super) left: Option<String>,
    pub(super) yields: Vec<YieldView>,
    pub(super) yield_detail: String,
    pub(super) agreement: Vec<AgreementView>,
    pub(super) agreement_detail: String,
    pub(super) pairs: Vec<AgreementView>,
    pub(super) classes: Vec<ClassView>,
    pub(super) confused: Vec<ConfusedView>,
    pub(super) people: Vec<PersonView>,
    pub(super) enough: String,
    pub(super) pace: Vec<String>,
}

pub(super) struct AdviceView {
    pub(super) sentence: String,
    pub(super) verdict: String,
    pub(super) stop: bool,
    pub(super) basis: String,
}

/// A bar of the picture and a row of the table beneath.
pub(super) struct YieldView {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) decisions: String,
    pub(super) corrections: String,
    pub(super) per_100: String,
    pub(super) interval: String,
    pub(super) title: String,
    /// In shares of the picture: `12.5%`.
    pub(super) x: String,
    pub(super) middle: String,
    pub(super) width: String,
    pub(super) y: String,
    pub(super) height: String,
    pub(super) low: String,
    pub(super) high: String,
}

pub(super) struct AgreementView {
    pub(super) name: String,
    pub(super) samples: String,
    /// The coefficient; else why there is none.
    pub(super) value: String,
    pub(super) span: Option<SpanView>,
}

/// An interval between 0 and 1.
pub(super) struct SpanView {
    pub(super) title: String,
    pub(super) low: String,
    pub(super) at: String,
    pub(super) high: String,
}

pub(super) struct ClassView {
    pub(super) class: ClassName,
    pub(super) href: String,
    pub(super) samples: String,
    pub(super) share: String,
    pub(super) span: SpanView,
}

pub(super) struct ConfusedView {
    pub(super) a: ClassName,
    pub(super) b: ClassName,
    pub(super) a_href: String,
    pub(super) b_href: String,
    pub(super) samples: String,
    pub(super) share: String,
    pub(super) span: SpanView,
}

pub(super) struct PersonView {
    pub(super) name: String,
    pub(super) own: bool,
    pub(super) decisions: String,
    /// Against gold, against consensus, corrects, keeps.
    pub(super) rates: Vec<RateView>,
    pub(super) taken: Vec<String>,
}

pub(super) struct RateView {
    pub(super) text: String,
    /// `n` and, where it is told, the interval.
    pub(super) detail: String,
    pub(super) told: bool,
}

fn number(page: &Reader, n: usize) -> String {
    page.lang.number(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Whole numbers of labels, as people speak of them.
fn rounded(page: &Reader, n: f64) -> String {
    page.lang.number(n.round() as i64)
}

fn percent(page: &Reader, share: f64) -> String {
    page.lang.percent(share as f32)
}

fn span(page: &Reader, value: f64, low: f64, high: f64, title: String) -> SpanView {
    let width = |v: f64| Share::of(v as f32, page.lang).width;
    SpanView { title, low: width(low), at: width(value), high: width(high) }
}

fn between(page: &Reader, low: &str, high: &str) -> String {
    page.lang.t2("quality.between", "low", low, "high", high)
}

impl AdviceView {
    fn of(page: &Reader, a: &Advice) -> Self {
        let lang = page.lang;
        let facts = [
            ("next", number(page, a.next)),
            ("corrects", rounded(page, a.corrects)),
            ("breaks", rounded(page, a.breaks)),
        ];
        let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let pays = number(page, a.pays);
        let verdict = match (a.pays, a.at_least) {
            (0, _) => lang.text("quality.stop").to_owned(),
            (_, true) => lang.t1("quality.go_on_at_least", "n", pays),
            (_, false) => lang.t1("quality.go_on", "n", pays),
        };
        let basis = if a.known == 0 {
            lang.t1("quality.assumed", "share", percent(page, a.reviewer_corrects))
        } else {
            let known = number(page, a.known);
            let (corrects, keeps) = (percent(page, a.reviewer_corrects), percent(page, a.reviewer_keeps));
            lang.fill("quality.measured", &[("n", &known), ("corrects", &corrects), ("keeps", &keeps)])
        };
        Self { sentence: lang.fill("quality.advice", &facts), verdict, stop: a.pays == 0, basis }
    }
}

fn yields(page: &Reader, lines: &[YieldLine]) -> Vec<YieldView> {
    let most = lines.iter().map(|l| l.high).fold(1.0, f64::max);
    let width = 100.0 / lines.len().max(1) as f64;
    let of = |share: f64| format!("{share:.2}%");
    let height = |per_100: f64| per_100 / most * 100.0;
    let one = |v: f64| format!("{v:.1}");
    lines
        .iter()
        .enumerate()
        .map(|(i, l)| {
            let interval = between(page, &one(l.low), &one(l.high));
            let x = i as f64 * width;
            YieldView {
                from: l.from.into(),
                to: l.to.into(),
                decisions: page.lang.number(l.decisions),
                corrections: page.lang.number(l.corrections),
                title: page.lang.t2("quality.bar", "per_100", one(l.per_100), "interval", &interval),
                per_100: one(l.per_100),
                interval,
                x: of(x + width * 0.1),
                middle: of(x + width * 0.5),
                width: of(width * 0.8),
                y: of(100.0 - height(l.per_100)),
                height: of(height(l.per_100)),
                low: of(100.0 - height(l.low)),
                high: of(100.0 - height(l.high)),
            }
        })
        .collect()
}

fn agreement(page: &Reader, name: String, a: &Measured) -> AgreementView {
    AgreementView {
        name,
        samples: number(page, a.samples),
        value: match (&a.interval, &a.undefined) {
            (Some(i), _) => score(i.value),
            (None, Some(why)) => page.lang.text(&format!("quality.undefined.{}", why.as_str())).to_owned(),
            (None, None) => String::new(),
        },
        span: a
            .interval
            .map(|i| span(page, i.value, i.low, i.high, between(page, &score(i.low), &score(i.high)))),
    }
}

fn rate(page: &Reader, r: &Rate) -> RateView {
    let n = number(page, r.n);
    match (r.share, r.low, r.high) {
        (Some(share), Some(low), Some(high)) => RateView {
            text: percent(page, share),
            detail: page.lang.fill(
                "quality.rate",
                &[("low", &percent(page, low)), ("high", &percent(page, high)), ("n", &n)],
            ),
            told: true,
        },
        _ => RateView {
            text: page.lang.text("quality.not_enough").to_owned(),
            detail: page.lang.t1("quality.of_n", "n", n),
            told: false,
        },
    }
}

fn person(page: &Reader, taxonomy: &Taxonomy, who: &str, p: &PersonQuality) -> PersonView {
    let lang = page.lang;
    let name = |id: &str| ClassName::of(taxonomy, id, lang).name;
    PersonView {
        own: p.name == who,
        name: page.author(&p.name),
        decisions: lang.number(p.decisions),
        rates: [p.gold, p.consensus, p.corrects, p.keeps].iter().map(|r| rate(page, r)).collect(),
        taken: p
            .taken
            .iter()
            .map(|t| {
                lang.fill(
                    "quality.takes",
                    &[
                        ("class", &name(&t.class)),
                        ("said", &name(&t.said)),
                        ("n", &number(page, t.n)),
                        ("of", &number(page, t.of)),
                    ],
                )
            })
            .collect(),
    }
}

/// Sentences about time; see the note on the page about what is not kept.
fn pace(page: &Reader, report: &PeopleReport) -> Vec<String> {
    let seconds = |ms: f64| format!("{:.1}", ms / 1000.0);
    let lang = page.lang;
    let mut out = vec![match &report.pace {
        None => lang.text("quality.pace_hidden").to_owned(),
        Some(p) => lang.fill(
            "quality.pace",
            &[
                ("median", &seconds(p.median_ms)),
                ("low", &seconds(p.quarter_ms)),
                ("high", &seconds(p.three_quarters_ms)),
                ("n", &lang.number(p.decisions)),
                ("people", &lang.number(p.people)),
            ],
        ),
    }];
    let own = report.people.iter().find_map(|p| p.median_ms);
    out.extend(own.map(|ms| lang.t1("quality.own_pace", "median", seconds(ms))));
    out
}

/// The three reports of a dataset.
pub(super) struct Reports {
    pub(super) agreement: AgreementReport,
    pub(super) people: PeopleReport,
    pub(super) yields: YieldReport,
}

pub(super) fn view(
    page: Reader,
    dataset: String,
    taxonomy: &Taxonomy,
    who: &For,
    r: &Reports,
) -> QualityPage {
    let lang = page.lang;
    let href = address::dataset(&dataset);
    let class = |id: &str| ClassName::of(taxonomy, id, lang);
    let guide = |id: &str| format!("{href}/guide/{}", address::part(id));
    let a = &r.agreement;
    let named = |key: &str, m: &Measured| agreement(&page, lang.text(key).to_owned(), m);
    QualityPage {
        lead: matches!(who, For::Lead(_)),
        advice: r.yields.advice.as_ref().map(|a| AdviceView::of(&page, a)),
        left: r.yields.left.zip(r.yields.open).map(|(left, open)| {
            lang.fill(
                "quality.left",
                &[
                    ("estimate", &number(&page, left.estimate)),
                    ("low", &number(&page, left.low)),
                    ("high", &number(&page, left.high)),
                    ("open", &lang.number(open)),
                ],
            )
        }),
        yields: yields(&page, &r.yields.stretches),
        yield_detail: lang.t2(
            "quality.yield_detail",
            "n",
            lang.number(r.yields.decisions),
            "stretch",
            lang.number(r.yields.stretch),
        ),
        agreement: vec![
            named("quality.raw", &a.raw),
            named("quality.fleiss", &a.fleiss),
            named("quality.alpha", &a.krippendorff),
        ],
        agreement_detail: lang.fill(
            "quality.agreement_detail",
            &[
                ("decisions", &number(&page, a.decisions)),
                ("people", &number(&page, a.people)),
                ("seen", &number(&page, a.seen_others)),
            ],
        ),
        pairs: a
            .pairs
            .iter()
            .map(|p| {
                let name = lang.t2("quality.two", "a", page.author(&p.a), "b", page.author(&p.b));
                agreement(&page, name, &p.cohen)
            })
            .collect(),
        classes: a
            .classes
            .iter()
            .take(CLASSES)
            .map(|c| ClassView {
                class: class(&c.class),
                href: guide(&c.class),
                samples: number(&page, c.samples),
                share: percent(&page, c.share),
                span: interval(&page, c.share, c.low, c.high),
            })
            .collect(),
        confused: a
            .confused
            .iter()
            .map(|c| ConfusedView {
                a: class(&c.a),
                b: class(&c.b),
                a_href: guide(&c.a),
                b_href: guide(&c.b),
                samples: lang.t2("quality.n_of", "n", number(&page, c.samples), "of", number(&page, c.of)),
                share: percent(&page, c.share),
                span: interval(&page, c.share, c.low, c.high),
            })
            .collect(),
        people: r.people.people.iter().map(|p| person(&page, taxonomy, who.name(), p)).collect(),
        enough: number(&page, r.people.enough),
        pace: pace(&page, &r.people),
        href,
        dataset,
        page,
    }
}

fn interval(page: &Reader, share: f64, low: f64, high: f64) -> SpanView {
    span(page, share, low, high, between(page, &percent(page, low), &percent(page, high)))
}

pub(super) async fn show(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let dataset = services.store.dataset(&name).await?;
    let taxonomy = services.store.taxonomy(dataset.id).await?;
    let who = seen_by(&viewer, role);
    let failed = |e: JobError| PageError::Refused(e.into());
    let reports = Reports {
        agreement: measures::agreement(&services, dataset.id, &taxonomy, &who).await.map_err(failed)?,
        people: measures::people(&services, dataset.id, &who).await.map_err(failed)?,
        yields: measures::yields(&services, dataset.id).await.map_err(failed)?,
    };
    render(&view(page, dataset.name, &taxonomy, &who, &reports))
}
