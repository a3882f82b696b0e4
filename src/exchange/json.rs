//! JSON as strangers write it: a small tree that keeps key order and duplicate keys, bounded in depth
//! and in the number of list elements kept.
//!
//! `serde_json::Value` sorts keys and silently keeps the last of two equal ones, and skips unknown
//! values at any depth; the order of a taxonomy and the promise to report duplicates need more.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::{Fault, shown};

/// Deepest accepted nesting of lists and objects.
pub(crate) const MAX_DEPTH: usize = 32;

const TOO_DEEP: &str = "lists and objects nest too deeply";

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// The kept elements and how many there were.
    List(Vec<Json<'a>>, usize),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Json<'_> {
    /// Name of the type for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(..) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The value as an identifier: strings and whole numbers.
    pub(crate) fn into_id(self) -> Result<String, Self> {
        match self {
            Self::Text(s) => Ok(s.into_owned()),
            Self::Unsigned(n) => Ok(n.to_string()),
            Self::Signed(n) => Ok(n.to_string()),
            other => Err(other),
        }
    }
}

/// Parses one whole document.
pub(crate) fn parse(bytes: &[u8], keep: usize) -> Result<Json<'_>, Fault> {
    let mut de = serde_json::Deserializer::from_slice(bytes);
    Tree { depth: MAX_DEPTH, keep }.deserialize(&mut de).and_then(|v| de.end().map(|()| v)).map_err(fault)
}

/// Turns a syntax error into a fault on the right line.
pub(crate) fn fault(e: serde_json::Error) -> Fault {
    let text = e.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let mut fault = if what.starts_with(TOO_DEEP) {
        Fault::new("too_deep", format!("lists and objects may nest {MAX_DEPTH} deep at most"))
    } else if e.is_eof() {
        Fault::new("truncated_json", format!("the JSON ends too early: {what}"))
    } else {
        Fault::new("bad_json", format!("not valid JSON: {what} (column {})", e.column()))
    };
    fault.line_offset = (e.line() as u64).saturating_sub(1);
    fault
}

/// Seed for a bounded [`Json`]: `depth` levels still allowed, `keep` elements of each list kept.
#[derive(Clone, Copy)]
pub(crate) struct Tree {
    pub(crate) depth: usize,
    pub(crate) keep: usize,
}

impl Tree {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom(TOO_DEEP))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Json<'de>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Json<'de>, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Json<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Json<'de>, E> {
        Ok(Json::Unsigned(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Json<'de>, E> {
        Ok(Json::Signed(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(v.to_owned())))
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(v)))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let (mut kept, mut total) = (Vec::new(), 0);
        loop {
            if kept.len() < self.keep {
                let Some(v) = seq.next_element_seed(inner)? else { break };
                kept.push(v);
            } else if seq.next_element_seed(Skip { depth: inner.depth })?.is_none() {
                break;
            }
            total += 1;
        }
        Ok(Json::List(kept, total))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            entries.push((key, map.next_value_seed(inner)?));
        }
        Ok(Json::Object(entries))
    }
}

/// Seed for an object key, borrowed where it holds no escapes.
pub(crate) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Cow<'de, str>, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object key")
    }
    fn visit_str<E>(self, v: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(v.to_owned()))
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(v))
    }
}

/// Seed that checks a value and forgets it.
#[derive(Clone, Copy)]
pub(crate) struct Skip {
    pub(crate) depth: usize,
}

impl Skip {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        Ok(Self { depth: self.depth.checked_sub(1).ok_or_else(|| E::custom(TOO_DEEP))? })
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while map.next_key_seed(Key)?.is_some() {
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// A fault for bytes that are not UTF-8, on the line where they are.
pub(crate) fn not_utf8(bytes: &[u8], e: std::str::Utf8Error) -> Fault {
    let before = &bytes[..e.valid_up_to()];
    let tail: String = String::from_utf8_lossy(before).chars().rev().take(20).collect();
    let tail: String = tail.chars().rev().collect();
    let mut fault = Fault::new(
        "not_utf8",
        format!(
            "byte 0x{:02x} after {} is not UTF-8; save the file as UTF-8",
            bytes[e.valid_up_to()],
            shown(&tail)
        ),
    );
    fault.line_offset = before.iter().filter(|&&b| b == b'\n').count() as u64;
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_duplicates_are_kept_and_lists_are_bounded() {
        let Json::Object(o) = parse(br#"{"b":1,"a":[1,2,3,4],"b":null}"#, 2).unwrap() else { panic!() };
        assert_eq!(o.iter().map(|(k, _)| k.as_ref()).collect::<Vec<_>>(), ["b", "a", "b"]);
        assert_eq!(o[1].1, Json::List(vec![Json::Unsigned(1), Json::Unsigned(2)], 4));
    }

    #[test]
    fn faults_name_line_and_kind() {
        assert_eq!(parse(b"{\n\"a\": tru}", 9).unwrap_err().line_offset, 1);
        assert_eq!(parse(b"[1,", 9).unwrap_err().code, "truncated_json");
        assert_eq!(parse(b"[1] 2", 9).unwrap_err().code, "bad_json");
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(MAX_DEPTH).as_bytes(), 9).is_ok());
        assert_eq!(parse(deep(MAX_DEPTH + 1).as_bytes(), 9).unwrap_err().code, "too_deep");
        // Skipped values are bounded too.
        assert_eq!(parse(deep(MAX_DEPTH + 1).as_bytes(), 0).unwrap_err().code, "too_deep");
        assert_eq!(parse(deep(200_000).as_bytes(), 9).unwrap_err().code, "too_deep");
    }
}
