//! Cuts a JSON file into rows without holding more than one: lines, or the elements of one array.
//!
//! The array splitter knows only strings and brackets. After a row whose string is not closed on its
//! line it finds the next element by the indentation that the broken one started with.

use std::io::{self, BufRead, Read};

use super::super::error::Fault;
use super::{Source, fill};

/// What came next in the file, with the line where it starts.
pub(super) enum Frame {
    /// The row's bytes are in the buffer.
    Row(u64),
    Fault(Fault, u64),
    /// Reading failed; nothing follows.
    Failed(io::Error, u64),
    End,
}

fn too_large(limit: usize) -> Fault {
    Fault::new("row_too_large", format!("the row is longer than {limit} bytes and was skipped"))
}

/// JSON lines. Blank lines are passed over.
pub(super) struct Lines {
    source: Source,
    line: u64,
}

impl Lines {
    pub(super) fn new(source: Source) -> Self {
        Self { source, line: 0 }
    }

    pub(super) fn next(&mut self, row: &mut Vec<u8>, limit: usize) -> Frame {
        loop {
            row.clear();
            self.line += 1;
            match self.source.by_ref().take(limit as u64 + 1).read_until(b'\n', row) {
                Err(e) => return Frame::Failed(e, self.line),
                Ok(0) => return Frame::End,
                Ok(_) => {}
            }
            if row.len() > limit && row.last() != Some(&b'\n') {
                return match self.source.skip_until(b'\n') {
                    Ok(_) => Frame::Fault(too_large(limit), self.line),
                    Err(e) => Frame::Failed(e, self.line),
                };
            }
            // The line end is no part of the row: a row cut short ends on its own line.
            if row.last() == Some(&b'\n') {
                row.pop();
            }
            if !row.iter().all(u8::is_ascii_whitespace) {
                return Frame::Row(self.line);
            }
        }
    }
}

/// The elements of one JSON array.
pub(super) struct Array {
    source: Source,
    line: u64,
    phase: Phase,
    /// Indentation at which the reader stands after finding its way back.
    blanks: Option<usize>,
}

enum Phase {
    /// Before the opening bracket.
    Before,
    Inside,
    /// Looking for a line with this indentation and an opening brace.
    Lost(usize),
    /// Behind the closing bracket.
    After,
    Ended,
}

/// How far the scan of one element got.
#[derive(Default)]
struct Scan {
    started: bool,
    start_line: u64,
    /// Column of the first character when the element is the first thing on its line.
    indent: Option<usize>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    overflow: bool,
}

enum Cut {
    /// The element ends before this byte, which is consumed; the array ends too if it says so.
    Element { array_ends: bool },
    /// A string ran into the end of its line.
    OpenString,
}

impl Array {
    pub(super) fn new(source: Source) -> Self {
        Self { source, line: 1, phase: Phase::Before, blanks: None }
    }

    pub(super) fn next(&mut self, row: &mut Vec<u8>, limit: usize) -> Frame {
        let line = self.line;
        self.advance(row, limit).unwrap_or_else(|e| Frame::Failed(e, line))
    }

    fn advance(&mut self, row: &mut Vec<u8>, limit: usize) -> io::Result<Frame> {
        match self.phase {
            Phase::Before => self.skip_to_bracket()?,
            Phase::Lost(indent) => {
                if !self.find_indent(indent)? {
                    self.phase = Phase::Ended;
                }
            }
            Phase::Inside | Phase::After | Phase::Ended => {}
        }
        match self.phase {
            Phase::Ended => Ok(Frame::End),
            Phase::After => self.behind(),
            _ => self.element(row, limit),
        }
    }

    fn skip_to_bracket(&mut self) -> io::Result<()> {
        loop {
            let chunk = fill(&mut self.source)?;
            let Some(&b) = chunk.first() else {
                self.phase = Phase::Ended;
                return Ok(());
            };
            self.source.consume(1);
            self.line += u64::from(b == b'\n');
            if b == b'[' {
                self.phase = Phase::Inside;
                return Ok(());
            }
        }
    }

    /// Anything but white space behind the array is an error, once.
    fn behind(&mut self) -> io::Result<Frame> {
        loop {
            let chunk = fill(&mut self.source)?;
            if chunk.is_empty() {
                self.phase = Phase::Ended;
                return Ok(Frame::End);
            }
            let stop = chunk.iter().position(|b| !b.is_ascii_whitespace());
            let seen = stop.unwrap_or(chunk.len());
            self.line += chunk[..seen].iter().filter(|&&b| b == b'\n').count() as u64;
            self.source.consume(seen);
            if stop.is_some() {
                self.phase = Phase::Ended;
                let fault = Fault::new("trailing_data", "there is more behind the end of the JSON array");
                return Ok(Frame::Fault(fault, self.line));
            }
        }
    }

