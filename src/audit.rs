//! Wrong labels from files of arrays: what `tamis audit` reads and computes. Ties the files to the
//! numerics; knows no database. (Not generic at its border, so that the inner loops are compiled here,
//! optimised.)

pub mod annotators;
pub mod checked;
pub mod clusters;
pub mod engine;
pub mod heads;
pub mod input;
pub mod rules;
pub mod select;
pub mod summary;
pub mod table;
pub mod texts;
pub mod votes;

pub use engine::{Audit, AuditError, AuditParams, Part, Prepared, audit, prepare};
pub use heads::Head;
pub use input::{Files, Input, InputError, Probabilities};
pub use select::{Selected, Selection, select};
