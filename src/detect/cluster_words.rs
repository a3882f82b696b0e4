//! What the texts of a cluster are about, in words: those that are frequent in it and rare elsewhere.
//!
//! Class-based TF-IDF (Grootendorst, "BERTopic", 2022): a word's weight in a cluster is its count there
//! times ln(1 + A / f), A the mean number of words a cluster, f the word's count in all clusters together.
//! Texts come as lists of words, cut by whoever knows their language.

use std::collections::HashMap;

/// Among at least this many clusters a word of more than half of them tells none from the rest: "the", 一个.
const ENOUGH: usize = 8;

/// Counts words by cluster, one text at a time; memory for the distinct words of each cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterWords {
    /// Number of each word.
    numbers: HashMap<String, u32>,
    /// (cluster) word number to count.
    counts: Vec<HashMap<u32, u32>>,
}

impl ClusterWords {
    /// Counts the words of one text of `cluster`, each as often as it is given. O(words).
    pub fn add<W: AsRef<str>>(&mut self, cluster: u32, words: impl IntoIterator<Item = W>) {
        let at = cluster as usize;
        if at >= self.counts.len() {
            self.counts.resize_with(at + 1, HashMap::new);
        }
        for word in words {
            let word = word.as_ref();
            let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
            let number = match self.numbers.get(word) {
                Some(&number) => number,
                None => *self.numbers.entry(word.to_owned()).or_insert(next),
            };
            *self.counts[at].entry(number).or_default() += 1;
        }
    }

    /// The `most` words of largest weight of each cluster, heaviest first, equals in the order of their
    /// letters. A word counted once in the whole cluster names nothing, nor does one that is everywhere. Clusters up to the largest number
    /// given; without words an empty list. O(distinct words by cluster).
    pub fn top(&self, most: usize) -> Vec<Vec<String>> {
        let mut words = vec![""; self.numbers.len()];
        self.numbers.iter().for_each(|(word, &number)| words[number as usize] = word.as_str());
        let mut overall = vec![0u64; words.len()];
        for (&number, &n) in self.counts.iter().flatten() {
            overall[number as usize] += u64::from(n);
        }
        let filled = self.counts.iter().filter(|c| !c.is_empty()).count().max(1);
        let mut clusters = vec![0usize; words.len()];
        self.counts.iter().flat_map(HashMap::keys).for_each(|&number| clusters[number as usize] += 1);
        let everywhere = |number: u32| filled >= ENOUGH && clusters[number as usize] * 2 > filled;
        let mean = overall.iter().sum::<u64>() as f64 / filled as f64;
        let of = |counts: &HashMap<u32, u32>| {
            let mut weighed: Vec<(f64, &str)> = counts
                .iter()
                .filter(|&(&number, &n)| n > 1 && !everywhere(number))
                .map(|(&number, &n)| {
                    let idf = (mean / overall[number as usize] as f64).ln_1p();
                    (f64::from(n) * idf, words[number as usize])
                })
                .collect();
            weighed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            weighed.into_iter().take(most).map(|(_, word)| word.to_owned()).collect()
        };
        self.counts.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(texts: &[(u32, &str)]) -> ClusterWords {
        let mut words = ClusterWords::default();
        texts.iter().for_each(|(cluster, text)| words.add(*cluster, text.split(' ')));
        words
    }

    /// Cluster 0 has a x3, b x2, the x4; cluster 2 has c x2, the x5. A = 16 / 2 = 8.
    /// a: 3 ln(1 + 8/3) = 3.898; b: 2 ln 5 = 3.219; the: 4 ln(1 + 8/9) = 2.544.
    /// c: 2 ln 5 = 3.219; the: 5 ln(1 + 8/9) = 3.180.
    #[test]
    fn by_hand() {
        let words = counted(&[(0, "a a a b b the the the the"), (2, "c c the the the the the")]);
        assert_eq!(words.top(3), [vec!["a", "b", "the"], vec![], vec!["c", "the"]]);
        assert_eq!(words.top(1), [vec!["a"], vec![], vec!["c"]]);
    }

    #[test]
    fn words_seen_once_name_nothing_and_equals_go_by_their_letters() {
        let words = counted(&[(0, "x y y z z once"), (1, "滑板 滑板 教学")]);
        assert_eq!(words.top(9), [vec!["y", "z"], vec!["滑板"]]);
        assert_eq!(ClusterWords::default().top(3), Vec::<Vec<String>>::new());
    }

    #[test]
    fn words_of_every_other_cluster_name_none() {
        let texts: Vec<(u32, String)> = (0..8).map(|c| (c, format!("w{c} w{c} the the the the"))).collect();
        let texts: Vec<(u32, &str)> = texts.iter().map(|(c, t)| (*c, t.as_str())).collect();
        assert_eq!(counted(&texts).top(2)[3], ["w3"]);
        assert_eq!(counted(&texts[..7]).top(2)[3], ["w3", "the"]);
    }

    proptest! {
        /// The order of the texts does not matter, nor what the clusters are called.
        #[test]
        fn order_does_not_matter(texts in prop::collection::vec((0u32..4, prop::collection::vec(0u8..12, 0..8)), 0..40)) {
            let all = |texts: &[(u32, Vec<u8>)], turn: u32| {
                let mut words = ClusterWords::default();
                // every cluster is there
                (0..4).for_each(|c| words.add(c, [""; 0]));
                texts.iter().for_each(|(c, t)| words.add((c + turn) % 4, t.iter().map(|w| format!("w{w}"))));
                words.top(3)
            };
            let there = all(&texts, 0);
            let back: Vec<_> = texts.iter().rev().cloned().collect();
            prop_assert_eq!(&all(&back, 0), &there);
            let mut turned = all(&texts, 1);
            turned.rotate_left(1);
            prop_assert_eq!(turned, there);
        }
    }
}
