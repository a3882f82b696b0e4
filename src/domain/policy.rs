//! Second looks: who has to look at a sample again, and what the looks at it come to. Everything is a
//! function of the decisions that stand, so that taking one back leaves what would be had it never been made.

mod form;

use std::collections::BTreeMap;

pub use self::form::{PolicyError, PolicyForm};
use super::Decision;

/// Why a sample is given to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    First,
    /// Somebody else has decided already.
    Second,
    /// Settles what people decided differently.
    Adjudicate,
    /// Its class is known: the answer measures the person.
    Gold,
}

impl Purpose {
    pub const ALL: [Purpose; 4] = [Self::First, Self::Second, Self::Adjudicate, Self::Gold];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Adjudicate => "adjudicate",
            Self::Gold => "gold",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == s)
    }

    /// What the person is told: a known sample looks like any other.
    pub fn told(self) -> &'static str {
        match self {
            Self::First | Self::Gold => "review",
            Self::Second => "second_look",
            Self::Adjudicate => "adjudicate",
        }
    }
}

/// Which decisions somebody else looks at again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DoubleCheck {
    None,
    /// Everything but a confirmed label.
    Changes,
    /// Changes, and this share of the confirmed labels, in (0, 1).
    KeepsShare(f64),
    All,
}

/// How a dataset is reviewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    pub double_check: DoubleCheck,
    /// A second look is not shown what the first said.
    pub blind: bool,
    /// Nor, when it is blind, what the model says.
    pub hide_model: bool,
    /// Samples of known class slipped in, as a share of the others, in [0, 0.5].
    pub gold_rate: f64,
    /// Of the samples that several people settle, the share that is gold: kept out of training, to measure people
    /// and models by, in [0, 1].
    pub gold_share: f64,
    /// Of what is drawn by chance.
    pub seed: i64,
}

/// Where nobody says otherwise: most of what people correct is to be learnt from.
const GOLD_SHARE: f64 = 0.1;

impl Default for Policy {
    fn default() -> Self {
        Self {
            double_check: DoubleCheck::None,
            blind: true,
            hide_model: false,
            gold_rate: 0.0,
            gold_share: GOLD_SHARE,
            seed: 0,
        }
    }
}

impl Policy {
    /// Somebody else has to look at what this look decided.
    pub fn asks_again(&self, sample: i64, look: &Look) -> bool {
        match self.double_check {
            DoubleCheck::None => false,
            DoubleCheck::Changes => look.changes(),
            DoubleCheck::KeepsShare(share) => look.changes() || chance(self.seed, sample, "keeps") < share,
            DoubleCheck::All => true,
        }
    }

    /// The sample, once it is settled, is gold.
    fn is_gold(&self, sample: i64) -> bool {
        chance(self.seed, sample, "gold share") < self.gold_share
    }

    /// A sample of known class goes to `person` beside this one.
    pub fn slips_gold_in(&self, sample: i64, person: &str) -> bool {
        chance(self.seed, sample, person) < self.gold_rate
    }
}

/// A number in [0, 1) that is the same for the same seed, sample and word: FNV-1a, finished by the mixer of
/// splitmix64.
pub fn chance(seed: i64, sample: i64, word: &str) -> f64 {
    let bytes = seed.to_le_bytes().into_iter().chain(sample.to_le_bytes()).chain(word.bytes());
    let mut h =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^= h >> 31;
    (h >> 11) as f64 / (1u64 << 53) as f64
}

/// What a decision says of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is of this class.
    Class(String),
    Ambiguous(Vec<String>),
    OutOfTaxonomy,
    BadMedia,
    Exclude,
    /// Nothing.
    Unsure,
}

impl Look {
    /// It is not that the label is right.
    pub fn changes(&self) -> bool {
        !matches!((&self.verdict, &self.shown), (Verdict::Class(c), Some(shown)) if c == shown)
    }
}

impl Verdict {
    /// `label`: what a keep confirms. `None`: a keep where there is nothing to keep.
    pub fn of(decision: &Decision, label: Option<&str>) -> Option<Self> {
        Some(match decision {
            Decision::Keep => Self::Class(label?.to_owned()),
            Decision::Relabel { class } => Self::Class(class.clone()),
            Decision::Ambiguous { classes } => Self::Ambiguous(classes.clone()),
            Decision::OutOfTaxonomy => Self::OutOfTaxonomy,
            Decision::BadMedia => Self::BadMedia,
            Decision::Exclude => Self::Exclude,
            Decision::Unsure => Self::Unsure,
        })
    }
}

/// One person's decision that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub review: i64,
    pub person: String,
    pub purpose: Purpose,
    pub verdict: Verdict,
    /// The class that was shown as the sample's label.
    pub shown: Option<String>,
    /// Of the time when it was made.
    pub policy: Policy,
    /// Seconds since 1970.
    pub at: f64,
}

/// How a sample stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has decided.
    Open,
    Second,
    Adjudicate,
    /// Decided, but not that it is of a class.
    Decided,
    Verified,
    /// Verified by several people, and one of those that are kept out of training.
    Gold,
}

