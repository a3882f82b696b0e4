//! A teacher's word on samples without labels, for a student to learn: soft, hard or blended targets, by
//! default of all of them, or only the surest that top up small classes. The teachers' mean is
//! [`super::ensemble::blend`]; block by block, so that a million samples need the memory of a block.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{TrainError, check_length};
use super::linear::argmax_rows;
use super::temperature::apply_temperature;

/// Targets (rows, K) of a block of the teacher's probabilities `p`: (1 - `hard_share`) p^(1/T) scaled to sum
/// 1, plus `hard_share` on the arg-max. `hard_share` 0 = soft, 1 = hard. T > 1 tells more of the teacher's
/// doubts, and at T = 1 `p` is taken as it is. Rows sum to 1. O(rows x K).
///
/// # Errors
/// A temperature that is not a finite number > 0, a share outside [0, 1].
pub fn targets(p: ArrayView2<'_, f32>, temperature: f32, hard_share: f32) -> Result<Array2<f32>, TrainError> {
    let wrong = |name, value: f32, rule| Err(TrainError::Param { name, value: value.into(), rule });
    if !(temperature > 0.0 && temperature.is_finite()) {
        return wrong("temperature", temperature, "it must be a finite number > 0");
    }
    if !(0.0..=1.0).contains(&hard_share) {
        return wrong("hard_share", hard_share, "it must lie in [0, 1]");
    }
    let mut out = p.to_owned();
    if temperature != 1.0 {
        apply_temperature(&mut out, temperature);
    }
    if hard_share > 0.0 {
        for (mut row, class) in out.rows_mut().into_iter().zip(argmax_rows(p)) {
            row.mapv_inplace(|v| v * (1.0 - hard_share));
            row[class] += hard_share;
        }
    }
    Ok(out)
}

/// What the teacher says of one sample, for choosing among many: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    pub class: u32,
    /// Probability of that class.
    pub confidence: f32,
}

/// The arg-max and its probability of each row of `p` (rows, K). O(rows x K).
pub fn judged(p: ArrayView2<'_, f32>) -> Vec<Judged> {
    let best = argmax_rows(p);
    best.into_iter()
        .zip(p.rows())
        .map(|(class, row)| Judged { class: class as u32, confidence: row[class] })
        .collect()
}

/// The rows that top up small classes: for each class with fewer than `wanted` labelled samples (`counts`,
/// (K)) as many as it lacks of those judged so, the surest first (of equals the first), but none below
/// `least` confidence. Ascending. O(N log N).
///
/// # Errors
/// A judgement of a class without a count; `least` outside [0, 1].
pub fn top_up(judged: &[Judged], counts: &[u64], wanted: u64, least: f32) -> Result<Vec<u32>, TrainError> {
    if !(0.0..=1.0).contains(&least) {
        let rule = "it must lie in [0, 1]";
        return Err(TrainError::Param { name: "least confidence", value: least.into(), rule });
    }
    let classes = judged.iter().map(|j| j.class as usize + 1).max().unwrap_or(0);
    check_length("counts of the classes", classes.max(counts.len()), counts.len())?;
    let mut lacking: Vec<u64> = counts.iter().map(|&n| wanted.saturating_sub(n)).collect();
    let mut rows: Vec<u32> =
        (0..judged.len() as u32).filter(|&r| judged[r as usize].confidence >= least).collect();
    rows.sort_by(|&a, &b| judged[b as usize].confidence.total_cmp(&judged[a as usize].confidence));
    rows.retain(|&row| {
        let lacking = &mut lacking[judged[row as usize].class as usize];
        let taken = *lacking > 0;
        *lacking -= u64::from(taken);
        taken
    });
    rows.sort_unstable();
    Ok(rows)
}

/// Whether teachers have something to teach a student.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Teaching {
    /// Several teachers.
    Ensemble,
    /// One teacher of another family: to be warned of, it gains little.
    SingleTeacher,
    /// One teacher of the student's own family: to be refused, it only repeats its own mistakes.
    SelfDistillation,
    /// Nobody teaches: to be refused.
    NoTeacher,
}

impl Teaching {
    /// Of the families of the teachers and of the student.
    pub fn of<F: PartialEq>(teachers: &[F], student: &F) -> Self {
        match teachers {
            [] => Self::NoTeacher,
            [one] if one == student => Self::SelfDistillation,
            [_] => Self::SingleTeacher,
            _ => Self::Ensemble,
        }
    }

    pub fn refused(self) -> bool {
        matches!(self, Self::SelfDistillation | Self::NoTeacher)
    }

