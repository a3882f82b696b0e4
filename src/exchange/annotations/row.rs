//! One row: from the values as written to a checked [`Row`], or the first thing that is wrong with it.
//!
//! JSON and CSV meet here, so both obey the same rules and give the same codes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::error::{Fault, shown};
use super::super::json::{self, Json, Key, MAX_DEPTH, Skip, Tree};
use super::{Limits, Row};
use crate::domain::{OcrLine, Split};

/// Keys that a row may have, each with the field it fills.
pub(super) const KEYS: [(&str, Slot); 10] = [
    ("id", Slot::Id),
    ("title", Slot::Title),
    ("asr", Slot::Asr),
    ("ocr", Slot::Ocr),
    ("label", Slot::Label),
    ("category_id", Slot::Label),
    ("video", Slot::Video),
    ("path", Slot::Video),
    ("file_name", Slot::Video),
    ("split", Slot::Split),
];

/// The fields of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Id,
    Title,
    Asr,
    Ocr,
    Label,
    Video,
    Split,
}

impl Slot {
    pub(super) const COUNT: usize = 7;

    pub(super) fn name(self) -> &'static str {
        ["id", "title", "asr", "ocr", "label", "video", "split"][self as usize]
    }
}

/// Values of a row before any check; `None` = not given.
#[derive(Default)]
pub(super) struct Raw<'a> {
    pub(super) values: [Option<Json<'a>>; Slot::COUNT],
}

/// Parses and checks one JSON row. The line of the fault is relative to the row's first line.
pub(super) fn from_json(bytes: &[u8], line: u64, limits: &Limits) -> Result<Row, Fault> {
    if let Err(e) = std::str::from_utf8(bytes) {
        return Err(json::not_utf8(bytes, e));
    }
    let mut found = Found { raw: Raw::default(), twice: None, kind: None };
    let mut de = serde_json::Deserializer::from_slice(bytes);
    let seed = Object { found: &mut found, keep: limits.ocr_lines };
    let parsed = seed.deserialize(&mut de).and_then(|()| de.end());
    if let Err(e) = parsed {
        // serde_json reports a raw NUL as one of many control characters; say it plainly.
        if bytes.contains(&0) {
            return Err(Fault::new("nul_byte", "the row holds a NUL byte"));
        }
        return Err(json::fault(e));
    }
    if let Some(kind) = found.kind {
        return Err(Fault::new("wrong_type", format!("a row is {kind} but should be an object")));
    }
    if let Some((field, key)) = found.twice {
        let message = format!("is given twice, the second time as key {}", shown(key));
        return Err(Fault::field("duplicate_key", field.name(), message));
    }
    check(found.raw, line, limits)
}

/// Checks the values of one row. First fault wins, in the order of the fields.
pub(super) fn check(raw: Raw<'_>, line: u64, limits: &Limits) -> Result<Row, Fault> {
    let [id, title, asr, ocr, label, video, split] = raw.values;
    let external_id = key("id", id, limits.id_bytes)?
        .ok_or_else(|| Fault::field("missing_id", "id", "is missing or empty"))?;
    Ok(Row {
        line,
        external_id,
        title: text("title", title, limits.title_chars)?,
        asr: text("asr", asr, limits.asr_chars)?,
        ocr: ocr.map(|lines| ocr_lines(lines, limits)).transpose()?,
        label: key("label", label, limits.label_bytes)?,
        video: key("video", video, limits.video_bytes)?,
        split: split_of(split)?,
    })
}

fn wrong(field: &'static str, value: &Json<'_>, rule: &str) -> Fault {
    Fault::field("wrong_type", field, format!("is {} but should be {rule}", value.kind()))
}

/// An id, class id or path: a string or whole number without control characters; blank = not given.
fn key(field: &'static str, value: Option<Json<'_>>, max_bytes: usize) -> Result<Option<String>, Fault> {
    let id = match value {
        None | Some(Json::Null) => return Ok(None),
        Some(v) => v.into_id().map_err(|v| wrong(field, &v, "a string or a whole number"))?,
    };
    if id.trim().is_empty() {
        return Ok(None);
    }
    if id.len() > max_bytes {
        let message = format!("{} is longer than {max_bytes} bytes", shown(&id));
        return Err(Fault::field("too_long", field, message));
    }
    no_nul(field, &id)?;
    if id.chars().any(char::is_control) {
        let message = format!("{} holds a control character", shown(&id));
        return Err(Fault::field("control_character", field, message));
    }
    Ok(Some(id))
}

/// Free text; null is the empty string.
fn text(field: &'static str, value: Option<Json<'_>>, max_chars: usize) -> Result<Option<String>, Fault> {
    let text = match value {
        None => return Ok(None),
        Some(Json::Null) => return Ok(Some(String::new())),
        Some(Json::Text(t)) => t,
        Some(v) => return Err(wrong(field, &v, "a string")),
    };
    bounded(field, text, max_chars).map(Some)
}