/// What the looks at a sample come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub standing: Standing,
    /// People who may not have the next look.
    pub not_by: Vec<String>,
    /// The class that is verified.
    pub class: Option<String>,
    /// It is one that people agree on: its label is theirs together.
    pub consensus: bool,
    /// The class is that of two people whom the policy asked, or of an adjudication.
    pub settled: bool,
    /// People whose decision it rests on.
    pub people: usize,
    /// The review that leaves the sample out.
    pub excluded_by: Option<i64>,
    /// The reviews that count, oldest first: the next look sees what the first of them saw.
    pub votes: Vec<i64>,
}

/// The adjudication that stands.
fn adjudication(looks: &[Look]) -> Option<&Look> {
    looks.iter().rev().find(|l| l.purpose == Purpose::Adjudicate && l.verdict != Verdict::Unsure)
}

/// The votes that count, the last of each person, in the order of the decisions: those since the last look
/// that was a first one.
fn votes(looks: &[Look]) -> Vec<&Look> {
    let votes: Vec<&Look> =
        looks.iter().filter(|l| l.purpose != Purpose::Adjudicate && l.verdict != Verdict::Unsure).collect();
    let from = votes.iter().rposition(|l| l.purpose == Purpose::First).unwrap_or(0);
    let last: BTreeMap<&str, i64> = votes[from..].iter().map(|l| (l.person.as_str(), l.review)).collect();
    votes[from..].iter().filter(|l| last[l.person.as_str()] == l.review).copied().collect()
}

/// What `looks`, all that stand in the order in which they were made, come to.
pub fn settle(sample: i64, looks: &[Look]) -> Outcome {
    let votes = votes(looks);
    // the votes first: the one who brought the next look about leads the list
    let mut not_by: Vec<String> = Vec::new();
    let unsure = looks.iter().filter(|l| l.verdict == Verdict::Unsure);
    for look in votes.iter().copied().chain(unsure) {
        if !not_by.contains(&look.person) {
            not_by.push(look.person.clone());
        }
    }
    let class = |v: &Verdict| if let Verdict::Class(c) = v { Some(c.clone()) } else { None };
    let excludes = |l: &Look| (l.verdict == Verdict::Exclude).then_some(l.review);
    let mut outcome = Outcome {
        standing: Standing::Open,
        not_by,
        class: None,
        consensus: false,
        settled: false,
        people: 0,
        excluded_by: None,
        votes: votes.iter().map(|l| l.review).collect(),
    };
    if let Some(last) = adjudication(looks) {
        outcome.class = class(&last.verdict);
        outcome.settled = outcome.class.is_some();
        outcome.standing = verified(sample, &outcome, &last.policy);
        outcome.people =
            1 + votes.iter().filter(|l| l.verdict == last.verdict && l.person != last.person).count();
        outcome.excluded_by = excludes(last);
        return outcome;
    }
    let (Some(first), Some(last)) = (votes.first(), votes.last()) else { return outcome };
    outcome.excluded_by = excludes(last);
    outcome.people = votes.len();
    if votes.iter().any(|l| l.verdict != first.verdict) {
        outcome.standing = Standing::Adjudicate;
    } else if votes.len() == 1 && first.policy.asks_again(sample, first) {
        outcome.standing = Standing::Second;
    } else {
        outcome.class = class(&first.verdict);
        outcome.consensus = votes.len() > 1 && outcome.class.is_some();
        outcome.settled = outcome.consensus && first.policy.double_check != DoubleCheck::None;
        outcome.standing = verified(sample, &outcome, &first.policy);
    }
    outcome
}

/// How a sample stands on which nobody has to decide any more.
fn verified(sample: i64, outcome: &Outcome, policy: &Policy) -> Standing {
    match outcome.class {
        None => Standing::Decided,
        Some(_) if outcome.settled && policy.is_gold(sample) => Standing::Gold,
        Some(_) => Standing::Verified,
    }
}

/// What a decision of `person` counts as, beside the `looks` so far. `asked`: what it was asked for and when
/// (seconds since 1970), if it was; `may_adjudicate`: the person's role lets them.
pub fn counts_as(
    person: &str,
    asked: Option<(Purpose, f64)>,
    may_adjudicate: bool,
    policy: &Policy,
    sample: i64,
    looks: &[Look],
) -> Purpose {
    if matches!(asked, Some((Purpose::Gold, _))) {
        return Purpose::Gold;
    }
    let votes = votes(looks);
    let others = || votes.iter().filter(|l| l.person != person);
    let settled = adjudication(looks).is_some();
    let standing = settle(sample, looks).standing;
    if settled || standing == Standing::Adjudicate {
        let asked_to = asked.map_or(may_adjudicate, |(purpose, _)| purpose == Purpose::Adjudicate);
        let party = votes.iter().any(|l| l.person == person);
        return if asked_to && !party { Purpose::Adjudicate } else { Purpose::Second };
    }
    let knowingly = || asked.is_none_or(|(_, at)| others().all(|l| l.at <= at));
    if others().next().is_none() {
        Purpose::First
    } else if standing == Standing::Second || policy.double_check != DoubleCheck::None || !knowingly() {
        Purpose::Second
    } else {
        Purpose::First
    }
}

#[cfg(test)]
mod tests;
