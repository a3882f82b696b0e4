//! A snapshot as a Parquet file: one row a labelled sample, in byte order of the external id.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// One labelled sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub sample_id: i64,
    pub external_id: String,
    pub given_class: Option<String>,
    pub class: String,
    /// Keyword of the label's source.
    pub source: String,
    pub author: String,
    /// Kept to the microsecond.
    pub decided_at: DateTime<Utc>,
}

/// Memory: a few times that of the rows.
pub fn write(rows: &[Row]) -> Result<Vec<u8>, ParquetError> {
    fn text<'a>(rows: &'a [Row], get: impl Fn(&'a Row) -> Option<&'a str>) -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    }
    let ids: Int64Array = rows.iter().map(|r| Some(r.sample_id)).collect();
    let times =
        TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.decided_at.timestamp_micros()))
            .with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("sample_id", Arc::new(ids), false),
        ("id", text(rows, |r| Some(&r.external_id)), false),
        ("given_label", text(rows, |r| r.given_class.as_deref()), true),
        ("label", text(rows, |r| Some(&r.class)), false),
        ("label_source", text(rows, |r| Some(&r.source)), false),
        ("decided_by", text(rows, |r| Some(&r.author)), false),
        ("decided_at", Arc::new(times), false),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(out)
}

/// Reads what [`write`] wrote.
pub fn read(bytes: Vec<u8>) -> Result<Vec<Row>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))?.build()?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch?;
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| ParquetError::General(format!("column {name} is missing")))
        };
        let wrong = |name: &str| ParquetError::General(format!("column {name} has another type"));
        let ids = column("sample_id")?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong("sample_id"))?;
        let times = column("decided_at")?
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| wrong("decided_at"))?;
        let mut texts = Vec::with_capacity(5);
        for name in ["id", "given_label", "label", "label_source", "decided_by"] {
            texts.push(column(name)?.as_string_opt::<i32>().ok_or_else(|| wrong(name))?);
        }
        for i in 0..batch.num_rows() {
            rows.push(Row {
                sample_id: ids.value(i),
                external_id: texts[0].value(i).to_owned(),
                given_class: (!arrow_array::Array::is_null(texts[1], i))
                    .then(|| texts[1].value(i).to_owned()),
                class: texts[2].value(i).to_owned(),
                source: texts[3].value(i).to_owned(),
                author: texts[4].value(i).to_owned(),
                decided_at: DateTime::from_timestamp_micros(times.value(i)).unwrap_or_default(),
            });
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let row = |i: i64, given: Option<&str>| Row {
            sample_id: i,
            external_id: format!("片段/{i}"),
            given_class: given.map(Into::into),
            class: "a".into(),
            source: "annotator".into(),
            author: "li".into(),
            decided_at: DateTime::from_timestamp_micros(1_700_000_000_123_456 + i).unwrap(),
        };
        let rows = vec![row(1, None), row(2, Some("b"))];
        assert_eq!(read(write(&rows).unwrap()).unwrap(), rows);
        assert_eq!(read(write(&[]).unwrap()).unwrap(), []);
        assert!(read(b"no parquet".to_vec()).is_err());
    }
}
