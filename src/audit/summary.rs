//! What an audit says of the data set as a whole, for scripts: `summary.json`.

use serde_json::{Value, json};

use super::engine::{Audit, CAREFUL, Prepared};
use super::input::Input;
use crate::detect::imbalance::Third;

/// Of more classes the summary leaves the noise matrix out; overlapping pairs are there all the same.
const MATRIX_CLASSES: usize = 200;
/// A p-value below this says that the order of the samples means something.
const ORDER_MATTERS: f64 = 0.05;

/// The summary without what only the caller knows (files, seconds, version).
pub fn summary(input: &Input, prepared: &Prepared, audit: &Audit<'_>) -> Value {
    let scan = &audit.scan;
    let n = scan.len();
    let tree = &input.taxonomy;
    let class = |c: usize| tree.class_id(c);
    let count = &scan.noise.count;
    let mut noise = serde_json::to_value(&scan.noise).unwrap_or_default();
    if let Some(map) = noise.as_object_mut() {
        map.insert("classes".into(), json!(tree.class_ids().collect::<Vec<_>>()));
        map.insert("roots".into(), json!(tree.roots()));
    }
    // a dense matrix of many classes is mostly zeros and megabytes
    if let Some(map) = noise.as_object_mut() {
        if tree.n_classes() > MATRIX_CLASSES {
            map.remove("noise_matrix");
        }
        if tree.roots().len() > MATRIX_CLASSES {
            map.remove("level1_noise_matrix");
        }
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
        "issues": issues(audit, n),
        "parents": parents(input, audit),
        "pool_weights": scan.fused.weights,
        "neighbours": scan.places.map(|p| json!({
            "k": p.neighbours.k(), "exact": p.neighbours.recall.is_none(), "recall": p.neighbours.recall.unwrap_or(1.0),
        })),
        "head": prepared.heads.as_ref().map(|h| json!({
            "c": h.c, "log_losses": h.log_losses, "temperatures": h.temperatures,
        })),
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
        "next_reviews": {
            "reviews": audit.outlook.next,
            "corrected": audit.outlook.corrected,
            "broken": audit.outlook.broken,
            "worth_reviewing": audit.outlook.pays,
            "reviewer_accuracy": CAREFUL.corrects,
        },
    })
}

/// One entry an issue type: how many samples have it, and a score of the data set in [0, 1], low = bad.
fn issues(audit: &Audit<'_>, n: usize) -> Vec<Value> {
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
