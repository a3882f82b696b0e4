//! Decisions that fall when a snapshot is gone back to. Nothing of them is deleted: they are taken back like any other
//! decision, with the snapshot and the reason beside, and what they came to follows.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::Result;
use crate::store::looks::{settle_down, standing};

/// What fell.
pub(super) struct Fallen {
    pub(super) decisions: u64,
    /// Of their labels those that had not outranked the wanted ones, and were retracted now.
    pub(super) labels: u64,
    /// Samples that waited for a second look or to be settled, and now wait for a first look.
    pub(super) queued: u64,
}

/// Takes back the decisions that the temporary table `fallen` names, and those whose label the restore has retracted.
/// Samples on which others stand are brought to what those come to; the rest have no decision any more and are left in
/// the temporary table `undecided`, unless one in bulk stands. Their rows are locked.
pub(super) async fn fall(
    tx: &mut PgConnection,
    dataset: Uuid,
    snapshot: &str,
    author: &str,
    reason: &str,
) -> Result<Fallen> {
    // a decision may have come between the reading of the labels and the making of the snapshot
    sqlx::query(
        "insert into fallen select r.id, r.sample_id from wanted w join reviews r on r.sample_id = w.sample_id
           join label_retractions l on l.label_id = r.label_id
         where l.created_at = now() and l.author = $1 and r.purpose <> 'gold'
           and not exists (select from review_retractions t where t.review_id = r.id)
         on conflict do nothing",
    )
    .bind(author)
    .execute(&mut *tx)
    .await?;
    let decisions = sqlx::query(
        "insert into review_retractions (review_id, author, restored_to, reason)
         select review_id, $1, $2, $3 from fallen order by review_id on conflict do nothing",
    )
    .bind(author)
    .bind(snapshot)
    .bind(reason)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    let labels = sqlx::query(
        "insert into label_retractions (label_id, author, reason)
         select r.label_id, $1, $2 from fallen f join reviews r on r.id = f.review_id where r.label_id is not null
         order by r.label_id on conflict do nothing",
    )
    .bind(author)
    .bind(reason)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    let decided: Vec<i64> = sqlx::query_scalar(
        "select distinct f.sample_id from fallen f join reviews r on r.sample_id = f.sample_id
         where r.purpose <> 'gold' and not exists (select from review_retractions t where t.review_id = r.id)
         order by 1",
    )
    .fetch_all(&mut *tx)
    .await?;
    for sample in &decided {
        let looks = standing(tx, *sample).await?;
        settle_down(tx, dataset, *sample, &looks).await?;
    }
    sqlx::query(
        "create temp table undecided on commit drop as
         select distinct sample_id from fallen where sample_id <> all($1)",
    )
    .bind(&decided)
    .execute(&mut *tx)
    .await?;
    sqlx::query("delete from verifications v using undecided u where v.sample_id = u.sample_id")
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "update exclusions e set lifted_at = now() from undecided u
         where e.sample_id = u.sample_id and e.review_id is not null and e.lifted_at is null",
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "delete from undecided u using review_status r where r.sample_id = u.sample_id and r.decision <> 'unsure'",
    )
    .execute(&mut *tx)
    .await?;
    // whoever holds one holds it still, and may decide as on any other
    let queued = sqlx::query(
        "update queue_items q set purpose = 'first', not_by = '{}', blind = false, label = null
         from undecided u where q.sample_id = u.sample_id and q.state = 'open' and q.purpose in ('second', 'adjudicate')",
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    Ok(Fallen { decisions, labels, queued })
}
