//! Places the samples of a dataset on a plane by all their stored embeddings, joined as a scan joins them. The
//! points are one file, of numbers that a browser draws as they are; what is known of each point is put beside
//! them when it is asked for.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::vectors::{self, Features};
use super::{JobError, Services, encode};
use crate::detect::map::{MapParams, MapStage, map};
use crate::domain::{Field, MapMethod};
use crate::store::maps::{Map, Mark};
use crate::store::telling::Audience;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MapArgs {
    /// `umap` where nothing is said.
    pub method: Option<MapMethod>,
}

const POINTS: &[u8; 4] = b"TMP1";
const MARKS: &[u8; 4] = b"TMF1";
/// Before the arrays of a file of points: the four bytes, the number of points, the smallest id.
const HEAD: usize = 16;
/// Of the arrays, bytes a point: id, x, y.
const WIDTH: usize = 8;
/// No class, no cluster.
const NONE: u16 = u16::MAX;

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: MapArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    encode::missing(services, dataset, progress).await?;
    progress.stage("load_features", None);
    let mut ids: Vec<i64> =
        services.store.present_fields(dataset, None).await?.into_iter().map(|p| p.id).collect();
    ids.sort_unstable();
    let features = vectors::features(services, dataset, &ids, &Field::ALL).await?;
    if features.blocks.is_empty() {
        return Err(JobError::failed("nothing_encoded", &[]));
    }
    let fields: Vec<Value> =
        features.blocks.iter().map(|b| json!({"field": b.field, "encoder": b.encoder})).collect();
    let method = args.method.unwrap_or(MapMethod::Umap);
    let params = MapParams { method, ..MapParams::new(services.config.scan.seed) };
    let p = progress.clone();
    let placed = tokio::task::spawn_blocking(move || place(ids, features, &params, &p)).await?;
    progress.check()?;
    let Placed { file, n, method, neighbours_kept } = placed?;
    progress.stage("save", None);
    // its job's id: a second start of the same job, after a crash, makes no second one
    let id = progress.job_id;
    let blob = format!("maps/{}/{id}.points", dataset.simple());
    services.blobs.put(&blob, file).await?;
    let made = Map {
        id,
        method,
        n_samples: i64::try_from(n).unwrap_or(i64::MAX),
        blob,
        facts: json!({"fields": fields, "neighbours_kept": neighbours_kept}),
        created_at: chrono::Utc::now(),
    };
    services.store.insert_map(dataset, &made).await?;
    Ok(json!({"map_id": id, "samples": n, "method": method, "neighbours_kept": neighbours_kept}))
}

struct Placed {
    file: Vec<u8>,
    n: usize,
    method: MapMethod,
    neighbours_kept: f32,
}

fn place(
    ids: Vec<i64>,
    features: Features,
    params: &MapParams,
    progress: &Progress,
) -> Result<Placed, JobError> {
    let broke = |e: &dyn std::fmt::Display| JobError::broke("doing.map", e);
    // what has no vector at all has no place
    let rows: Vec<usize> =
        (0..ids.len()).filter(|i| features.matrix.row(*i).iter().any(|v| *v != 0.0)).collect();
    let balanced = features.balanced();
    let x = if rows.len() == ids.len() { balanced } else { balanced.select(ndarray::Axis(0), &rows) };
    drop(features);
    let mut shown = None;
    let placed = map(x.view(), params, &mut |stage, done, total| {
        if shown != Some(stage) {
            shown = Some(stage);
            match stage {
                MapStage::Neighbours => progress.stage("neighbours", Some(total)),
                MapStage::Layout => progress.stage("layout", Some(total)),
            }
        }
        progress.set(done);
        progress.go_on()
    })
    .map_err(|e| match progress.check() {
        Err(stopped) => stopped,
        Ok(()) => broke(&e),
    })?;
    let ids: Vec<i64> = rows.into_iter().map(|i| ids[i]).collect();
    let points: Vec<[f32; 2]> = placed.points.rows().into_iter().map(|p| [p[0], p[1]]).collect();
    let file =
        points_file(&ids, &points).ok_or_else(|| broke(&"the ids of the samples span more than 32 bits"))?;
    Ok(Placed { file, n: ids.len(), method: placed.method, neighbours_kept: placed.neighbours_kept })
}

/// The file of points; ids in growing order. `None` where they span more than 32 bits.
fn points_file(ids: &[i64], points: &[[f32; 2]]) -> Option<Vec<u8>> {
    let first = ids.first().copied().unwrap_or(0);
    let mut out = Vec::with_capacity(HEAD + WIDTH * ids.len());
    out.extend(POINTS);
    out.extend(u32::try_from(ids.len()).ok()?.to_le_bytes());
    out.extend(first.to_le_bytes());
    for id in ids {
        out.extend(u32::try_from(id - first).ok()?.to_le_bytes());
    }
    // the same scale both ways, the shorter side in the middle
    let low = |c: usize| points.iter().map(|p| p[c]).fold(f32::INFINITY, f32::min);
    let high = |c: usize| points.iter().map(|p| p[c]).fold(f32::NEG_INFINITY, f32::max);
    let (low, high) = ([low(0), low(1)], [high(0), high(1)]);
    let span = (high[0] - low[0]).max(high[1] - low[1]).max(f32::MIN_POSITIVE);
    for c in 0..2 {
        let middle = f32::midpoint(low[c], high[c]);
        for p in points {
            let at = ((p[c] - middle) / span + 0.5) * 65535.0;
            out.extend((at.round() as u16).to_le_bytes());
        }
    }
    Some(out)
}

