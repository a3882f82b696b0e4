//! What a scan says of the dataset as a whole, and its clusters.

use std::collections::BTreeMap;

use super::Labelled;
use super::told::Told;
use crate::detect::ScanOutput;
use crate::detect::imbalance::balance;
use crate::detect::imbalance::groups::{GroupParams, GroupScore, group_scores};
use crate::detect::imbalance::properties::property_score;
use crate::detect::text_quality::TextIssue;
use crate::domain::health::{
    Cluster, DuplicateHealth, FieldHealth, GroupHealth, IssueCount, LevelBalance, OrderHealth, ParentHealth,
    ProblemCount, Property, PropertyHealth, ToldClass,
};
use crate::domain::issue::Issue;
use crate::domain::{Field, Health, IssueKind, LabelCount, RankedIssue, Taxonomy, TextProblem};
use crate::jobs::JobError;

/// Classes listed of a property.
const TOLD: usize = 3;
/// Groups listed.
const GROUPS: usize = 20;

/// What both are made of.
pub(super) struct Facts<'a> {
    pub(super) taxonomy: &'a Taxonomy,
    pub(super) labelled: &'a Labelled,
    pub(super) output: &'a ScanOutput<'a>,
    pub(super) told: &'a Told,
    /// (N)
    pub(super) issues: &'a [Vec<RankedIssue>],
}

