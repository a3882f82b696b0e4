//! UMAP's weighted graph: how surely two samples belong together, from the neighbours of each.

use rayon::prelude::*;

use crate::detect::neighbours::Neighbours;

/// Edges of each sample, both ways: those of sample i are `start[i]..start[i + 1]`.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) start: Vec<usize>,
    pub(super) to: Vec<u32>,
    /// In (0, 1]; the largest of the graph is 1.
    pub(super) weight: Vec<f32>,
}

impl Graph {
    /// Of cosine neighbours. Edges so weak that none of `epochs` rounds would use them are left out.
    pub(super) fn of(neighbours: &Neighbours, epochs: usize) -> Self {
        let (n, k) = neighbours.index.dim();
        let weights: Vec<Vec<f32>> = (0..n)
            .into_par_iter()
            .map(|i| memberships(&neighbours.similarity.row(i).mapv(|s| (1.0 - s).max(0.0)).to_vec()))
            .collect();
        let back = |j: usize, i: usize| {
            (0..k).find(|&c| neighbours.index[[j, c]] as usize == i).map(|c| weights[j][c])
        };
        // each pair once: from the lower sample, or from the one that knows the other
        let pairs: Vec<(u32, u32, f32)> = (0..n)
            .into_par_iter()
            .flat_map_iter(|i| {
                let (weights, back) = (&weights, &back);
                (0..k).filter_map(move |c| {
                    let (j, there) = (neighbours.index[[i, c]] as usize, weights[i][c]);
                    match back(j, i) {
                        // fuzzy union of the two directions
                        Some(here) if i < j => Some((i as u32, j as u32, there + here - there * here)),
                        Some(_) => None,
                        None => Some((i as u32, j as u32, there)),
                    }
                })
            })
            .collect();
        let most = pairs.iter().map(|p| p.2).fold(f32::MIN_POSITIVE, f32::max);
        let least = most / epochs as f32;
        let kept = || pairs.iter().filter(|p| p.2 >= least);
        let mut start = vec![0; n + 1];
        for &(i, j, _) in kept() {
            start[i as usize + 1] += 1;
            start[j as usize + 1] += 1;
        }
        for i in 0..n {
            start[i + 1] += start[i];
        }
        let mut at = start.clone();
        let (mut to, mut weight) = (vec![0; start[n]], vec![0.0; start[n]]);
        for &(i, j, w) in kept() {
            for (from, other) in [(i, j), (j, i)] {
                let place = &mut at[from as usize];
                (to[*place], weight[*place]) = (other, w / most);
                *place += 1;
            }
        }
        Self { start, to, weight }
    }
}

/// How surely each neighbour belongs to a sample, from their distances, nearest first: 1 for the nearest, and
/// falling off so that all of them sum to log2 of their number and one.
fn memberships(distances: &[f32]) -> Vec<f32> {
    let wanted = ((distances.len() + 1) as f64).log2();
    let nearest = f64::from(distances.iter().copied().find(|d| *d > 0.0).unwrap_or(0.0));
    let beyond: Vec<f64> = distances.iter().map(|d| (f64::from(*d) - nearest).max(0.0)).collect();
    let sum = |width: f64| beyond.iter().map(|d| (-d / width).exp()).sum::<f64>();
    let (mut low, mut high, mut width) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..64 {
        let found = sum(width);
        if (found - wanted).abs() < 1e-5 {
            break;
        }
        if found > wanted {
            high = width;
            width = f64::midpoint(low, high);
        } else {
            low = width;
            width = if high.is_finite() { f64::midpoint(low, high) } else { width * 2.0 };
        }
    }
    // rows that are all alike would have no width at all
    let mean = distances.iter().map(|d| f64::from(*d)).sum::<f64>() / distances.len().max(1) as f64;
    let width = width.max(1e-3 * mean).max(f64::MIN_POSITIVE);
    beyond.iter().map(|d| (-d / width).exp() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn memberships_sum_to_the_logarithm() {
        let distances: Vec<f32> = (1..=15).map(|i| i as f32 * 0.05).collect();
        let w = memberships(&distances);
        assert!((w.iter().sum::<f32>() - 4.0).abs() < 1e-3, "{w:?}");
        assert_eq!(w[0], 1.0);
        assert!(w.windows(2).all(|p| p[0] >= p[1]) && w[14] > 0.0);
        // all at the same place: all belong
        assert_eq!(memberships(&[0.0; 5]), [1.0; 5]);
    }

    #[test]
    fn both_directions_are_joined() {
        // 0 and 1 know each other, 2 knows 0 only
        let neighbours = Neighbours {
            index: array![[1], [0], [0]],
            similarity: array![[0.9], [0.9], [0.5]],
            recall: None,
        };
        let g = Graph::of(&neighbours, 100);
        assert_eq!(g.start, [0, 2, 3, 4]);
        assert_eq!(g.to, [1, 2, 0, 0]);
        assert!(g.weight.iter().all(|w| *w == 1.0), "the only neighbour belongs for sure: {:?}", g.weight);
    }
}
