//! The versions of a dataset's review policy.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::members::record;
use super::{Result, Store, StoreError};
use crate::domain::{Policy, PolicyForm};

/// The policy in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyVersion {
    /// 0: none was ever set.
    pub version: i32,
    #[serde(flatten)]
    pub policy: PolicyForm,
    /// Who set it, and when; null for version 0.
    pub author: Option<String>,
    pub since: Option<DateTime<Utc>>,
}

/// A row of `review_policies` as other queries join it, columns null where there is none.
#[derive(Debug, Default)]
pub(super) struct PolicyColumns {
    pub(super) double_check: Option<String>,
    pub(super) keeps_share: Option<f64>,
    pub(super) blind: Option<bool>,
    pub(super) hide_model: Option<bool>,
    pub(super) gold_rate: Option<f64>,
    pub(super) gold_share: Option<f64>,
    pub(super) seed: Option<i64>,
}

impl PolicyColumns {
    pub(super) fn policy(self) -> Result<Policy> {
        let Some(double_check) = self.double_check else { return Ok(Policy::default()) };
        let keeps_share = self.keeps_share.filter(|_| double_check == "keeps_share");
        let form = PolicyForm {
            double_check,
            keeps_share,
            blind: self.blind.unwrap_or_default(),
            hide_model: self.hide_model.unwrap_or_default(),
            gold_rate: self.gold_rate.unwrap_or_default(),
            gold_share: self.gold_share.unwrap_or_default(),
            seed: self.seed.unwrap_or_default(),
        };
        Policy::try_from(&form).map_err(|e| StoreError::Corrupt { what: "policy", reason: e.to_string() })
    }
}

impl Store {
    /// The policy in force; the default until one is set.
    pub async fn policy(&self, dataset: Uuid) -> Result<PolicyVersion> {
        let row = sqlx::query!(
            "select version, double_check, keeps_share, blind, hide_model, gold_rate, gold_share, seed, author, created_at
             from review_policies where dataset_id = $1 order by version desc limit 1",
            dataset
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(r) = row else {
            let policy = PolicyForm::from(&Policy::default());
            return Ok(PolicyVersion { version: 0, policy, author: None, since: None });
        };
        let policy = PolicyForm {
            keeps_share: (r.double_check == "keeps_share").then_some(r.keeps_share),
            double_check: r.double_check,
            blind: r.blind,
            hide_model: r.hide_model,
            gold_rate: r.gold_rate,
            gold_share: r.gold_share,
            seed: r.seed,
        };
        Ok(PolicyVersion { version: r.version, policy, author: Some(r.author), since: Some(r.created_at) })
    }

    /// Sets the policy for samples whose first look comes from now on; second looks that were asked for stay
    /// asked for. The same policy again makes no version.
    pub async fn set_policy(&self, dataset: Uuid, policy: &Policy, actor: &str) -> Result<PolicyVersion> {
        let form = PolicyForm::from(policy);
        let mut tx = self.pool.begin().await?;
        // one version after the other
        sqlx::query!("select id from datasets where id = $1 for no key update", dataset)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", dataset.to_string()))?;
        let now = self.policy(dataset).await?;
        if now.version > 0 && now.policy == form {
            return Ok(now);
        }
        sqlx::query!(
            "insert into review_policies (dataset_id, version, double_check, keeps_share, blind, hide_model, gold_rate,
               gold_share, seed, author)
             select $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9 from review_policies where dataset_id = $1",
            dataset,
            form.double_check,
            form.keeps_share.unwrap_or_default(),
            form.blind,
            form.hide_model,
            form.gold_rate,
            form.gold_share,
            form.seed,
            actor
        )
        .execute(&mut *tx)
        .await?;
        let facts = serde_json::json!({"policy": form});
        record(&mut tx, actor, "policy_set", Some(dataset), &facts).await?;
        tx.commit().await?;
        self.policy(dataset).await
    }
}
