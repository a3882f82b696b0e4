//! Lists of samples: suspects, by kind of issue, clusters, all.

use super::*;

pub(super) fn pages(lang: &str, theme: &str) -> Vec<(&'static str, String)> {
    let r = |path: &str| reader(lang, theme, path);
    let page = r("/datasets/wechat-sample");
    let t = taxonomy();
    let members: Vec<ClusterMember> = (0..6)
        .map(|i| ClusterMember {
            cluster: 7,
            sample_id: 100 + i,
            external_id: format!("clip/{i}"),
            title: "Ollie".into(),
        })
        .collect();
    vec![
        (
            "suspects",
            html(&suspects::SuspectsPage {
                grid: "/datasets/d/grid?of=suspects".into(),
                dataset: NAME.into(),
                href: format!("{HREF}/suspects"),
                scan: Some(suspects::ScanLine::of(&page, &scan().head())),
                chips: suspects::chips(
                    &page,
                    &format!("{HREF}/suspects"),
                    &[("status", "open".into())],
                    &SuspectFilter::default(),
                    &IssueKind::ALL.map(|kind| CountedIssue {
                        kind,
                        n: 3_100,
                        about: kind != IssueKind::Label,
                    }),
                ),
                set: vec![],
                hidden: vec![],
                rows: (0..30)
                    .map(|i| suspects::SuspectRow::of(&page, NAME, &t, "status=open", None, &suspect(i)))
                    .collect(),
                classes: suspects::class_groups(&page, &t, None),
                detectors: suspects::picks(&page, &Detector::ALL, Detector::as_str, "detector", None),
                statuses: suspects::status_picks(&page, None),
                crossings: suspects::crossing_picks(&page, None),
                all: false,
                filtered: true,
                previous: None,
                next: Some(format!("{HREF}/suspects?after=30")),
                page: page.clone(),
            }),
        ),
        ("health", html(&health::view(page.clone(), NAME.into(), &t, Some(&scan())))),
        ("health-none", html(&health::view(page.clone(), NAME.into(), &t, None))),
        (
            "clusters",
            html(&clusters::ClustersPage {
                page: page.clone(),
                dataset: NAME.into(),
                dataset_href: HREF.into(),
                scanned: true,
                clusters: vec![clusters::ClusterView::of(&page, NAME, &t, &cluster(), &members)],
                first: None,
                next: Some(format!("{HREF}/clusters?after=7")),
            }),
        ),
        (
            "samples",
            html(&samples::SamplesPage {
                grid: "/datasets/d/grid?of=samples".into(),
                text: String::new(),
                dataset: NAME.into(),
                dataset_href: HREF.into(),
                href: format!("{HREF}/samples"),
                rows: (0..3)
                    .map(|i| samples::SampleRow::of(&page, NAME, &t, &sample(i, "eye")))
                    .chain([samples::SampleRow::of(&page, NAME, &t, &bad())])
                    .collect(),
                classes: suspects::class_groups(&page, &t, Some("eye")),
                splits: suspects::picks(&page, &Split::ALL, Split::as_str, "split", Some(Split::Train)),
                gaps: suspects::picks(&page, &Gap::ALL, Gap::as_str, "gap", None),
                rules: vec![suspects::Pick { value: "short".into(), name: "short".into(), chosen: true }],
                exclusions: vec![],
                filtered: true,
                first: Some(format!("{HREF}/samples")),
                next: Some(format!("{HREF}/samples?after=4")),
                page: page.clone(),
            }),
        ),
    ]
}

#[test]
fn text_from_data_cannot_become_markup() {
    let page = reader("en", "auto", "/");
    let t = taxonomy();
    let evil = "\"><img src=x onerror=alert(1)>";
    let s = Suspect { title: evil.into(), external_id: evil.into(), ..suspect(0) };
    let row = suspects::SuspectRow::of(&page, "d", &t, "", None, &s);
    assert!(row.href.starts_with("/datasets/d/samples/%22%3E%3Cimg%20"));
    let html = suspects::SuspectsPage {
        grid: "/datasets/d/grid?of=suspects".into(),
        dataset: "d".into(),
        href: "/datasets/d/suspects".into(),
        scan: Some(suspects::ScanLine::of(&page, &scan().head())),
        chips: vec![],
        set: vec![],
        hidden: vec![("cluster", evil.into())],
        rows: vec![row],
        classes: vec![],
        detectors: vec![],
        statuses: vec![],
        crossings: vec![],
        all: false,
        filtered: false,
        previous: None,
        next: None,
        page,
    }
    .render()
    .unwrap();
    assert!(!html.contains("<img src=x"), "unescaped");
}
