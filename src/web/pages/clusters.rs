//! `/datasets/{name}/clusters`: groups of similar clips, named by their words; where labels are in the
//! minority there may be wrong ones in bulk.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::grid::cluster_href;
use super::names::{ClassName, Share};
use super::{Reader, address, render};
use crate::domain::Taxonomy;
use crate::domain::health::Cluster;
use crate::jobs::Services;
use crate::store::issues::ClusterMember;

const ON_A_PAGE: i64 = 24;
/// Pictures of a cluster.
const POSTERS: i64 = 6;

#[derive(Template)]
#[template(path = "clusters.html")]
pub(super) struct ClustersPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) scanned: bool,
    pub(super) clusters: Vec<ClusterView>,
    pub(super) first: Option<String>,
    pub(super) next: Option<String>,
}

pub(super) struct ClusterView {
    pub(super) name: String,
    pub(super) words: String,
    /// All its clips.
    pub(super) href: String,
    /// The same as tiles.
    pub(super) grid: String,
    pub(super) n: String,
    pub(super) class: ClassName,
    pub(super) purity: Share,
    pub(super) minority: String,
    pub(super) labels: Vec<MinorityView>,
    pub(super) underperforms: bool,
    pub(super) members: Vec<MemberView>,
}

pub(super) struct MinorityView {
    pub(super) class: ClassName,
    pub(super) n: String,
    pub(super) href: String,
}

pub(super) struct MemberView {
    pub(super) href: String,
    pub(super) title: String,
    pub(super) poster: String,
    pub(super) video: String,
}

/// The clips of a cluster, or those of them with one label, most suspicious first.
pub(super) fn members_href(dataset_href: &str, cluster: i32, given: Option<&str>) -> String {
    let mut query = vec![("cluster", cluster.to_string())];
    query.extend(given.map(|g| ("given", g.to_owned())));
    query.push(("all", "true".to_owned()));
    format!("{dataset_href}/suspects?{}", address::query(&query))
}

impl ClusterView {
    pub(super) fn of(
        page: &Reader,
        dataset: &str,
        taxonomy: &Taxonomy,
        c: &Cluster,
        members: &[ClusterMember],
    ) -> Self {
        let lang = page.lang;
        let href = address::dataset(dataset);
        let media = |kind: &str, id: i64| format!("/{kind}/{}/{id}", address::part(dataset));
        Self {
            name: lang.fill("clusters.cluster", &[("n", &c.cluster.to_string())]),
            words: c.words.join(lang.text("list.separator")),
            href: members_href(&href, c.cluster, None),
            grid: cluster_href(&href, c.cluster),
            n: lang.number(c.n),
            class: ClassName::of(taxonomy, &c.class, lang),
            purity: Share::of(c.purity, lang),
            minority: lang.number(c.minority),
            labels: c
                .labels
                .iter()
                .map(|l| MinorityView {
                    class: ClassName::of(taxonomy, &l.class, lang),
                    n: lang.number(i64::from(l.n)),
                    href: members_href(&href, c.cluster, Some(&l.class)),
                })
                .collect(),
            underperforms: c.underperforms,
            members: members
                .iter()
                .filter(|m| m.cluster == c.cluster)
                .map(|m| MemberView {
                    href: address::sample(dataset, &m.external_id, m.sample_id),
                    title: if m.title.is_empty() { m.external_id.clone() } else { m.title.clone() },
                    poster: media("poster", m.sample_id),
                    video: media("media", m.sample_id),
                })
                .collect(),
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
    let taxonomy = store.taxonomy(dataset.id).await?;
    let scan = store.latest_scan(dataset.id).await?;
    let after = page.query("after").and_then(|a| a.parse::<i32>().ok());
    let (clusters, members, next) = match &scan {
        None => (Vec::new(), Vec::new(), None),
        Some(scan) => {
            let got = store.clusters(dataset.id, scan.id, after, ON_A_PAGE).await?;
            let shown: Vec<i32> = got.items.iter().map(|c| c.cluster).collect();
            (got.items, store.cluster_members(scan.id, &shown, POSTERS).await?, got.next)
        }
    };
    let dataset_href = address::dataset(&dataset.name);
    let href = format!("{dataset_href}/clusters");
    render(&ClustersPage {
        scanned: scan.is_some(),
        clusters: clusters
            .iter()
            .map(|c| ClusterView::of(&page, &dataset.name, &taxonomy, c, &members))
            .collect(),
        first: after.map(|_| href.clone()),
        next: next.map(|n| format!("{href}?{}", address::query(&[("after", n)]))),
        dataset: dataset.name,
        dataset_href,
        page,
    })
}
