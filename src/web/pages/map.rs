//! `/datasets/{name}/map`: every sample as a point, near those that are like it. Drawn by `map.js`; the same
//! sets of samples are reachable from the lists below it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::grid::cluster_href;
use super::names::ClassName;
use super::reader::Moment;
use super::{Reader, address, render};
use crate::jobs::Services;
use crate::store::maps::Map;

/// Clusters and classes that are listed.
const LISTED: usize = 40;

#[derive(Template)]
#[template(path = "map.html")]
pub(super) struct MapPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    /// Whether there is anything to make a map of.
    pub(super) encoded: bool,
    pub(super) map: Option<MapView>,
    pub(super) clusters: Vec<ListView>,
    pub(super) classes: Vec<ListView>,
    /// What the script colours by, as JSON: classes in the order of their columns with their level-1 nodes, and
    /// names of the clusters.
    pub(super) names: String,
}

pub(super) struct MapView {
    pub(super) id: String,
    pub(super) n: i64,
    pub(super) method: String,
    pub(super) kept: Option<String>,
    pub(super) at: Moment,
    /// A scan was made since.
    pub(super) old: bool,
}

pub(super) struct ListView {
    pub(super) href: String,
    pub(super) name: String,
    pub(super) n: String,
}

impl MapView {
    fn of(page: &Reader, map: &Map, old: bool) -> Self {
        let kept = map.facts.get("neighbours_kept").and_then(serde_json::Value::as_f64);
        Self {
            id: map.id.to_string(),
            n: map.n_samples,
            method: page.lang.text(&format!("map_method.{}", map.method.as_str())).to_owned(),
            kept: kept.map(|k| page.t1("map.kept", "share", page.lang.percent(k as f32))),
            at: map.created_at.into(),
            old,
        }
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy_of(&dataset).await?;
    let scan = store.latest_scan_head(dataset.id).await?;
    let map = store.latest_map(dataset.id).await?;
    let lang = page.lang;
    let dataset_href = address::dataset(&dataset.name);
    let clusters = match &scan {
        Some(scan) => store.clusters(dataset.id, scan.id, None, i64::from(u16::MAX)).await?.items,
        None => Vec::new(),
    };
    let cluster_name = |c: &crate::domain::health::Cluster| {
        if c.words.is_empty() {
            page.t1("clusters.cluster", "n", c.cluster)
        } else {
            c.words.join(lang.text("list.separator"))
        }
    };
    let roots = taxonomy.roots();
    let classes: Vec<serde_json::Value> = taxonomy
        .class_ids()
        .zip(taxonomy.class_roots())
        .map(|(id, root)| {
            let (name, above) =
                (ClassName::of(&taxonomy, id, lang), ClassName::of(&taxonomy, roots[root], lang));
            serde_json::json!({"id": id, "name": name.name, "path": name.path, "root": above.name})
        })
        .collect();
    let named: serde_json::Map<String, serde_json::Value> =
        clusters.iter().map(|c| (c.cluster.to_string(), cluster_name(c).into())).collect();
    let mut counts = store.class_counts(dataset.id).await?;
    counts.retain(|c| c.current > 0);
    counts.sort_by_key(|c| std::cmp::Reverse(c.current)); // stable: equals as in the taxonomy
    render(&MapPage {
        encoded: !store.embedding_files(dataset.id).await?.is_empty(),
        map: map.map(|m| {
            let old = scan.as_ref().is_some_and(|s| s.created_at > m.created_at);
            MapView::of(&page, &m, old)
        }),
        clusters: clusters
            .iter()
            .take(LISTED)
            .map(|c| ListView {
                href: cluster_href(&dataset_href, c.cluster),
                name: cluster_name(c),
                n: lang.number(c.n),
            })
            .collect(),
        classes: counts
            .iter()
            .take(LISTED)
            .map(|c| ListView {
                href: format!(
                    "{dataset_href}/grid?{}",
                    address::query(&[("of", "samples"), ("class", &c.class)])
                ),
                name: ClassName::of(&taxonomy, &c.class, lang).path,
                n: lang.number(c.current),
            })
            .collect(),
        names: serde_json::json!({"classes": classes, "clusters": named}).to_string().replace('<', "\\u003c"),
        api: format!("/api/v1{dataset_href}"),
        dataset: dataset.name,
        dataset_href,
        page,
    })
}
