//! Numbers about people and labels: how far people agree, how well each decides, what reviewing brings,
//! and what is left. Computed when asked for, from what is stored; nothing of it is kept.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rerank::{Errors, learning};
use super::{JobError, Services};
use crate::detect::agreement;
pub use crate::detect::agreement::{Agreement as Measured, Interval, Undefined};
use crate::detect::annotators::{Vote, Votes};
use crate::detect::fusion::ErrorCount;
use crate::detect::value::{Known, Reviewer, outlook, wilson};
use crate::domain::Taxonomy;
use crate::store::measures::{Look, Settled, Times};
use crate::store::scans::Scan;

/// Standard deviations of the intervals: 95 %.
const Z: f64 = 1.96;
/// A share of fewer is not told: it would say more about luck.
pub const ENOUGH: usize = 20;
/// Pairs of people are compared among so many with the most shared samples.
const MOST_PEOPLE: usize = 20;
/// Pairs of classes, and classes that a person takes for others.
const MOST_PAIRS: usize = 30;
const MOST_TAKEN: usize = 5;
/// People without whom a median of all would tell the pace of one.
const FEWEST_PEOPLE: i64 = 3;
/// Decisions in a stretch of the yield, and how many stretches at most.
const STRETCH: i64 = 50;
const MOST_STRETCHES: i64 = 30;
/// The advice looks so far ahead, and speaks of the next so many.
pub(super) const AHEAD: i64 = 20_000;
const NEXT: usize = 100;

/// How far people agree.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgreementReport {
    /// People who share samples with others, and their decisions on them that count.
    pub people: usize,
    pub decisions: usize,
    /// Decisions that were left out because the person could see what others had said.
    pub seen_others: usize,
    /// Mean share of pairs of people who say the same.
    pub raw: Measured,
    pub fleiss: Measured,
    pub krippendorff: Measured,
    /// Cohen's kappa of each two people who share samples; of leads only.
    pub pairs: Vec<PairAgreement>,
    /// Least agreed first.
    pub classes: Vec<ClassLine>,
    /// Classes that people take for each other, most samples first.
    pub confused: Vec<ConfusedLine>,
}

/// Cohen's kappa of two people.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PairAgreement {
    pub a: String,
    pub b: String,
    pub cohen: Measured,
}

/// Measured on one class: chance that another person says it too when one does.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClassLine {
    pub class: String,
    pub samples: usize,
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// Two classes of which one person said one and another the other.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConfusedLine {
    pub a: String,
    pub b: String,
    /// Samples for which both were said, of those for which either was.
    pub samples: usize,
    pub of: usize,
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// A share with its 95 % interval (Wilson); told only when it rests on [`ENOUGH`] decisions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Rate {
    pub n: usize,
    pub hits: usize,
    pub enough: bool,
    pub share: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Rate {
    fn of(hits: usize, n: usize) -> Self {
        let enough = n >= ENOUGH;
        let (low, high) = wilson(hits, n, Z);
        let told = |v: f64| enough.then_some(v);
        Self { n, hits, enough, share: told(hits as f64 / n.max(1) as f64), low: told(low), high: told(high) }
    }
}

/// How well one person decides.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonQuality {
    pub name: String,
    pub decisions: i64,
    /// Right on samples of known class that were slipped in.
    pub gold: Rate,
    /// The same class as two people or more settled on.
    pub consensus: Rate,
    /// Wrong labels that were given the right class, and right labels that were left, of both kinds.
    pub corrects: Rate,
    pub keeps: Rate,
    /// Which classes the person takes for which, most often first.
    pub taken: Vec<Taken>,
    /// Milliseconds that a decision takes, the median; only of whoever asks.
    pub median_ms: Option<f64>,
}

/// `said` where `class` was right, `n` of `of` times.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Taken {
    pub class: String,
    pub said: String,
    pub n: usize,
    pub of: usize,
}

/// Time that decisions take, of all people together.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Pace {
    pub decisions: i64,
    pub people: i64,
    /// Milliseconds: the median, and between which the middle half lies.
    pub median_ms: f64,
    pub quarter_ms: f64,
    pub three_quarters_ms: f64,
}

