//! Annotation files, streamed: JSON arrays, JSON lines and CSV become checked [`Row`]s.
//!
//! Memory is bounded by one row (`Limits::row_bytes`) whatever the size of the file. A bad row is an
//! `Err` in the stream and the reader goes on with the next one wherever it can find it again; only a
//! file that cannot be read at all (no header, not UTF-8 throughout, I/O error) ends after its error.
//! Accepted: the WeChat challenge's shape (`id, title, asr, ocr:[{time,text}], category_id`) and the
//! superset with `video`, `label` (null or empty = unlabelled) and `split`; other keys are ignored.

pub(super) mod csv;
mod frames;
mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use crate::domain::{OcrLine, Split};

use super::error::Fault;
pub use super::error::RowError;
use frames::{Array, Frame, Lines};

/// One sample as it came in. A text is `None` where the row (or the whole file) does not speak of it,
/// and empty where it says that there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where the row starts, from 1.
    pub line: u64,
    pub external_id: String,
    pub title: Option<String>,
    pub asr: Option<String>,
    pub ocr: Option<Vec<OcrLine>>,
    /// Class id as written; `None` = unlabelled. Not checked against any taxonomy here.
    pub label: Option<String>,
    /// Path of the media relative to the media folder, not yet resolved (see `media_path`).
    pub video: Option<String>,
    pub split: Option<Split>,
}

impl Row {
    /// The OCR lines as a JSON array.
    pub fn ocr_json(&self) -> Option<String> {
        let lines = self.ocr.as_ref()?;
        Some(serde_json::to_string(lines).unwrap_or_else(|_| "[]".into()))
    }
}

/// How the rows are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By the file name's extension; between JSON and JSON lines the first byte decides.
    #[default]
    Auto,
    Json,
    Jsonl,
    Csv,
}

/// Largest accepted values; beyond them a row is an error, never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one row as written; a longer one is skipped without being held in memory.
    pub row_bytes: usize,
    pub id_bytes: usize,
    pub label_bytes: usize,
    pub video_bytes: usize,
    pub title_chars: usize,
    pub asr_chars: usize,
    pub ocr_lines: usize,
    pub ocr_line_chars: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            row_bytes: 4 << 20,
            id_bytes: 200,
            label_bytes: crate::domain::taxonomy::MAX_NAME_BYTES,
            video_bytes: 4_096,
            title_chars: 4_096,
            asr_chars: 100_000,
            ocr_lines: 2_000,
            ocr_line_chars: 1_000,
        }
    }
}

/// Settings of a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// CSV only: field (`id, title, asr, ocr, label, video, split`) -> column name in the file.
    pub columns: BTreeMap<String, String>,
    /// CSV only; default comma, or tab for a `.tsv`.
    pub delimiter: Option<u8>,
    pub limits: Limits,
}

/// Streams the rows of `source`. `file_name` is for messages and, with [`Format::Auto`], for the format.
///
/// Never panics on any input. Cost: one pass, one allocation for each text field.
pub fn reader(
    source: Box<dyn Read + Send>,
    file_name: &str,
    format: Format,
    options: &ReadOptions,
) -> Reader {
    Reader {
        file: file_name.to_owned(),
        options: options.clone(),
        state: State::Unopened(source, format),
        buffer: Vec::new(),
        any: false,
    }
}

/// Iterator over the rows of one file; made by [`reader`].
pub struct Reader {
    file: String,
    options: ReadOptions,
    state: State,
    buffer: Vec<u8>,
    /// A row or an error was already given.
    any: bool,
}

enum State {
    Unopened(Box<dyn Read + Send>, Format),
    Lines(Lines),
    Array(Array),
    Csv(csv::Rows),
    Ended,
}

/// Buffered rest of the file behind its first bytes.
type Source = BufReader<io::Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>>;

const HEAD_BYTES: u64 = 8 << 10;
const BUFFER_BYTES: usize = 128 << 10;

