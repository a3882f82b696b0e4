//! Files on their way in: streamed from a form to disk and on into the blob store, named by their
//! content; or taken from a folder that the configuration opens. Memory stays at one chunk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::task::Poll;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::jobs::Services;
use crate::jobs::import::StagedFile;
use crate::web::error::Problem;
use crate::web::extract::too_large;

/// Longest value of a form field that is no file, in bytes.
const MAX_VALUE: usize = 64 << 10;

/// A form that was read: small values in memory, files where they were put.
#[derive(Debug)]
pub(super) struct Form<F = StagedFile> {
    pub(super) values: BTreeMap<String, String>,
    pub(super) files: BTreeMap<String, F>,
}

/// A file of a form on disk.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) path: PathBuf,
    /// As the client calls it.
    pub(super) file_name: String,
    /// sha256 of the content.
    hash: String,
}

impl Form {
    /// sha256 over names, values and contents of all fields: two forms of the same hash ask for the
    /// same thing, whatever their order and boundary.
    pub(super) fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let files = self.files.iter().map(|(k, f)| (k, format!("{}\0{}", f.blob, f.file_name)));
        for (name, value) in self.values.iter().map(|(k, v)| (k, v.clone())).chain(files) {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
        hex::encode(hash.finalize())
    }
}

/// Reads a whole form, its files into the blob store; only the named fields are taken, each once.
pub(super) async fn read_form(
    services: &Services,
    request: Request,
    values: &[&str],
    files: &[&str],
) -> Result<Form, Problem> {
    let scratch = services.scratch()?;
    let mut parts = Parts::open(request, values, files).await?;
    let mut form = Form { values: BTreeMap::new(), files: BTreeMap::new() };
    while let Some((name, part)) = parts.next(scratch.path()).await? {
        match part {
            Part::Value(value) => _ = form.values.insert(name, value),
            Part::File(file) => {
                let blob = store(services, &file.path, &file.hash).await?;
                // the disk is needed for the next one
                tokio::fs::remove_file(&file.path).await?;
                form.files.insert(name, StagedFile { blob, file_name: file.file_name });
            }
        }
    }
    Ok(form)
}

/// The same with files that stay in `folder`, for what is answered at once.
pub(super) async fn receive_form(
    request: Request,
    values: &[&str],
    files: &[&str],
    folder: &Path,
) -> Result<Form<Received>, Problem> {
    let mut parts = Parts::open(request, values, files).await?;
    let mut form = Form { values: BTreeMap::new(), files: BTreeMap::new() };
    while let Some((name, part)) = parts.next(folder).await? {
        match part {
            Part::Value(value) => _ = form.values.insert(name, value),
            Part::File(file) => _ = form.files.insert(name, file),
        }
    }
    Ok(form)
}

/// The parts of a form as they come.
struct Parts<'a> {
    multipart: Multipart,
    values: &'a [&'a str],
    files: &'a [&'a str],
    seen: BTreeSet<String>,
}

enum Part {
    Value(String),
    File(Received),
}

impl<'a> Parts<'a> {
    async fn open(request: Request, values: &'a [&'a str], files: &'a [&'a str]) -> Result<Self, Problem> {
        let multipart = Multipart::from_request(request.map(paced), &())
            .await
            .map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "bad_form", e.body_text()))?;
        Ok(Self { multipart, values, files, seen: BTreeSet::new() })
    }

    /// The next part and its name; a file is written into `folder`.
    async fn next(&mut self, folder: &Path) -> Result<Option<(String, Part)>, Problem> {
        let Some(mut field) = self.multipart.next_field().await.map_err(form_problem)? else {
            return Ok(None);
        };
        let name: String = field.name().unwrap_or_default().chars().take(100).collect();
        if self.seen.contains(&name) {
            return Err(Problem::invalid(&name, "duplicate_field", format!("the field {name:?} came twice")));
        }
        let part = if self.files.contains(&name.as_str()) {
            let file_name = plain_name(field.file_name().unwrap_or_default(), &name);
            let path = folder.join(&name);
            let hash = receive(&mut field, &path).await?;
            Part::File(Received { path, file_name, hash })
        } else if self.values.contains(&name.as_str()) {
            Part::Value(receive_value(&mut field, &name).await?)
        } else {
            return Err(Problem::invalid(&name, "unknown_field", format!("there is no field {name:?}")));
        };
        self.seen.insert(name.clone());
        Ok(Some((name, part)))
    }
}