/// How well people decide.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PeopleReport {
    /// Everybody for leads; for others only themselves.
    pub people: Vec<PersonQuality>,
    /// Decisions that must be known before a share is told.
    pub enough: usize,
    /// Null while fewer than three people have timed decisions: a median must not tell one person's pace.
    pub pace: Option<Pace>,
}

/// Corrections among consecutive first decisions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct YieldLine {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub decisions: i64,
    pub corrections: i64,
    /// Corrections per 100 decisions with the 95 % interval (Wilson).
    pub per_100: f64,
    pub low: f64,
    pub high: f64,
}

/// What going on will bring.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Advice {
    /// The next so many reviews in the order of review, and what they are expected to do.
    pub next: usize,
    pub corrects: f64,
    pub breaks: f64,
    /// So many reviews pay before they break more than they mend; 0 = stop.
    pub pays: usize,
    /// At least so many: the look ahead ended there.
    pub at_least: bool,
    /// How well people decide: P(right class | wrong label), P(left | right label).
    pub reviewer_corrects: f64,
    pub reviewer_keeps: f64,
    /// Decisions with a known answer that this rests on; 0: 0.95 is assumed of both.
    pub known: usize,
}

/// What reviewing brought, what is left, and whether to go on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct YieldReport {
    /// First decisions on labels, and how many make a stretch.
    pub decisions: i64,
    pub stretch: i64,
    pub stretches: Vec<YieldLine>,
    /// Wrong labels among samples of the last scan that nobody has looked at, with a 95 % interval.
    pub left: Option<Errors>,
    /// Samples of the last scan that nobody has looked at.
    pub open: Option<i64>,
    pub advice: Option<Advice>,
}

/// Who may see what: leads see everybody, others themselves.
#[derive(Clone, Debug)]
pub enum For {
    Lead(String),
    Person(String),
}

impl For {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Lead(name) | Self::Person(name) => name,
        }
    }

    fn sees(&self, name: &str) -> bool {
        matches!(self, Self::Lead(_)) || self.name() == name
    }
}

/// How far the people of a dataset agree.
pub async fn agreement(
    services: &Services,
    dataset: Uuid,
    taxonomy: &Taxonomy,
    who: &For,
) -> Result<AgreementReport, JobError> {
    let looks = services.store.looks_of_several(dataset).await?;
    let classes: Vec<String> = taxonomy.class_ids().map(Into::into).collect();
    let lead = matches!(who, For::Lead(_));
    Ok(tokio::task::spawn_blocking(move || agreement_of(&looks, &classes, lead)).await?)
}

fn agreement_of(looks: &[Look], classes: &[String], lead: bool) -> AgreementReport {
    let class_of: HashMap<&str, u32> = (0..).zip(classes).map(|(i, c)| (c.as_str(), i)).collect();
    let mut samples = HashMap::<i64, u32>::new();
    let mut people = BTreeMap::<&str, usize>::new();
    let independent: Vec<&Look> =
        looks.iter().filter(|l| l.independent && class_of.contains_key(l.class.as_str())).collect();
    for look in &independent {
        let next = samples.len() as u32;
        samples.entry(look.sample_id).or_insert(next);
        *people.entry(&look.author).or_default() += 1;
    }
    let names: Vec<&str> = people.keys().copied().collect();
    let votes: Vec<Vote> = independent
        .iter()
        .filter_map(|l| {
            let annotator = names.binary_search(&l.author.as_str()).ok()? as u32;
            Some(Vote { sample: samples[&l.sample_id], annotator, class: *class_of.get(l.class.as_str())? })
        })
        .collect();
    let checked = Votes::new(&votes, samples.len(), names.len(), classes.len()).ok();
    let none = Measured { samples: 0, interval: None, undefined: Some(Undefined::NoOverlap) };
    let measure = |of: fn(&Votes) -> Measured| checked.as_ref().map_or(none, of);
    let name = |class: u32| classes[class as usize].clone();
    // those with the most decisions on shared samples
    let mut busiest: Vec<u32> = (0..names.len() as u32).collect();
    busiest.sort_by_key(|&p| (std::cmp::Reverse(people[names[p as usize]]), p));
    busiest.truncate(if lead { MOST_PEOPLE } else { 0 });
    busiest.sort_unstable();
    let pairs = checked.iter().flat_map(|votes| {
        let of = |(i, a): (usize, &u32)| busiest[i + 1..].iter().map(|b| (*a, *b)).collect::<Vec<_>>();
        let pairs = busiest.iter().enumerate().flat_map(of).collect::<Vec<_>>();
        pairs.into_iter().filter_map(|(a, b)| {
            let cohen = agreement::cohen(votes, a, b);
            let (a, b) = (names[a as usize].to_owned(), names[b as usize].to_owned());
            (cohen.samples > 0).then_some(PairAgreement { a, b, cohen })
        })
    });
    AgreementReport {
        people: names.len(),
        decisions: votes.len(),
        seen_others: looks.len() - independent.len(),
        raw: measure(agreement::raw),
        fleiss: measure(agreement::fleiss),
        krippendorff: measure(agreement::krippendorff),
        pairs: pairs.collect(),
        classes: checked
            .iter()
            .flat_map(agreement::class_agreement)
            .map(|c| ClassLine {
                class: name(c.class),
                samples: c.samples,
                share: c.share,
                low: c.low,
                high: c.high,
            })
            .collect(),
        confused: checked
            .iter()
            .flat_map(|v| agreement::class_pairs(v, MOST_PAIRS))
            .map(|p| ConfusedLine {
                a: name(p.a),
                b: name(p.b),
                samples: p.samples,
                of: p.of,
                share: p.share,
                low: p.low,
                high: p.high,
            })
            .collect(),
    }
}

