//! A sample with what a scan says of it, under the names of its fields.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use super::fields::{FIELDS, What};
use crate::detect::rules::{Field, Record};
use crate::domain::{LabelSource, Taxonomy};
use crate::exchange::columnar::{Column, ColumnarError, read_table};
use crate::jobs::{JobError, Services};
use crate::store::rules::pass::RuleRecord;

/// Columns of a scan's file of scores: 4 bytes a sample for each, and 16 for finding the sample's row.
#[derive(Debug, Default)]
pub(super) struct Scores {
    rows: HashMap<i64, usize>,
    columns: HashMap<&'static str, Column>,
}

impl Scores {
    /// Those of `names` that the file has; a scan of an earlier version may have fewer.
    pub(super) async fn load(
        services: &Services,
        dataset: Uuid,
        scan: Uuid,
        names: &[&'static str],
    ) -> Result<Self, JobError> {
        if names.is_empty() {
            return Ok(Self::default());
        }
        let scan = services.store.scan(dataset, scan).await?;
        let bytes = Bytes::from(services.blobs.get(&scan.scores_blob).await?);
        let names = names.to_vec();
        tokio::task::spawn_blocking(move || Self::read(&bytes, &names))
            .await?
            .map_err(|e| JobError::broke("doing.files", e))
    }

    fn read(bytes: &Bytes, names: &[&'static str]) -> Result<Self, ColumnarError> {
        let mut scores = Self::default();
        for (_, column) in read_table(bytes.clone(), Some(&["sample_id"]))? {
            if let Column::I64(ids) = column {
                scores.rows = ids.into_iter().enumerate().map(|(row, id)| (id, row)).collect();
            }
        }
        for name in names {
            match read_table(bytes.clone(), Some(&[name])) {
                Ok(columns) => scores.columns.extend(columns.into_iter().map(|(_, c)| (*name, c))),
                Err(ColumnarError::Column(_)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(scores)
    }
}

/// What a rule sees of one sample.
pub(super) struct Seen<'a> {
    record: &'a RuleRecord,
    scores: &'a Scores,
    taxonomy: &'a Taxonomy,
}

impl<'a> Seen<'a> {
    pub(super) fn of(record: &'a RuleRecord, scores: &'a Scores, taxonomy: &'a Taxonomy) -> Self {
        Self { record, scores, taxonomy }
    }

    fn score(&self, name: &str) -> Option<(&'a Column, usize)> {
        let row = *self.scores.rows.get(&self.record.sample_id)?;
        Some((self.scores.columns.get(name)?, row))
    }
}

impl Record for Seen<'_> {
    fn text(&self, field: &Field) -> Option<&str> {
        let r = self.record;
        let finding = r.finding.as_ref();
        match FIELDS.get(field.index)?.what {
            What::ExternalId => Some(&r.external_id),
            What::Title => r.title.as_deref(),
            What::Asr => r.asr.as_deref(),
            What::Ocr => r.ocr.as_deref(),
            What::Split => Some(&r.split),
            What::MediaState => Some(&r.media_state),
            What::Label => r.label.as_deref(),
            What::GivenLabel => r.given_label.as_deref(),
            What::Level1 => self.taxonomy.root_of(r.label.as_deref()?),
            What::LabelSource => r.label_source.map(LabelSource::as_str),
            What::LabelAuthor => r.label_author.as_deref(),
            What::Review => r.review.as_deref(),
            What::SuggestedLabel => Some(&finding?.suggested_label),
            What::ClusterLabel => finding?.cluster_label.as_deref(),
            What::Score => match self.score(&field.name)? {
                (Column::Utf8(values), row) => values.get(row).map(String::as_str).filter(|v| !v.is_empty()),
                _ => None,
            },
            _ => None,
        }
    }

    fn number(&self, field: &Field) -> Option<f64> {
        let r = self.record;
        let finding = r.finding.as_ref();
        match FIELDS.get(field.index)?.what {
            What::DurationMs => r.duration_ms.map(f64::from),
            What::Width => r.width.map(f64::from),
            What::Height => r.height.map(f64::from),
            What::Fps => r.fps.map(f64::from),
            What::Suspicion => finding.map(|f| decimal(f.suspicion)),
            What::Rank => finding.map(|f| f64::from(f.rank)),
            What::SuggestedP => finding.map(|f| decimal(f.suggested_p)),
            What::SelfConfidence => finding.map(|f| decimal(f.self_confidence)),
            What::NormalizedMargin => finding.map(|f| decimal(f.normalized_margin)),
            What::Detectors => finding.map(|f| f64::from(f.detectors)),
            What::NeighboursAgree => finding?.neighbours_agree,
            What::NeighboursSuggested => finding?.neighbours_suggested,
            What::Cluster => finding.map(|f| f64::from(f.cluster)),
            What::ClusterShare => finding?.cluster_share,
            What::Score => match self.score(&field.name)? {
                (Column::F32(values), row) => values.get(row).map(|v| decimal(*v)),
                // a group or cluster that is none
                (Column::I32(values), row) => values.get(row).filter(|v| **v >= 0).map(|v| f64::from(*v)),
                _ => None,
            },
            _ => None,
        }
    }

    fn flag(&self, field: &Field) -> Option<bool> {
        let r = self.record;
        match FIELDS.get(field.index)?.what {
            What::Excluded => Some(r.excluded),
            What::FlaggedByRule => Some(r.flagged_by_rule),
            What::Flagged => r.finding.as_ref().map(|f| f.flagged),
            What::CrossParent => r.finding.as_ref()?.cross_parent,
            What::Score => match self.score(&field.name)? {
                (Column::Bool(values), row) => values.get(row).copied(),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A score as pages show it, so that `suggested_p = 0.9` holds of 0.9: the nearest f64 to a stored f32 is
/// another number than the one that is written the same.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::columnar::write_table;

    #[test]
    fn scores_are_found_by_sample_and_column() {
        let columns = [
            ("sample_id", Column::I64(vec![7, 3])),
            ("log_margin", Column::F32(vec![0.5, 0.1])),
            ("near_duplicate_group", Column::I32(vec![-1, 4])),
        ];
        let mut file = Vec::new();
        write_table(&mut file, &columns, &[]).unwrap();
        // the last is of a later version than the file
        let names = ["log_margin", "near_duplicate_group", "odd_field"];
        let scores = Scores::read(&Bytes::from(file), &names).unwrap();
        assert_eq!(scores.rows, HashMap::from([(7, 0), (3, 1)]));
        assert_eq!(scores.columns["near_duplicate_group"], Column::I32(vec![-1, 4]));
        assert_eq!(scores.columns.len(), 2);
    }

    #[test]
    fn scores_are_the_numbers_that_pages_show() {
        assert_eq!(decimal(0.9), 0.9);
        assert!(f64::from(0.9_f32) != 0.9);
        assert!(decimal(f32::NAN).is_nan());
        assert_eq!(decimal(f32::INFINITY), f64::INFINITY);
    }
}
