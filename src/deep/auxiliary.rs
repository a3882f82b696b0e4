//! Objectives that need no labels, on a batch of clips: masked tokens are guessed (MLM), masked frames are
//! told from the other frames of the batch (MFM, by noise-contrastive estimation), frames of another clip are
//! noticed (VTM), and titles and frames of a clip find each other (contrastive). Each is a choice of one
//! column among logits; rates and temperature as in the challenge's winning recipes.

use burn_tensor::Tensor;
use rand::Rng as _;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus as Rng;
use tamis_core::train::Recipe;
use tamis_core::train::text::{MASK, SPECIALS};

use crate::batch::{Batch, TITLE};
use crate::data::Task;
use crate::loss::pick;
use crate::network::{Out, forward, mean};
use crate::tape::{Tape, numbers};

const MASKED_TOKENS: f32 = 0.15;
const MASKED_FRAMES: f32 = 0.2;
const TEMPERATURE: f32 = 0.07;

/// A loss that burn is told by its gradient: value, and a tensor whose gradients are the loss's.
pub(crate) type Told = (f32, Tensor<1>);

/// `logits` with the loss's gradient by them, as a tensor that backward starts from.
pub(crate) fn told(tape: &Tape, logits: Tensor<2>, gradient: Vec<f32>) -> Tensor<1> {
    let shape = logits.dims();
    (logits * tape.data(gradient, shape)).sum()
}

/// Loss of choosing `columns`, one a row.
fn choice(tape: &Tape, logits: Tensor<2>, columns: &[Option<usize>], strength: f32) -> Told {
    let mut values = numbers(logits.clone().detach());
    let loss = pick(&mut values, logits.dims()[1], columns, strength);
    (loss, told(tape, logits, values))
}

/// The recipe's objectives on a batch, each times its weight. Two passes of the network at most.
pub(crate) fn objectives(
    recipe: &Recipe,
    task: &Task,
    tape: &Tape,
    batch: &Batch,
    mean_frame: &[f32],
    rng: &mut Rng,
) -> Vec<Told> {
    let weights = &recipe.auxiliary;
    let mut all = Vec::new();
    if weights.mlm + weights.mfm + weights.contrastive > 0.0 {
        let mut masked = batch.clone();
        let tokens = if weights.mlm > 0.0 { mask_tokens(&mut masked, task, rng) } else { Vec::new() };
        let frames = if weights.mfm > 0.0 { mask_frames(&mut masked, mean_frame, rng) } else { Vec::new() };
        let out = forward(recipe, tape, &masked);
        all.extend(mlm(tape, &out, batch, &tokens, weights.mlm));
        all.extend(mfm(tape, &out, batch, &frames, weights.mfm));
        all.extend(contrastive(tape, &out, batch, weights.contrastive));
    }
    if weights.vtm > 0.0
        && let Some((swapped, together)) = swap_frames(batch, rng)
    {
        let out = forward(recipe, tape, &swapped);
        all.push(choice(tape, tape.linear(out.features, "vtm"), &together, weights.vtm));
    }
    all
}

