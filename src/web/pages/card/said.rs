//! What was said of the sample: its history, and the looks that somebody has to settle.

use crate::domain::Taxonomy;
use crate::store::looks::EarlierLook;
use crate::store::reviews::HistoryEntry;
use crate::web::pages::Reader;
use crate::web::pages::names::ClassName;
use crate::web::pages::reader::Moment;

pub(crate) struct HistoryView {
    pub(crate) at: Moment,
    pub(crate) what: String,
    pub(crate) author: String,
    pub(crate) classes: String,
    pub(crate) comment: String,
}

/// One of the voices between which somebody decides.
pub(crate) struct LookView {
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) classes: Vec<ClassName>,
    pub(crate) comment: String,
    /// It names one class, and that is not the label: it can be taken as it is.
    pub(crate) relabels: bool,
}

impl LookView {
    /// `n`: from 1, for looks whose authors are not told. `label`: what is shown as the sample's.
    pub(super) fn of(
        page: &Reader,
        taxonomy: &Taxonomy,
        n: usize,
        look: &EarlierLook,
        label: Option<&str>,
    ) -> Self {
        let class = |id: &String| ClassName::of(taxonomy, id, page.lang);
        Self {
            who: look.author.as_ref().map_or_else(|| page.t1("card.look", "n", n), |a| page.author(a)),
            what: page.lang.text(&format!("decision.{}", look.decision)).to_owned(),
            classes: look.classes.iter().map(class).collect(),
            comment: look.comment.clone(),
            relabels: matches!(&look.classes[..], [class] if label != Some(class)),
        }
    }
}

impl HistoryView {
    pub(super) fn of(page: &Reader, taxonomy: &Taxonomy, e: &HistoryEntry) -> Self {
        let lang = page.lang;
        let kind = match e.kind.as_str() {
            "review" => "decision",
            "retraction" => "retraction",
            "rule" => "rule_did",
            "rule_undone" => "rule_undone",
            "bulk" => "bulk_did",
            "bulk_undone" => "bulk_undone",
            _ => "label_source",
        };
        let what = match e.kind.as_str() {
            "comment" => page.t("sample.comment").to_owned(),
            "undo" => page.t1("card.undone", "what", page.lang.text(&format!("decision.{}", e.what))),
            _ => lang.text(&format!("{kind}.{}", e.what)).to_owned(),
        };
        let classes = e.classes.iter().map(|c| taxonomy.path_name(c, lang.tag()));
        let classes =
            classes.zip(&e.classes).map(|(path, id)| if path.is_empty() { id.clone() } else { path });
        Self {
            at: e.at.into(),
            what,
            author: page.author(&e.author),
            classes: classes.collect::<Vec<_>>().join(lang.text("list.separator")),
            comment: e.comment.clone(),
        }
    }
}
