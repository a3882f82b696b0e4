//! What was said of the sample: its history, without people's decisions where those must not be known.

use crate::domain::Taxonomy;
use crate::store::reviews::HistoryEntry;
use crate::web::pages::Reader;
use crate::web::pages::reader::Moment;

pub(crate) struct HistoryView {
    pub(crate) at: Moment,
    pub(crate) what: String,
    pub(crate) author: String,
    pub(crate) classes: String,
    pub(crate) comment: String,
}

/// The entry comes from a file, a rule or a model, not from somebody who looked at the sample.
pub(super) fn by_nobody(e: &HistoryEntry) -> bool {
    match e.kind.as_str() {
        "label" => matches!(e.what.as_str(), "import" | "rule" | "model"),
        "rule" => true,
        _ => false,
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
            _ => "label_source",
        };
        let classes = e.classes.iter().map(|c| taxonomy.path_name(c, lang.tag()));
        let classes =
            classes.zip(&e.classes).map(|(path, id)| if path.is_empty() { id.clone() } else { path });
        Self {
            at: e.at.into(),
            what: lang.text(&format!("{kind}.{}", e.what)).to_owned(),
            author: page.author(&e.author),
            classes: classes.collect::<Vec<_>>().join(lang.text("list.separator")),
            comment: e.comment.clone(),
        }
    }
}
