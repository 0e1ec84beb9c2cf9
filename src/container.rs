//! What lies on disk about one container: its plan, its record, its bundle.

pub mod bundle;
pub mod meeting;
pub mod pin;
pub mod plan;
pub mod state;
