//! What cleanlab 2.9's Datalab says of a small made-up set, for tests: issue managers `outlier`,
//! `near_duplicate` and `non_iid`, k = 5, cosine distances by scikit-learn in f64.

use ndarray::Array2;

/// 40 x 20 integers; row 31 copies row 4, row 32 nearly copies row 5, row 33 points elsewhere.
pub(super) fn features() -> Array2<f32> {
    let mut x = Array2::from_shape_fn((40, 20), |(i, j)| ((i * 7919 + j * 104_729 + i * j * 31) % 97) as f32);
    for (to, from) in [(31, 4), (32, 5)] {
        let row = x.row(from).to_owned();
        x.row_mut(to).assign(&row);
    }
    x[[32, 0]] += 1.0;
    x.row_mut(33).fill(0.0);
    (x[[33, 3]], x[[33, 7]]) = (-1.0, -2.0);
    x
}

#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as they were printed")]
pub(super) const OUTLIER: [f32; 40] = [
    0.3125177, 0.5681896, 0.3547751, 0.3377772, 0.3753965, 0.4820710, 0.2609581, 0.3024228,
    0.3314041, 0.4343977, 0.2953194, 0.3591982, 0.4911389, 0.3705760, 0.3870958, 0.3517294,
    0.3701804, 0.2950375, 0.3633618, 0.4431179, 0.2939635, 0.3955698, 0.3488076, 0.2716774,
    0.3062293, 0.2943119, 0.5464046, 0.3706001, 0.3797188, 0.3452858, 0.3777159, 0.3753965,
    0.4829413, 0.0008996, 0.3871234, 0.3655928, 0.3631954, 0.4211012, 0.3817886, 0.3845479,
];
pub(super) const OUTLIER_CUT: f64 = 0.2146084529296401;
pub(super) const IS_OUTLIER: [usize; 1] = [33];

#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as they were printed")]
pub(super) const NEAR_DUPLICATE: [f32; 40] = [
    0.6943423, 0.0477206, 0.6321376, 0.6455033, 0.0000000, 0.0000625, 0.7236136, 0.6752737,
    0.6632447, 0.4099313, 0.7269565, 0.6524613, 0.0631464, 0.6081984, 0.6232465, 0.6320695,
    0.6169449, 0.6872539, 0.6016451, 0.5693986, 0.7333162, 0.5699600, 0.6515904, 0.6702512,
    0.6734362, 0.7132401, 0.0477206, 0.6346606, 0.6175679, 0.6322170, 0.6549124, 0.0000000,
    0.0000625, 0.9996495, 0.4099313, 0.6514619, 0.6649165, 0.0631464, 0.6081984, 0.6321035,
];
pub(super) const IS_NEAR_DUPLICATE: [usize; 8] = [1, 4, 5, 12, 26, 31, 32, 37];

#[rustfmt::skip]
#[expect(clippy::excessive_precision, reason = "as they were printed")]
pub(super) const NON_IID: [f32; 40] = [
    0.9007763, 0.8834382, 0.8937227, 0.8479655, 0.9208921, 0.8767471, 0.9380132, 0.9562827,
    0.8920093, 0.8143373, 0.9355595, 0.8621563, 0.9035063, 0.7957894, 0.7487879, 0.9531625,
    0.9089071, 0.8805068, 0.8990629, 0.8594231, 0.9215717, 0.8853657, 0.9138504, 0.9275519,
    0.7973939, 0.8384534, 0.8854167, 0.9195475, 0.9065918, 0.9082166, 0.9284133, 0.8841454,
    0.9354265, 0.9445015, 0.8630825, 0.9356933, 0.9363398, 0.9184765, 0.9447930, 0.9353304,
];
/// Its statistic compares the empirical distribution just below each value.
pub(super) const NON_IID_KS: f64 = 0.10615384615384627;
