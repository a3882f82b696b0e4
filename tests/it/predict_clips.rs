//! New clips: the answers that they would get as samples, and what is refused; and the same answers from a training
//! and its encoders as one ONNX file, run by the service and from Python as its page says.

use std::path::{Path, PathBuf};
use std::process::Command;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tamis::jobs::bundle::BundleArgs;
use tamis::jobs::import::MediaSource;
use tamis::jobs::train::TrainArgs;
use tamis::native::{Native, NativeSettings};
use uuid::Uuid;

use crate::main_job::draw_clip;
use crate::predict::WORDS;
use crate::support::{Answer, TestApp};

const CLIPS: &str = "/api/v1/datasets/d/predict/clips";

/// 24 clips of three kinds of pictures with titles; the application and the folder of the clips.
async fn drawn() -> (TestApp, Uuid, tempfile::TempDir) {
    let app = TestApp::working().await;
    let dir = tempfile::tempdir().unwrap();
    let sources = [
        ("a1", "smptebars=s=160x120:r=8,hue=h="),
        ("a2", "testsrc=s=160x120:r=8,hue=h="),
        ("b1", "rgbtestsrc=s=160x120:r=8,hue=h="),
    ];
    let mut rows = String::new();
    for i in 0..24 {
        let (class, source) = sources[i % 3];
        draw_clip(&dir.path().join(format!("{i}.mp4")), &format!("{source}{}", 5 * i), 1.0);
        let title = format!("{} {i}", WORDS[i % 3]);
        let row = json!({"id": format!("c{i}"), "video": format!("{i}.mp4"), "title": title, "label": class});
        rows += &format!("{row}\n");
    }
    let mut args = app.import_args("d", "rows.jsonl", rows.as_bytes()).await;
    args.media = Some(MediaSource::Dir(dir.path().to_str().unwrap().to_owned()));
    app.done(app.services.enqueue_import(&args).await.unwrap()).await;
    let dataset = app.services.store.dataset("d").await.unwrap().id;
    (app, dataset, dir)
}

async fn trained(app: &TestApp, dataset: Uuid, recipe: &str) -> Uuid {
    let args = TrainArgs { recipe: Some(recipe.to_owned()), ..Default::default() };
    let done = app.done(app.services.enqueue_train(dataset, &args).await.unwrap()).await;
    Uuid::parse_str(done["training_id"].as_str().unwrap()).unwrap()
}

/// A form of values and files.
async fn form(app: &TestApp, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map(|f| format!("; filename=\"{f}\"")).unwrap_or_default();
        body.extend(
            format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes(),
        );
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    let request = Request::post(CLIPS).header("content-type", "multipart/form-data; boundary=edge");
    app.send(request.body(Body::from(body)).unwrap()).await
}

