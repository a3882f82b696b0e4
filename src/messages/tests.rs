use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;
use crate::domain::health::Property;
use crate::domain::issue::{Issue, MediaProblem, TextProblem};
use crate::domain::{
    Detector, Field, Gap, IssueKind, JobKind, JobState, LabelCount, LabelSource, Node, RuleAction, RunState,
    Split, Step,
};

fn parameters(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|p| p.split_once('}').map(|(name, _)| name)).collect()
}

fn files(dir: &str, ending: &str) -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, ending: &str, into: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, ending, into);
            } else if path.to_str().unwrap().ends_with(ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                into.push((path, text));
            }
        }
    }
    let mut out = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), ending, &mut out);
    assert!(!out.is_empty(), "{dir} holds no {ending}");
    out
}

/// String literals that stand right after one of `calls`.
fn literals<'a>(text: &'a str, calls: &[&str]) -> Vec<&'a str> {
    calls
        .iter()
        .flat_map(|call| text.match_indices(call).map(|(at, m)| &text[at + m.len()..]))
        .filter_map(|rest| rest.split_once('"').map(|(key, _)| key))
        .filter(|key| !key.contains('{') && !key.contains('$'))
        .collect()
}

#[test]
fn both_catalogues_say_the_same_things() {
    let (en, zh) = (Lang::En.catalogue(), Lang::ZhCn.catalogue());
    assert!(en.len() > 200);
    let keys = |c: &BTreeMap<String, String>| c.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(en).symmetric_difference(&keys(zh)).collect::<Vec<_>>(), Vec::<&String>::new());
    for (key, text) in en {
        assert_eq!(parameters(text), parameters(&zh[key]), "parameters of {key}");
        assert!(!text.trim().is_empty() && !zh[key].trim().is_empty(), "{key} is empty");
    }
}

