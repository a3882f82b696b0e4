//! CPU seconds of one epoch: the MLP 512-256-200 on 100,000 x 512 at batch 1024, and the single-stream
//! network at 8 frames and 64 tokens. `cargo run --release -p tamis-deep --example deep_epoch [ROWS] [CLIPS]`.

use ndarray::Array2;
use tamis_core::arrays::{gaussian_matrix, rng};
use tamis_core::train::Recipe;
use tamis_core::train::text::Tokens;
use tamis_deep::{Curve, Data, Examples, FrameSource, Hooks, Targets, Task, fit};

struct Clips {
    frames: Array2<f32>,
}

impl FrameSource for Clips {
    fn load(&self, row: usize, out: &mut Vec<f32>) -> Result<(), String> {
        (row * 8..row * 8 + 8).for_each(|i| out.extend(self.frames.row(i % self.frames.nrows())));
        Ok(())
    }
}

struct Print {
    began: f64,
}

impl Hooks for Print {
    fn epoch_done(&mut self, c: &Curve) {
        let now = cpu_seconds();
        println!("epoch {}: {:.2} CPU-s, {:.2} s, loss {:.4}", c.epoch, now - self.began, c.seconds, c.loss);
        self.began = now;
    }
    fn checkpoint(&mut self, _: Vec<u8>) {}
    fn last_checkpoint(&mut self) -> Option<Vec<u8>> {
        None
    }
    fn cancelled(&self) -> bool {
        false
    }
}

/// User and system seconds of this process (Linux; 0 elsewhere).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|v| v.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument =
        |at: usize, default: usize| std::env::args().nth(at).map_or(Ok(default), |v| v.parse::<usize>());
    let (rows, clips) = (argument(1, 100_000)?, argument(2, 10_000)?);
    let (k, dim) = (200, 512);
    let mut r = rng(1);
    let centres = gaussian_matrix(k, dim, &mut r);
    let y: Vec<u32> = (0..rows as u32).map(|i| i * 7919 % 200).collect();
    let mut dense = gaussian_matrix(rows, dim, &mut r);
    for (mut row, c) in dense.rows_mut().into_iter().zip(&y) {
        row.scaled_add(0.3, &centres.row(*c as usize));
    }
    let task = Task {
        roots: (0..k).map(|c| c / 9).collect(),
        dense_dim: dim,
        frame_dim: dim,
        vocabulary: 8000,
        noise: None,
    };
    let of = |y| Examples {
        frames: None,
        dense: None,
        tokens: None,
        targets: Targets::Hard(y),
        weights: None,
        states: None,
    };
    if rows > 0 {
        let recipe = Recipe::parse(
            "[network]\nfamily = \"mlp\"\n[optimise]\nepochs = 2\nbatch = 1024\nlearning_rate = 0.001",
        )?;
        let train = Examples { dense: Some(dense.view()), ..of(&y) };
        println!("mlp 512-256-200, {rows} rows");
        fit(
            &recipe,
            &task,
            &Data {
                train,
                valid: Examples { dense: Some(dense.slice(ndarray::s![..0, ..])), ..of(&[]) },
                unlabelled: None,
                start: None,
                token_vectors: None,
            },
            &mut Print { began: cpu_seconds() },
        )?;
    }
    if clips > 0 {
        let recipe = Recipe::parse(
            "[network]\nfamily = \"single\"\n[frames]\ncount = 8\n[text]\ntitle = 24\nasr = 20\nocr = 20\n[optimise]\nepochs = 2\nbatch = 64",
        )?;
        let source = Clips { frames: gaussian_matrix(4096, dim, &mut r) };
        let tokens: Vec<Tokens> = (0..clips as u32)
            .map(|i| Tokens {
                ids: (0..64).map(|j| 5 + (i * 31 + j * 17) % 7995).collect(),
                kinds: vec![0; 64],
            })
            .collect();
        let y: Vec<u32> = (0..clips as u32).map(|i| i % 200).collect();
        let train = Examples { frames: Some(&source), tokens: Some(&tokens), ..of(&y) };
        println!("single, 8 frames and 64 tokens, d 128, 2 layers, {clips} clips, batch 64");
        fit(
            &recipe,
            &task,
            &Data { train, valid: of(&[]), unlabelled: None, start: None, token_vectors: None },
            &mut Print { began: cpu_seconds() },
        )?;
    }
    Ok(())
}
