//! What people have chosen about the pages.

use std::collections::BTreeMap;

use sqlx::types::Json;
use uuid::Uuid;

use super::{Result, Store};

impl Store {
    /// Action -> key, those that the person has changed; `None` is whoever sits at the machine.
    pub async fn key_bindings(&self, account: Option<Uuid>) -> Result<BTreeMap<String, String>> {
        let found = sqlx::query_scalar!(
            r#"select keys as "keys: Json<BTreeMap<String, String>>" from settings
               where account_id is not distinct from $1"#,
            account
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(|Json(keys)| keys).unwrap_or_default())
    }

    /// Replaces all of a person's bindings.
    pub async fn put_key_bindings(
        &self,
        account: Option<Uuid>,
        keys: &BTreeMap<String, String>,
    ) -> Result<()> {
        sqlx::query!(
            "insert into settings (account_id, keys) values ($1, $2)
             on conflict (coalesce(account_id, '00000000-0000-0000-0000-000000000000'))
             do update set keys = excluded.keys, updated_at = now()",
            account,
            Json(keys) as _
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