    pub fn warned(self) -> bool {
        self == Self::SingleTeacher
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn targets_by_hand() {
        let p = array![[0.64f32, 0.32, 0.04]];
        assert_eq!(targets(p.view(), 1.0, 0.0).unwrap(), p);
        assert_eq!(targets(p.view(), 1.0, 1.0).unwrap(), array![[1.0f32, 0.0, 0.0]]);
        // square roots 0.8, 0.56569, 0.2; sum 1.56569; half of each, and half on the first
        let t = targets(p.view(), 2.0, 0.5).unwrap();
        for (got, want) in t.iter().zip([0.755_479, 0.180_652, 0.063_870]) {
            assert!((got - want).abs() < 1e-5, "{t}");
        }
        assert!(targets(p.view(), 0.0, 0.0).is_err() && targets(p.view(), 1.0, 1.1).is_err());
    }

    #[test]
    fn small_classes_are_topped_up_by_the_surest() {
        let j = |class, confidence| Judged { class, confidence };
        let all = [j(0, 0.9), j(1, 0.6), j(1, 0.8), j(1, 0.7), j(2, 0.3), j(1, 0.8)];
        // class 0 has enough, class 1 lacks two, class 2 lacks three but is unsure
        assert_eq!(top_up(&all, &[5, 3, 2], 5, 0.5).unwrap(), [2, 5]);
        assert_eq!(top_up(&all, &[5, 2, 2], 5, 0.0).unwrap(), [2, 3, 4, 5]);
        assert!(top_up(&all, &[5, 3], 5, 0.5).is_err() && top_up(&all, &[5, 3, 2], 5, 1.5).is_err());
        let p = array![[0.2f32, 0.8], [0.6, 0.4]];
        assert_eq!(judged(p.view()), [j(1, 0.8), j(0, 0.6)]);
    }

    #[test]
    fn one_model_does_not_teach_itself() {
        assert_eq!(Teaching::of(&["dual"], &"dual"), Teaching::SelfDistillation);
        assert!(Teaching::of(&["dual"], &"dual").refused() && Teaching::of::<&str>(&[], &"dual").refused());
        assert!(Teaching::of(&["dual"], &"mlp").warned() && !Teaching::of(&["dual"], &"mlp").refused());
        let several = Teaching::of(&["dual", "dual"], &"dual");
        assert!(several == Teaching::Ensemble && !several.refused() && !several.warned());
    }

    proptest! {
        #[test]
        fn targets_sum_to_one_and_keep_the_arg_max(
            row in prop::collection::vec(0.001f32..1.0, 2..8),
            temperature in 0.3f32..5.0,
            hard in 0.0f32..=1.0,
        ) {
            let sum: f32 = row.iter().sum();
            let p = Array2::from_shape_fn((1, row.len()), |(_, c)| row[c] / sum);
            let t = targets(p.view(), temperature, hard).unwrap();
            prop_assert!((t.sum() - 1.0).abs() < 1e-4);
            let best = argmax_rows(p.view())[0];
            prop_assert!(t.iter().all(|v| *v <= t[[0, best]] + 1e-6));
        }

        #[test]
        fn quotas_are_met_and_never_passed(
            rows in prop::collection::vec((0u32..4, 0.0f32..1.0), 0..100),
            counts in prop::collection::vec(0u64..20, 4),
            wanted in 0u64..25,
            least in 0.0f32..1.0,
        ) {
            let all: Vec<Judged> = rows.iter().map(|&(class, confidence)| Judged { class, confidence }).collect();
            let taken = top_up(&all, &counts, wanted, least).unwrap();
            prop_assert!(taken.windows(2).all(|w| w[0] < w[1]));
            for class in 0..4u32 {
                let of = |r: &u32| all[*r as usize].class == class;
                let sure = all.iter().filter(|j| j.class == class && j.confidence >= least).count() as u64;
                let n = taken.iter().filter(|r| of(r)).count() as u64;
                prop_assert_eq!(n, sure.min(wanted.saturating_sub(counts[class as usize])));
                let lowest = taken.iter().filter(|r| of(r)).map(|r| all[*r as usize].confidence).fold(2.0, f32::min);
                let left = (0..all.len() as u32).filter(|r| of(r) && !taken.contains(r));
                let highest = left.map(|r| all[r as usize].confidence).filter(|c| *c >= least).fold(-1.0, f32::max);
                prop_assert!(n == 0 || highest <= lowest);
            }
        }
    }
}
