//! The text encoder that is always there: hashed words and character n-grams, weighted by TF-IDF
//! fitted on the dataset's own texts, and projected to a fixed dimension. Works on Chinese and
//! English and needs no file.
//!
//! Weight of a feature: `(1 + ln tf) * (1 + ln((1 + N) / (1 + df)))` (Salton and Buckley 1988, with
//! smoothed document frequencies). Words and n-grams are each scaled to unit length and count the
//! same. Projection: latent semantic analysis (Deerwester et al. 1990) of a sample of the texts. A
//! random projection needs no fit but was far worse for the linear head: on 4,000 Chinese headlines
//! in 18 classes at 512 dimensions 0.23 against 0.58 correct, with 0.63 for the full vectors.

use std::collections::BTreeMap;

use half::f16;
use ndarray::Array2;
use sha2::{Digest, Sha256};

use crate::arrays::mix;

use super::{
    Result, TextEncoder,
    state::State,
    subspace::{SparseRow, leading_basis},
    tokens::{Features, features},
    vectors::normalize_rows,
};

/// Hash buckets: 2^20.
const BUCKETS: u32 = 1 << 20;
/// The most frequent buckets of the sample that take part.
const VOCABULARY: usize = 1 << 14;
/// Texts whose vectors shape the projection.
const SAMPLE: usize = 4096;
const NO_COLUMN: u32 = u32::MAX;

/// A fitted encoder; use it from as many threads as wanted. At most
/// `4 MB + 16,384 * 4 * dimension` bytes.
#[derive(Clone, Debug)]
pub struct HashedTfIdf {
    version: String,
    state: State,
    weights: Weights,
    /// `(vocabulary, rank)`, from the state's half precision.
    projection: Array2<f32>,
}

/// Gathers document counts and a sample of the texts, one text at a time. At most about 15 MB.
#[derive(Debug)]
pub struct TfIdfFitter {
    dimension: u32,
    texts: u64,
    /// Texts per bucket.
    counts: Vec<u32>,
    /// The distinct texts with the smallest hashes: a fair sample that does not depend on order.
    sample: BTreeMap<u64, Features>,
}

impl TfIdfFitter {
    /// `dimension`: length of the vectors, 1 to 65,536.
    ///
    /// # Panics
    /// When `dimension` is out of range.
    pub fn new(dimension: usize) -> Self {
        assert!((1..=65_536).contains(&dimension), "1 to 65,536 dimensions");
        let counts = vec![0; BUCKETS as usize];
        Self { dimension: dimension as u32, texts: 0, counts, sample: BTreeMap::new() }
    }

    /// Counts one text; empty ones count as texts without features.
    pub fn add(&mut self, text: &str) {
        let found = features(text);
        for b in distinct_buckets(&found) {
            let count = &mut self.counts[b as usize];
            *count = count.saturating_add(1);
        }
        self.texts += 1;
        let hashes = found.words.iter().chain(&found.grams);
        let key = hashes.fold(0, |key, h| mix(u64::rotate_left(key, 1) ^ h));
        if key != 0 {
            self.sample.insert(key, found);
            if self.sample.len() > SAMPLE {
                self.sample.pop_last();
            }
        }
    }

    /// Chooses the vocabulary and computes the projection: some seconds for a full sample.
    pub fn finish(self) -> HashedTfIdf {
        let mut seen: BTreeMap<u32, u32> = BTreeMap::new();
        for found in self.sample.values() {
            for b in distinct_buckets(found) {
                *seen.entry(b).or_default() += 1;
            }
        }
        let mut ranked: Vec<(u32, u32)> = seen.into_iter().collect();
        ranked.sort_by_key(|(bucket, count)| (std::cmp::Reverse(*count), *bucket));
        ranked.truncate(VOCABULARY);
        let mut vocabulary: Vec<(u32, u32)> =
            ranked.into_iter().map(|(bucket, _)| (bucket, self.counts[bucket as usize])).collect();
        vocabulary.sort_unstable();

        let weights = Weights::new(self.texts, &vocabulary);
        let rows: Vec<SparseRow> = self.sample.values().map(|f| weights.row(f)).collect();
        let basis = leading_basis(&rows, vocabulary.len(), self.dimension as usize);
        HashedTfIdf::from_state(State {
            dimension: self.dimension,
            texts: self.texts,
            vocabulary,
            rank: basis.ncols() as u32,
            projection: basis.iter().map(|v| f16::from_f32(*v)).collect(),
        })
    }
}