/// The ids of a file of points.
fn ids_of(file: &[u8]) -> Option<Vec<i64>> {
    let number = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    if file.get(..4)? != POINTS {
        return None;
    }
    let n = usize::try_from(number(4)?).ok()?;
    let first = i64::from_le_bytes(file.get(8..HEAD)?.try_into().ok()?);
    if file.len() != HEAD + WIDTH * n {
        return None;
    }
    (0..n).map(|i| Some(first + i64::from(number(HEAD + 4 * i)?))).collect()
}

/// The file of marks for `ids`, both in growing order.
fn marks_file(ids: &[i64], marks: &[Mark]) -> Vec<u8> {
    let mut known = marks.iter().peekable();
    // a sample that is gone since is unknown
    let of_id: Vec<Option<&Mark>> = ids
        .iter()
        .map(|id| {
            while known.next_if(|m| m.sample_id < *id).is_some() {}
            known.next_if(|m| m.sample_id == *id)
        })
        .collect();
    let short = |v: Option<i32>| v.and_then(|v| u16::try_from(v).ok()).unwrap_or(NONE);
    let mut out = Vec::with_capacity(8 + 6 * ids.len());
    out.extend(MARKS);
    out.extend(u32::try_from(ids.len()).unwrap_or(u32::MAX).to_le_bytes());
    for m in &of_id {
        out.extend(short(m.and_then(|m| m.class)).to_le_bytes());
    }
    for m in &of_id {
        out.extend(short(m.and_then(|m| m.cluster)).to_le_bytes());
    }
    out.extend(
        of_id
            .iter()
            .map(|m| m.and_then(|m| m.suspicion).map_or(255, |s| (s.clamp(0.0, 1.0) * 254.0).round() as u8)),
    );
    out.extend(of_id.iter().map(|m| m.map_or(0, |m| u8::try_from(m.status).unwrap_or(0))));
    out
}

impl Services {
    /// What the audience may know of the map's points now, as the file that the API describes.
    ///
    /// # Errors
    /// The map's file is gone.
    pub async fn map_marks(
        &self,
        dataset: Uuid,
        map: &Map,
        audience: Audience<'_>,
    ) -> Result<Vec<u8>, JobError> {
        let file = self.blobs.get(&map.blob).await?;
        let ids = ids_of(&file).ok_or_else(|| JobError::broke("doing.files", "not a file of points"))?;
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(marks_file(&[], &[])) };
        let marks = self.store.marks(dataset, audience, *first, *last).await?;
        Ok(marks_file(&ids, &marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_keep_their_ids_and_shape() {
        let ids = [7, 9, 4_000_000_000];
        let file = points_file(&ids, &[[-1.0, 0.0], [3.0, 1.0], [1.0, -1.0]]).unwrap();
        assert_eq!(ids_of(&file).unwrap(), ids);
        assert_eq!(file.len(), 16 + 3 * 8);
        let at = |i: usize| u16::from_le_bytes([file[28 + 2 * i], file[29 + 2 * i]]);
        // x from edge to edge; y half as wide, in the middle
        assert_eq!([at(0), at(1), at(2)], [0, 65535, 32768]);
        assert_eq!([at(3), at(4), at(5)], [32768, 49151, 16384]);
        assert!(points_file(&[1, 1 << 33], &[[0.0; 2]; 2]).is_none());
        assert_eq!(ids_of(&file[..30]), None);
        assert_eq!(ids_of(&points_file(&[], &[]).unwrap()), Some(vec![]));
        // all at one place
        let one = points_file(&[1, 2], &[[5.0, 5.0]; 2]).unwrap();
        assert_eq!(u16::from_le_bytes([one[24], one[25]]), 32768);
    }

    #[test]
    fn marks_find_their_points() {
        let mark = |sample_id, class, suspicion| Mark {
            sample_id,
            class,
            cluster: None,
            suspicion,
            status: 2,
            judged: None,
        };
        let marks = [mark(1, Some(4), None), mark(3, None, Some(1.0)), mark(8, Some(9), Some(0.5))];
        // 1 is not on the map, 5 is gone
        let file = marks_file(&[3, 5, 8], &marks);
        assert_eq!(&file[..8], b"TMF1\x03\0\0\0");
        assert_eq!(&file[8..14], [0xff, 0xff, 0xff, 0xff, 9, 0]);
        assert_eq!(&file[14..20], [0xff; 6]);
        assert_eq!(&file[20..], [254, 255, 127, 2, 0, 2]);
    }
}