#[test]
fn every_key_in_use_exists() {
    let mut missing = Vec::new();
    let mut used = 0;
    let mut check = |path: &Path, key: &str, counted: bool| {
        used += 1;
        let known = if counted {
            Lang::En.find(&format!("{key}.one")).is_some() && Lang::En.find(&format!("{key}.other")).is_some()
        } else {
            Lang::En.find(key).is_some()
        };
        if !known {
            missing.push(format!("{}: {key}", path.display()));
        }
    };
    for (path, text) in files("templates", ".html") {
        literals(
            &text,
            &["page.t(\"", "page.t1(\"", "page.t2(\"", "lang.text(\"", "lang.t1(\"", "lang.t2(\""],
        )
        .into_iter()
        .for_each(|k| check(&path, k, false));
        literals(&text, &["page.n(\""]).into_iter().for_each(|k| check(&path, k, true));
    }
    for (path, text) in files("src", ".rs") {
        if path.ends_with("messages/tests.rs") {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or("");
        literals(text, &["lang.text(\"", "lang.fill(\"", "lang.find(\"", "lang.t1(\"", "lang.t2(\""])
            .into_iter()
            .for_each(|k| check(&path, k, false));
        literals(text, &["lang.count(\""]).into_iter().for_each(|k| check(&path, k, true));
        // keys of reasons and of facts are passed on by name
        literals(text, &["progress.stage(\"", "p.stage(\""])
            .into_iter()
            .for_each(|stage| check(&path, &format!("stage.{stage}"), false));
        literals(text, &["Note::new(\"", "JobError::failed(\""])
            .into_iter()
            .for_each(|code| check(&path, &format!("note.{code}"), false));
        for prefix in ["\"reason.", "\"dataset.", "\"cli.", "\"doing."] {
            text.match_indices(prefix)
                .filter_map(|(at, _)| text[at + 1..].split_once('"'))
                .filter(|(k, _)| {
                    !k.contains('{') && !k.ends_with('.') && !k.ends_with(".rs") && !k.ends_with(".html")
                })
                .for_each(|(k, _)| check(&path, k, false));
        }
    }
    for (path, text) in files("static/js", ".js") {
        literals(&text, &[" t(\"", "(t(\"", "${t(\"", "!t(\""])
            .into_iter()
            .for_each(|k| check(&path, k, false));
        literals(&text, &["count(\""]).into_iter().for_each(|k| check(&path, k, true));
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(used > 150, "the scan found only {used} keys: has the way of asking changed?");
}

#[test]
fn every_code_of_the_domain_has_words() {
    let mut keys: Vec<String> = Vec::new();
    keys.extend(JobKind::ALL.map(|k| format!("job_kind.{}", k.as_str())));
    keys.extend(Step::ALL.map(|s| format!("ledger_step.{}", s.as_str())));
    keys.extend(crate::jobs::next::ActionKind::ALL.map(|a| format!("next_action.{}", a.as_str())));
    keys.extend(RuleAction::ALL.map(|a| format!("rule_action.{}", a.as_str())));
    keys.extend(RuleAction::ALL.map(|a| format!("rule_did.{}", a.as_str())));
    keys.extend(RuleAction::ALL.map(|a| format!("rule_undone.{}", a.as_str())));
    keys.extend(RunState::ALL.map(|s| format!("run_state.{}", s.as_str())));
    keys.extend(LabelSource::ALL.map(|s| format!("retraction.{}", s.as_str())));
    keys.extend(JobState::ALL.map(|s| format!("job_state.{}", s.as_str())));
    keys.extend(LabelSource::ALL.map(|s| format!("label_source.{}", s.as_str())));
    keys.extend(Split::ALL.map(|s| format!("split.{}", s.as_str())));
    keys.extend(Detector::ALL.map(|d| format!("detector.{}", d.as_str())));
    keys.extend(Detector::ALL.map(|d| format!("detector_about.{}", d.as_str())));
    keys.extend(IssueKind::ALL.map(|k| format!("issue.{}", k.as_str())));
    keys.extend(IssueKind::ALL.map(|k| format!("issue_about.{}", k.as_str())));
    keys.extend(TextProblem::ALL.map(|p| format!("text_problem.{}", p.as_str())));
    keys.extend(TextProblem::ALL.map(|p| format!("why.text_{}", p.as_str())));
    keys.extend(MediaProblem::ALL.map(|p| format!("why.media_{}", p.as_str())));
    keys.extend(Property::ALL.map(|p| format!("property.{}", p.as_str())));
    keys.extend(Field::ALL.map(|f| format!("field_within.{}", f.as_str())));
    for d in ["keep", "relabel", "unsure", "ambiguous", "out_of_taxonomy", "bad_media"] {
        keys.push(format!("decision.{d}"));
    }
    keys.extend(Gap::ALL.map(|g| format!("gap.{}", g.as_str())));
    keys.extend(crate::media::MediaErrorCode::ALL.map(|c| format!("media_error.{}", c.as_str())));
    let missing: Vec<_> = keys.iter().filter(|k| Lang::En.find(k).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Takes out what is no text for people: template syntax, code blocks, keys, comments.
fn words_of(template: &str) -> String {
    let mut text = template.to_owned();
    for (open, close) in [
        ("{#", "#}"),
        ("{%", "%}"),
        ("{{", "}}"),
        ("<pre", "</pre>"),
        ("<code", "</code>"),
        ("<kbd", "</kbd>"),
        ("<option>", "</option>"),
    ] {
        while let Some(start) = text.find(open) {
            let end = text[start..].find(close).map_or(text.len(), |e| start + e + close.len());
            text.replace_range(start..end, " ");
        }
    }
    // attributes that people read stay, the rest of each tag goes
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        let close = rest[open..].find('>').map_or(rest.len(), |c| open + c + 1);
        let tag = &rest[open..close];
        for attribute in [" title=\"", " alt=\"", " placeholder=\"", " aria-label=\""] {
            if let Some(value) = tag.split(attribute).nth(1).and_then(|v| v.split('"').next()) {
                out.push(' ');
                out.push_str(value);
            }
        }
        rest = &rest[close..];
    }
    out.push_str(rest);
    out
}

#[test]
fn templates_hold_no_words_of_their_own() {
    for (path, template) in files("templates", ".html") {
        let words = words_of(&template);
        let found: Vec<&str> = words
            .split(|c: char| !c.is_alphabetic())
            .filter(|w| !w.is_empty() && !matches!(*w, "Tamis"))
            .collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    assert!(words_of("<p title=\"Hello\">{{ x }}</p>").contains("Hello"));
    assert!(words_of("<p>Hello <b>{{ x }}</b></p>").contains("Hello"));
}

fn taxonomy() -> Taxonomy {
    let node = |id: &str, en: &str, zh: &str, parent: Option<&str>| Node {
        id: id.into(),
        names: BTreeMap::from([("en".into(), en.into()), ("zh-CN".into(), zh.into())]),
        parent: parent.map(Into::into),
    };
    Taxonomy::new(vec![
        node("s", "Skateboarding", "滑板", None),
        node("ollie", "Ollie", "豚跳", Some("s")),
        node("kickflip", "Kickflip", "尖翻", Some("s")),
        node("s-other", "Other", "其他", Some("s")),
        node("r", "Robots", "机器人", None),
        node("r-other", "Other", "其他", Some("r")),
    ])
    .unwrap()
}

fn evidence() -> Reason {
    Reason {
        given: "ollie".into(),
        suggested: "kickflip".into(),
        p_given: 0.03,
        p_suggested: 0.91,
        neighbours_agree: 1,
        neighbours_suggested: 9,
        neighbours: 10,
        cluster_share: 0.1,
        cluster_class: "kickflip".into(),
        cross_parent: false,
    }
}

#[test]
fn the_reason_names_the_strongest_evidence() {
    let t = taxonomy();
    assert_eq!(
        reason(Lang::En, &evidence(), &t),
        "The model gives 3% to the given label “Ollie” and 91% to “Kickflip”; 9 of the 10 nearest clips are “Kickflip”."
    );
    assert_eq!(
        reason(Lang::ZhCn, &evidence(), &t),
        "模型给原标签“豚跳”的概率为 3%，给“尖翻”的概率为 91%；最近的 10 个视频中有 9 个是“尖翻”。"
    );
    let lonely = Reason { neighbours_agree: 0, neighbours_suggested: 0, ..evidence() };
    assert!(reason(Lang::En, &lonely, &t).ends_with("none of the 10 nearest clips shares the given label."));
    let cluster = Reason { neighbours_agree: 5, neighbours_suggested: 2, ..evidence() };
    assert!(reason(Lang::En, &cluster, &t).contains("only 10% carry the given label, most are “Kickflip”"));
    let agrees = Reason { suggested: "ollie".into(), p_suggested: 0.6, p_given: 0.6, ..evidence() };
    assert!(reason(Lang::En, &agrees, &t).starts_with("The model agrees with “Ollie” (60%), but"));
}

#[test]
fn issues_are_worded_with_their_evidence() {
    let t = taxonomy();
    let label = |class: &str, n: u32| LabelCount { class: class.into(), n };
    let say = |lang: Lang, i: &Issue| issue(lang, i, &evidence(), &t);
    let same = Issue::NearDuplicate { n: 3, labels: vec![label("ollie", 3)], samples: vec![] };
    assert_eq!(say(Lang::En, &same), "Near-duplicate of 3 clips labelled “Ollie”.");
    assert_eq!(say(Lang::ZhCn, &same), "与 3 个视频近似重复，其标签为“豚跳”。");
    let conflict = Issue::NearDuplicateConflict {
        n: 3,
        labels: vec![label("s-other", 2), label("r-other", 1)],
        samples: vec![],
    };
    assert_eq!(
        say(Lang::En, &conflict),
        "Labelled “Ollie”, but a near-duplicate of 3 clips labelled “Skateboarding / Other” (2), “Robots / Other” (1)."
    );
    let odd = Issue::OddField { field: Field::Title, class: "kickflip".into(), p: 0.93 };
    assert_eq!(
        say(Lang::En, &odd),
        "By its title alone it is “Kickflip” (93%); everything else says “Ollie”."
    );
    assert_eq!(say(Lang::En, &Issue::Label), reason(Lang::En, &evidence(), &t));
}

#[test]
fn twins_are_told_apart_by_their_paths() {
    let r = Reason {
        given: "s-other".into(),
        suggested: "r-other".into(),
        cluster_class: "r-other".into(),
        ..evidence()
    };
    let said = reason(Lang::En, &r, &taxonomy());
    assert!(said.contains("“Skateboarding / Other”") && said.contains("“Robots / Other”"), "{said}");
}

#[test]
fn no_parameter_of_a_reason_is_left_open() {
    let t = taxonomy();
    for lang in Lang::ALL {
        for given in ["ollie", "kickflip"] {
            for (agree, support, share) in [(0, 10, 0.0), (2, 0, 0.9), (9, 1, 0.1), (0, 0, 0.5), (5, 5, 0.05)]
            {
                for (p_given, p_suggested) in [(0.0, 1.0), (0.5, 0.4)] {
                    let r = Reason {
                        given: given.into(),
                        p_given,
                        p_suggested,
                        neighbours_agree: agree,
                        neighbours_suggested: support,
                        cluster_share: share,
                        ..evidence()
                    };
                    let said = reason(lang, &r, &t);
                    assert!(!said.contains('{') && !said.contains("reason."), "{said}");
                }
            }
        }
    }
}

#[test]
fn languages_are_negotiated() {
    assert_eq!(Lang::negotiate("de, zh;q=0.8, en;q=0.7"), Lang::ZhCn);
    assert_eq!(Lang::negotiate("en-GB,en;q=0.9,zh;q=0.9"), Lang::En);
    assert_eq!(Lang::negotiate("fr"), Lang::En);
    assert_eq!(Lang::parse("zh_CN.UTF-8"), Some(Lang::ZhCn));
    assert_eq!(Lang::parse("C"), None);
}

#[test]
fn figures_read_well() {
    assert_eq!(Lang::En.number(1_234_567), "1,234,567");
    assert_eq!(Lang::En.number(-12), "−12");
    assert_eq!(Lang::En.percent(0.004), "<1%");
    assert_eq!(Lang::En.percent(0.999), ">99%");
    assert_eq!(Lang::En.count("count.samples", 1), "1 sample");
    assert_eq!(Lang::En.fill("sample.rank", &[("x", "1")]), "no. {rank}");
}

#[test]
fn notes_are_worded_in_both_languages_and_cannot_be_talked_into_reading_the_catalogue() {
    let said = Note::new("bad_media")
        .with("id", "@nav.home")
        .worded("why", "media_error.empty_file")
        .with("detail", "{id}");
    assert_eq!(note(Lang::En, &said), "\u{2060}@nav.home: bad media: the file is empty ({id})");
    assert!(note(Lang::ZhCn, &said).contains(Lang::ZhCn.text("media_error.empty_file")));
    let newer = Note::new("of_a_later_version").with("n", 3);
    assert_eq!(note(Lang::ZhCn, &newer), "of_a_later_version: n 3");
}
