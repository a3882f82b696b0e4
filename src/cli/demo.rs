//! `tamis demo`: the main job from nothing to suspects, on real pictures, timed stage by stage.

use std::time::Instant;

use serde_json::{Value, json};

use super::house::House;
use super::{import, work};
use crate::config::Config;
use crate::demo::{Demo, Source};
use crate::messages::Lang;
use crate::native::{Native, NativeSettings};
use crate::store::telling::Audience;

const NAME: &str = "demo";

pub(super) async fn run(config: Config, no_serve: bool, json: bool) -> anyhow::Result<()> {
    let lang = Lang::of_terminal();
    let say = |key: &str| {
        if !json {
            eprintln!("{}", lang.text(key));
        }
    };
    let listener = if no_serve { None } else { Some(work::listen(&config).await?) };
    let mut seconds = serde_json::Map::new();
    let mut clock = Instant::now();
    let mut lap = |stage: &str| {
        let s = clock.elapsed().as_secs_f64();
        clock = Instant::now();
        seconds.insert(stage.to_owned(), json!((s * 100.0).round() / 100.0));
    };

    say("cli.demo.clips");
    let native = Native::resolve(&NativeSettings::from(&config.native));
    let cache = config.state.join("demo");
    let bar = if json { indicatif::ProgressBar::hidden() } else { indicatif::ProgressBar::new(0) };
    let counter = bar.clone();
    let demo = tokio::task::spawn_blocking(move || {
        Demo::prepare(native.ffmpeg.as_deref(), native.demo_stamps.as_deref(), &cache, &|done, total| {
            counter.set_length(total as u64);
            counter.set_position(done as u64);
        })
    })
    .await??;
    bar.finish_and_clear();
    if demo.source == Source::Drawn {
        say("cli.demo.drawn");
    }
    lap("clips");

    say("cli.demo.database");
    let house = House::open_with_worker(config).await?;
    lap("database");
    let outcome = chain(&house, &demo, json, &say, &mut lap).await;
    let summary = match outcome {
        Ok(result) => result,
        Err(e) => {
            house.close().await;
            return Err(e);
        }
    };
    let ranking = ranking(&house).await?;
    let found = |share: f64| demo.found_in(&ranking, share);
    let n = |key: &str| summary.get(key).and_then(Value::as_i64).unwrap_or(0);
    if json {
        let out = json!({
            "samples": n("samples"), "classes": n("classes"), "labelled": n("labelled"), "flagged": n("flagged"),
            "planted": demo.planted(),
            "found": {"5": found(0.05), "10": found(0.10), "20": found(0.20)},
            "source": demo.source, "seconds": seconds,
        });
        say!("{}", serde_json::to_string_pretty(&out)?);
    } else {
        work::print_summary(&house, NAME, &summary, 10).await?;
        say!(
            "{}",
            lang.fill(
                "cli.demo.found",
                &[
                    ("planted", &demo.planted().to_string()),
                    ("five", &found(0.05).to_string()),
                    ("ten", &found(0.10).to_string()),
                    ("twenty", &found(0.20).to_string()),
                ],
            )
        );
        let stages: Vec<String> = seconds.iter().map(|(k, v)| format!("{k} {v} s")).collect();
        say!("{}", stages.join(", "));
    }
    let Some(listener) = listener else {
        house.close().await;
        return Ok(());
    };
    say!("http://{}/datasets/{NAME}", listener.local_addr()?);
    work::serve_house(house, listener).await
}

async fn chain(
    house: &House,
    demo: &Demo,
    json: bool,
    say: &dyn Fn(&str),
    lap: &mut impl FnMut(&str),
) -> anyhow::Result<Value> {
    say("cli.demo.import");
    let arguments =
        import::Arguments::new(NAME, demo.taxonomy.clone(), demo.annotations.clone(), demo.media.clone());
    import::import(house, &arguments, json).await?;
    lap("import");
    say("cli.demo.scan");
    let result = work::scan_house(house, NAME, &Default::default(), json).await?;
    lap("encode_and_scan");
    Ok(result)
}

/// External ids of all ranked samples, most suspicious first.
async fn ranking(house: &House) -> anyhow::Result<Vec<String>> {
    let store = &house.services.store;
    let dataset = store.dataset(NAME).await?;
    let Some(scan) = store.latest_scan(dataset.id).await? else { return Ok(Vec::new()) };
    let filter = crate::store::suspects::SuspectFilter { all: true, ..Default::default() };
    let (mut ids, mut after) = (Vec::new(), 0);
    loop {
        let page = store.suspects(dataset.id, scan.id, &filter, Audience::Knowing, after, 1000).await?;
        after = page.items.last().map_or(after, |s| s.rank);
        ids.extend(page.items.into_iter().map(|s| s.external_id));
        if page.next.is_none() {
            return Ok(ids);
        }
    }
}
