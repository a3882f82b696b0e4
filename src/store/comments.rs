//! What people say of a sample beside their decisions.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::telling::Audience;
use super::{Page, Result, Store, StoreError};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Comment {
    pub id: i64,
    pub client_id: Uuid,
    pub author: String,
    pub text: String,
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// Keeps a comment. The same `client_id` again: the first answer again, and `false`.
    ///
    /// # Errors
    /// A `client_id` that a comment on another sample has.
    pub async fn comment(
        &self,
        dataset: Uuid,
        sample: i64,
        client_id: Uuid,
        author: &str,
        text: &str,
    ) -> Result<(Comment, bool)> {
        let new = sqlx::query_as!(
            Comment,
            "insert into comments (client_id, dataset_id, sample_id, author, text)
             select $1, dataset_id, id, $4, $5 from samples where dataset_id = $2 and id = $3
             on conflict (client_id) do nothing returning id, client_id, author, text, created_at",
            client_id,
            dataset,
            sample,
            author,
            text
        )
        .fetch_optional(&self.pool)
        .await?;
        if let Some(new) = new {
            return Ok((new, true));
        }
        let known = sqlx::query_as!(
            Comment,
            "select id, client_id, author, text, created_at from comments
             where client_id = $1 and dataset_id = $2 and sample_id = $3 and author = $4",
            client_id,
            dataset,
            sample,
            author
        )
        .fetch_optional(&self.pool)
        .await?;
        known.map(|c| (c, false)).ok_or_else(|| StoreError::Rule {
            field: "client_id",
            code: "client_id_reused",
            message: "this client_id belongs to another comment: make a new one for each".into(),
        })
    }

    /// Oldest first; others' are left out for whoever may be asked about the sample without knowing.
    pub async fn comments(
        &self,
        dataset: Uuid,
        sample: i64,
        audience: Audience<'_>,
        after: i64,
        limit: i64,
    ) -> Result<Page<Comment>> {
        let rows = sqlx::query_as!(
            Comment,
            "select id, client_id, author, text, created_at from comments
             where dataset_id = $1 and sample_id = $2 and id > $3
               and ($5::text is null or author = $5 or not blind_to($2, $5)) order by id limit $4",
            dataset,
            sample,
            after,
            limit + 1,
            audience.annotator()
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |c| c.id.to_string()))
    }
}