fn bounded(field: &'static str, text: Cow<'_, str>, max_chars: usize) -> Result<String, Fault> {
    no_nul(field, &text)?;
    if text.len() > max_chars && text.chars().count() > max_chars {
        let message = format!("{} is longer than {max_chars} characters", shown(&text));
        return Err(Fault::field("too_long", field, message));
    }
    Ok(text.into_owned())
}

/// Postgres and C libraries cannot hold NUL, and no text needs it.
fn no_nul(field: &'static str, text: &str) -> Result<(), Fault> {
    if text.as_bytes().contains(&0) {
        return Err(Fault::field("nul_byte", field, format!("{} holds a NUL byte", shown(text))));
    }
    Ok(())
}

/// `[{time, text}]`, a list of strings, or one string; lines without a time are at 0 s.
fn ocr_lines(value: Json<'_>, limits: &Limits) -> Result<Vec<OcrLine>, Fault> {
    let line = |time, text| bounded("ocr", text, limits.ocr_line_chars).map(|text| OcrLine { time, text });
    match value {
        Json::Null => Ok(Vec::new()),
        Json::Text(t) if t.trim().is_empty() => Ok(Vec::new()),
        Json::Text(t) => Ok(vec![line(0.0, t)?]),
        Json::List(items, total) => {
            if total > limits.ocr_lines {
                let message = format!("has {total} lines; {} at most", limits.ocr_lines);
                return Err(Fault::field("too_many_lines", "ocr", message));
            }
            items
                .into_iter()
                .map(|item| match item {
                    Json::Text(t) => line(0.0, t),
                    Json::Object(entries) => {
                        let (time, text) = ocr_entry(entries)?;
                        line(time, text)
                    }
                    other => Err(wrong("ocr", &other, "a list of {time, text} or of strings")),
                })
                .collect()
        }
        v => Err(wrong("ocr", &v, "a list of {time, text}, a list of strings or a string")),
    }
}

fn ocr_entry<'a>(entries: Vec<(Cow<'a, str>, Json<'a>)>) -> Result<(f64, Cow<'a, str>), Fault> {
    let (mut time, mut text) = (None, None);
    for (key, value) in entries {
        let twice = match key.as_ref() {
            "time" => time.replace(value).is_some(),
            "text" => text.replace(value).is_some(),
            _ => false,
        };
        if twice {
            let message = format!("a line has the key {} twice", shown(&key));
            return Err(Fault::field("duplicate_key", "ocr", message));
        }
    }
    let time = match time {
        None | Some(Json::Null) => 0.0,
        Some(Json::Unsigned(n)) => n as f64,
        Some(Json::Signed(n)) => n as f64,
        Some(Json::Float(x)) => x,
        Some(Json::Text(t)) => t.trim().parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| {
            Fault::field("bad_time", "ocr", format!("time {} is not a number of seconds", shown(&t)))
        })?,
        Some(v) => return Err(wrong("ocr", &v, "a number of seconds as the time of a line")),
    };
    match text {
        None | Some(Json::Null) => Ok((time, Cow::Borrowed(""))),
        Some(Json::Text(t)) => Ok((time, t)),
        Some(v) => Err(wrong("ocr", &v, "a string as the text of a line")),
    }
}

/// The split by its usual names.
fn split_of(value: Option<Json<'_>>) -> Result<Option<Split>, Fault> {
    let text = match value {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Text(t)) => t,
        Some(v) => return Err(wrong("split", &v, "a string")),
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "train" | "training" => Ok(Some(Split::Train)),
        "validation" | "val" | "valid" | "dev" => Ok(Some(Split::Validation)),
        "test" => Ok(Some(Split::Test)),
        "unlabelled" | "unlabeled" => Ok(Some(Split::Unlabelled)),
        _ => {
            let message = format!("{} is not one of train, validation, test, unlabelled", shown(&text));
            Err(Fault::field("unknown_split", "split", message))
        }
    }
}

/// What the parser found in a row.
struct Found<'a> {
    raw: Raw<'a>,
    twice: Option<(Slot, &'static str)>,
    /// Type of a row that is no object.
    kind: Option<&'static str>,
}

/// Seed for the row's object: known keys are kept, others checked for depth and forgotten.
struct Object<'f, 'a> {
    found: &'f mut Found<'a>,
    keep: usize,
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let tree = Tree { depth: MAX_DEPTH - 1, keep: self.keep };
        while let Some(key) = map.next_key_seed(Key)? {
            let Some(&(name, slot)) = KEYS.iter().find(|(name, _)| *name == key) else {
                map.next_value_seed(Skip { depth: MAX_DEPTH - 1 })?;
                continue;
            };
            let value = map.next_value_seed(tree)?;
            if self.found.raw.values[slot as usize].replace(value).is_some() {
                self.found.twice.get_or_insert((slot, name));
            }
        }
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.found.kind = Some("null");
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.found.kind = Some("a boolean");
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.found.kind = Some("a number");
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.found.kind = Some("a number");
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.found.kind = Some("a number");
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.found.kind = Some("a string");
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.found.kind = Some("a list");
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
