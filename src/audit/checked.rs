//! Labels that people checked, drawn at random: what they say of all the others.

use std::collections::HashMap;
use std::path::Path;

use super::input::tables::{Format, id_column, numbers_of, table, texts};
use super::input::{Input, InputError, distinct, fault};
use crate::detect::value::{Left, Stratum, labels_left};
use crate::detect::{DetectError, ScanOutput};

/// Standard deviations of a 95 % interval.
const Z: f64 = 1.96;

/// (row, the label was found wrong); every row once.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked(Vec<(usize, bool)>);

/// Wrong labels among those that nobody checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByChecks {
    pub checked: usize,
    pub wrong: usize,
    /// The interval is one of 95 %.
    pub left: Left,
}

impl Checked {
    /// Reads a table with the columns `id` (row numbers where the labels have none) and `wrong`
    /// (true or false, 1 or 0).
    ///
    /// # Errors
    /// Missing columns, an id twice or of no sample, another value.
    pub fn read(path: &Path, input: &Input) -> Result<Self, InputError> {
        let mut columns = table(path, Format::of(path)?)?;
        let Some(at) = id_column(&columns) else { return Err(fault(path, "no column is called id")) };
        let (name, values) = columns.swap_remove(at);
        let ids = texts(path, &name, values)?;
        distinct(path, Some(&ids))?;
        let Some((_, values)) = columns.into_iter().find(|(c, _)| c.eq_ignore_ascii_case("wrong")) else {
            return Err(fault(path, "no column is called wrong"));
        };
        let wrong = match numbers_of(&values) {
            Some(numbers) => numbers.into_iter().map(|v| v.to_string()).collect(),
            None => texts(path, "wrong", values)?,
        };
        let rows: HashMap<String, usize> = (0..input.labels.len()).map(|i| (input.id(i), i)).collect();
        let one = |(row, (id, wrong)): (usize, (String, String))| {
            let sample = rows.get(&id).copied();
            let sample =
                sample.ok_or_else(|| fault(path, &format!("row {row} is {id:?}, which is no sample")))?;
            match wrong.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" => Ok((sample, true)),
                "0" | "false" | "no" => Ok((sample, false)),
                _ => {
                    Err(fault(path, &format!("column \"wrong\": row {row} is {wrong:?}, not true or false")))
                }
            }
        };
        ids.into_iter().zip(wrong).enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Flagged and other labels are two strata: either may have been drawn from more often.
    ///
    /// # Errors
    /// None but those of [`labels_left`].
    pub fn left(&self, scan: &ScanOutput<'_>) -> Result<ByChecks, DetectError> {
        let mut strata = [Stratum { remaining: 0, audited: 0, wrong: 0 }; 2];
        (0..scan.len()).for_each(|i| strata[usize::from(scan.flagged(i))].remaining += 1);
        for &(i, wrong) in &self.0 {
            let of = &mut strata[usize::from(scan.flagged(i))];
            of.remaining -= 1;
            of.audited += 1;
            of.wrong += usize::from(wrong);
        }
        let wrong = self.0.iter().filter(|c| c.1).count();
        Ok(ByChecks { checked: self.0.len(), wrong, left: labels_left(&strata, Z)? })
    }
}
