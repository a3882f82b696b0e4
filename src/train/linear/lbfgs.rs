//! Limited-memory BFGS (Nocedal and Wright, algorithm 7.4) on a [`Problem`], with a line search that
//! costs no matrix product: logits along a line are logits + t * (logits of the direction).
//! Deterministic; stops on the gradient's norm, on rounding, or on the caller's word.

use std::collections::VecDeque;

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

/// Where a search stands; kept between fits of a regularisation path as the warm start.
pub(super) struct State {
    pub(super) point: Point,
    image: Vec<f32>,
    /// |gradient| of the zero head, the yardstick of convergence.
    yardstick: f64,
    /// Iterations so far, over all fits of the path.
    pub(super) iterations: usize,
}

impl State {
    pub(super) fn start(problem: &Problem<'_>) -> Self {
        let point = problem.zero();
        let image = problem.image(&point.w);
        let e = problem.evaluate(&image, &point.b, 0.0, &image, &point.b);
        let g = problem.gradient(&e.residual, &point, 0.0);
        Self { yardstick: g.dot(&g).sqrt(), point, image, iterations: 0 }
    }
}

/// Minimises loss + l2/2 |W|^2 from `state`, which then holds the result.
pub(super) fn minimize(
    problem: &Problem<'_>,
    l2: f64,
    stop: &Stop<'_>,
    state: &mut State,
) -> Result<(), Cancelled> {
    let mut memory: VecDeque<(Point, Point, f64)> = VecDeque::with_capacity(MEMORY);
    let zero_image = vec![0f32; state.image.len()];
    let zero_bias = vec![0f32; state.point.b.len()];
    let mut here = problem.evaluate(&state.image, &state.point.b, 0.0, &zero_image, &zero_bias);
    let mut gradient = problem.gradient(&here.residual, &state.point, l2);
    for _ in 0..stop.max_iterations {
        if !(stop.tick)(state.iterations) {
            return Err(Cancelled);
        }
        let norm = gradient.dot(&gradient).max(0.0).sqrt();
        if norm <= stop.tolerance * state.yardstick || norm == 0.0 {
            break;
        }
        let mut direction = descent(&gradient, &memory);
        if memory.is_empty() {
            direction.scale(1.0 / norm);
        }
        let image = problem.image(&direction.w);
        if direction.metric.is_some() {
            direction.metric = Some(image.clone());
        }
        let line = Line {
            problem,
            state,
            direction: &direction,
            image: &image,
            l2,
            slope: gradient.dot(&direction),
            squares: state.point.dot_weights(&state.point),
            mixed: direction.dot_weights(&state.point),
            step_squares: direction.dot_weights(&direction),
        };
        let Some((t, next)) = line.search(&here) else {
            if memory.is_empty() {
                break; // no descent along the gradient itself: converged to rounding
            }
            memory.clear();
            continue;
        };
        state.point.add(t, &direction);
        axpy(&mut state.image, t, &image);
        if state.point.metric.is_some() {
            state.point.metric = Some(state.image.clone());
        }
        state.iterations += 1;
        let next_gradient = problem.gradient(&next.residual, &state.point, l2);
        remember(&mut memory, direction, t, gradient, &next_gradient);
        gradient = next_gradient;
        here = next;
    }
    Ok(())
}

/// Keeps the pair (step, change of gradient) when its curvature is positive beyond rounding.
fn remember(
    memory: &mut VecDeque<(Point, Point, f64)>,
    mut step: Point,
    t: f64,
    before: Point,
    after: &Point,
) {
    step.scale(t);
    if let Some(m) = &mut step.metric {
        m.iter_mut().for_each(|v| *v = (f64::from(*v) * t) as f32);
    }
    let mut change = after.clone();
    change.add(-1.0, &before);
    if let (Some(m), Some(old)) = (&mut change.metric, &before.metric) {
        axpy(m, -1.0, old);
    }
    let curvature = step.dot(&change);
    if curvature > 1e-12 * (step.dot(&step) * change.dot(&change)).max(0.0).sqrt() {
        if memory.len() == MEMORY {
            memory.pop_front();
        }
        memory.push_back((step, change, curvature));
    }
}

/// The two-loop recursion: -H gradient.
fn descent(gradient: &Point, memory: &VecDeque<(Point, Point, f64)>) -> Point {
    let mut q = gradient.clone();
    let mut alphas = Vec::with_capacity(memory.len());
    for (s, y, sy) in memory.iter().rev() {
        let alpha = q.dot(s) / sy;
        q.add(-alpha, y);
        alphas.push(alpha);
    }
    if let Some((_, y, sy)) = memory.back() {
        q.scale(sy / y.dot(y));
    }
    for ((s, y, sy), alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = q.dot(y) / sy;
        q.add(alpha - beta, s);
    }
    q.scale(-1.0);
    q
}

struct Line<'a, 'p> {
    problem: &'a Problem<'p>,
    state: &'a State,
    direction: &'a Point,
    image: &'a [f32],
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
    fn at(&self, t: f64) -> (f64, f64, Evaluation) {
        let e =
            self.problem.evaluate(&self.state.image, &self.state.point.b, t, self.image, &self.direction.b);
        let penalty = 0.5 * self.l2 * (self.squares + 2.0 * t * self.mixed + t * t * self.step_squares);
        let slope = e.slope + self.l2 * (self.mixed + t * self.step_squares);
        (e.loss + penalty, slope, e)
    }

    /// A step that meets the Wolfe conditions; `None` when rounding leaves no descent.
    fn search(&self, here: &Evaluation) -> Option<(f64, Evaluation)> {
        let start = here.loss + 0.5 * self.l2 * self.squares;
        let start_slope = self.slope;
        if start_slope >= 0.0 || !start_slope.is_finite() {
            return None;
        }
        let slack = ROUNDING * start.abs();
        let (mut low, mut low_slope, mut high) = (0.0, start_slope, f64::INFINITY);
        let mut t = 1.0;
        let mut best: Option<(f64, Evaluation)> = None;
        for _ in 0..MAX_TRIALS {
            let (value, slope, e) = self.at(t);
            let enough = value.is_finite() && value <= start + DECREASE * t * start_slope + slack;
            if enough && slope >= CURVATURE * start_slope {
                return Some((t, e));
            }
            // On a convex line the slope tells the side of the minimum that a tangent cannot miss.
            let secant = low + (t - low) * low_slope / (low_slope - slope);
            if enough {
                (low, low_slope) = (t, slope);
                best = Some((t, e));
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
        best.filter(|(t, _)| *t > 0.0)
    }
}
