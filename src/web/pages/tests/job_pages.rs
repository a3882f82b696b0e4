//! Jobs: the list and one of them.

use super::*;

pub(super) fn jobs_of(page: &Reader) -> Vec<jobs::JobView> {
    vec![
        jobs::JobView::of(page, &job(JobKind::Scan, JobState::Running), Some(NAME)),
        jobs::JobView::of(page, &job(JobKind::Import, JobState::Failed), Some(NAME)),
        jobs::JobView::of(page, &job(JobKind::Train, JobState::Queued), Some(NAME)),
        jobs::JobView::of(page, &job(JobKind::Import, JobState::Succeeded), Some(NAME)),
    ]
}

pub(super) fn pages(lang: &str, theme: &str) -> Vec<(&'static str, String)> {
    let r = |path: &str| reader(lang, theme, path);
    let page = r("/datasets/wechat-sample");
    let import_error = ImportError {
        file: "labels.jsonl".into(),
        line: 1_207,
        field: Some("label".into()),
        code: "unknown_label".into(),
        message: "label \"skate_olie\" is not a class of the taxonomy; did you mean \"ollie\"?".into(),
    };
    vec![
        ("jobs", html(&jobs::JobsPage { page: r("/jobs"), rows: jobs_of(&page), next: None })),
        (
            "job",
            html(&jobs::JobPage {
                job: jobs::JobView::of(&page, &job(JobKind::Import, JobState::Failed), Some(NAME)),
                log: vec![jobs::LogView {
                    id: 1,
                    at: at(9).into(),
                    level: "warn".into(),
                    message: "2 bad rows; the first 2 are listed".into(),
                }],
                facts: jobs::facts(&page, job(JobKind::Import, JobState::Succeeded).result.as_ref()),
                links: vec![],
                curves: Vec::new(),
                errors: vec![jobs::ErrorView::of(&page, &import_error)],
                more_errors: false,
                errors_download: "/x".into(),
                page: r("/jobs/1"),
            }),
        ),
        (
            "job-running",
            html(&jobs::JobPage {
                job: jobs::JobView::of(&page, &job(JobKind::Scan, JobState::Running), Some(NAME)),
                log: vec![],
                facts: vec![],
                links: vec![],
                curves: Vec::new(),
                errors: vec![],
                more_errors: false,
                errors_download: String::new(),
                page: r("/jobs/1"),
            }),
        ),
    ]
}
