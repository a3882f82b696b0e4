//! The card of a sample, as whoever browses, looks again or settles sees it.

use super::*;

pub(super) fn bad() -> Sample {
    Sample {
        media_state: MediaState::Bad,
        media_error: Some("not_video".into()),
        text: SampleText::default(),
        ..sample(2, "ollie")
    }
}

/// What the card of `sample` is made of.
fn card_facts(
    dataset: &Dataset,
    sample: Sample,
    finding: Option<&Suspect>,
    sight: card::Sight,
) -> card::Facts {
    let candidate = |class: &str, p: f32| Candidate { class: class.into(), p };
    let found = |i: i64| ["ollie", "dog", "dog", "arm", "dog", "eye"][i as usize % 6];
    let tile = |i: i64| Tile {
        sample_id: 101 + i,
        external_id: format!("clip/{i}"),
        title: "Ollie".into(),
        class: Some(found(i).into()),
        has_media: i % 3 != 2,
    };
    let example = |class: &str, i: i64| Example {
        class: class.into(),
        sample_id: 200 + i,
        external_id: format!("clip/{i}"),
        title: "机器狗：越障".into(),
        has_media: true,
        verified: i == 0,
    };
    let entry = |kind: &str, what: &str, classes: &[&str], comment: &str| HistoryEntry {
        at: at(9),
        kind: kind.into(),
        what: what.into(),
        author: if kind == "label" { "local" } else { "grace" }.into(),
        classes: classes.iter().map(|c| (*c).into()).collect(),
        comment: comment.into(),
    };
    let mut facts = card::Facts {
        dataset: dataset.clone(),
        taxonomy: taxonomy().into(),
        sample,
        label: None,
        evidence: finding.map(|s| Evidence {
            scan_id: Uuid::nil(),
            suspect: s.clone(),
            candidates: [("dog", 0.71), ("eye", 0.2), ("arm", 0.06), ("lip", 0.0)]
                .map(|(c, p)| candidate(c, p))
                .into(),
            field_votes: [(Field::Frames, "dog", 0.64), (Field::Title, "eye", 0.4), (Field::Ocr, "arm", 0.9)]
                .map(|(f, c, p)| (f, candidate(c, p)))
                .into(),
        }),
        sight,
        tiles: if finding.is_some() { (0..10).map(tile).collect() } else { vec![] },
        guides: vec![Guide {
            class: "eye".into(),
            version: 2,
            markdown: "Shadow, liner and lashes, **step by step**.".into(),
            boundary: "Lips alone are not eyes.".into(),
            author: "grace".into(),
            reason: String::new(),
            created_at: at(9),
        }],
        examples: (0..3).flat_map(|i| [example("eye", i), example("dog", i + 10)]).collect(),
        history: vec![
            entry("label", "import", &["eye"], ""),
            entry("review", "relabel", &["lip"], "可能是广告"),
            entry("review", "unsure", &[], ""),
        ],
        looks: vec![],
    };
    facts.hide(sight, None);
    facts
}

pub(super) fn pages(lang: &str, theme: &str) -> Vec<(&'static str, String)> {
    let r = |path: &str| reader(lang, theme, path);
    let page = r("/datasets/wechat-sample");
    let dataset = wechat();
    let s = suspect(1);
    let sample_page = |sample: Sample, finding: Option<&Suspect>, asked: card::Asked, sight: card::Sight| {
        let facts = card_facts(&dataset, sample, finding, sight);
        sample::SamplePage {
            card: card::Card::of(&page, &facts, asked),
            queue: sample::QueueView {
                list: format!("{HREF}/suspects?status=open"),
                previous: Some(format!("{HREF}/samples/x")),
                next: Some(format!("{HREF}/samples/y")),
            },
            dataset_href: HREF.into(),
            dataset: NAME.into(),
            page: page.clone(),
        }
    };
    let browsing = card::Asked::BROWSING;
    let blind = card::Asked { lease: Some(Uuid::nil()), purpose: "second_look", blind: true };
    let alone = card::Sight { people: false, model: false };
    let adjudicated = {
        let mut facts = card_facts(&dataset, sample(1, "eye"), Some(&s), card::Sight::ALL);
        let look = |author: Option<&str>, decision: &str, class: &str, comment: &str| EarlierLook {
            author: author.map(Into::into),
            decision: decision.into(),
            classes: vec![class.into()],
            comment: comment.into(),
        };
        facts.looks =
            vec![look(Some("grace"), "keep", "eye", ""), look(None, "relabel", "dog", "机器狗在画面中央")];
        let asked = card::Asked { lease: Some(Uuid::nil()), purpose: "adjudicate", blind: false };
        sample::SamplePage {
            card: card::Card::of(&page, &facts, asked),
            queue: sample::QueueView::default(),
            dataset_href: HREF.into(),
            dataset: NAME.into(),
            page: page.clone(),
        }
    };
    vec![
        ("sample", html(&sample_page(sample(1, "eye"), Some(&s), browsing, card::Sight::ALL))),
        ("sample-blind", html(&sample_page(sample(1, "eye"), Some(&s), blind, alone))),
        ("sample-looks", html(&adjudicated)),
        ("sample-bad", html(&sample_page(bad(), None, browsing, card::Sight::ALL))),
    ]
}

