//! The part of a dataset's page about predictions of somebody's own model: those that were uploaded, and
//! how to upload more.

use super::Reader;
use super::names::short;
use super::reader::Moment;
use crate::store::predictions::PredictionSet;

pub(super) struct PredictionsView {
    pub(super) sets: Vec<SetView>,
    /// Python that uploads an array.
    pub(super) snippet: String,
}

pub(super) struct SetView {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) snapshot: String,
    pub(super) rows: String,
    pub(super) author: String,
    pub(super) at: Moment,
}

impl PredictionsView {
    /// `api` is the dataset's address there, `snapshot` the one to predict, if any was taken.
    pub(super) fn of(page: &Reader, sets: &[PredictionSet], api: &str, snapshot: Option<&str>) -> Self {
        let set = |s: &PredictionSet| SetView {
            id: s.id.to_string(),
            model: s.model.clone(),
            snapshot: short(&s.snapshot_id),
            rows: page.lang.number(s.n_rows),
            author: page.author(&s.author),
            at: s.created_at.into(),
        };
        let snapshot = snapshot.map_or_else(|| "SNAPSHOT".to_owned(), short);
        Self {
            sets: sets.iter().map(set).collect(),
            snippet: format!(
                r#"import requests
form = {{"model": "my model, 5 folds", "out_of_sample": "true"}}
requests.post("http://localhost:8080{api}/snapshots/{snapshot}/predictions", data=form, files={{"array": open("p.parquet", "rb")}}).raise_for_status()"#
            ),
        }
    }
}
