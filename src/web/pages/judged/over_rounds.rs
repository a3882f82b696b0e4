//! The errors by cause of all rounds side by side: a table with a small curve a cause. Counts lead to the grid of their
//! samples.

use crate::domain::{BadCase, BadCases};
use crate::store::scans::Round;
use crate::web::pages::Reader;
use crate::web::pages::curves::{Line, line};

/// Rounds shown, the newest that trained.
const SHOWN: usize = 24;

pub(crate) struct OverRoundsView {
    pub(crate) rounds: Vec<HeadView>,
    pub(crate) causes: Vec<CauseView>,
    /// Errors that nothing explains, all errors, and the samples measured on.
    pub(crate) totals: Vec<(String, Vec<String>)>,
}

pub(crate) struct HeadView {
    pub(crate) number: String,
    pub(crate) href: String,
}

pub(crate) struct CauseView {
    pub(crate) name: String,
    /// Its share of the samples, round by round.
    pub(crate) line: Line,
    pub(crate) counts: Vec<CountView>,
}

pub(crate) struct CountView {
    pub(crate) any: String,
    pub(crate) grid: Option<String>,
}

/// `rounds` as the store gives them, newest first. Nothing before two of them have counted their errors.
pub(crate) fn view(page: &Reader, rounds: &[Round], dataset_href: &str) -> Option<OverRoundsView> {
    let lang = page.lang;
    let number = |n: u64| lang.number(i64::try_from(n).unwrap_or(i64::MAX));
    let mut told: Vec<(&Round, &BadCases)> =
        rounds.iter().filter_map(|r| Some((r, &r.bad_cases.as_ref()?.0))).take(SHOWN).collect();
    told.reverse();
    if told.len() < 2 {
        return None;
    }
    let cause = |case: BadCase| {
        let of = |b: &BadCases| b.causes.iter().find(|c| c.case == case).cloned();
        let shares: Vec<f64> =
            told.iter().map(|(_, b)| of(b).map_or(0.0, |c| c.any as f64) / b.n.max(1) as f64).collect();
        CauseView {
            name: lang.text(&format!("bad_case.{}", case.as_str())).to_owned(),
            line: line(page, "judged.share_line", &shares),
            counts: told
                .iter()
                .map(|(_, b)| {
                    let c = of(b);
                    let selection = c.as_ref().and_then(|c| c.selection);
                    CountView {
                        any: c.map_or_else(|| "–".into(), |c| number(c.any)),
                        grid: selection.map(|s| format!("{dataset_href}/grid?selection={s}")),
                    }
                })
                .collect(),
        }
    };
    let total = |key: &str, of: fn(&BadCases) -> u64| {
        (lang.text(key).to_owned(), told.iter().map(|(_, b)| number(of(b))).collect())
    };
    Some(OverRoundsView {
        rounds: told
            .iter()
            .map(|(r, _)| HeadView {
                number: lang.number(r.number),
                href: r.training_id.map_or_else(String::new, |t| format!("{dataset_href}/trainings/{t}")),
            })
            .collect(),
        causes: BadCase::ALL.into_iter().map(cause).collect(),
        totals: vec![
            total("judged.nothing_explains", |b| b.unexplained),
            total("judged.errors", |b| b.errors),
            total("judged.measured_on", |b| b.n),
        ],
    })
}