    /// Moves to a line that starts with `indent` blanks and a brace. False at the end of the file.
    /// Called right behind a line end.
    fn find_indent(&mut self, indent: usize) -> io::Result<bool> {
        let mut blanks = Some(0);
        loop {
            let chunk = fill(&mut self.source)?;
            if chunk.is_empty() {
                return Ok(false);
            }
            let mut found = None;
            let mut lines = 0;
            for (i, &b) in chunk.iter().enumerate() {
                match (b, blanks) {
                    (b'\n', _) => {
                        lines += 1;
                        blanks = Some(0);
                    }
                    (b' ' | b'\t', Some(n)) => blanks = Some(n + 1),
                    (b'{', Some(n)) if n == indent => {
                        found = Some(i);
                        break;
                    }
                    _ => blanks = None,
                }
            }
            let consumed = found.unwrap_or(chunk.len());
            self.source.consume(consumed);
            self.line += lines;
            if found.is_some() {
                self.phase = Phase::Inside;
                self.blanks = Some(indent);
                return Ok(true);
            }
        }
    }

    fn element(&mut self, row: &mut Vec<u8>, limit: usize) -> io::Result<Frame> {
        row.clear();
        let mut scan = Scan { start_line: self.line, ..Scan::default() };
        // Blanks since the last line end; `None` once something else stood on the line.
        let mut blanks = self.blanks.take();
        loop {
            let chunk = fill(&mut self.source)?;
            if chunk.is_empty() {
                self.phase = Phase::Ended;
                return Ok(truncated(&scan, self.line));
            }
            let mut from = 0;
            let mut cut = None;
            for (i, &b) in chunk.iter().enumerate() {
                if !scan.started {
                    match b {
                        b'\n' => {
                            self.line += 1;
                            blanks = Some(0);
                        }
                        b' ' | b'\t' => blanks = blanks.map(|n| n + 1),
                        b'\r' => {}
                        b',' => blanks = None,
                        b']' => {
                            self.source.consume(i + 1);
                            self.phase = Phase::After;
                            return self.behind();
                        }
                        _ => {
                            scan = Scan {
                                started: true,
                                start_line: self.line,
                                indent: blanks,
                                ..Scan::default()
                            };
                            from = i;
                        }
                    }
                    if !scan.started {
                        continue;
                    }
                }
                if scan.in_string {
                    match b {
                        _ if scan.escaped => scan.escaped = false,
                        b'\\' => scan.escaped = true,
                        b'"' => scan.in_string = false,
                        b'\n' => {
                            self.line += 1;
                            cut = Some((i, Cut::OpenString));
                            break;
                        }
                        _ => {}
                    }
                    continue;
                }
                match b {
                    b'"' => scan.in_string = true,
                    b'{' | b'[' => scan.depth += 1,
                    b'\n' => self.line += 1,
                    b',' | b']' if scan.depth == 0 => {
                        cut = Some((i, Cut::Element { array_ends: b == b']' }));
                        break;
                    }
                    b'}' | b']' => scan.depth = scan.depth.saturating_sub(1),
                    _ => {}
                }
            }
            let end = cut.as_ref().map_or(chunk.len(), |(i, _)| *i);
            if scan.started && !scan.overflow {
                let part = &chunk[from..end];
                scan.overflow = row.len() + part.len() > limit;
                if !scan.overflow {
                    row.extend_from_slice(part);
                }
            }
            self.source.consume(cut.as_ref().map_or(end, |_| end + 1));
            if let Some((_, cut)) = cut {
                return Ok(self.finish(cut, &scan, limit));
            }
        }
    }

    fn finish(&mut self, cut: Cut, scan: &Scan, limit: usize) -> Frame {
        match cut {
            Cut::Element { array_ends } => {
                if array_ends {
                    self.phase = Phase::After;
                }
                if scan.overflow {
                    Frame::Fault(too_large(limit), scan.start_line)
                } else {
                    Frame::Row(scan.start_line)
                }
            }
            Cut::OpenString => {
                let at = self.line - 1;
                let message = match scan.indent {
                    Some(indent) => {
                        self.phase = Phase::Lost(indent);
                        format!("a string is not closed on line {at}")
                    }
                    None => {
                        self.phase = Phase::Ended;
                        format!("a string is not closed on line {at}; the rest of the file was not read")
                    }
                };
                Frame::Fault(Fault::new("bad_json", message), scan.start_line)
            }
        }
    }
}

fn truncated(scan: &Scan, line: u64) -> Frame {
    if scan.started {
        let message = format!(
            "the file ends on line {line}, inside the array element that starts on line {}",
            scan.start_line
        );
        Frame::Fault(Fault::new("truncated_json", message), scan.start_line)
    } else {
        let message = format!("the file ends on line {line} before the JSON array is closed");
        Frame::Fault(Fault::new("truncated_json", message), line)
    }
}
