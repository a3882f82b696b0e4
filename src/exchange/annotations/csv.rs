//! CSV rows under a header, split by a bounded parser of RFC 4180 (quotes doubled, line ends in quotes).
//!
//! Hand-made because a row must never be held beyond its limit: a quote left open would otherwise
//! collect the rest of the file. White space around column names is ignored; cells are kept as they are.

use std::borrow::Cow;
use std::io::{self, BufRead};

use super::super::error::{Fault, shown};
use super::super::json::{self, Json};
use super::row::{self, KEYS, Raw, Slot};
use super::{Limits, ReadOptions, Row, Source, fill};

/// Most columns of a file.
const MAX_COLUMNS: usize = 1_000;

/// One record: all cells in one buffer.
#[derive(Default)]
pub(in super::super) struct Record {
    bytes: Vec<u8>,
    /// End of each cell in `bytes`.
    ends: Vec<usize>,
}

impl Record {
    pub(in super::super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(in super::super) fn cell(&self, i: usize) -> &[u8] {
        let from = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[from..self.ends[i]]
    }

    fn is_blank(&self) -> bool {
        self.ends.len() == 1 && self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

pub(in super::super) enum Cut {
    Record,
    TooLarge,
    /// The file ends inside quotes.
    OpenQuote,
    End,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote inside quotes: doubled, or the end of the cell.
    MaybeEnd,
}

/// Splits bytes into records; `line` is where the last record started.
pub(in super::super) struct Splitter<R> {
    source: R,
    delimiter: u8,
    next_line: u64,
    pub(in super::super) line: u64,
}

impl<R: BufRead> Splitter<R> {
    pub(in super::super) fn new(source: R, delimiter: u8) -> Self {
        Self { source, delimiter, next_line: 1, line: 1 }
    }

    /// The next record that is not a blank line.
    pub(in super::super) fn next(
        &mut self,
        record: &mut Record,
        limit: usize,
        fill: impl Fn(&mut R) -> io::Result<&[u8]>,
    ) -> io::Result<Cut> {
        loop {
            record.bytes.clear();
            record.ends.clear();
            let cut = self.record(record, limit, &fill)?;
            if !matches!(cut, Cut::Record) || !record.is_blank() {
                return Ok(cut);
            }
        }
    }

    fn record(
        &mut self,
        record: &mut Record,
        limit: usize,
        fill: impl Fn(&mut R) -> io::Result<&[u8]>,
    ) -> io::Result<Cut> {
        self.line = self.next_line;
        let mut at = At::CellStart;
        let mut seen = 0usize;
        loop {
            let chunk = fill(&mut self.source)?;
            if chunk.is_empty() {
                return Ok(match at {
                    _ if seen == 0 => Cut::End,
                    _ if seen > limit => Cut::TooLarge,
                    At::Quoted => Cut::OpenQuote,
                    _ => {
                        end_cell(record, at);
                        Cut::Record
                    }
                });
            }
            let mut done = None;
            for (i, &b) in chunk.iter().enumerate() {
                self.next_line += u64::from(b == b'\n');
                if at != At::Quoted && b == b'\n' {
                    done = Some(i + 1);
                    break;
                }
                // Beyond the limit only the state is followed, to find the end of the record.
                let keep = seen + i < limit && record.ends.len() < MAX_COLUMNS;
                match (at, b) {
                    (At::CellStart, b'"') => at = At::Quoted,
                    (At::Quoted, b'"') => at = At::MaybeEnd,
                    (At::Quoted, _) => {
                        if keep {
                            record.bytes.push(b);
                        }
                    }
                    (_, d) if d == self.delimiter => {
                        if keep {
                            end_cell(record, at);
                        }
                        at = At::CellStart;
                    }
                    (At::MaybeEnd, b'\r') => {}
                    (state, _) => {
                        // A doubled quote goes on quoted; anything else behind quotes is taken as it is.
                        at = if state == At::MaybeEnd && b == b'"' { At::Quoted } else { At::Plain };
                        if keep {
                            record.bytes.push(b);
                        }
                    }
                }
            }
            let used = done.unwrap_or(chunk.len());
            self.source.consume(used);
            seen = seen.saturating_add(used);
            if done.is_some() {
                if seen > limit || record.ends.len() >= MAX_COLUMNS {
                    return Ok(Cut::TooLarge);
                }
                end_cell(record, at);
                return Ok(Cut::Record);
            }
        }
    }
}

/// Closes a cell; the carriage return of a Windows line end is no part of a plain last cell.
fn end_cell(record: &mut Record, at: At) {
    let from = record.ends.last().copied().unwrap_or(0);
    if at == At::Plain && record.bytes.len() > from && record.bytes.last() == Some(&b'\r') {
        record.bytes.pop();
    }
    record.ends.push(record.bytes.len());
}

/// Checked rows under a header.
pub(super) struct Rows {
    splitter: Splitter<Source>,
    record: Record,
    n_columns: usize,
    /// Column of each [`Slot`].
    columns: [Option<usize>; Slot::COUNT],
}

pub(super) enum Next {
    Row(Result<Row, Fault>),
    Failed(io::Error),
    End,
}

impl Rows {
    /// Reads the header; a fault (with its line) ends the file.
    pub(super) fn open(source: Source, delimiter: u8, options: &ReadOptions) -> Result<Self, (Fault, u64)> {
        let mut splitter = Splitter::new(source, delimiter);
        let mut record = Record::default();
        let cut = splitter.next(&mut record, options.limits.row_bytes, fill);
        let line = splitter.line;
        let fault = |f: Fault| (f, line);
        match cut {
            Ok(Cut::Record) => {}
            Ok(Cut::End) => return Err(fault(Fault::new("empty_file", "the file is empty"))),
            Ok(other) => return Err(fault(bad_record(&other, options.limits.row_bytes))),
            Err(e) => return Err(fault(Fault::new("read_failed", format!("the file cannot be read: {e}")))),
        }
        let names = (0..record.len())
            .map(|i| std::str::from_utf8(record.cell(i)).map(|s| s.trim().to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| fault(json::not_utf8(&record.bytes, e)))?;
        let columns = columns(&names, options).map_err(fault)?;
        Ok(Self { splitter, n_columns: names.len(), record, columns })
    }

    pub(super) fn next(&mut self, limits: &Limits) -> (Next, u64) {
        let cut = self.splitter.next(&mut self.record, limits.row_bytes, fill);
        let line = self.splitter.line;
        let next = match cut {
            Ok(Cut::Record) => Next::Row(self.row(line, limits)),
            Ok(Cut::End) => Next::End,
            Ok(other) => Next::Row(Err(bad_record(&other, limits.row_bytes))),
            Err(e) => Next::Failed(e),
        };
        (next, line)
    }

    fn row(&self, line: u64, limits: &Limits) -> Result<Row, Fault> {
        if self.record.len() != self.n_columns {
            let message =
                format!("the row has {} cells, the header has {}", self.record.len(), self.n_columns);
            return Err(Fault::new("column_count", message));
        }
        let mut raw = Raw::default();
        for (slot, column) in self.columns.iter().enumerate() {
            let Some(column) = *column else { continue };
            let bytes = self.record.cell(column);
            let text = std::str::from_utf8(bytes).map_err(|e| json::not_utf8(bytes, e))?;
            raw.values[slot] = Some(if slot == Slot::Ocr as usize && is_json(text) {
                json::parse(bytes, limits.ocr_lines).map_err(|f| Fault { field: Some("ocr"), ..f })?
            } else {
                Json::Text(Cow::Borrowed(text))
            });
        }
        row::check(raw, line, limits)
    }
}

/// An OCR cell that holds a JSON list rather than text that happens to start with a bracket.
fn is_json(cell: &str) -> bool {
    let rest = cell.trim_start().strip_prefix('[').map(str::trim_start);
    rest.is_some_and(|r| r.starts_with(['{', '"']) || r.trim_end() == "]")
}

fn bad_record(cut: &Cut, limit: usize) -> Fault {
    match cut {
        Cut::OpenQuote => Fault::new("unclosed_quote", "a quote is opened in this row and never closed"),
        _ => Fault::new(
            "row_too_large",
            format!("the row is longer than {limit} bytes or {MAX_COLUMNS} columns and was skipped"),
        ),
    }
}

/// Finds the column of each field: by the map first, by the usual names otherwise.
fn columns(names: &[String], options: &ReadOptions) -> Result<[Option<usize>; Slot::COUNT], Fault> {
    let find = |wanted: &str| {
        let mut hits = names.iter().enumerate().filter(|(_, n)| n.eq_ignore_ascii_case(wanted.trim()));
        match (hits.next(), hits.next()) {
            (Some(_), Some(_)) => {
                Err(Fault::new("duplicate_column", format!("column {} appears twice", shown(wanted))))
            }
            (hit, _) => Ok(hit.map(|(i, _)| i)),
        }
    };
    let mut out = [None; Slot::COUNT];
    let mut mapped = [false; Slot::COUNT];
    for (field, column) in &options.columns {
        let Some((_, slot)) = KEYS.iter().find(|(_, s)| s.name() == field) else {
            let message = format!("the column map names {}, which is no field of a sample", shown(field));
            return Err(Fault::new("unknown_field", message));
        };
        let at = find(column)?.ok_or_else(|| missing(slot.name(), column, names))?;
        out[*slot as usize] = Some(at);
        mapped[*slot as usize] = true;
    }
    for (name, slot) in KEYS {
        let i = slot as usize;
        if !mapped[i] && out[i].is_none() {
            out[i] = find(name)?;
        }
    }
    if out[Slot::Id as usize].is_none() {
        return Err(missing("id", "id", names));
    }
    Ok(out)
}

fn missing(field: &'static str, column: &str, names: &[String]) -> Fault {
    let message = format!("no column {}; the header has {}", shown(column), shown(&names.join(", ")));
    Fault::field("missing_column", field, message)
}
