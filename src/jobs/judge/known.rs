//! What is known of the samples that a training is measured on: by the latest scan, and by people.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use uuid::Uuid;

use crate::exchange::columnar::{Column, read_table};
use crate::jobs::{JobError, Services};

/// What the latest scan says of a sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanned {
    pub(super) suggested: Option<usize>,
    pub(super) outlier: bool,
    pub(super) missing_field: bool,
    pub(super) text_noise: bool,
    pub(super) title_mismatch: bool,
}

/// What the latest scan knows, as far as there is one, and what people said.
#[derive(Default)]
pub(in crate::jobs) struct Knowledge {
    pub(super) samples: HashMap<i64, Scanned>,
    /// People said that they fit no class.
    pub(super) fitting_none: HashSet<i64>,
    pub(super) overlapping: HashSet<(usize, usize)>,
    pub(super) matrix: Option<Vec<Vec<f32>>>,
    pub(super) rate: Option<f64>,
}

#[derive(Deserialize)]
struct Summary {
    noise: Noise,
}

#[derive(Deserialize)]
struct Noise {
    estimated_rate: f64,
    noise_matrix: Vec<Vec<f32>>,
    overlapping: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    a: usize,
    b: usize,
}

impl Knowledge {
    pub(in crate::jobs) async fn load(
        services: &Services,
        dataset: Uuid,
        classes: &[String],
        samples: &[i64],
    ) -> Result<Self, JobError> {
        let fitting_none = services.store.fitting_no_class(dataset, samples).await?.into_iter().collect();
        let unscanned = Self { fitting_none, ..Self::default() };
        let Some(scan) = services.store.latest_scan(dataset).await? else { return Ok(unscanned) };
        // what is known of the samples is a help, not a need
        if !services.blobs.exists(&scan.scores_blob).await? {
            return Ok(unscanned);
        }
        let bytes = services.blobs.get(&scan.scores_blob).await?;
        let column: HashMap<String, usize> =
            classes.iter().enumerate().map(|(i, c)| (c.clone(), i)).collect();
        let mut known = Self {
            samples: tokio::task::spawn_blocking(move || scanned(bytes, &column)).await?,
            ..unscanned
        };
        if let Ok(Summary { noise }) = serde_json::from_value::<Summary>(scan.summary) {
            known.overlapping = noise.overlapping.iter().flat_map(|p| [(p.a, p.b), (p.b, p.a)]).collect();
            known.rate = Some(noise.estimated_rate).filter(|r| (0.0..1.0).contains(r));
            known.matrix = Some(noise.noise_matrix).filter(|m| m.len() == classes.len());
        }
        Ok(known)
    }
}

fn scanned(bytes: Vec<u8>, classes: &HashMap<String, usize>) -> HashMap<i64, Scanned> {
    let Ok(table) = read_table(bytes::Bytes::from(bytes), None) else { return HashMap::new() };
    let column = |name: &str| table.iter().find(|(n, _)| n == name).map(|(_, c)| c);
    let Some(Column::I64(ids)) = column("sample_id") else { return HashMap::new() };
    let flag =
        |name: &str, i: usize| matches!(column(name), Some(Column::Bool(b)) if b.get(i) == Some(&true));
    let text = |name: &str, i: usize| match column(name) {
        Some(Column::Utf8(t)) => t.get(i).map_or("", String::as_str),
        _ => "",
    };
    let of = |i: usize| {
        let issue = |kind: &str| text("issues", i).split(' ').any(|k| k == kind);
        Scanned {
            suggested: classes.get(text("suggested_label", i)).copied().filter(|_| flag("is_label_issue", i)),
            outlier: flag("is_outlier_issue", i),
            missing_field: issue("missing_field"),
            text_noise: issue("text_quality"),
            title_mismatch: text("odd_field", i) == "title",
        }
    };
    ids.iter().enumerate().map(|(i, &id)| (id, of(i))).collect()
}