fn distinct_buckets(found: &Features) -> Vec<u32> {
    let mut buckets: Vec<u32> = found.words.iter().chain(&found.grams).map(|h| bucket(*h)).collect();
    buckets.sort_unstable();
    buckets.dedup();
    buckets
}

fn bucket(hash: u64) -> u32 {
    (hash >> 44) as u32
}

/// From the features of a text to its sparse vector over the vocabulary.
#[derive(Clone, Debug)]
struct Weights {
    /// Bucket to column.
    columns: Vec<u32>,
    /// Per column.
    idf: Vec<f32>,
}

impl Weights {
    fn new(texts: u64, vocabulary: &[(u32, u32)]) -> Self {
        let mut columns = vec![NO_COLUMN; BUCKETS as usize];
        for (column, (bucket, _)) in vocabulary.iter().enumerate() {
            columns[*bucket as usize] = column as u32;
        }
        let idf = |df: u32| (1.0 + ((1.0 + texts as f64) / (1.0 + f64::from(df))).ln()) as f32;
        Self { columns, idf: vocabulary.iter().map(|(_, df)| idf(*df)).collect() }
    }

    fn row(&self, found: &Features) -> SparseRow {
        let mut row: BTreeMap<u32, f32> = BTreeMap::new();
        for group in [&found.words, &found.grams] {
            let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
            for column in group.iter().map(|h| self.columns[bucket(*h) as usize]) {
                if column != NO_COLUMN {
                    *counts.entry(column).or_default() += 1;
                }
            }
            let weight = |(c, tf): (&u32, &u32)| (1.0 + (*tf as f32).ln()) * self.idf[*c as usize];
            let norm = counts.iter().map(|e| weight(e).powi(2)).sum::<f32>().sqrt();
            for entry in &counts {
                *row.entry(*entry.0).or_default() += weight(entry) / norm;
            }
        }
        row.into_iter().collect()
    }
}

impl HashedTfIdf {
    /// Fits on a stream of texts; order does not matter.
    pub fn fit<S: AsRef<str>>(texts: impl IntoIterator<Item = S>, dimension: usize) -> Self {
        let mut fitter = TfIdfFitter::new(dimension);
        texts.into_iter().for_each(|t| fitter.add(t.as_ref()));
        fitter.finish()
    }

    /// The state to keep with the vectors (at most `16,384 * 2 * dimension` bytes and a little);
    /// the version is its digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.state.to_bytes()
    }

    /// # Errors
    /// [`super::EncodeError::State`] for bytes that [`Self::to_bytes`] did not make.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(Self::from_state(State::from_bytes(bytes, BUCKETS)?))
    }

    fn from_state(state: State) -> Self {
        let digest = hex::encode(Sha256::digest(state.to_bytes()));
        let rank = state.rank as usize;
        let projection = Array2::from_shape_fn((state.vocabulary.len(), rank), |(i, j)| {
            state.projection[i * rank + j].to_f32()
        });
        let weights = Weights::new(state.texts, &state.vocabulary);
        Self { version: format!("tfidf@{}", &digest[..8]), state, weights, projection }
    }
}

/// A text without any feature of the corpus also gives the zero vector. Dimensions beyond the
/// number of distinct texts of the corpus are zero.
impl TextEncoder for HashedTfIdf {
    fn version(&self) -> &str {
        &self.version
    }

    fn dimension(&self) -> usize {
        self.state.dimension as usize
    }

    fn encode(&self, texts: &[&str]) -> Result<Array2<f32>> {
        let mut rows = Array2::zeros((texts.len(), self.dimension()));
        for (text, mut row) in texts.iter().zip(rows.rows_mut()) {
            let mut used = row.slice_mut(ndarray::s![..self.projection.ncols()]);
            for (column, value) in self.weights.row(&features(text)) {
                used.scaled_add(value, &self.projection.row(column as usize));
            }
        }
        normalize_rows(&mut rows);
        Ok(rows)
    }
}

#[cfg(test)]
#[path = "tfidf_tests.rs"]
mod tests;
