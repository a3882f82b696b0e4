//! A blob as an answer: byte ranges, validators, caching, download names. Streams; memory does not
//! grow with the blob.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::error::Problem;
use crate::blobs::Blobs;

/// What is sent, and how a client may keep it.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    pub(crate) blob: &'a str,
    pub(crate) content_type: &'a str,
    /// Save under this name instead of showing it.
    pub(crate) attachment: Option<String>,
    /// Unquoted; none: from the blob's name.
    pub(crate) etag: Option<String>,
    /// The `v` parameter of the address: where it is the beginning of the validator, the address
    /// will never mean other bytes.
    pub(crate) version: Option<&'a str>,
}

/// The part of a blob that a request asks for; positions are of bytes, the end is not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part {
        from: u64,
        to: u64,
    },
    /// Nothing of what was asked for is there.
    Nothing,
}

/// Validator of a blob: the content hash that its name ends in, else a hash of the name (a name
/// never gets other bytes). Unquoted.
pub(crate) fn etag(blob: &str) -> String {
    let last = blob.rsplit('/').next().unwrap_or(blob);
    let stem = last.split('.').next().unwrap_or(last);
    if stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit()) {
        // poster and strip of one clip may share a stem, so the folder counts too
        return match blob.split('/').next() {
            Some("media") | None => stem.to_owned(),
            Some(folder) => format!("{folder}-{stem}"),
        };
    }
    hex::encode(Sha256::digest(blob))
}

/// Answers GET and HEAD.
///
/// # Errors
/// 404 when the blob is not there, 416 when the range lies outside it.
pub(crate) async fn respond(
    blobs: &Blobs,
    method: &Method,
    request: &HeaderMap,
    download: Download<'_>,
) -> Result<Response, Problem> {
    let tag = download.etag.clone().unwrap_or_else(|| etag(download.blob));
    let quoted = format!("\"{tag}\"");
    let mut out = HeaderMap::new();
    let value = |v: &str| HeaderValue::from_str(v).map_err(Problem::internal);
    let fixed = download.version.is_some_and(|v| v.len() >= 8 && tag.starts_with(v));
    out.insert(header::ETAG, value(&quoted)?);
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(if fixed {
            "private, max-age=31536000, immutable"
        } else {
            "private, no-cache"
        }),
    );
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if text(request, header::IF_NONE_MATCH).is_some_and(|v| matches_any(v, &quoted)) {
        return Ok((StatusCode::NOT_MODIFIED, out).into_response());
    }
    let size = blobs.size(download.blob).await?.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "blob_missing", "its file is not in the blob store")
    })?;
    out.insert(header::CONTENT_TYPE, value(download.content_type)?);
    if let Some(name) = &download.attachment {
        out.insert(header::CONTENT_DISPOSITION, value(&disposition(name))?);
    }
    // a range is a matter of GET only, and of the version the client holds a part of
    let fresh = text(request, header::IF_RANGE).is_none_or(|v| v.trim() == quoted);
    let wanted = match text(request, header::RANGE) {
        Some(range) if method == Method::GET && fresh => wanted(range, size),
        _ => Wanted::All,
    };
    let (status, from, to) = match wanted {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part { from, to } => {
            out.insert(header::CONTENT_RANGE, value(&format!("bytes {from}-{}/{size}", to - 1))?);
            (StatusCode::PARTIAL_CONTENT, from, to)
        }
        Wanted::Nothing => {
            let mut response = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range",
                format!("the file has {size} bytes; none of them was asked for"),
            )
            .into_response();
            response.headers_mut().insert(header::CONTENT_RANGE, value(&format!("bytes */{size}"))?);
            return Ok(response);
        }
    };
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    let body = if method == Method::HEAD || from == to {
        Body::empty()
    } else {
        Body::from_stream(blobs.stream(download.blob, from..to).await?)
    };
    Ok((status, out, body).into_response())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// `If-None-Match`: weak comparison with each of the list.
fn matches_any(list: &str, quoted: &str) -> bool {
    list.split(',').map(str::trim).any(|t| t == "*" || t.trim_start_matches("W/") == quoted)
}

/// RFC 9110, section 14.2. A header that cannot be read, another unit and several ranges at once
/// are ignored, as the standard allows.
fn wanted(range: &str, size: u64) -> Wanted {
    let Some((unit, spec)) = range.split_once('=') else { return Wanted::All };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::All };
    let (first, last) = (first.trim(), last.trim());
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Wanted::All;
    }
    // more digits than fit are a number beyond every file
    let number = |s: &str| {
        (!s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (None, Some(count)) if first.is_empty() => match count.min(size) {
            0 => Wanted::Nothing,
            n => Wanted::Part { from: size - n, to: size },
        },
        (Some(from), None) if last.is_empty() => part(from, size, size),
        (Some(from), Some(last)) if from <= last => part(from, last.saturating_add(1).min(size), size),
        _ => Wanted::All,
    }
}

fn part(from: u64, to: u64, size: u64) -> Wanted {
    if from < size { Wanted::Part { from, to } } else { Wanted::Nothing }
}

/// `attachment` with the name in ASCII and, where it differs, in UTF-8 (RFC 6266).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    let encoded: String = name
        .bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_the_standard_reads_them() {
        let part = |from, to| Wanted::Part { from, to };
        for (header, size, expected) in [
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=2-4", 10, part(2, 5)),
            ("bytes=7-", 10, part(7, 10)),
            ("bytes=7-99", 10, part(7, 10)),
            ("bytes=-3", 10, part(7, 10)),
            ("bytes=-99", 10, part(0, 10)),
            ("BYTES = 1 - 2", 10, part(1, 3)),
            ("bytes=0-99999999999999999999999", 10, part(0, 10)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-12", 10, Wanted::Nothing),
            ("bytes=99999999999999999999999-", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=-5", 0, Wanted::Nothing),
            ("bytes=4-2", 10, Wanted::All),
            ("bytes=a-b", 10, Wanted::All),
            ("bytes=-", 10, Wanted::All),
            ("bytes=+1-2", 10, Wanted::All),
            ("bytes=0-1,4-5", 10, Wanted::All),
            ("lines=0-1", 10, Wanted::All),
            ("nonsense", 10, Wanted::All),
        ] {
            assert_eq!(wanted(header, size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn validators_come_from_content_hashes() {
        let hash = "a".repeat(64);
        assert_eq!(etag(&format!("media/aa/{hash}")), hash);
        assert_ne!(etag(&format!("poster/aa/{hash}.jpg")), etag(&format!("strip/aa/{hash}.jpg")));
        assert_eq!(etag("exports/x.csv").len(), 64);
    }

    #[test]
    fn names_cannot_break_out_of_the_header() {
        assert_eq!(disposition("a-1.csv"), "attachment; filename=\"a-1.csv\"");
        let odd = disposition("a\"\r\n中.csv");
        assert!(odd.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert!(odd.ends_with("filename*=UTF-8''a%22%0D%0A%E4%B8%AD.csv"));
    }
}