/// How well each person of a dataset decides.
pub async fn people(services: &Services, dataset: Uuid, who: &For) -> Result<PeopleReport, JobError> {
    let store = &services.store;
    let settled = store.settled(dataset).await?;
    let decisions = store.decisions_by_person(dataset).await?;
    let own = store.times(dataset, Some(who.name())).await?;
    let all = store.times(dataset, None).await?;
    let people = decisions
        .into_iter()
        .filter(|d| who.sees(&d.author))
        .map(|d| {
            let median_ms = own.filter(|_| d.author == who.name()).map(|t| t.median);
            person(d.author, d.n, &settled, median_ms)
        })
        .collect();
    Ok(PeopleReport { people, enough: ENOUGH, pace: all.and_then(pace) })
}

fn pace(t: Times) -> Option<Pace> {
    (t.people >= FEWEST_PEOPLE).then_some(Pace {
        decisions: t.n,
        people: t.people,
        median_ms: t.median,
        quarter_ms: t.quarter,
        three_quarters_ms: t.three_quarters,
    })
}

fn person(name: String, decisions: i64, settled: &[Settled], median_ms: Option<f64>) -> PersonQuality {
    let own: Vec<&Settled> = settled.iter().filter(|s| s.author == name).collect();
    let count = |keep: &dyn Fn(&Settled) -> bool| own.iter().filter(|s| keep(s)).map(|s| times(s)).sum();
    let right = |s: &Settled| s.said.as_deref() == Some(&s.class);
    let rate = |keep: &dyn Fn(&Settled) -> bool| Rate::of(count(&|s| keep(s) && right(s)), count(keep));
    let known = known(own.iter().copied());
    let mut of_class = HashMap::<&str, usize>::new();
    let mut taken = BTreeMap::<(&str, &str), usize>::new();
    for s in &own {
        *of_class.entry(&s.class).or_default() += times(s);
        if let Some(said) = s.said.as_deref().filter(|said| *said != s.class) {
            *taken.entry((&s.class, said)).or_default() += times(s);
        }
    }
    let mut taken: Vec<Taken> = taken
        .into_iter()
        .map(|((class, said), n)| Taken { class: class.into(), said: said.into(), n, of: of_class[class] })
        .collect();
    taken.sort_by_key(|t| std::cmp::Reverse(t.n));
    taken.truncate(MOST_TAKEN);
    PersonQuality {
        decisions,
        gold: rate(&|s| s.gold),
        consensus: rate(&|s| !s.gold),
        corrects: Rate::of(known.corrected, known.wrong),
        keeps: Rate::of(known.kept, known.right),
        taken,
        median_ms,
        name,
    }
}

