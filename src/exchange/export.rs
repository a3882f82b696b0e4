//! A snapshot leaves as JSON lines, CSV or Parquet, one row a sample, streamed, with a manifest.
//!
//! The same columns in every format, in the order of [`COLUMNS`]. Memory is constant: JSON and CSV
//! hold one row, Parquet one row group of [`ROW_GROUP`] rows. The same rows give the same bytes.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use chrono::{DateTime, SecondsFormat, Utc};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::domain::{LabelSource, Split};

/// Rows of one Parquet row group.
pub const ROW_GROUP: usize = 50_000;

/// Column names in file order.
pub const COLUMNS: [&str; 19] = [
    "id",
    "title",
    "given_label",
    "label",
    "label_source",
    "decided_by",
    "decided_at",
    "status",
    "suspicion",
    "rank",
    "suggested_label",
    "suggested_p",
    "self_confidence",
    "normalized_margin",
    "is_label_issue",
    "issues",
    "split",
    "video",
    "taxonomy_path",
];

/// One sample of a snapshot with what the last scan said of it. Labels are class ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ExportRow {
    /// External id.
    pub id: String,
    pub title: Option<String>,
    /// Label as imported; `None` = unlabelled.
    pub given_label: Option<String>,
    /// Current label in the snapshot.
    pub label: Option<String>,
    pub label_source: Option<LabelSource>,
    /// Who decided the current label, when a person did.
    pub decided_by: Option<String>,
    #[serde(serialize_with = "timestamp")]
    pub decided_at: Option<DateTime<Utc>>,
    pub status: String,
    /// In [0, 1], higher is worse; `None` = not scanned.
    pub suspicion: Option<f32>,
    /// 1 = most suspicious.
    pub rank: Option<i32>,
    pub suggested_label: Option<String>,
    pub suggested_p: Option<f32>,
    /// p(given label), out of fold.
    pub self_confidence: Option<f32>,
    pub normalized_margin: Option<f32>,
    /// Flagged by the scan.
    pub is_label_issue: bool,
    /// Kinds of issues; a JSON list, a Parquet list of strings, joined by `;` in CSV.
    pub issues: Vec<String>,
    pub split: Option<Split>,
    pub video: Option<String>,
    /// Names along the path of the current label, for people.
    pub taxonomy_path: Option<String>,
}

