//! `/datasets/{name}/guide`: which classes have a labelling guide. `/datasets/{name}/guide/{class}`: one of
//! them, its versions and their differences, and the rulings on doubtful cases. Changes go through the API.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::names::ClassName;
use super::reader::Moment;
use super::{Reader, address, render};
use crate::domain::diff::{DiffLine, lines};
use crate::domain::{SafeHtml, Taxonomy};
use crate::jobs::Services;
use crate::store::StoreError;
use crate::store::guides::{Guide, GuideHead, Ruling};
use crate::web::api::guides::{GENERAL, class_of};

/// Of versions and of rulings.
const ON_A_PAGE: i64 = 30;

#[derive(Template)]
#[template(path = "guides.html")]
pub(super) struct GuidesPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) general: NodeView,
    pub(super) roots: Vec<NodeView>,
    /// `12 of 200`
    pub(super) written: String,
}

/// A node of the taxonomy and what is written on it; a template of its own, since trees are of any depth.
#[derive(Template)]
#[template(path = "parts/guide_node.html")]
pub(super) struct NodeView {
    pub(super) class: ClassName,
    pub(super) href: String,
    /// Says that nobody has written a guide.
    pub(super) missing: Option<String>,
    /// When, and by whom.
    pub(super) updated: Option<(Moment, String)>,
    /// Rulings, worded; `None` without any.
    pub(super) decisions: Option<String>,
    pub(super) below: Vec<NodeView>,
}

#[derive(Template)]
#[template(path = "guide.html")]
pub(super) struct GuidePage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    pub(super) previews: String,
    pub(super) class: ClassName,
    pub(super) writes: bool,
    pub(super) guide: Option<GuideView>,
    /// What an edit starts from: version, texts.
    pub(super) base: i32,
    pub(super) markdown: String,
    pub(super) boundary: String,
    pub(super) compared: Option<ComparedView>,
    pub(super) versions: Vec<VersionView>,
    pub(super) older: Option<String>,
    pub(super) rulings: Vec<RulingView>,
    pub(super) older_rulings: Option<String>,
}

pub(super) struct GuideView {
    pub(super) definition: SafeHtml,
    pub(super) boundary: SafeHtml,
    pub(super) version: i32,
    pub(super) at: Moment,
    pub(super) author: String,
}

/// Two versions, part by part.
pub(super) struct ComparedView {
    pub(super) title: String,
    /// Name of the part, its lines.
    pub(super) parts: Vec<(String, Vec<LineView>)>,
}

pub(super) struct LineView {
    /// `same`, `removed`, `added`.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

pub(super) struct VersionView {
    pub(super) version: i32,
    pub(super) at: Moment,
    pub(super) author: String,
    pub(super) reason: String,
    /// The page with the difference to the version before.
    pub(super) compare: Option<String>,
    /// Body of the request that brings it back; `None` for the newest.
    pub(super) revert: Option<String>,
}

pub(super) struct RulingView {
    pub(super) html: SafeHtml,
    pub(super) at: Moment,
    pub(super) author: String,
    /// External id and page of each sample.
    pub(super) samples: Vec<(String, String)>,
}

fn guide_href(dataset_href: &str, class: &str) -> String {
    format!("{dataset_href}/guide/{}", address::part(if class.is_empty() { GENERAL } else { class }))
}

/// The tree under each root, in the order of the taxonomy.
struct Tree<'a> {
    page: &'a Reader,
    taxonomy: &'a Taxonomy,
    heads: HashMap<&'a str, &'a GuideHead>,
    below: HashMap<&'a str, Vec<&'a str>>,
    dataset_href: &'a str,
}

impl Tree<'_> {
    fn node(&self, class: ClassName) -> NodeView {
        let head = self.heads.get(class.id.as_str());
        let lang = self.page.lang;
        let below = self.below.get(class.id.as_str()).into_iter().flatten();
        NodeView {
            href: guide_href(self.dataset_href, &class.id),
            missing: head.is_none_or(|h| h.version == 0).then(|| lang.text("guide.missing").to_owned()),
            updated: head.and_then(|h| {
                Some((h.updated_at?.into(), self.page.author(h.author.as_deref().unwrap_or_default())))
            }),
            decisions: head
                .filter(|h| h.decisions > 0)
                .map(|h| lang.t1("guide.rulings_n", "n", lang.number(h.decisions))),
            below: below.map(|id| self.node(ClassName::of(self.taxonomy, id, lang))).collect(),
            class,
        }
    }
}

pub(super) fn index(page: Reader, dataset: String, taxonomy: &Taxonomy, heads: &[GuideHead]) -> GuidesPage {
    let dataset_href = address::dataset(&dataset);
    let mut below: HashMap<&str, Vec<&str>> = HashMap::new();
    for node in taxonomy.nodes() {
        if let Some(parent) = &node.parent {
            below.entry(parent).or_default().push(&node.id);
        }
    }
    let tree = Tree {
        page: &page,
        taxonomy,
        heads: heads.iter().map(|h| (h.class.as_str(), h)).collect(),
        below,
        dataset_href: &dataset_href,
    };
    let name = page.lang.text("guide.general").to_owned();
    let general = tree.node(ClassName { name: name.clone(), path: name, ..ClassName::default() });
    let roots: Vec<NodeView> =
        taxonomy.roots().into_iter().map(|id| tree.node(ClassName::of(taxonomy, id, page.lang))).collect();
    let written = heads.iter().filter(|h| h.version > 0 && taxonomy.is_leaf(&h.class)).count();
    let number = |n: usize| page.lang.number(i64::try_from(n).unwrap_or(i64::MAX));
    let written =
        page.lang.t2("guide.written_of", "n", number(written), "classes", number(taxonomy.n_classes()));
    GuidesPage { general, roots, written, dataset, dataset_href, page }
}

