//! What a scan learns of its samples without their embeddings: the quality and length of their texts, the
//! words of their clusters, and the facts of their media. The texts pass by twice; only scores stay.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Ground;
use crate::detect::Places;
use crate::detect::cluster_words::ClusterWords;
use crate::detect::media_faults::{Clip, media_faults};
use crate::detect::text_quality::{TextJudge, TextQuality, TextReport};
use crate::domain::Field;
use crate::domain::health::Cluster;
use crate::domain::issue::MediaFault;
use crate::encode::words;
use crate::jobs::progress::Progress;
use crate::jobs::{JobError, Services};
use crate::store::issues::MediaFacts;
use crate::store::samples::TextRow;

const BATCH: i64 = 2000;
/// Texts by which a cluster is named: more say the same.
const NAMING: u16 = 200;
const NOT_SEEN: u32 = u32::MAX;

/// By row of the labelled samples.
pub(super) struct Told {
    /// In the order of [`Field::TEXT`].
    reports: [TextReport; 3],
    /// Number of each sample's texts in the reports.
    number: Vec<u32>,
    /// By cluster, most telling first.
    pub(super) words: Vec<Vec<String>>,
    pub(super) media: Vec<Vec<MediaFault>>,
    pub(super) clips: Vec<Clip>,
    /// Pixels of a frame, and mean luma; NaN where unknown.
    pub(super) pixels: Vec<f32>,
    pub(super) brightness: Vec<f32>,
}

impl Told {
    /// What is said of a text field of row `i`; `None` for a sample that was deleted meanwhile.
    pub(super) fn text(&self, field: usize, i: usize) -> Option<&TextQuality> {
        self.reports[field].texts.get(self.number[i] as usize)
    }

    pub(super) fn report(&self, field: usize) -> &TextReport {
        &self.reports[field]
    }
}

pub(super) async fn read(
    services: &Services,
    dataset: Uuid,
    ground: &Ground,
    places: &Option<Arc<Places>>,
    progress: &Progress,
) -> Result<Told, JobError> {
    let n = ground.labelled.ids.len();
    let row_of: HashMap<i64, u32> = ground.labelled.ids.iter().copied().zip(0..).collect();
    let mut reading = Reading {
        row_of: Arc::new(row_of),
        places: places.clone(),
        judges: Default::default(),
        number: vec![NOT_SEEN; n],
        words: ClusterWords::default(),
        named: Vec::new(),
    };
    progress.stage("texts", Some(2 * n));
    for learning in [true, false] {
        let mut after = 0;
        loop {
            progress.check()?;
            let rows = services.store.text_rows(dataset, after, BATCH).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            let (back, known) = tokio::task::spawn_blocking(move || {
                let known = reading.take(&rows, learning);
                (reading, known)
            })
            .await?;
            reading = back;
            progress.add(known);
        }
    }
    progress.stage("media_facts", Some(n));
    let mut clips = vec![Clip::UNKNOWN; n];
    let mut pixels = vec![f32::NAN; n];
    let mut brightness = vec![f32::NAN; n];
    let mut after = 0;
    loop {
        progress.check()?;
        let facts = services.store.media_facts(dataset, after, BATCH).await?;
        let Some(last) = facts.last() else { break };
        after = last.id;
        for f in &facts {
            if let Some(&row) = reading.row_of.get(&f.id) {
                let row = row as usize;
                (clips[row], pixels[row]) = clip(f);
                brightness[row] = f.brightness.unwrap_or(f32::NAN);
                progress.add(1);
            }
        }
    }
    let [title, asr, ocr] = reading.judges;
    let (words, number) = (reading.words, reading.number);
    let told = tokio::task::spawn_blocking(move || Told {
        reports: [title.report(), asr.report(), ocr.report()],
        number,
        words: words.top(Cluster::WORDS),
        media: media_faults(&clips),
        clips,
        pixels,
        brightness,
    });
    Ok(told.await?)
}

/// What passes between batches.
struct Reading {
    row_of: Arc<HashMap<i64, u32>>,
    places: Option<Arc<Places>>,
    judges: [TextJudge; 3],
    number: Vec<u32>,
    words: ClusterWords,
    /// Texts that each cluster was named by so far.
    named: Vec<u16>,
}

impl Reading {
    /// Learns or measures the texts of the rows that are labelled; how many are.
    fn take(&mut self, rows: &[TextRow], learning: bool) -> usize {
        let mut known = 0;
        for row in rows {
            let Some(&i) = self.row_of.get(&row.id) else { continue };
            known += 1;
            let texts = Field::TEXT.map(|f| row.text.field(f).unwrap_or_default());
            if learning {
                for (judge, text) in self.judges.iter_mut().zip(&texts) {
                    self.number[i as usize] = judge.learn(text) as u32;
                }
                let cluster = self.places.as_ref().map(|p| p.clusters[i as usize]);
                cluster.into_iter().for_each(|c| self.name(c, &texts));
            } else {
                let at = self.number[i as usize] as usize;
                self.judges.iter_mut().zip(&texts).for_each(|(judge, text)| judge.measure(at, text));
            }
        }
        known
    }

    fn name(&mut self, cluster: u32, texts: &[String]) {
        let at = cluster as usize;
        if at >= self.named.len() {
            self.named.resize(at + 1, 0);
        }
        if self.named[at] < NAMING {
            self.named[at] += 1;
            texts.iter().for_each(|text| self.words.add(cluster, words(text)));
        }
    }
}

fn clip(f: &MediaFacts) -> (Clip, f32) {
    let known = |v: Option<i32>| v.filter(|v| *v > 0).map_or(f32::NAN, |v| v as f32);
    let (width, height) = (known(f.width), known(f.height));
    let clip = Clip {
        seconds: known(f.duration_ms) / 1000.0,
        side: if width.is_nan() || height.is_nan() { f32::NAN } else { width.min(height) },
        fps: f.fps.filter(|v| *v > 0.0).unwrap_or(f32::NAN),
    };
    (clip, width * height)
}
