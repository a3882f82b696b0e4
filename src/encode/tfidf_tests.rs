//! The built-in encoder on Chinese and English titles.

use super::*;

const TITLES: [&str; 12] = [
    "滑板豚跳教学第三期，新手必看",
    "新手滑板教学：豚跳怎么练",
    "红烧肉的家常做法",
    "家常红烧肉做法，简单又好吃",
    "机器狗翻越障碍",
    "眼妆教程：日常淡妆",
    "How to ollie: skateboard basics for beginners",
    "Skateboard ollie lesson for beginners",
    "Braised pork, the way my mother cooks it",
    "Robot dog jumps over a wall",
    "Smoky eye makeup tutorial",
    "",
];

fn cosine(a: usize, b: usize, rows: &Array2<f32>) -> f32 {
    rows.row(a).dot(&rows.row(b))
}

#[test]
fn like_titles_are_nearer_than_unlike_ones() {
    let encoder = HashedTfIdf::fit(TITLES, 512);
    let rows = encoder.encode(&TITLES).unwrap();
    for (a, b) in [(0, 1), (2, 3), (6, 7)] {
        let near = cosine(a, b, &rows);
        assert!(near > 0.2, "{} / {}: {near}", TITLES[a], TITLES[b]);
        for c in (0..11).filter(|c| *c != a && *c != b) {
            assert!(near > cosine(a, c, &rows) + 0.1, "{} is as near to {}", TITLES[a], TITLES[c]);
        }
    }
}

#[test]
fn rows_have_unit_length_and_empty_texts_are_zero() {
    let rows = HashedTfIdf::fit(TITLES, 300).encode(&[TITLES[0], "", " \n", "!?", TITLES[6]]).unwrap();
    let norms: Vec<f32> = rows.rows().into_iter().map(|r| r.dot(&r)).collect();
    assert!((norms[0] - 1.0).abs() < 1e-5 && (norms[4] - 1.0).abs() < 1e-5);
    assert_eq!(norms[1..4], [0.0, 0.0, 0.0]);
}

#[test]
fn the_same_corpus_gives_the_same_bytes_version_and_vectors() {
    let a = HashedTfIdf::fit(TITLES, 128);
    let reversed = HashedTfIdf::fit(TITLES.iter().rev(), 128);
    assert_eq!(a.to_bytes(), reversed.to_bytes());
    let loaded = HashedTfIdf::from_bytes(&a.to_bytes()).unwrap();
    assert_eq!(loaded.version(), a.version());
    assert_eq!(loaded.encode(&TITLES).unwrap(), a.encode(&TITLES).unwrap());

    let other = HashedTfIdf::fit(&TITLES[1..], 128);
    assert_ne!(other.version(), a.version(), "another corpus is another encoder");
    assert_ne!(HashedTfIdf::fit(TITLES, 64).version(), a.version());
}

#[test]
fn one_text_does_not_change_another_row() {
    let encoder = HashedTfIdf::fit(TITLES, 128);
    let together = encoder.encode(&TITLES).unwrap();
    for (i, title) in TITLES.iter().enumerate() {
        assert_eq!(encoder.encode(&[title]).unwrap().row(0), together.row(i));
    }
}

#[test]
fn rare_words_weigh_more_than_common_ones() {
    let corpus: Vec<String> = (0..100).map(|i| format!("video number{i}")).collect();
    let encoder = HashedTfIdf::fit(&corpus, 1024);
    let rows = encoder.encode(&["video number7", "video", "number7"]).unwrap();
    assert!(cosine(0, 2, &rows) > cosine(0, 1, &rows) + 0.2);
}

#[test]
fn texts_without_a_feature_in_common_are_at_right_angles() {
    let rows = HashedTfIdf::fit(TITLES, 64).encode(&[TITLES[2], TITLES[9], "\u{16a0}\u{16b1}"]).unwrap();
    assert!(cosine(0, 1, &rows).abs() < 0.05, "{}", cosine(0, 1, &rows));
    assert_eq!(cosine(2, 2, &rows), 0.0, "nothing of it is known to the corpus");
}

#[test]
fn a_large_corpus_is_sampled_and_gives_the_same_bytes_in_any_order() {
    let corpus: Vec<String> = (0..5000).map(|i| format!("clip {} of set {}", i % 97, i)).collect();
    let a = HashedTfIdf::fit(&corpus, 16);
    assert_eq!(a.to_bytes(), HashedTfIdf::fit(corpus.iter().rev(), 16).to_bytes());
    assert!(a.to_bytes().len() < 40 * VOCABULARY);
}

#[test]
fn an_empty_corpus_gives_zero_vectors() {
    let encoder = HashedTfIdf::fit::<&str>([], 8);
    assert_eq!(encoder.encode(&["a"]).unwrap(), Array2::<f32>::zeros((1, 8)));
    assert_eq!(HashedTfIdf::from_bytes(&encoder.to_bytes()).unwrap().version(), encoder.version());
}
