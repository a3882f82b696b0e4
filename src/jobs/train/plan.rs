//! What a training is to do: a recipe, and perhaps models that are there already as its teachers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::jobs::JobError;
use crate::train::Recipe;
use crate::train::recipe::{Distil, Family, StageKind};

/// Learning from models that were trained before, on the dataset's unlabelled samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Trainings of this dataset whose models teach; one that is itself an ensemble counts as its models.
    pub teachers: Vec<Uuid>,
    /// Of the teachers' probabilities, in (0, 100].
    pub temperature: f32,
    /// Weight of the teachers' arg-max in a target, the rest being their probabilities; in [0, 1].
    pub hard_share: f32,
    /// Classes with fewer labels than this are topped up to it by the surest pseudo-labels, and no others are
    /// used; 0: all pseudo-labels.
    pub quota: usize,
    /// Students, one after the other; each but the last joins the teachers of the next. 1 to 100.
    pub rounds: usize,
    /// Goes on with the student on the labels alone.
    pub finetune: bool,
}

impl Distillation {
    /// With the recipes' defaults.
    pub fn of(teachers: Vec<Uuid>) -> Self {
        let Distil { temperature, hard_share, quota, rounds } = Distil::default();
        Self { teachers, temperature, hard_share, quota, rounds, finetune: false }
    }

    fn distil(&self) -> Distil {
        Distil {
            temperature: self.temperature,
            hard_share: self.hard_share,
            quota: self.quota,
            rounds: self.rounds,
        }
    }
}

/// Who teaches.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Teachers {
    /// Models to be trained first.
    New(Vec<Recipe>),
    /// Those of earlier trainings.
    Trained(Vec<Uuid>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// One model, or several whose probabilities are averaged.
    Models(Vec<Recipe>),
    Students {
        teachers: Teachers,
        student: Box<Recipe>,
        distil: Distil,
        finetune: bool,
    },
}

fn refused<T>(field: &'static str, why: impl Into<String>) -> Result<T, JobError> {
    Err(JobError::Refused { field, why: why.into() })
}

impl Plan {
    /// Refuses what cannot be trained, by the field to blame.
    pub(super) fn of(recipe: &Recipe, distillation: Option<&Distillation>) -> Result<Self, JobError> {
        if let Some(d) = distillation {
            return Self::from_trained(recipe, d);
        }
        if recipe.stage.is_empty() {
            return Ok(Self::Models(recipe.models()));
        }
        let named = |kind: StageKind| {
            let stage = recipe.stage.iter().find(|s| s.kind == kind)?;
            let named = Recipe::preset(&stage.recipe).ok()?;
            Some(Recipe { folds: recipe.folds, holdout: recipe.holdout, ..named })
        };
        let (Some(teachers), Some(student)) = (named(StageKind::Teachers), named(StageKind::Distil)) else {
            return refused(
                "recipe",
                "stage.kind must be teachers, distil and perhaps finetune, in this order",
            );
        };
        Ok(Self::Students {
            teachers: Teachers::New(teachers.models()),
            student: Box::new(student),
            distil: recipe.distil.clone(),
            finetune: named(StageKind::Finetune).is_some(),
        })
    }

    fn from_trained(student: &Recipe, d: &Distillation) -> Result<Self, JobError> {
        let mut distinct = d.teachers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.is_empty() || distinct.len() < d.teachers.len() {
            return refused("teachers", "name the trainings that teach, each once");
        }
        if student.is_composite() || student.network.family == Family::Logistic || student.seeds.len() > 1 {
            return refused("recipe", "a student is one network with one seed that learns from soft labels");
        }
        if !(d.temperature > 0.0 && d.temperature <= 100.0) {
            return refused("temperature", "must be a number above 0, at most 100");
        }
        if !(0.0..=1.0).contains(&d.hard_share) {
            return refused("hard_share", "must be a number from 0 to 1");
        }
        if !(1..=100).contains(&d.rounds) {
            return refused("rounds", "must be a whole number from 1 to 100");
        }
        Ok(Self::Students {
            teachers: Teachers::Trained(d.teachers.clone()),
            student: Box::new(student.clone()),
            distil: d.distil(),
            finetune: d.finetune,
        })
    }

    /// Every recipe that is trained, in the order in which it is.
    pub(super) fn recipes(&self) -> Vec<&Recipe> {
        match self {
            Self::Models(models) => models.iter().collect(),
            Self::Students { teachers, student, distil, finetune } => {
                let first: Vec<&Recipe> = match teachers {
                    Teachers::New(recipes) => recipes.iter().collect(),
                    Teachers::Trained(_) => Vec::new(),
                };
                let times = distil.rounds + usize::from(*finetune);
                first.into_iter().chain(std::iter::repeat_n(student.as_ref(), times)).collect()
            }
        }
    }

    /// Whether samples without labels are read.
    pub(super) fn reads_unlabelled(&self) -> bool {
        matches!(self, Self::Students { .. })
            || self.recipes().iter().any(|r| r.auxiliary.pretrain_epochs > 0)
    }
}

/// Epochs at most, and as many steps as a logistic head's cross-validation tells.
pub(super) fn steps(recipe: &Recipe) -> usize {
    match recipe.network.family {
        Family::Logistic => recipe.folds + 1,
        _ => recipe.auxiliary.pretrain_epochs + recipe.optimise.epochs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distillation() -> Distillation {
        Distillation::of(vec![Uuid::from_u128(7)])
    }

    #[test]
    fn a_recipe_of_stages_trains_teachers_students_and_the_last_one_again() {
        let plan = Plan::of(&Recipe::preset("winner").unwrap(), None).unwrap();
        let families: Vec<Family> = plan.recipes().iter().map(|r| r.network.family).collect();
        use Family::{Dual, Single};
        // four teachers, two students, the finetuning
        assert_eq!(families, [Single, Single, Dual, Dual, Single, Single, Single]);
        assert!(plan.reads_unlabelled());
        let quick = Plan::of(&Recipe::default(), None).unwrap();
        assert_eq!((quick.recipes().len(), quick.reads_unlabelled()), (1, false));
    }

    #[test]
    fn what_cannot_teach_or_learn_is_refused_by_its_field() {
        let student = Recipe::preset("single").unwrap();
        assert!(Plan::of(&student, Some(&distillation())).is_ok());
        let blamed = |recipe: &Recipe, d: &Distillation| match Plan::of(recipe, Some(d)) {
            Err(JobError::Refused { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(blamed(&Recipe::default(), &distillation()), "recipe");
        assert_eq!(blamed(&Recipe::preset("winner").unwrap(), &distillation()), "recipe");
        let wrong = |change: fn(&mut Distillation)| {
            let mut d = distillation();
            change(&mut d);
            d
        };
        assert_eq!(blamed(&student, &wrong(|d| d.teachers.clear())), "teachers");
        assert_eq!(blamed(&student, &wrong(|d| d.teachers.push(d.teachers[0]))), "teachers");
        assert_eq!(blamed(&student, &wrong(|d| d.temperature = f32::NAN)), "temperature");
        assert_eq!(blamed(&student, &wrong(|d| d.hard_share = 1.5)), "hard_share");
        assert_eq!(blamed(&student, &wrong(|d| d.rounds = 0)), "rounds");
    }
}
