//! What an audit says of the data set as a whole, for scripts: `summary.json`.

use serde_json::{Value, json};

use super::checked::ByChecks;
use super::clusters::ClusterProfile;
use super::engine::{Audit, Prepared};
use super::input::Input;
use super::rules::{RuleFindings, RuleReport};
use super::texts::{GIVEN_AWAY, Known, TextFindings, Texts, given_away};
use crate::detect::imbalance::Third;
use crate::detect::imbalance::properties::PropertyScore;
use crate::detect::rules::Action;
use crate::detect::text_quality::TextIssue;

/// Of more classes the summary leaves the noise matrix out; overlapping pairs are there all the same.
const MATRIX_CLASSES: usize = 200;
/// A p-value below this says that the order of the samples means something.
const ORDER_MATTERS: f64 = 0.05;

/// Rows named as examples of a rule, and classes of what a number gives away.
const EXAMPLES: usize = 10;

/// What was found beside the labels.
#[derive(Debug, Default)]
pub struct Beside<'a> {
    pub clusters: Vec<ClusterProfile>,
    pub texts: Option<(&'a Texts, TextFindings)>,
    pub rules: Option<RuleFindings>,
    pub checked: Option<ByChecks>,
}

/// The summary without what only the caller knows (files, seconds, version).
pub fn summary(input: &Input, prepared: &Prepared, audit: &Audit<'_>, beside: &Beside<'_>) -> Value {
    let scan = &audit.scan;
    let n = scan.len();
    let tree = &input.taxonomy;
    let class = |c: usize| tree.class_id(c);
    let count = &scan.noise.count;
    // a dense matrix of many classes is mostly zeros and megabytes, as JSON values gigabytes
    let mut report = scan.noise.clone();
    let mut left_out = Vec::new();
    if tree.n_classes() > MATRIX_CLASSES {
        report.noise_matrix = Vec::new();
        left_out.push("noise_matrix");
    }
    if tree.roots().len() > MATRIX_CLASSES {
        report.level1_noise_matrix = Vec::new();
        left_out.push("level1_noise_matrix");
    }
    let mut noise = serde_json::to_value(&report).unwrap_or_default();
    if let Some(map) = noise.as_object_mut() {
        left_out.into_iter().for_each(|key| _ = map.remove(key));
        map.insert("classes".into(), json!(tree.class_ids().collect::<Vec<_>>()));
        map.insert("roots".into(), json!(tree.roots()));
    }
    json!({
        "samples": n,
        "classes": tree.n_classes(),
        "classes_without_samples": input.missing_classes.iter().map(|&c| class(c)).collect::<Vec<_>>(),
        "estimated_errors": count.estimate,
        "estimated_errors_low": count.low,
        "estimated_errors_high": count.high,
        "estimated_rate": scan.noise.estimated_rate,
        "informative": count.informative,
        "health": 1.0 - scan.noise.estimated_rate,
        "issues": issues(audit, beside, n),
        "parents": parents(input, audit),
        "pool_weights": scan.fused.weights,
        "neighbours": scan.places.map(|p| json!({
            "k": p.neighbours.k(), "exact": p.neighbours.recall.is_none(), "recall": p.neighbours.recall.unwrap_or(1.0),
        })),
        "heads": prepared.heads.as_ref().map(|heads| heads.of.iter().map(|h| json!({
            "head": h.head.as_str(), "log_loss": h.log_loss, "temperatures": h.temperatures,
            "c": h.c.as_ref().map(|c| c.0), "log_losses": h.c.as_ref().map(|c| &c.1),
        })).collect::<Vec<_>>()),
        "noise": noise,
        "balance": {
            "ratio": audit.balance.ratio,
            "even_classes": audit.balance.even_classes,
            "rare": audit.balance.rare.iter().map(|&c| class(c as usize)).collect::<Vec<_>>(),
            "tail": (0..tree.n_classes())
                .filter(|&c| audit.balance.thirds[c] == Third::Tail)
                .map(class)
                .collect::<Vec<_>>(),
            "third_shares": audit.balance.third_shares,
        },
        "groups": audit.groups.iter().filter(|g| g.underperforms).map(|g| json!({
            "cluster": g.group, "samples": g.n, "mean_self_confidence": g.mean, "ratio": g.ratio,
        })).collect::<Vec<_>>(),
        "clusters": beside.clusters.iter().map(|c| json!({
            "cluster": c.cluster, "samples": c.size, "label": class(c.label as usize), "purity": c.purity,
            "flagged": c.flagged, "words": c.words,
            "minorities": c.minorities.iter()
                .map(|(label, n)| json!({"label": class(*label as usize), "samples": n}))
                .collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "texts": beside.texts.as_ref().map(|(texts, found)| text_fields(texts, found, n)),
        "properties": beside.texts.as_ref().map(|(_, found)| properties(input, found)),
        "rules": beside.rules.as_ref().map(|rules| rules_tried(input, rules)),
        "next_reviews": {
            "reviews": audit.outlook.next,
            "corrected": audit.outlook.corrected,
            "broken": audit.outlook.broken,
            "checked": beside.checked.map(|c| json!({
            "labels": c.checked, "wrong": c.wrong,
            "left_wrong": c.left.estimate, "left_wrong_low": c.left.low, "left_wrong_high": c.left.high,
        })),
        "left_wrong": audit.outlook.left_after(audit.outlook.next),
            "worth_reviewing": audit.outlook.pays,
            "left_wrong_then": audit.outlook.left_after(audit.outlook.pays),
            "break_even": audit.outlook.break_even,
            "reviewer_accuracy": audit.reviewer.corrects,
        },
        "checked": beside.checked.map(|c| json!({
            "labels": c.checked, "wrong": c.wrong,
            "left_wrong": c.left.estimate, "left_wrong_low": c.left.low, "left_wrong_high": c.left.high,
        })),
        "left_wrong": audit.outlook.left.iter()
            .map(|(reviews, wrong)| json!({"reviews": reviews, "wrong": wrong}))
            .collect::<Vec<_>>(),
    })
}

/// Every column beside the labels: what is missing, and of texts what is wrong.
fn text_fields(texts: &Texts, found: &TextFindings, n: usize) -> Vec<Value> {
    let field = |(c, (name, _)): (usize, &(String, Known))| {
        let missing = found.missing_in(c);
        let mut out =
            json!({"field": name, "missing": missing, "missing_rate": missing as f64 / n.max(1) as f64});
        if let (Some(f), Some(map)) = (found.fields.iter().find(|f| f.name == *name), out.as_object_mut()) {
            for issue in TextIssue::ALL {
                let of = f.report.texts.iter().filter(|t| t.issue == Some(issue)).count();
                map.insert(issue.as_str().into(), json!(of));
            }
        }
        out
    };
    texts.columns.iter().enumerate().map(field).collect()
}

/// What each number says of the label, the most telling first, and the classes it gives away.
fn properties(input: &Input, found: &TextFindings) -> Vec<Value> {
    let property = |(name, p): &(String, PropertyScore)| {
        json!({
            "property": name, "score": p.score, "accuracy": p.accuracy, "chance": p.chance, "known": p.known,
            "gives_label_away": p.score.is_some_and(|s| s >= GIVEN_AWAY),
            "classes": given_away(p).into_iter().take(EXAMPLES)
                .map(|(c, recall)| json!({"class": input.taxonomy.class_id(c), "recognised": recall}))
                .collect::<Vec<_>>(),
        })
    };
    found.properties.iter().map(property).collect()
}

/// What every rule would do, in the order of the file.
fn rules_tried(input: &Input, found: &RuleFindings) -> Value {
    let rule = |r: &RuleReport| {
        json!({
            "name": r.rule.name,
            "rule": r.rule.to_string(),
            "action": match r.rule.action { Action::Flag => "flag", Action::Relabel(_) => "relabel", Action::Exclude => "exclude" },
            "hits": r.hits.len(),
            "rate": r.rate,
            "changes": r.changes,
            "examples": r.hits.iter().take(EXAMPLES).map(|&i| input.id(i)).collect::<Vec<_>>(),
        })
    };
    json!({
        "tried": found.rules.iter().map(rule).collect::<Vec<_>>(),
        "flagged": found.flagged.iter().filter(|f| **f).count(),
        "relabelled": found.labels.iter().flatten().count(),
        "excluded": found.excluded.iter().filter(|e| **e).count(),
        "torn": found.torn,
    })
}

/// One entry an issue type: how many samples have it, and a score of the data set in [0, 1], low = bad.
fn issues(audit: &Audit<'_>, beside: &Beside<'_>, n: usize) -> Vec<Value> {
    let scan = &audit.scan;
    let entry = |name: &str, found: usize, score: f64| json!({"issue_type": name, "num_issues": found, "score": score});
    let share = |found: usize| 1.0 - found as f64 / n.max(1) as f64;
    let mut out = vec![entry("label", scan.noise.estimated_errors, 1.0 - scan.noise.estimated_rate)];
    let rare: usize = audit.balance.rare.iter().map(|&c| audit.balance.counts[c as usize]).sum();
    out.push(entry("class_imbalance", rare, audit.balance.even_classes / audit.balance.counts.len() as f64));
    if let (Some(space), Some(places)) = (&scan.space, scan.places) {
        let duplicates = places.duplicates.group.iter().filter(|g| g.is_some()).count();
        out.push(entry("near_duplicate", duplicates, share(duplicates)));
        let conflicting = space.conflicting.iter().filter(|c| **c).count();
        out.push(entry("near_duplicate_conflict", conflicting, share(conflicting)));
        let outliers = places.outliers.is_outlier.iter().filter(|o| **o).count();
        out.push(entry("outlier", outliers, share(outliers)));
        let ordered = usize::from(places.non_iid.p_value < ORDER_MATTERS);
        out.push(entry("non_iid", ordered, places.non_iid.p_value));
        let worst = audit.groups.iter().map(|g| g.ratio).fold(1.0, f64::min);
        let weak: usize = audit.groups.iter().filter(|g| g.underperforms).map(|g| g.n).sum();
        out.push(entry("underperforming_group", weak, worst));
    }
    if let Some(report) = &scan.fields {
        let odd = report.odd.iter().flatten().count();
        out.push(entry("field", odd, share(odd)));
    }
    if let Some((_, found)) = &beside.texts {
        let bad = (0..n).filter(|&i| found.issues(i).next().is_some()).count();
        out.push(entry("text", bad, share(bad)));
        let missing = found.missing.iter().filter(|m| !m.is_empty()).count();
        out.push(entry("missing", missing, share(missing)));
        let scores = || found.properties.iter().filter_map(|(_, p)| p.score);
        let telling = scores().filter(|s| *s >= GIVEN_AWAY).count();
        out.push(entry("spurious_correlation", telling, 1.0 - scores().fold(0.0, f64::max)));
    }
    if let Some(rules) = &beside.rules {
        let flagged = rules.flagged.iter().filter(|f| **f).count();
        out.push(entry("rule", flagged, share(flagged)));
    }
    out
}

/// Level-1 nodes, those with the largest share of suspects first.
fn parents(input: &Input, audit: &Audit<'_>) -> Vec<Value> {
    let scan = &audit.scan;
    let class_roots = input.taxonomy.class_roots();
    let roots = input.taxonomy.roots();
    let mut sums = vec![(0usize, 0usize, 0usize); roots.len()];
    for (i, &y) in input.labels.iter().enumerate() {
        let sum = &mut sums[class_roots[y as usize]];
        sum.0 += 1;
        sum.1 += usize::from(scan.flagged(i));
        sum.2 += usize::from(scan.flagged(i) && scan.cross_parent(i));
    }
    let mut order: Vec<usize> = (0..roots.len()).filter(|&r| sums[r].0 > 0).collect();
    let rate = |r: usize| sums[r].1 as f64 / sums[r].0 as f64;
    order.sort_by(|&a, &b| rate(b).total_cmp(&rate(a)).then(a.cmp(&b)));
    order
        .into_iter()
        .map(|r| {
            json!({
                "node": roots[r], "samples": sums[r].0, "flagged": sums[r].1,
                "cross_parent": sums[r].2, "within_parent": sums[r].1 - sums[r].2, "rate": rate(r),
            })
        })
        .collect()
}
