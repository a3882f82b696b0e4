//! Which frames of a clip a network reads: in training a random set in its order of time, another one each
//! epoch; in evaluation an even spread, always the same.

use rand::seq::index;

use crate::arrays::{mix, rng};

/// No network reads more frames of a clip.
pub const MOST_FRAMES: usize = 32;

/// At most `count` of `n` frames, ascending: all of them where there are no more, else a uniformly random
/// subset that follows from seed, epoch and the sample's row alone, so that the order in which samples are
/// visited and the number of threads change nothing. O(count log count).
pub fn random_frames(n: usize, count: usize, seed: u64, epoch: u64, row: u64) -> Vec<usize> {
    if n <= count {
        return (0..n).collect();
    }
    let mut frames = index::sample(&mut rng(mixed(seed, epoch, row)), n, count).into_vec();
    frames.sort_unstable();
    frames
}

/// At most `count` of `n` frames, ascending: all of them where there are no more, else the middle frame of
/// each of `count` equal parts. O(count).
pub fn uniform_frames(n: usize, count: usize) -> Vec<usize> {
    if n <= count {
        return (0..n).collect();
    }
    (0..count).map(|i| (2 * i + 1) * n / (2 * count)).collect()
}

/// One seed of three numbers, each stirred in by SplitMix64.
fn mixed(seed: u64, epoch: u64, row: u64) -> u64 {
    [epoch, row].into_iter().fold(seed, |h, v| mix(h.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_add(v)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_even_spread_by_hand() {
        assert_eq!(uniform_frames(10, 5), [1, 3, 5, 7, 9]);
        assert_eq!(uniform_frames(7, 2), [1, 5]); // 7/4 and 21/4
        assert_eq!(uniform_frames(9, 1), [4]);
        assert_eq!(uniform_frames(3, 8), [0, 1, 2]);
        assert!(uniform_frames(0, 8).is_empty() && uniform_frames(5, 0).is_empty());
    }

    #[test]
    fn every_frame_is_drawn_equally_often() {
        let mut drawn = [0u32; 12];
        for epoch in 0..100 {
            for row in 0..60 {
                random_frames(12, 4, 7, epoch, row).into_iter().for_each(|f| drawn[f] += 1);
            }
        }
        // 6000 draws of 1/3 each: 2000 with a standard deviation of 36.5
        assert!(drawn.iter().all(|n| n.abs_diff(2000) < 4 * 37), "{drawn:?}");
    }

    #[test]
    fn seed_epoch_and_row_each_change_the_draw() {
        let base = random_frames(1000, 20, 1, 2, 3);
        assert_eq!(base, random_frames(1000, 20, 1, 2, 3));
        for (seed, epoch, row) in [(2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 3, 2)] {
            assert_ne!(base, random_frames(1000, 20, seed, epoch, row));
        }
    }

    proptest! {
        #[test]
        fn in_order_without_repeats(n in 0usize..100, count in 0usize..=MOST_FRAMES, seed: u64) {
            for frames in [uniform_frames(n, count), random_frames(n, count, seed, 0, 0)] {
                prop_assert_eq!(frames.len(), n.min(count));
                prop_assert!(frames.windows(2).all(|w| w[0] < w[1]));
                prop_assert!(frames.iter().all(|f| *f < n));
            }
        }
    }
}
