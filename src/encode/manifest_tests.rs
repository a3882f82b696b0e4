//! Manifests: what is accepted, what is refused and how it is said.

use super::*;
use crate::encode::Registry;

fn image() -> String {
    format!(
        r#"
name = "lite"
kind = "image"
file = "lite.onnx"
sha256 = "{}"
source = "somewhere"
licence = "Apache-2.0"
dimension = 1280
[input]
name = "input"
shape = [-1, 3, 224, 224]
[output]
name = "feat"
[image]
size = 224
resize = "crop"
mean = [127, 127, 127]
std = [128, 128, 128]
layout = "nchw"
"#,
        hex::encode(Sha256::digest(b"weights"))
    )
}

fn parse(text: &str) -> Result<Manifest> {
    Manifest::parse(text, Path::new("lite.toml"))
}

#[test]
fn defaults_are_filled_in() {
    let manifest = parse(&image()).unwrap();
    let spec = manifest.image.unwrap();
    assert_eq!((spec.frames, spec.size), (8, 224));
    assert!(spec.reads_strip(8, 224) && !spec.reads_strip(4, 224) && !spec.reads_strip(8, 192));
}

#[test]
fn mistakes_are_refused_with_file_and_key() {
    let cases = [
        ("dimension = 1280", "dimension = 1280\ncolour = \"blue\"", "colour"),
        ("layout = \"nchw\"", "layout = \"nchw\"\nsize_hint = 3", "size_hint"),
        ("dimension = 1280\n", "", "dimension"),
        ("dimension = 1280", "dimension = 0", "dimension"),
        ("name = \"lite\"", "name = \"../lite\"", "name"),
        ("file = \"lite.onnx\"", "file = \"../../etc/passwd\"", "file"),
        ("file = \"lite.onnx\"", "file = \"/etc/passwd\"", "file"),
        ("[-1, 3, 224, 224]", "[-1, 224, 224, 3]", "input.shape"),
        ("std = [128, 128, 128]", "std = [128, 0, 128]", "image.std"),
        ("resize = \"crop\"", "resize = \"squash\"", "resize"),
        ("kind = \"image\"", "kind = \"text\"", "[text]"),
        ("sha256 = \"", "sha256 = \"zz", "sha256"),
    ];
    for (from, to, key) in cases {
        let text = image().replacen(from, to, 1);
        assert_ne!(text, image(), "{from}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("lite.toml") && error.contains(key), "{to}: {error}");
    }
}

#[test]
fn a_file_with_another_digest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, model) = (dir.path().join("lite.toml"), dir.path().join("lite.onnx"));
    std::fs::write(&path, image()).unwrap();
    let manifest = Manifest::load(&path).unwrap();

    let missing = manifest.verify(&[]).unwrap_err();
    assert!(matches!(missing, EncodeError::FileMissing { .. }), "{missing}");

    std::fs::write(&model, b"weights").unwrap();
    assert_eq!(manifest.verify(&[]).unwrap().model, model);

    std::fs::write(&model, b"weighty").unwrap();
    let refused = manifest.verify(&[]).unwrap_err();
    let digest = hex::encode(Sha256::digest(b"weighty"));
    assert!(matches!(&refused, EncodeError::HashMismatch { found, .. } if *found == digest), "{refused}");
}

#[test]
fn files_are_found_in_a_search_folder_of_their_name() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(here.path().join("lite.toml"), image()).unwrap();
    let folder = there.path().join("lite");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("lite.onnx"), b"weights").unwrap();
    let manifest = Manifest::load(&here.path().join("lite.toml")).unwrap();
    let found = manifest.verify(&[there.path().to_path_buf()]).unwrap();
    assert_eq!(found.model, folder.join("lite.onnx"));
}

#[test]
fn the_version_follows_what_shapes_the_numbers() {
    let version = |from: &str, to: &str| parse(&image().replacen(from, to, 1)).unwrap().version();
    let base = version("", "");
    assert!(base.starts_with("lite@") && base.len() == "lite@".len() + 8);
    assert_eq!(version("somewhere", "elsewhere"), base);
    assert_ne!(version("mean = [127,", "mean = [126,"), base);
    assert_ne!(version("name = \"feat\"", "name = \"logits\""), base);
}

#[test]
fn the_registry_lists_broken_manifests_beside_good_ones() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.toml", &image());
    write("b.toml", "name = 3");
    write("c.toml", &image());
    write("notes.txt", "no manifest");
    let registry = Registry::open(&[dir.path().to_path_buf(), dir.path().join("not-there")]);
    let good: Vec<bool> = registry.entries().iter().map(|e| e.manifest.is_ok()).collect();
    assert_eq!(good, [true, false, false], "the third takes the name of the first");
    assert!(registry.get("lite").is_some() && registry.get("other").is_none());
    assert_eq!(registry.of_kind(Kind::Image).count(), 1);
    assert_eq!(registry.of_kind(Kind::Text).count(), 0);
}
