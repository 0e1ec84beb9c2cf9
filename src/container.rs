//! What lies on disk about one container: its plan, its record, its bundle.

pub mod bundle;
pub mod plan;
pub mod state;