/// The same body, which after each chunk lets its reader work on that chunk first. The form reader
/// takes whatever is ready before it hands anything on, so a client that sends faster than the disk
/// writes would fill the memory.
fn paced(body: Body) -> Body {
    let mut chunks = body.into_data_stream();
    let mut pause = false;
    Body::from_stream(futures::stream::poll_fn(move |context| {
        if std::mem::take(&mut pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = chunks.poll_next_unpin(context);
        pause = next.is_ready();
        next
    }))
}

/// Streams one field to a file; returns the sha256 of what came.
async fn receive(field: &mut Field<'_>, path: &Path) -> Result<String, Problem> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut hash = Sha256::new();
    while let Some(chunk) = field.chunk().await.map_err(form_problem)? {
        hash.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(hex::encode(hash.finalize()))
}

async fn receive_value(field: &mut Field<'_>, name: &str) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(form_problem)? {
        if bytes.len() + chunk.len() > MAX_VALUE {
            return Err(Problem::invalid(
                name,
                "too_long",
                format!("{name} is longer than {MAX_VALUE} bytes"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Problem::invalid(name, "not_utf8", format!("{name} is not UTF-8")))
}

fn form_problem(error: MultipartError) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        status if status.is_server_error() => Problem::internal(error.body_text()),
        status => Problem::new(status, "bad_form", error.body_text()),
    }
}

/// Puts a file of known hash into the blob store, unless it is there already.
async fn store(services: &Services, path: &Path, hash: &str) -> Result<String, Problem> {
    let name = format!("uploads/{}/{hash}", hash.get(..2).unwrap_or("00"));
    if !services.blobs.exists(&name).await? {
        services.blobs.put_file(&name, path).await?;
    }
    Ok(name)
}

/// The last component of a client's file name, without what could confuse a log or a path.
fn plain_name(name: &str, default: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).take(200).collect();
    if plain.is_empty() || plain == "." || plain == ".." { default.to_owned() } else { plain }
}

/// The real path behind `path` when it lies under one of the configured roots. Whether anything is
/// there is told only of what lies under a root.
pub(super) async fn allowed_path(services: &Services, field: &str, path: &str) -> Result<PathBuf, Problem> {
    let roots = &services.config.server.import_roots;
    if roots.is_empty() {
        return Err(Problem::invalid(
            field,
            "paths_not_allowed",
            "no import_roots are configured, so files come as uploads only",
        ));
    }
    let refused = || {
        Problem::invalid(field, "path_not_allowed", "no such path under one of the configured import_roots")
    };
    if path.contains('\0') {
        return Err(refused());
    }
    let real = tokio::fs::canonicalize(path).await.map_err(|_| refused())?;
    for root in roots {
        if let Ok(root) = tokio::fs::canonicalize(root).await
            && real.starts_with(&root)
        {
            return Ok(real);
        }
    }
    Err(refused())
}

/// Copies a file under an import root into the blob store.
pub(super) async fn stage_path(services: &Services, field: &str, path: &str) -> Result<StagedFile, Problem> {
    let real = allowed_path(services, field, path).await?;
    let not_a_file = || Problem::invalid(field, "not_a_file", "this path is not a file that can be read");
    if !tokio::fs::metadata(&real).await.is_ok_and(|m| m.is_file()) {
        return Err(not_a_file());
    }
    let mut file = tokio::fs::File::open(&real).await.map_err(|_| not_a_file())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).await?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
    }
    let blob = store(services, &real, &hex::encode(hash.finalize())).await?;
    let name = real.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(StagedFile { blob, file_name: plain_name(&name, field) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_lose_their_folders() {
        assert_eq!(plain_name("a/b/c.csv", "x"), "c.csv");
        assert_eq!(plain_name("C:\\data\\标注.json", "x"), "标注.json");
        assert_eq!(plain_name("..", "annotations"), "annotations");
        assert_eq!(plain_name("a\n\0b", "x"), "ab");
        assert_eq!(plain_name("", "annotations"), "annotations");
    }

    #[test]
    fn the_hash_of_a_form_tells_fields_apart() {
        let form = |pairs: &[(&str, &str)]| Form {
            values: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            files: BTreeMap::new(),
        };
        assert_eq!(form(&[("a", "b"), ("c", "d")]).hash(), form(&[("c", "d"), ("a", "b")]).hash());
        assert_ne!(form(&[("a", "bc")]).hash(), form(&[("ab", "c")]).hash());
    }
}
