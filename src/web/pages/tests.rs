//! Renders every page from made-up but realistic rows. With `TAMIS_PAGES_DIR` set, the ignored test
//! writes them to that folder, to be looked at.

mod card_pages;
mod dataset_pages;
mod job_pages;
mod list_pages;
mod people_pages;
mod rows;
mod training_pages;

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use chrono::{TimeZone, Utc};
use serde_json::json;
use uuid::Uuid;

use super::dataset::*;
use super::learning::LearningView;
use super::predictions::PredictionsView;
use super::*;
use crate::domain::TextProblem;
use crate::domain::health::*;
use crate::domain::issue::{MediaFault, MediaProblem, TextFault};
use crate::domain::{
    Candidate, Detector, MediaState, Neighbour, Node, OcrLine, Reason, SampleText, Split, Taxonomy,
};
use crate::domain::{Field, Gap, Health, Issue, IssueKind, JobKind, JobState, LabelCount, LabelSource, Note};
use crate::store::cards::{Evidence, Example, Tile};
use crate::store::datasets::{ClassCount, Dataset, DatasetCounts};
use crate::store::guides::Guide;
use crate::store::imports::ImportError;
use crate::store::issues::{ClusterMember, CountedIssue};
use crate::store::jobs::Job;
use crate::store::looks::EarlierLook;
use crate::store::reviews::HistoryEntry;
use crate::store::samples::Sample;
use crate::store::scans::{Round, Scan};
use crate::store::snapshots::Snapshot;
use crate::store::suspects::Suspect;
use crate::store::suspects::SuspectFilter;
use crate::store::trainings::Training;

use self::card_pages::bad;
use self::dataset_pages::wechat;
use self::job_pages::jobs_of;
use self::rows::*;

const NAME: &str = "wechat-sample";
const HREF: &str = "/datasets/wechat-sample";
const CLASSES: [(&str, &str, &str, &str, &str); 9] = [
    ("skate", "Skateboarding", "滑板", "ollie", "Ollie|豚跳"),
    ("skate", "Skateboarding", "滑板", "kickflip", "Kickflip|尖翻"),
    ("skate", "Skateboarding", "滑板", "skate-other", "Other|其他"),
    ("beauty", "Beauty", "美妆", "eye", "Eye make-up tutorial|眼妆教程"),
    ("beauty", "Beauty", "美妆", "lip", "Lipstick|口红试色"),
    ("robots", "Robots", "机器人", "dog", "Robot dog|机器狗"),
    ("robots", "Robots", "机器人", "arm", "Robot arm|机械臂"),
    ("robots", "Robots", "机器人", "robots-other", "Other|其他"),
    ("sign", "Sign language", "手语教学", "spelling", "Letters and numbers|手语字母数字"),
];

fn taxonomy() -> Taxonomy {
    let names = |en: &str, zh: &str| BTreeMap::from([("en".into(), en.into()), ("zh-CN".into(), zh.into())]);
    let mut nodes: Vec<Node> = Vec::new();
    for (root, en, zh, class, both) in CLASSES {
        if !nodes.iter().any(|n| n.id == root) {
            nodes.push(Node { id: root.into(), names: names(en, zh), parent: None });
        }
        let (en, zh) = both.split_once('|').unwrap();
        nodes.push(Node { id: class.into(), names: names(en, zh), parent: Some(root.into()) });
    }
    Taxonomy::new(nodes).unwrap()
}

fn reader(lang: &str, theme: &str, path: &str) -> Reader {
    Reader::of(&format!("{path}?lang={lang}&theme={theme}").parse().unwrap(), &HeaderMap::new())
}

fn at(hour: u32) -> chrono::DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, hour, 41, 7).unwrap()
}

fn html(t: &dyn askama::DynTemplate) -> String {
    t.dyn_render().unwrap()
}

/// Every page, by file name.
fn pages(lang: &str, theme: &str) -> Vec<(&'static str, String)> {
    [dataset_pages::pages, list_pages::pages, card_pages::pages, job_pages::pages, training_pages::pages]
        .into_iter()
        .flat_map(|pages| pages(lang, theme))
        .chain(people_pages::pages(lang, theme, NAME))
        .collect()
}

#[test]
fn every_page_renders_in_both_languages_with_one_heading_and_no_inline_code() {
    for lang in ["en", "zh-CN"] {
        for (name, html) in pages(lang, "auto") {
            assert_eq!(html.matches("<h1").count(), 1, "{name}");
            assert!(html.contains(&format!("<html lang=\"{lang}\"")), "{name}");
            // what the content security policy forbids
            for bad in [" style=", " onclick=", "javascript:", "<style"] {
                assert!(!html.contains(bad), "{name} holds {bad}");
            }
            for script in html.split("<script").skip(1) {
                let tag = script.split('>').next().unwrap();
                assert!(tag.contains("src=") || tag.contains("application/json"), "{name}: <script{tag}>");
            }
            assert!(
                html.split("<table").skip(1).all(|t| t.contains("<caption")),
                "{name}: table without caption"
            );
        }
    }
}

#[test]
#[ignore = "writes files to be looked at"]
fn write_pages() {
    let Some(dir) = std::env::var_os("TAMIS_PAGES_DIR") else { return };
    let dir = std::path::Path::new(&dir);
    for lang in ["en", "zh-CN"] {
        let report = training_pages::report_in(lang, training_pages::round_line(), 8);
        std::fs::write(dir.join(format!("report.{lang}.html")), report).unwrap();
        for theme in ["light", "dark"] {
            for (name, html) in pages(lang, theme) {
                std::fs::write(dir.join(format!("{name}.{lang}.{theme}.html")), html).unwrap();
            }
        }
    }
}