/// Nothing of what must not be known is in the markup, hidden or not.
#[test]
fn a_blind_card_holds_nothing_of_earlier_decisions_and_where_asked_nothing_of_the_model() {
    let page = reader("en", "auto", "/");
    let dataset = Dataset {
        id: Uuid::nil(),
        name: "d".into(),
        taxonomy_hash: "x".into(),
        taxonomy_version: 1,
        created_at: at(8),
    };
    // a person made it a lipstick; the scan suggests a robot arm
    let decided = Sample {
        current_class: Some("lip".into()),
        label_source: Some(LabelSource::Annotator),
        label_author: Some("grace".into()),
        review: Some("relabel".into()),
        ..sample(1, "eye")
    };
    let scanned = |given: &str| Suspect {
        given_class: given.into(),
        suggested_class: "arm".into(),
        reason: Reason { given: given.into(), suggested: "arm".into(), ..suspect(1).reason },
        issues: vec![
            Issue::Label,
            Issue::OddField { field: Field::Title, class: "spelling".into(), p: 0.93 },
        ],
        ..suspect(1)
    };
    let show = |given: &str, people, model| {
        let sight = card::Sight { people, model };
        let mut facts = card_facts(&dataset, decided.clone(), Some(&scanned(given)), card::Sight::ALL);
        let found = facts.evidence.as_mut().unwrap();
        found.candidates[1].class = "kickflip".into();
        // what the model ranks is no leak of what people said; so that a leak shows, it does not rank it
        found.candidates.retain(|c| &*c.class != "lip");
        facts.tiles.iter_mut().for_each(|t| t.class = Some("ollie".into()));
        facts.hide(sight, None);
        let asked = card::Asked { lease: Some(Uuid::nil()), purpose: "second_look", blind: !people };
        card::Card::of(&page, &facts, asked).render().unwrap()
    };
    let of_people =
        ["grace", "Lipstick", "\"lip\"", "可能是广告", "Relabelled", "Unsure</b>", "status relabelled"];
    let of_model = [
        "Robot arm",
        "\"arm\"",
        "Kickflip",
        "The model",
        "Letters and numbers",
        "data-candidate",
        "candidates",
        "field-votes",
        "data-suggestion",
        "Why it is here",
        "%</span>",
    ];
    let holds = |html: &str, words: &[&str]| -> Vec<String> {
        words.iter().filter(|w| html.contains(**w)).map(|w| (*w).to_owned()).collect()
    };
    let all = show("eye", true, true);
    assert!(all.contains("<strong>step by step</strong>") && all.contains("Lips alone are not eyes."));
    assert_eq!(holds(&all, &of_people).len(), of_people.len(), "{:?}", holds(&all, &of_people));
    assert_eq!(holds(&all, &of_model).len(), of_model.len(), "{:?}", holds(&all, &of_model));
    let blind = show("eye", false, true);
    assert!(holds(&blind, &of_people).is_empty(), "{:?}", holds(&blind, &of_people));
    assert_eq!(holds(&blind, &of_model).len(), of_model.len());
    assert!(blind.contains("data-blind=\"true\"") && blind.contains("data-id=\"eye\""), "the label before");
    let alone = show("eye", false, false);
    assert!(
        holds(&alone, &of_people).is_empty() && holds(&alone, &of_model).is_empty(),
        "{:?}",
        holds(&alone, &of_model)
    );
    // a scan that judged what a person had decided would tell it
    let spoilt = show("lip", false, true);
    assert!(holds(&spoilt, &of_people).is_empty(), "{:?}", holds(&spoilt, &of_people));
}