fn times(s: &Settled) -> usize {
    usize::try_from(s.n).unwrap_or(0)
}

/// What decisions did to labels that turned out right or wrong.
pub(super) fn known<'a>(settled: impl Iterator<Item = &'a Settled>) -> Known {
    let mut out = Known::default();
    for s in settled {
        let right = s.said.as_deref() == Some(&s.class);
        let (all, hits) = match s.shown.as_deref() {
            Some(shown) if shown == s.class => (&mut out.right, &mut out.kept),
            Some(_) => (&mut out.wrong, &mut out.corrected),
            None => continue,
        };
        *all += times(s);
        *hits += if right { times(s) } else { 0 };
    }
    out
}

/// What reviewing has brought, and what it will.
pub async fn yields(services: &Services, dataset: Uuid) -> Result<YieldReport, JobError> {
    let store = &services.store;
    let decisions = store.first_decisions(dataset).await?;
    // whole stretches of 50, or longer ones where there would be too many
    let stretch = (decisions / (MOST_STRETCHES * STRETCH) + 1) * STRETCH;
    let per_100 = |share: f64| share * 100.0;
    let stretches = store.stretches(dataset, stretch).await?.into_iter().map(|s| {
        let (n, hits) =
            (usize::try_from(s.decisions).unwrap_or(0), usize::try_from(s.corrections).unwrap_or(0));
        let (low, high) = wilson(hits, n, Z);
        YieldLine {
            from: s.from,
            to: s.to,
            decisions: s.decisions,
            corrections: s.corrections,
            per_100: per_100(hits as f64 / n.max(1) as f64),
            low: per_100(low),
            high: per_100(high),
        }
    });
    let mut report = YieldReport {
        decisions,
        stretch,
        stretches: stretches.collect(),
        left: None,
        open: None,
        advice: None,
    };
    if let Some(scan) = store.latest_scan(dataset).await? {
        let progress = store.progress_with(scan.id).await?;
        report.left =
            errors(services, dataset, &scan).await?.map(|all| still(all, progress.wrong, progress.open));
        report.open = Some(progress.open);
        let settled = store.settled(dataset).await?;
        let ahead = store.open_suspicions(scan.id, AHEAD).await?;
        report.advice = advice(&ahead, known(settled.iter()));
    }
    Ok(report)
}

/// Wrong labels of a scan: its own count and the audits together, or its count alone where it says something.
async fn errors(services: &Services, dataset: Uuid, scan: &Scan) -> Result<Option<Errors>, JobError> {
    if let Some(together) = learning(services, dataset, scan).await?.errors {
        return Ok(Some(together));
    }
    let count = scan.summary.pointer("/noise/count").cloned();
    let count: Option<ErrorCount> = count.and_then(|c| serde_json::from_value(c).ok());
    Ok(count.filter(|c| c.informative).map(|c| Errors { estimate: c.estimate, low: c.low, high: c.high }))
}

/// Without those that were found, and no more than samples that nobody has looked at.
fn still(all: Errors, found: i64, open: i64) -> Errors {
    let (found, open) = (usize::try_from(found).unwrap_or(0), usize::try_from(open).unwrap_or(0));
    let less = |n: usize| n.saturating_sub(found).min(open);
    Errors { estimate: less(all.estimate), low: less(all.low), high: less(all.high) }
}

/// `ahead`: suspicion of what nobody has looked at, next first.
fn advice(ahead: &[f32], known: Known) -> Option<Advice> {
    let reviewer = Reviewer::measured(known);
    let p: Vec<f64> = ahead.iter().map(|s| f64::from(*s).clamp(0.0, 1.0)).collect();
    let outlook = outlook(&p, reviewer, NEXT).ok().filter(|_| !p.is_empty())?;
    Some(Advice {
        next: outlook.next,
        corrects: outlook.corrected,
        breaks: outlook.broken,
        pays: outlook.pays,
        at_least: outlook.pays == p.len() && i64::try_from(p.len()).is_ok_and(|n| n >= AHEAD),
        reviewer_corrects: reviewer.corrects,
        reviewer_keeps: reviewer.keeps,
        known: known.wrong + known.right,
    })
}
