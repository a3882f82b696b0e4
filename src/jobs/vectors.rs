//! Stored vectors back into matrices: which encoders count, and the features of a list of samples.

use std::collections::{HashMap, HashSet};

use ndarray::{Array2, Axis, s};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{JobError, Services};
use crate::arrays::{Span, balanced};
use crate::domain::Field;
use crate::exchange::columnar;
use crate::store::embeddings::EmbeddingFile;

/// A span of columns made by one encoder from one field.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) field: Field,
    pub(crate) encoder: String,
    pub(crate) start: usize,
    pub(crate) dimension: usize,
    /// Rows of the matrix that have a vector here.
    pub(crate) present: usize,
}

/// Raw features of a list of samples: the stored unit vectors side by side, zeros where a field is
/// missing. This is also what an exported model takes as input.
pub(crate) struct Features {
    /// (samples, sum of dimensions)
    pub(crate) matrix: Array2<f32>,
    pub(crate) blocks: Vec<Block>,
}

/// Sample -> input hash of the rows by this encoder; a later row of a sample wins.
pub(crate) async fn known_rows(
    services: &Services,
    dataset: Uuid,
    field: Field,
    encoder: &str,
) -> Result<HashMap<i64, i64>, JobError> {
    let mut known = HashMap::new();
    for file in services.store.embedding_files(dataset).await? {
        if file.field == field && file.encoder == encoder {
            let bytes = services.blobs.get(&file.blob).await?;
            let (ids, hashes) =
                tokio::task::spawn_blocking(move || columnar::read_ids(bytes::Bytes::from(bytes)))
                    .await?
                    .map_err(|e| JobError::broke("doing.embeddings", format!("{}: {e}", file.blob)))?;
            known.extend(ids.into_iter().zip(hashes));
        }
    }
    Ok(known)
}

/// Loads the features of `samples` (in their order) from `fields`. Of each field every encoder's
/// newest version counts.
pub(crate) async fn features(
    services: &Services,
    dataset: Uuid,
    samples: &[i64],
    fields: &[Field],
) -> Result<Features, JobError> {
    let files: Vec<EmbeddingFile> = services
        .store
        .embedding_files(dataset)
        .await?
        .into_iter()
        .filter(|f| fields.contains(&f.field))
        .collect();
    let blocks = newest(&files);
    let features = stored(services, dataset, samples, blocks).await?;
    // a field that no sample has would only widen the matrix
    if features.blocks.iter().any(|b| b.present == 0) {
        return Ok(without_empty(features));
    }
    Ok(features)
}

/// The newest version of every encoder among `files`, side by side by field and name.
fn newest(files: &[EmbeddingFile]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for file in files {
        let name = |encoder: &str| encoder.split('@').next().unwrap_or_default().to_owned();
        let dimension = usize::try_from(file.dimension).unwrap_or(0);
        match blocks.iter_mut().find(|b| b.field == file.field && name(&b.encoder) == name(&file.encoder)) {
            // files come oldest first, so the last version seen is the newest
            Some(b) => {
                b.encoder.clone_from(&file.encoder);
                b.dimension = dimension;
            }
            None => blocks.push(Block {
                field: file.field,
                encoder: file.encoder.clone(),
                start: 0,
                dimension,
                present: 0,
            }),
        }
    }
    blocks.sort_by(|a, b| (a.field, &a.encoder).cmp(&(b.field, &b.encoder)));
    let mut start = 0;
    for b in &mut blocks {
        b.start = start;
        start += b.dimension;
    }
    blocks
}

/// The encoder whose frame vectors networks read: the newest version of the one with most rows.
pub(crate) async fn frame_block(services: &Services, dataset: Uuid) -> Result<Option<Block>, JobError> {
    let files = services.store.embedding_files(dataset).await?;
    let files: Vec<EmbeddingFile> = files.into_iter().filter(|f| f.field == Field::Frames).collect();
    let rows =
        |b: &Block| files.iter().filter(|f| f.encoder == b.encoder).map(|f| i64::from(f.n_rows)).sum::<i64>();
    let block = newest(&files).into_iter().rev().max_by_key(rows);
    Ok(block.map(|b| Block { start: 0, ..b }))
}

