//! Why a training did not happen.

#[derive(Debug, thiserror::Error)]
pub enum FitError {
    #[error("a network is trained from a recipe of one network that learns by gradient steps")]
    NotOneNetwork,
    #[error("{what}: {got} where {want} are needed")]
    Shape { what: &'static str, got: usize, want: usize },
    #[error("the recipe needs {0}")]
    Missing(&'static str),
    #[error("{what} of row {row} is out of range")]
    Range { what: &'static str, row: usize },
    #[error("frames of row {row} could not be read: {why}")]
    Frames { row: usize, why: String },
    #[error(transparent)]
    Recipe(#[from] tamis_core::train::TrainError),
    #[error("the loss is not a number in epoch {epoch}: a lower optimise.learning_rate may help")]
    Diverged { epoch: usize },
    #[error("weight {name} is missing or has another shape")]
    Weight { name: String },
    #[error("the checkpoint is of another recipe or other data, or damaged")]
    Checkpoint,
    #[error("cancelled")]
    Cancelled,
}
