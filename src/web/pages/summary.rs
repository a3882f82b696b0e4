//! What a scan's summary says about noise, read leniently: an older scan may lack a part, and then
//! that part is not shown.

use serde_json::Value;

use super::Reader;
use super::names::{ClassName, Share};
use crate::domain::Taxonomy;

const ROWS: usize = 12;

/// Estimated label errors of a dataset.
pub(super) struct NoiseView {
    pub(super) errors: String,
    pub(super) rate: Option<String>,
    /// Where the number of errors should lie.
    pub(super) interval: Option<(String, String)>,
    /// The model whose uploaded predictions were used; `None`: heads of the scan's own.
    pub(super) model: Option<String>,
    /// Flagged now and not by the last scan; no longer flagged; flagged by both.
    pub(super) compared: Option<[String; 3]>,
    /// Classes with the most estimated errors first.
    pub(super) classes: Vec<ClassNoise>,
    /// Pairs of classes most often taken for each other.
    pub(super) pairs: Vec<PairView>,
}

pub(super) struct ClassNoise {
    pub(super) class: ClassName,
    pub(super) n: String,
    /// Share of samples given this class that belong elsewhere.
    pub(super) wrong: Share,
    /// Its 95 % interval: worded, and as places in a picture.
    pub(super) interval: Option<Interval>,
    /// Share of samples that belong here and were given another class.
    pub(super) missed: Share,
}

pub(super) struct Interval {
    pub(super) title: String,
    pub(super) low: Share,
    pub(super) high: Share,
}

pub(super) struct PairView {
    pub(super) a: ClassName,
    pub(super) b: ClassName,
    pub(super) count: String,
    /// Of these, labelled `a` and labelled `b`.
    pub(super) labelled_a: String,
    pub(super) labelled_b: String,
}

/// `None` when the summary holds no estimate.
pub(super) fn noise(page: &Reader, taxonomy: &Taxonomy, summary: &Value) -> Option<NoiseView> {
    let lang = page.lang;
    let noise = summary.get("noise")?;
    let errors = noise.get("estimated_errors").and_then(Value::as_f64)?;
    // classes are numbered in the order of `classes`
    let names = noise.get("classes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let id = |v: &Value, key: &str| -> Option<String> {
        let class = v.get(key)?;
        let named = class.as_u64().and_then(|i| names.get(usize::try_from(i).ok()?));
        named.unwrap_or(class).as_str().map(str::to_owned)
    };
    let share = |v: &Value, key: &str| v.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let bounds =
        |c: &Value| Some((c.get("label_noise_low")?.as_f64()?, c.get("label_noise_high")?.as_f64()?));
    let mut classes: Vec<_> = list(noise, "per_class")
        .filter_map(|c| {
            let (wrong, missed) = (share(c, "label_noise"), share(c, "inverse_label_noise"));
            Some((id(c, "class")?, share(c, "n"), wrong, missed, bounds(c)))
        })
        .filter(|(_, n, wrong, missed, _)| *n > 0.0 && (*wrong > 0.0 || *missed > 0.0))
        .collect();
    classes.sort_by(|a, b| (b.1 * b.2).total_cmp(&(a.1 * a.2)).then_with(|| a.0.cmp(&b.0)));
    let classes = classes
        .into_iter()
        .take(ROWS)
        .map(|(id, n, wrong, missed, bounds)| ClassNoise {
            class: ClassName::of(taxonomy, &id, lang),
            n: lang.number(n as i64),
            wrong: Share::of(wrong as f32, lang),
            interval: bounds.map(|(low, high)| {
                let (low, high) = (Share::of(low as f32, lang), Share::of(high as f32, lang));
                let share = lang.percent(wrong as f32);
                let facts = [("share", share.as_str()), ("low", &low.text), ("high", &high.text)];
                Interval { title: lang.fill("health.interval", &facts), low, high }
            }),
            missed: Share::of(missed as f32, lang),
        })
        .collect();
    let pairs = list(noise, "overlapping")
        .filter_map(|p| {
            let count = p.get("count")?.as_i64()?;
            let labelled_a = p.get("labelled_a").and_then(Value::as_i64).unwrap_or(0);
            Some(PairView {
                a: ClassName::of(taxonomy, &id(p, "a")?, lang),
                b: ClassName::of(taxonomy, &id(p, "b")?, lang),
                count: lang.number(count),
                labelled_a: lang.number(labelled_a),
                labelled_b: lang.number(count - labelled_a),
            })
        })
        .take(ROWS)
        .collect();
    let whole = |v: &Value, key: &str| v.get(key).and_then(Value::as_i64).map(|n| lang.number(n));
    let count = noise.get("count");
    let compared = summary
        .get("compared")
        .and_then(|c| Some([whole(c, "new")?, whole(c, "gone")?, whole(c, "confirmed")?]));
    Some(NoiseView {
        interval: count.and_then(|c| Some((whole(c, "low")?, whole(c, "high")?))),
        compared,
        model: summary.pointer("/head/model").and_then(Value::as_str).map(str::to_owned),
        errors: lang.number(errors.round() as i64),
        rate: noise.get("estimated_rate").and_then(Value::as_f64).map(|r| format!("{:.1}%", r * 100.0)),
        classes,
        pairs,
    })
}

fn list<'a>(v: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    v.get(key).and_then(Value::as_array).into_iter().flatten()
}
