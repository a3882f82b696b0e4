//! Planted faults in generated and, where they are there, real texts.

use super::*;
use crate::arrays::rng;
use proptest::prelude::*;
use rand::Rng;
use rand::seq::SliceRandom;

/// Texts of 4 to 12 words of a made-up vocabulary, Chinese with some English.
fn corpus(n: usize, seed: u64) -> Vec<String> {
    let mut r = rng(seed);
    let mut vocabulary: Vec<String> = (0..300)
        .map(|_| {
            (0..r.gen_range(1..4)).filter_map(|_| char::from_u32(0x4e00 + r.gen_range(0..800))).collect()
        })
        .collect();
    vocabulary.extend(["video ", "Top ", "2024", "makeup ", "robot ", "，", "！"].map(String::from));
    (0..n)
        .map(|_| (0..r.gen_range(4..12)).filter_map(|_| vocabulary.choose(&mut r).cloned()).collect())
        .collect()
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Repeat,
    Shuffle,
    Symbols,
}

fn spoilt(text: &str, fault: Fault, r: &mut impl Rng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    match fault {
        Fault::Repeat => {
            let n = chars.len();
            let from = r.gen_range(0..n.saturating_sub(4).max(1));
            let phrase: String = chars[from..(from + 4).min(n)].iter().collect();
            format!("{text}{}", phrase.repeat(6))
        }
        Fault::Shuffle => {
            chars.shuffle(r);
            chars.into_iter().collect()
        }
        Fault::Symbols => {
            let signs: Vec<char> = "#$%^&*@~|\\<>{}[]=+_§¶¤×÷°■□◆".chars().collect();
            chars.iter_mut().for_each(|c| {
                if r.r#gen::<f32>() < 0.6 {
                    *c = signs[r.gen_range(0..signs.len())];
                }
            });
            chars.into_iter().collect()
        }
    }
}

/// Share found of 2 % spoilt texts (any issue), and share flagged of the others.
fn trial(texts: &[String], fault: Fault, seed: u64) -> (f64, f64) {
    let mut r = rng(seed);
    let mut texts = texts.to_vec();
    let planted: Vec<bool> = texts.iter().map(|t| t.chars().count() > 4 && r.r#gen::<f32>() < 0.02).collect();
    for (text, _) in texts.iter_mut().zip(&planted).filter(|(_, p)| **p) {
        *text = spoilt(text, fault, &mut r);
    }
    let views: Vec<&str> = texts.iter().map(String::as_str).collect();
    let report = text_quality(&views);
    let flagged = |wanted: bool| {
        let of: Vec<bool> = report
            .texts
            .iter()
            .zip(&planted)
            .filter(|(_, p)| **p == wanted)
            .map(|(t, _)| t.issue.is_some())
            .collect();
        of.iter().filter(|f| **f).count() as f64 / of.len().max(1) as f64
    };
    (flagged(true), flagged(false))
}

#[test]
fn planted_faults_are_found() {
    let texts = corpus(3000, 5);
    for fault in [Fault::Repeat, Fault::Shuffle, Fault::Symbols] {
        let (found, wrongly) = trial(&texts, fault, 9);
        assert!(found > 0.8 && wrongly < 0.015, "{fault:?} {found} {wrongly}");
    }
}

#[test]
fn by_hand() {
    let of = |t: &str| repetition(t);
    assert!(of("今天一起学化妆") < 1e-9 && of("哈哈哈") < 1e-9 && of("yes yes yes") < 1e-9);
    assert!((of("点赞点赞点赞点赞") - 1.0).abs() < 1e-9);
    assert!((of("thank you thank you thank you thank you now") - 8.0 / 9.0).abs() < 1e-9);
    assert!(of("嗯啊啊嗯嗯啊嗯啊啊嗯嗯嗯啊") > 0.8);
    assert!(of("the cat sat on the mat and the dog sat on the log") < 0.01);
    assert!(
        symbols("《战狼2》票房破50亿，你看了吗？！……") < 0.01,
        "{}",
        symbols("《战狼2》票房破50亿，你看了吗？！……")
    );
    assert!(symbols("I'm a fan of T. rex & co.") < 0.01);
    assert!((symbols("■□ x § q") - 1.0).abs() < 1e-9);
    let report = text_quality(&["", "  ", "\u{0}"]);
    assert!(report.texts.iter().all(|t| t.issue.is_none()), "all empty is usual");
    assert!(text_quality(&[]).texts.is_empty());
}

#[test]
fn rare_emptiness_is_an_issue() {
    let mut texts = corpus(100, 1);
    texts[7] = " \n".into();
    texts[8] = "好".into();
    let views: Vec<&str> = texts.iter().map(String::as_str).collect();
    let report = text_quality(&views);
    assert_eq!(report.texts[7].issue, Some(TextIssue::Empty));
    assert_eq!(report.texts[8].issue, Some(TextIssue::Short));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_texts_in_any_order(texts in prop::collection::vec(any::<String>(), 0..30)) {
        let views: Vec<&str> = texts.iter().map(String::as_str).collect();
        let report = text_quality(&views);
        for t in &report.texts {
            for v in [t.repetition, t.surprise, t.symbols] {
                prop_assert!((0.0..=1.0).contains(&v), "{:?}", t);
            }
        }
        let back: Vec<&str> = views.iter().rev().copied().collect();
        let mut again = text_quality(&back);
        again.texts.reverse();
        prop_assert_eq!(again, report);
    }
}
