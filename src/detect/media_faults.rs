//! Clips unlike the rest by what is known of the file: very short, of a tiny picture, of an odd frame rate.
//! Each against the data set itself: a set of one-second clips has no short ones.

use crate::domain::issue::{MediaFault, MediaProblem};

/// What is known of a clip; NaN where it is not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    pub seconds: f32,
    /// Shorter side of the picture, in pixels.
    pub side: f32,
    /// Frames a second.
    pub fps: f32,
}

impl Clip {
    pub const UNKNOWN: Clip = Clip { seconds: f32::NAN, side: f32::NAN, fps: f32::NAN };
}

/// Below this share of the median a clip is short or its picture tiny; beyond its inverse or below it a frame
/// rate is odd.
const SHARE: f32 = 0.25;
/// More clips than this share are no exceptions.
const RARE: f32 = 0.05;
/// Between these a cut lies, in the unit of each: what is shorter or smaller is bad in any data set, what is
/// longer or larger good in any.
const SECONDS: (f32, f32) = (0.2, 3.0);
const SIDE: (f32, f32) = (32.0, 144.0);
const SLOW: (f32, f32) = (1.0, 8.0);
const FAST: (f32, f32) = (90.0, 240.0);

/// The faults of each clip (N), in input order. O(N).
pub fn media_faults(clips: &[Clip]) -> Vec<Vec<MediaFault>> {
    let mut faults = vec![Vec::new(); clips.len()];
    let mut judge =
        |problem: MediaProblem, of: fn(&Clip) -> f32, low: (f32, f32), high: Option<(f32, f32)>| {
            let values: Vec<f32> = clips.iter().map(of).collect();
            let mut known: Vec<f32> = values.iter().copied().filter(|v| v.is_finite() && *v > 0.0).collect();
            if known.is_empty() {
                return;
            }
            let middle = known.len() / 2;
            let usual = *known.select_nth_unstable_by(middle, f32::total_cmp).1;
            let rare = |count: usize| count as f32 <= RARE * known.len() as f32;
            let below = (SHARE * usual).clamp(low.0, low.1);
            let below = if rare(known.iter().filter(|v| **v < below).count()) { below } else { low.0 };
            let above = high.map(|high| (usual / SHARE).clamp(high.0, high.1));
            let above = above.zip(high).map_or(f32::INFINITY, |(above, high)| {
                if rare(known.iter().filter(|v| **v > above).count()) { above } else { high.1 }
            });
            for (faults, value) in faults.iter_mut().zip(values) {
                if value > 0.0 && (value < below || value > above) {
                    faults.push(MediaFault { problem, value, usual });
                }
            }
        };
    judge(MediaProblem::Short, |c| c.seconds, SECONDS, None);
    judge(MediaProblem::Tiny, |c| c.side, SIDE, None);
    judge(MediaProblem::FrameRate, |c| c.fps, SLOW, Some(FAST));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(n: usize) -> Vec<Clip> {
        (0..n).map(|i| Clip { seconds: 8.0 + i as f32 * 0.1, side: 720.0, fps: 25.0 }).collect()
    }

    #[test]
    fn odd_clips_are_told_and_no_others() {
        let mut clips = usual(60);
        clips[3].seconds = 0.9;
        clips[7] = Clip { side: 90.0, fps: 2.0, ..clips[7] };
        clips[9].fps = 120.0;
        clips[12] = Clip::UNKNOWN;
        clips[13].fps = 0.0; // unknown
        let found = media_faults(&clips);
        let of = |i: usize| found[i].iter().map(|f| (f.problem, f.value)).collect::<Vec<_>>();
        assert_eq!(of(3), [(MediaProblem::Short, 0.9)]);
        assert_eq!(of(7), [(MediaProblem::Tiny, 90.0), (MediaProblem::FrameRate, 2.0)]);
        assert_eq!(of(9), [(MediaProblem::FrameRate, 120.0)]);
        assert_eq!(found.iter().filter(|f| !f.is_empty()).count(), 3);
        assert_eq!(found[7][0].usual, 720.0);
    }

    #[test]
    fn what_is_common_in_the_set_is_no_fault() {
        let short = Clip { seconds: 1.0, side: 120.0, fps: 8.0 };
        assert!(media_faults(&[short; 40]).iter().all(Vec::is_empty));
        // a tenth of the clips is short: they belong to the set
        let mut clips = usual(40);
        clips[..4].iter_mut().for_each(|c| c.seconds = 1.0);
        assert!(media_faults(&clips).iter().all(Vec::is_empty));
        // but nothing is seen in a twentieth of a second
        clips[5].seconds = 0.05;
        assert_eq!(media_faults(&clips)[5].len(), 1);
        assert!(media_faults(&[]).is_empty());
        assert!(media_faults(&[Clip::UNKNOWN; 3]).iter().all(Vec::is_empty));
    }
}
