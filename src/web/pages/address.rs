//! Addresses of pages. External ids may hold anything (slashes, spaces, Chinese, `..`), so every
//! part goes through [`part`].

use std::fmt::Write as _;

/// Percent-encodes everything but the unreserved characters.
pub(crate) fn part(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

pub(crate) fn query<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    pairs
        .iter()
        .map(|(k, v)| format!("{}={}", part(k.as_ref()), part(v.as_ref())))
        .collect::<Vec<_>>()
        .join("&")
}

/// Decodes `a=b&c=d` as forms send it; bytes that are no UTF-8 become U+FFFD.
pub(crate) fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            (decode(k), decode(v))
        })
        .collect()
}

fn decode(s: &str) -> String {
    let bytes = s.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[i], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(b)) => {
                out.push(b);
                i += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                i += 1;
            }
            (b, _) => {
                out.push(b);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The sample's part of an address. `.` and `..` would be eaten by browsers even when encoded, so
/// those samples (and empty ids) go by `#` and the internal id.
pub(crate) fn sample_key(external_id: &str, id: i64) -> String {
    if matches!(external_id, "" | "." | "..") { part(&format!("#{id}")) } else { part(external_id) }
}

pub(crate) fn dataset(name: &str) -> String {
    format!("/datasets/{}", part(name))
}

pub(crate) fn sample(dataset_name: &str, external_id: &str, id: i64) -> String {
    format!("{}/samples/{}", dataset(dataset_name), sample_key(external_id, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_external_id_is_one_segment() {
        assert_eq!(sample("d", "a/b c?#中", 7), "/datasets/d/samples/a%2Fb%20c%3F%23%E4%B8%AD");
        assert_eq!(sample("d", "..", 7), "/datasets/d/samples/%237");
    }

    #[test]
    fn queries_come_back() {
        let pairs = [("class", "a&b=c"), ("q", "滑板 +%")];
        let back = parse_query(&query(&pairs));
        assert_eq!(back, pairs.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(
            parse_query("a=1+2&b=%zz&c"),
            [("a".into(), "1 2".into()), ("b".into(), "%zz".into()), ("c".into(), String::new())]
        );
    }
}
