//! `.csv` and `.tsv`.

use std::path::Path;

use super::{Columns, ColumnsError, KNOWN, Values};

/// Reads a `.csv` or `.tsv` file. A first row is the header when it has a [`KNOWN`] name, an empty first
/// cell or counts 0, 1, 2, … over several columns, or when it has no numbers but numbers below it; without
/// one the columns are named 0, 1, 2, … A column of whole numbers is [`Values::Whole`], of numbers
/// [`Values::Double`] (a cell without anything in it is NaN), else text.
///
/// # Errors
/// Rows of different lengths, text that is not UTF-8, a file without rows; with line numbers.
pub fn read_csv(path: &Path) -> Result<Columns, ColumnsError> {
    let tabs = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(if tabs { b'\t' } else { b',' })
        .from_path(path)?;
    let mut names: Option<Vec<String>> = None;
    let mut surely = false;
    let mut cells: Vec<Vec<String>> = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let record = record?;
        let fields: Vec<String> =
            record.iter().map(|c| c.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        if at == 0 {
            cells = vec![Vec::new(); fields.len()];
            let known = fields.iter().any(|f| KNOWN.iter().any(|k| f.eq_ignore_ascii_case(k)));
            // 0, 1, 2, … is what pandas writes above columns without names
            let counted = fields.len() > 1 && fields.iter().enumerate().all(|(i, f)| *f == i.to_string());
            let index = fields.first().is_some_and(String::is_empty);
            surely = known || counted || index;
            if surely || fields.iter().all(|c| c.parse::<f64>().is_err()) {
                names = Some(fields);
                continue;
            }
        }
        cells.iter_mut().zip(fields).for_each(|(column, c)| column.push(c));
    }
    if !surely
        && !cells.iter().any(|column| matches!(numeric(column), Some(Values::Whole(_) | Values::Double(_))))
    {
        // text above text: a row like the others
        let first = names.take().unwrap_or_default();
        cells.iter_mut().zip(first).for_each(|(column, c)| column.insert(0, c));
    }
    if cells.first().is_none_or(Vec::is_empty) {
        return Err(ColumnsError::Empty);
    }
    let names = names.unwrap_or_else(|| (0..cells.len()).map(|c| c.to_string()).collect());
    let values = |column: Vec<String>| numeric(&column).unwrap_or(Values::Text(column));
    Ok(names.into_iter().zip(cells.into_iter().map(values)).collect())
}

/// The column as numbers, if it has any and all of its cells are numbers or empty.
fn numeric(cells: &[String]) -> Option<Values> {
    if cells.iter().all(String::is_empty) {
        return None;
    }
    if let Some(whole) = cells.iter().map(|c| c.parse::<i64>().ok().map(i128::from)).collect() {
        return Some(Values::Whole(whole));
    }
    let number = |c: &String| if c.is_empty() { Some(f64::NAN) } else { c.parse::<f64>().ok() };
    cells.iter().map(number).collect::<Option<Vec<f64>>>().map(Values::Double)
}
