//! The models of a plan, one after the other: members of an ensemble, or teachers and then students.

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Ground;
use super::material::Material;
use super::model::{Aims, Classes, Lesson, Member};
use super::plan::{Plan, Teachers, steps};
use super::split::Rows;
use super::watch::Watch;
use crate::domain::Note;
use crate::jobs::predict::served;
use crate::jobs::{JobError, Services};
use crate::train::ensemble::{blend, diversity, fit_weights};
use crate::train::linear::argmax_rows;
use crate::train::pseudo::{Judged, Teaching, judged, targets, top_up};
use crate::train::recipe::{Distil, Family};
use crate::train::{Recipe, evaluate};

/// What is trained on and told on the way.
pub(super) struct School<'a> {
    pub(super) material: &'a Material,
    /// Of the labelled rows.
    pub(super) y: &'a [usize],
    pub(super) classes: &'a Classes,
    pub(super) rows: &'a Rows,
    pub(super) watch: &'a Watch,
    /// Number of its first network among the job's.
    pub(super) first: usize,
}

/// What earlier trainings say of `rows.valid`, then of `rows.unlabelled`; and their families.
pub(super) struct Heard {
    pub(super) families: Vec<Family>,
    pub(super) probabilities: Vec<Array2<f32>>,
}

impl Heard {
    /// What earlier trainings say of the validation and the unlabelled samples.
    pub(super) async fn ask(
        services: &Services,
        dataset: Uuid,
        trainings: &[Uuid],
        ground: &Ground,
    ) -> Result<Self, JobError> {
        let rows = &ground.rows;
        let asked: Vec<i64> =
            rows.valid.iter().chain(&rows.unlabelled).map(|&i| ground.material.ids[i]).collect();
        let mut heard = Self { families: Vec::new(), probabilities: Vec::new() };
        for &id in trainings {
            let training = services.store.training(dataset, id).await?;
            let broke =
                |why: &dyn std::fmt::Display| JobError::failed("teacher", &[("id", &id), ("why", why)]);
            let model = served(services, &training).await.map_err(|e| broke(&e))?;
            if model.classes != ground.classes.ids {
                return Err(JobError::failed("teacher_classes", &[("id", &id)]));
            }
            heard.probabilities.extend(model.each(services, dataset, &asked).await?);
            for file in &training.models.0 {
                let family = file.recipe.pointer("/network/family").cloned().unwrap_or_default();
                heard.families.push(serde_json::from_value(family).unwrap_or_default());
            }
        }
        Ok(heard)
    }
}

/// The models that are kept, with their weights in the average, and what happened on the way.
pub(super) struct Graduates {
    pub(super) members: Vec<Member>,
    pub(super) weights: Vec<f64>,
    /// Probabilities of each on the held-out rows.
    pub(super) held: Vec<Array2<f32>>,
    pub(super) diversity: Value,
    /// Each stage's score on validation and on what is held out.
    pub(super) stages: Vec<Value>,
    pub(super) pseudo_labels: Option<usize>,
}

