//! Limited-memory BFGS (Nocedal and Wright, algorithm 7.4) on a [`Problem`], with a line search that
//! costs no matrix product: logits along a line are logits + t * (logits of the direction).
//! Deterministic; stops on the gradient's norm, on rounding, or on the caller's word.

use std::collections::VecDeque;

use ndarray::Array2;
use rayon::prelude::*;

use super::precondition::Preconditioner;
use super::problem::{Evaluation, Point, Problem, axpy};

/// Pairs of steps and gradient differences kept.
const MEMORY: usize = 10;
/// Sufficient decrease and curvature of the Wolfe conditions.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
const MAX_TRIALS: usize = 25;
/// Losses closer than this (relative) are the same number in f32 logits.
const ROUNDING: f64 = 1e-7;

pub(super) struct Stop<'a> {
    pub(super) max_iterations: usize,
    /// On |gradient| / |gradient of the zero head|.
    pub(super) tolerance: f64,
    /// Told the iteration; false cancels.
    pub(super) tick: &'a dyn Fn(usize) -> bool,
}

/// The caller said stop.
#[derive(Debug)]
pub(super) struct Cancelled;

/// A step, the change of the loss's gradient along it, and their product; all without the penalty.
struct Pair {
    step: Point,
    change: Point,
    product: f64,
}

/// Where a search stands; kept between fits of a regularisation path as the warm start.
pub(super) struct State {
    pub(super) point: Point,
    /// Logits without the bias (n, k), and room for those of a direction.
    image: Vec<f32>,
    step_image: Vec<f32>,
    residual: Vec<f32>,
    here: Evaluation,
    /// Of the loss without the penalty, so that another penalty needs no product.
    gradient: Point,
    memory: VecDeque<Pair>,
    preconditioner: Option<Preconditioner>,
    /// |gradient| of the head without weights, the yardstick of convergence.
    yardstick: f64,
    /// Iterations so far, over all fits of the path.
    pub(super) iterations: usize,
}

impl State {
    pub(super) fn start(problem: &Problem<'_>) -> Self {
        let point = problem.start();
        let n = problem.n_logits();
        let (image, step_image, mut residual) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let no_step = vec![0.0; point.b.len()];
        let here = problem.evaluate(&image, &point.b, 0.0, &step_image, &no_step, &mut residual);
        let gradient = problem.gradient(&residual, &here.bias);
        let yardstick = gradient.dot(&gradient).max(0.0).sqrt();
        let preconditioner = problem.preconditioner();
        Self {
            point,
            image,
            step_image,
            residual,
            here,
            gradient,
            memory: VecDeque::with_capacity(MEMORY),
            preconditioner,
            yardstick,
            iterations: 0,
        }
    }
}

impl State {
    /// Goes on from another head: `weights` (k, d), primal coordinates only. Two products.
    pub(super) fn move_to(&mut self, problem: &Problem<'_>, weights: &Array2<f32>, bias: &[f32]) {
        self.point.w = weights.t().iter().copied().collect();
        self.point.b.copy_from_slice(bias);
        problem.image(&self.point.w, &mut self.image);
        let no_step = vec![0.0; bias.len()];
        self.here = problem.evaluate(&self.image, bias, 0.0, &self.step_image, &no_step, &mut self.residual);
        self.gradient = problem.gradient(&self.residual, &self.here.bias);
        self.memory.clear();
    }
}

/// Minimises loss + l2/2 |W|^2 from `state`, which then holds the result.
///
/// Cost: two products of (n, d) with (d, k) per iteration, none to start.
pub(super) fn minimize(
    problem: &Problem<'_>,
    l2: f64,
    stop: &Stop<'_>,
    state: &mut State,
) -> Result<(), Cancelled> {
    let mut gradient = state.gradient.penalized(&state.point, l2);
    for _ in 0..stop.max_iterations {
        if !(stop.tick)(state.iterations) {
            return Err(Cancelled);
        }
        let norm = gradient.dot(&gradient).max(0.0).sqrt();
        if norm <= stop.tolerance * state.yardstick || norm == 0.0 {
            break;
        }
        let mut direction = descent(problem, state, &gradient, l2);
        problem.image(&direction.w, &mut state.step_image);
        if direction.metric.is_some() {
            direction.metric = Some(state.step_image.clone());
        }
        let line = Line {
            problem,
            image: &state.image,
            bias: &state.point.b,
            direction: &direction,
            step_image: &state.step_image,
            l2,
            slope: gradient.dot(&direction),
            squares: state.point.dot_weights(&state.point),
            mixed: direction.dot_weights(&state.point),
            step_squares: direction.dot_weights(&direction),
        };
        let Some((t, next)) = line.search(&state.here, &mut state.residual) else {
            // The residual belongs to a step not taken.
            let no_step = vec![0.0; state.point.b.len()];
            let (image, b) = (&state.image, &state.point.b);
            problem.evaluate(image, b, 0.0, image, &no_step, &mut state.residual);
            if state.memory.is_empty() {
                break; // no descent along the plain direction: converged to rounding
            }
            state.memory.clear();
            continue;
        };
        state.point.add(t, &direction);
        add_image(&mut state.image, t, &state.step_image);
        if state.point.metric.is_some() {
            state.point.metric = Some(state.image.clone());
        }
        state.iterations += 1;
        let after = problem.gradient(&state.residual, &next.bias);
        state.here = next;
        let before = std::mem::replace(&mut state.gradient, after);
        remember(state, direction, t, &before);
        gradient = state.gradient.penalized(&state.point, l2);
    }
    Ok(())
}