fn probabilities(said: &Value, row: usize) -> Vec<f64> {
    let p = said["predictions"][row]["probabilities"].as_array().unwrap_or_else(|| panic!("{said}"));
    p.iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A text that is encoded in other company differs in its last bits, and with it what is rounded to half precision.
#[track_caller]
fn close(a: &[f64], b: &[f64], tolerance: f64) {
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(a.len() == b.len() && apart < tolerance, "{a:?} {b:?}");
}

fn zip(dir: &Path, names: &[&str]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in names {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&std::fs::read(dir.join(name)).unwrap()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

const SMALL: &str = "network = { family = \"single\", dim = 16, heads = 2, hidden = 32, layers = 1 }\n\
                     optimise = { epochs = 3 }\nframes = { count = 5 }\n";

#[tokio::test]
async fn a_new_clip_gets_the_answer_of_the_same_clip_as_a_sample() {
    let (app, dataset, dir) = drawn().await;
    form(&app, &[("title", None, b"x")]).await.problem(409, "no_model");
    for recipe in ["quick", SMALL] {
        let training = trained(&app, dataset, recipe).await;
        let samples = json!({"samples": ["c3", "c7"], "training": training});
        let known = app.post_json("/api/v1/datasets/d/predict", &samples).await.json();
        let video = std::fs::read(dir.path().join("3.mp4")).unwrap();
        let title = format!("{} 3", WORDS[0]);
        let one =
            form(&app, &[("video", Some("x.mp4"), &video), ("title", None, title.as_bytes())]).await.json();
        assert_eq!(one["predictions"][0]["sample"], "x.mp4");
        close(&probabilities(&one, 0), &probabilities(&known, 0), 1e-4);
        // several, the second without its video: another answer than with it
        let rows = format!(
            "{}\n{}\n{}\n",
            json!({"id": "p", "video": "7.mp4", "title": format!("{} 7", WORDS[1])}),
            json!({"id": "q", "title": format!("{} 7", WORDS[1])}),
            json!({"id": "r", "video": "3.mp4"}),
        );
        let media = zip(dir.path(), &["3.mp4", "7.mp4"]);
        let parts: [(&str, Option<&str>, &[u8]); 2] =
            [("annotations", Some("rows.jsonl"), rows.as_bytes()), ("media", Some("m.zip"), &media)];
        let several = form(&app, &parts).await.json();
        assert_eq!(several["predictions"][2]["sample"], "r");
        close(&probabilities(&several, 0), &probabilities(&known, 1), 1e-4);
        assert_ne!(probabilities(&several, 1), probabilities(&several, 0));
        // texts alone go as JSON
        let texts = json!({"clips": [{"id": "q", "title": format!("{} 7", WORDS[1])}]});
        let said = app.post_json("/api/v1/datasets/d/predict", &texts).await.json();
        close(&probabilities(&said, 0), &probabilities(&several, 1), 1e-4);
    }
}

#[tokio::test]
async fn a_clip_that_cannot_be_predicted_is_named() {
    let (app, dataset, dir) = drawn().await;
    let training = trained(&app, dataset, "quick").await;
    let good = std::fs::read(dir.path().join("0.mp4")).unwrap();
    form(&app, &[("video", Some("a.mp4"), b"no video at all")])
        .await
        .problem_with("clips[0].video", "not_video");
    form(&app, &[]).await.problem_with("clips[0]", "empty_clip");
    form(&app, &[("video", Some("a.mp4"), &good), ("annotations", Some("a.jsonl"), b"{\"id\": \"a\"}")])
        .await
        .problem_with("video", "with_annotations");
    form(&app, &[("title", None, b"t"), ("annotations", Some("a.jsonl"), b"{\"id\": \"a\"}")])
        .await
        .problem_with("title", "with_annotations");
    form(&app, &[("media", Some("m.zip"), &zip(dir.path(), &["0.mp4"]))])
        .await
        .problem_with("annotations", "annotations_missing");
    let row = br#"{"id": "a", "video": "../0.mp4"}"#;
    form(&app, &[("annotations", Some("a.jsonl"), row)]).await.problem_with("media", "media_missing");
    let media = zip(dir.path(), &["0.mp4"]);
    form(&app, &[("annotations", Some("a.jsonl"), row), ("media", Some("m.zip"), &media)])
        .await
        .problem_with("annotations", "media_path_traversal");
    form(&app, &[("annotations", Some("a.jsonl"), b"{"), ("media", Some("m.zip"), b"no zip")])
        .await
        .problem_with("media", "bad_media_zip");
    form(&app, &[("training", None, b"no id")]).await.problem_with("training", "unknown_training");
    form(&app, &[("title", None, b"a"), ("title", None, b"b")])
        .await
        .problem_with("title", "duplicate_field");
    // a path on the server only below a root that the settings open
    let path = dir.path().join("0.mp4");
    let body = json!({"clips": [{"video_path": path}], "training": training});
    app.post_json("/api/v1/datasets/d/predict", &body)
        .await
        .problem_with("clips[0].video_path", "paths_not_allowed");
    let clips: Vec<Value> = (0..101).map(|_| json!({"title": "t"})).collect();
    app.post_json("/api/v1/datasets/d/predict", &json!({"clips": clips})).await.problem_with("clips", "rows");
    // nothing of what was sent is kept
    let left = std::fs::read_dir(app.state.path().join("scratch")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_model_whose_encoder_is_gone_says_which() {
    let (app, dataset, _dir) = drawn().await;
    trained(&app, dataset, "fields = [\"title\"]").await;
    let stored = app.post_json("/api/v1/datasets/d/predict", &json!({"samples": ["c0"]})).await.json();
    let parts = stored["input"].as_array().unwrap();
    let fitted = parts.iter().filter_map(|p| p["encoder"].as_str()).find(|e| e.starts_with("tfidf"));
    let fitted = fitted.unwrap_or_else(|| panic!("{stored}"));
    let blob = format!("fitted/{}/title/{}.bin", dataset.simple(), fitted.replace('@', "-"));
    app.services.blobs.delete(&blob).await.unwrap();
    let text = json!({"clips": [{"title": "whiskers"}]});
    let problem = app.post_json("/api/v1/datasets/d/predict", &text).await.problem(409, "encoder_missing");
    assert!(problem["detail"].as_str().unwrap().contains(fitted), "{problem}");
}

/// Pictures of a clip as ffmpeg draws them for the encoder: the strip's.
async fn pictures(app: &TestApp, dataset: Uuid, sample: &str, to: &Path) -> Vec<PathBuf> {
    let id = app.services.store.sample_id(dataset, sample).await.unwrap();
    let row = app.services.store.media_of(dataset, &[id]).await.unwrap().remove(0);
    let strip = app.services.blobs.get(row.strip_blob.as_deref().unwrap()).await.unwrap();
    let frames = tamis::encode::split_strip(&strip).unwrap();
    let mut paths = Vec::new();
    for (i, f) in frames.iter().enumerate() {
        let path = to.join(format!("{i}.ppm"));
        let mut bytes = format!("P6 {} {} 255\n", f.width, f.height).into_bytes();
        bytes.extend(&f.data);
        std::fs::write(&path, bytes).unwrap();
        paths.push(path);
    }
    paths
}

#[tokio::test]
async fn a_training_and_its_encoders_as_one_file_give_the_same_answers() {
    let (app, dataset, _dir) = drawn().await;
    for recipe in ["quick", &format!("seeds = [1, 2]\n{SMALL}")] {
        let training = trained(&app, dataset, recipe).await;
        let at = format!("/api/v1/datasets/d/trainings/{training}");
        app.get(&format!("{at}/bundle.onnx")).await.problem(404, "not_found");
        let job = app.services.enqueue_bundle(dataset, &BundleArgs { training }).await.unwrap();
        let done = app.done(job).await;
        let bundle = &done["bundle"];
        let n = bundle["compared"].as_u64().unwrap();
        assert!(n >= 3 && bundle["same_argmax"].as_u64() == Some(n), "{done}");
        assert!(bundle["max_difference"].as_f64().unwrap() < 1e-4, "{done}");
        assert_eq!(app.get_json(&at).await["bundle"]["bytes"], bundle["bytes"]);
        let file = app.get(&format!("{at}/bundle.onnx")).await;
        assert_eq!((file.status.as_u16(), file.bytes.len() as u64), (200, bundle["bytes"].as_u64().unwrap()));

        // as the page says: the lines as they are, but for the pictures and the texts
        let html =
            String::from_utf8(app.get(&format!("/datasets/d/trainings/{training}")).await.bytes).unwrap();
        let lines = html.split("<code># pip install onnxruntime").nth(1).expect("the lines of the bundle");
        let lines = lines.split("</code>").next().unwrap();
        let lines =
            lines.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">");
        let lines =
            lines.replace("&#38;", "&").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
        let dir = tempfile::tempdir().unwrap();
        let name = format!("d-{training}-bundle.onnx");
        std::fs::write(dir.path().join(&name), &file.bytes).unwrap();
        let shown = pictures(&app, dataset, "c4", dir.path()).await;
        let title = format!("{} 4", WORDS[1]);
        let lines = format!("#{lines}")
            .replace("pictures = []", &format!("pictures = {}", json!(shown)))
            .replace("ollie in the park", &title);
        assert!(lines.contains(&name) && lines.contains(&title), "{lines}");
        std::fs::write(dir.path().join("use.py"), &lines).unwrap();
        let Some(out) = python(dir.path(), "use.py") else { return };
        let asked = json!({"samples": ["c4"], "training": training});
        let said = app.post_json("/api/v1/datasets/d/predict", &asked).await.json();
        let best: Vec<&str> = out.lines().next().unwrap().split(' ').collect();
        assert_eq!(best[0], said["predictions"][0]["class"], "{out}");
        if !lines_have_vectors(&file.bytes) {
            let p = said["predictions"][0]["probability"].as_f64().unwrap();
            assert!((best[1].parse::<f64>().unwrap() - p).abs() < 1e-4, "{out} {said}");
        }
    }
}

/// Whether a bundle wants vectors that Python cannot make.
fn lines_have_vectors(file: &[u8]) -> bool {
    file.windows(12).any(|w| w == b"title_vector")
}

/// What a script prints; none where its packages are missing (`scripts/setup --test` installs them).
fn python(dir: &Path, script: &str) -> Option<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let native = Native::resolve(&NativeSettings::default());
    let installed = native.dir.unwrap_or_else(|| project.join(".tamis"));
    let run = |arguments: &[&str]| {
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(python);
        command.current_dir(dir).env("PYTHONPATH", installed.join("python")).args(arguments);
        command.output().expect("python3 runs")
    };
    let found = run(&["-c", "import numpy, onnxruntime, PIL, tokenizers"]);
    if !found.status.success() {
        assert!(std::env::var_os("CI").is_none(), "CI must have the packages of the lines");
        eprintln!("the lines of the bundle were not run: {}", String::from_utf8_lossy(&found.stderr));
        return None;
    }
    let output = run(&[script]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
