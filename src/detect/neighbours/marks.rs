//! The filter's inner loops: which pairs of a row and a tile's columns could still matter.

use super::codes::Coded;

/// What the bound needs of a tile's columns, one array each so that eight are done at a time.
#[derive(Default)]
pub(super) struct Columns {
    scale: Vec<f32>,
    lost: Vec<f32>,
    reach: Vec<f32>,
    offset: Vec<f32>,
    pub(super) bar: Vec<f32>,
}

impl Columns {
    pub(super) fn fill(&mut self, rows: &[Coded]) {
        let set = |out: &mut Vec<f32>, f: fn(&Coded) -> f32| {
            out.clear();
            out.extend(rows.iter().map(f));
        };
        set(&mut self.scale, |r| r.scale);
        set(&mut self.lost, |r| r.lost);
        set(&mut self.reach, |r| r.kept + r.lost);
        set(&mut self.offset, |r| r.offset);
    }
}

/// Sets `bit` in the mask of every column from `first` on whose product plus `slack` reaches the row's
/// or the column's bar.
#[inline(always)]
fn mark_body(
    products: &[f32],
    bar: f32,
    slack: f32,
    bars: &[f32],
    bit: u32,
    first: usize,
    masks: &mut [u32],
) {
    let n = products.len();
    let (bars, masks) = (&bars[..n], &mut masks[..n]);
    for j in first..n {
        let least = if bars[j] < bar { bars[j] } else { bar };
        masks[j] |= if products[j] + slack >= least { bit } else { 0 };
    }
}

/// [`mark_body`] with the bound of [`Codes`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn mark_coded_body(
    products: &[i32],
    row: Coded,
    bar: f32,
    slack: f32,
    columns: &Columns,
    bit: u32,
    first: usize,
    masks: &mut [u32],
) {
    let n = products.len();
    let (scale, lost, reach) = (&columns.scale[..n], &columns.lost[..n], &columns.reach[..n]);
    let (offset, bars, masks) = (&columns.offset[..n], &columns.bar[..n], &mut masks[..n]);
    let base = row.offset + slack;
    for j in first..n {
        let product = (products[j] - row.shift) as f32 * (row.scale * scale[j]);
        let most = product + row.kept * lost[j] + row.lost * reach[j] + (base + offset[j]);
        let least = if bars[j] < bar { bars[j] } else { bar };
        masks[j] |= if most >= least { bit } else { 0 };
    }
}

/// Compiles a function a second time for AVX2 and takes that one where the machine has it. Both round
/// alike: Rust never merges a multiplication and an addition.
macro_rules! with_avx2 {
    ($name:ident = $body:ident($($arg:ident: $type:ty),* $(,)?)) => {
        #[allow(clippy::too_many_arguments)]
        pub(super) fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $type),*) {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: AVX2 was just detected; the function is safe otherwise.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

with_avx2!(mark = mark_body(
    products: &[f32], bar: f32, slack: f32, bars: &[f32], bit: u32, first: usize, masks: &mut [u32],
));
with_avx2!(mark_coded = mark_coded_body(
    products: &[i32], row: Coded, bar: f32, slack: f32, columns: &Columns, bit: u32, first: usize,
    masks: &mut [u32],
));
