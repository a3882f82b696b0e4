//! Bringing rows in: COPY into a temporary table, check, merge, all in one transaction, so that a
//! refused import leaves nothing behind. Idempotent by external id.
//!
//! The temporary table exists only inside the transaction, so its statements cannot be checked at
//! compile time; `tests/it` runs each of them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sqlx::{Postgres, Transaction};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};
use crate::domain::Taxonomy;

/// A checked row on its way in. `class` is a leaf of the dataset's taxonomy. What is `None` is left as it
/// is in a sample that is there already.
#[derive(Clone, Debug, Default)]
pub struct StagedRow {
    pub line: u64,
    pub external_id: String,
    pub title: Option<String>,
    pub asr: Option<String>,
    /// JSON array of `{time, text}`.
    pub ocr_json: Option<String>,
    pub split: Option<&'static str>,
    pub class: Option<String>,
    pub media_path: Option<String>,
}

/// What a merge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MergeCounts {
    pub added: i64,
    /// Samples of which a text, the split or the clip changed.
    pub changed: i64,
    pub unchanged: i64,
    /// Label events written: new labels and labels that differ from the ones before.
    pub labels_added: i64,
}

/// A row that was refused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportError {
    pub file: String,
    /// 1-based; 0 when the file as a whole is meant.
    pub line: i64,
    pub field: Option<String>,
    /// Stable keyword, also the key of the message catalogue.
    pub code: String,
    pub message: String,
}

/// One open import. Dropping it without [`Staging::commit`] undoes everything.
pub struct Staging {
    tx: Transaction<'static, Postgres>,
    buffer: String,
}

