//! Given labels: some withheld, some made wrong by a seeded rule.

use rand::Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Class, Clip};

/// Share of clips without a given label.
const UNLABELLED: f64 = 0.10;
/// Share of labelled clips whose label is made wrong.
const WRONG: f64 = 0.12;
/// Share of the wrong ones that stay under the same parent, where it has other classes.
const SIBLING: f64 = 0.6;

/// Given class of each clip (`None`: unlabelled), in the order of `clips`.
pub(super) fn given_labels(classes: &[Class], clips: &[Clip], seed: u64) -> Vec<Option<usize>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    clips
        .iter()
        .map(|clip| {
            if rng.gen_bool(UNLABELLED) {
                return None;
            }
            if !rng.gen_bool(WRONG) {
                return Some(clip.class);
            }
            let parent = &classes[clip.class].parent;
            let others = |same: bool| -> Vec<usize> {
                (0..classes.len())
                    .filter(|&c| c != clip.class && (!same || classes[c].parent == *parent))
                    .collect()
            };
            let siblings = others(true);
            let pool = if !siblings.is_empty() && rng.gen_bool(SIBLING) { siblings } else { others(false) };
            pool.choose(&mut rng).copied().or(Some(clip.class))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Picture;

    #[test]
    fn the_same_seed_plants_the_same_errors_at_about_the_stated_rate() {
        let class = |id: &str, parent: &str| Class {
            id: id.into(),
            parent: parent.into(),
            name_en: String::new(),
            name_zh: String::new(),
        };
        let classes = [class("a", "x"), class("b", "x"), class("c", "y")];
        let clips: Vec<Clip> = (0..3000)
            .map(|i| Clip {
                id: i.to_string(),
                class: i % 3,
                title: String::new(),
                picture: Picture::Source(String::new()),
                seconds: 3.0,
            })
            .collect();
        let given = given_labels(&classes, &clips, 1);
        assert_eq!(given, given_labels(&classes, &clips, 1));
        assert_ne!(given, given_labels(&classes, &clips, 2));
        let labelled = given.iter().flatten().count();
        let wrong = given.iter().zip(&clips).filter(|(g, c)| g.is_some_and(|g| g != c.class)).count();
        assert!((2600..2800).contains(&labelled), "{labelled}");
        assert!((260..400).contains(&wrong), "{wrong}");
    }
}