/// Hides live tokens (of ten, eight behind MASK, one behind a random one, one stays); which.
fn mask_tokens(batch: &mut Batch, task: &Task, rng: &mut Rng) -> Vec<usize> {
    let live: Vec<usize> = (0..batch.ids.len()).filter(|&j| batch.text_live[j] > 0.0).collect();
    let picked: Vec<usize> = live.into_iter().filter(|_| rng.r#gen::<f32>() < MASKED_TOKENS).collect();
    for &j in &picked {
        let first = SPECIALS.len() as i64;
        match rng.gen_range(0..10) {
            0 if task.vocabulary as i64 > first => {
                batch.ids[j] = rng.gen_range(first..task.vocabulary as i64)
            }
            0 | 1 => {}
            _ => batch.ids[j] = i64::from(MASK),
        }
    }
    picked
}

/// Puts the mean frame in the place of live frames; which.
fn mask_frames(batch: &mut Batch, mean_frame: &[f32], rng: &mut Rng) -> Vec<usize> {
    let live: Vec<usize> = (0..batch.frame_live.len()).filter(|&j| batch.frame_live[j] > 0.0).collect();
    let picked: Vec<usize> = live.into_iter().filter(|_| rng.r#gen::<f32>() < MASKED_FRAMES).collect();
    let dim = mean_frame.len();
    for &j in &picked {
        batch.input[j * dim..(j + 1) * dim].copy_from_slice(mean_frame);
    }
    picked
}

/// Gives half of the rows each other's frames; whether each row's frames are its own (column 1). Rows
/// without frames or without text do not count. `None` where fewer than two rows could be mixed up.
fn swap_frames(batch: &Batch, rng: &mut Rng) -> Option<(Batch, Vec<Option<usize>>)> {
    let (f, t) = (batch.frame_live.len() / batch.n, batch.length);
    let has = |live: &[f32], s: usize, i: usize| live[i * s..(i + 1) * s].contains(&1.0);
    let mut both: Vec<usize> =
        (0..batch.n).filter(|&i| has(&batch.frame_live, f, i) && has(&batch.text_live, t, i)).collect();
    let mut together: Vec<Option<usize>> = vec![None; batch.n];
    both.iter().for_each(|&i| together[i] = Some(1));
    both.shuffle(rng);
    both.truncate(both.len().div_ceil(2));
    if both.len() < 2 {
        return None;
    }
    let mut swapped = batch.clone();
    let width = batch.input.len() / batch.n;
    for (at, &i) in both.iter().enumerate() {
        let from = both[(at + 1) % both.len()];
        swapped.input[i * width..(i + 1) * width]
            .copy_from_slice(&batch.input[from * width..(from + 1) * width]);
        swapped.frame_live[i * f..(i + 1) * f].copy_from_slice(&batch.frame_live[from * f..(from + 1) * f]);
        together[i] = Some(0);
    }
    Some((swapped, together))
}

/// Rows of (n, s, d) states by their flat position.
fn rows(tape: &Tape, states: Tensor<3>, picked: &[usize]) -> Tensor<2> {
    let [n, s, d] = states.dims();
    let index = tape.whole(picked.iter().map(|&j| j as i64).collect(), [picked.len()]);
    states.reshape([n * s, d]).select(0, index)
}

fn mlm(tape: &Tape, out: &Out, batch: &Batch, picked: &[usize], strength: f32) -> Option<Told> {
    let states = out.text.clone().filter(|_| strength > 0.0 && !picked.is_empty())?;
    let guesses = rows(tape, states, picked).matmul(tape.weight::<2>("text.embed.weight").transpose());
    let logits = guesses + tape.weight::<1>("mlm.bias").unsqueeze::<2>();
    let right: Vec<_> = picked.iter().map(|&j| Some(batch.ids[j] as usize)).collect();
    Some(choice(tape, logits, &right, strength))
}

/// Rows at unit length.
fn unit(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().square().sum_dim(1).add_scalar(1e-12).sqrt();
    x / length
}

fn mfm(tape: &Tape, out: &Out, batch: &Batch, picked: &[usize], strength: f32) -> Option<Told> {
    let states = out.frames.clone().filter(|_| strength > 0.0 && !picked.is_empty())?;
    let live: Vec<usize> = (0..batch.frame_live.len()).filter(|&j| batch.frame_live[j] > 0.0).collect();
    let dim = batch.input.len() / batch.frame_live.len();
    let keys: Vec<f32> =
        live.iter().flat_map(|&j| batch.input[j * dim..(j + 1) * dim].iter().copied()).collect();
    let keys = tape.data(keys, [live.len(), dim]) - tape.weight::<1>("input.mean").unsqueeze::<2>();
    let keys = unit(keys * tape.weight::<1>("input.scale").unsqueeze::<2>());
    let guesses = unit(tape.linear(rows(tape, states, picked), "mfm"));
    let logits = guesses.matmul(keys.transpose()).div_scalar(TEMPERATURE);
    let right: Vec<_> = picked.iter().map(|j| live.binary_search(j).ok()).collect();
    Some(choice(tape, logits, &right, strength))
}

fn contrastive(tape: &Tape, out: &Out, batch: &Batch, strength: f32) -> Option<Told> {
    if strength == 0.0 {
        return None;
    }
    let (frames, text) = (out.frames_alone.clone()?, out.text_alone.clone()?);
    let titles: Vec<f32> =
        batch.text_live.iter().zip(&batch.kinds).map(|(l, k)| if *k == TITLE { *l } else { 0.0 }).collect();
    let (f, t) = (batch.frame_live.len() / batch.n, batch.length);
    let has = |live: &[f32], s: usize, i: usize| live[i * s..(i + 1) * s].contains(&1.0);
    let both: Vec<i64> = (0..batch.n)
        .filter(|&i| has(&batch.frame_live, f, i) && has(&titles, t, i))
        .map(|i| i as i64)
        .collect();
    let m = both.len();
    if m < 2 {
        return None;
    }
    let index = tape.whole(both, [m]);
    let side = |states, live: &[f32], name| {
        unit(tape.linear(mean(tape, states, live).select(0, index.clone()), name))
    };
    let frames = side(frames, &batch.frame_live, "contrast.frames");
    let titles = side(text, &titles, "contrast.text");
    let logits = frames.matmul(titles.transpose()).div_scalar(TEMPERATURE);
    let right: Vec<_> = (0..m).map(Some).collect();
    let (one, there) = choice(tape, logits.clone(), &right, strength / 2.0);
    let (other, back) = choice(tape, logits.transpose(), &right, strength / 2.0);
    Some((one + other, there + back))
}