impl School<'_> {
    fn of<'r>(&'r self, rows: &'r [usize]) -> Vec<usize> {
        rows.iter().map(|&r| self.y[r]).collect()
    }

    /// Fits one model on the labels.
    fn on_labels(&self, at: usize, recipe: &Recipe, start: Option<&Member>) -> Result<Member, JobError> {
        let (y, valid_y) = (self.of(&self.rows.train), self.of(&self.rows.valid));
        self.fit(
            at,
            recipe,
            &Lesson {
                rows: &self.rows.train,
                aims: Aims::Labels(&y),
                valid: &self.rows.valid,
                valid_y: &valid_y,
                unlabelled: &self.rows.unlabelled,
                start: start.and_then(Member::weights),
            },
        )
    }

    fn fit(&self, at: usize, recipe: &Recipe, lesson: &Lesson<'_>) -> Result<Member, JobError> {
        let mut hooks = self.watch.of(self.first + at, Member::name(recipe), steps(recipe));
        let (material, progress) = (self.material, &self.watch.progress);
        let member = Member::fit(material, recipe, self.classes, lesson, progress, &mut hooks)?;
        if recipe.network.family != Family::Logistic {
            hooks.end();
        }
        Ok(member)
    }

    fn asked(&self, member: &Member, rows: &[usize]) -> Result<Array2<f32>, JobError> {
        self.watch.progress.check()?;
        member.probabilities(self.material, rows)
    }

    fn say(&self, level: &'static str, note: Note) -> Result<(), JobError> {
        self.watch.runtime.block_on(self.watch.progress.log(level, note))
    }

    /// The challenge's score on the validation rows and on what is held out.
    fn stage(&self, name: &str, members: &[&Array2<f32>], weights: &[f64], valid: &[&Array2<f32>]) -> Value {
        let score = |p: &[&Array2<f32>], rows: &[usize]| {
            let views: Vec<ArrayView2<'_, f32>> = p.iter().map(|p| p.view()).collect();
            let mean = blend(&views, weights).ok().filter(|_| !rows.is_empty())?;
            let roots = &self.classes.roots;
            Some(evaluate(&self.of(rows), &argmax_rows(mean.view()), roots, roots.len()).mean_f1)
        };
        json!({"stage": name, "models": members.len(), "validation": score(valid, &self.rows.valid),
            "held_out": score(members, &self.rows.held)})
    }

    /// Trains what the plan says.
    pub(super) fn run(&self, plan: &Plan, heard: Option<Heard>) -> Result<Graduates, JobError> {
        match plan {
            Plan::Models(recipes) => {
                let fit = |(at, r)| self.on_labels(at, r, None);
                let members = recipes.iter().enumerate().map(fit).collect::<Result<Vec<_>, _>>()?;
                self.ensemble(members)
            }
            Plan::Students { teachers, student, distil, finetune } => {
                let teachers = match teachers {
                    Teachers::New(recipes) => {
                        let fit = |(at, r)| self.on_labels(at, r, None);
                        Some(recipes.iter().enumerate().map(fit).collect::<Result<Vec<_>, _>>()?)
                    }
                    Teachers::Trained(_) => None,
                };
                self.students(teachers, heard, student, distil, *finetune)
            }
        }
    }

    /// Weights by the validation's own labels, equal ones without validation.
    fn weigh(&self, valid: &[&Array2<f32>]) -> Result<Vec<f64>, JobError> {
        if valid.len() < 2 || self.rows.valid.is_empty() {
            return Ok(vec![1.0 / valid.len() as f64; valid.len()]);
        }
        let views: Vec<ArrayView2<'_, f32>> = valid.iter().map(|p| p.view()).collect();
        fit_weights(&views, &self.of(&self.rows.valid)).map_err(|e| JobError::broke("stage.train", e))
    }

    fn ensemble(&self, members: Vec<Member>) -> Result<Graduates, JobError> {
        let ask = |rows: &[usize]| members.iter().map(|m| self.asked(m, rows)).collect::<Result<Vec<_>, _>>();
        let held = ask(&self.rows.held)?;
        let mut alike = Value::Null;
        let mut weights = vec![1.0];
        if members.len() > 1 {
            let valid = ask(&self.rows.valid)?;
            weights = self.weigh(&valid.iter().collect::<Vec<_>>())?;
            alike = self.diversity(&valid)?;
        }
        Ok(Graduates { members, weights, held, diversity: alike, stages: Vec::new(), pseudo_labels: None })
    }

    /// How unlike the members' mistakes on validation are; warns when two are alike.
    fn diversity(&self, valid: &[Array2<f32>]) -> Result<Value, JobError> {
        if self.rows.valid.is_empty() {
            return Ok(Value::Null);
        }
        let views: Vec<ArrayView2<'_, f32>> = valid.iter().map(|p| p.view()).collect();
        let d =
            diversity(&views, &self.of(&self.rows.valid)).map_err(|e| JobError::broke("stage.train", e))?;
        if let Some(pair) = d.pairs.iter().find(|p| p.alike) {
            let correlation = format!("{:.2}", pair.error_correlation);
            let note = Note::new("members_alike").with("a", pair.a + 1).with("b", pair.b + 1);
            self.say("warn", note.with("correlation", correlation))?;
        }
        serde_json::to_value(&d).map_err(|e| JobError::broke("stage.train", e))
    }

    fn students(
        &self,
        teachers: Option<Vec<Member>>,
        heard: Option<Heard>,
        student: &Recipe,
        distil: &Distil,
        finetune: bool,
    ) -> Result<Graduates, JobError> {
        let (valid, unlabelled) = (&self.rows.valid, &self.rows.unlabelled);
        if unlabelled.is_empty() {
            return Err(JobError::failed("nothing_unlabelled", &[]));
        }
        // what every teacher says: of the validation, of the unlabelled rows, of what is held out
        let (mut on_valid, mut on_more, mut on_held) = (Vec::new(), Vec::new(), Vec::new());
        let mut families = Vec::new();
        let mut at = 0;
        for teacher in teachers.as_deref().unwrap_or_default() {
            on_valid.push(self.asked(teacher, valid)?);
            on_more.push(self.asked(teacher, unlabelled)?);
            on_held.push(self.asked(teacher, &self.rows.held)?);
            families.push(teacher.recipe.network.family);
            at += 1;
        }
        drop(teachers);
        if let Some(heard) = heard {
            for p in heard.probabilities {
                let (first, rest) = p.view().split_at(Axis(0), valid.len());
                on_valid.push(first.to_owned());
                on_more.push(rest.to_owned());
            }
            families.extend(heard.families);
        }
        let teaching = Teaching::of(&families, &student.network.family);
        if teaching.refused() {
            return Err(JobError::failed("self_distillation", &[]));
        }
        if teaching.warned() {
            self.say("warn", Note::new("one_teacher"))?;
        }
        let mut stages = Vec::new();
        let mut graduate: Option<Member> = None;
        let mut pseudo = 0;
        for round in 0..distil.rounds {
            let weights = self.weigh(&on_valid.iter().collect::<Vec<_>>())?;
            if round == 0 && on_held.len() == on_valid.len() {
                let (h, v): (Vec<_>, Vec<_>) = (on_held.iter().collect(), on_valid.iter().collect());
                stages.push(self.stage("teachers", &h, &weights, &v));
            }
            let views: Vec<ArrayView2<'_, f32>> = on_more.iter().map(|p| p.view()).collect();
            let said = blend(&views, &weights).map_err(|e| JobError::broke("stage.train", e))?;
            let (rows, aims) = self.lessons(&said, distil)?;
            pseudo = rows.len() - self.rows.train.len();
            let member = self.fit(
                at,
                student,
                &Lesson {
                    rows: &rows,
                    aims: Aims::Soft(&aims),
                    valid,
                    valid_y: &self.of(valid),
                    unlabelled,
                    start: None,
                },
            )?;
            at += 1;
            let (v, h) = (self.asked(&member, valid)?, self.asked(&member, &self.rows.held)?);
            stages.push(self.stage("student", &[&h], &[1.0], &[&v]));
            if round + 1 < distil.rounds {
                on_more.push(self.asked(&member, unlabelled)?);
                on_valid.push(v);
            }
            graduate = Some(member);
        }
        let mut graduate = graduate.ok_or_else(|| JobError::failed("self_distillation", &[]))?;
        if finetune {
            graduate = self.on_labels(at, student, Some(&graduate))?;
            let (v, h) = (self.asked(&graduate, valid)?, self.asked(&graduate, &self.rows.held)?);
            stages.push(self.stage("finetune", &[&h], &[1.0], &[&v]));
        }
        let held = vec![self.asked(&graduate, &self.rows.held)?];
        Ok(Graduates {
            members: vec![graduate],
            weights: vec![1.0],
            held,
            diversity: Value::Null,
            stages,
            pseudo_labels: Some(pseudo),
        })
    }

    /// The labelled rows with their labels, then the unlabelled ones with what the teachers say of them.
    fn lessons(&self, said: &Array2<f32>, distil: &Distil) -> Result<(Vec<usize>, Array2<f32>), JobError> {
        let failed = |e: crate::train::TrainError| JobError::broke("stage.train", e);
        let (train, k) = (&self.rows.train, self.classes.ids.len());
        let mut taken: Vec<usize> = (0..self.rows.unlabelled.len()).collect();
        if distil.quota > 0 {
            let mut counts = vec![0u64; k];
            train.iter().for_each(|&r| counts[self.y[r]] += 1);
            let judged: Vec<Judged> = judged(said.view());
            let chosen = top_up(&judged, &counts, distil.quota as u64, 0.0).map_err(failed)?;
            taken = chosen.into_iter().map(|r| r as usize).collect();
        }
        let mut hard = Array2::zeros((train.len(), k));
        train.iter().enumerate().for_each(|(i, &r)| hard[[i, self.y[r]]] = 1.0);
        let soft = targets(said.select(Axis(0), &taken).view(), distil.temperature, distil.hard_share)
            .map_err(failed)?;
        let rows = train.iter().copied().chain(taken.iter().map(|&i| self.rows.unlabelled[i])).collect();
        let aims = concatenate(Axis(0), &[hard.view(), soft.view()])
            .map_err(|e| JobError::broke("stage.train", e))?;
        Ok((rows, aims))
    }
}
