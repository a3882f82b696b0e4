//! The rules of a recipe that more than one key takes part in.

use super::keys::{Fault, fault};
use super::parts::{Family, LossKind, StageKind, TokensFrom};
use super::{PRESETS, Recipe};

/// Rules between keys.
pub(super) fn together(r: &Recipe) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, key: &str, rule: &str| {
        if !holds {
            faults.push(fault(key, rule));
        }
    };
    let sequence = matches!(r.network.family, Family::Single | Family::Dual);
    let text = r.text.title + r.text.asr + r.text.ocr;
    if sequence {
        must(
            r.network.dim.is_multiple_of(r.network.heads),
            "network.dim",
            "must be a multiple of network.heads",
        );
        must(r.frames.count + text > 0, "frames.count", "and all of text's budgets are 0: nothing to read");
        must(
            r.text.tokens_from == TokensFrom::Random || text > 0,
            "text.tokens_from",
            "needs text: all of its budgets are 0",
        );
        let a = &r.auxiliary;
        let any = a.mlm + a.mfm + a.vtm + a.contrastive > 0.0;
        must(a.pretrain_epochs == 0 || any, "auxiliary.pretrain_epochs", "needs the weight of an objective");
        must(a.mlm == 0.0 || text > 0, "auxiliary.mlm", "needs text");
        must(a.mfm == 0.0 || r.frames.count > 0, "auxiliary.mfm", "needs frames");
        must(a.vtm == 0.0 || (r.frames.count > 0 && text > 0), "auxiliary.vtm", "needs frames and text");
        let titled = r.frames.count > 0 && r.text.title > 0;
        must(a.contrastive == 0.0 || titled, "auxiliary.contrastive", "needs frames and titles");
    }
    must(
        r.regularise.r_drop == 0.0 || r.network.dropout > 0.0,
        "regularise.r_drop",
        "does nothing without network.dropout",
    );
    must(r.loss.kind != LossKind::Elr || r.loss.beta < 1.0, "loss.beta", "must be below 1 with elr");
    faults
}

/// Rules of members and stages.
pub(super) fn composition(r: &Recipe) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !r.member.is_empty() && !r.stage.is_empty() {
        faults.push(fault("stage", "and member exclude each other"));
    }
    let mut named = |key: &str, name: &str, plain: bool| {
        // stages are not nested, so that this ends
        let found = (name != "winner" && PRESETS.contains(&name)).then(|| Recipe::preset(name));
        match found {
            Some(Ok(named)) if plain && named.is_composite() => {
                faults.push(fault(key, format!("names {name:?}, which is not one network")));
            }
            Some(Ok(named))
                if plain && key != "member.recipe" && named.network.family == Family::Logistic =>
            {
                faults.push(fault(key, format!("names {name:?}, which cannot learn from soft labels")));
            }
            Some(Ok(_)) => {}
            _ => faults.push(fault(key, format!("names {name:?}, which is no recipe to build on"))),
        }
    };
    r.member.iter().for_each(|m| named("member.recipe", &m.recipe, true));
    r.stage.iter().for_each(|s| named("stage.recipe", &s.recipe, s.kind != StageKind::Teachers));
    let kinds: Vec<_> = r.stage.iter().map(|s| s.kind).collect();
    if !matches!(
        kinds[..],
        [] | [StageKind::Teachers, StageKind::Distil]
            | [StageKind::Teachers, StageKind::Distil, StageKind::Finetune]
    ) {
        faults.push(fault("stage.kind", "must be teachers, distil and perhaps finetune, in this order"));
    }
    if let [_, student, last] = &r.stage[..]
        && student.recipe != last.recipe
    {
        faults.push(fault("stage.recipe", "of finetune must be the student's"));
    }
    faults
}
