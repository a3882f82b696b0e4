//! Teams: who is what in which dataset, and the record of who changed it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::Role;

/// One person of a dataset's team.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Member {
    pub account_id: Uuid,
    pub name: String,
    pub role: Role,
    pub since: DateTime<Utc>,
}

/// One line of the record of changes to accounts, teams and policies.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEvent {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub dataset_id: Option<Uuid>,
    #[schema(value_type = Object)]
    pub facts: Value,
}

impl Store {
    /// The role of an account in the dataset of this id or name (found as [`Store::dataset`] finds it);
    /// `None` when it does not exist.
    pub async fn role_in(&self, account: Uuid, dataset: &str) -> Result<Option<Role>> {
        let id = Uuid::parse_str(dataset).ok();
        let role = sqlx::query_scalar!(
            "select role from members where account_id = $1 and dataset_id =
               (select id from datasets where name = $3 or id = $2 order by (id = $2) desc limit 1)",
            account,
            id,
            dataset
        )
        .fetch_optional(&self.pool)
        .await?;
        role.map(|r| keyword("role", &r, Role::parse)).transpose()
    }

    /// In order of names.
    pub async fn members(&self, dataset: Uuid, after: Option<&str>, limit: i64) -> Result<Page<Member>> {
        let rows = sqlx::query!(
            "select a.id, a.name, m.role, m.created_at from members m join accounts a on a.id = m.account_id
             where m.dataset_id = $1 and ($2::text is null or lower(a.name) > lower($2))
             order by lower(a.name) limit $3",
            dataset,
            after,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        let members = rows
            .into_iter()
            .map(|r| {
                let role = keyword("role", &r.role, Role::parse)?;
                Ok(Member { account_id: r.id, name: r.name, role, since: r.created_at })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(members, limit, |m| m.name.clone()))
    }

    /// Takes somebody into the team, or changes their role.
    pub async fn put_member(&self, dataset: Uuid, account: Uuid, role: Role, actor: &str) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "insert into members (dataset_id, account_id, role) values ($1, $2, $3)
             on conflict (dataset_id, account_id) do update set role = excluded.role",
            dataset,
            account,
            role.as_str()
        )
        .execute(&mut *tx)
        .await?;
        let facts = serde_json::json!({"account_id": account, "role": role});
        record(&mut tx, actor, "member_put", Some(dataset), &facts).await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn remove_member(&self, dataset: Uuid, account: Uuid, actor: &str) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        let gone =
            sqlx::query!("delete from members where dataset_id = $1 and account_id = $2", dataset, account)
                .execute(&mut *tx)
                .await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::not_found("member", account.to_string()));
        }
        let facts = serde_json::json!({"account_id": account});
        record(&mut tx, actor, "member_removed", Some(dataset), &facts).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes a change that its own statement did not note.
    pub async fn audit(&self, actor: &str, action: &str, dataset: Option<Uuid>, facts: &Value) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        record(&mut tx, actor, action, dataset, facts).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Newest first; of one dataset, or of all.
    pub async fn audit_events(
        &self,
        dataset: Option<Uuid>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Page<AuditEvent>> {
        let rows = sqlx::query_as!(
            AuditEvent,
            "select id, at, actor, action, dataset_id, facts from audit_events
             where ($1::uuid is null or dataset_id = $1) and ($2::bigint is null or id < $2)
             order by id desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |e| e.id.to_string()))
    }
}

pub(super) async fn record(
    tx: &mut sqlx::PgConnection,
    actor: &str,
    action: &str,
    dataset: Option<Uuid>,
    facts: &Value,
) -> Result<()> {
    sqlx::query!(
        "insert into audit_events (actor, action, dataset_id, facts) values ($1, $2, $3, $4)",
        actor,
        action,
        dataset,
        facts
    )
    .execute(tx)
    .await?;
    Ok(())
}
