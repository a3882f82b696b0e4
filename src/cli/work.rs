//! The commands that queue a job and wait for it, and the two that serve.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::house::{House, interrupted};
use super::watch;
use crate::config::Config;
use crate::jobs::export::ExportArgs;
use crate::jobs::scan::ScanArgs;
use crate::messages::{self, Lang};
use crate::store::telling::Audience;

pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    let listener = listen(&config).await?;
    serve_house(House::open_with_worker(config).await?, listener).await
}

/// Takes the port, before anything that would be in vain without it.
pub(super) async fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let bind = config.server.bind;
    TcpListener::bind(bind)
        .await
        .with_context(|| format!("cannot listen on {bind}; choose another address with --bind"))
}

/// Serves until ctrl-c or SIGTERM, then stops server, worker and database in order.
pub(super) async fn serve_house(house: House, listener: TcpListener) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    say!("Tamis serves http://{address} (ctrl-c stops it)");
    if let Some(code) = crate::web::setup_code(&house.services).await? {
        say!("Nobody has an account yet. To make the first: http://{address}/setup?code={code}");
    }
    let server = tokio::spawn(crate::web::serve(house.services.clone(), listener, house.shutdown()));
    tokio::select! {
        () = interrupted() => {}
        () = async { while !server.is_finished() { tokio::time::sleep(std::time::Duration::from_millis(200)).await } } => {}
    }
    house.stop();
    let served = server.await;
    house.close().await;
    served??;
    Ok(())
}

pub(super) async fn worker(config: Config) -> anyhow::Result<()> {
    let house = House::open_with_worker(config).await?;
    say!("Tamis works on jobs (ctrl-c stops it)");
    interrupted().await;
    house.close().await;
    Ok(())
}

pub(super) async fn scan(
    config: Config,
    name: &str,
    predictions: Option<Uuid>,
    json: bool,
) -> anyhow::Result<()> {
    let house = House::open_with_worker(config).await?;
    let done = async {
        let args = ScanArgs { predictions, ..Default::default() };
        let result = scan_house(&house, name, &args, json).await?;
        if json {
            say!("{}", serde_json::to_string_pretty(&result)?);
        } else {
            print_summary(&house, name, &result, 10).await?;
        }
        anyhow::Ok(())
    }
    .await;
    house.close().await;
    done
}

/// Runs a scan as a job and returns its result.
pub(super) async fn scan_house(
    house: &House,
    name: &str,
    args: &ScanArgs,
    quiet: bool,
) -> anyhow::Result<Value> {
    let dataset = house.services.store.dataset(name).await?;
    let id = house.services.enqueue_scan(dataset.id, args).await?;
    Ok(watch::finish(house, id, quiet).await?.result.unwrap_or_default())
}

/// Samples, classes, flagged, and the first suspects with their one-line reasons.
pub(super) async fn print_summary(house: &House, name: &str, result: &Value, top: i64) -> anyhow::Result<()> {
    let lang = Lang::of_terminal();
    let store = &house.services.store;
    let dataset = store.dataset(name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let n = |key: &str| result.get(key).and_then(Value::as_i64).unwrap_or(0);
    say!(
        "{}",
        lang.fill(
            "cli.scan.summary",
            &[
                ("name", name),
                ("samples", &n("samples").to_string()),
                ("classes", &n("classes").to_string()),
                ("labelled", &n("labelled").to_string()),
                ("flagged", &n("flagged").to_string()),
            ],
        )
    );
    if let Some(scan) = store.latest_scan(dataset.id).await? {
        let filter = crate::store::suspects::SuspectFilter::default();
        for s in store.suspects(dataset.id, scan.id, &filter, Audience::Knowing, 0, top).await?.items {
            say!(
                "{:>4}  {:.2}  {}\n            {}",
                s.rank,
                s.suspicion,
                s.external_id,
                messages::reason(lang, &s.reason, &taxonomy)
            );
        }
    }
    Ok(())
}

pub(super) async fn export(config: Config, name: &str, format: &str, out: &Path) -> anyhow::Result<()> {
    let house = House::open_with_worker(config).await?;
    let done = async {
        let services = &house.services;
        let dataset = services.store.dataset(name).await?;
        let args = ExportArgs { format: format.to_owned(), snapshot: None };
        let id = services.enqueue_export(dataset.id, &args).await?;
        let result = watch::finish(&house, id, false).await?.result.unwrap_or_default();
        let export = result.get("export_id").and_then(Value::as_str).context("the job left no export")?;
        let export = services.store.export(dataset.id, export.parse()?).await?;
        let size = services.blobs.size(&export.blob).await?.context("the export's file is gone")?;
        let mut stream = services.blobs.stream(&export.blob, 0..size).await?;
        // written beside the target and renamed, so that a full disk leaves the old file whole
        let part = out.with_added_extension("part");
        let mut file = tokio::fs::File::create(&part).await.with_context(|| format!("{}", part.display()))?;
        while let Some(chunk) = futures::StreamExt::next(&mut stream).await {
            tokio::io::AsyncWriteExt::write_all(&mut file, &chunk?).await?;
        }
        file.sync_all().await?;
        tokio::fs::rename(&part, out).await.with_context(|| format!("{}", out.display()))?;
        let manifest = out.with_added_extension("manifest.json");
        tokio::fs::write(&manifest, serde_json::to_vec_pretty(&export.manifest)?).await?;
        say!("{} ({} bytes), {}", out.display(), size, manifest.display());
        anyhow::Ok(())
    }
    .await;
    house.close().await;
    done
}
