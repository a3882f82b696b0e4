//! What changed between two snapshots, and the way back to one. Going back overwrites nothing: labels that
//! came since are retracted, and a label that was retracted since is given again.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::snapshot::{labels_of, take};
use super::{JobError, Services};
use crate::exchange::snapshot_file::Row;
use crate::store::Page;
use crate::store::snapshots::{Restored, Snapshot, Wanted};
use crate::store::telling::Audience;

/// Samples that went from one class to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangeCount {
    /// Null: not among the labelled.
    pub from: Option<String>,
    pub to: Option<String>,
    pub n: usize,
}

/// A sample whose class differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    pub sample_id: i64,
    /// External id.
    pub id: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// Which changes are wanted: of these classes; `Some(None)`: not among the labelled.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    pub from: Option<Option<String>>,
    pub to: Option<Option<String>>,
}

/// The difference of two snapshots.
#[derive(Clone, Debug)]
pub struct Diff {
    /// Most samples first.
    pub counts: Vec<ChangeCount>,
    pub changed: usize,
    /// Those asked for, in byte order of their ids.
    pub page: Page<Change>,
}

impl Diff {
    /// Leaves out samples that the audience may be asked about without knowing, where one of the two labels is
    /// somebody's decision. Their number stays in the counts.
    pub async fn tell(
        &mut self,
        services: &Services,
        dataset: Uuid,
        audience: Audience<'_>,
    ) -> Result<(), JobError> {
        let ids: Vec<i64> = self.page.items.iter().map(|c| c.sample_id).collect();
        let told = services.store.told(dataset, audience, &ids).await?;
        self.page.items.retain(|change| {
            let Some(told) = told.get(&change.sample_id) else { return true };
            // what somebody leaves out is not among the labelled
            let knows = |class: &Option<String>| class.as_ref().map_or(told.excluded, |c| told.knows(c));
            knows(&change.from) && knows(&change.to)
        });
        Ok(())
    }
}

/// What a revert did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reverted {
    /// The labels as they were right before, to which one can go back in turn.
    pub before: String,
    /// Samples whose current label changed.
    pub changed: i64,
    /// Labels taken back, and labels given again.
    pub retracted: i64,
    pub given: i64,
    /// Decisions made since, which count no more.
    pub fallen: i64,
    /// Samples that wait for somebody again: those that only such decisions spoke for, and those that were verified as
    /// something else.
    pub queued: i64,
}

/// From `old` (none: from nothing) to `new`; changes after the external id `after`. Reads both files.
pub async fn diff(
    services: &Services,
    old: Option<&Snapshot>,
    new: &Snapshot,
    filter: ChangeFilter,
    after: Option<String>,
    limit: i64,
) -> Result<Diff, JobError> {
    let before = match old {
        Some(s) => labels_of(services, s).await?,
        None => Vec::new(),
    };
    let now = labels_of(services, new).await?;
    Ok(tokio::task::spawn_blocking(move || diff_of(before, now, &filter, after.as_deref(), limit)).await?)
}

/// Both in byte order of the external id.
fn diff_of(before: Vec<Row>, now: Vec<Row>, filter: &ChangeFilter, after: Option<&str>, limit: i64) -> Diff {
    let (mut old, mut new) = (before.into_iter().peekable(), now.into_iter().peekable());
    let mut counts = BTreeMap::<(Option<String>, Option<String>), usize>::new();
    let (mut changed, mut items) = (0, Vec::new());
    let most = usize::try_from(limit).unwrap_or(0) + 1;
    loop {
        let (a, b) = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(a), Some(b)) if a.external_id == b.external_id => (old.next(), new.next()),
            (Some(a), Some(b)) if a.external_id > b.external_id => (None, new.next()),
            (None, Some(_)) => (None, new.next()),
            (Some(_), _) => (old.next(), None),
        };
        let Some((sample_id, id)) = b.as_ref().or(a.as_ref()).map(|r| (r.sample_id, r.external_id.clone()))
        else {
            break;
        };
        let (from, to) = (a.map(|r| r.class), b.map(|r| r.class));
        if from == to {
            continue;
        }
        changed += 1;
        let asked = filter.from.as_ref().is_none_or(|f| *f == from)
            && filter.to.as_ref().is_none_or(|t| *t == to)
            && after.is_none_or(|a| id.as_str() > a);
        if asked && items.len() < most {
            items.push(Change { sample_id, id, from: from.clone(), to: to.clone() });
        }
        *counts.entry((from, to)).or_default() += 1;
    }
    let mut counts: Vec<ChangeCount> =
        counts.into_iter().map(|((from, to), n)| ChangeCount { from, to, n }).collect();
    counts.sort_by_key(|c| std::cmp::Reverse(c.n));
    Diff { counts, changed, page: Page::cut(items, limit, |c| c.id.clone()) }
}

/// Makes the current labels of the samples in `snapshot` what they were then; other samples stay as they
/// are. Decisions on the samples that were made since count no more. The labels before are kept as a snapshot first.
/// All or nothing, and the same again changes nothing.
pub async fn revert(
    services: &Services,
    dataset: Uuid,
    snapshot: &Snapshot,
    author: &str,
    reason: &str,
) -> Result<Reverted, JobError> {
    let before = take(services, dataset, author, reason).await?;
    let wanted: Vec<Wanted> = labels_of(services, snapshot)
        .await?
        .into_iter()
        .map(|r| Wanted {
            sample_id: r.sample_id,
            class: r.class,
            source: r.source,
            decided_at: r.decided_at,
        })
        .collect();
    let Restored { changed, retracted, given, fallen, queued } =
        services.store.restore(dataset, snapshot, &before.id, &wanted, author, reason).await?;
    Ok(Reverted { before: before.id, changed, retracted, given, fallen, queued })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, class: &str) -> Row {
        Row {
            sample_id: i64::from(id.as_bytes()[0]),
            external_id: id.into(),
            given_class: None,
            class: class.into(),
            source: "import".into(),
            author: "x".into(),
            decided_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_changed_by_hand() {
        let old = vec![row("a", "1"), row("b", "1"), row("c", "2"), row("e", "1")];
        let new = vec![row("b", "2"), row("c", "2"), row("d", "3"), row("e", "2")];
        let all = diff_of(old.clone(), new.clone(), &ChangeFilter::default(), None, 3);
        let ids = |d: &Diff| d.page.items.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert_eq!(
            (all.changed, ids(&all), all.page.next.as_deref()),
            (4, vec!["a".into(), "b".into(), "d".into()], Some("d"))
        );
        let one = |c: &str| Some(c.to_owned());
        assert_eq!(all.counts[0], ChangeCount { from: one("1"), to: one("2"), n: 2 });
        assert_eq!(all.counts.len(), 3);
        let rest = diff_of(old.clone(), new.clone(), &ChangeFilter::default(), Some("d"), 3);
        assert_eq!((ids(&rest), rest.page.next), (vec!["e".to_owned()], None));
        let gone = ChangeFilter { to: Some(None), ..ChangeFilter::default() };
        assert_eq!(ids(&diff_of(old.clone(), new, &gone, None, 3)), ["a"]);
        assert_eq!(diff_of(old.clone(), old, &ChangeFilter::default(), None, 3).changed, 0);
    }
}
