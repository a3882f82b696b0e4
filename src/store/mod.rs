//! Postgres, one file per aggregate. Nothing else in the house writes SQL.
//!
//! Every query about samples carries the dataset, so that ids of one dataset are nothing in another.

pub mod accounts;
pub mod batches;
pub mod bulk;
pub mod cards;
pub mod comments;
pub mod consensus;
pub mod datasets;
pub mod embeddings;
pub mod exports;
pub mod guides;
pub mod idempotency;
pub mod identities;
pub mod imports;
pub mod issues;
pub mod jobs;
pub mod learning;
pub mod ledger;
pub mod live;
pub mod looks;
pub mod maps;
pub mod measures;
pub mod members;
pub mod policies;
pub mod predictions;
pub mod queue;
pub mod reviews;
pub mod rules;
pub mod samples;
pub mod scans;
pub mod sessions;
pub mod sets;
pub mod settings;
pub mod snapshots;
pub mod suspects;
mod taxonomies;
pub mod telling;
pub mod trail;
pub mod trainings;
pub mod webhooks;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};

/// Embedded migrations; applied at start, never edited after landing.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Nobody waits for longer; 1,000,000 samples of 400 letters each are searched in about half of it.
const PATIENCE: &str = "10s";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers at the address, or it refuses.
    #[error("no database at {at}: {source}")]
    Unreachable { at: String, source: sqlx::Error },
    #[error("database: {0}")]
    Db(#[from] sqlx::Error),
    #[error("database migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row that was asked for by id or name is not there.
    #[error("{what} {key:?} does not exist")]
    NotFound { what: &'static str, key: String },
    /// A rule of the house was broken by the request; `field` names the culprit.
    #[error("{message}")]
    Rule { field: &'static str, code: &'static str, message: String },
    /// What is there already stands in the way; later, or after a change, it may go.
    #[error("{message}")]
    Conflict { code: &'static str, message: String },
    /// Stored data that this version cannot read.
    #[error("stored {what} cannot be read: {reason}")]
    Corrupt { what: &'static str, reason: String },
}

impl StoreError {
    pub fn not_found(what: &'static str, key: impl Into<String>) -> Self {
        Self::NotFound { what, key: key.into() }
    }

    /// A text held what Postgres cannot: nothing of that name can be there.
    pub fn is_bad_text(&self) -> bool {
        matches!(self, Self::Db(sqlx::Error::Database(e)) if e.code().as_deref() == Some("22021"))
    }

    /// The statement ran for longer than it may.
    pub fn took_too_long(&self) -> bool {
        matches!(self, Self::Db(sqlx::Error::Database(e)) if e.code().as_deref() == Some("57014"))
    }

    /// The connection failed, as opposed to the statement: worth another try.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Db(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => true,
            // class 08 connection exception, 57P01.. server shutting down, 40001/40P01 serialisation and deadlock
            Self::Db(sqlx::Error::Database(e)) => e.code().is_some_and(|c| {
                c.starts_with("08") || c.starts_with("57P") || matches!(&*c, "40001" | "40P01")
            }),
            _ => false,
        }
    }
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// One page of a list and the cursor of the next, if there is one.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// From `limit + 1` rows: the extra one only says that there is more.
    pub(crate) fn cut(mut items: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// A handle on the database, cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: PgPool,
    taxonomies: taxonomies::Kept,
    examples: cards::Kept,
}

impl Store {
    /// Connects (waiting up to 30 s for a server that is still starting) and migrates.
    ///
    /// # Errors
    /// At once and with the address when nobody answers there.
    pub async fn connect(url: &str) -> Result<Self> {
        // a pool would try again and again and then only say that it waited
        let options: PgConnectOptions = url.parse()?;
        let mut patience = 30;
        loop {
            match PgConnection::connect_with(&options).await {
                Ok(connection) => break connection.close().await?,
                // the server is starting (57P03)
                Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("57P03") && patience > 0 => {
                    patience -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(e) => {
                    let (host, port) = (options.get_host(), options.get_port());
                    return Err(StoreError::Unreachable { at: format!("{host}:{port}"), source: e });
                }
            }
        }
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(30))
            .connect(url)
            .await?;
        MIGRATOR.run(&pool).await?;
        Ok(Self { pool, taxonomies: taxonomies::Kept::default(), examples: cards::Kept::default() })
    }

    /// Ok when the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    /// To read what no index answers for somebody who waits: statements end with an error after [`PATIENCE`].
    async fn patient(&self) -> Result<Transaction<'static, Postgres>> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select set_config('statement_timeout', $1, true)")
            .bind(PATIENCE)
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }

    /// The pool, for the queue library and for tests.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Reads a stored keyword into its enum.
pub(crate) fn keyword<T>(what: &'static str, value: &str, parse: fn(&str) -> Option<T>) -> Result<T> {
    parse(value).ok_or_else(|| StoreError::Corrupt { what, reason: format!("unknown value {value:?}") })
}
