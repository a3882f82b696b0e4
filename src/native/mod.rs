//! The native parts and where they were found.

/// Placeholder until the resolver lands.
#[derive(Clone, Debug, Default)]
pub struct Native {}