impl Staging {
    pub async fn begin(store: &Store) -> Result<Self> {
        let mut tx = store.pool.begin().await?;
        sqlx::query(
            "create temporary table import_rows (line bigint, external_id text, title text, asr text, ocr jsonb,
               split text, class text, media_path text) on commit drop",
        )
        .execute(&mut *tx)
        .await?;
        Ok(Self { tx, buffer: String::new() })
    }

    /// One COPY; memory is that of the batch.
    pub async fn copy(&mut self, rows: &[StagedRow]) -> Result<()> {
        self.buffer.clear();
        for r in rows {
            let _ = write!(self.buffer, "{}", r.line);
            push_copy(&mut self.buffer, Some(&r.external_id));
            for text in [&r.title, &r.asr, &r.ocr_json] {
                push_copy(&mut self.buffer, text.as_deref());
            }
            push_copy(&mut self.buffer, r.split);
            push_copy(&mut self.buffer, r.class.as_deref());
            push_copy(&mut self.buffer, r.media_path.as_deref());
            self.buffer.push('\n');
        }
        let mut copy = self.tx.copy_in_raw("copy import_rows from stdin").await?;
        copy.send(self.buffer.as_bytes()).await?;
        copy.finish().await?;
        Ok(())
    }

    /// Rows whose id appeared on an earlier line: `(id, line, first line)`, in line order. They are
    /// taken out of the import.
    pub async fn take_duplicates(&mut self) -> Result<Vec<(String, i64, i64)>> {
        Ok(sqlx::query_as::<_, (String, i64, i64)>(
            "with ranked as (
               select ctid as tid, external_id, line,
                 first_value(line) over w as first, row_number() over w as n
               from import_rows window w as (partition by external_id order by line)),
             gone as (delete from import_rows i using ranked r where i.ctid = r.tid and r.n > 1
               returning r.external_id, r.line, r.first)
             select external_id, line, first from gone order by line",
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// The dataset (made when there is none), within this transaction.
    pub async fn dataset(&mut self, name: &str, taxonomy: &Taxonomy) -> Result<Uuid> {
        Store::ensure_dataset(&mut self.tx, name, taxonomy).await
    }

    /// Merges the staged rows into samples and labels.
    pub async fn merge(&mut self, dataset: Uuid, author: &str, job: Uuid) -> Result<MergeCounts> {
        // Samples have no foreign key (migration 0002): this is what keeps the dataset there. It also
        // lets one import of a dataset merge at a time, so that what is not there stays not there.
        sqlx::query!("select id from datasets where id = $1 for no key update", dataset)
            .fetch_optional(&mut *self.tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", dataset.to_string()))?;
        // without it the planner takes the new table for a small one
        sqlx::query("analyze import_rows (external_id, class)").execute(&mut *self.tx).await?;
        let (total,): (i64,) =
            sqlx::query_as("select count(*) from import_rows").fetch_one(&mut *self.tx).await?;
        // `again`: its media are to be had (anew); clips that failed are tried once more
        let (changed,): (i64,) = sqlx::query_as(
            "with renewed as (
               update samples s set title = n.title, asr = n.asr, ocr = n.ocr, split = n.split,
                 media_path = coalesce(n.media_path, s.media_path),
                 media_job = case when n.again then $2 else s.media_job end,
                 media_blob = case when n.again then null else s.media_blob end,
                 media_state = case when n.again and s.media_state <> 'features' then 'none' else s.media_state end,
                 media_error = case when n.again then null else s.media_error end,
                 poster_blob = case when n.again then null else s.poster_blob end,
                 strip_blob = case when n.again then null else s.strip_blob end,
                 duration_ms = case when n.again then null else s.duration_ms end,
                 updated_at = case when n.differs then now() else s.updated_at end
               from (
                 select m.*, m.media_path is not null and m.media_path is distinct from m.old_path
                   or (m.old_title, m.old_asr, m.old_ocr, m.old_split) is distinct from (m.title, m.asr, m.ocr, m.split) as differs
                 from (
                   select s.id, s.media_path as old_path, s.title as old_title, s.asr as old_asr, s.ocr as old_ocr, s.split as old_split,
                     coalesce(r.title, s.title) as title, coalesce(r.asr, s.asr) as asr, coalesce(r.ocr, s.ocr) as ocr,
                     coalesce(r.split, case when s.split = 'unlabelled' and r.class is not null then 'train' else s.split end) as split,
                     r.media_path,
                     r.media_path is not null
                       and (r.media_path is distinct from s.media_path or s.media_state in ('bad', 'none')) as again
                   from import_rows r join samples s on s.dataset_id = $1 and s.external_id = r.external_id) m) n
               where s.id = n.id and (n.again or n.differs)
               returning n.differs)
             select count(*) filter (where differs) from renewed",
        )
        .bind(dataset)
        .bind(job)
        .fetch_one(&mut *self.tx)
        .await?;
        let added = sqlx::query(
            "insert into samples (dataset_id, external_id, title, asr, ocr, split, media_path, media_job)
             select $1, external_id, coalesce(title, ''), coalesce(asr, ''), coalesce(ocr, '[]'),
               coalesce(split, case when class is null then 'unlabelled' else 'train' end), media_path,
               case when media_path is not null then $2 end
             from import_rows r
             where not exists (select from samples s where s.dataset_id = $1 and s.external_id = r.external_id)
             order by line",
        )
        .bind(dataset)
        .bind(job)
        .execute(&mut *self.tx)
        .await?
        .rows_affected();
        let labels_added = sqlx::query(
            "insert into labels (dataset_id, sample_id, class, source, author, job_id)
             select $1, s.id, r.class, 'import', $2, $3
             from import_rows r join samples s on s.dataset_id = $1 and s.external_id = r.external_id
             left join current_labels c on c.sample_id = s.id and c.dataset_id = $1
             where r.class is not null and c.given_class is distinct from r.class order by r.line",
        )
        .bind(dataset)
        .bind(author)
        .bind(job)
        .execute(&mut *self.tx)
        .await?
        .rows_affected();
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let added = count(added);
        Ok(MergeCounts {
            added,
            changed,
            unchanged: total - added - changed,
            labels_added: count(labels_added),
        })
    }

    pub async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

/// Tab, then the value in COPY's text format.
fn push_copy(out: &mut String, value: Option<&str>) {
    out.push('\t');
    let Some(value) = value else {
        out.push_str("\\N");
        return;
    };
    // texts are long and such characters rare: found by library code that reads many bytes at once
    let mut from = 0;
    let mut marks: Vec<usize> = memchr::memchr3_iter(b'\\', b'\t', b'\n', value.as_bytes()).collect();
    marks.extend(memchr::memchr_iter(b'\r', value.as_bytes()));
    marks.sort_unstable();
    for at in marks {
        out.push_str(&value[from..at]);
        out.push_str(match value.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\n' => "\\n",
            _ => "\\r",
        });
        from = at + 1;
    }
    out.push_str(&value[from..]);
}

impl Store {
    /// Replaces the refused rows of an import job (a restarted job lists them anew).
    pub async fn save_import_errors(&self, job: Uuid, errors: &[ImportError]) -> Result<()> {
        let seq: Vec<i32> = (0..errors.len()).map(|i| i32::try_from(i).unwrap_or(i32::MAX)).collect();
        let file: Vec<String> = errors.iter().map(|e| e.file.clone()).collect();
        let line: Vec<i64> = errors.iter().map(|e| e.line).collect();
        let field: Vec<Option<String>> = errors.iter().map(|e| e.field.clone()).collect();
        let code: Vec<String> = errors.iter().map(|e| e.code.clone()).collect();
        let message: Vec<String> = errors.iter().map(|e| e.message.replace('\0', "\u{fffd}")).collect();
        let mut tx = self.pool.begin().await?;
        sqlx::query!("delete from import_errors where job_id = $1", job).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into import_errors (job_id, seq, file, line, field, code, message)
             select $1, * from unnest($2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])",
            job,
            &seq,
            &file,
            &line,
            &field as &[Option<String>],
            &code,
            &message
        )
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Refused rows in file order after the `after`-th (-1: from the start).
    pub async fn import_errors(&self, job: Uuid, after: i32, limit: i64) -> Result<Page<ImportError>> {
        let rows = sqlx::query!(
            "select seq, file, line, field, code, message from import_errors
             where job_id = $1 and seq > $2 order by seq limit $3",
            job,
            after,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        let page = Page::cut(rows, limit, |r| r.seq.to_string());
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(|r| ImportError {
                    file: r.file,
                    line: r.line,
                    field: r.field,
                    code: r.code,
                    message: r.message,
                })
                .collect(),
            next: page.next,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::push_copy;

    #[test]
    fn copy_text_escapes_what_copy_reads_as_syntax() {
        let mut s = String::new();
        push_copy(&mut s, Some("a\tb\\N\nc\r中"));
        push_copy(&mut s, None);
        assert_eq!(s, "\ta\\tb\\\\N\\nc\\r中\t\\N");
    }
}
