//! The check that nothing of the test part is ever trained on: no sample of it, no near-duplicate of one, no gold.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{TrainError, check_length};

/// Why a sample must not be trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeakKind {
    /// It is in the test part.
    Test,
    /// Its label is verified by two people: kept for measuring.
    Gold,
    /// A near-duplicate of it is in the test part.
    NearDuplicate,
}

/// A training row that must not be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Leak {
    pub row: u32,
    pub kind: LeakKind,
    /// The test row it gives away; itself unless a near-duplicate.
    pub of: u32,
}

/// Everything that may not be trained on, by row (N each).
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub test: &'a [bool],
    pub gold: &'a [bool],
    /// Group of near-duplicates, where there is one.
    pub group: &'a [Option<u32>],
}

impl Held<'_> {
    /// What is wrong with training on `rows`, in their order, one leak a row: in the test part, gold, or a
    /// near-duplicate of a test row (the first of the group). None is as it must be. O(N + rows).
    ///
    /// # Errors
    /// Lengths that differ; a row out of range.
    pub fn leaks(&self, rows: &[u32]) -> Result<Vec<Leak>, TrainError> {
        let n = self.test.len();
        check_length("gold", n, self.gold.len())?;
        check_length("groups", n, self.group.len())?;
        if let Some(&row) = rows.iter().find(|&&row| row as usize >= n) {
            let rule = "there is no such sample";
            return Err(TrainError::Param { name: "training row", value: row.into(), rule });
        }
        let mut tested = HashMap::<u32, u32>::new();
        for row in (0..n).filter(|&row| self.test[row]) {
            if let Some(group) = self.group[row] {
                tested.entry(group).or_insert(row as u32);
            }
        }
        let leak = |&row: &u32| {
            let at = row as usize;
            let copy = self.group[at].and_then(|g| tested.get(&g));
            match (self.test[at], self.gold[at], copy) {
                (true, ..) => Some(Leak { row, kind: LeakKind::Test, of: row }),
                (_, true, _) => Some(Leak { row, kind: LeakKind::Gold, of: row }),
                (.., Some(&of)) => Some(Leak { row, kind: LeakKind::NearDuplicate, of }),
                _ => None,
            }
        };
        Ok(rows.iter().filter_map(leak).collect())
    }

    /// Those of `rows` that may be trained on, in their order. Cost and errors as [`leaks`](Self::leaks).
    pub fn allowed(&self, rows: &[u32]) -> Result<Vec<u32>, TrainError> {
        let leaks = self.leaks(rows)?;
        let mut leaks = leaks.iter().peekable();
        Ok(rows.iter().copied().filter(|&row| leaks.next_if(|l| l.row == row).is_none()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::holdout_split;
    use proptest::prelude::*;

    #[test]
    fn leaks_by_hand() {
        let held = Held {
            test: &[true, false, false, false, false, true],
            gold: &[false, false, true, false, false, true],
            group: &[Some(7), Some(7), Some(9), Some(9), None, None],
        };
        let leak = |row, kind, of| Leak { row, kind, of };
        let want = [
            leak(5, LeakKind::Test, 5),
            leak(1, LeakKind::NearDuplicate, 0),
            leak(2, LeakKind::Gold, 2),
            leak(0, LeakKind::Test, 0),
        ];
        assert_eq!(held.leaks(&[5, 4, 1, 2, 3, 0]).unwrap(), want);
        assert_eq!(held.allowed(&[5, 4, 1, 2, 3, 0]).unwrap(), [4, 3]);
        assert!(held.leaks(&[6]).is_err() && Held { gold: &[], ..held }.leaks(&[]).is_err());
    }

    proptest! {
        /// No sample, near-duplicate or gold sample of the test part is ever trained on.
        #[test]
        fn what_may_be_trained_on_gives_nothing_away(
            rows in prop::collection::vec((0usize..4, 0u32..30, any::<bool>()), 1..150),
            seed: u64,
        ) {
            let y: Vec<usize> = rows.iter().map(|r| r.0).collect();
            let groups: Vec<u32> = rows.iter().map(|r| r.1).collect();
            let gold: Vec<bool> = rows.iter().map(|r| r.2).collect();
            let all: Vec<u32> = (0..y.len() as u32).collect();
            let ids: Vec<i64> = (0..y.len() as i64).collect();
            let test = holdout_split(&ids, &y, 4, &groups, 0.2, seed);
            let group: Vec<Option<u32>> = groups.iter().copied().map(Some).collect();
            let held = Held { test: &test, gold: &gold, group: &group };
            for row in held.allowed(&all).unwrap() {
                let at = row as usize;
                prop_assert!(!test[at] && !gold[at]);
                prop_assert!((0..y.len()).all(|i| !test[i] || groups[i] != groups[at]));
            }
            // the split itself never parts a group
            let training: Vec<u32> = all.iter().copied().filter(|r| !test[*r as usize]).collect();
            let found = Held { gold: &vec![false; y.len()], ..held }.leaks(&training).unwrap();
            prop_assert!(found.is_empty(), "{found:?}");
            // and any row moved over from the test part is found
            if let Some(&spy) = all.iter().find(|r| test[**r as usize]) {
                let found = held.leaks(&[spy]).unwrap();
                prop_assert_eq!(found, [Leak { row: spy, kind: LeakKind::Test, of: spy }]);
            }
        }
    }
}
