//! What lies on disk about one container: its plan, its record, its bundle.

pub mod bundle;
pub mod pin;
pub mod plan;
pub mod state;