/// [`axpy`] over the rows' logits, in parallel.
fn add_image(image: &mut [f32], t: f64, step: &[f32]) {
    const BLOCK: usize = 1 << 16;
    image.par_chunks_mut(BLOCK).zip(step.par_chunks(BLOCK)).for_each(|(a, b)| axpy(a, t, b));
}

/// Keeps the pair of step and change of the loss's gradient; `before` is that gradient's old value.
fn remember(state: &mut State, mut step: Point, t: f64, before: &Point) {
    step.scale(t);
    if let Some(m) = &mut step.metric {
        m.iter_mut().for_each(|v| *v = (f64::from(*v) * t) as f32);
    }
    let mut change = state.gradient.clone();
    change.add_weights(-1.0, before);
    axpy(&mut change.b, -1.0, &before.b);
    let product = step.dot(&change);
    if state.memory.len() == MEMORY {
        state.memory.pop_front();
    }
    state.memory.push_back(Pair { step, change, product });
}

/// The two-loop recursion: -H gradient, the pairs being those of the objective with this `l2`.
fn descent(problem: &Problem<'_>, state: &State, gradient: &Point, l2: f64) -> Point {
    // Per pair: curvature <s, y> = <s, y_loss> + l2 |s_w|^2, kept when positive beyond rounding.
    let pairs: Vec<(&Pair, f64)> = state
        .memory
        .iter()
        .filter_map(|pair| {
            let curvature = pair.product + l2 * pair.step.dot_weights(&pair.step);
            let size = (pair.step.dot(&pair.step) * pair.change.dot(&pair.change)).max(0.0).sqrt();
            (curvature > 1e-12 * size && curvature > 0.0).then_some((pair, curvature))
        })
        .collect();
    // <q, y> with y = y_loss + l2 s_w
    let with_change = |q: &Point, pair: &Pair| q.dot(&pair.change) + l2 * q.dot_weights(&pair.step);
    let mut q = gradient.clone();
    let mut alphas = Vec::with_capacity(pairs.len());
    for (pair, curvature) in pairs.iter().rev() {
        let alpha = q.dot(&pair.step) / curvature;
        q.add(-alpha, &pair.change);
        axpy(&mut q.w, -alpha * l2, &pair.step.w);
        alphas.push(alpha);
    }
    let last = pairs.last().map(|(pair, curvature)| (pair.change.penalized(&pair.step, l2), *curvature));
    match &state.preconditioner {
        Some(p) => {
            let h = problem.curvature(&state.residual);
            let scaled = |v: &Point| {
                let b = v.b.iter().zip(&h).map(|(v, h)| (f64::from(*v) / h) as f32).collect();
                Point { w: p.apply(&v.w, &h, l2), b, metric: None }
            };
            q = scaled(&q);
            if let Some((y, curvature)) = &last {
                q.scale(curvature / scaled(y).dot(y));
            }
        }
        None => match &last {
            Some((y, curvature)) => q.scale(curvature / y.dot(y)),
            None => q.scale(1.0 / gradient.dot(gradient).sqrt()),
        },
    }
    for ((pair, curvature), alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = with_change(&q, pair) / curvature;
        q.add(alpha - beta, &pair.step);
    }
    q.scale(-1.0);
    q
}

struct Line<'a, 'p> {
    problem: &'a Problem<'p>,
    image: &'a [f32],
    bias: &'a [f32],
    direction: &'a Point,
    step_image: &'a [f32],
    l2: f64,
    /// Of the objective at t = 0.
    slope: f64,
    /// |W|^2, <W, D>, |D|^2.
    squares: f64,
    mixed: f64,
    step_squares: f64,
}

impl Line<'_, '_> {
    /// Value and slope of the whole objective at `t`.
    fn at(&self, t: f64, residual: &mut [f32]) -> (f64, f64, Evaluation) {
        let e = self.problem.evaluate(self.image, self.bias, t, self.step_image, &self.direction.b, residual);
        let penalty = 0.5 * self.l2 * (self.squares + 2.0 * t * self.mixed + t * t * self.step_squares);
        let slope = e.slope + self.l2 * (self.mixed + t * self.step_squares);
        (e.loss + penalty, slope, e)
    }

    /// A step that meets the Wolfe conditions, with its residual; `None` when rounding leaves no
    /// descent (the residual is then of no use).
    fn search(&self, here: &Evaluation, residual: &mut [f32]) -> Option<(f64, Evaluation)> {
        let start = here.loss + 0.5 * self.l2 * self.squares;
        let start_slope = self.slope;
        if start_slope >= 0.0 || !start_slope.is_finite() {
            return None;
        }
        let slack = ROUNDING * start.abs();
        let (mut low, mut low_slope, mut high) = (0.0, start_slope, f64::INFINITY);
        let mut t = 1.0;
        for _ in 0..MAX_TRIALS {
            let (value, slope, e) = self.at(t, residual);
            let enough = value.is_finite() && value <= start + DECREASE * t * start_slope + slack;
            if enough && slope >= CURVATURE * start_slope {
                return Some((t, e));
            }
            // On a convex line the slope tells the side of the minimum that a tangent cannot miss.
            let secant = low + (t - low) * low_slope / (low_slope - slope);
            if enough {
                (low, low_slope) = (t, slope);
            } else {
                high = t;
            }
            t = if high.is_finite() {
                let margin = 0.1 * (high - low);
                if secant.is_finite() {
                    secant.clamp(low + margin, high - margin)
                } else {
                    0.5 * (low + high)
                }
            } else if secant.is_finite() && secant > t {
                secant.clamp(2.0 * t, 10.0 * t)
            } else {
                4.0 * t
            };
        }
        (low > 0.0).then(|| (low, self.at(low, residual).2))
    }
}
