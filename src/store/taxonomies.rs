//! Taxonomies kept in memory: a page needs the names of a dozen classes and must not read ten thousand for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::datasets::Dataset;
use super::{Result, Store};
use crate::domain::Taxonomy;

/// Datasets whose taxonomies are kept; a tree of 10,000 nodes takes some 3 MB.
const KEPT: usize = 32;

type Versioned = HashMap<Uuid, (i64, Arc<Taxonomy>)>;

/// The taxonomy of a dataset by the version that was read. A version is never written again, so nothing here
/// is ever wrong, in whichever process the names change.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<Versioned>>);

impl Store {
    /// The taxonomy as it was when `dataset` was read, or newer; from memory unless its names have changed.
    pub async fn taxonomy_of(&self, dataset: &Dataset) -> Result<Arc<Taxonomy>> {
        let version = dataset.taxonomy_version;
        let kept = || self.taxonomies.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, taxonomy)) = kept().get(&dataset.id).filter(|(of, _)| *of == version) {
            return Ok(taxonomy.clone());
        }
        let taxonomy = Arc::new(self.taxonomy(dataset.id).await?);
        let mut kept = kept();
        if kept.len() >= KEPT && !kept.contains_key(&dataset.id) {
            kept.clear();
        }
        // a slower reader of an older version does not take its place
        let newest = kept.get(&dataset.id).is_none_or(|(of, _)| *of < version);
        if newest {
            kept.insert(dataset.id, (version, taxonomy.clone()));
        }
        Ok(taxonomy)
    }
}
