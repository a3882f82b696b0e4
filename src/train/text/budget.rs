//! How many tokens of each field a network reads.
//!
//! Every field is sure of its own budget. What a short field leaves is shared out: to the title first,
//! which is only cut where it alone is longer than everything, then to ASR, and to OCR last. A title
//! longer than its budget takes from OCR first, then from ASR. (Practice of the WeChat 2022 teams: OCR is
//! dropped first, then ASR, never the title; music gives ASR that says nothing, so that no field should
//! crowd out another.)

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Tokens that each field is sure of; together the most that is read of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    pub title: usize,
    pub asr: usize,
    pub ocr: usize,
}

impl Default for Budget {
    /// 32, 16, 16: the 64 tokens of the preset networks.
    fn default() -> Self {
        Self { title: 32, asr: 16, ocr: 16 }
    }
}

impl Budget {
    /// The most tokens of a sample.
    pub fn total(&self) -> usize {
        self.title + self.asr + self.ocr
    }

    /// Tokens read of title, ASR and OCR of these `lengths`: no more than the field has, together no more
    /// than [`total`](Self::total), and all of it is used where the fields are long enough.
    pub fn shared(&self, lengths: [usize; 3]) -> [usize; 3] {
        let title = lengths[0].min(self.total());
        let rest = self.total() - title;
        let asr = lengths[1].min(self.asr).min(rest);
        let ocr = lengths[2].min(self.ocr).min(rest - asr);
        let spare = rest - asr - ocr;
        let more_asr = spare.min(lengths[1] - asr);
        let more_ocr = (spare - more_asr).min(lengths[2] - ocr);
        [title, asr + more_asr, ocr + more_ocr]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let b = Budget { title: 10, asr: 6, ocr: 4 };
        for (lengths, want) in [
            ([3, 2, 1], [3, 2, 1]),
            ([10, 9, 9], [10, 6, 4]),   // each its own
            ([4, 9, 9], [4, 9, 7]),     // 6 spare: 3 to ASR, 3 to OCR
            ([4, 30, 9], [4, 12, 4]),   // ASR takes all that is spare, OCR keeps its own
            ([10, 0, 30], [10, 0, 10]), // OCR fills what ASR leaves
            ([13, 9, 9], [13, 6, 1]),   // a long title: OCR gives first,
            ([17, 9, 9], [17, 3, 0]),   // then ASR,
            ([50, 9, 9], [20, 0, 0]),   // and only now is it cut itself
        ] {
            assert_eq!(b.shared(lengths), want, "{lengths:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_wasted_and_the_title_is_whole(
            lengths in prop::array::uniform3(0usize..200),
            budget in prop::array::uniform3(0usize..90),
        ) {
            let b = Budget { title: budget[0], asr: budget[1], ocr: budget[2] };
            let got = b.shared(lengths);
            prop_assert!(got.iter().zip(lengths).all(|(g, l)| *g <= l));
            prop_assert_eq!(got.iter().sum::<usize>(), lengths.iter().sum::<usize>().min(b.total()));
            prop_assert_eq!(got[0], lengths[0].min(b.total()));
            if lengths[0] <= b.title {
                prop_assert!(got[1] >= lengths[1].min(b.asr) && got[2] >= lengths[2].min(b.ocr));
            }
        }
    }
}