impl Reader {
    /// Looks at the first bytes, decides the format and reads a CSV header.
    fn open(&mut self, mut source: Box<dyn Read + Send>, format: Format) -> Result<State, RowError> {
        let mut head = Vec::new();
        source.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(|e| self.failed(&e, 1))?;
        let mut skip = 0;
        if head.starts_with(b"\xef\xbb\xbf") {
            skip = 3;
        } else if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            let fault = Fault::new("not_utf8", "the file looks like UTF-16; save it as UTF-8");
            return Err(fault.at(&self.file, 1));
        }
        let mut cursor = Cursor::new(head);
        cursor.set_position(skip);
        let head = cursor.get_ref();
        let first = head[skip as usize..].iter().copied().find(|b| !b.is_ascii_whitespace());
        let format = match format {
            Format::Auto => detect(&self.file, first),
            given => given,
        };
        if first.is_none() && (head.len() as u64) < HEAD_BYTES {
            return Err(Fault::new("empty_file", "the file is empty").at(&self.file, 1));
        }
        let source = BufReader::with_capacity(BUFFER_BYTES, cursor.chain(source));
        match format {
            Format::Csv => {
                let tab = extension(&self.file) == "tsv";
                let delimiter = self.options.delimiter.unwrap_or(if tab { b'\t' } else { b',' });
                csv::Rows::open(source, delimiter, &self.options)
                    .map(State::Csv)
                    .map_err(|(fault, line)| fault.at(&self.file, line))
            }
            Format::Json if first != Some(b'[') => {
                let fault = Fault::new("bad_json", "not a JSON array: the file should start with '['");
                Err(fault.at(&self.file, 1))
            }
            Format::Json => Ok(State::Array(Array::new(source))),
            Format::Jsonl | Format::Auto => Ok(State::Lines(Lines::new(source))),
        }
    }

    fn failed(&self, e: &io::Error, line: u64) -> RowError {
        Fault::new("read_failed", format!("the file cannot be read: {e}")).at(&self.file, line)
    }

    /// The next row or error; `None` at the end.
    fn step(&mut self) -> Option<Result<Row, RowError>> {
        let limits = self.options.limits;
        let frame = match &mut self.state {
            State::Ended => return None,
            State::Unopened(..) => {
                let State::Unopened(source, format) = std::mem::replace(&mut self.state, State::Ended) else {
                    return None;
                };
                return match self.open(source, format) {
                    Ok(state) => {
                        self.state = state;
                        self.step()
                    }
                    Err(e) => Some(Err(e)),
                };
            }
            State::Lines(lines) => lines.next(&mut self.buffer, limits.row_bytes),
            State::Array(array) => array.next(&mut self.buffer, limits.row_bytes),
            State::Csv(rows) => {
                let (frame, line) = rows.next(&limits);
                return match frame {
                    csv::Next::Row(row) => Some(row.map_err(|f| f.at(&self.file, line))),
                    csv::Next::Failed(e) => {
                        self.state = State::Ended;
                        Some(Err(self.failed(&e, line)))
                    }
                    csv::Next::End => None,
                };
            }
        };
        let (fault, line) = match frame {
            Frame::Row(line) => {
                let row = row::from_json(&self.buffer, line, &limits);
                return Some(row.map_err(|f| f.at(&self.file, line)));
            }
            Frame::End => return None,
            Frame::Failed(e, line) => {
                self.state = State::Ended;
                return Some(Err(self.failed(&e, line)));
            }
            Frame::Fault(fault, line) => (fault, line),
        };
        Some(Err(fault.at(&self.file, line)))
    }
}

impl Iterator for Reader {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_none() {
            self.state = State::Ended;
            if !self.any {
                self.any = true;
                return Some(Err(Fault::new("empty_file", "the file holds no rows").at(&self.file, 1)));
            }
        }
        self.any = true;
        step
    }
}

fn extension(file_name: &str) -> String {
    file_name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default()
}

/// Extension first; the first byte tells an array from lines, and decides alone for other names.
fn detect(file_name: &str, first: Option<u8>) -> Format {
    match (extension(file_name).as_str(), first) {
        ("csv" | "tsv", _) => Format::Csv,
        (_, Some(b'[')) => Format::Json,
        ("json" | "jsonl" | "ndjson", _) | (_, Some(b'{')) => Format::Jsonl,
        _ => Format::Csv,
    }
}

/// The unread part of the buffer; interrupted reads are tried again.
fn fill(source: &mut Source) -> io::Result<&[u8]> {
    while let Err(e) = source.fill_buf() {
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
    source.fill_buf()
}