/// The features of `samples` (in their order) in exactly these blocks, which stay where they are: what a
/// model that was trained on them reads. Of every file of theirs, one after the other, the rows of `samples`.
pub(crate) async fn stored(
    services: &Services,
    dataset: Uuid,
    samples: &[i64],
    mut blocks: Vec<Block>,
) -> Result<Features, JobError> {
    let files = services.store.embedding_files(dataset).await?;
    let width = blocks.iter().map(|b| b.start + b.dimension).max().unwrap_or(0);
    let row_of: HashMap<i64, usize> = samples.iter().enumerate().map(|(i, &id)| (id, i)).collect();
    let holds = services.store.present_fields(dataset, Some(samples)).await?;
    let mut matrix = Array2::zeros((samples.len(), width));
    for b in &mut blocks {
        let mut seen = vec![false; samples.len()];
        // what a sample held before, and holds no more, does not count
        let holds: HashSet<i64> = holds.iter().filter(|p| p.holds(b.field)).map(|p| p.id).collect();
        let holds = std::sync::Arc::new(holds);
        for file in files.iter().filter(|f| f.field == b.field && f.encoder == b.encoder) {
            let bytes = services.blobs.get(&file.blob).await?;
            let wanted = holds.clone();
            let read = tokio::task::spawn_blocking(move || {
                columnar::read_embeddings_of(bytes::Bytes::from(bytes), false, |id| wanted.contains(&id))
            })
            .await?
            .map_err(|e| JobError::broke("doing.embeddings", format!("{}: {e}", file.blob)))?;
            for (id, vector) in read.sample_ids.iter().zip(read.vectors.rows()) {
                if let Some(&row) = row_of.get(id) {
                    matrix.slice_mut(s![row, b.start..b.start + b.dimension]).assign(&vector);
                    seen[row] = true;
                }
            }
        }
        b.present = seen.iter().filter(|s| **s).count();
    }
    Ok(Features { matrix, blocks })
}

fn without_empty(Features { matrix, blocks }: Features) -> Features {
    let mut kept = Vec::new();
    let mut columns = Vec::new();
    for mut b in blocks.into_iter().filter(|b| b.present > 0) {
        let from = b.start;
        b.start = columns.len();
        columns.extend(from..from + b.dimension);
        kept.push(b);
    }
    Features { matrix: matrix.select(ndarray::Axis(1), &columns), blocks: kept }
}

impl Features {
    /// Those of the columns that are of these fields.
    pub(crate) fn only(&self, fields: &[Field]) -> Features {
        let mut blocks: Vec<Block> = Vec::new();
        let mut columns = Vec::new();
        for b in self.blocks.iter().filter(|b| fields.contains(&b.field)) {
            blocks.push(Block { start: columns.len(), ..b.clone() });
            columns.extend(b.start..b.start + b.dimension);
        }
        Features { matrix: self.matrix.select(Axis(1), &columns), blocks }
    }

    /// The columns of each field, all its encoders side by side.
    pub(crate) fn by_field(&self) -> Vec<(Field, Array2<f32>)> {
        let mut fields: Vec<Field> = self.blocks.iter().map(|b| b.field).collect();
        fields.dedup();
        let columns = |field: Field| -> Vec<usize> {
            let of = self.blocks.iter().filter(|b| b.field == field);
            of.flat_map(|b| b.start..b.start + b.dimension).collect()
        };
        fields.into_iter().map(|f| (f, self.matrix.select(Axis(1), &columns(f)))).collect()
    }

    /// The space in which neighbours are searched: each block centred on the samples that have it,
    /// brought to unit length a row, and weighted so that every field counts the same however many
    /// encoders and columns it has. A missing field is zero, that is, says nothing.
    pub(crate) fn balanced(&self) -> Array2<f32> {
        let spans: Vec<Span> = self
            .blocks
            .iter()
            .map(|b| {
                let encoders = self.blocks.iter().filter(|o| o.field == b.field).count().max(1);
                Span { start: b.start, dimension: b.dimension, weight: (1.0 / encoders as f32).sqrt() }
            })
            .collect();
        balanced(self.matrix.view(), &spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn fields_count_the_same_and_missing_ones_say_nothing() {
        let block = |field, encoder: &str, start, dimension| Block {
            field,
            encoder: encoder.into(),
            start,
            dimension,
            present: 1,
        };
        let f = Features {
            matrix: array![[1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0]],
            blocks: vec![
                block(Field::Frames, "a@1", 0, 3),
                block(Field::Title, "b@1", 3, 1),
                block(Field::Title, "c@1", 4, 1),
            ],
        };
        let b = f.balanced();
        let norm = |row: usize, from: usize, to: usize| {
            b.slice(s![row, from..to]).iter().map(|v| v * v).sum::<f32>().sqrt()
        };
        for row in 0..3 {
            assert!((norm(row, 0, 3) - 1.0).abs() < 1e-6, "frames have unit length");
        }
        // one sample has the block, so centring leaves nothing of it
        assert_eq!(b.slice(s![2, 3..5]).to_vec(), [0.0, 0.0]);
    }
}
