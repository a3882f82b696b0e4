//! Opening the house for a command: native parts, database (embedded unless `DATABASE_URL` is set),
//! services, and a worker in this process.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::jobs::{Services, queue, webhooks};
use crate::native::postgres::EmbeddedPostgres;
use crate::native::{Native, NativeSettings};

/// Everything that runs while a command runs. [`House::close`] stops it in order.
pub(super) struct House {
    pub(super) services: Services,
    shutdown: watch::Sender<bool>,
    worker: Option<JoinHandle<()>>,
    webhooks: Option<JoinHandle<()>>,
    // last: the server outlives what talks to it
    _postgres: Option<EmbeddedPostgres>,
}

impl House {
    /// Opens the database and the stores; no worker yet.
    pub(super) async fn open(config: Config) -> anyhow::Result<Self> {
        let native = Native::resolve(&NativeSettings::from(&config.native));
        let (url, postgres) = match config.database_url.expose() {
            Some(url) => (url.to_owned(), None),
            None => {
                let postgres = EmbeddedPostgres::start(&native, &config.state).await?;
                (postgres.url().to_owned(), Some(postgres))
            }
        };
        let services = Services::open(config, native, &url).await?;
        Ok(Self {
            services,
            shutdown: watch::Sender::new(false),
            worker: None,
            webhooks: None,
            _postgres: postgres,
        })
    }

    /// Opens the house and works on jobs in this process.
    pub(super) async fn open_with_worker(config: Config) -> anyhow::Result<Self> {
        let mut house = Self::open(config).await?;
        if house.services.config.webhooks.enabled {
            let (services, shutdown) = (house.services.clone(), house.shutdown.subscribe());
            house.webhooks = Some(tokio::spawn(async move { webhooks::deliver(&services, shutdown).await }));
        }
        let (services, shutdown) = (house.services.clone(), house.shutdown.subscribe());
        house.worker = Some(tokio::spawn(async move {
            let mut down = shutdown.clone();
            loop {
                if let Err(error) = queue::work(&services, shutdown.clone()).await {
                    tracing::error!(%error, "the worker stopped; it starts again in a second");
                }
                if *shutdown.borrow() {
                    return;
                }
                tokio::select! {
                    _ = down.wait_for(|d| *d) => return,
                    () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
                }
            }
        }));
        Ok(house)
    }

    pub(super) fn shutdown(&self) -> watch::Receiver<bool> {
        self.shutdown.subscribe()
    }

    /// Tells server and worker to stop.
    pub(super) fn stop(&self) {
        self.shutdown.send_replace(true);
    }

    /// Stops the worker (a job in the middle is handed back) and lets go of the database.
    pub(super) async fn close(mut self) {
        self.stop();
        if let Some(worker) = self.worker.take()
            && tokio::time::timeout(std::time::Duration::from_secs(15), worker).await.is_err()
        {
            tracing::warn!("a job did not stop in time; it is taken up again by the next worker");
        }
        // what it was sending is due again in a minute
        if let Some(webhooks) = self.webhooks.take() {
            webhooks.abort();
        }
        self.services.store.pool().close().await;
    }
}

/// Resolves on ctrl-c or SIGTERM.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut term) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