/// Microseconds in UTC, the same in every format.
fn rfc3339(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn timestamp<S: Serializer>(at: &Option<DateTime<Utc>>, s: S) -> Result<S::Ok, S::Error> {
    at.as_ref().map(rfc3339).serialize(s)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    Jsonl,
    Csv,
    Parquet,
}

impl ExportFormat {
    pub const ALL: [ExportFormat; 3] = [Self::Jsonl, Self::Csv, Self::Parquet];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes rows in batches of any size. Nothing is complete before `finish`.
pub trait RowWriter: Send {
    fn write(&mut self, rows: &[ExportRow]) -> io::Result<()>;
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A writer of `format` on `out`. `metadata` goes into the Parquet footer; the other formats have no
/// place for it.
pub fn writer(
    format: ExportFormat,
    out: Box<dyn Write + Send>,
    metadata: &BTreeMap<String, String>,
) -> io::Result<Box<dyn RowWriter>> {
    Ok(match format {
        ExportFormat::Jsonl => Box::new(Jsonl { out: BufWriter::new(out) }),
        ExportFormat::Csv => {
            let mut out = csv::Writer::from_writer(out);
            out.write_record(COLUMNS)?;
            Box::new(Csv { out })
        }
        ExportFormat::Parquet => Box::new(Parquet::new(out, metadata)?),
    })
}

struct Jsonl {
    out: BufWriter<Box<dyn Write + Send>>,
}

impl RowWriter for Jsonl {
    fn write(&mut self, rows: &[ExportRow]) -> io::Result<()> {
        for row in rows {
            serde_json::to_writer(&mut self.out, row)?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

struct Csv {
    out: csv::Writer<Box<dyn Write + Send>>,
}

/// A spreadsheet takes a cell that starts so for a formula. Free text gets an apostrophe before it, as
/// spreadsheets themselves write it; ids, labels and paths are keys that must come back unchanged.
fn guarded(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

impl RowWriter for Csv {
    fn write(&mut self, rows: &[ExportRow]) -> io::Result<()> {
        fn text(v: &Option<String>) -> &str {
            v.as_deref().unwrap_or("")
        }
        fn number(v: Option<impl ToString>) -> String {
            v.map(|v| v.to_string()).unwrap_or_default()
        }
        for r in rows {
            self.out.write_record([
                r.id.as_str(),
                &guarded(text(&r.title)),
                text(&r.given_label),
                text(&r.label),
                r.label_source.map_or("", LabelSource::as_str),
                &guarded(text(&r.decided_by)),
                &r.decided_at.as_ref().map(rfc3339).unwrap_or_default(),
                &r.status,
                &number(r.suspicion),
                &number(r.rank),
                text(&r.suggested_label),
                &number(r.suggested_p),
                &number(r.self_confidence),
                &number(r.normalized_margin),
                if r.is_label_issue { "true" } else { "false" },
                &r.issues.join(";"),
                r.split.map_or("", Split::as_str),
                text(&r.video),
                &guarded(text(&r.taxonomy_path)),
            ])?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

struct Parquet {
    out: ArrowWriter<Box<dyn Write + Send>>,
    schema: Arc<Schema>,
}

impl Parquet {
    fn new(out: Box<dyn Write + Send>, metadata: &BTreeMap<String, String>) -> io::Result<Self> {
        let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let issues = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, false)));
        let fields = COLUMNS.map(|name| match name {
            "id" | "status" => Field::new(name, DataType::Utf8, false),
            "decided_at" => Field::new(name, utc(), true),
            "suspicion" | "suggested_p" | "self_confidence" | "normalized_margin" => {
                Field::new(name, DataType::Float32, true)
            }
            "rank" => Field::new(name, DataType::Int32, true),
            "is_label_issue" => Field::new(name, DataType::Boolean, false),
            "issues" => Field::new(name, issues.clone(), false),
            _ => Field::new(name, DataType::Utf8, true),
        });
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let pairs = metadata.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_key_value_metadata(Some(pairs))
            .build();
        let out = ArrowWriter::try_new(out, schema.clone(), Some(properties))?;
        Ok(Self { out, schema })
    }
}

impl RowWriter for Parquet {
    fn write(&mut self, rows: &[ExportRow]) -> io::Result<()> {
        for rows in rows.chunks(ROW_GROUP) {
            self.out.write(&batch(rows, &self.schema)?)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let mut out = self.out.into_inner()?;
        out.flush()
    }
}

fn batch(rows: &[ExportRow], schema: &Arc<Schema>) -> io::Result<RecordBatch> {
    fn text<'a>(rows: &'a [ExportRow], get: impl Fn(&'a ExportRow) -> Option<&'a str>) -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    }
    fn float(rows: &[ExportRow], get: impl Fn(&ExportRow) -> Option<f32>) -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<Float32Array>())
    }
    let mut issues = ListBuilder::new(StringBuilder::new())
        .with_field(Arc::new(Field::new_list_field(DataType::Utf8, false)));
    for row in rows {
        for issue in &row.issues {
            issues.values().append_value(issue);
        }
        issues.append(true);
    }
    let decided_at: TimestampMicrosecondArray =
        rows.iter().map(|r| r.decided_at.map(|t| t.timestamp_micros())).collect();
    // In the order of `COLUMNS`.
    let columns: [ArrayRef; COLUMNS.len()] = [
        text(rows, |r| Some(&r.id)),
        text(rows, |r| r.title.as_deref()),
        text(rows, |r| r.given_label.as_deref()),
        text(rows, |r| r.label.as_deref()),
        text(rows, |r| r.label_source.map(LabelSource::as_str)),
        text(rows, |r| r.decided_by.as_deref()),
        Arc::new(decided_at.with_timezone("UTC")),
        text(rows, |r| Some(&r.status)),
        float(rows, |r| r.suspicion),
        Arc::new(rows.iter().map(|r| r.rank).collect::<Int32Array>()),
        text(rows, |r| r.suggested_label.as_deref()),
        float(rows, |r| r.suggested_p),
        float(rows, |r| r.self_confidence),
        float(rows, |r| r.normalized_margin),
        Arc::new(rows.iter().map(|r| Some(r.is_label_issue)).collect::<BooleanArray>()),
        Arc::new(issues.finish()),
        text(rows, |r| r.split.map(Split::as_str)),
        text(rows, |r| r.video.as_deref()),
        text(rows, |r| r.taxonomy_path.as_deref()),
    ];
    RecordBatch::try_new(schema.clone(), columns.to_vec()).map_err(io::Error::other)
}

/// What an export is, to lie beside the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Manifest {
    pub dataset: String,
    pub snapshot: String,
    pub taxonomy_hash: String,
    pub format: ExportFormat,
    pub rows: u64,
    pub columns: Vec<String>,
    /// Rows with a current label.
    pub labelled: u64,
    /// Rows whose current label differs from the given one.
    pub changed: u64,
    /// Of the file, lower-case hexadecimal.
    pub sha256: String,
    pub bytes: u64,
    pub created_at: DateTime<Utc>,
    pub tamis_version: String,
}

/// Passes bytes on and keeps their sha256 and count, to be asked for through [`HashHandle`] once the
/// writer went into a [`RowWriter`].
pub struct HashingWriter<W> {
    inner: W,
    state: Arc<Mutex<(Sha256, u64)>>,
}

/// What went through a [`HashingWriter`].
#[derive(Clone)]
pub struct HashHandle(Arc<Mutex<(Sha256, u64)>>);

impl<W: Write> HashingWriter<W> {
    pub fn new(inner: W) -> (Self, HashHandle) {
        let state = Arc::new(Mutex::new((Sha256::new(), 0)));
        (Self { inner, state: state.clone() }, HashHandle(state))
    }
}

impl HashHandle {
    /// sha256 in lower-case hexadecimal and number of bytes so far.
    pub fn result(&self) -> (String, u64) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (hex::encode(state.0.clone().finalize()), state.1)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.update(&buf[..n]);
        state.1 += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