/// What the page of one guide is made of.
pub(super) struct Parts {
    pub(super) newest: Option<Guide>,
    /// The older and the newer of two versions to compare.
    pub(super) compared: Option<(Option<Guide>, Guide)>,
    pub(super) versions: Vec<Guide>,
    pub(super) older: Option<String>,
    pub(super) rulings: Vec<Ruling>,
    pub(super) older_rulings: Option<String>,
}

pub(super) fn one(
    page: Reader,
    dataset: String,
    taxonomy: &Taxonomy,
    class: &str,
    parts: Parts,
) -> GuidePage {
    let lang = page.lang;
    let dataset_href = address::dataset(&dataset);
    let href = guide_href(&dataset_href, class);
    let api = format!("/api/v1{dataset_href}");
    let name = lang.text("guide.general").to_owned();
    let named = if class.is_empty() {
        ClassName { name: name.clone(), path: name, ..ClassName::default() }
    } else {
        ClassName::of(taxonomy, class, lang)
    };
    let base = parts.newest.as_ref().map_or(0, |g| g.version);
    let more = |key: &str, before: Option<String>| {
        before.map(|b| format!("{href}?{}", address::query(&[(key, b.as_str())])))
    };
    GuidePage {
        guide: parts.newest.as_ref().map(|g| GuideView {
            definition: g.definition_html(),
            boundary: g.boundary_html(),
            version: g.version,
            at: g.created_at.into(),
            author: page.author(&g.author),
        }),
        markdown: parts.newest.as_ref().map(|g| g.markdown.clone()).unwrap_or_default(),
        boundary: parts.newest.as_ref().map(|g| g.boundary.clone()).unwrap_or_default(),
        compared: parts.compared.as_ref().map(|(old, new)| compare(&page, old.as_ref(), new)),
        versions: parts
            .versions
            .iter()
            .map(|g| VersionView {
                version: g.version,
                at: g.created_at.into(),
                author: page.author(&g.author),
                reason: g.reason.clone(),
                compare: (g.version > 1).then(|| {
                    format!("{href}?{}#compared", address::query(&[("compare", g.version.to_string())]))
                }),
                revert: (g.version != base).then(|| {
                    let reason = lang.t1("guide.reverted", "version", g.version);
                    serde_json::json!({"from_version": g.version, "base_version": base, "reason": reason})
                        .to_string()
                }),
            })
            .collect(),
        rulings: parts
            .rulings
            .iter()
            .map(|r| RulingView {
                html: r.html(),
                at: r.created_at.into(),
                author: page.author(&r.author),
                samples: r
                    .samples
                    .iter()
                    .zip(&r.sample_ids)
                    .map(|(name, id)| (name.clone(), address::sample(&dataset, name, *id)))
                    .collect(),
            })
            .collect(),
        older: more("versions", parts.older),
        older_rulings: more("rulings", parts.older_rulings),
        writes: page.adjudicates(),
        api: format!("{api}/guides/{}", address::part(if class.is_empty() { GENERAL } else { class })),
        previews: format!("{api}/guide-previews"),
        class: named,
        base,
        dataset,
        dataset_href,
        page,
    }
}

fn compare(page: &Reader, old: Option<&Guide>, new: &Guide) -> ComparedView {
    let part = |key: &str, before: &str, after: &str| {
        let shown = lines(before, after)
            .into_iter()
            .map(|line| match line {
                DiffLine::Same(text) => LineView { kind: "same", text: text.to_owned() },
                DiffLine::Removed(text) => LineView { kind: "removed", text: text.to_owned() },
                DiffLine::Added(text) => LineView { kind: "added", text: text.to_owned() },
            })
            .collect();
        (page.lang.text(key).to_owned(), shown)
    };
    let before = |of: fn(&Guide) -> &str| old.map(of).unwrap_or_default();
    ComparedView {
        title: page.lang.t2("guide.compared", "old", old.map_or(0, |g| g.version), "new", new.version),
        parts: vec![
            part("guide.definition", before(|g| &g.markdown), &new.markdown),
            part("guide.boundary", before(|g| &g.boundary), &new.boundary),
        ],
    }
}

pub(super) async fn show_index(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let dataset = services.store.dataset(&name).await?;
    let taxonomy = services.store.taxonomy(dataset.id).await?;
    let heads = services.store.guides(dataset.id).await?;
    render(&index(page, dataset.name, &taxonomy, &heads))
}

pub(super) async fn show_one(
    State(services): State<Services>,
    page: Reader,
    Path((name, class)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let class = class_of(&class);
    if !class.is_empty() && taxonomy.node(class).is_none() {
        return Err(StoreError::not_found("class", class).into());
    }
    let asked = |key: &str| page.query(key).and_then(|v| v.parse::<i32>().ok());
    let compared = match asked("compare") {
        None => None,
        Some(version) => {
            let new = store.guide_version(dataset.id, class, version).await?;
            let old = match version {
                2.. => Some(store.guide_version(dataset.id, class, version - 1).await?),
                _ => None,
            };
            Some((old, new))
        }
    };
    let versions = store.guide_versions(dataset.id, class, asked("versions"), ON_A_PAGE).await?;
    let before = page.query("rulings").and_then(|v| v.parse::<i64>().ok());
    let rulings = store.rulings(dataset.id, class, before, ON_A_PAGE).await?;
    let parts = Parts {
        newest: store.guide(dataset.id, class).await?,
        compared,
        versions: versions.items,
        older: versions.next,
        rulings: rulings.items,
        older_rulings: rulings.next,
    };
    render(&one(page, dataset.name, &taxonomy, class, parts))
}