impl Facts<'_> {
    /// Clusters by the mean confidence in their labels, worst first.
    pub(super) fn groups(&self) -> Result<Vec<GroupScore>, JobError> {
        let Some(places) = self.output.places else { return Ok(Vec::new()) };
        group_scores(&places.clusters, &self.output.self_confidence, GroupParams::default())
            .map_err(|e| JobError::broke("stage.issues", e))
    }

    pub(super) fn health(&self, groups: &[GroupScore]) -> Result<Health, JobError> {
        let (crossing, flagged): (Vec<usize>, Vec<usize>) = (0..self.output.len())
            .filter(|&i| self.output.flagged(i))
            .partition(|&i| self.output.cross_parent(i));
        let deep = self.taxonomy.depth() > 1;
        Ok(Health {
            issues: self.counts(),
            cross_parent: crossing.len() as u64,
            within_parent: flagged.len() as u64,
            parents: if deep { self.parents() } else { Vec::new() },
            balance: self.balance(),
            groups: groups
                .iter()
                .filter(|g| g.underperforms)
                .take(GROUPS)
                .map(|g| GroupHealth {
                    cluster: g.group as i32,
                    n: g.n as u64,
                    mean: g.mean,
                    overall: if g.ratio > 0.0 { g.mean / g.ratio } else { 0.0 },
                })
                .collect(),
            properties: self.properties()?,
            order: self
                .output
                .places
                .map(|p| OrderHealth { p_value: p.non_iid.p_value, statistic: p.non_iid.statistic }),
            duplicates: self.duplicates(),
            fields: self.fields(),
        })
    }

    fn counts(&self) -> Vec<IssueCount> {
        let of = |kind: IssueKind| {
            let has = |issues: &&Vec<RankedIssue>| issues.iter().any(|i| i.issue.kind() == kind);
            self.issues.iter().filter(has).count() as u64
        };
        IssueKind::ALL.map(|kind| IssueCount { kind, n: of(kind) }).into()
    }

    fn parents(&self) -> Vec<ParentHealth> {
        let nodes = self.taxonomy.roots();
        let mut parents: Vec<ParentHealth> = nodes
            .iter()
            .map(|node| ParentHealth { node: (*node).to_owned(), n: 0, flagged: 0, cross_parent: 0 })
            .collect();
        for (i, &y) in self.labelled.y.iter().enumerate() {
            let parent = &mut parents[self.labelled.class_roots[y]];
            let flagged = self.output.flagged(i);
            parent.n += 1;
            parent.flagged += u64::from(flagged);
            parent.cross_parent += u64::from(flagged && self.output.cross_parent(i));
        }
        parents.retain(|p| p.n > 0);
        let share = |p: &ParentHealth| p.flagged as f64 / p.n as f64;
        parents.sort_by(|a, b| share(b).total_cmp(&share(a)).then(b.n.cmp(&a.n)));
        parents
    }

    fn balance(&self) -> Vec<LevelBalance> {
        let level = |labels: Vec<u32>, names: Vec<&str>| {
            // one class is as even as can be
            let found = balance(&labels, names.len()).ok()?;
            let size = |c: usize| LabelCount { class: names[c].to_owned(), n: found.counts[c] as u32 };
            let mut sizes: Vec<LabelCount> = (0..names.len()).map(size).collect();
            sizes.sort_by_key(|s| std::cmp::Reverse(s.n));
            Some(LevelBalance {
                sizes,
                rare: found.rare.iter().map(|&c| names[c as usize].to_owned()).collect(),
                even_classes: found.even_classes,
                ratio: found.ratio,
                tail: found.third_shares[2],
            })
        };
        let (y, roots) = (&self.labelled.y, &self.labelled.class_roots);
        let mut levels = Vec::new();
        if self.taxonomy.depth() > 1 {
            levels.extend(level(y.iter().map(|&c| roots[c] as u32).collect(), self.taxonomy.roots()));
        }
        levels.extend(level(y.iter().map(|&c| c as u32).collect(), self.taxonomy.class_ids().collect()));
        levels
    }

    fn properties(&self) -> Result<Vec<PropertyHealth>, JobError> {
        let labels: Vec<u32> = self.labelled.y.iter().map(|&c| c as u32).collect();
        let k = self.labelled.n_classes;
        let length = |f: usize| -> Vec<f32> {
            (0..labels.len()).map(|i| self.told.text(f, i).map_or(f32::NAN, |t| t.chars as f32)).collect()
        };
        let clips = &self.told.clips;
        let mut out = Vec::new();
        for property in Property::ALL {
            let values = match property {
                Property::Duration => clips.iter().map(|c| c.seconds).collect(),
                Property::Resolution => self.told.pixels.clone(),
                Property::Brightness => self.told.brightness.clone(),
                Property::FrameRate => clips.iter().map(|c| c.fps).collect(),
                Property::TitleLength => length(0),
                Property::AsrLength => length(1),
                Property::OcrLength => length(2),
            };
            // one value everywhere tells nothing; a text field that nobody fills is no property
            if k < 2 || values.iter().all(|v| v.is_nan() || *v == 0.0) {
                continue;
            }
            let found =
                property_score(&values, &labels, k).map_err(|e| JobError::broke("stage.issues", e))?;
            let Some(score) = found.score else { continue };
            let mut told: Vec<ToldClass> = (found.recalls.iter().enumerate())
                .filter_map(|(c, share)| {
                    let share = share.filter(|s| *s > found.chance)?;
                    Some(ToldClass { class: self.taxonomy.class_id(c).to_owned(), share })
                })
                .collect();
            told.sort_by(|a, b| b.share.total_cmp(&a.share));
            told.truncate(TOLD);
            out.push(PropertyHealth {
                property,
                score,
                accuracy: found.accuracy,
                chance: found.chance,
                known: found.known as u64,
                told,
            });
        }
        out.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(out)
    }

    fn duplicates(&self) -> Option<DuplicateHealth> {
        let found = &self.output.places?.duplicates;
        let differ = |rows: &&Vec<u32>| {
            let first = rows.first().map(|&i| self.labelled.y[i as usize]);
            rows.iter().any(|&i| Some(self.labelled.y[i as usize]) != first)
        };
        Some(DuplicateHealth {
            groups: found.groups.len() as u64,
            samples: found.group.iter().flatten().count() as u64,
            exact: found.exact.iter().filter(|e| **e).count() as u64,
            conflicts: found.groups.iter().filter(differ).count() as u64,
        })
    }

    fn fields(&self) -> Vec<FieldHealth> {
        let mut problems: BTreeMap<(Field, TextProblem), u64> = BTreeMap::new();
        let mut odd: BTreeMap<Field, u64> = BTreeMap::new();
        for found in self.issues.iter().flatten() {
            match &found.issue {
                Issue::TextQuality { faults } => {
                    faults.iter().for_each(|f| *problems.entry((f.field, f.problem)).or_default() += 1);
                }
                Issue::OddField { field, .. } => *odd.entry(*field).or_default() += 1,
                _ => {}
            }
        }
        let count = |field: Field| {
            TextProblem::ALL.map(|problem| ProblemCount {
                problem,
                n: problems.get(&(field, problem)).copied().unwrap_or(0),
            })
        };
        let fields = Field::TEXT.into_iter().enumerate().map(|(f, field)| {
            let texts = &self.told.report(f).texts;
            FieldHealth {
                field,
                missing: texts.iter().filter(|t| t.chars == 0).count() as u64,
                missing_is_issue: texts.iter().any(|t| t.issue == Some(TextIssue::Empty)),
                problems: count(field).into(),
                odd: odd.get(&field).copied().unwrap_or(0),
            }
        });
        fields.collect()
    }

    /// Every cluster with samples, in order of its number.
    pub(super) fn clusters(&self, groups: &[GroupScore]) -> Vec<Cluster> {
        let Some(places) = self.output.places else { return Vec::new() };
        let mut counts: BTreeMap<u32, BTreeMap<usize, u32>> = BTreeMap::new();
        for (&cluster, &y) in places.clusters.iter().zip(&self.labelled.y) {
            *counts.entry(cluster).or_default().entry(y).or_default() += 1;
        }
        let clusters = counts.into_iter().map(|(cluster, labels)| {
            let mut labels: Vec<(usize, u32)> = labels.into_iter().collect();
            labels.sort_by_key(|(_, n)| std::cmp::Reverse(*n)); // stable: equals stay by class
            let n: u32 = labels.iter().map(|l| l.1).sum();
            let (class, most) = labels[0];
            let id = |class: usize| self.taxonomy.class_id(class).to_owned();
            Cluster {
                cluster: cluster as i32,
                n: i64::from(n),
                words: self.told.words.get(cluster as usize).cloned().unwrap_or_default(),
                class: id(class),
                purity: most as f32 / n as f32,
                minority: i64::from(n - most),
                labels: labels[1..]
                    .iter()
                    .take(Cluster::LISTED_LABELS)
                    .map(|&(class, n)| LabelCount { class: id(class), n })
                    .collect(),
                underperforms: groups.iter().any(|g| g.group == cluster && g.underperforms),
            }
        });
        clusters.collect()
    }
}
