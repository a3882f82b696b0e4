//! The commands that train: one recipe, or every option of one.

use std::path::Path;

use serde_json::Value;

use super::house::House;
use super::watch;
use crate::config::Config;
use crate::jobs::train::TrainArgs;
use crate::jobs::train::ablate::AblateArgs;

/// A recipe as it is given: a file's text, or a preset's name.
fn recipe_text(given: String) -> anyhow::Result<String> {
    if Path::new(&given).is_file() {
        return Ok(std::fs::read_to_string(&given)?);
    }
    anyhow::ensure!(!given.ends_with(".toml"), "recipe: {given} is not a file");
    Ok(given)
}

pub(super) async fn train(
    config: Config,
    name: &str,
    recipe: Option<String>,
    json: bool,
) -> anyhow::Result<()> {
    let recipe = recipe.map(recipe_text).transpose()?;
    let house = House::open_with_worker(config).await?;
    let done = async {
        let dataset = house.services.store.dataset(name).await?;
        let args = TrainArgs { recipe, ..Default::default() };
        let id = house.services.enqueue_train(dataset.id, &args).await?;
        let result = watch::finish(&house, id, json).await?.result.unwrap_or_default();
        if json {
            say!("{}", serde_json::to_string_pretty(&result)?);
            return Ok(());
        }
        let m = result.get("metrics").cloned().unwrap_or_default();
        let f = |key: &str| m.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        say!(
            "mean F1 {:.4}  (level 1: micro {:.4}, macro {:.4}; leaf: micro {:.4}, macro {:.4}; {} held-out samples)",
            f("mean_f1"),
            f("l1_micro_f1"),
            f("l1_macro_f1"),
            f("l2_micro_f1"),
            f("l2_macro_f1"),
            m.get("n").and_then(Value::as_i64).unwrap_or(0),
        );
        let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        say!("snapshot {}, training {}", &text("snapshot_id")[..12.min(text("snapshot_id").len())], text("training_id"));
        if let (Some(n), Some(d)) = (m.get("onnx_compared").and_then(Value::as_i64), m.get("onnx_max_difference")) {
            let same = m.get("onnx_same_argmax").and_then(Value::as_bool).unwrap_or(false);
            let answers = if same { "the same answers" } else { "OTHER ANSWERS" };
            say!("ONNX file run on {n} samples: {answers}, largest difference {d}");
        }
        let page = format!("datasets/{name}/trainings/{}", text("training_id"));
        say!("with `tamis serve`: /{page}, /api/v1/{page}/model.onnx");
        anyhow::Ok(())
    }
    .await;
    house.close().await;
    done
}

pub(super) async fn ablate(
    config: Config,
    name: &str,
    mut args: AblateArgs,
    json: bool,
) -> anyhow::Result<()> {
    args.recipe = args.recipe.map(recipe_text).transpose()?;
    let house = House::open_with_worker(config).await?;
    let done = async {
        let dataset = house.services.store.dataset(name).await?;
        let id = house.services.enqueue_ablate(dataset.id, &args).await?;
        let result = watch::finish(&house, id, json).await?.result.unwrap_or_default();
        if json {
            say!("{}", serde_json::to_string_pretty(&result)?);
            return Ok(());
        }
        let number = |v: &Value, path: &str| v.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let seeds = result.get("seeds").and_then(Value::as_array).map_or(0, Vec::len);
        say!("mean F1 {:.4} of the recipe as it is, {seeds} seeds", number(&result, "/mean_f1"));
        for option in result.get("options").and_then(Value::as_array).into_iter().flatten() {
            let text = |path: &str| option.pointer(path).and_then(Value::as_str).unwrap_or_default();
            say!(
                "{:+.4}  [{:+.4}, {:+.4}]  {} = {} instead of {}",
                number(option, "/measured/gain"),
                number(option, "/measured/low"),
                number(option, "/measured/high"),
                text("/change/key"),
                text("/change/to"),
                text("/change/from"),
            );
        }
        say!("all of it is in the ledger: /datasets/{name}/ledger");
        anyhow::Ok(())
    }
    .await;
    house.close().await;
    done
}
