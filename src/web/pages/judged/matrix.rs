//! What is taken for what between level-1 classes, as a picture: a square a cell, the deeper the larger its share of
//! the row. Squares lead to the grid of their wrong samples.

use std::collections::HashMap;

use crate::domain::Taxonomy;
use crate::jobs::judge::NodeCell;
use crate::web::pages::Reader;
use crate::web::pages::names::ClassName;

/// Classes drawn at most, those with the most errors.
const SIDE: usize = 40;
/// In the units of the drawing: a square, and the room for the names.
const SQUARE: usize = 28;
const NAMES: usize = 210;

pub(crate) struct MatrixView {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rows: Vec<RowView>,
    pub(crate) squares: Vec<SquareView>,
    /// Classes that are not drawn.
    pub(crate) more: Option<String>,
}

/// A class, the same in its row and its column.
pub(crate) struct RowView {
    pub(crate) number: usize,
    pub(crate) name: String,
    /// Of its row's and its column's middle.
    pub(crate) y: usize,
    pub(crate) x: usize,
}

pub(crate) struct SquareView {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) opacity: String,
    pub(crate) right: bool,
    pub(crate) count: String,
    pub(crate) title: String,
    pub(crate) grid: Option<String>,
}

/// Nothing for fewer than two classes.
pub(super) fn view(
    page: &Reader,
    taxonomy: &Taxonomy,
    cells: &[NodeCell],
    dataset_href: &str,
) -> Option<MatrixView> {
    let mut errors = HashMap::<&str, u64>::new();
    for c in cells {
        *errors.entry(&c.truth).or_default() += c.wrong;
        *errors.entry(&c.predicted).or_default() += c.wrong;
    }
    let mut drawn: Vec<&str> = taxonomy.roots().into_iter().filter(|r| errors.contains_key(r)).collect();
    let left = drawn.len().saturating_sub(SIDE);
    if left > 0 {
        let mut by_errors = drawn.clone();
        by_errors.sort_by_key(|r| std::cmp::Reverse(errors[r]));
        by_errors.truncate(SIDE);
        drawn.retain(|r| by_errors.contains(r));
    }
    if drawn.len() < 2 {
        return None;
    }
    let place: HashMap<&str, usize> = drawn.iter().enumerate().map(|(i, r)| (*r, i)).collect();
    let mut support = HashMap::<&str, u64>::new();
    cells.iter().for_each(|c| *support.entry(&c.truth).or_default() += c.count);
    let lang = page.lang;
    let number = |n: u64| lang.number(i64::try_from(n).unwrap_or(i64::MAX));
    let name = |id: &str| ClassName::of(taxonomy, id, lang).name;
    let squares = cells.iter().filter_map(|c| {
        let (row, column) = (*place.get(&*c.truth)?, *place.get(&*c.predicted)?);
        let right = row == column;
        let share = c.count as f64 / support[&*c.truth].max(1) as f64;
        let key = if right { "judged.node_right" } else { "judged.node_wrong" };
        Some(SquareView {
            x: NAMES + column * SQUARE,
            y: (row + 1) * SQUARE,
            // by the root, so that a few of many are still to be seen
            opacity: format!("{:.2}", share.sqrt().clamp(0.08, 1.0)),
            right,
            count: number(c.count),
            title: lang.fill(
                key,
                &[
                    ("truth", &name(&c.truth)),
                    ("predicted", &name(&c.predicted)),
                    ("n", &number(c.count)),
                    ("wrong", &number(c.wrong)),
                    ("share", &lang.percent(share as f32)),
                ],
            ),
            grid: c.selection.map(|s| format!("{dataset_href}/grid?selection={s}")),
        })
    });
    let middle = SQUARE / 2;
    Some(MatrixView {
        squares: squares.collect(),
        width: NAMES + drawn.len() * SQUARE,
        height: (drawn.len() + 1) * SQUARE,
        rows: drawn
            .iter()
            .enumerate()
            .map(|(i, id)| RowView {
                number: i + 1,
                name: name(id),
                y: (i + 1) * SQUARE + middle,
                x: NAMES + i * SQUARE + middle,
            })
            .collect(),
        more: (left > 0).then(|| page.t1("judged.nodes_left", "n", number(left as u64)).to_string()),
    })
}
