//! The part of a dataset's page about what reviews taught its last scan, and what random audits say of the
//! labels that nobody has looked at.

use super::Reader;
use super::names::score;
use crate::jobs::rerank::Learning;

/// Sentences.
pub(super) struct LearningView {
    /// What the order of review rests on, or how much is missing.
    pub(super) order: String,
    /// Wrong labels among all, and among the flagged; without audits none.
    pub(super) wrong: Option<String>,
    pub(super) precision: Option<String>,
    /// The audits and the scan's own count together.
    pub(super) together: Option<String>,
}

impl LearningView {
    /// `samples` were scanned.
    pub(super) fn of(page: &Reader, learning: &Learning, samples: i64) -> Self {
        let lang = page.lang;
        let number = |n: usize| lang.number(i64::try_from(n).unwrap_or(i64::MAX));
        let needed = i64::try_from(learning.needed).unwrap_or(i64::MAX);
        let order = match &learning.model {
            Some(m) if m.fitted() => lang.fill(
                if m.adopted { "learning.adopted" } else { "learning.kept" },
                &[
                    ("n", &number(m.reviews)),
                    ("auroc", &score(m.auroc)),
                    ("auroc_before", &score(m.auroc_before)),
                    ("loss", &score(m.log_loss)),
                    ("loss_before", &score(m.log_loss_before)),
                ],
            ),
            Some(m) => lang.fill("learning.one_sided", &[("n", &number(m.reviews))]),
            None => {
                let missing = lang.number((needed - learning.reviews).max(0));
                lang.fill("learning.missing", &[("needed", &lang.number(needed)), ("missing", &missing)])
            }
        };
        let (wrong, precision) = (learning.audited.wrong, learning.audited.precision);
        let of_all = |share: f64| lang.number((share * samples as f64).round() as i64);
        let percent = |share: f64| lang.percent(share as f32);
        Self {
            order,
            wrong: (wrong.n > 0).then(|| {
                lang.fill(
                    "learning.wrong",
                    &[
                        ("hits", &number(wrong.hits)),
                        ("n", &number(wrong.n)),
                        ("low", &of_all(wrong.low)),
                        ("high", &of_all(wrong.high)),
                        ("samples", &lang.number(samples)),
                    ],
                )
            }),
            together: learning.errors.map(|e| {
                lang.fill(
                    "learning.together",
                    &[("estimate", &number(e.estimate)), ("low", &number(e.low)), ("high", &number(e.high))],
                )
            }),
            precision: (precision.n > 0).then(|| {
                lang.fill(
                    "learning.precision",
                    &[
                        ("hits", &number(precision.hits)),
                        ("n", &number(precision.n)),
                        ("low", &percent(precision.low)),
                        ("high", &percent(precision.high)),
                    ],
                )
            }),
        }
    }
}
